"""What an accessory uses, read without privilege: from its control groups, else from its processes.

`cpu` is the process alone, `total cpu` and `memory` are all of it: the control group, or the
process with its children. A group that was made anew and a process that was started anew begin
with a first look, which gives no percentage.
"""

import asyncio
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.contract import Vitals
from bridge.tools import cgroups
from bridge.watchdog import processes
from bridge.watchdog.processes import Used

if TYPE_CHECKING:
    from psutil import Process

SHORTEST = 0.05  # seconds between two looks that give a percentage


@dataclass(frozen=True, slots=True)
class Value:
    """What was read.

    value   percent, bytes, or 1 for unhealthy and 0 for healthy; None when there is none (yet)
    source  where from, for a person
    why     what keeps it from being read; empty for a first look
    """

    value: float | None = None
    source: str = ""
    why: str = ""


class Unreadable(Exception):
    """One line for a person."""


class Rate:
    """Processor time between two looks, in percent of one core."""

    def __init__(self) -> None:
        self._used: Used = {}
        self._at = self._clock = 0.0

    def percent(self, used: Used) -> float | None:
        """Since the last look; None when nothing of it was there. What has begun since counts in full."""
        before, at, clock = self._used, self._at, self._clock
        self._used, self._at, self._clock = used, time.monotonic(), time.time()
        if not before.keys() & used.keys() or self._at - at < SHORTEST:
            return None
        grown = sum(used[one] - before.get(one, 0.0) for one in used if one in before or one[1] > clock)
        return max(0.0, grown) / (self._at - at) * 100


class Meter:
    """Reads what the rules of one accessory are about."""

    def __init__(self, wanted: Iterable[str], process: "re.Pattern[str] | None", percent: str) -> None:
        self._wanted = frozenset(wanted)
        self._pattern = process
        cores = (os.cpu_count() or 1) if percent == "monit" else 1
        self._per = cores
        self._means = "100 % is one core" if cores == 1 else f"100 % is all {cores} cores"
        self._rates: dict[str, Rate] = {}
        self._found: Process | None = None
        self._walks = process is not None

    def forget(self) -> None:
        """The next look is a first one."""
        self._rates.clear()
        self._found = None

    async def read(self, vitals: Vitals) -> dict[str, Value]:
        """A Value for each of "cpu", "total cpu", "memory", "unhealthy" that is wanted."""
        if self._walks or not vitals.cgroups:
            return await asyncio.to_thread(self._read, vitals)
        return self._read(vitals)

    def _read(self, vitals: Vitals) -> dict[str, Value]:
        found = {}
        for what in sorted(self._wanted):
            try:
                found[what] = self._value(what, vitals)
            except Unreadable as trouble:
                found[what] = Value(why=str(trouble))
            except OSError as error:
                found[what] = Value(why=f"{error.filename}: {error.strerror}")
        return found

    def _value(self, what: str, vitals: Vitals) -> Value:
        if what == "unhealthy":
            return Value(None if vitals.healthy is None else float(not vitals.healthy), "its health check")
        if what == "memory":
            return self._memory(vitals)
        used, source = self._alone(vitals) if what == "cpu" else self._total(vitals)
        percent = self._rates.setdefault(what, Rate()).percent(used)
        return Value(None if percent is None else percent / self._per, f"{source}, {self._means}")

    def _alone(self, vitals: Vitals) -> tuple[Used, str]:
        if self._pattern is None and vitals.cgroups and not vitals.pids:
            return self._total(vitals)
        mains = self._mains(vitals)
        return processes.cpu(mains), f"{_named(mains)} alone"

    def _total(self, vitals: Vitals) -> tuple[Used, str]:
        if self._pattern is None and vitals.cgroups:
            try:
                groups = map(cgroups.cpu, vitals.cgroups)
                return {(inode, 0.0): seconds for inode, seconds in groups}, _groups(vitals)
            except FileNotFoundError:
                pass
        everything, source = self._everything(vitals)
        return processes.cpu(everything), source

    def _memory(self, vitals: Vitals) -> Value:
        if self._pattern is None and vitals.cgroups:
            try:
                return Value(float(sum(map(cgroups.memory, vitals.cgroups))), _groups(vitals))
            except FileNotFoundError:
                pass
        everything, source = self._everything(vitals)
        return Value(float(processes.memory(everything)), f"resident memory of {source}")

    def _everything(self, vitals: Vitals) -> "tuple[list[Process], str]":
        """All processes to measure, for want of a control group that tells."""
        if self._pattern is None and vitals.cgroups:
            self._walks = True
            pids = [pid for cgroup in vitals.cgroups for pid in cgroups.processes(cgroup)]
            return processes.existing(pids), f"the {len(pids)} processes of {_groups(vitals)}"
        mains = self._mains(vitals)
        return processes.with_children(mains), f"{_named(mains)} and its children"

    def _mains(self, vitals: Vitals) -> "list[Process]":
        if self._pattern is None:
            mains = processes.existing(vitals.pids)
            if not mains:
                raise Unreadable("nothing of it runs that could be measured")
            return mains
        if self._found is None or not self._still(self._found):
            among = [pid for cgroup in vitals.cgroups for pid in cgroups.processes(cgroup)]
            self._found = processes.oldest(self._pattern, among if vitals.cgroups else None)
        if self._found is None:
            where = f" in {_groups(vitals)}" if vitals.cgroups else ""
            raise Unreadable(f"no process matches {self._pattern.pattern!r}{where}{processes.hidden()}")
        return [self._found]

    def _still(self, process: "Process") -> bool:
        assert self._pattern is not None
        return process.is_running() and bool(self._pattern.search(processes.command_line(process)))


def _groups(vitals: Vitals) -> str:
    return f"cgroup {' and '.join(vitals.cgroups)}"


def _named(mains: "list[Process]") -> str:
    many = "process" if len(mains) == 1 else "processes"
    return f"{many} {', '.join(str(process.pid) for process in mains)}"
