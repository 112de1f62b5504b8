"""Docker's engine as the helper meets it: the few requests it makes, over a socket."""

import itertools
import json
import socket
import threading
import urllib.parse
from contextlib import suppress
from pathlib import Path
from typing import Any

Described = dict[str, Any]


class FakeEngine:
    """`containers` are what GET /containers/json answers, `events` what has happened until now.

    Starting and stopping change the state of a container and make its events; `meanwhile` has what is
    called before, `later` what is called when one was asked to stop. `answers` has (status, text) for paths
    that are to be answered otherwise.
    """

    def __init__(self, path: Path) -> None:
        self.containers: list[Described] = []
        self.events: list[Described] = []
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, str]] = {}
        self.version: object = {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        self.meanwhile: dict[str, Any] = {}
        self.later: dict[str, Any] = {}
        self._order = threading.Lock()
        self._numbers = itertools.count()
        self.connections: list[socket.socket] = []
        self._listeners: list[socket.socket] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(50)
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    # What a test does to it

    def has(self, name: str, state: str = "running", *, status: str = "", **labels: str) -> Described:
        """One more container; labels without their com.docker.compose."""
        there = {
            "Id": f"{next(self._numbers):x}" * 64,
            "Names": [f"/other/{name}-alias", f"/{name}"],
            "State": state,
            "Status": status,
            "Labels": {f"com.docker.compose.{key}": value for key, value in labels.items()},
            "Config": {},
        }
        self.containers.append(there)
        return there

    def happens(self, action: str, there: Described, at: float = 0.0, **attributes: str) -> None:
        """An event about a container, `at` so many seconds, told to who listens."""
        name = there["Names"][1].lstrip("/")
        event = {
            "Action": action,
            "timeNano": int(at * 1e9),
            "Actor": {"ID": there["Id"], "Attributes": {"name": name, **there["Labels"], **attributes}},
        }
        self.events.append(event)
        with self._order:
            for listener in self._listeners:
                with suppress(OSError):
                    listener.sendall(json.dumps(event).encode() + b"\n")

    def goes_away(self) -> None:
        """As by kill -9: every connection ends."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def close(self) -> None:
        self.goes_away()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)
        for connection in self.connections:
            connection.close()

    # What it does

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        while request := connection.recv(1 << 16).decode():
            method, target, version = request.split("\r\n")[0].split(" ")
            url = urllib.parse.urlsplit(target)
            self.asked.append(f"{method} {url.path}")
            query = dict(urllib.parse.parse_qsl(url.query))
            path = url.path if url.path == "/version" else "/" + url.path.split("/", 2)[-1]
            status, text = self.answers.get(path) or self._answer(path, query)
            if version == "HTTP/1.0":
                self._tell(connection, status, text, ends="until" in query or status != 200)
                return
            with suppress(OSError):
                connection.sendall(_written(status, text, whole=path == "/version"))
        connection.close()

    def _tell(self, connection: socket.socket, status: int, text: str, ends: bool) -> None:
        with self._order:
            connection.sendall(f"HTTP/1.0 {status} X\r\nServer: Docker\r\n\r\n{text}".encode())
            if ends:
                connection.close()
            else:
                self._listeners.append(connection)

    def _answer(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        if path == "/version":
            return 200, json.dumps(self.version)
        if path == "/containers/json":
            return 200, json.dumps(self.containers)
        if path == "/events":
            return 200, self._past(json.loads(query["filters"])) if "until" in query else ""
        _, _, id, what = path.split("/")
        (there,) = (one for one in self.containers if one["Id"] == id)
        if what == "json":
            return 200, json.dumps(there)
        if what in self.meanwhile:
            self.meanwhile[what](there)
        return self._move(there, what), ""

    def _past(self, filters: dict[str, list[str]]) -> str:
        (id,) = filters["container"]
        told = [event for event in self.events if event["Actor"]["ID"] == id]
        return "".join(json.dumps(event) + "\n" for event in told if event["Action"] in filters["event"])

    def _move(self, there: Described, what: str) -> int:
        up = there["State"] in ("running", "paused", "restarting")
        if up is (what == "start"):
            return 304
        if what == "stop":
            self.happens("kill", there, signal="15")
            if what in self.later:
                self.later[what](there)
            there["State"] = "exited"
            self.happens("die", there, exitCode="0")
        else:
            there["State"] = "running"
            self.happens("start" if what == "start" else "unpause", there)
        return 204


def _written(status: int, text: str, *, whole: bool) -> bytes:
    """As Go's server writes it: what is long comes in chunks."""
    if status in (204, 304) or whole:
        return f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
    head = f"HTTP/1.1 {status} X\r\nServer: Docker\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    half = len(text) // 2 or len(text)
    parts = [part for part in (text[:half], text[half:]) if part]
    return head + b"".join(f"{len(part):x}\r\n{part}\r\n".encode() for part in parts) + b"0\r\n\r\n"
