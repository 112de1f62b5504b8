"""`kind: container`: one container of Docker's as a tile, or all of a compose project."""

import difflib
import math
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from bridge.contract import Accessory, ContainerGrant, Grant, Refused, State, Unavailable, Vitals
from bridge.kind import DEADLINE, Kind
from bridge.schema import Duration, From, Node, Wrong, text
from bridge.tools import Tools
from bridge.tools.cgroups import first_process, of_container, still_there
from bridge.tools.containers import Container, Sight

UP = ("running", "paused", "restarting")
LONGEST = 86400.0  # seconds; what root allows
SEEN = 2.0  # seconds until what root did is seen from here
FIRST_BREATH = 0.5  # seconds a container is looked at before its start is believed
RETURN = 1.0  # seconds in which who was stopped may be started again, and nobody hears of it


def docker_name(node: Node) -> str:
    """The name of a container, or of a project, which is stricter."""
    written = text(node)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", written, re.ASCII):
        raise Wrong(f"{written!r} cannot be a name of Docker's; write one that `docker ps --all` shows")
    return written


def project_name(node: Node) -> str:
    written = text(node)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{1,127}", written, re.ASCII):
        raise Wrong(f"{written!r} cannot be the name of a project; write one that `docker compose ls` shows")
    return written


@dataclass(frozen=True)
class Docker(Kind):
    """On when the container runs, or all of the project; `grace`: how long each may take to end."""

    container: Annotated[str | None, From(docker_name)] = None
    project: Annotated[str | None, From(project_name)] = None
    grace: Duration | None = None

    can_restart = True
    vital = frozenset({"cpu", "memory", "health"})

    @property
    def deadline(self) -> float:
        """A project's containers end one after the other where they need each other."""
        return DEADLINE + (self.grace or 0) * (3 if self.project else 1)

    def open(self, key: str, tools: Tools) -> Accessory:
        return Containers(key, self.what, tools)

    @property
    def what(self) -> str:
        return f"container {self.container}" if self.container else f"container of the project {self.project}"

    def problems(self) -> Iterable[tuple[str, str]]:
        if self.container is None and self.project is None:
            yield (
                "container",
                "missing; write `container: NAME`, or `project: NAME` for all of a compose project",
            )
        if self.container is not None and self.project is not None:
            yield "project", "either a container or a project; make it two accessories"
        if (self.grace or 0) > LONGEST:
            yield "grace", "longer than a day; root allows no more"

    def grants(self, key: str) -> Iterable[Grant]:
        grace = None if self.grace is None else math.ceil(self.grace)
        return [ContainerGrant(key, self.container, self.project, grace)]

    async def doubts(self, tools: Tools) -> Iterable[str]:
        names = [project if self.project else name for name, project in await tools.containers.everything()]
        wanted = self.project or self.container or ""
        if wanted in names:
            return []
        near = difflib.get_close_matches(wanted, filter(None, names), n=1)
        cure = f"did you mean {near[0]}?" if near else "`docker ps --all` shows those there are"
        return [f"there is no {self.what} on this machine; {cure}"]


class Containers(Accessory):
    """Seen by the helper's watch, moved by its other words."""

    def __init__(self, key: str, what: str, tools: Tools) -> None:
        self._key, self._what, self._tools = key, what, tools
        self._measured: list[str] = []
        self._places = Vitals()

    async def watch(self) -> AsyncGenerator[State, None]:
        seen, before = None, State(None)
        while True:
            seen = await self._tools.containers.next(self._key, seen)
            state = self._state(seen)
            if before.on and state.on is False and not state.died:
                yield replace(state, moving=True)
                seen = await self._tools.containers.next(self._key, seen, RETURN)
                state = self._state(seen)
            yield state
            before = state

    async def set(self, on: bool) -> State:
        there = self._there()
        if on and not self._state(there).on:
            await self._tools.root.call("container-start", self._key)
        elif not on and any(one.state in UP for one in there):
            await self._tools.root.call("container-stop", self._key)
        return await self._seen(on)

    async def restart(self) -> State:
        if not any(one.state in ("running", "restarting") for one in self._there()):
            raise Refused(f"nothing to restart: {self._state(self._there()).reason}")
        await self._tools.root.call("container-restart", self._key)
        return await self._seen(True)

    async def vitals(self) -> Vitals:
        running = [one for one in self._there() if one.state == "running"]
        told = {one.health for one in running if one.health in ("healthy", "unhealthy")}
        ids = [one.id for one in running]
        if ids != self._measured or not self._places.cgroups or not still_there(self._places):
            self._measured, self._places = ids, places(ids)
        return replace(self._places, healthy="unhealthy" not in told if told else None)

    def _there(self) -> tuple[Container, ...]:
        sight = self._tools.containers.sight(self._key)
        if sight is None or isinstance(sight, str):
            raise Unavailable(sight or "not observed yet")
        return sight

    async def _seen(self, on: bool) -> State:
        """What is seen of it; for a start, a moment later."""
        containers = self._tools.containers
        sight = await containers.until(self._key, lambda sight: self._state(sight).on is on, SEEN)
        if on and self._state(sight).on:
            sight = await containers.until(self._key, lambda sight: not self._state(sight).on, FIRST_BREATH)
        return self._state(sight)

    def _state(self, sight: Sight | None) -> State:
        if sight is None or isinstance(sight, str):
            return State(None, reason=sight or "not observed yet")
        if not sight:
            return State(None, reason=f"there is no {self._what}; `docker ps --all` shows those there are")
        return state_of(sight)


def state_of(containers: Sequence[Container]) -> State:
    """One tile's fact: on when all run that have to."""
    down = [one for one in containers if one.state != "running" and not (one.once and one.code == 0)]
    ill = [one for one in containers if one.state == "running" and one.health == "unhealthy"]
    reasons = [f"{one.name} {_why(one)}" for one in down] + [f"{one.name} is unhealthy" for one in ill]
    return State(
        on=not down and any(one.state == "running" for one in containers),
        moving=any(one.state in ("restarting", "removing") for one in down),
        died=any(_died(one) for one in down) or (bool(ill) and not down),
        reason=", ".join(reasons),
    )


def _died(one: Container) -> bool:
    return one.state == "restarting" or (one.state in ("exited", "dead") and bool(one.code) and not one.asked)


def _why(one: Container) -> str:
    if one.state == "exited":
        if one.asked or not one.code:
            return "is stopped"
        return f"ended with exit code {one.code}; see `docker logs {one.name}`"
    if one.state == "restarting":
        return f"is started again and again (exit code {one.code}); see `docker logs {one.name}`"
    return {"created": "was never started", "removing": "is being removed"}.get(one.state, f"is {one.state}")


def places(ids: Iterable[str]) -> Vitals:
    """Where the containers with these ids are measured."""
    groups = tuple(group for id in ids if (group := of_container(id)))
    return Vitals(groups, tuple(pid for group in groups if (pid := first_process(group))))
