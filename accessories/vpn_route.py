"""`kind: vpn_route`: all that a container sends goes through one interface, or nowhere."""

import hashlib
import ipaddress
import re
import time
import zlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from bridge.contract import Accessory, Grant, RouteGrant, State
from bridge.kind import Kind
from bridge.schema import From, Node, Wrong, text
from bridge.tools import Tools
from bridge.tools.routing import Route, Sight, look

TABLES = 24810, 20000  # the first table of ours and how many there are; wg-quick's is 51820
PAUSE = 1.0  # seconds between two attempts to lay the way into a tunnel that came back


def interface_name(node: Node) -> str:
    """A network interface's name: 15 characters at most."""
    written = text(node)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", written, re.ASCII):
        raise Wrong(f"{written!r} cannot be the name of an interface; write one that `ip link` shows")
    return written


def docker_name(node: Node) -> str:
    written = text(node)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", written, re.ASCII):
        raise Wrong(f"{written!r} cannot be a name of Docker's; write one that `docker ps` shows")
    return written


def prefix(node: Node) -> str:
    """A network of the house, as the kernel writes it; a whole host has no length."""
    written = text(node)
    try:
        network = ipaddress.ip_network(written)
    except ValueError as error:
        raise Wrong(f"{error}; write a network like 192.168.1.0/24") from None
    if not network.prefixlen:
        raise Wrong(f"{written} is everything, so nothing would be routed; write the networks of the house")
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if whole else str(network)


def bridge_name(key: str) -> str:
    """The bridge of this key's network: readable where 15 characters are enough."""
    return f"vpn-{key}" if len(key) <= 11 else f"vpn-{key[:4]}-{hashlib.sha256(key.encode()).hexdigest()[:6]}"


def table(key: str) -> int:
    """The routing table of this key: the same after every change of the configuration."""
    first, count = TABLES
    return first + zlib.crc32(key.encode()) % count


@dataclass(frozen=True)
class VpnRoute(Kind):
    """What is routed, and through what; `lan` empty: every network this machine has an address in.

    The Docker network's own name sorts first: old engines give the first the default route.
    """

    interface: Annotated[str, From(interface_name)]
    container: Annotated[str | None, From(docker_name)] = None
    network: Annotated[str | None, From(docker_name)] = None
    lan: tuple[Annotated[str, From(prefix)], ...] = ()
    ipv6: bool = True
    dns: Literal["checked", "unchecked"] = "checked"

    bulk: ClassVar[str] = "ignore"

    @property
    def deadline(self) -> float:
        return 15.0

    def open(self, key: str, tools: Tools) -> Accessory:
        return Routing(key, self.interface, tools)

    def problems(self) -> Iterable[tuple[str, str]]:
        if self.container is None and self.network is None:
            yield (
                "container",
                "missing; write `container: NAME`, or `network: NAME` to route all on a network",
            )

    def grants(self, key: str) -> Iterable[Grant]:
        return [
            RouteGrant(
                key,
                bridge=bridge_name(key),
                table=table(key),
                interface=self.interface,
                lan=self.lan,
                ipv6=self.ipv6,
                container=self.container,
                network=self.network or f"0-bellpull-{key}",
                checks_dns=self.dns == "checked",
            )
        ]

    async def doubts(self, tools: Tools) -> Iterable[str]:
        links = await tools.netlink.links()
        if self.interface not in links:
            return [f"there is no interface {self.interface} now; until there is, nothing gets out while on"]
        return []


class Routing(Accessory):
    """On when the kernel sends the container's next packet into the tunnel, or nowhere."""

    holds = True

    def __init__(self, key: str, interface: str, tools: Tools) -> None:
        self._key, self._tools = key, tools
        self._route = Route(bridge_name(key), table(key), interface)
        self._renewed = 0.0

    async def watch(self) -> AsyncGenerator[State, None]:
        async with aclosing(self._tools.netlink.watch()) as changes:
            async for _ in changes:
                sight = await self._look()
                if sight.stale and self._may_renew():
                    await self._tools.root.call("route-on", self._key)
                    sight = await self._look()
                yield state_of(sight)

    async def set(self, on: bool) -> State:
        await self._tools.root.call("route-on" if on else "route-off", self._key)
        return state_of(await self._look())

    async def _look(self) -> Sight:
        return await look(self._tools.netlink, self._route)

    def _may_renew(self) -> bool:
        """A tunnel that comes and goes all the time must not cost a call of root each time."""
        now = time.monotonic()
        if now - self._renewed < PAUSE:
            return False
        self._renewed = now
        return True


def state_of(sight: Sight) -> State:
    """The tile's fact: on only if nothing can take another way, whatever becomes of the tunnel."""
    if not sight.rules:
        return State(False)
    if sight.missing:
        return State(False, died=True, reason=f"not all of the rules are there: {sight.missing}")
    if sight.astray:
        return State(False, died=True, reason=f"it leaves by {sight.astray} in spite of the rules")
    if sight.blocked:
        return State(True, died=True, reason=f"nothing gets out: {sight.blocked}")
    return State(True)
