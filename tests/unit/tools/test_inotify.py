"""A watched path tells of every change, whatever became of it and of the folders above it."""

import asyncio
import ctypes
import errno
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bridge.contract import Unavailable
from bridge.tools import inotify as module
from bridge.tools.inotify import Inotify
from tests.children import nothing_left, until


@pytest.fixture
async def inotify() -> AsyncIterator[Inotify]:
    async with nothing_left():
        inotify = Inotify()
        yield inotify
        await inotify.close()


class Bell:
    """Counts the calls."""

    def __init__(self) -> None:
        self.rung = 0

    def ring(self) -> None:
        self.rung += 1


async def told(inotify: Inotify, path: Path, change: Callable[[], object]) -> bool:
    """Whether the change is told at all."""
    bell = Bell()
    watch = inotify.watch([path], bell.ring)
    change()
    await until(lambda: bell.rung)
    watch.close()
    return True


async def untold(inotify: Inotify, path: Path, change: Callable[[], object]) -> bool:
    """Whether the change stays untold, though a later one is told."""
    bell = Bell()
    watch = inotify.watch([path], bell.ring)
    change()
    await asyncio.sleep(5 * module.DEBOUNCE)
    quiet = bell.rung == 0
    path.parent.mkdir(exist_ok=True, parents=True)
    path.touch()
    await until(lambda: bell.rung)
    watch.close()
    return quiet


async def test_a_file_tells_when_it_is_written_removed_and_made(inotify: Inotify, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert await told(inotify, file, file.touch)
    assert await told(inotify, file, lambda: file.write_text("x"))
    assert await told(inotify, file, lambda: file.chmod(0o600))
    assert await told(inotify, file, file.unlink)


async def test_one_watch_follows_a_path_through_all_its_lives(inotify: Inotify, tmp_path: Path) -> None:
    file, bell = tmp_path / "a" / "b" / "file", Bell()
    watch = inotify.watch([file], bell.ring)

    def replace() -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text("new")
        fresh.rename(file)

    def swap() -> None:
        (tmp_path / "a").rename(tmp_path / "old")
        shutil.copytree(tmp_path / "old", tmp_path / "a")

    def recreate() -> None:
        file.parent.mkdir(parents=True)
        file.touch()

    changes: list[Callable[[], object]] = [
        lambda: file.parent.mkdir(parents=True),
        file.touch,
        lambda: file.write_text("x"),
        replace,
        lambda: file.write_text("y"),
        swap,
        lambda: file.write_text("z"),
        lambda: shutil.rmtree(tmp_path / "a"),
        recreate,
        lambda: file.write_text("again"),
    ]
    for number, change in enumerate(changes):
        bell.rung = 0
        change()
        try:
            await until(lambda: bell.rung)
        except TimeoutError:
            pytest.fail(f"change {number} was not told")
        await asyncio.sleep(2 * module.DEBOUNCE)
    watch.close()


async def test_a_folder_tells_what_happens_in_it(inotify: Inotify, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert await told(inotify, folder, (folder / "new").touch)
    assert await told(inotify, folder, lambda: (folder / "new").rename(folder / "other"))
    assert await told(inotify, folder, (folder / "other").unlink)
    assert await told(inotify, folder, folder.rmdir)


async def test_a_symlink_tells_when_it_or_its_target_changes(inotify: Inotify, tmp_path: Path) -> None:
    link, target, other = tmp_path / "link", tmp_path / "x" / "target", tmp_path / "other"
    target.parent.mkdir()
    link.symlink_to(target)
    assert await told(inotify, link, target.touch)
    assert await told(inotify, link, lambda: target.write_text("x"))
    (tmp_path / "next").symlink_to(other)
    assert await told(inotify, link, lambda: (tmp_path / "next").rename(link))
    assert await told(inotify, link, other.touch)


async def test_what_happens_beside_a_path_is_not_told(inotify: Inotify, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    assert await untold(inotify, file, (tmp_path / "other").touch)
    assert await untold(inotify, file, (tmp_path / "folder" / "other").touch)


async def test_a_burst_is_told_once(inotify: Inotify, tmp_path: Path) -> None:
    file, bell = tmp_path / "file", Bell()
    watch = inotify.watch([file], bell.ring)
    for number in range(200):
        file.write_text(str(number))
    await until(lambda: bell.rung)
    await asyncio.sleep(5 * module.DEBOUNCE)
    assert bell.rung == 1
    watch.close()


async def test_watches_of_the_same_path_are_independent(inotify: Inotify, tmp_path: Path) -> None:
    file, first, second = tmp_path / "file", Bell(), Bell()
    one, two = inotify.watch([file], first.ring), inotify.watch([file, tmp_path / "x"], second.ring)
    one.close()
    file.touch()
    await until(lambda: second.rung)
    assert first.rung == 0
    two.close()


async def test_a_closed_watch_is_never_called_again(inotify: Inotify, tmp_path: Path) -> None:
    bell = Bell()
    watch = inotify.watch([tmp_path / "file"], bell.ring)
    (tmp_path / "file").touch()
    await until(lambda: watch._due is not None)
    watch.close()
    await asyncio.sleep(3 * module.DEBOUNCE)
    assert bell.rung == 0


async def test_when_the_kernel_lost_events_everyone_is_told(inotify: Inotify, tmp_path: Path) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if queue > 100_000:
        pytest.skip("this machine has no inotify queue that could be filled in a test")
    file, other, bell = tmp_path / "file", tmp_path / "other", Bell()
    watch = inotify.watch([file], bell.ring)
    for _ in range(queue // 2 + 1):
        other.touch()
        other.unlink()
    file.touch()
    await until(lambda: bell.rung)
    watch.close()


@pytest.mark.parametrize(
    ("call", "error", "setting"),
    [
        ("inotify_init1", errno.EMFILE, "max_user_instances"),
        ("inotify_add_watch", errno.ENOSPC, "max_user_watches"),
    ],
)
async def test_the_limit_of_the_kernel_is_named(
    inotify: Inotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int, setting: str
) -> None:
    def fail(*_: object) -> int:
        ctypes.set_errno(error)
        return -1

    monkeypatch.setattr(module._libc, call, fail)
    with pytest.raises(Unavailable, match=setting):
        inotify.watch([tmp_path], lambda: None)
