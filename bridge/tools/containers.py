"""Docker's containers as root's helper tells of them: one helper for all tiles, and no other privilege."""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.contract import Trouble, Unavailable
from bridge.tools.inotify import Inotify
from bridge.tools.root import Root

PIDFILE = Path("/run/docker.pid")
SOCKET = Path("/run/docker.sock")
PROJECT = "com.docker.compose.project"
ANSWER = 5.0  # seconds the engine has to answer a `check`
PAUSE_FIRST, PAUSE_LAST = 0.2, 30.0  # seconds between two helpers; sudo writes each down
LONGEST_STOP = 100.0  # seconds; systemd gives the engine 90
DOWN = "Docker's engine does not run; start it: sudo systemctl start docker"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Container:
    """One container.

    id      Docker's, so another one after it was made anew under the same name
    state   Docker's word: created, running, paused, restarting, removing, exited, dead
    code    the exit code of its last end, None where it has not ended
    health  "healthy", "unhealthy" or "starting"; None without a health check
    asked   somebody asked it to end
    once    others of its project wait for it to end well, so it need not run
    """

    id: str
    name: str
    state: str
    code: int | None = None
    health: str | None = None
    asked: bool = False
    once: bool = False


Sight = tuple[Container, ...] | str
"""The containers of a key, none if there is none; or why nobody knows."""


class Containers:
    """What is known of the containers that the policy allows, from the first question on."""

    def __init__(self, root: Root, inotify: Inotify) -> None:
        self._root = root
        self._inotify = inotify
        self._seen: dict[str, Sight] = {}
        self._otherwise: str | None = None
        self._news = asyncio.Event()
        self._engine = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def sight(self, key: str) -> Sight | None:
        """What is known now; None before the first look."""
        return self._seen.get(key, self._otherwise)

    async def next(self, key: str, seen: Sight | None, within: float | None = None) -> Sight | None:
        """The next sight that is not `seen`; after `within` seconds the one there is."""
        return await self.until(key, lambda sight: sight != seen, within)

    async def until(self, key: str, true: Callable[[Sight], bool], within: float | None) -> Sight | None:
        """The first sight of which something is true; after `within` seconds the one there is."""
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="containers")
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while (sight := self.sight(key)) is None or not true(sight):
                    await self._news.wait()
        return self.sight(key)

    async def everything(self) -> list[tuple[str, str]]:
        """(name, project or nothing) of every container there is; raises Unavailable. For root alone."""
        if not await asyncio.to_thread(find_engine):
            raise Unavailable(DOWN)
        try:
            async with asyncio.timeout(ANSWER):
                reader, writer = await asyncio.open_unix_connection(SOCKET)
                writer.write(b"GET /containers/json?all=1 HTTP/1.0\r\nHost: docker\r\n\r\n")
                said = await reader.read(-1)
                writer.close()
            return [_name(one) for one in json.loads(said.partition(b"\r\n\r\n")[2])]
        except PermissionError:
            raise Unavailable("Docker's engine listens to root only; run: sudo bellpull check") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unavailable(f"Docker's engine does not answer: {error}") from None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _follow(self) -> None:
        """Listen to a helper while there is an engine; wait for one while there is none."""
        watch = None
        with suppress(Unavailable):  # then the pauses have to do
            watch = self._inotify.watch([PIDFILE, SOCKET], self._engine.set)
        try:
            pause = PAUSE_FIRST
            while True:
                self._engine.clear()
                engine = await asyncio.to_thread(find_engine)
                reason, heard = await self._listen() if engine else (DOWN, False)
                self._tell({}, reason)
                if engine and heard:
                    await ended(engine, LONGEST_STOP)
                pause = PAUSE_FIRST if heard else pause
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._engine.wait(), pause)
                pause = min(2 * pause, PAUSE_LAST)
        finally:
            if watch is not None:
                watch.close()

    async def _listen(self) -> tuple[str, bool]:
        """(why it ended, whether anything was said until then)"""
        heard = False
        try:
            async with aclosing(self._root.watch("container-watch", "all")) as lines:
                async for line in lines:
                    seen: dict[str, Sight] = {
                        key: _containers(told) for key, told in line["containers"].items()
                    }
                    unknown = "root was not told to allow it; run: sudo bellpull apply"
                    self._tell(self._seen | seen if heard else seen, unknown)
                    heard = True
            return "the helper ended", heard
        except Trouble as trouble:
            return str(trouble), heard
        except (LookupError, TypeError, AttributeError):
            log.exception("the helper tells of containers in a way that is not known here")
            return "the helper is of another version; run: sudo make install", heard

    def _tell(self, seen: dict[str, Sight], otherwise: str) -> None:
        self._seen, self._otherwise = seen, otherwise
        self._news.set()
        self._news = asyncio.Event()


def find_engine() -> int | None:
    """The engine's process. Its socket does not tell: systemd starts one for who connects."""
    try:
        pid = int(PIDFILE.read_text())
        os.kill(pid, 0)
        return pid
    except PermissionError:
        return pid
    except (OSError, ValueError):
        found = (int(path.name) for path in Path("/proc").glob("[1-9]*") if _is_engine(path))
        return next(found, None)


async def ended(pid: int, within: float) -> None:
    """Wait until it has ended, for so many seconds. One that is stopped closes its socket first."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(process, over.set)
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), within)
    finally:
        asyncio.get_running_loop().remove_reader(process)
        os.close(process)


def _is_engine(process: Path) -> bool:
    try:
        return (process / "comm").read_text() == "dockerd\n"
    except OSError:
        return False


def _name(one: dict[str, Any]) -> tuple[str, str]:
    return min(one["Names"], key=len).lstrip("/"), (one.get("Labels") or {}).get(PROJECT, "")


def _containers(told: list[dict[str, Any]]) -> tuple[Container, ...]:
    return tuple(Container(*(one[name] for name in Container.__slots__)) for one in told)
