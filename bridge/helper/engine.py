"""Docker's engine, asked over its own socket, where root alone is listened to.

Not by Docker's SDK: that is 150 ms for whoever waits and 30 MB for whatever stays, and all of it,
with what it stands on, would run as root. What is asked for here is five requests.
"""

import json
import os
import socket
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import urlencode

from .answer import Refusal

SOCKETS = ("/run/docker.sock", "/var/run/docker.sock")
KNOWN = (1, 51)  # the newest API that this was written for; an older engine's own is taken
RELOADS = ("1", "10", "12")  # SIGHUP, SIGUSR1, SIGUSR2
ANSWER = 10.0  # seconds
LARGEST, LONGEST = 16 << 20, 1 << 12  # bytes of an answer: a thousand containers; of a header's line
GONE = "Docker's engine has gone away"

Described = dict[str, Any]


class Engine:
    """The engine that runs now; Refusal with code failed when it does not answer.

    Questions go over one connection, so that an engine that is being stopped is not asked again: where
    systemd holds its socket, the question would start the next one.
    """

    def __init__(self) -> None:
        self._prefix = ""
        self._line = _connect(ANSWER)
        self._answers = self._line.makefile("rb")
        try:
            spoken = self.ask("/version") or {}
        except Refusal:
            self.close()
            raise
        least, most = (_version(spoken.get(name)) for name in ("MinAPIVersion", "ApiVersion"))
        self._prefix = "/v{}.{}".format(*max(least, min(KNOWN, most)))

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._answers.close()
        self._line.close()

    def ask(self, path: str, **query: object) -> Any:
        """What it answers; Refusal with the engine's own words when it does not."""
        self._request(self._line, "GET", path, "1.1", query)
        status, said = _answer(self._answers)
        if status >= 400:
            raise Refusal("failed", reason(said))
        return said

    def send(self, path: str, within: float, **query: object) -> socket.socket:
        """Have something done; receive() gives the answer, so that several can be on their way."""
        connection = _connect(within)
        self._request(connection, "POST", path, "1.1", query)
        return connection

    def _request(self, to: socket.socket, method: str, path: str, version: str, query: Described) -> None:
        words = urlencode({name: _word(value) for name, value in query.items()})
        request = f"{method} {self._prefix}{path}?{words} HTTP/{version}\r\nHost: docker\r\nContent-Length: 0"
        try:
            to.sendall(f"{request}\r\n\r\n".encode())
        except OSError as error:
            to.close()
            raise _silent(error) from None

    def listen(self, filters: Described) -> "Stream":
        """What happens from now on."""
        return self._stream(None, {"filters": filters})

    def happened(self, filters: Described, since: float, until: float) -> list[Described]:
        """What has happened between two times of the clock, as far back as the engine remembers."""
        query = {"filters": filters, "since": f"{since:.9f}", "until": f"{until:.9f}"}
        with self._stream(ANSWER, query) as stream:
            return list(stream.rest())

    def _stream(self, patience: float | None, query: Described) -> "Stream":
        connection = _connect(ANSWER)
        # 1.0 comes as it is, and not cut into chunks.
        self._request(connection, "GET", "/events", "1.0", query)
        return Stream(connection, patience)


class Stream:
    """Events of the engine's, as they come."""

    def __init__(self, connection: socket.socket, patience: float | None) -> None:
        self._connection = connection
        self._text = b""
        head = b""
        try:
            while not head.endswith(b"\r\n\r\n"):
                head += self._more(1)  # no byte more, or an event would lie here unseen
        except Refusal:
            connection.close()
            raise
        if head.split(b" ", 2)[1:2] != [b"200"]:
            connection.close()
            raise Refusal("failed", "Docker's engine does not tell what happens")
        connection.settimeout(patience)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def fileno(self) -> int:
        return self._connection.fileno()

    def events(self) -> list[Described]:
        """What came since the last call, at least a part of one; Refusal when the engine has gone."""
        self._text += self._more()
        *lines, self._text = self._text.split(b"\n")
        return [_event(line) for line in lines if line.strip()]

    def rest(self) -> Iterator[Described]:
        """All that comes until the engine ends it."""
        while part := self._receive():
            self._text += part
        yield from (_event(line) for line in self._text.split(b"\n") if line.strip())

    def _more(self, most: int = 1 << 16) -> bytes:
        part = self._receive(most)
        if not part or len(self._text) > LARGEST:
            raise Refusal("failed", GONE)
        return part

    def _receive(self, most: int = 1 << 16) -> bytes:
        try:
            return self._connection.recv(most)
        except OSError as error:
            raise _silent(error) from None


def receive(connection: socket.socket) -> tuple[int, Any]:
    """(HTTP's status, what was said); the connection is closed."""
    with connection, connection.makefile("rb") as answers:
        return _answer(answers)


def _answer(answers: BinaryIO) -> tuple[int, Any]:
    try:
        first = answers.readline(LONGEST)
        if not first:
            raise Refusal("failed", GONE)
        headers = dict(_headers(answers))
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(_chunks(answers))
        else:
            body = answers.read(min(LARGEST, int(headers.get("content-length", 0))))
        return int(first.split(b" ", 2)[1]), json.loads(body) if body.strip() else None
    except OSError as error:
        raise _silent(error) from None
    except (ValueError, LookupError, RecursionError):
        raise Refusal("failed", "Docker's engine does not answer as an engine does") from None


def _headers(answers: BinaryIO) -> Iterator[tuple[str, str]]:
    while line := answers.readline(LONGEST).strip():
        name, _, value = line.decode("ascii").partition(":")
        yield name.lower(), value.strip().lower()


def _chunks(answers: BinaryIO) -> Iterator[bytes]:
    """RFC 9112, 7.1"""
    left = LARGEST
    while size := int(answers.readline(LONGEST), 16):
        left -= size
        if left < 0:
            raise ValueError
        yield answers.read(size)
        answers.readline(LONGEST)
    answers.readline(LONGEST)


def asks_to_end(event: Described) -> bool:
    """Whether it tells of a signal that somebody had a container sent, and not of those for a reload."""
    signal = event.get("Action") == "kill" and attributes(event).get("signal")
    return bool(signal) and signal not in RELOADS


def reason(said: Any) -> str:
    """Why the engine did not do it, in its own words."""
    message = said.get("message") if isinstance(said, dict) else None
    return " ".join(str(message or "Docker's engine gives no reason").split())


def _connect(within: float) -> socket.socket:
    found = next((place for place in SOCKETS if os.path.exists(place)), None)
    if found is None:
        raise Refusal("failed", f"Docker's engine does not run: there is no {SOCKETS[0]}")
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(within)
    try:
        connection.connect(found)
    except OSError as error:
        connection.close()
        raise _silent(error) from None
    return connection


def _silent(error: OSError) -> Refusal:
    return Refusal("failed", f"Docker's engine does not answer: {error.strerror or error}")


def attributes(event: Described) -> Described:
    return (event.get("Actor") or {}).get("Attributes") or {}


def _event(line: bytes) -> Described:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise Refusal("failed", "Docker's engine does not answer as an engine does")
    return event


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _version(text: object) -> tuple[int, int]:
    """(1, 41) of "1.41"; an engine that does not say speaks what Docker 17 did."""
    try:
        major, minor = str(text).split(".")
        return int(major), int(minor)
    except ValueError:
        return 1, 30
