"""What the bridge knows of containers, and how it learns it."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.contract import Denied, Unavailable
from bridge.tools import containers as module
from bridge.tools.containers import DOWN, Container, Containers
from bridge.tools.inotify import Inotify
from tests.fakes.docker import FakeDocker

MEDIA = Container("1", "media", "running")


@pytest.fixture
def pidfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The engine's, which runs."""
    path = tmp_path / "docker.pid"
    path.write_text(str(os.getpid()))
    monkeypatch.setattr(module, "PIDFILE", path)
    monkeypatch.setattr(module, "SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(module, "_is_engine", lambda process: False)
    return path


@pytest.fixture
def docker(pidfile: Path) -> FakeDocker:
    return FakeDocker(media=[MEDIA], shop=[])


@pytest.fixture
async def known(docker: FakeDocker) -> AsyncIterator[Containers]:
    inotify = Inotify()
    known = Containers(docker, inotify)
    yield known
    await known.close()
    await inotify.close()


async def test_one_helper_tells_everybody(docker: FakeDocker, known: Containers) -> None:
    assert known.sight("media") is None
    media, shop = await asyncio.gather(known.next("media", None), known.next("shop", None))
    assert media == (MEDIA,) and shop == ()
    docker.change("media", state="exited", code=3)
    assert await known.next("media", media) == (Container("1", "media", "exited", 3),)
    assert known.sight("shop") == ()
    assert docker.watches == 1


async def test_waiting_may_end_with_what_is_known(known: Containers) -> None:
    seen = await known.next("media", None)
    assert await known.next("media", seen, 0.01) is seen


async def test_what_root_was_not_told_of_is_unknown_with_the_cure(known: Containers) -> None:
    assert await known.next("other", None) == "root was not told to allow it; run: sudo bellpull apply"


async def test_while_no_engine_runs_nobody_asks_root_and_its_start_is_seen(
    docker: FakeDocker, known: Containers, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST", 60.0)
    pidfile.unlink()
    assert await known.next("media", None) == DOWN
    assert docker.watches == 0
    pidfile.write_text(str(os.getpid()))
    assert await known.next("media", DOWN, 10) == (MEDIA,)


async def test_an_engine_that_goes_away_is_unknown_and_its_return_is_seen(
    docker: FakeDocker, known: Containers, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST", 0.01)
    monkeypatch.setattr(module, "LONGEST_STOP", 0.01)
    seen = await known.next("media", None)
    pidfile.write_text("none")
    docker.breaks()
    assert await known.next("media", seen) == "Docker's engine has gone away"
    assert await known.next("media", "Docker's engine has gone away") == DOWN
    docker.trouble = None
    pidfile.write_text(str(os.getpid()))
    assert await known.next("media", DOWN, 10) == (MEDIA,)


async def test_a_helper_that_is_denied_is_asked_more_and_more_seldom(
    docker: FakeDocker, known: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST", 0.05)
    docker.trouble = Denied("sudo does not allow it")
    assert await known.next("media", None) == "sudo does not allow it"
    await asyncio.sleep(0.5)
    assert 2 <= docker.watches <= 5


async def test_a_helper_of_another_version_is_said_to_be_one(
    docker: FakeDocker, known: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    docker.odd = {"containers": {"media": [{"id": "1"}]}}
    assert await known.next("media", None) == "the helper is of another version; run: sudo make install"


async def test_a_watch_that_just_ends_is_taken_up_again(
    docker: FakeDocker, known: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def short(verb: str, name: str) -> object:
        monkeypatch.setattr(module, "LONGEST_STOP", 0.01)
        yield {"containers": {"media": []}}
        await asyncio.sleep(0.02)

    monkeypatch.setattr(module, "PAUSE_FIRST", 0.01)
    monkeypatch.setattr(docker, "watch", short)
    assert await known.next("media", None) == ()
    assert await known.next("media", ()) == "the helper ended"
    assert await known.next("media", "the helper ended") == ()


async def test_without_inotify_the_pauses_have_to_do(
    docker: FakeDocker, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted(Inotify):
        def watch(self, *_: object) -> None:  # type: ignore[override]
            raise Unavailable("the kernel allows no more")

    monkeypatch.setattr(module, "PAUSE_FIRST", 0.01)
    known = Containers(docker, Exhausted())
    pidfile.unlink()
    assert await known.next("media", None) == DOWN
    pidfile.write_text(str(os.getpid()))
    assert await known.next("media", DOWN, 10) == (MEDIA,)
    await known.close()


async def test_closing_what_was_never_asked_is_nothing(docker: FakeDocker) -> None:
    await Containers(docker, Inotify()).close()


def test_an_engine_is_found_by_its_pid_file_or_by_its_name(
    pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.find_engine() == os.getpid()
    pidfile.write_text("99999999")
    assert module.find_engine() is None

    def forbidden(pid: int, signal: int) -> None:
        raise PermissionError

    with monkeypatch.context() as other:
        other.setattr(os, "kill", forbidden)
        assert module.find_engine() == 99999999
    pidfile.unlink()
    assert module.find_engine() is None
    monkeypatch.setattr(module, "_is_engine", lambda process: process.name == str(os.getpid()))
    assert module.find_engine() == os.getpid()


async def test_an_engine_that_is_being_stopped_is_left_to_end(
    docker: FakeDocker, known: Containers, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST", 0.01)
    engine = await asyncio.create_subprocess_exec("/bin/sleep", "300")
    pidfile.write_text(str(engine.pid))
    seen = await known.next("media", None)
    docker.breaks()
    gone = await known.next("media", seen)
    assert await known.next("media", gone, 0.2) == gone
    assert docker.watches == 1
    pidfile.unlink()
    engine.kill()
    await engine.wait()
    assert await known.next("media", gone, 10) == DOWN


async def test_what_does_not_end_is_not_waited_for_for_ever() -> None:
    async with asyncio.timeout(10):
        await module.ended(os.getpid(), 0.01)
        await module.ended(99999999, 60)


def test_an_engine_is_known_by_the_name_of_its_process(tmp_path: Path) -> None:
    assert not module._is_engine(tmp_path)
    (tmp_path / "comm").write_text("dockerd\n")
    assert module._is_engine(tmp_path)
    (tmp_path / "comm").write_text("dockerd-rootless\n")
    assert not module._is_engine(tmp_path)


# What there is on this machine, for a check


def answering(path: Path, answer: bytes) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


async def test_everything_that_there_is_can_be_asked_by_root(known: Containers, tmp_path: Path) -> None:
    labels = {"com.docker.compose.project": "shop"}
    said = json.dumps([{"Names": ["/web/db", "/db"], "Labels": labels}, {"Names": ["/m"]}])
    thread = answering(tmp_path / "docker.sock", b"HTTP/1.0 200 OK\r\n\r\n" + said.encode())
    assert await known.everything() == [("db", "shop"), ("m", "")]
    thread.join(5)


async def test_what_cannot_be_asked_is_unavailable_with_the_reason(
    known: Containers, tmp_path: Path, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await known.everything()
    thread = answering(tmp_path / "docker.sock", b"HTTP/1.0 200 OK\r\n\r\n{}")
    assert await known.everything() == []
    thread.join(5)

    async def forbidden(path: object) -> object:
        raise PermissionError

    monkeypatch.setattr(asyncio, "open_unix_connection", forbidden)
    with pytest.raises(Unavailable, match="listens to root only; run: sudo bellpull check"):
        await known.everything()
    pidfile.unlink()
    with pytest.raises(Unavailable, match="does not run"):
        await known.everything()
