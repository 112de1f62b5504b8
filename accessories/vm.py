"""`kind: vm`: guests of libvirt as one tile, started in order and shut down in reverse.

On when every one of them runs. A guest that is paused, suspended or saved is off: it serves
nobody; turned on, it goes on where it was, and turned off, it is left as it is. Turned off,
guests that run are asked to shut down as by their power button, and asked again, for a guest that
still boots does not hear it; whoever does not within `shutdown` is the tile's failure, or has its
plug pulled with `force: true`. `action: restart` asks for a reboot and waits until it is seen.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from yaml.nodes import SequenceNode

from bridge.contract import Accessory, DomainGrant, Failed, Grant, Refused, State, Vitals
from bridge.kind import Kind
from bridge.schema import Duration, From, Node, Wrong, text, unknown
from bridge.tools import Tools
from bridge.tools.libvirt import Domain, Domains, Stands, processes

WAYS_UP = ("start", "resume", "wakeup")
ALL: tuple[str, ...] = ()
AGAIN = 15.0  # seconds after which the power button is pressed again
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,99}", re.ASCII)


def domain_names(node: Node) -> tuple[str, ...]:
    """`all`, for which it is empty, or a list of names."""
    if not isinstance(node, SequenceNode):
        if text(node) == "all":
            return ALL
        raise Wrong(f"{text(node)!r} is no list; write [{text(node)}], or all")
    if not node.value:
        raise Wrong("an empty list; write at least one guest, or all")
    return tuple(domain_name(item) for item in node.value)


def domain_name(node: Node) -> str:
    """A guest's name as `virsh list --all` shows it; one of digits only would be taken for an id."""
    name = text(node)
    if not NAME.fullmatch(name):
        raise Wrong(
            f"{name!r} is not the name of a guest that can be allowed exactly; `virsh domrename` it", node
        )
    if name.isdecimal():
        raise Wrong(f"{name!r} could be the id of another guest; `virsh domrename` it", node)
    return name


@dataclass(frozen=True)
class Vm(Kind):
    """`domains`: names, or all there are. `shutdown`: seconds they have; `force`: destroy them then."""

    domains: Annotated[tuple[str, ...], From(domain_names)]
    shutdown: Duration = 120.0
    force: bool = False

    can_restart = True
    vital = frozenset({"cpu", "memory"})

    @property
    def deadline(self) -> float:
        return max(super().deadline, self.shutdown + 60)

    def open(self, key: str, tools: Tools) -> Accessory:
        return Guests(self, tools)

    def problems(self) -> Iterable[tuple[str, str]]:
        for name in {name for name in self.domains if self.domains.count(name) > 1}:
            yield "domains", f"{name} is listed twice; remove one"

    def grants(self, key: str) -> Iterable[Grant]:
        return [DomainGrant(name, self.force) for name in self.domains or (None,)]

    async def doubts(self, tools: Tools) -> Iterable[str]:
        there = await tools.libvirt.read()
        if not there:
            return ["libvirt knows no guest on this machine yet"]
        return [
            f"domains: {name}: {unknown(name, there, what='guest')}"
            for name in self.domains
            if name not in there
        ]


