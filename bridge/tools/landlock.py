"""What a thread of this process may never do again: gain privileges, open files. Inherited by what it starts.

Landlock (Linux 5.13) can only allow: a ruleset names the rights it takes away, then the places where
some of them stay.
"""

import ctypes
import os
import struct
from typing import NoReturn

# From linux/prctl.h, linux/landlock.h and the system call table common to all architectures.
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULESET_VERSION = 1
PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
REFER, TRUNCATE = 1 << 13, 1 << 14

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def version() -> int:
    """Landlock's; 0 where there is none."""
    try:
        return _syscall(CREATE_RULESET, None, 0, RULESET_VERSION)
    except OSError:
        return 0


def known(rights: int) -> int:
    """Those of `rights` that this kernel's Landlock knows."""
    found = version()
    return rights & ~(0 if found >= 2 else REFER) & ~(0 if found >= 3 else TRUNCATE)


def ruleset(rights: int) -> int:
    """A descriptor; nothing is allowed yet."""
    handled = struct.pack("=Q", rights)
    return _syscall(CREATE_RULESET, handled, len(handled), 0)


def allow(rules: int, place: int, rights: int) -> None:
    """`place` is a descriptor; of a folder, then also for all that is in it."""
    _syscall(ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", rights, place), 0)


def restrict(rules: int) -> None:
    """This thread and what it starts; takes `no_new_privileges` first."""
    _syscall(RESTRICT_SELF, rules, 0)


def no_new_privileges() -> None:
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def keep_from_tracers() -> None:
    """Keep processes of the same user from tracing this one and reading its memory."""
    _prctl(PR_SET_DUMPABLE, 0)


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
