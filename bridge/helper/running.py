"""Carries out a Plan: one child, one deadline, one verdict."""

import os
import signal
import time

from . import trust
from .answer import Refusal
from .plan import Plan
from .process import ENVIRONMENT, signals_with_a_choice

GOODBYES = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


def run(plan: Plan) -> None:
    """Run it to its end; Refusal with code unsafe, failed, timeout or interrupted."""
    trust.inspect_command(plan.argv)
    if plan.first:
        run(Plan(plan.first, deadline=plan.deadline))
    started = time.monotonic()
    child, errors, said = _spawn(plan)
    code = _wait(child, plan)
    if code == 0 and plan.strict and (error := _last_line(errors)):
        raise Refusal("failed", error)
    if code == 0:
        following = plan.then(_read(said)) if plan.then else None
        return run(following) if following else None
    if plan.timeout is not None and time.monotonic() - started >= plan.timeout:
        raise Refusal("timeout", f"the command took longer than {plan.timeout:g} s and was ended")
    raise Refusal("failed", _last_line(errors) or _why(code))


def _spawn(plan: Plan) -> tuple[int, int, int]:
    """Start the program: (process id, descriptors that hold what it wrote to stderr and stdout).

    stdout is kept in memory, for a pipe that nobody empties would hold the program up.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    said = os.memfd_create("said", os.MFD_CLOEXEC)
    child = os.posix_spawn(
        plan.argv[0],
        plan.argv,
        ENVIRONMENT,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, said, 1),
            (os.POSIX_SPAWN_DUP2, writer, 2),
        ],
        setsigmask=(),
        setsigdef=signals_with_a_choice(),
    )
    os.close(writer)
    return child, reader, said


def _wait(child: int, plan: Plan) -> int:
    """The exit code of `child`, negative for a signal; Refusal when it is not waited for."""
    end = time.monotonic() + plan.deadline
    heard = {signal.SIGCHLD, *(GOODBYES if plan.detached else ())}
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        came = signal.sigtimedwait(heard, max(0.0, end - time.monotonic()))
        if came is None:
            os.kill(child, signal.SIGKILL)
            raise Refusal("timeout", f"{plan.argv[0]} did not answer within {plan.deadline:g} s")
        if came.si_signo != signal.SIGCHLD:
            os.kill(child, signal.SIGTERM)
            raise Refusal("interrupted", "nobody waits for it any longer; it goes on by itself")


def _read(said: int) -> str:
    return os.pread(said, os.fstat(said).st_size, 0).decode(errors="replace")


def _last_line(errors: int) -> str:
    try:
        text = os.read(errors, 4096)
    except BlockingIOError:  # a grandchild holds it open
        return ""
    return text.decode(errors="replace").strip().rpartition("\n")[2]


def _why(code: int) -> str:
    return f"it ended with exit code {code}" if code > 0 else f"it was ended by signal {-code}"
