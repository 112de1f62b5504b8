"""The program around the router: who wakes it, who asks it, and what ends it."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.helper import docker, process, router, serving, trust
from bridge.helper.answer import Refusal

GIVEN_UP = 5.0


class Over(BaseException):
    """Ends what goes on for ever; a test's own."""


class FakeRouter:
    """Notes what is asked of it; `fails` is raised once."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.on: dict[str, object] = {"tv": {}}
        self.fails: BaseException | None = None

    in_doubt = False

    def _note(self, what: object) -> None:
        self.asked.append(what)
        if self.fails is not None:
            failure, self.fails = self.fails, None
            raise failure

    def begin(self) -> None:
        self._note("begin")

    def enforce(self) -> None:
        self._note("enforce")

    def survey(self) -> None:
        self._note("survey")

    def lost(self) -> None:
        self._note("lost")

    def heard(self, event: object) -> None:
        self._note(event)

    def turn_on(self, key: str) -> None:
        self._note(("on", key))

    def turn_off(self, key: str) -> None:
        self._note(("off", key))


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for module in (serving, router):
        monkeypatch.setattr(module, "ADDRESS", str(tmp_path / "router.sock"))
    return str(tmp_path / "router.sock")


@pytest.fixture
def listening(address: str) -> Iterator[FakeRouter]:
    """A router that listens; the place where it did was left over."""
    Path(address).touch()
    fake, up = FakeRouter(), threading.Event()

    def listen() -> None:
        with pytest.raises(Over):
            serving.listen(fake, threading.Event(), up.set)  # type: ignore[arg-type]

    thread = threading.Thread(target=listen)
    thread.start()
    assert up.wait(GIVEN_UP)
    yield fake
    fake.fails = Over()
    with pytest.raises(Refusal):
        router.ask("on", "end")
    thread.join(GIVEN_UP)


def test_the_helper_asks_and_is_answered(listening: FakeRouter, address: str) -> None:
    assert Path(address).stat().st_mode & 0o777 == 0o600
    assert router.ask("on", "tv") and router.ask("off", "tv")
    assert listening.asked == [("on", "tv"), ("off", "tv")]


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (Refusal("refused", "names leak"), "refused", "names leak"),
        (KeyError("x"), "failed", "the router has a bug: KeyError: 'x'"),
    ],
)
def test_why_not_is_passed_on(listening: FakeRouter, failure: Exception, code: str, reason: str) -> None:
    listening.fails = failure
    with pytest.raises(Refusal) as refused:
        router.ask("on", "tv")
    assert (refused.value.code, str(refused.value)) == (code, reason)


def test_who_says_nonsense_or_hangs_up_harms_nobody(listening: FakeRouter, address: str) -> None:
    for said in (b"dance tv\n", b"\xff\n", b""):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(address)
            caller.sendall(said)
    assert router.ask("on", "tv")


def test_without_a_router_the_helper_is_told_so(address: str) -> None:
    assert not router.ask("on", "tv")


def test_where_no_router_was_before_it_listens_as_well(address: str) -> None:
    fake, up = FakeRouter(), threading.Event()
    fake.fails = Over()

    def listen() -> None:
        with pytest.raises(Over):
            serving.listen(fake, threading.Event(), up.set)  # type: ignore[arg-type]

    thread = threading.Thread(target=listen)
    thread.start()
    assert up.wait(GIVEN_UP)
    with pytest.raises(Refusal, match="does not answer"):
        router.ask("on", "tv")
    thread.join(GIVEN_UP)


def test_a_router_that_hangs_is_a_failure(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "ANSWER", 0.05)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(address)
        mute.listen()
        with pytest.raises(Refusal, match="does not answer"):
            router.ask("on", "tv")


def test_after_every_change_of_the_kernels_it_is_enforced_while_something_is_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, waits = FakeRouter(), iter([True, False])

    def wait(heard: socket.socket) -> None:
        try:
            fake.on = {"tv": {}} if next(waits) else {}
        except StopIteration:
            raise Over from None

    monkeypatch.setattr(serving, "wait", wait)
    with pytest.raises(Over):
        serving.watch_kernel(fake)  # type: ignore[arg-type]
    assert fake.asked == ["enforce"]


def test_what_came_meanwhile_is_one_change() -> None:
    class Heard:
        """Says too much at once, then something, then nothing."""

        def __init__(self) -> None:
            self.said: list[Exception | None] = [None, OSError(105, "ENOBUFS"), None, BlockingIOError()]

        def recv(self, size: int, flags: int) -> bytes:
            if failure := self.said.pop(0):
                raise failure
            return b""

    heard = Heard()
    serving.wait(heard)  # type: ignore[arg-type]
    assert heard.said == []


def test_docker_is_followed_and_followed_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, news = FakeRouter(), threading.Event()
    fake.fails = ValueError("a bug")
    streams: list[Callable[[], Iterator[docker.Described | None]]] = [
        lambda: iter([None, {"Action": "die"}]),
        lambda: (_ for _ in ()).throw(ConnectionRefusedError),
    ]

    def begins() -> None:
        if not streams:
            raise Over

    monkeypatch.setattr(docker, "events", lambda since: streams.pop(0)())
    monkeypatch.setattr(serving, "wait_for_engine", begins)
    with pytest.raises(Over):
        serving.watch_docker(fake, news)  # type: ignore[arg-type]
    assert fake.asked == [None, {"Action": "die"}, "lost", "lost"]
    assert news.is_set()
    assert "ValueError: a bug" in capsys.readouterr().out


def test_news_are_surveyed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, news = FakeRouter(), threading.Event()
    fake.fails = Over()
    news.set()
    with pytest.raises(Over):
        serving.survey(fake, news)  # type: ignore[arg-type]
    assert fake.asked == ["survey"] and not news.is_set()


def test_what_is_in_doubt_is_surveyed_again_without_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "AGAIN", 0.01)
    fake = FakeRouter()
    fake.in_doubt, fake.fails = True, Over()
    with pytest.raises(Over):
        serving.survey(fake, threading.Event())  # type: ignore[arg-type]
    assert fake.asked == ["survey"]


def test_an_engine_is_waited_for_without_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "docker.pid"
    monkeypatch.setattr(docker, "RUNS", str(pid))
    monkeypatch.setattr(serving, "PAUSE", 0.0)
    waiting = threading.Thread(target=serving.wait_for_engine)
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive()
    pid.write_text(str(os.getpid()))
    waiting.join(GIVEN_UP)
    assert not waiting.is_alive()
    serving.wait_for_engine()


def test_systemd_is_told_when_it_is_ready(tmp_path: Path) -> None:
    serving.ready("")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        serving.ready(str(tmp_path / "notify"))
        assert systemd.recv(64) == b"READY=1"


def test_a_thread_that_ends_takes_the_program_along(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    serving.or_end(lambda: None)
    assert codes == [1]


def test_the_program_begins_before_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fake = FakeRouter()
    monkeypatch.setattr(process, "reset", lambda: done.append("reset"))
    monkeypatch.setattr(process, "hear_signals", lambda: done.append("signals"))
    monkeypatch.setattr(trust, "inspect_loaded", lambda: done.append("trust"))
    monkeypatch.setattr(serving, "Router", lambda: fake)
    for name in ("watch_kernel", "watch_docker", "survey"):
        monkeypatch.setattr(serving, name, lambda *words, name=name: done.append(name))
    monkeypatch.setattr(serving, "or_end", lambda work: work())

    def listen(router: object, news: object, ready: Callable[[], None]) -> None:
        ready()
        done.append("listen")

    monkeypatch.setattr(serving, "listen", listen)
    assert serving.main() == 0
    assert done[:3] == ["reset", "signals", "trust"] and sorted(done[3:]) == sorted(
        ["watch_kernel", "watch_docker", "survey", "listen"]
    )
    assert fake.asked == ["begin"]
