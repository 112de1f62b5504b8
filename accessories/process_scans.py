"""`kind: process_scans`: an inbox of flatbed scans; on while their photos are cut out (docs/inbox.md)."""

import asyncio
import json
import logging
import os
import stat
import sys
from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from bridge.contract import Accessory, Failed, Grant, ScansGrant, State, UnitGrant
from bridge.kind import Kind
from bridge.schema import Duration, From
from bridge.tools import Tools
from bridge.tools.folders import folder, problems
from bridge.tools.moves import move, state_of
from bridge.tools.processes import Child
from bridge.tools.progress import ask_to_stop, follow
from bridge.tools.units import Unit

UNIT = "bellpull-scans.service"
RUN = Path("/run/bellpull-scans")
INSTALLED = Path("/opt/bellpull")
SMALL = 0.9  # of the seconds a wish may take, for the worker to finish the scan it has in hand

A_FOLDER = From(folder)


@dataclass(frozen=True)
class ProcessScans(Kind):
    """Folders are absolute; `done`, `failed` and `duplicates` lie in the inbox unless they are told.

    poll  look so often instead of waiting to be told, for an inbox on a network mount
    """

    inbox: Annotated[str, A_FOLDER]
    output: Annotated[str, A_FOLDER]
    done: Annotated[str | None, A_FOLDER] = None
    failed: Annotated[str | None, A_FOLDER] = None
    duplicates: Annotated[str | None, A_FOLDER] = None
    format: Literal["png", "tiff", "jpeg"] = "png"
    trim_borders: bool = False
    auto: bool = False
    poll: Duration | None = None

    deadline = 300.0

    @property
    def folders(self) -> dict[str, str]:
        inbox = self.inbox.rstrip("/")
        return {
            "inbox": inbox,
            "output": self.output.rstrip("/"),
            "done": self.done or f"{inbox}/done",
            "failed": self.failed or f"{inbox}/failed",
            "duplicates": self.duplicates or f"{inbox}/duplicates",
        }

    @property
    def settings(self) -> dict[str, Any]:
        """As `bellpull scans run --settings` reads them."""
        how = {"format": self.format, "trim_borders": self.trim_borders, "auto": self.auto, "poll": self.poll}
        return self.folders | how

    def open(self, key: str, tools: Tools) -> Accessory:
        if Path(sys.prefix).is_relative_to(INSTALLED):
            return Service(key, self, tools, RUN)
        return ByHand(key, self, tools, Path(self.output) / ".bellpull")

    def problems(self) -> Iterable[tuple[str, str]]:
        yield from islice(problems(self.folders), 1)
        if self.poll is not None and not self.auto:
            yield "poll", "only with `auto: true`; remove the line, or write that"

    def sensors(self) -> Iterable[str]:
        return ["done"]

    def grants(self, key: str) -> Iterable[Grant]:
        settings = json.dumps(self.settings, indent=1)
        return [UnitGrant(UNIT), ScansGrant(key, UNIT, tuple(self.folders.values()), settings, self.auto)]

    async def doubts(self, tools: Tools) -> Iterable[str]:
        return [why for path in (self.inbox, self.output) if (why := _missing(path))]


class Scans(Accessory):
    """What the two ways to run the worker have in common: what it says is passed on."""

    def __init__(self, key: str, kind: ProcessScans, tools: Tools, run_folder: Path) -> None:
        self._key, self._kind, self._tools, self._folder = key, kind, tools, run_folder
        self.holds = kind.auto
        self.at_first = True if kind.auto else None
        self._working = asyncio.Event()
        self._trouble = ""

    async def watch(self) -> AsyncGenerator[State, None]:
        listening = asyncio.create_task(self._listen(), name=f"{self._key}: progress")
        try:
            async with aclosing(self._watch()) as states:
                async for state in states:
                    if state.on or state.moving:
                        self._working.set()
                    else:
                        self._working.clear()
                    yield state
        finally:
            listening.cancel()

    @abstractmethod
    def _watch(self) -> AsyncGenerator[State, None]: ...

    async def _listen(self) -> None:
        async with aclosing(follow(self._folder, self._working)) as messages:
            async for message in messages:
                if "scan" in message:
                    self._tell(
                        "trouble" if message["failed"] else "", f"{message['scan']}: {message['said']}"
                    )
                elif "end" in message:
                    self._ended(message["end"])

    def _ended(self, end: dict[str, Any]) -> None:
        """The batch is over; an inbox that held nothing new is nobody's news."""
        text = f"{_count(end['photos'], 'photo')} of {_count(end['done'], 'scan')}"
        text += f", {end['failed']} failed" if end["failed"] else ""
        if end["said"] and end["said"] != self._trouble:  # a full disk is no news every half minute
            self._tell("trouble", end["said"])
        self._trouble = end["said"]
        if end["done"] or end["failed"]:
            self._tell("done", text)

    def _tell(self, sensor: str, text: str) -> None:
        self._tools.tell(self._key, sensor, text)


