"""Tells of containers for as long as somebody listens, a line of JSON for each change.

{"containers": {KEY: [{"id", "name", "state", "code", "health", "asked", "once"}, …], …}}

The first line has every key of the policy, each later one those about which something is different. Nothing
of containers that the policy does not name gets out. It ends when its input does, or the program that
called it, and with a line of answer as every verb.
"""

import json
import os
import select
from collections.abc import Mapping

from . import process
from .containers import PROJECT, Container, Entry, completing, listed, of
from .engine import Described, Engine, Stream, asks_to_end, attributes

HEARD = ("create", "destroy", "die", "health_status", "kill", "oom", "pause", "rename", "start", "unpause")
HEALTH = "health_status: "
AFTER = {
    "start": ("running", "restarting"),
    "unpause": ("running", "restarting"),
    "pause": ("paused",),
    "die": ("exited", "restarting", "removing", "dead"),
}
BY_REQUEST = (137, 143)  # how what was killed or asked to end ends
MOST = 200  # containers of a key
LONGEST = 128  # letters of a text
MOMENT, MOMENTS = 0.02, 100  # seconds between looks at a list that lags behind the events, and how many

Seen = dict[str, list[Described]]
"""Key -> what is said of its containers."""


def watch(entries: Mapping[str, Entry], bridge: int = 0, to: int = 1) -> None:
    """Tell descriptor `to` of them until `bridge` is closed at its other end.

    Refusal with code failed when the engine does not answer any longer.
    """
    process.hear_signals()
    heard = {"type": ["container"], "event": HEARD}
    with Engine() as engine, engine.listen(heard) as stream, Audience(bridge, stream.fileno()) as audience:
        _tell(Scene(engine, entries), stream, audience, to)


def _tell(scene: "Scene", stream: Stream, audience: "Audience", to: int) -> None:
    told: Seen = {}
    while True:
        seen = scene.look()
        changed = {key: containers for key, containers in seen.items() if told.get(key) != containers}
        if changed and not _say(to, {"containers": changed}):
            return
        told, again = seen, False
        while not again:
            if not audience.listens(MOMENT if scene.lags else None):
                return
            heard = [scene.hear(event) for event in stream.events()] if audience.has_news else []
            again = any(heard) or not audience.has_news


class Audience:
    """Who listens: the bridge, which holds the other end of `bridge` open, and the process that called us."""

    def __init__(self, bridge: int, stream: int) -> None:
        self._bridge, self._stream = bridge, stream
        self.has_news = False
        self._parent = os.pidfd_open(os.getppid())
        self._poll = select.poll()
        for descriptor in (bridge, stream, self._parent):
            self._poll.register(descriptor, select.POLLIN)

    def __enter__(self) -> "Audience":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._parent)

    def listens(self, patience: float | None) -> bool:
        """Wait until the stream has something, `patience` seconds at most; False when nobody is left."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll(patience and patience * 1000)}
            if self._parent in ready or (self._bridge in ready and not os.read(self._bridge, 4096)):
                return False
            self.has_news = self._stream in ready
            if self.has_news or not ready:
                return True


class Scene:
    """The containers of all entries, and what was heard of them that a look does not show."""

    def __init__(self, engine: Engine, entries: Mapping[str, Entry]) -> None:
        self._engine = engine
        self._entries = entries
        self._asked: set[str] | None = None
        self._told: dict[str, str] = {}  # what the list does not show yet
        self._looks = 0

    @property
    def lags(self) -> bool:
        """Whether the list is behind the events: the engine tells before it writes down."""
        return bool(self._told) and self._looks < MOMENTS

    def look(self) -> Seen:
        """What there is to say now."""
        every = listed(self._engine)
        if self._asked is None:  # nobody knows any longer who ended these; most were stopped
            self._asked = {one.id for one in every if one.code in BY_REQUEST}
        there = {one.id: one for one in every}
        self._told = {id: what for id, what in self._told.items() if not shows(there.get(id), what)}
        self._looks += 1
        return {key: self._described(of(entry, every)[:MOST]) for key, entry in self._entries.items()}

    def hear(self, event: Described) -> bool:
        """Whether it is about one of ours."""
        id, what = str((event.get("Actor") or {}).get("ID")), str(event.get("Action"))
        of_it = attributes(event)
        self._told[id], self._looks = what, 0
        if self._asked is not None:
            if asks_to_end(event):
                self._asked.add(id)
            elif what in ("start", "destroy"):
                self._asked.discard(id)
        names = {str(of_it.get("name", "")), str(of_it.get("oldName", "")).lstrip("/")}
        project = of_it.get(PROJECT)
        return any(
            entry.container in names or (entry.project is not None and entry.project == project)
            for entry in self._entries.values()
        )

    def _described(self, containers: list[Container]) -> list[Described]:
        once = completing(containers)
        return [
            {
                "id": _plain(one.id),
                "name": _plain(one.name),
                "state": _plain(one.state),
                "code": one.code,
                "health": one.health,
                "asked": one.id in (self._asked or ()),
                "once": one.service in once,
            }
            for one in containers
        ]


def shows(one: Container | None, what: str) -> bool:
    """Whether the list has it as the last event about it says."""
    if one is None or what == "destroy":
        return one is None
    if what.startswith(HEALTH):
        return one.health == what.removeprefix(HEALTH)
    return one.state in AFTER.get(what, (one.state,))


def _say(to: int, what: object) -> bool:
    """Whether somebody took it, whole."""
    line = json.dumps(what).encode("ascii") + b"\n"
    try:
        while line:
            line = line[os.write(to, line) :]
    except OSError:
        return False
    return True


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST])
