"""All that is watched, and the switches that arm it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from bridge.contract import Accessory, State, Tell
from bridge.keeper import Keeper
from bridge.watchdog.guard import Guard, Keep
from bridge.watchdog.memory import Memory, Record
from bridge.watchdog.settings import Watch


class Watchdog:
    """The guards of one bridge, over one file."""

    def __init__(self, path: Path, say: Tell) -> None:
        self._memory = Memory(path)
        self._say = say
        self._guards: dict[str, Guard] = {}

    def add(self, keeper: Keeper, accessory: Accessory, watch: Watch) -> None:
        """Watch the accessory that this Keeper keeps."""
        record = self._memory.of(keeper.key)
        if not watch.switch:
            record.armed = True  # nobody could arm it any more
        self._guards[keeper.key] = Guard(keeper, accessory, watch, record, self._say, self._memory.keep)

    def switch(self, key: str) -> Accessory:
        """What arms and disarms the watchdog of an accessory."""
        return Armed(self._memory.of(key), self._memory.keep)

    async def run(self) -> None:
        """Watch until cancelled."""
        self._memory.only(set(self._guards))
        async with asyncio.TaskGroup() as guards:
            for key, guard in self._guards.items():
                guards.create_task(guard.run(), name=f"{key}.watchdog")

    def reports(self) -> dict[str, dict[str, Any]]:
        """What each sees now, by key; see Guard.report()."""
        return {key: guard.report() for key, guard in self._guards.items()}

    async def close(self) -> None:
        await self._memory.close()


class Armed(Accessory):
    """On while the watchdog is armed; arming begins anew."""

    def __init__(self, record: Record, keep: Keep) -> None:
        self._record = record
        self._keep = keep
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncGenerator[State, None]:
        while True:
            self._changed.clear()
            yield State(self._record.armed)
            await self._changed.wait()

    async def set(self, on: bool) -> State:
        if on is not self._record.armed:
            self._record.armed = on
            self._record.forget()
            self._changed.set()
            await asyncio.wait({self._keep()}, timeout=1.0)
        return State(on)
