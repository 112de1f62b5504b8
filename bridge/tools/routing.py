"""What the kernel does with a container's packets, compared with what is wanted of it."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from bridge.tools.netlink import Link, Netlink

TUNNEL, GUARD = 4720, 4721  # preferences of the rules that every tile has while it is on
PROTOCOL = 217  # marks them as ours
INTERNET = {4: "192.0.2.1", 6: "2001:db8::1"}  # RFC 5737, RFC 3849: nobody's, so no route of their own
FAMILIES = (4, 6) if Path("/proc/sys/net/ipv6").exists() else (4,)


@dataclass(frozen=True, slots=True)
class Route:
    """What is to be routed: all that comes in from `bridge`, by `table`, through `interface`."""

    bridge: str
    table: int
    interface: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of a Route.

    rules    whether there is any rule of it
    missing  which of its rules are not there, empty when all are
    astray   the interface that packets leave by though it is another than wanted
    blocked  why nothing gets out, empty when something does
    stale    the tunnel is there, and no way leads into it yet
    ways     (family, interface or "" for nowhere) of the container's next packet, where it can be asked
    """

    rules: bool
    missing: str = ""
    astray: str = ""
    blocked: str = ""
    stale: bool = False
    ways: tuple[tuple[int, str], ...] = ()


async def look(netlink: Netlink, route: Route) -> Sight:
    """Ask the kernel; Unavailable when it cannot be asked."""
    missing, found = [], 0
    for family in FAMILIES:
        there = {
            (rule.priority, rule.table if rule.priority == TUNNEL else 0)
            for rule in await netlink.rules(family)
            if rule.iif == route.bridge and rule.protocol == PROTOCOL
        }
        found += len(there)
        wanted = ((TUNNEL, route.table), (GUARD, 0))
        missing += [f"{rule[0]} of IPv{family}" for rule in wanted if rule not in there]
    links = await netlink.links()
    ways = [
        (family, way) for family in FAMILIES if (way := await _way(netlink, route, links, family)) is not None
    ]
    astray = [way for _, way in ways if way not in ("", route.interface)]
    return Sight(
        rules=found > 0,
        missing=", ".join(missing),
        astray=astray[0] if astray else "",
        blocked=_blocked(route, links.get(route.interface), dict(ways)),
        stale=not missing and _stale(route, links.get(route.interface), dict(ways)),
        ways=tuple(ways),
    )


async def _way(netlink: Netlink, route: Route, links: dict[str, Link], family: int) -> str | None:
    """The interface's name, "" for nowhere; None while no container could send in this family."""
    bridge = links.get(route.bridge)
    if bridge is None or not bridge.up:
        return None
    for address, length in bridge.addresses:
        if (":" in address) == (family == 6):
            network = ipaddress.ip_interface(f"{address}/{length}").network
            source = next(str(host) for host in network.hosts() if str(host) != address)
            index = await netlink.way(family, source, INTERNET[family], bridge.index)
            return next((name for name, link in links.items() if link.index == index), "")
    return None


def _blocked(route: Route, tunnel: Link | None, ways: dict[int, str]) -> str:
    if tunnel is None:
        return f"there is no {route.interface}"
    if not tunnel.up:
        return f"{route.interface} is down"
    if not tunnel.addresses:
        return f"{route.interface} has no address"
    if ways and not any(ways.values()):
        return f"no way leads into {route.interface}"
    return ""


def _stale(route: Route, tunnel: Link | None, ways: dict[int, str]) -> bool:
    """A family that the tunnel has an address in, and that goes nowhere."""
    return (
        tunnel is not None
        and tunnel.up
        and any(not way and tunnel.has(family) for family, way in ways.items())
    )
