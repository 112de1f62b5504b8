"""The kernel's links, rules and routes: looked at and changed in a few messages, no program run.

Rules and routes are written as `ip rule` and `ip route replace` take them, "pref 4720 iif vpn-tv lookup
24810 protocol 217". Of those that are there, only the ones with our protocol are shown.
Sources: rtnetlink(7), linux/rtnetlink.h, linux/fib_rules.h.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .answer import Refusal
from .netlink import Attributes, Message, Netlink, attribute, attributes

PROTOCOL = "217"  # marks rules and routes as ours; no routing daemon has this number
MAIN = 254  # RT_TABLE_MAIN
IPV6 = "/proc/sys/net/ipv6"

FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}
LENGTHS = {"4": 32, "6": 128}
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400  # NLM_F_*
NEW_LINK, GET_LINK, GET_ADDRESS = 16, 18, 22  # RTM_*
NEW_ROUTE, GET_ROUTE, NEW_RULE, DEL_RULE, GET_RULE = 24, 26, 32, 33, 34
NO_STATISTICS = attribute(29, struct.pack("=I", 1 << 3))  # IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
NAME, PEER, LOCAL = 3, 1, 2  # IFLA_IFNAME; IFA_ADDRESS, which is the peer's where there is a LOCAL
TO, FROM, IIF, PREFERENCE, SUPPRESS, TABLE, MARK = 1, 2, 3, 6, 14, 15, 21  # FRA_*; MARK: PROTOCOL
OUT, GATEWAY, METRIC = 4, 5, 6  # RTA_*; TO and TABLE are the same
WITHOUT = "suppress_prefixlength"
NOBODY = (1 << 31) - 1  # no interface's number; 0 would leave it to the kernel which one
TO_TABLE, UNREACHABLE = 1, 7  # FR_ACT_*
UNICAST, EVERYWHERE, ON_LINK = 1, 0, 253  # RTN_UNICAST, RT_SCOPE_*
UP, LOOPBACK, POINT_TO_POINT = 0x1, 0x8, 0x10  # IFF_*
GLOBAL = 0  # RT_SCOPE_UNIVERSE

_LINK, _ADDRESS, _ROUTE = struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), struct.Struct("=BBBBBBBBI")
_NUMBER = struct.Struct("=I")


class Link(NamedTuple):
    """An interface; `addresses` are its global ones, each with the length of its network."""

    name: str
    number: int
    flags: int
    addresses: tuple[tuple[str, int], ...] = ()

    def of(self, family: str) -> list[tuple[str, int]]:
        """Its addresses of a family, the first one first."""
        return [there for there in self.addresses if (":" in there[0]) == (family == "6")]


class Seen(NamedTuple):
    """What there is; rules and routes are of one family.

    defaults are (interface, gateway) of each default route in the main table that has a gateway.
    """

    links: list[Link]
    rules: list[str]
    defaults: list[tuple[str, str]]
    routes: list[str]


def families() -> tuple[str, ...]:
    return ("6", "4") if os.path.isdir(IPV6) else ("4",)


def look() -> dict[str, Seen]:
    """Everything, of every family."""
    with Netlink() as netlink:
        links = _links(netlink)
        names = {link.number: link.name for link in links}
        return {
            family: Seen(links, list(_rules(netlink, family)), *_routes(netlink, family, names))
            for family in families()
        }


def links(sandbox: str = "") -> list[Link]:
    with Netlink(sandbox) as netlink:
        return _links(netlink)


def rules(family: str, sandbox: str = "") -> list[str]:
    with Netlink(sandbox) as netlink:
        return list(_rules(netlink, family))


def way(family: str, to: str, sandbox: str = "") -> str:
    """The interface by which a packet of this namespace's own leaves for an address, empty for none."""
    body = _ROUTE.pack(FAMILIES[family], LENGTHS[family], 0, 0, 0, 0, 0, 0, 0)
    with Netlink(sandbox) as netlink:
        answer = netlink.ask(Message(GET_ROUTE, 0, body + attribute(TO, _packed(to))))
        if answer is None:
            return ""
        index = _NUMBER.unpack(attributes(answer, _ROUTE.size)[OUT])[0]
        return next((link.name for link in _links(netlink) if link.number == index), "")


def change(lines: Mapping[str, Sequence[str]], sandbox: str = "") -> None:
    """Have each line done: "rule add RULE", "rule del RULE", "route replace ROUTE", by family.

    In their order, and on after one that fails; Refusal with the first reason.
    """
    given = [(family, line) for family, there in lines.items() for line in there]
    if not given:
        return
    with Netlink(sandbox) as netlink:
        errors = netlink.change([_message(netlink, family, line) for family, line in given])
    for (family, line), error in zip(given, errors, strict=True):
        if error:
            raise Refusal("failed", f"the kernel refuses IPv{family}: {line}: {os.strerror(error)}")


# What is read


def _links(netlink: Netlink) -> list[Link]:
    found: dict[int, list[tuple[str, int]]] = {}
    for body in netlink.dump(GET_ADDRESS, _ADDRESS.pack(0, 0, 0, 0, 0)):
        _, length, _, scope, index = _ADDRESS.unpack_from(body)
        there = attributes(body, _ADDRESS.size)
        if scope == GLOBAL:
            own = there[LOCAL] if LOCAL in there else there[PEER]
            found.setdefault(index, []).append((_address(own), length))
    bodies = netlink.dump(GET_LINK, _LINK.pack(0, 0, 0, 0, 0) + NO_STATISTICS)
    return [link._replace(addresses=tuple(found.get(link.number, ()))) for link in map(_link, bodies)]


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    return Link(_text(attributes(body, _LINK.size)[NAME]), index, flags)


