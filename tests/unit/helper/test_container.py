"""The helper's words for containers."""

from typing import Any

import pytest

from bridge.helper import process, verbs
from bridge.helper.answer import Refusal
from bridge.helper.verbs import container as module
from tests.fakes.docker_engine import FakeEngine

pytestmark = pytest.mark.usefixtures("hearing")

MEDIA = {"container": "media", "project": None, "grace": 30}
SHOP = {"container": None, "project": "shop", "grace": None}


@pytest.fixture
def hearing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "hear_signals", lambda: None)


def do(word: str, key: str = "media") -> None:
    work = verbs.find(word)({"version": 1, "containers": {"media": MEDIA, "shop": SHOP}}, key)
    assert callable(work)
    work()


def refusal(word: str, key: str = "media") -> tuple[str, str]:
    with pytest.raises(Refusal) as refused:
        do(word, key)
    return refused.value.code, str(refused.value)


def posts(docker: FakeEngine) -> list[str]:
    """What was done to whom."""
    names = {one["Id"]: one["Names"][1].lstrip("/") for one in docker.containers}
    parts = [line.split("/") for line in docker.asked if line.startswith("POST")]
    return [f"{part[-1]} {names[part[-2]]}" for part in parts]


def shop(docker: FakeEngine, state: str = "running") -> None:
    docker.has("shop-web", state, project="shop", service="web", depends_on="db:service_started:true")
    docker.has("shop-db", state, project="shop", service="db")


def test_a_container_is_started_and_stopped_by_its_name(docker: FakeEngine) -> None:
    docker.has("other", "exited")
    media = docker.has("media", "exited")
    do("container-start")
    assert media["State"] == "running"
    do("container-stop")
    assert media["State"] == "exited"
    assert posts(docker) == ["start media", "stop media"]


def test_what_is_so_already_is_done(docker: FakeEngine) -> None:
    docker.has("media")
    do("container-start")
    assert posts(docker) == ["start media"]


def test_starting_what_is_paused_lets_it_go_on(docker: FakeEngine) -> None:
    media = docker.has("media", "paused")
    do("container-start")
    assert media["State"] == "running"
    assert posts(docker) == ["unpause media"]


def test_a_project_is_started_in_its_own_order_and_stopped_in_reverse(docker: FakeEngine) -> None:
    shop(docker, "exited")
    do("container-start", "shop")
    do("container-stop", "shop")
    assert posts(docker) == ["start shop-db", "start shop-web", "stop shop-web", "stop shop-db"]


def test_what_the_engine_will_not_do_is_a_failure_in_its_words(docker: FakeEngine) -> None:
    media = docker.has("media", "exited")
    docker.answers[f"/containers/{media['Id']}/start"] = (500, '{"message": "port is already allocated"}')
    assert refusal("container-start") == ("failed", "media does not start: port is already allocated")


@pytest.mark.parametrize("word", ["container-start", "container-stop", "container-restart"])
def test_what_is_not_there_is_a_failure_with_a_cure(docker: FakeEngine, word: str) -> None:
    code, reason = refusal(word)
    assert code == "failed"
    assert reason == "there is no container media; `docker ps --all` shows those there are"


def test_what_runs_is_restarted_and_only_that(docker: FakeEngine) -> None:
    shop(docker)
    docker.containers[0]["State"] = "exited"
    do("container-restart", "shop")
    assert posts(docker) == ["stop shop-db", "start shop-db"]


def test_a_restart_is_not_ended_half_way_by_a_signal(
    docker: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bool] = []
    monkeypatch.setattr(process, "hear_signals", lambda: heard.append(True))
    docker.has("media")
    do("container-restart")
    assert heard == []
    do("container-stop")
    assert heard == [True]


def test_a_restart_keeps_the_projects_order_and_runs_no_migration_again(docker: FakeEngine) -> None:
    shop(docker)
    docker.has("shop-job", project="shop", service="job")
    docker.has(
        "shop-app", project="shop", service="app", depends_on="job:service_completed_successfully:true"
    )
    do("container-restart", "shop")
    done = posts(docker)
    assert "stop shop-job" not in done
    assert done.index("stop shop-web") < done.index("stop shop-db")
    assert done.index("start shop-db") < done.index("start shop-web")


