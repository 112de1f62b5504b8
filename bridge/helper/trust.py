"""Can anybody but root change what a path leads to?

Every folder on the way counts, because who can write a folder can exchange what lies in it,
and so does every symbolic link, with the folders on the way to its target. `apply` asks the
same questions of the configuration and of the commands in it, by these functions.
"""

import os
import stat
import sys
from collections.abc import Iterator, Sequence

from .answer import Refusal

MOST_LINKS = 40  # as the kernel's own
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

Seen = dict[str, int]
"""Path -> mode, of what was judged already."""


class Untrusted(Refusal):
    """Somebody but root could change it; the text names the path and what is wrong with it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__("unsafe", f"{path}: {reason}")


class Missing(Untrusted):
    """There is nothing of this name, in a place where only root could put it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "there is no such file")


def inspect(path: str, seen: Seen | None = None) -> str:
    """The real path that an absolute `path` leads to; Untrusted unless only root can change it.

    Pass the same `seen` to look at each folder of many paths once.
    """
    seen = {} if seen is None else seen
    _look("/", seen)
    here, ahead, links = "/", path.split("/")[::-1], 0
    while ahead:
        name = ahead.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, name)
        if not stat.S_ISLNK(_look(step, seen)):
            here = step
            continue
        links += 1
        if links > MOST_LINKS:
            raise Untrusted(path, "too many symbolic links")
        target = os.readlink(step)
        if target.startswith("/"):
            here = "/"
        ahead.extend(target.split("/")[::-1])
    return here


def open_file(path: str) -> int:
    """A descriptor of the regular file at `path`, no link itself, that only root can change."""
    inspect(os.path.dirname(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Missing(path) from None
    except OSError as error:
        raise Untrusted(path, error.strerror or str(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Untrusted(path, "not a regular file")
        _judge(path, status)
    except Untrusted:
        os.close(descriptor)
        raise
    return descriptor


def inspect_command(argv: Sequence[str]) -> None:
    """Untrusted unless only root can change the program and every file among the arguments.

    A file among the arguments counts because it may be a script that the program runs.
    """
    _inspect_program(argv[0])
    for argument in argv[1:]:
        if argument.startswith("/") and os.path.isfile(argument):
            _inspect_program(argument)


def inspect_loaded() -> None:
    """Untrusted unless only root can change the interpreter and all code that it has loaded."""
    seen: Seen = {}
    inspect(sys.executable, seen)
    for path in _code_files():
        try:
            inspect(path, seen)
        except Missing:  # a module that was never cached; the folder has been judged on the way
            pass


def _inspect_program(path: str) -> None:
    real = inspect(path)
    if not stat.S_ISREG(os.lstat(real).st_mode):
        raise Untrusted(path, "not a regular file")
    interpreter = _interpreter(real)
    if interpreter:
        inspect(interpreter)


def _interpreter(path: str) -> str:
    """The program in the `#!` line of a script, or nothing."""
    with open(path, "rb") as file:
        start = file.read(256)
    if not start.startswith(b"#!"):
        return ""
    words = start[2:].split(b"\n", 1)[0].split()
    return os.fsdecode(words[0]) if words else ""


def _code_files() -> Iterator[str]:
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        for path in (getattr(module, "__file__", None), getattr(spec, "cached", None)):
            if path:
                yield path


def _look(path: str, seen: Seen) -> int:
    """The mode of what lies at `path`, judged."""
    if path not in seen:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            raise Missing(path) from None
        except OSError as error:
            raise Untrusted(path, error.strerror or str(error)) from None
        _judge(path, status)
        seen[path] = status.st_mode
    return seen[path]


def _judge(path: str, status: os.stat_result) -> None:
    if status.st_uid != 0:
        raise Untrusted(path, f"belongs to user {status.st_uid}, it must belong to root")
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & OTHERS_WRITE:
        raise Untrusted(path, "others than root can write it; chmod go-w")