def _rules(netlink: Netlink, family: str) -> Iterator[str]:
    for body in netlink.dump(GET_RULE, _ROUTE.pack(FAMILIES[family], 0, 0, 0, 0, 0, 0, 0, 0)):
        there = attributes(body, _ROUTE.size)
        if there.get(MARK) == bytes([int(PROTOCOL)]):
            yield _rule(body, there, LENGTHS[family])


def _rule(body: bytes, there: Attributes, whole: int) -> str:
    _, to, source, _, table, _, _, action, _ = _ROUTE.unpack_from(body)
    words = [f"pref {_NUMBER.unpack(there[PREFERENCE])[0] if PREFERENCE in there else 0}"]
    words += [f"from {_prefix(there[FROM], source, whole)}"] if source else []
    words += [f"to {_prefix(there[TO], to, whole)}"] if to else []
    words += [f"iif {_text(there[IIF])}"] if IIF in there else []
    words += [f"lookup {_table(there, table)}"] if action == TO_TABLE else ["type unreachable"]
    words += [f"{WITHOUT} 0"] if there.get(SUPPRESS) == _NUMBER.pack(0) else []
    return " ".join([*words, f"protocol {PROTOCOL}"])


def _routes(
    netlink: Netlink, family: str, names: Mapping[int, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    defaults, ours = [], []
    for body in netlink.dump(GET_ROUTE, _ROUTE.pack(FAMILIES[family], 0, 0, 0, 0, 0, 0, 0, 0)):
        _, length, _, _, table, protocol, _, _, _ = _ROUTE.unpack_from(body)
        if length or (protocol != int(PROTOCOL) and table != MAIN):
            continue
        there = attributes(body, _ROUTE.size)
        gateway = _address(there[GATEWAY]) if GATEWAY in there else ""
        device = names.get(_NUMBER.unpack(there[OUT])[0], "") if OUT in there else ""
        if protocol == int(PROTOCOL):
            via = f"via {gateway} " if gateway else ""
            metric = f" metric {_NUMBER.unpack(there[METRIC])[0]}" if METRIC in there else ""
            ours.append(f"default {via}dev {device} table {_table(there, table)}{metric}")
        elif gateway:
            defaults.append((device, gateway))
    return defaults, [f"{route} protocol {PROTOCOL}" for route in ours]


def _table(there: Attributes, short: int) -> int:
    return int(_NUMBER.unpack(there[TABLE])[0]) if TABLE in there else short


def _prefix(address: bytes, length: int, whole: int) -> str:
    return _address(address) if length == whole else f"{_address(address)}/{length}"


def _address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


# What is written


def _message(netlink: Netlink, family: str, line: str) -> Message:
    what, word, rest = line.split(" ", 2)
    if what == "rule":
        kind, flags = (NEW_RULE, CREATE | EXCL) if word == "add" else (DEL_RULE, 0)
        return Message(kind, flags, _rule_body(family, _pairs(rest)))
    said = _pairs(rest.removeprefix("default "))
    return Message(NEW_ROUTE, CREATE | REPLACE, _route_body(netlink, family, said))


def _rule_body(family: str, said: Mapping[str, str]) -> bytes:
    to, source = (_split(said.get(word, ""), LENGTHS[family]) for word in ("to", "from"))
    action = TO_TABLE if "lookup" in said else UNREACHABLE
    parts = [
        attribute(PREFERENCE, _number(said["pref"])),
        attribute(MARK, bytes([int(said["protocol"])])),
        attribute(TO, to[0]) if to[0] else b"",
        attribute(FROM, source[0]) if source[0] else b"",
        attribute(IIF, said["iif"].encode() + b"\0") if "iif" in said else b"",
        attribute(TABLE, _number(said["lookup"])) if "lookup" in said else b"",
        attribute(SUPPRESS, _number(said["suppress_prefixlength"]))
        if "suppress_prefixlength" in said
        else b"",
    ]
    return _ROUTE.pack(FAMILIES[family], to[1], source[1], 0, 0, 0, 0, action, 0) + b"".join(parts)


def _route_body(netlink: Netlink, family: str, said: Mapping[str, str]) -> bytes:
    """A default route; one without a gateway is to neighbours."""
    scope = EVERYWHERE if "via" in said else ON_LINK
    head = _ROUTE.pack(FAMILIES[family], 0, 0, 0, 0, int(said["protocol"]), scope, UNICAST, 0)
    parts = [
        attribute(OUT, _number(_index(netlink, said["dev"]))),
        attribute(TABLE, _number(said["table"])),
        attribute(GATEWAY, _packed(said["via"])) if "via" in said else b"",
        attribute(METRIC, _number(said["metric"])) if "metric" in said else b"",
    ]
    return head + b"".join(parts)


def _index(netlink: Netlink, name: str) -> int:
    """NOBODY for one that is gone meanwhile: then the route by it fails, and no other message."""
    answer = netlink.ask(
        Message(
            GET_LINK, 0, _LINK.pack(0, 0, 0, 0, 0) + attribute(NAME, name.encode() + b"\0") + NO_STATISTICS
        )
    )
    return _link(answer).number if answer else NOBODY


def _pairs(words: str) -> dict[str, str]:
    parts = words.split()
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _split(prefix: str, whole: int) -> tuple[bytes, int]:
    address, _, length = prefix.partition("/")
    return (_packed(address), int(length or whole)) if address else (b"", 0)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _number(number: str | int) -> bytes:
    return _NUMBER.pack(int(number))