class Service(Scans):
    """bellpull-scans.service, moved by the helper."""

    async def _watch(self) -> AsyncGenerator[State, None]:
        async with aclosing(self._tools.systemd.watch([UNIT])) as reads:
            async for units in reads:
                yield await self._told(state_of(units), units[0])

    async def set(self, on: bool) -> State:
        (unit,) = await self._tools.systemd.read([UNIT])
        if on and (not unit.up or unit.job):
            if unit.missing:
                raise Failed(f"{UNIT} does not exist; run: sudo make install, then: sudo bellpull apply")
            for path in (self._kind.inbox, self._kind.output):
                if why := _missing(path):
                    raise Failed(why)
            try:
                await move(self._tools, "unit-start", unit)
            except Failed:
                if why := await self._tools.systemd.property(unit, "StatusText"):
                    raise Failed(why) from None
                raise
        elif not on and (not unit.down or unit.job):
            await move(self._tools, "unit-stop", unit)
        (unit,) = await self._tools.systemd.read([UNIT])
        return await self._told(state_of([unit]), unit)

    async def _told(self, state: State, unit: Unit) -> State:
        """A unit that has failed knows only that; the worker has told systemd why."""
        if not state.died:
            return state
        why = await self._tools.systemd.property(unit, "StatusText")
        return replace(state, reason=why or state.reason)


class ByHand(Scans):
    """A child of the bridge, where nothing is installed; it ends with the bridge at the latest."""

    def __init__(self, key: str, kind: ProcessScans, tools: Tools, run_folder: Path) -> None:
        super().__init__(key, kind, tools, run_folder)
        self._child: Child | None = None
        self._changed = asyncio.Event()
        self._stopping = False
        self._reason = ""

    @property
    def _state(self) -> State:
        if self._child is None:
            return State(False, died=bool(self._reason), reason=self._reason)
        return State(True, moving=self._stopping, reason="finishing the scan in hand" * self._stopping)

    async def _watch(self) -> AsyncGenerator[State, None]:
        while True:
            self._changed.clear()
            yield self._state
            await self._changed.wait()

    async def set(self, on: bool) -> State:
        if on and self._child is None:
            await self._start()
        elif not on and self._child is not None:
            await self._stop(self._child)
        return self._state

    async def _start(self) -> None:
        for path in (self._kind.inbox, self._kind.output):
            if why := _missing(path):
                raise Failed(why)
        words = [f"--{name}={value}" for name, value in self._kind.folders.items()]
        words += [f"--format={self._kind.format}"]
        words += ["--trim-borders"] if self._kind.trim_borders else []
        words += ["--auto"] if self._kind.auto else []
        words += [f"--poll={self._kind.poll:g}"] if self._kind.poll is not None else []
        argv = ["chrt", "--idle", "0", sys.executable, "-m", "bridge.scans", "run", *words]
        self._reason, self._stopping = "", False
        child = await self._tools.processes.keep(argv, log=logging.getLogger(f"bellpull.{self._key}"))
        self._child = child
        child.ended.add_done_callback(self._over)
        self._changed.set()

    def _over(self, ended: "asyncio.Future[Any]") -> None:
        self._child, self._stopping = None, False
        result = ended.result()
        self._reason = "" if result.code == 0 else str(result)
        self._changed.set()

    async def _stop(self, child: Child) -> None:
        self._stopping = True
        self._changed.set()
        if await ask_to_stop(self._folder):
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(child.ended), self._kind.deadline * SMALL)
        if not child.ended.done():
            await self._tools.processes.end(child)


def _missing(path: str) -> str:
    """Why a folder cannot be worked in; the bridge's user may see less than the worker does."""
    try:
        there = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - of late, is_dir() takes hidden for missing
    except (FileNotFoundError, NotADirectoryError):
        there = False
    except OSError:
        return ""
    return "" if there else f"there is no folder {path}; make it (docs/inbox.md)"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
