"""Imitates who owns what, over a real tree of files: all is root's unless told otherwise, and so are we."""

import os
import stat
from pathlib import Path
from typing import Any


class Ownership:
    """Stands in for the module `os`: all of it is real but the owner and the mode of files."""

    def __init__(self) -> None:
        self._owners: dict[str, int] = {}
        self._writable: dict[str, int] = {}

    def give(self, path: object, uid: int) -> None:
        """Let `path` belong to somebody."""
        self._owners[str(path)] = uid

    def open_to(self, path: object, bits: int) -> None:
        """Let others write `path`: stat.S_IWGRP, stat.S_IWOTH."""
        self._writable[str(path)] = bits

    def lstat(self, path: str) -> os.stat_result:
        return self._as_told(str(path), os.lstat(path))

    def fstat(self, descriptor: int) -> os.stat_result:
        return self._as_told(str(Path(f"/proc/self/fd/{descriptor}").readlink()), os.fstat(descriptor))

    def geteuid(self) -> int:
        return 0

    def _as_told(self, path: str, status: os.stat_result) -> os.stat_result:
        mode = status.st_mode & ~(stat.S_IWGRP | stat.S_IWOTH) | self._writable.get(path, 0)
        return os.stat_result((mode, *status[1:4], self._owners.get(path, 0), *status[5:]))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)
