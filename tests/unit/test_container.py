"""`kind: container`, with a helper that does as it is told."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from accessories.container import Docker, state_of
from bridge import config
from bridge.contract import Accessory, ContainerGrant, Failed, Refused, State, Unavailable, Vitals
from bridge.tools import Tools, cgroups
from bridge.tools import containers as module
from bridge.tools.containers import Container
from tests.fakes.docker import FakeDocker

MEDIA = Container("1", "media", "running")
DB, WEB = Container("2", "shop-db", "running"), Container("3", "shop-web", "running")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """The key media has a container, shop a project of two, gone nothing."""
    (tmp_path / "docker.pid").write_text(str(os.getpid()))
    monkeypatch.setattr(module, "PIDFILE", tmp_path / "docker.pid")
    return FakeDocker(media=[MEDIA], shop=[DB, WEB], gone=[])


@pytest.fixture
async def tools(docker: FakeDocker, tmp_path: Path) -> AsyncIterator[Tools]:
    tools = Tools(secrets=tmp_path)
    tools.__dict__["root"] = docker
    yield tools
    await tools.close()


def opened(tools: Tools, key: str = "media") -> Accessory:
    return Docker(container=key if key != "shop" else None, project="shop" if key == "shop" else None).open(
        key, tools
    )


class Watching:
    """The states that an accessory tells."""

    def __init__(self, accessory: Accessory) -> None:
        self._states = accessory.watch()

    async def next(self) -> State:
        async with asyncio.timeout(10):
            return await anext(self._states)


def errors(entry: str) -> list[str]:
    _, problems = config.parse(f"accessories:\n  media:\n    kind: container\n    {entry}\n", "x.yaml")
    return problems


# The configuration


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("name: Media", "missing; write `container: NAME`, or `project: NAME` for all of a compose project"),
        ("{container: media, project: shop}", "either a container or a project"),
        ("container: ../etc", "cannot be a name of Docker's; write one that `docker ps --all` shows"),
        ("container: m", "cannot be a name of Docker's"),
        ("project: Shop", "cannot be the name of a project; write one that `docker compose ls` shows"),
        ("{container: media, grace: 1441m}", "longer than a day"),
        ("{container: media, grace: soon}", "grace"),
        ("{container: media, cpu: 5}", "unknown key"),
    ],
)
def test_what_makes_no_sense_is_told_with_the_cure(entry: str, said: str) -> None:
    fields = entry.strip("{}").replace(", ", "\n    ")
    (problem,) = errors(fields)
    assert said in problem


@pytest.mark.parametrize("fields", ["container: media", "project: shop-1", "container: A_b.c\n    grace: 1m"])
def test_what_makes_sense_is_taken(fields: str) -> None:
    assert errors(fields) == []


def test_root_is_asked_for_this_container_or_project_and_no_more() -> None:
    assert list(Docker(container="media", grace=1.5).grants("k")) == [ContainerGrant("k", "media", None, 2)]
    assert list(Docker(project="shop").grants("k")) == [ContainerGrant("k", None, "shop", None)]


def test_a_wish_may_take_as_long_as_the_containers_may() -> None:
    assert Docker(container="media").deadline == 100
    assert Docker(container="media", grace=60).deadline == 160
    assert Docker(project="shop", grace=60).deadline == 280


# The fact


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, State(True)),
        ({"health": "healthy"}, State(True)),
        ({"health": "starting"}, State(True)),
        ({"health": "unhealthy"}, State(True, died=True, reason="media is unhealthy")),
        ({"state": "paused"}, State(False, reason="media is paused")),
        ({"state": "created"}, State(False, reason="media was never started")),
        ({"state": "exited", "code": 0}, State(False, reason="media is stopped")),
        ({"state": "exited", "code": 143, "asked": True}, State(False, reason="media is stopped")),
        (
            {"state": "exited", "code": 3},
            State(False, died=True, reason="media ended with exit code 3; see `docker logs media`"),
        ),
        (
            {"state": "restarting", "code": 1},
            State(
                False,
                moving=True,
                died=True,
                reason="media is started again and again (exit code 1); see `docker logs media`",
            ),
        ),
        ({"state": "removing"}, State(False, moving=True, reason="media is being removed")),
        ({"state": "dead", "code": 1}, State(False, died=True, reason="media is dead")),
        ({"state": "of a later engine"}, State(False, reason="media is of a later engine")),
    ],
)
def test_each_of_dockers_states_has_a_meaning(changes: dict[str, object], state: State) -> None:
    assert state_of([replace(MEDIA, **changes)]) == state  # type: ignore[arg-type]


def test_a_project_is_on_when_all_of_it_runs() -> None:
    assert state_of([DB, WEB]) == State(True)
    stopped = replace(DB, state="exited", code=0)
    assert state_of([stopped, WEB]) == State(False, reason="shop-db is stopped")
    assert state_of([DB, replace(WEB, health="unhealthy")]).died


def test_what_has_done_its_work_need_not_run() -> None:
    migration = Container("4", "shop-migrate", "exited", 0, once=True)
    assert state_of([DB, WEB, migration]) == State(True)
    assert state_of([DB, replace(migration, code=1)]).died
    assert state_of([migration]).on is False


async def test_what_happens_outside_is_told(docker: FakeDocker, tools: Tools) -> None:
    states = Watching(opened(tools))
    assert await states.next() == State(True)
    docker.change("media", state="exited", code=3)
    assert (await states.next()).died
    docker.change("media", state="running", code=None)
    assert await states.next() == State(True)


async def test_who_is_stopped_and_started_again_at_once_does_not_bounce(
    docker: FakeDocker, tools: Tools
) -> None:
    states = Watching(opened(tools))
    await states.next()
    docker.change("media", state="exited", code=143, asked=True)
    assert await states.next() == State(False, moving=True, reason="media is stopped")
    docker.change("media", state="running", code=None, asked=False)
    assert await states.next() == State(True)


async def test_who_is_stopped_and_stays_so_is_off(
    docker: FakeDocker, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accessories.container.RETURN", 0.01)
    states = Watching(opened(tools))
    await states.next()
    docker.change("media", state="exited", code=143, asked=True)
    assert (await states.next()).moving
    assert await states.next() == State(False, reason="media is stopped")


async def test_what_never_existed_is_unknown_with_the_cure(tools: Tools) -> None:
    state = await Watching(opened(tools, "gone")).next()
    assert state == State(None, reason="there is no container gone; `docker ps --all` shows those there are")


async def test_what_is_removed_is_unknown_until_it_is_made_again(docker: FakeDocker, tools: Tools) -> None:
    states = Watching(opened(tools))
    await states.next()
    docker.put("media")
    assert (await states.next()).on is None
    docker.put("media", replace(MEDIA, id="9"))
    assert await states.next() == State(True)


async def test_an_engine_that_goes_away_makes_it_unknown_and_says_so(
    docker: FakeDocker, tools: Tools
) -> None:
    states = Watching(opened(tools))
    await states.next()
    docker.breaks()
    assert await states.next() == State(None, reason="Docker's engine has gone away")
    with pytest.raises(Unavailable, match="has gone away"):
        await opened(tools).set(True)


# The wish


async def test_turning_off_and_on_asks_root_once_each(docker: FakeDocker, tools: Tools) -> None:
    media = opened(tools)
    await Watching(media).next()
    assert await media.set(False) == State(False, reason="media is stopped")
    assert await media.set(True) == State(True)
    assert docker.calls == ["container-stop media", "container-start media"]


async def test_what_is_so_already_asks_nobody(docker: FakeDocker, tools: Tools) -> None:
    media = opened(tools)
    await Watching(media).next()
    assert await media.set(True) == State(True)
    docker.change("media", state="exited", code=0)
    await asyncio.sleep(0)
    assert (await media.set(False)).on is False
    assert docker.calls == []


async def test_half_a_project_can_be_turned_on_and_off(docker: FakeDocker, tools: Tools) -> None:
    docker.there["shop"] = [DB, replace(WEB, state="exited", code=0)]
    shop = opened(tools, "shop")
    await Watching(shop).next()
    assert (await shop.set(True)).on
    docker.there["shop"] = [DB, replace(WEB, state="exited", code=0)]
    docker.put("shop", *docker.there["shop"])
    await asyncio.sleep(0)
    assert (await shop.set(False)).on is False
    assert docker.calls == ["container-start shop", "container-stop shop"]


async def test_what_ends_as_soon_as_it_is_started_is_not_called_on(docker: FakeDocker, tools: Tools) -> None:
    docker.there["media"] = [replace(MEDIA, state="exited", code=0)]
    media = opened(tools)
    await Watching(media).next()
    setting = asyncio.create_task(media.set(True))
    await asyncio.sleep(0.03)
    docker.change("media", state="exited", code=1)
    state = await setting
    assert state.died and "exit code 1" in state.reason


async def test_what_root_says_is_the_reason(docker: FakeDocker, tools: Tools) -> None:
    docker.there["media"] = [replace(MEDIA, state="exited", code=0)]
    media = opened(tools)
    await Watching(media).next()
    docker.trouble = Failed("media does not start: port is already allocated")
    with pytest.raises(Failed, match="port is already allocated"):
        await media.set(True)


async def test_a_restart_restarts_what_runs_and_nothing_else(docker: FakeDocker, tools: Tools) -> None:
    media = opened(tools)
    await Watching(media).next()
    assert await media.restart() == State(True)
    docker.put("media", replace(MEDIA, state="exited", code=0))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="nothing to restart: media is stopped"):
        await media.restart()
    assert docker.calls == ["container-restart media"]


async def test_before_the_first_look_nothing_is_known(tools: Tools) -> None:
    with pytest.raises(Unavailable, match="not observed yet"):
        await opened(tools).set(True)


# What it uses, and what `check` says


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups with one of media's, in which this process lives."""
    monkeypatch.setattr(cgroups, "root", lambda: tmp_path / "cgroup")
    monkeypatch.setattr(
        cgroups, "holds", lambda group, pid: (cgroups.folder(group) / "cgroup.procs").exists()
    )
    folder = tmp_path / "cgroup/system.slice/docker-1.scope"
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return folder


