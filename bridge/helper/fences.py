"""Rules on other bridges than a route's own: what a routed container must not leave by.

A guard stops what one address of a routed container sends on another network. A wall stops
everything on a bridge but what is known to be somebody else's: it stands while a routed
container may come up there with an address that nobody knows yet.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .docker import Network
from .kernel import MAIN, PROTOCOL

LAN, GUARD, ALLOWED, WALL = 4740, 4745, 4750, 4760  # after the routes' own, before those of VPN clients
# One each: the kernel takes a rule without `from` for one that is there with any.
PREFERENCES = (LAN, GUARD, ALLOWED, WALL)


class Fences(NamedTuple):
    """guards and allowed are (bridge, address) each, walls are bridges."""

    guards: frozenset[tuple[str, str]] = frozenset()
    walls: frozenset[str] = frozenset()
    allowed: frozenset[tuple[str, str]] = frozenset()


NONE = Fences()


def fences(
    networks: Iterable[Network],
    own: Iterable[str],
    settled: Mapping[str, bool],
    walls: Iterable[str],
) -> Fences:
    """What has to stand.

    own      bridges of routes, which are closed by their own rules
    settled  id of each routed container -> whether its default route was seen to be ours
    walls    bridges on which one may come up that is not in `settled`
    """
    others = [network for network in networks if network.bridge not in own]
    stopped = {bridge for bridge in walls if bridge not in own}
    stopped |= {
        network.bridge
        for network in others
        for container in network.endpoints
        if settled.get(container) is False
    }
    return Fences(
        frozenset((one.bridge, ip) for one in others for id in settled for ip in one.endpoints.get(id, ())),
        frozenset(stopped),
        frozenset(
            (network.bridge, address)
            for network in others
            if network.bridge in stopped
            for container, addresses in network.endpoints.items()
            if container not in settled
            for address in addresses
        ),
    )


def lines(rules: Sequence[str], there: Sequence[str]) -> list[str]:
    """For kernel.change(), so that `rules` are there and no others: what stops comes first, and goes last."""
    return [
        *(f"rule add {rule}" for rule in rules if rule not in there),
        *(f"rule del {rule}" for rule in sorted(there) if rule not in rules),
    ]


def after(rules: Iterable[str], lines: Sequence[str]) -> set[str]:
    """The rules that are there when `lines` are done."""
    there = {*rules}
    there |= {line.removeprefix("rule add ") for line in lines if line.startswith("rule add ")}
    there -= {line.removeprefix("rule del ") for line in lines if line.startswith("rule del ")}
    return there


def rules(wanted: Fences, family: str, house: Iterable[str]) -> list[str]:
    """In the words of `ip rule add`, what stops first."""
    stop = f"type unreachable protocol {PROTOCOL}"
    main = f"lookup {MAIN} protocol {PROTOCOL}"
    guards = [pair for pair in sorted(wanted.guards) if (":" in pair[1]) == (family == "6")]
    allowed = [pair for pair in sorted(wanted.allowed) if (":" in pair[1]) == (family == "6")]
    bridges = sorted({bridge for bridge, _ in guards} | wanted.walls)
    return [
        *(f"pref {GUARD} from {address} iif {bridge} {stop}" for bridge, address in guards),
        *(f"pref {WALL} iif {bridge} {stop}" for bridge in sorted(wanted.walls)),
        *(f"pref {LAN} to {prefix} iif {bridge} {main}" for bridge in bridges for prefix in house),
        *(f"pref {ALLOWED} from {address} iif {bridge} {main}" for bridge, address in allowed),
    ]
