"""`bellpull vpn status KEY`: which way the next packet goes, and what would get past it."""

import json
import subprocess
from collections.abc import Iterator

from bridge.contract import RouteGrant
from bridge.helper import docker
from bridge.helper.verbs.route import IP, why_not
from bridge.policy import route_entry
from bridge.tools.netlink import Netlink
from bridge.tools.routing import FAMILIES, Route, Sight, look

MAIN = ("0.0.0.0/1", "128.0.0.0/1", "default")  # what a VPN client likes to put there


async def status(grant: RouteGrant) -> list[str]:
    """A line each: rules, IPv4, IPv6, LAN, DNS, and what is wrong about the VPN client's routes."""
    netlink = Netlink()
    try:
        sight = await look(netlink, Route(grant.bridge, grant.table, grant.interface))
    finally:
        await netlink.close()
    return [
        f"routing: {_stands(sight)}",
        *_ways(sight),
        f"LAN: {_lan(grant)}",
        *_containers(grant),
        *_client(grant),
    ]


def _stands(sight: Sight) -> str:
    if not sight.rules:
        return "off"
    if sight.missing:
        return f"incomplete, missing: {sight.missing}"
    return f"on, but nothing gets out: {sight.blocked}" if sight.blocked else "on"


def _ways(sight: Sight) -> Iterator[str]:
    ways = dict(sight.ways)
    for family in FAMILIES:
        way = ways.get(family)
        yield f"IPv{family}: " + (
            "not asked, no bridge with such an address" if way is None else way or "nowhere"
        )


def _lan(grant: RouteGrant) -> str:
    return ", ".join(grant.lan) or "every network of this server, reached directly"


def _containers(grant: RouteGrant) -> Iterator[str]:
    entry, links = route_entry(grant), _ip("addr", "show")
    for name in [grant.container] if grant.container else docker.on_network(grant.network):
        described = docker.inspect(name)
        if described is None:
            yield f"{name}: Docker has no such container now"
        else:
            dns = (
                "DNS is as it should be"
                if grant.checks_dns
                else "DNS is unchecked, as the configuration says"
            )
            yield f"{name}: {why_not(entry, described, links) or dns}"


def _client(grant: RouteGrant) -> Iterator[str]:
    """A VPN client that puts its routes where everybody's are takes the whole server along."""
    for route in _ip("route", "show", "table", "main"):
        if route.get("dev") == grant.interface and route.get("dst") in MAIN and not route.get("metric"):
            cure = "OpenVPN: route-nopull, WireGuard: Table = off"
            wide = route["dst"]
            yield f"{grant.interface} takes the whole server along ({wide}); keep its client from it ({cure})"


def _ip(*words: str) -> list[docker.Described]:
    done = subprocess.run([IP, "-j", "-N", *words], capture_output=True, timeout=10, check=True)  # noqa: S603
    return [item for item in json.loads(done.stdout or b"[]") if item]
