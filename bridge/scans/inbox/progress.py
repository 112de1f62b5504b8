"""Tells over a unix socket how far the inbox is: a line of JSON for every step, to whoever connects.

    {"status": {…}, "ledger": 77, "told": 5, "batch": 3}    as Status has it; now, and a few times a second
    {"n": 7, "scan": "a.png", …}                            a scan is over (what `work.Outcome` says)
    {"n": 8, "end": {…}}                                    the batch is over: its counts

Who connects hears first how it is, then every event of this batch (those with n over `batch`), and before
them those of earlier ones, or of earlier runs, that nobody has heard (n over `told`). Who keeps them answers
{"heard": 8}. An event that could not be written down has n 0: it is told to whoever listens now.

The kernel says who it is: root, the bridge's user and the worker's own are told, nobody else. Root and the
worker's own may send {"stop": true}.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridge.scans.inbox.ledger import Ledger, Told

SOCKET = "progress.sock"
BRIDGE = "bellpull"
OFTEN = 0.25  # seconds between two lines of status
LINGER = 2.0  # seconds in which who listens takes the last lines
LONGEST = 4096


@dataclass
class Status:
    """How far a batch is. `since` is wall-clock time, `left` the seconds it will take, None: unknown."""

    state: str = "working"  # or "waiting", "stopping"
    scan: str = ""
    done: int = 0
    failed: int = 0
    duplicates: int = 0
    photos: int = 0
    waiting: int = 0
    since: float = 0.0
    rate: float = 0.0
    left: float | None = None
    said: str = ""


class Progress:
    """The status, and everybody who hears it. All on the loop."""

    def __init__(self, ledger: Ledger, told: Told, stop: Callable[[], None] = lambda: None) -> None:
        self.status = Status(since=time.time())
        self._stop = stop
        self._ledger, self._told = ledger, told
        self.heard: Callable[[dict[str, Any]], None] = lambda event: None
        self._batch = ledger.count
        self._events = [{"n": n, **event} for n, event in ledger.news.items() if n > told.n]
        self._writers: dict[asyncio.StreamWriter, int] = {}
        self._server: asyncio.Server | None = None
        self._due: asyncio.TimerHandle | None = None
        self._socket: tuple[int, str] | None = None
        self._answered = asyncio.Event()
        self._serving: set[asyncio.Task[Any]] = set()

    async def listen(self, folder: Path, *, mode: int) -> None:
        """OSError where the file system has no sockets. The folder's path may be longer than a socket's."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=fd)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(f"/proc/self/fd/{fd}/{SOCKET}")
            os.chmod(SOCKET, mode, dir_fd=fd)
            self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LONGEST)
        except OSError:
            listener.close()
            os.close(fd)
            raise
        self._socket = fd, SOCKET

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = _peer(writer.get_extra_info("socket"))
        if uid not in _trusted():
            writer.close()
            return
        self._writers[writer] = 0
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            writer.write(self._line())
            self._send()
            while line := await reader.readline():
                said = json.loads(line)
                if "heard" in said:
                    self._heard(said["heard"])
                if "stop" in said and uid in (0, os.geteuid()):
                    self._stop()
        except (OSError, ValueError, TypeError):
            pass
        finally:
            self._writers.pop(writer, None)
            writer.close()

    def _heard(self, n: int) -> None:
        self._told.upto(min(n, self._ledger.count))
        self._answered.set()

    async def heard_all(self) -> None:
        """Wait until somebody has heard every event that has a number."""
        while self._events and self._told.n < max(event["n"] for event in self._events):
            self._answered.clear()
            await self._answered.wait()

    def begin(self, waiting: int, batch: int) -> None:
        """A batch begins, behind the event of that number."""
        self._send()
        self._batch = batch
        self._events = [event for event in self._events if event["n"] > self._told.n]
        self._writers = dict.fromkeys(self._writers, len(self._events))
        self.status = Status(waiting=waiting, since=time.time())
        self.changed()

    def event(self, n: int, what: dict[str, Any]) -> None:
        self._events.append({"n": n, **what})
        self.heard(self._events[-1])
        self._send()

    def changed(self) -> None:
        """The status is another; told soon."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(OFTEN, self._send)

    def _send(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        status = self._line()
        for writer, heard in list(self._writers.items()):
            if writer.transport.get_write_buffer_size() > 1 << 22:
                writer.transport.abort()  # somebody who does not listen
                continue
            lines = "".join(json.dumps(event) + "\n" for event in self._events[heard:])
            self._writers[writer] = len(self._events)
            writer.write(lines.encode() + status)

    def _line(self) -> bytes:
        place = {"ledger": self._ledger.identity, "told": self._told.n, "batch": self._batch}
        return json.dumps({"status": asdict(self._timed()), **place}).encode() + b"\n"

    def _timed(self) -> Status:
        status = self.status
        worked = status.done + status.failed
        passed = max(time.time() - status.since, 0.001)
        status.rate = round(worked / passed, 2) if worked else 0.0
        status.left = round(status.waiting / status.rate) if status.rate else None
        return status

    async def close(self) -> None:
        """Whoever listens is told the last of it."""
        if self._server is None:
            return
        self._send()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                for writer in list(self._writers):
                    with suppress(OSError):
                        await writer.drain()
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        if self._serving:
            await asyncio.wait(self._serving, timeout=LINGER)
        if self._socket is not None:
            fd, name = self._socket
            with suppress(OSError):
                os.unlink(name, dir_fd=fd)
            os.close(fd)


def _trusted() -> set[int]:
    with suppress(KeyError):
        return {0, os.geteuid(), pwd.getpwnam(BRIDGE).pw_uid}
    return {0, os.geteuid()}


def _peer(connection: socket.socket) -> int:
    """Who has connected (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
