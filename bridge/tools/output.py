"""What a child process says: read from its pipe as it comes, into the log, never waited for."""

import asyncio
import logging
import os

from bridge.printable import printable

LONGEST = 400  # characters of a line
LINES = 20  # a second that reach the log
BYTES = 256 * 1024  # a second that are read; a child that says more waits at its pipe
CHUNK = 64 * 1024  # bytes, what a pipe holds


def readable(said: bytes) -> str:
    """One line for a log or a person: bounded, control and other invisible characters escaped."""
    return printable(said[: 4 * LONGEST].decode(errors="backslashreplace").rstrip("\r\n"), LONGEST)


class Output:
    """Reads one pipe until its end or `close()`, which also closes it.

    last  the last line that was not empty, readable; "" when there was none
    """

    def __init__(self, pipe: int, log: logging.Logger) -> None:
        self.last = ""
        self.open = True
        self._pipe = pipe
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._second = self._loop.time()
        self._bytes = self._lines = 0
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(pipe, False)
        self._loop.add_reader(pipe, self.read)

    def read(self) -> None:
        """Take what is there, without waiting for more."""
        if not self.open:
            return
        try:
            said = os.read(self._pipe, CHUNK)
        except BlockingIOError:
            return
        if not said:
            self.close()
            return
        self._take(said)
        if self._bytes > BYTES and self._pause is None:
            self._loop.remove_reader(self._pipe)
            self._pause = self._loop.call_later(1.0, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._turn_second()
        self._loop.add_reader(self._pipe, self.read)

    def _take(self, said: bytes) -> None:
        if self._loop.time() - self._second >= 1.0:
            self._turn_second()
        self._bytes += len(said)
        *lines, rest = (self._rest + said).split(b"\n")
        for line in lines:
            self._tell(line)
        self._rest = rest[: 4 * LONGEST]

    def _tell(self, line: bytes) -> None:
        if not line.strip():
            return
        self._lines += 1
        self.last = readable(line)
        if self._lines <= LINES:
            self._log.info("%s", self.last)

    def _turn_second(self) -> None:
        if self._lines > LINES:
            self._log.info("… and %d lines more", self._lines - LINES)
        self._second = self._loop.time()
        self._bytes = self._lines = 0

    def finish(self) -> None:
        """The program has ended: take what it has said; go on only while somebody else may say more."""
        self.read()
        self.read()
        self.flush()

    def close(self) -> None:
        """Let go of the pipe; a line without an end counts as one."""
        if not self.open:
            return
        self.flush()
        self._turn_second()
        self.open = False
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)

    def flush(self) -> None:
        """Take a line for said although its end has not come."""
        rest, self._rest = self._rest, b""
        self._tell(rest)
