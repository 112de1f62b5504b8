"""Folders by descriptor: names are looked up one by one, no link is followed, nothing is overwritten.

Paths in here are relative, with "/" between their parts, as they stand in the ledger.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

RENAME_NOREPLACE = 1  # linux/fs.h
DEEPEST = 16
PIECE = 1 << 20
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
DRAFT = ".bellpull-moving-{}"

_libc = ctypes.CDLL(None, use_errno=True)


class Moved(OSError):
    """The name leads to another file by now."""


class Tree:
    """A folder that a person has named, and what is below it. Close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.fd)

    @contextmanager
    def folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """A descriptor of the folder below, made on the way if `make`. OSError."""
        fd = os.dup(self.fd)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=fd)
                        os.fsync(fd)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                deeper = os.open(part, flags, dir_fd=fd)
                os.close(fd)
                fd = deeper
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self, relative: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The folder that holds a file, and the file's own name in it."""
        path = PurePosixPath(relative)
        with self.folder(path.parts[:-1], make=make) as fd:
            yield fd, path.name

    def open(self, relative: str) -> int:
        """A regular file to read from; OSError, ELOOP for a symbolic link."""
        with self.parent(relative) as (folder, name):
            return open_regular(folder, name)

    def exists(self, relative: str) -> bool:
        """Whether the name is taken, by whatever it may be."""
        try:
            with self.parent(relative) as (folder, name):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, parts: tuple[str, ...]) -> list[str]:
        try:
            with self.folder(parts) as fd:
                return os.listdir(fd)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def write(self, relative: str, content: bytes) -> None:
        """A new file, on the disk when this returns; FileExistsError."""
        with self.parent(relative, make=True) as (folder, name):
            write_new(folder, name, content)
            os.fsync(folder)


def open_regular(folder: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "no regular file", name)
    return fd


def write_new(folder: int, name: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o666, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)  # half of what we began ourselves
        raise


def digest(fd: int) -> str:
    """SHA-256 of an open file, wherever its offset is."""
    found, at = hashlib.sha256(), 0
    while piece := os.pread(fd, PIECE, at):
        found.update(piece)
        at += len(piece)
    return found.hexdigest()


def identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def rename_new(source: int, name: str, target: int, wanted: str) -> None:
    """Rename within a file system; FileExistsError when the name is taken. OSError(EXDEV) between two."""
    try:
        _renameat2(source, name, target, wanted)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        _link_and_unlink(source, name, target, wanted)


def _renameat2(source: int, name: str, target: int, wanted: str) -> None:
    if not hasattr(_libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    old, new = os.fsencode(name), os.fsencode(wanted)
    if _libc.renameat2(source, old, target, new, RENAME_NOREPLACE) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), wanted)


def _link_and_unlink(source: int, name: str, target: int, wanted: str) -> None:
    """Where the file system knows no such rename; both names for a moment are better than none."""
    try:
        os.link(name, wanted, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            os.stat(wanted, dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, wanted, src_dir_fd=source, dst_dir_fd=target)
            return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), wanted) from None
    os.unlink(name, dir_fd=source)


def move(source: Tree, relative: str, fd: int, target: Tree, wanted: str, sha256: str | None = None) -> None:
    """Move the file that `fd` has open, durable when this returns.

    FileExistsError when the name is taken; Moved when `relative` is another file by now; OSError.
    To another file system it is copied, compared with `sha256` (None: not hashed yet), and only then taken
    away here.
    """
    with (
        source.parent(relative) as (here, name),
        target.parent(wanted, make=True) as (there, new),
    ):
        _same(here, name, fd)
        try:
            rename_new(here, name, there, new)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(fd, there, new, sha256 or digest(fd))
            _same(here, name, fd)
            os.unlink(name, dir_fd=here)
        else:
            _or_back(there, new, here, name, fd)
        os.fsync(there)
        os.fsync(here)


def _same(folder: int, name: str, fd: int) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if (status.st_dev, status.st_ino) != identity(fd):
        raise Moved(errno.ESTALE, "was replaced by another file", name)


def _or_back(there: int, new: str, here: int, name: str, fd: int) -> None:
    """Somebody may have replaced the file between our look and the rename: then that one goes back."""
    try:
        _same(there, new, fd)
    except Moved:
        rename_new(there, new, here, name)
        raise


def _copy(fd: int, folder: int, name: str, sha256: str) -> None:
    """A copy on another file system, complete before it has its name."""
    draft = DRAFT.format(sha256[:16])
    with suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    copy = os.open(draft, flags, 0o666, dir_fd=folder)
    try:
        at = 0
        while piece := os.pread(fd, PIECE, at):
            _all(copy, piece)
            at += len(piece)
        status = os.fstat(fd)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(copy)
        if digest(copy) != sha256:
            raise OSError(errno.EIO, "the copy is not what was read", name)
        rename_new(folder, draft, folder, name)
        os.fsync(folder)
    except OSError:
        with suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        raise
    finally:
        os.close(copy)


def _all(fd: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(fd, view) :]
