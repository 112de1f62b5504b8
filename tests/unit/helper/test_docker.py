"""The helper's question to Docker's engine; the engine here is a socket that says what it is told to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.helper import docker
from bridge.helper.answer import Refusal

Engine = Callable[[bytes], list[bytes]]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Call it with an answer; gives the list of what was asked."""
    path = tmp_path / "docker.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    monkeypatch.setattr(docker, "SOCKETS", ("/nowhere/docker.sock", str(path)))
    threads: list[threading.Thread] = []

    def answer(text: bytes) -> list[bytes]:
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096).partition(b"\r\n")[0])
                connection.sendall(text)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return asked

    yield answer
    for thread in threads:
        thread.join(5)
    listener.close()


def ok(body: object) -> bytes:
    return b"HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n" + json.dumps(body).encode()


def test_a_container_is_described(engine: Engine) -> None:
    asked = engine(ok({"Name": "/tv"}))
    assert docker.inspect("tv") == {"Name": "/tv"}
    assert asked == [b"GET /containers/tv/json HTTP/1.0"]


def test_a_container_that_is_not_there_is_none(engine: Engine) -> None:
    engine(b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "no such container"}')
    assert docker.inspect("tv") is None


def test_who_is_on_a_network(engine: Engine) -> None:
    engine(ok({"Containers": {"0123": {}, "4567": {}}}))
    assert docker.on_network("0-bellpull-tv") == ["0123", "4567"]
    engine(b"HTTP/1.0 404 Not Found\r\n\r\n")
    assert docker.on_network("0-bellpull-tv") == []


def test_without_an_engine_there_is_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(docker, "SOCKETS", ("/nowhere/docker.sock",))
    assert docker.inspect("tv") is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    monkeypatch.setattr(docker, "SOCKETS", (str(tmp_path / "dead"),))
    assert docker.inspect("tv") is None


def test_an_engine_that_does_not_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(docker, "ANSWER", 0.05)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()
        monkeypatch.setattr(docker, "SOCKETS", (str(tmp_path / "mute"),))
        with pytest.raises(Refusal, match="Docker's engine does not answer: timed out"):
            docker.inspect("tv")