class Guests(Accessory):
    """The guests of one tile, watched by anybody's connection and moved by the helper."""

    def __init__(self, vm: Vm, tools: Tools) -> None:
        self._vm = vm
        self._tools = tools
        self._up: list[str] = []
        self._leaving: dict[str, float] = {}  # whose power button was pressed -> till when it may act on it
        self._vitals = Vitals()

    async def watch(self) -> AsyncGenerator[State, None]:
        async with aclosing(self._tools.libvirt.watch()) as reads:
            async for there in reads:
                guests = self._picked(there)
                self._up = [guest.name for guest in guests if guest.up]
                self._leaving = {name: end for name, end in self._leaving.items() if name in self._up}
                yield state_of(guests)

    async def set(self, on: bool) -> State:
        guests = await self._read()
        if on:
            await self._start(guests)
        else:
            await self._shut_down(guests)
        return state_of(await self._read())

    async def restart(self) -> State:
        guests = await self._read()
        running = [guest for guest in guests if guest.up]
        if not running:
            raise Refused(f"nothing to restart: {state_of(guests).reason}")
        before = {guest.name: self._tools.libvirt.reboots[guest.name] for guest in running}
        async with aclosing(self._tools.libvirt.watch()) as reads:
            await anext(reads)  # so that it listens
            await self._move("reboot", list(before))
            late = await self._late(
                running, lambda guest: self._has_rebooted(guest, before), self._vm.shutdown
            )
        if late:
            raise Failed(f"{_names(late)} did not reboot in {self._vm.shutdown:g} s")
        return state_of(await self._read())

    def _has_rebooted(self, guest: Domain, before: dict[str, int]) -> bool:
        return not guest.up or self._tools.libvirt.reboots[guest.name] > before[guest.name]

    async def vitals(self) -> Vitals:
        up, pids = self._up, self._vitals.pids
        if len(pids) != len(up) or not all(map(_lives, pids)):
            self._vitals = Vitals(pids=tuple(await asyncio.to_thread(processes, up)))
        return self._vitals

    async def _read(self) -> list[Domain]:
        return self._picked(await self._tools.libvirt.read())

    def _picked(self, there: Domains) -> list[Domain]:
        """The tile's guests in their order."""
        return [there.get(name) or Domain(name, Stands.ABSENT) for name in self._vm.domains or sorted(there)]

    async def _start(self, guests: Sequence[Domain]) -> None:
        for guest in guests:
            if guest.state == Stands.ABSENT:
                raise Failed(f"{guest}; see: virsh list --all")
        if leaving := [guest for guest in guests if guest.up and guest.name in self._leaving]:
            end = max(self._leaving[guest.name] for guest in leaving)
            await self._late(leaving, _is_down, end - _now())
            guests = await self._read()
        for verb in WAYS_UP:
            await self._move(verb, [guest.name for guest in guests if _way_up(guest) == verb])

    async def _shut_down(self, guests: Sequence[Domain]) -> None:
        late = [guest for guest in reversed(guests) if guest.up or guest.moving]
        end = _now() + self._vm.shutdown
        while late and (left := end - _now()) > 0:
            pressed = [guest.name for guest in late if guest.up]
            self._leaving |= dict.fromkeys(pressed, end)
            await self._move("shutdown", pressed)
            late = await self._late(late, _is_down, min(AGAIN, left))
        if not late:
            return
        if not self._vm.force:
            raise Failed(
                f"{_names(late)} did not shut down in {self._vm.shutdown:g} s; does it listen to its power"
                " button? (`force: true` pulls the plug then)"
            )
        await self._move("destroy", [guest.name for guest in late])

    async def _late(
        self, guests: list[Domain], done: Callable[[Domain], bool], seconds: float
    ) -> list[Domain]:
        """Wait until it is so of every guest; those of whom it is not when their time is over."""
        names = {guest.name for guest in guests}
        try:
            async with asyncio.timeout(seconds), aclosing(self._tools.libvirt.watch()) as reads:
                while guests:
                    there = self._picked(await anext(reads))
                    guests = [guest for guest in there if guest.name in names and not done(guest)]
        except TimeoutError:
            pass
        return guests

    async def _move(self, verb: str, names: Sequence[str]) -> None:
        if names and not self._vm.domains:
            await self._ask(f"domains-{verb}", "all", names)
            return
        for name in names:
            await self._ask(f"domain-{verb}", name, [name])

    async def _ask(self, verb: str, name: str, names: Sequence[str]) -> None:
        """Failed unless it was done, or somebody else has done it in the meantime."""
        try:
            await self._tools.root.call(verb, name)
        except Failed:
            guests = [guest for guest in await self._read() if guest.name in names]
            if not all(guest.up if verb.endswith(WAYS_UP) else guest.down for guest in guests):
                raise


def state_of(guests: Sequence[Domain]) -> State:
    """One tile's fact from its guests': on when all run."""
    down = [guest for guest in guests if not guest.up]
    return State(
        on=bool(guests) and not down,
        moving=any(guest.moving for guest in guests),
        died=any(guest.died for guest in down),
        reason=", ".join(map(str, down)) if guests else "libvirt knows no guest yet",
    )


def _way_up(guest: Domain) -> str:
    """The helper's word that makes it run; empty when it does."""
    words: dict[int, str] = {Stands.PAUSED: "resume", Stands.SUSPENDED: "wakeup"}
    return "" if guest.up else words.get(guest.state, "start")


def _is_down(guest: Domain) -> bool:
    return guest.down


def _now() -> float:
    return asyncio.get_running_loop().time()


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _names(guests: Iterable[Domain]) -> str:
    return ", ".join(guest.name for guest in guests)
