"""Which scans are in the inbox, and which of them have come to rest."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from bridge.scans.inbox.tree import DEEPEST, Tree

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")
# What other programs leave: dot files, macOS, Windows, Synology, Syncthing, archives.
NEVER = re.compile(r"\..*|thumbs\.db|desktop\.ini|@eadir|__macosx|#recycle|.*~", re.IGNORECASE)
EMPTY_PATIENCE = 12  # times the quiet: many programs make a file first and fill it later

Place = tuple[int, int]
"""A folder's device and inode."""


@dataclass(frozen=True)
class Found:
    """A scan, relative to the inbox, and what it looked like."""

    relative: str
    size: int
    mtime: int
    ctime: int
    inode: int


class Look:
    """Finds scans below `tree`; one is at rest when it looked the same for `quiet` seconds."""

    def __init__(
        self,
        tree: Tree,
        others: Container[Place],
        quiet: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = tree
        self._others = others
        self._quiet = quiet
        self._clock = clock
        self._since: dict[Found, float] = {}
        self.folders: list[str] = []

    def now(self) -> tuple[list[Found], int]:
        """Those at rest, in natural order, and how many others are there that may still grow. OSError."""
        self.folders = []
        with self._tree.folder(()) as fd:
            found = list(self._below(fd, ""))
        now = self._clock()
        self._since = {one: self._since.get(one, now) for one in found}
        rested = [one for one in found if now - self._since[one] >= self._patience(one)]
        return sorted(rested, key=lambda one: natural(one.relative)), len(found) - len(rested)

    def _patience(self, one: Found) -> float:
        return self._quiet if one.size else self._quiet * EMPTY_PATIENCE

    def _below(self, fd: int, prefix: str, depth: int = 0) -> Iterator[Found]:
        self.folders.append(prefix)
        with os.scandir(fd) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if NEVER.fullmatch(name):
                continue
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                if depth < DEEPEST and (status.st_dev, status.st_ino) not in self._others:
                    yield from self._folder(fd, name, prefix, depth)
            elif stat.S_ISREG(status.st_mode) and name.casefold().endswith(SUFFIXES):
                facts = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
                yield Found(prefix + name, *facts)

    def _folder(self, fd: int, name: str, prefix: str, depth: int) -> Iterator[Found]:
        try:
            deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except OSError:
            return  # gone, replaced by a link, or not ours to read
        try:
            yield from self._below(deeper, f"{prefix}{name}/", depth + 1)
        finally:
            os.close(deeper)


def natural(relative: str) -> list[tuple[tuple[int, int, str], ...]]:
    """A key to sort by: scan2 before scan10, whatever the case; the folder counts first."""
    return [_natural(part) for part in relative.split("/")]


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    pieces = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    key = ((0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in pieces)
    return (*key, (2, 0, name))
