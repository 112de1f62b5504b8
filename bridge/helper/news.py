"""What the router keeps for its next start, and what it tells the bridge and a person.

Kept is a file of root's own for each route that is on. Told is a file for each route, for all to
read: {"astray": why it is not routed, "trouble": what gets past it, "told": how many lines there
were, "lines": [[sensor or "", line], …] the last of them}. Left for systemd, for each family, is
what `ip -batch` has to lay when this program has ended.
"""

import json
import os
import threading
import time
from typing import Any

from .router import FOLDER

STATE = "/var/lib/bellpull-vpn"
LINES = 20
PATIENCE = 1.0  # seconds until what is amiss with a container is told
CALM, WINDOW = 5, 60.0  # repairs that are told one by one, in so many seconds

Said = dict[str, Any]
NOTHING: Said = {"astray": "", "trouble": "", "told": 0, "lines": []}


class News:
    """What was said of each route; written when it changes."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._said: dict[str, Said] = {}
        self._repairs: dict[str, list[float]] = {}
        self._left: dict[str, list[str]] = {}
        self._astray: dict[str, float] = {}

    def begin(self, key: str) -> None:
        _write(f"{FOLDER}/{key}.json", NOTHING)

    def say(self, key: str, **news: object) -> None:
        with self._turn:
            before = self._said.get(key, NOTHING)
            said = {**before, **news}
            if said != before:
                self._said[key] = said
                _write(f"{FOLDER}/{key}.json", said)

    def astray(self, key: str, reason: str) -> bool:
        """Whether that is said; what comes up, walled in, has a moment to come up as it should."""
        now = time.monotonic()
        since = self._astray.setdefault(key, now) if reason else self._astray.pop(key, now)
        if reason and now < since + PATIENCE:
            return False
        self.say(key, astray=reason)
        return True

    def repaired(self, key: str, text: str) -> None:
        """The first ones each, then one alarm until it has been calm."""
        now = time.monotonic()
        recent = [at for at in self._repairs.get(key, []) if at > now - WINDOW]
        self._repairs[key] = [*recent[-CALM:], now]
        if len(recent) < CALM:
            self._tell(key, "", f"{text}; laid again")
        elif len(recent) == CALM:
            self._tell(key, "trouble", f"undone {CALM} times in a minute, and laid again each time: {text}")

    def _tell(self, key: str, sensor: str, line: str) -> None:
        before = self._said.get(key, NOTHING)
        self.say(key, told=before["told"] + 1, lines=[*before["lines"], [sensor, line]][-LINES:])

    def leave(self, family: str, rules: list[str]) -> None:
        """What is to be laid when this program has ended, however it ends."""
        if self._left.get(family) != rules:
            _write_text(f"{FOLDER}/ended-{family}", "".join(f"rule add {rule}\n" for rule in rules))
            self._left[family] = rules


def stored() -> list[str]:
    """The routes that were on."""
    return sorted(os.listdir(STATE))


def kept(key: str) -> list[str]:
    """The bridges on which a route's containers were, beside its own."""
    try:
        with open(f"{STATE}/{key}") as file:
            bridges: list[str] = json.load(file)
            return bridges
    except (OSError, ValueError):
        return []


def store(key: str, bridges: list[str]) -> None:
    if not os.path.exists(f"{STATE}/{key}") or kept(key) != bridges:
        _write(f"{STATE}/{key}", bridges)


def forget(key: str) -> None:
    if os.path.exists(f"{STATE}/{key}"):
        os.unlink(f"{STATE}/{key}")


def _write(path: str, what: object) -> None:
    _write_text(path, json.dumps(what))


def _write_text(path: str, text: str) -> None:
    draft = f"{path}.new"
    with open(draft, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
