"""Routing of one container network through one interface, by rules for what comes in from its bridge.

Policy: "routes": {KEY: {"bridge": NAME, "table": NUMBER, "interface": NAME, "lan": [PREFIX], "ipv6": BOOL,
"network": NAME, "container": NAME or null, "dns": BOOL}}. An empty "lan": every network that this machine has
an address in. "dns": whether the containers' DNS servers are looked at before it is turned on.

It looks first and then changes only what differs, so that every verb may be said twice. When it
turns on, the rule that stops everything comes first; when it turns off, it goes last: whichever
step fails, nothing leaves by another way than before. IPv6 is changed before IPv4.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import docker, kernel, router
from ..answer import Refusal
from ..kernel import LOOPBACK, MAIN, POINT_TO_POINT, PROTOCOL, UP, Link, Seen
from ..policy import Policy, denied, unusable

LAN, TUNNEL, GUARD, SOURCE = 4700, 4720, 4721, 4730  # below 5200, where VPN clients keep theirs
PREFERENCES = (LAN, TUNNEL, GUARD, SOURCE)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
DOCKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
PREFIX = re.compile(r"[0-9a-f:.]{2,39}(/[0-9]{1,3})?")  # a whole host has no length, as `ip` shows it
PRIVATE = re.compile(r"10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|169\.254\.")

Entry = dict[str, Any]
Change = Callable[[Entry, str, Seen], list[str]]
"""(policy's entry, "4" or "6", what there is) -> lines for kernel.change()."""
Work = Callable[[], None]


def on(policy: Policy, key: str) -> Work | None:
    """Refused while a container on the network could get out in another way."""
    entry = find(policy, key)
    return None if router.ask("on", key) else lambda: _checked(entry)


def off(policy: Policy, key: str) -> Work | None:
    entry = find(policy, key)
    return None if router.ask("off", key) else lambda: _change(turn_off, entry)


def turn_on(entry: Entry, family: str, seen: Seen) -> list[str]:
    """Close, lay the way into the tunnel, open it. Without a tunnel it stays closed."""
    there = _ours(entry, seen.rules)
    wanted, route = _wanted(entry, family, seen)
    guard, others = wanted[0], wanted[1:]
    stale = [rule for rule in there if rule not in wanted]
    return [
        *_added([guard], there),
        *(f"rule del {rule}" for rule in stale),
        *([f"route replace {route}"] if route and route not in seen.routes else []),
        *_added(others, there),
    ]


def turn_off(entry: Entry, family: str, seen: Seen) -> list[str]:
    """Back to the way of everybody else; the rule that stops everything goes last."""
    order = [TUNNEL, SOURCE, LAN, GUARD]
    there = sorted(_ours(entry, seen.rules), key=lambda rule: order.index(preference(rule)))
    return [f"rule del {rule}" for rule in there]


def close(entry: Entry, seen: Seen) -> list[str]:
    """Nothing gets out, for as long as there is no way to lay."""
    return _added([_guard(entry)], _ours(entry, seen.rules))


def _checked(entry: Entry) -> None:
    """Turn it on; Refusal with code refused."""
    links = kernel.links()
    for name in [entry["container"]] if entry["container"] else docker.on_network(entry["network"]):
        described = docker.inspect(name)
        if described and (reason := why_not(entry, described, links)):
            raise Refusal("refused", reason)
    _change(turn_on, entry)


def why_not(entry: Entry, described: docker.Described, links: list[Link], *, pinned: bool = False) -> str:
    """Why this container could get past the route; empty when it cannot. `pinned`: its way out is held."""
    near = [docker.parse(prefix) for family in ("4", "6") for prefix in house(entry, family, links)]
    way_out = "" if pinned else docker.way_out(described, entry["network"])
    return way_out or (docker.names(described, near) if entry["dns"] else "")


def _change(change: Change, entry: Entry) -> None:
    kernel.change({family: change(entry, family, seen) for family, seen in kernel.look().items()})


def _wanted(entry: Entry, family: str, seen: Seen) -> tuple[list[str], str | None]:
    """(the rules of a tile that is on, the guard first and the way in last; the route, if there is one)."""
    bridge, table, interface = entry["bridge"], entry["table"], entry["interface"]
    prefixes = house(entry, family, seen.links)
    to_lan = [f"pref {LAN} to {prefix} iif {bridge} lookup {MAIN} protocol {PROTOCOL}" for prefix in prefixes]
    into = f"pref {TUNNEL} iif {bridge} lookup {table} protocol {PROTOCOL}"
    link = _working(entry, family, seen.links)
    if link is None:
        return [_guard(entry), *to_lan, into], None
    via = "" if link.flags & POINT_TO_POINT else _gateway(interface, seen.defaults)
    route = f"default {via}dev {interface} table {table} metric 10 protocol {PROTOCOL}"
    probes = f"pref {SOURCE} from {link.of(family)[0][0]} lookup {table} protocol {PROTOCOL}"
    return [_guard(entry), *to_lan, probes, into], route


def _guard(entry: Entry) -> str:
    return f"pref {GUARD} iif {entry['bridge']} type unreachable protocol {PROTOCOL}"


def _added(rules: Iterable[str], there: Sequence[str]) -> list[str]:
    return [f"rule add {rule}" for rule in rules if rule not in there]


def _ours(entry: Entry, rules: Iterable[str]) -> list[str]:
    """This entry's rules among all of ours."""
    bridge, table = f" iif {entry['bridge']} ", f" lookup {entry['table']} "
    return [rule for rule in rules if preference(rule) in PREFERENCES and (bridge in rule or table in rule)]


def preference(rule: str) -> int:
    return int(rule.split(" ", 2)[1])


def _working(entry: Entry, family: str, links: Iterable[Link]) -> Link | None:
    """The interface with its addresses; None when it is not there, down, or not for this family."""
    for link in links:
        if link.name == entry["interface"] and link.flags & UP and link.of(family):
            return link if family == "4" or entry["ipv6"] else None
    return None


def _gateway(interface: str, defaults: Iterable[tuple[str, str]]) -> str:
    for device, gateway in defaults:
        if device == interface:
            return f"via {gateway} "
    raise Refusal(
        "failed", f"{interface} is no tunnel and has no gateway: give it a default route of a high metric"
    )


def house(entry: Entry, family: str, links: Iterable[Link]) -> list[str]:
    """What is reached directly: the networks that the owner named, or those of the house."""
    if entry["lan"]:
        return [prefix for prefix in entry["lan"] if (":" in prefix) == (family == "6")]
    return sorted(set(_networks(entry, family, links)))


def _networks(entry: Entry, family: str, links: Iterable[Link]) -> Iterable[str]:
    """The networks of the house: where this machine has an address, tunnels left out.

    By addresses and not by routes, because a stranger's DHCP server can send any route. In IPv4
    private ones only; a public one is the provider's.
    """
    for link in links:
        if link.name in (entry["interface"], entry["bridge"]) or link.flags & (LOOPBACK | POINT_TO_POINT):
            continue
        for address, length in link.of(family):
            if length >= 64 if family == "6" else PRIVATE.match(address):
                yield _network(address, length)


def _network(address: str, length: int) -> str:
    """`address`'s network as the kernel writes it; a whole host has no length."""
    import socket  # not at the top: 5 ms, and only turning on needs it

    kind, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    number = int.from_bytes(socket.inet_pton(kind, address), "big") >> (bits - length) << (bits - length)
    first = socket.inet_ntop(kind, number.to_bytes(bits // 8, "big"))
    return first if length == bits else f"{first}/{length}"


def find(policy: Policy, key: str) -> Entry:
    """The policy's entry; Refusal with code denied or policy."""
    routes = policy.get("routes")
    if not isinstance(routes, dict):
        raise unusable("it has no routes")
    entry = routes.get(key)
    if not isinstance(entry, dict):
        raise denied(f"route {key}")
    names = [entry.get("bridge"), entry.get("interface")]
    lan, table = entry.get("lan"), entry.get("table")
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise unusable(f"routes.{key} does not name two interfaces")
    if not isinstance(lan, list) or not all(isinstance(part, str) and PREFIX.fullmatch(part) for part in lan):
        raise unusable(f"routes.{key}.lan is no list of networks")
    if not isinstance(table, int) or not 256 <= table < 1 << 31 or not isinstance(entry.get("ipv6"), bool):
        raise unusable(f"routes.{key} has no table or does not say what to do with IPv6")
    if not all(isinstance(entry.get(name), str) and DOCKER.fullmatch(entry[name]) for name in _named(entry)):
        raise unusable(f"routes.{key} does not name a network and a container of Docker's")
    if not isinstance(entry.get("dns"), bool):
        raise unusable(f"routes.{key} does not say whether DNS is looked at")
    return entry


def _named(entry: Entry) -> list[str]:
    return ["network"] if entry.get("container") is None else ["network", "container"]


VERBS = {"route-on": on, "route-off": off}
