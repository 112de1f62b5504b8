"""Tells when a path changes: a file or folder that may come, go and be replaced at any time.

inotify watches what a path led to once. Here every folder on the way to it is watched for
the next name, so that a path may begin to exist, be renamed over or lose its parents.
Network file systems do not tell what other machines change.
"""

import asyncio
import ctypes
import errno
import logging
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bridge.contract import Unavailable

log = logging.getLogger(__name__)

DEBOUNCE = 0.02  # seconds in which changes count as one

# From linux/inotify.h.
MODIFY, ATTRIB, MOVED_FROM, MOVED_TO = 0x2, 0x4, 0x40, 0x80
CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x100, 0x200, 0x400, 0x800
UNMOUNT, OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000
MASK_ADD = 0x2000_0000
NAMES = CREATE | DELETE | MOVED_FROM | MOVED_TO
ITSELF = DELETE_SELF | MOVE_SELF
EVENT = struct.Struct("iIII")
ANY = ""  # in place of a name: whatever happens there counts

_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Calls `callback` on the loop after changes of any of `paths`, until `close()`."""

    def __init__(self, inotify: "Inotify", paths: Sequence[Path], callback: Callable[[], None]) -> None:
        self._inotify = inotify
        self._callback = callback
        self._due: asyncio.TimerHandle | None = None
        self.paths = paths

    def touched(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(DEBOUNCE, self._tell)

    def _tell(self) -> None:
        self._due = None
        self._callback()

    def close(self) -> None:
        if self._due is not None:
            self._due.cancel()
        self._inotify.drop(self)


class Inotify:
    """One inotify instance for all (the kernel allows a user 128), opened with the first watch."""

    def __init__(self) -> None:
        self._fd = -1
        self._wanted: dict[int, dict[Watch, set[str]]] = {}  # watch descriptor -> who wants which names

    def watch(self, paths: Sequence[Path], callback: Callable[[], None]) -> Watch:
        """Begin to watch absolute paths; raises Unavailable when the kernel allows no more."""
        if self._fd < 0:
            self._open()
        watch = Watch(self, paths, callback)
        try:
            self._arm(watch)
        except Unavailable:
            watch.close()
            raise
        return watch

    def _open(self) -> None:
        fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            reason = os.strerror(ctypes.get_errno())
            raise Unavailable(f"cannot watch files: {reason}; raise fs.inotify.max_user_instances")
        self._fd = fd
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _arm(self, watch: Watch) -> None:
        """Watch what the paths lead to now, from the root down, and nothing that they led to before."""
        found: dict[int, set[str]] = {}
        for path in watch.paths:
            for place, name in (*_way(path), *_way(Path(os.path.realpath(path)))):
                descriptor = self._add(place, NAMES if name else NAMES | MODIFY | ATTRIB)
                if descriptor >= 0:
                    found.setdefault(descriptor, set()).add(name)
                    self._wanted.setdefault(descriptor, {}).setdefault(watch, set())
        for descriptor, who in list(self._wanted.items()):
            if descriptor in found:
                who[watch] = found[descriptor]
            else:
                self._forget(descriptor, watch)

    def _add(self, place: Path, mask: int) -> int:
        descriptor: int = _libc.inotify_add_watch(self._fd, os.fsencode(place), mask | ITSELF | MASK_ADD)
        if descriptor < 0 and ctypes.get_errno() == errno.ENOSPC:
            raise Unavailable(f"cannot watch {place}; raise fs.inotify.max_user_watches")
        return descriptor

    def _forget(self, descriptor: int, watch: Watch) -> None:
        who = self._wanted[descriptor]
        who.pop(watch, None)
        if not who:
            del self._wanted[descriptor]
            _libc.inotify_rm_watch(self._fd, descriptor)

    def drop(self, watch: Watch) -> None:
        for descriptor in list(self._wanted):
            self._forget(descriptor, watch)

    def _read(self) -> None:
        try:
            events = list(_events(os.read(self._fd, 64 * 1024)))
        except BlockingIOError:
            return
        everyone = {watch for who in self._wanted.values() for watch in who}
        touched: set[Watch] = set()
        for descriptor, mask, name in events:
            if mask & OVERFLOW:
                touched |= everyone
            itself = mask & (ITSELF | UNMOUNT | IGNORED)
            for watch, names in self._wanted.get(descriptor, {}).items():
                if itself or name in names or ANY in names:
                    touched.add(watch)
            if mask & IGNORED:
                self._wanted.pop(descriptor, None)
        for watch in touched:
            self._rearm(watch)

    def _rearm(self, watch: Watch) -> None:
        try:
            self._arm(watch)
        except Unavailable as trouble:
            log.error("%s", trouble)
        watch.touched()

    async def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._wanted.clear()


def _way(path: Path) -> Iterator[tuple[Path, str]]:
    """Each folder on the way with the name that counts in it, then the path itself with ANY."""
    for folder in reversed(path.parents):
        yield folder, path.parts[len(folder.parts)]
    yield path, ANY


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """(watch descriptor, mask, name) of each struct inotify_event; the name is padded with NULs."""
    at = 0
    while at < len(data):
        descriptor, mask, _, length = EVENT.unpack_from(data, at)
        at += EVENT.size
        yield descriptor, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length
