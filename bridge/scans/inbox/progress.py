"""Tells over a unix socket how far the inbox is: a line of JSON for every step, to whoever connects.

    {"batch": 3, "status": {…}}                    as Status has it; now, and a few times a second
    {"batch": 3, "n": 7, "scan": "a.png", …}       a scan is over (what `work.Outcome` says)
    {"batch": 3, "n": 8, "end": {…}}               the batch is over: its counts

Who connects hears the whole batch so far. The kernel says who it is: root, the bridge's user and the
worker's own are told, nobody else. The worker's own may send {"stop": true}.
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

SOCKET = "progress.sock"
BRIDGE = "bellpull"
OFTEN = 0.25  # seconds between two lines of status
LINGER = 2.0  # seconds a worker that is done waits for the bridge to hear of it
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

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self.status = Status(since=time.time())
        self._stop = stop
        self.heard: Callable[[dict[str, Any]], None] = lambda event: None
        self._batch = time.time_ns() // 1_000_000
        self._events: list[dict[str, Any]] = []
        self._writers: dict[asyncio.StreamWriter, int] = {}
        self._server: asyncio.Server | None = None
        self._due: asyncio.TimerHandle | None = None
        self._socket: tuple[int, str] | None = None
        self._met = asyncio.Event()
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
        self._met.set()
        try:
            self._send()
            while line := await reader.readline():
                if uid in (0, os.geteuid()) and b'"stop"' in line:
                    self._stop()
        except (OSError, ValueError):
            pass
        finally:
            self._writers.pop(writer, None)
            writer.close()

    def begin(self, waiting: int) -> None:
        """A batch begins."""
        self._batch += 1
        self._events.clear()
        for writer in self._writers:
            self._writers[writer] = 0
        self.status = Status(waiting=waiting, since=time.time())
        self.changed()

    def event(self, **what: Any) -> None:
        self._events.append({"batch": self._batch, "n": len(self._events) + 1, **what})
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
        told = json.dumps({"batch": self._batch, "status": asdict(self._timed())}) + "\n"
        for writer, heard in list(self._writers.items()):
            if writer.transport.get_write_buffer_size() > 1 << 22:
                writer.transport.abort()  # somebody who does not listen
                continue
            lines = "".join(json.dumps(event) + "\n" for event in self._events[heard:])
            self._writers[writer] = len(self._events)
            writer.write((lines + told).encode())

    def _timed(self) -> Status:
        status = self.status
        worked = status.done + status.failed
        passed = max(time.time() - status.since, 0.001)
        status.rate = round(worked / passed, 2) if worked else 0.0
        status.left = round(status.waiting / status.rate) if status.rate else None
        return status

    async def close(self) -> None:
        """Once the bridge, if one listens or comes soon, has heard all."""
        if self._server is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._met.wait()
                self._send()
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
