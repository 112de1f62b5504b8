"""`kind: services`: systemd units as one tile, started in order and stopped in reverse."""

import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from bridge.contract import Accessory, Failed, Grant, Refused, State, UnitGrant, Vitals
from bridge.kind import Kind
from bridge.schema import From, Node, Wrong, text
from bridge.tools import Tools
from bridge.tools.cgroups import still_there
from bridge.tools.moves import move, state_of, words
from bridge.tools.systemd import Systemd
from bridge.tools.units import TYPES

GUESTS = "libvirt-guests.service"


def unit_name(node: Node) -> str:
    """A unit's full name; ".service" is added where no type is given."""
    written = text(node)
    name = written if written.rpartition(".")[2] in TYPES else f"{written}.service"
    if len(name) > 200 or not re.fullmatch(
        r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]+)?\.[a-z]+", name, re.ASCII
    ):
        raise Wrong(
            f"{written!r} is not the name of a unit; write one that `systemctl list-unit-files` shows"
        )
    return name


@dataclass(frozen=True)
class Services(Kind):
    """On when every unit is active; turned off, all of them are stopped."""

    units: tuple[Annotated[str, From(unit_name)], ...]

    can_restart = True
    vital = frozenset({"cpu", "memory"})

    def open(self, key: str, tools: Tools) -> Accessory:
        return Units(self.units, tools)

    def problems(self) -> Iterable[tuple[str, str]]:
        for unit in {unit for unit in self.units if self.units.count(unit) > 1}:
            yield "units", f"{unit} is listed twice; remove one"

    def grants(self, key: str) -> Iterable[Grant]:
        return [UnitGrant(unit) for unit in self.units]

    async def doubts(self, tools: Tools) -> Iterable[str]:
        units = await tools.systemd.read(self.units)
        doubts = [f"{unit.name} {words(unit)} on this machine" for unit in units if unit.load != "loaded"]
        if any(unit.name == GUESTS and unit.load == "loaded" for unit in units):
            doubts.append(f"{GUESTS} is active with no guest running, and may start none; write `kind: vm`")
        return doubts


class Units(Accessory):
    """The units of one tile, seen over D-Bus and moved by the helper."""

    def __init__(self, names: Sequence[str], tools: Tools) -> None:
        self._names = names
        self._tools = tools
        self._vitals = Vitals()

    @property
    def _systemd(self) -> Systemd:
        return self._tools.systemd

    async def watch(self) -> AsyncGenerator[State, None]:
        async with aclosing(self._systemd.watch(self._names)) as reads:
            async for units in reads:
                yield state_of(units)

    async def set(self, on: bool) -> State:
        units = await self._systemd.read(self._names)
        if on:
            for unit in units:
                if unit.missing or unit.load == "masked":
                    raise Failed(f"{unit.name} {words(unit)}")
            for unit in units:
                if not unit.up or unit.job:
                    await move(self._tools, "unit-start", unit)
        else:
            for unit in reversed(units):
                if not unit.down or unit.job:
                    await move(self._tools, "unit-stop", unit)
        return state_of(await self._systemd.read(self._names))

    async def restart(self) -> State:
        units = await self._systemd.read(self._names)
        running = [unit for unit in units if not unit.down]
        if not running:
            raise Refused(f"nothing to restart: {state_of(units).reason}")
        for unit in running:
            await move(self._tools, "unit-restart", unit)
        return state_of(await self._systemd.read(self._names))

    async def vitals(self) -> Vitals:
        if not self._vitals.cgroups or not still_there(self._vitals):
            units = await self._systemd.read(self._names)
            cgroups = [await self._systemd.property(unit, "ControlGroup") for unit in units]
            pids = [int(await self._systemd.property(unit, "MainPID") or 0) for unit in units]
            self._vitals = Vitals(tuple(filter(None, cgroups)), tuple(filter(None, pids)))
        return self._vitals
