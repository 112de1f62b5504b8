"""Asks root for something: one `sudo -n` call of the helper, answered by one JSON line."""

import asyncio
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path

from bridge.contract import Denied, Failed, Refused, Trouble
from bridge.paths import HELPER
from bridge.printable import printable

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMIT = 64 * 1024  # bytes of an answer

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
        sudo = shutil.which("sudo", path=PATH)
        if sudo is None:
            raise Denied("sudo is not installed; install it, then run `sudo bellpull apply`")
        try:
            process = await asyncio.create_subprocess_exec(
                sudo,
                "-n",
                str(self._helper),
                verb,
                name,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env={"PATH": PATH, "LANG": "C.UTF-8"},
                start_new_session=True,  # a Ctrl-C meant for the bridge is not root's
            )
        except OSError as error:
            raise Failed(f"{sudo} cannot be run: {error.strerror}") from None
        assert process.stdout is not None and process.stderr is not None
        try:
            out, err = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
            await process.wait()
        except asyncio.CancelledError:
            if process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    process.terminate()
            raise
        trouble = verdict(out, err, process.returncode or 0)
        if trouble is not None:
            raise trouble


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
