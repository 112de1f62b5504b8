from bridge.helper.containers import Container, Entry, completing, levels, listed, of
from bridge.helper.engine import Engine
from tests.fakes.docker_engine import FakeEngine


def one(name: str, **after: str) -> Container:
    return Container(name, f"shop-{name}", "running", None, None, "shop", name, after)


def names(found: list[list[Container]]) -> list[list[str]]:
    return [sorted(one.name for one in level) for level in found]


def test_a_container_is_read_from_the_line_that_docker_ps_shows(docker: FakeEngine) -> None:
    docker.has("media", "exited", status="Exited (137) 2 hours ago")
    docker.has("db", status="Up 3 minutes (unhealthy)", project="shop", service="db")
    docker.has("web", status="Up 1 second (health: starting)", project="shop", depends_on="db:x:true,mail")
    docker.has("job", oneoff="True", project="shop")
    docker.containers.append({"Id": "f", "Names": None})
    with Engine() as engine:
        media, db, web, odd = listed(engine)
    assert (media.name, media.state, media.code, media.health) == ("media", "exited", 137, None)
    assert (db.project, db.service, db.code, db.health) == ("shop", "db", None, "unhealthy")
    assert (web.health, web.after) == ("starting", {"db": "x", "mail": ""})
    assert (odd.name, odd.state) == ("", "")
    assert media.up is False and db.up is True


def test_an_entry_has_one_container_by_its_name_or_all_of_a_project() -> None:
    there = [one("web"), one("db"), Container("9", "media", "exited", 0, None, "", "", {})]
    assert [found.name for found in of(Entry("media", None, None), there)] == ["media"]
    assert [found.name for found in of(Entry(None, "shop", None), there)] == ["shop-db", "shop-web"]
    assert of(Entry("web", None, None), there) == []
    assert str(Entry("media", None, None)) == "container media"
    assert str(Entry(None, "shop", None)) == "container of the project shop"


def test_who_needs_others_comes_after_them() -> None:
    web, app = one("web", app="service_started"), one("app", db="service_healthy", mail="service_started")
    assert names(levels([web, app, one("db"), one("mail")])) == [
        ["shop-db", "shop-mail"],
        ["shop-app"],
        ["shop-web"],
    ]


def test_a_needed_service_without_a_container_holds_nobody_up() -> None:
    assert names(levels([one("web", db="service_started")])) == [["shop-web"]]


def test_services_that_need_each_other_are_started_together() -> None:
    assert names(levels([one("a", b="x"), one("b", a="x")])) == [["shop-a", "shop-b"]]


def test_what_others_wait_for_to_end_well_is_known() -> None:
    web = one("web", migrate="service_completed_successfully", db="service_healthy")
    assert completing([web, one("db")]) == {"migrate"}
