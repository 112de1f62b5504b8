"""`kind: command`: programs of your own that turn something on and off and say how it stands.

`state` exits with 0 for on and anything else for off; it is run at the start, after every
set, every `poll` and when a path of `watch` changes, never because a phone looks. Without
it the tile shows what last succeeded. `on` alone or `off` alone is a push button. `run` is
a program that runs as long as the tile is on.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path

from bridge.contract import Accessory, CommandGrant, Failed, Grant, Refused, State, Unavailable, Vitals
from bridge.kind import Kind
from bridge.schema import Argv, Duration
from bridge.tools import Tools
from bridge.tools.processes import Child, Ended

CATCH_UP = (0.0, 0.1, 0.2, 0.4, 0.8)  # seconds before each look whether `state` has followed a set
RETRY = 10.0  # seconds, at most, until a `state` that could not tell is asked again
CALM = 0.2  # seconds between reads that only `watch` asks for, so that a busy path is no busy loop


@dataclass(frozen=True)
class Command(Kind):
    """Lists of arguments, no shell; durations in seconds. `privileged`: root runs on and off."""

    on: Argv | None = None
    off: Argv | None = None
    state: Argv | None = None
    run: Argv | None = None
    poll: Duration | None = None
    watch: tuple[str, ...] = ()
    timeout: Duration = 10.0
    privileged: bool = False

    @property
    def deadline(self) -> float:
        return max(super().deadline, self.timeout + 10)  # seconds to end what timed out

    @property
    def can_restart(self) -> bool:
        return self.run is not None

    @property
    def vital(self) -> frozenset[str]:
        return frozenset({"cpu", "memory"}) if self.run is not None else frozenset()

    def open(self, key: str, tools: Tools) -> Accessory:
        if self.run is not None:
            return Program(self.run, key, tools)
        if self.state is None and (self.on is None or self.off is None):
            return Button(self, key, tools)
        return Toggle(self, key, tools)

    def problems(self) -> Iterable[tuple[str, str]]:
        if self.run is not None:
            for field in ("on", "off", "state", "privileged"):
                if getattr(self, field):
                    yield field, "does not go with `run`; remove one of them"
        elif self.on is None and self.off is None:
            yield "on", "nothing to turn on or off; write `on:` and `off:`, one of them, or `run:`"
        elif self.state is not None and (self.on is None or self.off is None):
            yield "state", "does not go with a push button; write both `on:` and `off:`, or remove it"
        if self.state is None and self.poll is not None:
            yield "poll", "nothing to ask; write `state:` too"
        if self.state is None and self.watch:
            yield "watch", "nothing to ask; write `state:` too"
        if self.poll is not None and self.poll < 1:
            yield "poll", f"{self.poll:g} s is too often; write 1s or more"
        for path in self.watch:
            if not path.startswith("/"):
                yield "watch", f"{path!r} may be anywhere; write a path that begins with /"

    def grants(self, key: str) -> Iterable[Grant]:
        return [CommandGrant(key, self.on, self.off, self.timeout)] if self.privileged else []


class Commands(Accessory):
    """What every tile of commands does: run one at a time, let nobody wait for ever."""

    def __init__(self, command: Command, key: str, tools: Tools) -> None:
        self._command, self._key, self._tools = command, key, tools
        self._log = logging.getLogger(f"command.{key}")
        self._turn = asyncio.Lock()

    async def _perform(self, on: bool) -> None:
        if self._command.privileged:
            await self._tools.root.call(f"command-{'on' if on else 'off'}", self._key)
            return
        argv = self._command.on if on else self._command.off
        assert argv is not None
        ended = await self._tools.processes.run(argv, seconds=self._command.timeout, log=self._log)
        if ended.code != 0:
            raise Failed(str(ended))


class Button(Commands):
    """Only `on`, or only `off`."""

    def __init__(self, command: Command, key: str, tools: Tools) -> None:
        super().__init__(command, key, tools)
        self.rest = command.on is None

    async def watch(self) -> AsyncGenerator[State, None]:
        yield State(self.rest)
        await asyncio.get_running_loop().create_future()

    async def set(self, on: bool) -> State:
        async with self._turn:
            if on is not self.rest:
                await self._perform(on)
        return State(self.rest)


class Toggle(Commands):
    """`on` and `off`; the fact is what `state` says, or else what last succeeded."""

    def __init__(self, command: Command, key: str, tools: Tools) -> None:
        super().__init__(command, key, tools)
        self._last = State(False)
        self._again = asyncio.Event()

    async def watch(self) -> AsyncGenerator[State, None]:
        paths = [Path(path) for path in self._command.watch]
        watch = self._tools.inotify.watch(paths, self._again.set) if paths else None
        try:
            while True:
                self._again.clear()
                async with self._turn:
                    state = await self._read()
                yield state
                await self._next(state)
        finally:
            if watch is not None:
                watch.close()

    async def _next(self, state: State) -> None:
        """Wait until it is time to read again."""
        command = self._command
        pause = command.poll
        if state.on is None:
            pause = min(pause or RETRY, RETRY)
        try:
            async with asyncio.timeout(pause):
                await asyncio.sleep(CALM if command.watch else 0)
                await self._again.wait()
        except TimeoutError:
            pass

    async def set(self, on: bool) -> State:
        async with self._turn:
            try:
                return await self._set(on)
            except BaseException:
                self._again.set()  # nobody knows how far it came
                raise

    async def _set(self, on: bool) -> State:
        if self._command.state is not None:
            state = await self._read()
            if state.on is None:
                raise Unavailable(state.reason)
            if state.on is on:
                return state
        await self._perform(on)
        self._last = State(on)
        for pause in CATCH_UP:
            await asyncio.sleep(pause)
            state = await self._read()
            if state.on is on:
                break
        return state

    async def _read(self) -> State:
        command = self._command
        if command.state is None:
            return self._last
        try:
            ended = await self._tools.processes.run(
                command.state, seconds=command.timeout, log=self._log, silent=True
            )
        except Failed as trouble:
            return State(None, reason=f"its state is unknown: {trouble}")
        if ended.code < 0 or ended.not_run:
            return State(None, reason=f"its state is unknown: {ended}")
        return State(ended.code == 0)


class Program(Accessory):
    """`run`: on while our child lives. It is not started again when it ends by itself."""

    def __init__(self, argv: tuple[str, ...], key: str, tools: Tools) -> None:
        self._argv, self._tools = argv, tools
        self._log = logging.getLogger(f"command.{key}")
        self._turn = asyncio.Lock()
        self._child: Child | None = None
        self._stopping = False
        self._state = State(False)
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncGenerator[State, None]:
        while True:
            self._changed.clear()
            yield self._state
            await self._changed.wait()

    async def set(self, on: bool) -> State:
        async with self._turn:
            if self._child is not None and (self._stopping or not on):
                await self._stop(self._child)
            if on and self._child is None:
                await self._start()
            return self._state

    async def restart(self) -> State:
        async with self._turn:
            if self._child is None:
                raise Refused("nothing to restart: it does not run")
            await self._stop(self._child)
            await self._start()
            return self._state

    async def vitals(self) -> Vitals:
        return Vitals(pids=self._child.pids if self._child else ())

    async def _start(self) -> None:
        child = await self._tools.processes.keep(self._argv, log=self._log)
        self._child, self._stopping = child, False
        self._show(State(True))
        child.ended.add_done_callback(lambda ended: self._gone(ended.result()))

    async def _stop(self, child: Child) -> None:
        self._stopping = True
        await self._tools.processes.end(child)
        if not child.ended.done():
            raise Failed("it does not end, even killed")

    def _gone(self, ended: Ended) -> None:
        self._child = None
        if self._stopping:
            self._show(State(False))
        else:
            self._show(State(False, died=ended.code != 0, reason=f"it ended by itself: {ended}"))

    def _show(self, state: State) -> None:
        self._state = state
        self._changed.set()
