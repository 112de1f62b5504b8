"""Child processes as a test sees them: what they write, when they are gone, what is left of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any


async def until(true: Callable[[], object]) -> None:
    """Wait until it holds; TimeoutError when it never does."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def line(path: Path) -> str:
    """What a child has written into a file, as soon as it has written a whole line."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return path.read_text().strip()


async def gone(pid: int) -> None:
    """Wait until a process has ended; when it is reaped is up to its parent."""
    await until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def mentioning(text: str) -> list[int]:
    """The processes on whose command line it stands."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            pass
    return found


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fails unless the processes, descriptors and tasks that were begun inside are gone."""
    before = _held()
    yield
    await asyncio.sleep(0)
    now = _held()
    if now != before:
        left = [sorted(map(str, new - old)) for new, old in zip(now, before, strict=True)]
        raise AssertionError(f"left behind: processes {left[0]}, descriptors {left[1]}, tasks {left[2]}")


def _held() -> list[set[Any]]:
    return [_children(), _descriptors(), _tasks()]


def _children() -> set[int]:
    """Zombies included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:
            pass  # a thread that has just ended
    return found


def _descriptors() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{descriptor.name} {descriptor.readlink()}")
        except FileNotFoundError:
            pass  # the one that listed them
    return found


def _tasks() -> set["asyncio.Task[object]"]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
