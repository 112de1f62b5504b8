"""Imitates bridge.tools.libvirt and, over it, the helper's verbs for guests."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator

from bridge.contract import Failed
from bridge.tools.libvirt import Domain, Domains, Stands

AFTER = {
    "start": Stands.RUNNING,
    "resume": Stands.RUNNING,
    "wakeup": Stands.RUNNING,
    "shutdown": Stands.SHUT_OFF,
    "destroy": Stands.SHUT_OFF,
}


class FakeLibvirt:
    """`asked`: what root was asked for, in order.

    deaf    guests that do not hear their power button
    faster  guests that somebody else always moves a moment earlier
    broken  guests that cannot be started
    """

    def __init__(self, **states: int) -> None:
        self.domains: Domains = {name: Domain(name, state) for name, state in states.items()}
        self.reboots: Counter[str] = Counter()
        self.deaf: set[str] = set()
        self.faster: set[str] = set()
        self.broken: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self._changed = asyncio.Condition()
        self._number = 0

    def is_(self, name: str) -> int:
        return self.domains[name].state

    async def become(self, name: str, state: int, reason: int = 0) -> None:
        async with self._changed:
            self.domains[name] = Domain(name, state, reason)
            self._number += 1
            self._changed.notify_all()

    async def is_asked(self, call: tuple[str, str]) -> None:
        """Wait until root was asked for it."""
        while call not in self.asked:
            await asyncio.sleep(0.01)

    async def read(self) -> Domains:
        return dict(self.domains)

    async def watch(self) -> AsyncGenerator[Domains, None]:
        told = -1
        while True:
            async with self._changed:
                while told == self._number:
                    await self._changed.wait()
                told = self._number
            yield dict(self.domains)

    async def call(self, verb: str, name: str) -> None:
        """As bridge.tools.root."""
        self.asked.append((verb, name))
        word = verb.partition("-")[2]
        for guest in [*self.domains] if name == "all" else [name]:
            if word in ("shutdown", "reboot") and guest in self.deaf:
                continue
            if word == "reboot":
                self.reboots[guest] += 1
            if word == "start" and guest in self.broken:
                raise Failed("network 'default' is not active")
            await self.become(guest, AFTER.get(word, self.is_(guest)))
            if guest in self.faster:
                raise Failed("Requested operation is not valid")
