"""`kind: vpn_route`: all that a container sends goes through one interface, or nowhere."""

import asyncio
import contextlib
import hashlib
import ipaddress
import json
import re
import time
import zlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from bridge.contract import Accessory, Grant, RouteGrant, State
from bridge.kind import Kind
from bridge.schema import From, Node, Wrong, text
from bridge.tools import Tools
from bridge.tools.routing import Route, Sight, look

TABLES = 24810, 20000  # the first table of ours and how many there are; wg-quick's is 51820
PAUSE = 1.0  # seconds between two attempts to lay the way into a tunnel that came back
ROUTER = 0.05  # seconds that the router has to lay again what somebody deleted
NEWS = Path("/run/bellpull-vpn")


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

    def __init__(self, key: str, interface: str, tools: Tools, news: Path = NEWS) -> None:
        self._key, self._tools = key, tools
        self._route = Route(bridge_name(key), table(key), interface)
        self._news = news / f"{key}.json"
        self._said = read_news(self._news)
        self._laid = 0.0

    async def watch(self) -> AsyncGenerator[State, None]:
        changed = asyncio.Event()
        file = self._tools.inotify.watch([self._news], changed.set)
        kernel = asyncio.create_task(self._hear_kernel(changed))
        try:
            while True:
                changed.clear()
                if kernel.done():
                    await kernel
                self._pass_on()
                yield await self._settled(changed)
                await changed.wait()
        finally:
            file.close()
            kernel.cancel()
            await asyncio.wait([kernel])

    async def _hear_kernel(self, changed: asyncio.Event) -> None:
        try:
            async with aclosing(self._tools.netlink.watch()) as changes:
                async for _ in changes:
                    changed.set()
        finally:
            changed.set()

    async def set(self, on: bool) -> State:
        await self._tools.root.call("route-on" if on else "route-off", self._key)
        return self._state(await self._look())

    async def _settled(self, changed: asyncio.Event) -> State:
        """The state, once the router has had its moment to lay again what is missing."""
        sight = await self._look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROUTER):
                while (sight.missing and sight.rules) or sight.stale:
                    await changed.wait()
                    changed.clear()
                    sight = await self._look()
        if sight.stale and self._may_lay():
            await self._tools.root.call("route-on", self._key)
            sight = await self._look()
        return self._state(sight)

    async def _look(self) -> Sight:
        return await look(self._tools.netlink, self._route)

    def _state(self, sight: Sight) -> State:
        if sight.rules and self._said.astray:
            return State(False, died=True, reason=self._said.astray)
        state = state_of(sight)
        if state.on and not state.died and self._said.trouble:
            return State(True, died=True, reason=self._said.trouble)
        return state

    def _pass_on(self) -> None:
        """What the router has to say goes into the journal; an alarm to a phone, too."""
        before, self._said = self._said, read_news(self._news)
        new = self._said.told - before.told
        for sensor, line in self._said.lines[-new:] if new > 0 else ():
            self._tools.tell(self._key, sensor, line)

    def _may_lay(self) -> bool:
        """A tunnel that comes and goes all the time must not cost a call of root each time."""
        now = time.monotonic()
        if now - self._laid < PAUSE:
            return False
        self._laid = now
        return True


@dataclass(frozen=True, slots=True)
class News:
    """What the router says: bridge/helper/news.py."""

    astray: str = ""
    trouble: str = ""
    told: int = 0
    lines: tuple[tuple[str, str], ...] = ()


def read_news(path: Path) -> News:
    """Nothing, where there is no router."""
    try:
        said = json.loads(path.read_text())
        return News(**{**said, "lines": tuple((sensor, line) for sensor, line in said["lines"])})
    except (OSError, ValueError, TypeError, LookupError):
        return News()


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
