"""What root's helper says of containers, and what it does to them, without root, helper and engine."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, replace
from typing import Any

from bridge.contract import Failed, Trouble
from bridge.tools.containers import Container
from bridge.tools.root import Root


class FakeDocker(Root):
    """`there` is what each key has; `put()` tells who watches. `trouble` ends a watch or a call."""

    def __init__(self, **there: list[Container]) -> None:
        super().__init__()
        self.there = there
        self.calls: list[str] = []
        self.watches = 0
        self.trouble: Trouble | None = None
        self.obeys: Callable[[Container, str], Container] = _obey
        self.odd: dict[str, Any] | None = None
        self._news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def put(self, key: str, *containers: Container) -> None:
        self.there[key] = list(containers)
        self._news.put_nowait(_line({key: self.there[key]}))

    def change(self, key: str, **changes: Any) -> None:
        self.put(key, *(replace(one, **changes) for one in self.there[key]))

    def breaks(self, reason: str = "Docker's engine has gone away") -> None:
        """The watch ends, and none can begin."""
        self.trouble = Failed(reason)
        self._news.put_nowait({})

    async def watch(self, verb: str, name: str) -> AsyncGenerator[dict[str, Any], None]:
        assert (verb, name) == ("container-watch", "all")
        self.watches += 1
        if self.trouble is None:
            yield self.odd or _line(self.there)
        while self.trouble is None:
            line = await self._news.get()
            if line:
                yield line
        raise self.trouble

    async def call(self, verb: str, name: str) -> None:
        self.calls.append(f"{verb} {name}")
        if self.trouble is not None:
            raise self.trouble
        self.put(name, *(self.obeys(one, verb) for one in self.there[name]))


def _obey(one: Container, verb: str) -> Container:
    if verb == "container-stop":
        return replace(one, state="exited", code=143, asked=True)
    return replace(one, state="running", code=None, asked=False)


def _line(there: dict[str, list[Container]]) -> dict[str, Any]:
    return {"containers": {key: [asdict(one) for one in containers] for key, containers in there.items()}}
