"""A program that ends when standard input does: `python -IS leash.py SECONDS PROGRAM ARGUMENT…`

It stands between the bridge and a program that is to run no longer than the bridge. However
the bridge ends, its end of the pipe is closed; the program's group is then asked to end
(TERM), and made to after SECONDS (KILL). Exits as the program did. Standard library only.
"""

import ctypes
import os
import resource
import select
import signal
import sys
from typing import NoReturn

PR_SET_PDEATHSIG = 1
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # a unit's stop asks every process; the pipe decides


def main() -> None:
    patience, argv = float(sys.argv[1]), sys.argv[2:]
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    leash = os.getpid()
    program = os.fork()
    if program == 0:
        become(argv, leash)
    group(program)
    ended = os.pidfd_open(program)
    first_of(ended, 0)
    if not first_of(ended, seconds=0):
        os.killpg(program, signal.SIGTERM)
        first_of(ended, seconds=patience)
    os.killpg(program, signal.SIGKILL)  # what is left of its group; not reaped yet, so the number is its own
    _, status = os.waitpid(program, 0)
    leave(os.waitstatus_to_exitcode(status))


def first_of(*descriptors: int, seconds: float | None = None) -> bool:
    """Wait until a process has ended or a pipe is closed at its other end; False when neither is."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def group(program: int) -> None:
    """Give it a group of its own. Both sides do this, as either may be the first to need it."""
    try:
        os.setpgid(program, program)
    except (PermissionError, ProcessLookupError):
        pass  # it did so itself, and is another program or at its end by now


def become(argv: list[str], parent: int) -> NoReturn:
    """Go on as the program, which is killed when even the leash is."""
    group(0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for number in (*IGNORED, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is what we want
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
        os._exit(127)


def leave(code: int) -> NoReturn:
    """Exit as the program did: by its code, or by the same signal (given as a negative number)."""
    if code >= 0:
        sys.exit(code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program has left one, if any
    try:
        signal.signal(-code, signal.SIG_DFL)
    except OSError:
        pass  # SIGKILL has no other handling
    os.kill(os.getpid(), -code)
    sys.exit(128 - code)


if __name__ == "__main__":
    main()
