"""What a child process loses before its program begins: every way to root, and the bridge's keys.

Both restrictions are a thread's own and are inherited by what it starts, so every child is
started by one thread that has restricted itself: no code of ours runs between fork and
exec, and the bridge's other threads keep what they have.

Landlock (Linux 5.13) can only allow. To hide one folder, everything beside the way to it is
allowed; the price is that a command cannot make a new entry directly in a folder on that
way. This is done where the way is root's anyway (/, /var, /var/lib), and left where it
would keep people from writing into their own home folder.
"""

import asyncio
import ctypes
import logging
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

log = logging.getLogger(__name__)

# From linux/prctl.h, linux/landlock.h and the system call table common to all architectures.
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULESET_VERSION = 1
PATH_BENEATH = 1
WRITE_FILE, READ_FILE, REFER, TRUNCATE = 1 << 1, 1 << 2, 1 << 13, 1 << 14
REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
FOR_FILES = WRITE_FILE | READ_FILE | TRUNCATE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def hide_from_children() -> None:
    """Keep processes of the same user from tracing this one and reading its memory."""
    _prctl(PR_SET_DUMPABLE, 0)


class Fence:
    """Starts programs that can neither gain privileges nor, where it can be had, reach `hidden`."""

    def __init__(self, hidden: Path) -> None:
        self._hidden = hidden.resolve()
        self._ruleset = -1
        self._starter: ThreadPoolExecutor | None = None
        self._seen: object = None
        self._why_not = self._obstacle()
        if self._why_not:
            log.warning("commands can read %s: %s", self._hidden, self._why_not)

    def _obstacle(self) -> str:
        if os.geteuid() == 0:
            return "the bridge runs as root"
        if _abi() < 1:
            return "this kernel has no Landlock"
        unknown = [folder for folder in self._way() if not os.access(folder, os.R_OK)]
        if unknown:
            return f"{unknown[0]} cannot be listed"
        own = [folder for folder in self._hidden.parents[1:] if os.access(folder, os.W_OK)]
        return f"{own[0]} is the bridge's own to write" if own else ""

    def start(
        self, argv: Sequence[str], *, stdin: int, stdout: int, env: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, stderr a pipe; raises OSError. Half a millisecond.

        It begins in `/` and makes files that everybody may read, as other services do.
        """
        return (
            self._restricted()
            .submit(
                subprocess.Popen,  # a person's own program, and no shell
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=env,
                cwd="/",
                umask=0o022,
                start_new_session=True,
            )
            .result()
        )

    def _restricted(self) -> ThreadPoolExecutor:
        """The thread that has restricted itself."""
        if self._starter is None:
            starter = ThreadPoolExecutor(1, "start commands")
            starter.submit(self._enter).result()
            self._starter = starter
        return self._starter

    def _enter(self) -> None:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        if self._ruleset >= 0:
            _syscall(RESTRICT_SELF, self._ruleset, 0)

    async def refresh(self) -> None:
        """Make the rules anew when something came or went beside the hidden folder."""
        if self._why_not:
            return
        seen = [(found.st_ino, found.st_mtime_ns) for found in map(os.stat, self._way())]
        if seen != self._seen:
            ruleset = await asyncio.to_thread(self._make)  # waits for a disk, perhaps a hung one
            self.close()
            self._ruleset, self._seen = ruleset, seen

    def _way(self) -> list[Path]:
        return list(self._hidden.parents)

    def _make(self) -> int:
        rights = WRITE_FILE | READ_FILE | REMOVE_AND_MAKE
        rights |= (REFER if _abi() >= 2 else 0) | (TRUNCATE if _abi() >= 3 else 0)
        handled = struct.pack("=Q", rights)
        ruleset = _syscall(CREATE_RULESET, handled, len(handled), 0)
        for entry in self._beside():
            try:
                _allow(ruleset, entry, rights)
            except OSError:
                pass  # gone meanwhile, or nothing that a command could open either
        return ruleset

    def _beside(self) -> Iterator[os.DirEntry[str]]:
        """Everything that lies in a folder on the way, but not on the way itself."""
        way = {str(self._hidden), *map(str, self._way())}
        for folder in self._way():
            with os.scandir(folder) as entries:
                yield from (entry for entry in entries if entry.path not in way and not entry.is_symlink())

    def close(self) -> None:
        starter, self._starter = self._starter, None
        if starter is not None:
            starter.shutdown()
        if self._ruleset >= 0:
            os.close(self._ruleset)
            self._ruleset = -1


def _allow(ruleset: int, entry: os.DirEntry[str], rights: int) -> None:
    found = os.open(entry.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not entry.is_dir(follow_symlinks=False):
            rights &= FOR_FILES
        _syscall(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, found), 0)
    finally:
        os.close(found)


def _abi() -> int:
    """Landlock's version; 0 where there is none."""
    try:
        return _syscall(CREATE_RULESET, None, 0, RULESET_VERSION)
    except OSError:
        return 0


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3) < 0:
        _raise()


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        _raise()
    return result


def _raise() -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
