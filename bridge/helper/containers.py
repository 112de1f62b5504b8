"""Containers as the engine lists them: those of one entry of the policy, in the order to start them.

The list and not each one's description, because the engine holds that back while a container starts.
"""

import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from .engine import Described, Engine

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
AFTER = (
    "com.docker.compose.depends_on"  # "db:service_healthy:false,migrate:service_completed_successfully:false"
)
ONE_OFF = "com.docker.compose.oneoff"
COMPLETED = "service_completed_successfully"
UP = ("running", "paused", "restarting")

CODE = re.compile(r"\((\d{1,3})\)")  # in "Exited (137) 2 minutes ago"
HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")  # in "Up 2 hours (unhealthy)"


class Entry(NamedTuple):
    """What the policy holds of a key: one container or one project; seconds to end in, None: its own."""

    container: str | None
    project: str | None
    grace: int | None

    def __str__(self) -> str:
        return f"container {self.container}" if self.container else f"container of the project {self.project}"


class Container(NamedTuple):
    """state is Docker's word; code how it ended last; health None without a health check."""

    id: str
    name: str
    state: str
    code: int | None
    health: str | None
    project: str
    service: str
    after: dict[str, str]

    @property
    def up(self) -> bool:
        return self.state in UP


def listed(engine: Engine) -> list[Container]:
    """Every container there is, whatever its state; what `docker compose run` made is left out."""
    found = engine.ask("/containers/json", all=1)
    return [_container(one) for one in found if (one.get("Labels") or {}).get(ONE_OFF) != "True"]


def of(entry: Entry, containers: Iterable[Container]) -> list[Container]:
    """The entry's own among them, by name."""
    if entry.container is not None:
        return [one for one in containers if one.name == entry.container]
    return sorted((one for one in containers if one.project == entry.project), key=lambda one: one.name)


def levels(containers: Iterable[Container]) -> list[list[Container]]:
    """In the order of the project's depends_on: those of one level may be started at the same time."""
    services: dict[str, list[Container]] = {}
    for one in containers:
        services.setdefault(one.service or one.name, []).append(one)
    sorter = TopologicalSorter(
        {name: {other for one in group for other in one.after} for name, group in services.items()}
    )
    try:
        sorter.prepare()
    except CycleError:
        return [[one for group in services.values() for one in group]]
    found = [[one for name in names for one in services.get(name, ())] for names in _ready(sorter)]
    return [level for level in found if level]


def completing(containers: Iterable[Container]) -> set[str]:
    """Services that the others wait for to end well: a migration, a download."""
    return {service for one in containers for service, how in one.after.items() if how == COMPLETED}


def _ready(sorter: "TopologicalSorter[str]") -> Iterator[tuple[str, ...]]:
    while sorter.is_active():
        names = sorter.get_ready()
        yield names
        sorter.done(*names)


def _container(one: Described) -> Container:
    names = [name for name in one.get("Names") or () if name.count("/") == 1]  # the others are links to it
    labels = one.get("Labels") or {}
    status = str(one.get("Status", ""))
    code, health = CODE.search(status), HEALTH.search(status)
    return Container(
        str(one["Id"]),
        names[0].lstrip("/") if names else "",
        str(one.get("State", "")),
        int(code[1]) if code else None,
        health[1] if health else None,
        str(labels.get(PROJECT, "")),
        str(labels.get(SERVICE, "")),
        dict(_after(str(labels.get(AFTER, "")))),
    )


def _after(written: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, written.split(",")):
        service, how = (*part.split(":"), "")[:2]
        yield service, how
