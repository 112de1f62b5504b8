"""An event loop whose clock jumps to the next thing that is due, so that minutes cost nothing."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits and nothing is due")
        if not ready and timeout:
            self.now += timeout
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._fake = _Selector()
        super().__init__(self._fake)

    def time(self) -> float:
        return self._fake.now


def runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=FakeClockLoop)


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run(), in fake time."""
    with runner() as fake:
        return fake.run(main)
