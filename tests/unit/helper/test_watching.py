"""The helper that stays: what it says, and when it ends."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.helper import process, watching
from bridge.helper.answer import Refusal
from bridge.helper.containers import Container, Entry
from bridge.helper.engine import Engine
from tests.fakes.docker_engine import FakeEngine

ENTRIES = {"media": Entry("media", None, None), "shop": Entry(None, "shop", None)}

Said = dict[str, list[dict[str, Any]]]


class Watch:
    """A watch in a thread, with pipes to its input and from its output."""

    def __init__(self) -> None:
        theirs, self.bridge = os.pipe()
        lines, to = os.pipe()
        self._lines = os.fdopen(lines, "rb")
        self._ours = [theirs, to]
        self.refusal: Refusal | None = None
        self._thread = threading.Thread(target=self._run, args=(theirs, to))
        self._thread.start()

    def _run(self, theirs: int, to: int) -> None:
        try:
            watching.watch(ENTRIES, theirs, to)
        except Refusal as refusal:
            self.refusal = refusal
        os.close(to)

    def line(self) -> Said:
        """What it says next."""
        said: dict[str, Said] = json.loads(self._lines.readline())
        return said["containers"]

    def until(self, key: str, **wanted: object) -> dict[str, Any]:
        """The first of a key's containers, once it is as wanted."""
        while True:
            for one in self.line().get(key, []):
                if all(one[name] == value for name, value in wanted.items()):
                    return one

    def ends(self) -> bool:
        self._thread.join(5)
        return not self._thread.is_alive()

    def close(self) -> None:
        if self.bridge >= 0:
            os.close(self.bridge)
            self.bridge = -1
        assert self.ends()
        self._lines.close()
        os.close(self._ours[0])


