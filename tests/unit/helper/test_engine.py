import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.helper import engine as module
from bridge.helper.answer import Refusal
from bridge.helper.engine import Engine
from tests.fakes.docker_engine import FakeEngine


@pytest.fixture
def engine(docker: FakeEngine) -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.mark.parametrize(
    ("spoken", "prefix"),
    [
        ({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}, "/v1.41"),
        ({"ApiVersion": "1.60", "MinAPIVersion": "1.44"}, "/v1.51"),
        ({"ApiVersion": "1.70", "MinAPIVersion": "1.60"}, "/v1.60"),
        ({"ApiVersion": "new"}, "/v1.30"),
        (None, "/v1.30"),
    ],
)
def test_the_newest_api_that_both_know_is_spoken(docker: FakeEngine, spoken: object, prefix: str) -> None:
    docker.version = spoken
    with Engine() as engine:
        engine.ask("/containers/json", all=1)
    assert docker.asked == ["GET /version", f"GET {prefix}/containers/json"]


def test_the_engines_own_words_are_the_reason(docker: FakeEngine, engine: Engine) -> None:
    docker.answers["/containers/json"] = (500, '{"message": "no space\\nleft on device"}')
    with pytest.raises(Refusal, match=r"^no space left on device$"):
        engine.ask("/containers/json")
    docker.answers["/containers/json"] = (500, "[]")
    with pytest.raises(Refusal, match="gives no reason"):
        engine.ask("/containers/json")


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_an_answer_that_is_none_is_a_failure(docker: FakeEngine, engine: Engine, text: str) -> None:
    docker.answers["/containers/json"] = (200, text)
    with pytest.raises(Refusal, match="does not answer as an engine does"):
        engine.ask("/containers/json")


def test_without_a_socket_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOCKETS", ("/nowhere/docker.sock",))
    with pytest.raises(Refusal, match=r"does not run: there is no /nowhere/docker\.sock"):
        Engine()


def test_a_socket_that_nobody_answers_at_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SOCKETS", (str(tmp_path / "dead"),))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
        with pytest.raises(Refusal, match="does not answer: Connection refused"):
            Engine()
        dead.listen()
        monkeypatch.setattr(module, "ANSWER", 0.05)
        with pytest.raises(Refusal, match="does not answer: timed out"):
            Engine()


def test_an_engine_that_is_asked_after_its_end_has_gone(docker: FakeEngine, engine: Engine) -> None:
    docker.goes_away()
    with pytest.raises(Refusal, match=r"has gone away|does not answer: Broken pipe"):
        engine.ask("/containers/json")
    with pytest.raises(Refusal, match=r"does not answer|has gone away"):
        engine.ask("/containers/json")


def test_questions_go_over_one_connection(docker: FakeEngine, engine: Engine) -> None:
    for _ in range(3):
        engine.ask("/containers/json", all=1)
    assert len(docker.connections) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nN\xc3\xb6: 1\r\n\r\n",
        b"hello\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(answer)
    theirs.close()
    with pytest.raises(Refusal, match="as an engine does"):
        module.receive(ours)


def test_an_answer_that_breaks_off_is_a_failure() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.01)
    with theirs, pytest.raises(Refusal, match="timed out"):
        module.receive(ours)


def test_what_happens_is_heard_as_it_happens_until_the_engine_goes(
    docker: FakeEngine, engine: Engine
) -> None:
    media = docker.has("media")
    with engine.listen({"type": ["container"]}) as stream:
        docker.happens("die", media)
        docker.happens("start", media)
        heard: list[object] = []
        while len(heard) < 2:
            heard += [event["Action"] for event in stream.events()]
        assert heard == ["die", "start"]
        assert stream.fileno() > 2
        docker.goes_away()
        with pytest.raises(Refusal, match="has gone away"):
            stream.events()


@pytest.mark.parametrize("line", ["{\n", "[]\n"])
def test_an_event_that_is_none_is_a_failure(docker: FakeEngine, engine: Engine, line: str) -> None:
    docker.answers["/events"] = (200, line)
    with engine.listen({}) as stream, pytest.raises(Refusal, match="as an engine does"):
        stream.events()


def test_an_engine_that_tells_nothing_is_a_failure(docker: FakeEngine, engine: Engine) -> None:
    docker.answers["/events"] = (500, "")
    with pytest.raises(Refusal, match="does not tell what happens"):
        engine.listen({})


def test_a_stream_that_breaks_before_it_began_is_a_failure() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(Refusal, match="has gone away"):
        module.Stream(ours, None)
    assert ours.fileno() == -1


def test_a_stream_that_is_reset_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    with theirs, module.Stream(ours, 0.01) as stream, pytest.raises(Refusal, match="timed out"):
        stream.events()


def test_what_has_happened_can_be_asked(docker: FakeEngine, engine: Engine) -> None:
    media = docker.has("media")
    docker.happens("kill", media, signal="15")
    docker.happens("die", media)
    told = engine.happened({"container": [media["Id"]], "event": ["kill"]}, 0.0, time.time())
    assert [event["Action"] for event in told] == ["kill"]


def test_a_signal_for_a_reload_asks_nobody_to_end() -> None:
    def kill(**attributes: str) -> dict[str, object]:
        return {"Action": "kill", "Actor": {"Attributes": attributes}}

    assert module.asks_to_end(kill(signal="15"))
    assert not module.asks_to_end(kill(signal="1"))
    assert not module.asks_to_end(kill())
    assert not module.asks_to_end({"Action": "die"})


def test_an_engine_that_goes_instead_of_answering_has_gone() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(Refusal, match="has gone away"):
        module.receive(ours)
