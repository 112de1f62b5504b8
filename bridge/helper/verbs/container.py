"""Containers of Docker's: one by its name, or all of a compose project in the order that it asks for.

Policy: "containers": {KEY: {"container": NAME or null, "project": NAME or null, "grace": SECONDS or null}}.
"""

import math
import re
import time
from collections.abc import Iterable, Sequence

from .. import process
from ..answer import Refusal
from ..containers import Container, Entry, completing, levels, listed, of
from ..engine import Engine, asks_to_end, attributes, reason, receive
from ..policy import Policy, denied, unusable
from ..watching import watch
from . import Work

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}")
LONGEST = 86400
ALL = "all"  # what container-watch is called with
START = 120.0  # seconds: disks, networks and devices may have to be waited for
SLACK = 30.0  # seconds for the engine to end a container whose time is over
OWN_GRACE = 600.0  # seconds for one that says itself how long it takes to stop
STOP_TIMEOUT = 10.0  # seconds the engine gives a container that says nothing of it
KILL = "9"
DONE, ALREADY = 204, 304  # as the engine answers


def start(policy: Policy, key: str) -> Work:
    """Start what does not run, let go on what is paused."""
    entry = _entry(policy, key)
    return lambda: _start(entry)


def stop(policy: Policy, key: str) -> Work:
    entry = _entry(policy, key)
    return lambda: _stop(entry)


def restart(policy: Policy, key: str) -> Work:
    """Restart what runs, and never start what somebody stopped, not even meanwhile."""
    entry = _entry(policy, key)
    return lambda: _restart(entry)


def follow(policy: Policy, name: str) -> Work:
    """Tell of all that the policy names, until nobody listens any longer."""
    if name != ALL:
        raise denied(f"watching {name}")
    entries = {key: _entry(policy, key) for key in _entries(policy)}
    return lambda: watch(entries)


def _start(entry: Entry) -> None:
    with _engine() as engine:
        for level in levels(_found(engine, entry)):
            _each(engine, "unpause", [one for one in level if one.state == "paused"], START)
            _each(engine, "start", [one for one in level if one.state != "paused"], START)


def _stop(entry: Entry) -> None:
    with _engine() as engine:
        for level in reversed(levels(_found(engine, entry))):
            _end(engine, entry, level)


def _restart(entry: Entry) -> None:
    """Not by the engine's own restart, which starts again what somebody else stops meanwhile.

    Signals stay held back: half of it is a container that is off.
    """
    with Engine() as engine:
        found = _found(engine, entry)
        once = completing(found)
        running = [one for one in found if one.state in ("running", "restarting") and one.service not in once]
        if not running:
            raise Refusal("refused", f"nothing to restart: no {entry} runs")
        order = levels(running)
        ended = [one for level in reversed(order) for one in _end(engine, entry, level)]
        ours = [one for one in ended if not _asked_by_others(engine, entry, one)]
        for level in order:
            _each(engine, "start", [one for one in level if one in ours], START)
    if len(ours) < len(running):
        others = ", ".join(one.name for one in running if one not in ours)
        raise Refusal("refused", f"somebody else stopped {others} meanwhile, so it stays off")


def _end(engine: Engine, entry: Entry, containers: Sequence[Container]) -> list[Container]:
    """Those that ran until now."""
    if entry.grace is None:
        return _each(engine, "stop", containers, OWN_GRACE)
    return _each(engine, "stop", containers, entry.grace + SLACK, t=entry.grace)


def _each(
    engine: Engine, what: str, containers: Iterable[Container], within: float, **query: object
) -> list[Container]:
    """Have it done to all at once; those that were not so before. Refusal when one of them will not."""
    asked = [(one, engine.send(f"/containers/{one.id}/{what}", within, **query)) for one in containers]
    answers = [(one, *receive(connection)) for one, connection in asked]
    for one, status, said in answers:
        if status not in (DONE, ALREADY):
            raise Refusal("failed", f"{one.name} does not {what}: {reason(said)}")
    return [one for one, status, _ in answers if status == DONE]


def _asked_by_others(engine: Engine, entry: Entry, one: Container) -> bool:
    """Whether somebody else asked it to end as well: each who does has it sent a signal.

    Ours are one, and a kill when its time is over. A container may take its time to end, so whoever asked
    first may have done it long ago.
    """
    now = time.time()
    signals: list[tuple[str, float]] = []
    filters = {"container": [one.id], "event": ["start", "kill"]}
    for event in engine.happened(filters, now - max(OWN_GRACE, entry.grace or 0) - SLACK, now):
        if event.get("Action") == "start":
            signals = []
        elif asks_to_end(event):
            signals.append((attributes(event)["signal"], event["timeNano"] / 1e9))
    match signals:
        case [] | [_]:
            return False
        case [(_, first), (signal, last)] if signal == KILL:
            return last - first < _patience(engine, entry, one)
    return True


def _patience(engine: Engine, entry: Entry, one: Container) -> float:
    """Seconds that the engine gives it to end."""
    if entry.grace is not None:
        return entry.grace
    own = engine.ask(f"/containers/{one.id}/json")["Config"].get("StopTimeout")
    return STOP_TIMEOUT if own is None else math.inf if own < 0 else own


def _engine() -> Engine:
    """What the engine was asked to do it goes on with, so nobody has to wait for the end."""
    process.hear_signals()
    return Engine()


def _found(engine: Engine, entry: Entry) -> list[Container]:
    found = of(entry, listed(engine))
    if not found:
        raise Refusal("failed", f"there is no {entry}; `docker ps --all` shows those there are")
    return found


def _entries(policy: Policy) -> dict[str, object]:
    entries = policy.get("containers")
    if not isinstance(entries, dict):
        raise unusable("it has no containers")
    return entries


def _entry(policy: Policy, key: str) -> Entry:
    entry = _entries(policy).get(key)
    if not isinstance(entry, dict):
        raise denied(f"container {key}")
    container, project, grace = (entry.get(name) for name in ("container", "project", "grace"))
    named = [name for name in (container, project) if name is not None]
    if len(named) != 1 or not isinstance(named[0], str) or not NAME.fullmatch(named[0]):
        raise unusable(f"containers.{key} does not name one container or project")
    if grace is not None and (not isinstance(grace, int) or not 0 <= grace <= LONGEST):
        raise unusable(f"containers.{key}.grace is no number of seconds")
    return Entry(container, project, grace)


VERBS = {
    "container-start": start,
    "container-stop": stop,
    "container-restart": restart,
    "container-watch": follow,
}
