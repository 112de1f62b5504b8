"""The kernel's routing, without privilege and without polling.

Source of the rules: rtnetlink(7). Whoever listens is told by the kernel of every change of
links, addresses, rules and routes, and then asks anew; what is asked is never older than the
last change that was told. Routes that vanish with their link are not told of, the link is.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bridge.contract import Unavailable

# linux/rtnetlink.h: LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE
GROUPS = sum(1 << (group - 1) for group in (1, 5, 7, 8, 9, 11, 19))
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
UP = 1  # linux/if.h, IFF_UP
ANSWER = 5.0  # seconds the kernel has to answer


@dataclass(frozen=True, slots=True)
class Link:
    """An interface; `addresses` are its global ones as (address, peer or network's, prefix length)."""

    index: int
    name: str
    up: bool
    addresses: tuple[tuple[str, int], ...]

    def has(self, family: int) -> bool:
        return any((":" in address) == (family == 6) for address, _ in self.addresses)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for what comes in from `iif`; `table` is 0 where it decides itself (unreachable)."""

    priority: int
    iif: str
    table: int
    protocol: int
    to: str = ""


class Netlink:
    """One socket to ask by, opened when first needed; every watch has its own."""

    def __init__(self) -> None:
        self._route: AsyncIPRoute | None = None
        self._turn = asyncio.Lock()

    async def watch(self) -> AsyncGenerator[None, None]:
        """Yield now, and again after every change; what changes meanwhile is one change."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        with contextlib.closing(listener):
            listener.setblocking(False)
            listener.bind((0, GROUPS))
            loop.add_reader(listener, _drain, listener, changed)
            try:
                while True:
                    changed.clear()
                    yield
                    await changed.wait()
            finally:
                loop.remove_reader(listener)

    async def links(self) -> dict[str, Link]:
        """Every interface by its name."""
        async with self._asking() as route:
            links = [link async for link in await route.link("dump")]
            addresses = [item async for item in await route.addr("dump") if item["scope"] == 0]
        return {
            link.get("ifname"): Link(
                link["index"],
                link.get("ifname"),
                bool(link["flags"] & UP),
                tuple(_address(item) for item in addresses if item["index"] == link["index"]),
            )
            for link in links
        }

    async def rules(self, family: int) -> list[Rule]:
        """The rules that look where a packet comes in."""
        async with self._asking() as route:
            found = [rule async for rule in await route.rule("dump", family=FAMILIES[family])]
        return [
            Rule(rule.get("priority", 0), iif, rule.get("table"), rule.get("protocol"), _to(rule))
            for rule in found
            if (iif := rule.get("iifname"))
        ]

    async def way(self, family: int, source: str, to: str, iif: int) -> int:
        """The index of the interface a packet from `source`, come in by `iif`, leaves by; 0: none."""
        async with self._asking() as route:
            try:
                answers = await route.route("get", family=FAMILIES[family], src=source, dst=to, iif=iif)
            except NetlinkError:  # unreachable, and every other reason why it goes nowhere
                return 0
        return next((int(answer.get("oif") or 0) for answer in answers), 0)

    async def close(self) -> None:
        if self._route is not None:
            self._route.close()
            self._route = None

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncGenerator[AsyncIPRoute, None]:
        """The socket, for one question at a time; after trouble the next one opens another."""
        async with self._turn:
            try:
                if self._route is None:
                    self._route = AsyncIPRoute()
                    await self._route.setup_endpoint()
                async with asyncio.timeout(ANSWER):
                    yield self._route
            except NetlinkError as error:
                raise Unavailable(f"the kernel does not answer about its routes: {error}") from None
            except (OSError, TimeoutError) as error:
                await self.close()
                raise Unavailable(f"the kernel cannot be asked about its routes: {error}") from None


def _drain(listener: socket.socket, changed: asyncio.Event) -> None:
    """What it says does not matter, nor does that there was too much of it (ENOBUFS)."""
    changed.set()
    while True:
        try:
            listener.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            continue


def _address(item: Any) -> tuple[str, int]:
    return item.get("local") or item.get("address"), item["prefixlen"]


def _to(rule: Any) -> str:
    return f"{rule.get('dst')}/{rule['dst_len']}" if rule.get("dst") else ""