@pytest.mark.parametrize("state", ["exited", "paused", "created"])
def test_a_restart_starts_nothing_that_does_not_run(docker: FakeEngine, state: str) -> None:
    docker.has("media", state)
    assert refusal("container-restart") == ("refused", "nothing to restart: no container media runs")
    assert posts(docker) == []


def test_what_somebody_stopped_just_before_stays_off(docker: FakeEngine) -> None:
    media = docker.has("media")
    docker.meanwhile["stop"] = lambda there: there.update(State="exited")
    assert refusal("container-restart") == (
        "refused",
        "somebody else stopped media meanwhile, so it stays off",
    )
    assert media["State"] == "exited"


def test_what_somebody_asked_to_end_while_it_was_stopped_stays_off(docker: FakeEngine) -> None:
    media = docker.has("media")
    docker.happens("kill", media, signal="15")
    docker.happens("start", media)
    docker.happens("kill", media, signal="1")
    docker.meanwhile["stop"] = lambda there: docker.happens("kill", there, signal="15")
    assert refusal("container-restart")[0] == "refused"
    assert posts(docker) == ["stop media"]


@pytest.mark.parametrize(
    ("key", "says", "after", "state"),
    [
        ("media", None, 29, "exited"),
        ("media", None, 30, "running"),
        ("shop", None, 9, "exited"),
        ("shop", None, 10, "running"),
        ("shop", 60, 59, "exited"),
        ("shop", 60, 60, "running"),
        ("shop", -1, 5000, "exited"),
    ],
)
def test_what_is_killed_before_its_time_is_over_was_killed_by_somebody_else(
    docker: FakeEngine, key: str, says: int | None, after: float, state: str
) -> None:
    there = docker.has("media", project="shop")
    there["Config"]["StopTimeout"] = says
    docker.later["stop"] = lambda there: docker.happens("kill", there, at=after, signal="9")
    if state == "running":
        do("container-restart", key)
    else:
        assert refusal("container-restart", key)[0] == "refused"
    assert there["State"] == state


def test_what_was_killed_just_before_stays_off(docker: FakeEngine) -> None:
    media = docker.has("media")
    docker.meanwhile["stop"] = lambda there: docker.happens("kill", there, signal="9")
    assert refusal("container-restart")[0] == "refused"
    assert media["State"] == "exited"


def test_what_somebody_asked_to_end_before_its_last_start_does_not_count(docker: FakeEngine) -> None:
    media = docker.has("media")
    docker.happens("kill", media, signal="15")
    docker.happens("start", media)
    docker.happens("kill", media, signal="1")
    do("container-restart")
    assert media["State"] == "running"


def test_watching_tells_of_everything_and_knows_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[Any] = []
    monkeypatch.setattr(module, "watch", watched.append)
    do("container-watch", "all")
    assert [str(entry) for entry in watched[0].values()] == [
        "container media",
        "container of the project shop",
    ]
    assert refusal("container-watch", "media")[0] == "denied"


def test_who_is_not_in_the_policy_is_denied() -> None:
    assert refusal("container-start", "other") == (
        "denied",
        "root was not told to allow container other; run: sudo bellpull apply",
    )


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"container": "media", "project": "shop"},
        {"container": "../etc"},
        {"container": "m"},
        {"project": 5},
        {"container": "media", "grace": -1},
        {"container": "media", "grace": 90000},
        {"container": "media", "grace": "30"},
    ],
)
def test_a_policy_that_apply_did_not_write_is_unusable(entry: dict[str, object]) -> None:
    with pytest.raises(Refusal) as refused:
        module.start({"containers": {"media": entry}}, "media")
    assert refused.value.code == "policy"


def test_a_policy_without_containers_is_unusable() -> None:
    with pytest.raises(Refusal, match="it has no containers"):
        module.start({}, "media")
