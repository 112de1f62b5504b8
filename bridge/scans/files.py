"""Writing without halves: all beside its place first, then all names at once, none overwritten."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bridge.scans.problem import ScanProblem


class Shelf:
    """The files of one scan. Use as a context manager; what is not published by its end is gone."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder, self.token = folder, token
        self.parts: list[tuple[Path, Path]] = []

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *exc: object) -> None:
        for part, _ in self.parts:
            part.unlink(missing_ok=True)
        self.parts.clear()

    def put(self, name: str, content: bytes) -> None:
        """Write and sync `content` under a name of its own; `publish` gives it `name`."""
        part = self.folder / part_name(self.token, len(self.parts))
        final = self.folder / name
        self.parts.append((part, final))
        try:
            descriptor = os.open(
                part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
            )
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fdatasync(file.fileno())
        except OSError as error:
            raise ScanProblem(_why(error, final)) from None

    def publish(self) -> list[str]:
        """Give every file its name, or none of them. The names, in the order they were put."""
        done: list[Path] = []
        try:
            for part, final in self.parts:
                _name(part, final)
                done.append(final)
        except OSError as error:
            for final in done:
                final.unlink(missing_ok=True)
            raise ScanProblem(_why(error, self.parts[len(done)][1])) from None
        return [final.name for final in done]


def part_name(token: str, n: int) -> str:
    return f".bellpull-{token}-{n}.part"


def sweep(folder: Path, token: str) -> None:
    """Remove what a worker that was ended left behind."""
    for part in folder.glob(f".bellpull-{token}-*.part"):
        part.unlink(missing_ok=True)


def _name(part: Path, final: Path) -> None:
    try:
        os.link(part, final, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # No hard links on this file system (FAT, some network shares): look, then rename.
        if final.exists() or final.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        part.rename(final)


def _why(error: OSError, final: Path) -> str:
    if error.errno == errno.EEXIST:
        return f"{final} is there already; remove it or choose another --output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{final.parent} is full; nothing of this scan was kept: make room and run again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{final.parent} may not be written; choose another --output"
    return f"{final} cannot be written: {error.strerror}"
