"""Scans opened safely, and writing without halves: all beside its place first, then all names at once."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import time
from pathlib import Path

from bridge.scans.problem import FolderProblem, ScanProblem

FOR_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOR_MAKING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
FORGOTTEN_S = 24 * 3600


def open_scan(path: Path) -> int:
    """A descriptor to read from. ScanProblem where the path is no file with something in it."""
    try:
        descriptor = os.open(path, FOR_READING)
    except FileNotFoundError:
        raise ScanProblem("there is no such file") from None
    except PermissionError:
        raise ScanProblem("may not be read; give yourself the right to (chmod u+r)") from None
    except OSError as error:
        if path.is_symlink():
            raise ScanProblem("is a symbolic link; name the file itself") from None
        raise ScanProblem(f"cannot be opened: {error.strerror}") from None
    status = os.fstat(descriptor)
    problem = None
    if stat.S_ISDIR(status.st_mode):
        problem = "is a folder; name the scans in it"
    elif not stat.S_ISREG(status.st_mode):
        problem = "is no regular file"
    elif status.st_size == 0:
        problem = "is empty; scan it again"
    if problem:
        os.close(descriptor)
        raise ScanProblem(problem)
    return descriptor


def open_folder(folder: Path) -> int:
    """A descriptor to make files under. OSError where it is no folder."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class Shelf:
    """The files of one scan. Use as a context manager; what is not published by its end is gone."""

    def __init__(self, folder: int, token: str) -> None:
        """`folder` is a descriptor; `token` names the unfinished files."""
        self.folder, self.token = folder, token
        self.parts: list[tuple[str, str]] = []

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *exc: object) -> None:
        for part, _ in self.parts:
            _remove(self.folder, part)
        self.parts.clear()

    def put(self, name: str, content: bytes) -> None:
        """Write and sync `content` under a name of its own; `publish` gives it `name`."""
        part = f"{_part(self.token)}{len(self.parts)}.part"
        self.parts.append((part, name))
        try:
            with os.fdopen(os.open(part, FOR_MAKING, 0o666, dir_fd=self.folder), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FolderProblem(_why(error, name)) from None

    def publish(self) -> list[str]:
        """Give every file its name, or none of them. The names, in the order they were put.

        Whoever would end this process waits meanwhile, unless with SIGKILL.
        """
        waiting = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            return self._publish()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, waiting)

    def _publish(self) -> list[str]:
        done: list[str] = []
        try:
            for part, name in self.parts:
                _give_name(self.folder, part, name)
                done.append(name)
            os.fsync(self.folder)
        except OSError as error:
            for name in done:
                _remove(self.folder, name)
            raise FolderProblem(_why(error, self.parts[min(len(done), len(self.parts) - 1)][1])) from None
        return done


def sweep(folder: int, token: str) -> None:
    """Remove what a worker that was ended left behind."""
    for name in os.listdir(folder):
        if name.startswith(_part(token)):
            _remove(folder, name)


def sweep_old(folder: int) -> None:
    """Remove what was left behind by a power cut: unfinished files of another day."""
    for name in os.listdir(folder):
        if name.startswith(_part("")) and name.endswith(".part"):
            with contextlib.suppress(OSError):
                if time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > FORGOTTEN_S:
                    os.unlink(name, dir_fd=folder)


def _part(token: str) -> str:
    return f".bellpull-{token}-" if token else ".bellpull-"


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _give_name(folder: int, part: str, name: str) -> None:
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        # No hard links on this file system (FAT, some network shares): look, then rename.
        if _is_there(folder, name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _why(error: OSError, name: str) -> str:
    if error.errno == errno.EEXIST:
        return f"{name} is there already; remove it or choose another --output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the output folder is full; nothing of this scan was kept: make room and run again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the output folder may not be written; choose another --output"
    if error.errno == errno.ENAMETOOLONG:
        return f"{name} is too long for a file's name; rename the scan"
    return f"{name} cannot be written: {error.strerror}"
