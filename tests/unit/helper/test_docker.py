"""The helper's question to Docker's engine; the engine here is a socket that says what it is told to."""

import json
import os
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


def test_networks_are_listed_with_their_bridges_and_addresses(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "/networks": [
            {"Id": "a" * 64, "Driver": "bridge"},
            {"Id": "b", "Driver": "host"},
            {"Id": "c", "Driver": "bridge"},
        ],
        f"/networks/{'a' * 64}": {
            "Id": "a" * 64,
            "Name": "web",
            "Containers": {
                "1": {"IPv4Address": "172.21.0.2/16", "IPv6Address": ""},
                "2": {},
                "ep-3": {"IPv4Address": "172.21.0.3/16"},  # it comes up, and may be a routed one
            },
        },
    }
    monkeypatch.setattr(docker, "_get", answers.get)
    assert docker.networks() == [docker.Network("web", "br-aaaaaaaaaaaa", {"1": ("172.21.0.2",), "2": ()})]
    assert docker.network({"Id": "d", "Name": "x", "Options": {docker.BRIDGE: "vpn-tv"}}).bridge == "vpn-tv"
    monkeypatch.setattr(docker, "_get", lambda path: None)
    assert (docker.networks(), docker.containers()) == ([], [])


def test_containers_are_listed_by_their_own_names(engine: Engine) -> None:
    linked: dict[str, object] = {"Id": "1", "Names": ["/other/tv", "/tv"], "State": "running"}
    engine(
        ok(
            [
                {**linked, "NetworkSettings": {"Networks": {"web": {}}}},
                {"Id": "2", "Names": [], "State": "exited"},
            ]
        )
    )
    assert docker.containers() == [
        docker.Container("1", "tv", True, ("web",)),
        docker.Container("2", "", False, ()),
    ]


def test_a_container_is_put_on_a_network_or_why_not(engine: Engine) -> None:
    asked = engine(ok(None))
    assert docker.connect("0-bellpull-tv", "1") == ""
    assert asked == [b"POST /networks/0-bellpull-tv/connect HTTP/1.0"]
    engine(b'HTTP/1.0 403 Forbidden\r\n\r\n{"message": "it is on the host\'s"}')
    assert docker.connect("0-bellpull-tv", "1") == "it is on the host's"
    engine(b"HTTP/1.0 500 Broken\r\n\r\n")
    assert docker.connect("0-bellpull-tv", "1") == "the engine gives no reason"


def test_events_are_told_from_the_moment_that_nothing_is_missed(engine: Engine) -> None:
    asked = engine(b'HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n{"Action": "die"}\n{"Action": "start"}\n')
    assert list(docker.events("17.5")) == [None, {"Action": "die"}, {"Action": "start"}]
    assert asked[0].startswith(b"GET /events?since=17.5&filters=%7B%22type%22")


def test_whether_an_engine_runs_is_seen_without_waking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "RUNS", str(tmp_path / "docker.pid"))
    assert not docker.runs()
    for text, runs in (("", False), (str(os.getpid()), True), ("4194305", False)):
        (tmp_path / "docker.pid").write_text(text)
        assert docker.runs() is runs