@pytest.fixture
def watch(docker: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A watch of a container media and of the project shop, which has a database."""
    monkeypatch.setattr(process, "hear_signals", lambda: None)
    docker.has("media", status="Up 2 hours (healthy)")
    docker.has("shop-db", "exited", status="Exited (143) 2 hours ago", project="shop", service="db")
    docker.has("secret", project="other")
    watch = Watch()
    yield watch
    watch.close()


def test_the_first_line_has_every_key_and_nothing_that_is_not_allowed(watch: Watch) -> None:
    said = watch.line()
    assert said == {
        "media": [
            {
                "id": "0" * 64,
                "name": "media",
                "state": "running",
                "code": None,
                "health": "healthy",
                "asked": False,
                "once": False,
            }
        ],
        "shop": [
            {
                "id": "1" * 64,
                "name": "shop-db",
                "state": "exited",
                "code": 143,
                "health": None,
                "asked": True,
                "once": False,
            }
        ],
    }


def test_later_lines_have_what_is_different_and_others_wake_nobody(watch: Watch, docker: FakeEngine) -> None:
    watch.line()
    _, database, secret = docker.containers
    docker.happens("die", secret)
    database["State"], database["Status"] = "running", "Up 1 second"
    docker.happens("start", database)
    assert [*watch.line()] == ["shop"]
    looks = docker.asked.count("GET /v1.41/containers/json")
    assert looks == 2


def test_who_is_asked_to_end_did_not_die_of_itself(watch: Watch, docker: FakeEngine) -> None:
    watch.line()
    media = docker.containers[0]
    docker.happens("kill", media, signal="15")
    media.update(State="exited", Status="Exited (1) now")
    docker.happens("die", media)
    assert watch.until("media", state="exited")["asked"] is True
    media.update(State="running", Status="Up now")
    docker.happens("start", media)
    watch.until("media", state="running", asked=False)
    media.update(State="exited", Status="Exited (1) now")
    docker.happens("die", media)
    assert watch.until("media", state="exited")["asked"] is False


def test_a_death_that_the_list_does_not_show_yet_is_looked_at_again(watch: Watch, docker: FakeEngine) -> None:
    watch.line()
    media = docker.containers[0]
    docker.happens("die", media)
    time.sleep(0.1)
    media.update(State="exited", Status="Exited (137) now")
    assert watch.until("media", state="exited")["code"] == 137


def test_a_list_that_never_shows_it_is_looked_at_no_longer(
    watch: Watch, docker: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOMENTS", 3)
    watch.line()
    docker.happens("die", docker.containers[0])
    time.sleep(0.3)
    assert 3 <= docker.asked.count("GET /v1.41/containers/json") <= 5


@pytest.mark.parametrize(
    ("what", "changes", "shown"),
    [
        ("start", {}, True),
        ("start", {"state": "created"}, False),
        ("pause", {}, False),
        ("pause", {"state": "paused"}, True),
        ("unpause", {"state": "paused"}, False),
        ("die", {}, False),
        ("die", {"state": "restarting"}, True),
        ("health_status: unhealthy", {"health": "healthy"}, False),
        ("health_status: unhealthy", {"health": "unhealthy"}, True),
        ("destroy", {}, False),
        ("rename", {}, True),
    ],
)
def test_the_list_is_compared_with_what_was_told(what: str, changes: dict[str, Any], shown: bool) -> None:
    one = Container("1", "media", "running", None, None, "", "", {})._replace(**changes)
    assert watching.shows(one, what) is shown
    assert watching.shows(None, what)


def test_one_that_is_made_anew_under_its_name_is_another_one(watch: Watch, docker: FakeEngine) -> None:
    watch.line()
    docker.happens("destroy", docker.containers.pop(0))
    assert watch.line() == {"media": []}
    new = docker.has("media2")
    new["Names"] = ["/media"]
    docker.events.clear()
    docker.happens("rename", new | {"Names": ["", "/other"]}, oldName="/media")
    assert watch.until("media")["id"] == new["Id"]


def test_an_event_before_the_first_look_is_heard_as_any(docker: FakeEngine) -> None:
    media = docker.has("media")
    with Engine() as engine:
        scene = watching.Scene(engine, ENTRIES)
    kill = {"Action": "kill", "Actor": {"ID": media["Id"], "Attributes": {"name": "media", "signal": "9"}}}
    assert scene.hear(kill)
    assert not scene.hear({"Action": "kill"})


def test_what_is_told_is_bounded_and_printable(docker: FakeEngine) -> None:
    docker.has("media", "a\x1b" * 500)
    with Engine() as engine:
        told = watching.Scene(engine, ENTRIES).look()["media"][0]
    assert told["state"] == ("a?" * 500)[:128]


def test_it_ends_when_the_bridge_does(watch: Watch) -> None:
    os.write(watch.bridge, b"what is said to it is nobody's business")
    watch.line()
    os.close(watch.bridge)
    watch.bridge = -1
    assert watch.ends()
    assert watch.refusal is None


def test_it_ends_when_the_bridge_goes_while_the_list_lags(watch: Watch, docker: FakeEngine) -> None:
    watch.line()
    docker.happens("die", docker.containers[0])
    time.sleep(0.05)
    os.close(watch.bridge)
    watch.bridge = -1
    assert watch.ends()


def test_it_ends_when_nobody_takes_what_it_says(docker: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "hear_signals", lambda: None)
    docker.has("media")
    lines, to = os.pipe()
    theirs, ours = os.pipe()
    os.close(lines)
    watching.watch(ENTRIES, theirs, to)
    for descriptor in (to, theirs, ours):
        os.close(descriptor)


def test_it_ends_when_who_called_it_has_ended(docker: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "hear_signals", lambda: None)
    caller = subprocess.Popen(["/bin/sleep", "0.2"])
    monkeypatch.setattr(os, "getppid", lambda: caller.pid)
    watch = Watch()
    assert watch.ends()
    caller.wait()
    watch.close()


def test_an_engine_that_goes_away_is_the_end_with_its_reason(watch: Watch, docker: FakeEngine) -> None:
    watch.line()
    docker.goes_away()
    assert watch.ends()
    assert str(watch.refusal) == "Docker's engine has gone away"
