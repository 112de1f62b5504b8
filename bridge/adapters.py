"""Accessories that stand in front of another one, or in place of one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from bridge.contract import Accessory, State, Unavailable


class Restarting(Accessory):
    """`action: restart`: pressing it restarts the accessory behind it."""

    rest = False

    def __init__(self, inner: Accessory) -> None:
        self._inner = inner

    async def watch(self) -> AsyncGenerator[State, None]:
        async with aclosing(self._inner.watch()) as states:
            async for state in states:
                yield State(None if state.on is None else False, died=state.died, reason=state.reason)

    async def set(self, on: bool) -> State:
        if on:
            await self._inner.restart()
        return State(False)


class Broken(Accessory):
    """An entry that cannot be opened: it keeps its place in the home, unavailable."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def watch(self) -> AsyncGenerator[State, None]:
        yield State(None, reason=self._reason)
        await asyncio.Event().wait()

    async def set(self, on: bool) -> State:
        raise Unavailable(self._reason)
