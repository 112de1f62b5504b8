"""Routing of one container network through one interface, by rules for what comes in from its bridge.

Policy: "routes": {KEY: {"bridge": NAME, "table": NUMBER, "interface": NAME, "lan": [PREFIX], "ipv6": BOOL,
"network": NAME, "container": NAME or null, "dns": BOOL}}. An empty "lan": every network that this machine has
an address in. "dns": whether the containers' DNS servers are looked at before it is turned on.

It looks first and then changes only what differs, so that every verb may be said twice. When it
turns on, the rule that stops everything comes first; when it turns off, it goes last: whichever
step fails, nothing leaves by another way than before. IPv6 is changed before IPv4.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import docker, router
from ..answer import Refusal
from ..plan import Plan
from ..policy import Policy, denied, unusable

IP = "/usr/sbin/ip" if os.path.exists("/usr/sbin/ip") else "/sbin/ip"
IPV6 = "/proc/sys/net/ipv6"
DEADLINE = 5.0
PROTOCOL = "217"  # marks rules and routes as ours; no routing daemon has this number
LAN, TUNNEL, GUARD, SOURCE = 4700, 4720, 4721, 4730  # below 5200, where VPN clients keep theirs
MAIN = 254  # rtnetlink(7), RT_TABLE_MAIN
LOOK = f"addr show\nrule show\nroute show default\nroute show table all proto {PROTOCOL}\n"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
DOCKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
PREFIX = re.compile(r"[0-9a-f:.]{2,39}(/[0-9]{1,3})?")  # a whole host has no length, as `ip` shows it
PRIVATE = re.compile(r"10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|169\.254\.")

Entry = dict[str, Any]
Change = Callable[[Entry, str, str], list[str]]
"""(policy's entry, "4" or "6", what `ip` answered to LOOK) -> lines for `ip -batch`."""


def on(policy: Policy, key: str) -> Plan | None:
    """Refused while a container on the network could get out in another way."""
    entry = find(policy, key)
    if router.ask("on", key):
        return None
    return Plan(
        (IP, "-j", "-N", "addr", "show"),
        then=lambda seen: _checked(entry, json.loads(seen)),
        deadline=DEADLINE,
    )


def off(policy: Policy, key: str) -> Plan | None:
    entry = find(policy, key)
    return None if router.ask("off", key) else _plan(turn_off, entry)


def turn_on(entry: Entry, family: str, seen: str) -> list[str]:
    """Close, lay the way into the tunnel, open it. Without a tunnel it stays closed."""
    links, rules, defaults, routes = parse(seen)
    there = _ours(entry, rules)
    wanted, route = _wanted(entry, family, links, defaults)
    guard, others = wanted[0], wanted[1:]
    stale = [rule for rule in there if rule not in wanted]
    return [
        *_added([guard], there),
        *(f"rule del {rule}" for rule in stale),
        *([f"route replace {route}"] if route and route not in map(_route, routes) else []),
        *_added(others, there),
    ]


def turn_off(entry: Entry, family: str, seen: str) -> list[str]:
    """Back to the way of everybody else; the rule that stops everything goes last."""
    _, rules, _, _ = parse(seen)
    order = [TUNNEL, SOURCE, LAN, GUARD]
    there = sorted(_ours(entry, rules), key=lambda rule: order.index(int(rule.split()[1])))
    return [f"rule del {rule}" for rule in there]


def close(entry: Entry, seen: str) -> list[str]:
    """Nothing gets out, for as long as there is no way to lay."""
    return _added([_guard(entry)], _ours(entry, parse(seen)[1]))


def _checked(entry: Entry, links: list[Entry]) -> Plan:
    """The plan to turn on; Refusal with code refused."""
    for name in [entry["container"]] if entry["container"] else docker.on_network(entry["network"]):
        described = docker.inspect(name)
        if described and (reason := why_not(entry, described, links)):
            raise Refusal("refused", reason)
    return _plan(turn_on, entry)


def why_not(entry: Entry, described: docker.Described, links: list[Entry], *, pinned: bool = False) -> str:
    """Why this container could get past the route; empty when it cannot. `pinned`: its way out is held."""
    near = [docker.parse(prefix) for family in ("4", "6") for prefix in house(entry, family, links)]
    way_out = "" if pinned else docker.way_out(described, entry["network"])
    return way_out or (docker.names(described, near) if entry["dns"] else "")


def _plan(change: Change, entry: Entry) -> Plan:
    """Look at both families, one after the other, and change each at once after the look."""

    def look(family: str, then: Callable[[str], Plan | None]) -> Plan:
        return Plan((IP, "-j", "-N", f"-{family}", "-batch", "-"), input=LOOK, then=then, deadline=DEADLINE)

    def act(family: str, seen: str, then: Callable[[str], Plan | None] | None) -> Plan | None:
        lines = change(entry, family, seen)
        if not lines:
            return then("") if then else None
        text = "".join(f"{line}\n" for line in lines)
        return Plan((IP, f"-{family}", "-batch", "-"), input=text, then=then, deadline=DEADLINE)

    ipv4 = look("4", lambda seen: act("4", seen, None))
    if not os.path.isdir(IPV6):
        return ipv4
    return look("6", lambda seen: act("6", seen, lambda _: ipv4))


def _wanted(
    entry: Entry, family: str, links: list[Entry], defaults: list[Entry]
) -> tuple[list[str], str | None]:
    """(the rules of a tile that is on, the guard first and the way in last; the route, if there is one)."""
    bridge, table, interface = entry["bridge"], entry["table"], entry["interface"]
    prefixes = house(entry, family, links)
    to_lan = [f"pref {LAN} to {prefix} iif {bridge} lookup {MAIN} protocol {PROTOCOL}" for prefix in prefixes]
    into = f"pref {TUNNEL} iif {bridge} lookup {table} protocol {PROTOCOL}"
    source = _address(entry, family, links)
    if source is None:
        return [_guard(entry), *to_lan, into], None
    (link,) = (link for link in links if link["ifname"] == interface)
    via = _gateway(interface, defaults) if "POINTOPOINT" not in link["flags"] else ""
    route = f"default {via}dev {interface} table {table} metric 10 protocol {PROTOCOL}"
    probes = f"pref {SOURCE} from {source} lookup {table} protocol {PROTOCOL}"
    return [_guard(entry), *to_lan, probes, into], route


def _guard(entry: Entry) -> str:
    return f"pref {GUARD} iif {entry['bridge']} type unreachable protocol {PROTOCOL}"


def _added(rules: Iterable[str], there: Sequence[str]) -> list[str]:
    return [f"rule add {rule}" for rule in rules if rule not in there]


def _ours(entry: Entry, rules: list[Entry]) -> list[str]:
    """This entry's rules among all that are there, in the words they are wanted in."""
    return [
        words(rule)
        for rule in rules
        if rule.get("protocol") == PROTOCOL
        and rule["priority"] in (LAN, TUNNEL, GUARD, SOURCE)
        and (rule.get("iif") == entry["bridge"] or rule.get("table") == str(entry["table"]))
    ]


def words(rule: Entry) -> str:
    """A rule as it is written for `ip rule add`."""
    words = [f"pref {rule['priority']}"]
    if rule["src"] != "all":
        words.append(f"from {rule['src']}")
    if "dst" in rule:
        words.append(f"to {rule['dst']}" + (f"/{rule['dstlen']}" if "dstlen" in rule else ""))
    if "iif" in rule:
        words.append(f"iif {rule['iif']}")
    words.append(f"lookup {rule['table']}" if "table" in rule else "type unreachable")
    return " ".join([*words, f"protocol {PROTOCOL}"])


def _route(route: Entry) -> str:
    via = f"via {route['gateway']} " if "gateway" in route else ""
    where = f"dev {route.get('dev')} table {route.get('table')} metric {route.get('metric')}"
    return f"{route.get('dst')} {via}{where} protocol {PROTOCOL}"


def _address(entry: Entry, family: str, links: list[Entry]) -> str | None:
    """The interface's own address; None when it is not there, down, or not for this family."""
    if family == "6" and not entry["ipv6"]:
        return None
    for link in links:
        if link["ifname"] == entry["interface"] and "UP" in link["flags"]:
            for address in link["addr_info"]:
                if address["scope"] == "0":
                    return str(address["local"])
    return None


def _gateway(interface: str, defaults: list[Entry]) -> str:
    for route in defaults:
        if route.get("dev") == interface and "gateway" in route:
            return f"via {route['gateway']} "
    raise Refusal(
        "failed", f"{interface} is no tunnel and has no gateway: give it a default route of a high metric"
    )


def house(entry: Entry, family: str, links: list[Entry]) -> list[str]:
    """What is reached directly: the networks that the owner named, or those of the house."""
    if entry["lan"]:
        return [prefix for prefix in entry["lan"] if (":" in prefix) == (family == "6")]
    return sorted(set(_networks(entry, family, links)))


def _networks(entry: Entry, family: str, links: list[Entry]) -> Iterable[str]:
    """The networks of the house: where this machine has an address, tunnels left out.

    By addresses and not by routes, because a stranger's DHCP server can send any route. In IPv4
    private ones only; a public one is the provider's.
    """
    for link in links:
        if link["ifname"] in (entry["interface"], entry["bridge"]) or {"LOOPBACK", "POINTOPOINT"} & {
            *link["flags"]
        }:
            continue
        for address in link["addr_info"]:
            local, length = str(address["local"]), int(address["prefixlen"])
            if address["scope"] == "0" and (length >= 64 if family == "6" else PRIVATE.match(local)):
                yield _network(local, length)


def _network(address: str, length: int) -> str:
    """`address`'s network as the kernel writes it; a whole host has no length."""
    import socket  # not at the top: 5 ms, and only turning on needs it

    kind, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    number = int.from_bytes(socket.inet_pton(kind, address), "big") >> (bits - length) << (bits - length)
    first = socket.inet_ntop(kind, number.to_bytes(bits // 8, "big"))
    return first if length == bits else f"{first}/{length}"


def parse(seen: str) -> tuple[list[Entry], list[Entry], list[Entry], list[Entry]]:
    """(links, rules, default routes, our routes): the lists that `ip` writes one after the other."""
    lists: list[list[Entry]] = []
    decoder, at = json.JSONDecoder(), 0
    while (at := _start(seen, at)) < len(seen):
        found, at = decoder.raw_decode(seen, at)
        lists.append([item for item in found if item])
    links, rules, defaults, routes = lists
    return links, rules, defaults, routes


def _start(text: str, at: int) -> int:
    return at + len(text[at:]) - len(text[at:].lstrip())


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
