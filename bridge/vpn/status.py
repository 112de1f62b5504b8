"""`bellpull vpn status KEY`, and `doctor`: which way the next packet goes, and what would get past it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bridge.contract import RouteGrant
from bridge.helper import docker
from bridge.helper.answer import Refusal
from bridge.helper.kernel import PROTOCOL, links
from bridge.helper.router import ADDRESS, FOLDER
from bridge.helper.verbs.route import why_not
from bridge.policy import route_entry
from bridge.tools.netlink import Netlink
from bridge.tools.routing import FAMILIES, Route, Sight, look

EVERYTHING = ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1", "default")  # as VPN clients write it
IP = "/usr/sbin/ip" if Path("/usr/sbin/ip").exists() else "/sbin/ip"
STRICT = "1"  # Linux's ip-sysctl, rp_filter

Line = tuple[bool, str]
"""Whether there is nothing to do about it, and what it says."""
UNTOLD: Line = (True, "DNS: Docker tells root only; run: sudo bellpull doctor")


async def status(grant: RouteGrant) -> list[str]:
    """A line each: rules, router, IPv4, IPv6, LAN, DNS, the VPN client's routes, rp_filter. Needs root."""
    sight = await _look(grant)
    lines = [*kernel(grant, sight), (True, f"LAN: {_lan(grant)}"), *_containers(grant), *_client(grant)]
    return [line for _, line in [*lines, *_strict(grant)]]


async def findings(grant: RouteGrant) -> list[Line]:
    """The same for `doctor`; Docker tells root only."""
    lines = [*kernel(grant, await _look(grant)), *_client(grant), *_strict(grant)]
    lines += _containers(grant) if os.geteuid() == 0 else [UNTOLD]
    return [(ok, f"{grant.key}: {line}") for ok, line in lines]


async def _look(grant: RouteGrant) -> Sight:
    netlink = Netlink()
    try:
        return await look(netlink, Route(grant.bridge, grant.table, grant.interface))
    finally:
        await netlink.close()


def kernel(grant: RouteGrant, sight: Sight) -> list[Line]:
    stands = not sight.missing and not sight.blocked
    return [(stands or not sight.rules, f"routing: {_stands(sight)}"), *_router(grant, sight), *_ways(sight)]


def _stands(sight: Sight) -> str:
    if not sight.rules:
        return "off"
    if sight.missing:
        return f"incomplete, missing: {sight.missing}"
    return f"on, but nothing gets out: {sight.blocked}" if sight.blocked else "on"


def _router(grant: RouteGrant, sight: Sight) -> Iterator[Line]:
    """What the program that follows Docker has to say."""
    said = _news(grant)
    if not Path(ADDRESS).exists() or said is None:
        yield False, f"router: does not run; run: sudo bellpull vpn setup {grant.key}"
    elif sight.rules and (trouble := said["astray"] or said["trouble"]):
        yield False, f"router: {trouble}"
    else:
        yield True, "router: watches the kernel and Docker"


def _ways(sight: Sight) -> Iterator[Line]:
    ways = dict(sight.ways)
    for family in FAMILIES:
        way = ways.get(family)
        said = "not asked, no bridge with such an address" if way is None else way or "nowhere"
        yield True, f"IPv{family}: {said}"


def _lan(grant: RouteGrant) -> str:
    return ", ".join(grant.lan) or "every network of this server, reached directly"


def _containers(grant: RouteGrant) -> list[Line]:
    try:
        return list(_names(grant))
    except Refusal as refusal:
        return [(False, f"DNS: {refusal}")]


def _names(grant: RouteGrant) -> Iterator[Line]:
    entry, there, said = route_entry(grant), links(), _news(grant)
    for name in [grant.container] if grant.container else docker.on_network(grant.network):
        described = docker.inspect(name)
        if described is None:
            yield True, f"{name}: Docker has no such container now"
        else:
            asked = ", ".join((described.get("HostConfig") or {}).get("Dns") or ["Docker's own resolver"])
            unchecked = "" if grant.checks_dns else ", unchecked, as the configuration says"
            why = why_not(entry, described, there, pinned=said is not None and not said["astray"])
            yield not why, f"DNS: {name} asks {asked}{unchecked}"
            yield not why, f"{name}: {why}" if why else f"{name}: nothing of it goes another way"


def _news(grant: RouteGrant) -> docker.Described | None:
    try:
        said: docker.Described = json.loads((Path(FOLDER) / f"{grant.key}.json").read_text())
    except (OSError, ValueError):
        return None
    return said


def _strict(grant: RouteGrant) -> Iterator[Line]:
    """A strict reverse path is answered by the rule for the tunnel's own address, which is there while on."""
    places = [Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter") for name in ("all", grant.interface)]
    if any(place.exists() and place.read_text().strip() == STRICT for place in places):
        yield True, f"rp_filter: strict on {grant.interface}; what the tunnel answers comes in all the same"


def _client(grant: RouteGrant) -> Iterator[Line]:
    """A VPN client that lays the way of all packets takes the whole server along; WireGuard's has a table."""
    routes = [route for family in ("-4", "-6") for route in _ip(family, "route", "show", "table", "all")]
    for route in routes:
        if route.get("protocol") == PROTOCOL or route.get("metric"):  # ours, or another uplink's
            continue
        if route.get("dev") == grant.interface and route.get("dst") in EVERYTHING:
            cure = "OpenVPN: route-nopull, WireGuard: Table = off"
            what = f"{grant.interface} takes the whole server along ({route['dst']})"
            yield False, f"{what}; keep its client from it ({cure})"


def _ip(*words: str) -> list[docker.Described]:
    done = subprocess.run([IP, "-j", "-N", *words], capture_output=True, timeout=10, check=True)  # noqa: S603
    return [item for item in json.loads(done.stdout or b"[]") if item]
