"""A machine with one thing on it that can be on or off, takes its time, fails and breaks."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from bridge.contract import Accessory, Failed, Refused, State, Trouble, Unavailable


class FakeMachine(Accessory):
    """The thing moves only when the test says so, unless `instant`."""

    def __init__(self, on: bool | None = False, *, instant: bool = True) -> None:
        self.on = on
        self.moving = False
        self.instant = instant
        self.reason = ""
        self.died = False
        self.trouble: Trouble | Exception | None = None
        self.stubborn: float = 0.0
        self.asked: list[bool] = []
        self.restarts = 0
        self.busy = 0
        self.most_busy = 0
        self._changed = asyncio.Event()
        self._go = asyncio.Event()
        self._broken: Exception | None = None

    @property
    def state(self) -> State:
        return State(self.on, moving=self.moving, died=self.died, reason=self.reason)

    async def watch(self) -> AsyncGenerator[State, None]:
        while True:
            self._changed.clear()
            if self._broken is not None:
                raise type(self._broken)(*self._broken.args)
            yield self.state
            await self._changed.wait()

    async def set(self, on: bool) -> State:
        self.asked.append(on)
        return await self._act(lambda: self.become(on))

    async def restart(self) -> State:
        """It is up again at once, when it was not turned off in the meantime."""
        if not self.on:
            raise Refused("nothing to restart")
        self.restarts += 1
        return await self._act(lambda: self.become(self.on))

    async def _act(self, do: Callable[[], None]) -> State:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            if not self.instant:
                self._go.clear()
                await self._go.wait()
            if self.trouble is not None:
                raise type(self.trouble)(*self.trouble.args)
            do()
            return self.state
        except asyncio.CancelledError:
            if self.stubborn:
                await asyncio.sleep(self.stubborn)
            raise
        finally:
            self.busy -= 1

    # What a test does to it

    def become(self, on: bool | None, *, moving: bool = False, reason: str = "", died: bool = False) -> None:
        self.on, self.moving, self.reason, self.died = on, moving, reason, died
        self._changed.set()

    def finish(self) -> None:
        """Let the set() that is under way go on."""
        self._go.set()

    def break_(self, error: Exception | None = None) -> None:
        self._broken = error or Unavailable("the machine is away")
        self._changed.set()

    def mend(self) -> None:
        self._broken = None
        self._changed.set()


def failure(text: str = "it would not") -> Failed:
    return Failed(text)
