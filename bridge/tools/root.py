"""Asks root for something: one `sudo -n` call of the helper, answered by one JSON line, or by many."""

import asyncio
import json
import logging
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.contract import Denied, Failed, Refused, Trouble
from bridge.paths import HELPER
from bridge.printable import printable

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMIT = 64 * 1024  # bytes of an answer
LINE = 4 << 20  # bytes of a line of a watch
PARTING = 2.0  # seconds a watch that nobody listens to has to end, and again when it is asked to

log = logging.getLogger(__name__)


class Root:
    """The unprivileged end of the helper."""

    def __init__(self, helper: Path = HELPER) -> None:
        self._helper = helper

    async def call(self, verb: str, name: str) -> None:
        """Have `VERB NAME` done; raises Denied when root does not allow it, Failed when it went wrong.

        Cancelling it does not undo what root has begun: sudo is asked to end and the helper
        decides what that means for the verb.
        """
        process = await self._start(verb, name, asyncio.subprocess.DEVNULL)
        assert process.stdout is not None and process.stderr is not None
        try:
            out, err = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
            await process.wait()
        except asyncio.CancelledError:
            _terminate(process)
            raise
        trouble = verdict(out, err, process.returncode or 0)
        if trouble is not None:
            raise trouble

    async def watch(self, verb: str, name: str) -> AsyncGenerator[dict[str, Any], None]:
        """What `VERB NAME` tells, line by line; raises as call() does when it ends.

        The helper ends when nobody listens any longer: when this is closed, and when the bridge ends,
        however it ends, because its input does.
        """
        process = await self._start(verb, name, PIPE)
        assert process.stdout is not None and process.stderr is not None
        errors = asyncio.create_task(_bounded(process.stderr))
        try:
            last = b""
            while line := await _line(process.stdout):
                last, said = line, _parsed(line)
                if said is None or "ok" in said:
                    break
                yield said
        finally:
            await asyncio.shield(_part(process, errors))
        err = errors.result() if errors.done() and not errors.cancelled() else b""
        raise verdict(last, err, process.returncode or 0) or Failed("the helper's watch ended")

    async def _start(self, verb: str, name: str, stdin: int) -> Process:
        sudo = shutil.which("sudo", path=PATH)
        if sudo is None:
            raise Denied("sudo is not installed; install it, then run `sudo bellpull apply`")
        try:
            return await asyncio.create_subprocess_exec(
                sudo,
                "-n",
                str(self._helper),
                verb,
                name,
                stdin=stdin,
                stdout=PIPE,
                stderr=PIPE,
                cwd="/",
                env={"PATH": PATH, "LANG": "C.UTF-8"},
                start_new_session=True,  # a Ctrl-C meant for the bridge is not root's
                limit=LINE,
            )
        except OSError as error:
            raise Failed(f"{sudo} cannot be run: {error.strerror}") from None


def _terminate(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            process.terminate()


async def _part(process: Process, errors: "asyncio.Task[bytes]") -> None:
    """Have a watch end: its input ends, and if that is not enough, sudo is asked to."""
    assert process.stdin is not None
    process.stdin.close()
    ends = {asyncio.create_task(process.wait()), errors}
    _, late = await asyncio.wait(ends, timeout=PARTING)
    if late:
        _terminate(process)
        _, late = await asyncio.wait(ends, timeout=PARTING)
    for task in late:
        log.error("the helper's watch does not end")
        task.cancel()


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line; nothing at the end, or when it is too long to be one of the helper's."""
    try:
        return await stream.readline()
    except ValueError:
        return b""


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    """The beginning of what a pipe says; the rest is read and dropped, so that its writer ends."""
    said = b""
    while piece := await stream.read(LIMIT):
        said += piece[: LIMIT - len(said)]
    return said


def verdict(out: bytes, err: bytes, code: int) -> Trouble | None:
    """What an answer means: None when it was done."""
    try:
        answer = json.loads(out)
        ok, error, reason = answer["ok"], answer.get("error", ""), str(answer.get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        said = " ".join(err.decode(errors="backslashreplace").split())
        log.warning("sudo exited with %d: %s", code, printable(said, 300))
        return Denied("sudo does not allow it; run `sudo bellpull apply`")
    if ok is True and code == 0:
        return None
    if error in ("failed", "timeout"):
        return Failed(reason)
    if error == "refused":
        return Refused(reason)
    return Denied(reason or "the helper refused")