async def test_the_watchdog_is_told_where_to_measure(docker: FakeDocker, tools: Tools, groups: Path) -> None:
    docker.there["media"] = [replace(MEDIA, health="unhealthy")]
    media = opened(tools)
    await Watching(media).next()
    assert await media.vitals() == Vitals(("/system.slice/docker-1.scope",), (os.getpid(),), False)
    docker.change("media", health="healthy")
    await asyncio.sleep(0)
    assert (await media.vitals()).healthy is True
    docker.change("media", state="exited", code=0)
    await asyncio.sleep(0)
    assert await media.vitals() == Vitals()


@pytest.mark.parametrize("health", [None, "starting"])
async def test_without_a_word_of_a_health_check_nobody_knows(
    docker: FakeDocker, tools: Tools, groups: Path, health: str | None
) -> None:
    docker.there["media"] = [replace(MEDIA, health=health, id="2")]
    media = opened(tools)
    await Watching(media).next()
    assert await media.vitals() == Vitals()


@pytest.mark.parametrize(
    ("kind", "doubts"),
    [
        (Docker(container="media"), []),
        (Docker(project="shop"), []),
        (Docker(container="mdia"), ["there is no container mdia on this machine; did you mean media?"]),
        (
            Docker(project="books"),
            [
                "there is no container of the project books on this machine; "
                "`docker ps --all` shows those there are"
            ],
        ),
    ],
)
async def test_a_check_says_what_is_not_there(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, kind: Docker, doubts: list[str]
) -> None:
    async def everything() -> list[tuple[str, str]]:
        return [("media", ""), ("shop-db", "shop")]

    monkeypatch.setattr(tools.containers, "everything", everything)
    assert list(await kind.doubts(tools)) == doubts
