"""What the router decides, with a kernel and an engine that are fakes."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.helper import docker, news, pins, routing
from bridge.helper.answer import Refusal
from bridge.helper.kernel import POINT_TO_POINT, UP, Link
from bridge.helper.policy import Policy
from bridge.helper.routing import Router
from bridge.helper.verbs import route
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import FakeKernel

NETWORK, INSIDE = "0-bellpull-tv", "/proc/7/ns/net"
ENTRY: dict[str, Any] = {
    "bridge": "vpn-tv",
    "table": 24810,
    "interface": "tun0",
    "lan": ["192.168.1.0/24"],
    "ipv6": True,
    "network": NETWORK,
    "container": "tv",
    "dns": True,
}
TUNNEL = Link("tun0", 5, UP | POINT_TO_POINT, (("10.8.0.2", 32),))


class Place:
    """A machine with a router on it."""

    def __init__(self, folder: Path) -> None:
        self.kernel, self.engine, self.folder = FakeKernel(), FakeEngine(), folder
        self.kernel.links_of[""] = [TUNNEL]
        self.kernel.ways[INSIDE, "4"] = "eth0"
        self.engine.network(NETWORK, "vpn-tv")
        self.engine.network("web", "br-web")
        self.rules: Policy = {"version": 1, "routes": {"tv": ENTRY}}
        self.come_up(address="172.20.0.2")
        self.router = self.started()

    def started(self) -> Router:
        router = Router(lambda: self.rules)
        router.begin()
        return router

    def come_up(self, id: str = "1", *, address: str = "", web: str = "", running: bool = True) -> None:
        """The container is made, on its network if it has an `address` there."""
        networks = ({NETWORK: address} if address else {}) | ({"web": web} if web else {})
        self.engine.container("tv", id, networks, running=running)
        self.kernel.links_of[INSIDE] = [Link("eth0", 2, UP, ((address or "172.20.0.9", 16),))]

    def hear(self, word: str, id: str = "1", name: str = "tv", kind: str = "container") -> None:
        attributes = {"name": name} if kind == "container" else {"container": id}
        actor = {"ID": id, "Attributes": attributes}
        self.router.heard({"Type": kind, "Action": word, "Actor": actor})

    def said(self, key: str = "tv") -> dict[str, Any]:
        said: dict[str, Any] = json.loads((self.folder / "run" / f"{key}.json").read_text())
        return said


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("run", "state"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(news, "FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(news, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(news, "PATIENCE", 0.0)
    place = Place(tmp_path)
    for module in (routing, pins):
        monkeypatch.setattr(module, "kernel", place.kernel)
    for name in ("runs", "networks", "containers", "on_network", "connect", "inspect"):
        monkeypatch.setattr(docker, name, getattr(place.engine, name))
    return place


def test_turned_on_the_way_is_laid_the_container_pinned_and_off_takes_all_of_it_back(place: Place) -> None:
    place.router.turn_on("tv")
    assert len(place.kernel.there(4720)) == len(place.kernel.there(4721, "6")) == 1
    place.router.survey()
    assert place.router.settled == {"1": True}
    assert [rule.split()[1] for rule in place.kernel.rules_of[INSIDE, "4"]] == ["4710", "4720", "4721"]
    assert (place.folder / "state" / "tv").read_text() == "[]"
    place.router.turn_off("tv")
    place.router.survey()
    assert not any(place.kernel.rules_of.values())
    assert list((place.folder / "state").iterdir()) == []
    place.router.turn_off("tv")


def test_it_is_on_before_docker_after_a_start_and_what_was_not_ours_is_walled_in(place: Place) -> None:
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.router.turn_on("tv")
    place.kernel.rules_of.clear()
    (place.folder / "state" / "gone").write_text("[]")
    place.engine.running = False
    router = place.started()
    assert list(router.on) == ["tv"]
    assert place.kernel.there(4760) == ["pref 4760 iif br-web type unreachable protocol 217"]
    assert len(place.kernel.there(4721)) == 1


def test_what_systemd_lays_when_it_has_ended_closes_every_bridge_but_for_those_it_knows(place: Place) -> None:
    place.engine.container("shop", "2", {"web": "172.21.0.3"})
    place.router.turn_on("tv")
    place.router.survey()
    left = (place.folder / "run" / "ended-4").read_text().splitlines()
    assert left == [
        "rule add pref 4760 iif br-web type unreachable protocol 217",
        "rule add pref 4740 to 192.168.1.0/24 iif br-web lookup 254 protocol 217",
        "rule add pref 4750 from 172.21.0.3 iif br-web lookup 254 protocol 217",
    ]
    place.kernel.change({"4": left})
    place.engine.there.pop("1")
    place.come_up("3", web="172.21.0.4")  # anew, elsewhere, and nobody heard
    router = place.started()
    assert len(place.kernel.there(4760)) == 1, "it stands until the engine was asked"
    router.survey()
    assert router.settled == {"3": True} and not place.kernel.there(4760)
    router.turn_off("tv")
    assert (place.folder / "run" / "ended-4").read_text() == ""


def test_what_the_last_router_left_stands_until_a_survey_in_which_nothing_happened(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.router.turn_on("tv")
    place.kernel.change({"4": ["rule add pref 4760 iif br-web type unreachable protocol 217"]})
    place.engine.there.clear()
    router = place.router = place.started()
    listed = docker.containers

    def meanwhile() -> list[docker.Container]:
        before = listed()
        place.come_up("2", web="172.21.0.2")
        place.hear("create", "2")
        return before

    with monkeypatch.context() as patch:
        patch.setattr(docker, "containers", meanwhile)
        router.survey()
    assert len(place.kernel.there(4760)) == 1
    router.survey()
    assert not place.kernel.there(4760)


def test_a_network_that_was_just_made_is_walled_before_it_was_looked_at(place: Place) -> None:
    place.router.turn_on("tv")
    place.router.survey()
    made = {"Type": "network", "Action": "create", "Actor": {"ID": "0123456789abcdef"}}
    place.router.heard(made)
    place.hear("create", "2")
    assert any("iif br-0123456789ab " in rule for rule in place.kernel.there(4760))


def test_a_file_that_was_half_written_costs_the_walls_only(place: Place) -> None:
    (place.folder / "state" / "tv").write_text("[")
    assert place.started().walls == {"tv": set()}


def test_a_policy_without_routes_leaves_nothing_to_do(place: Place) -> None:
    place.rules = {"version": 1}
    assert place.started().own == set()


def test_with_other_networks_each_address_there_is_guarded(place: Place) -> None:
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.engine.container("shop", "2", {"web": "172.21.0.3"})
    place.router.turn_on("tv")
    assert place.kernel.there(4745) == ["pref 4745 from 172.21.0.2 iif br-web type unreachable protocol 217"]
    assert len(place.kernel.there(4760)) == 1 and len(place.kernel.there(4750)) == 1
    place.router.survey()
    assert not place.kernel.there(4760) and len(place.kernel.there(4745)) == 1


@pytest.mark.parametrize("named", [True, False])
def test_an_address_is_guarded_when_the_wall_goes_though_its_network_does_not_tell_it_yet(
    place: Place, named: bool
) -> None:
    if not named:
        place.rules = {"version": 1, "routes": {"tv": {**ENTRY, "container": None}}}
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.router.turn_on("tv")
    place.hear("die")
    place.engine.coming_up = {"1"} if named else set()
    place.router.survey()
    assert place.router.settled == {"1": True} and not place.kernel.there(4760)
    assert place.kernel.there(4745) == ["pref 4745 from 172.21.0.2 iif br-web type unreachable protocol 217"]


def test_an_address_stays_guarded_while_the_next_survey_is_not_told_of_it_either(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.router.turn_on("tv")
    place.router.survey()
    place.engine.coming_up = {"1"}
    inspect, guarded = docker.inspect, []

    def meanwhile(container: str) -> docker.Described | None:
        guarded.append(len(place.kernel.there(4745)))
        return inspect(container)

    monkeypatch.setattr(docker, "inspect", meanwhile)
    place.router.survey()
    assert guarded == [1]
    place.come_up(address="172.20.0.2")
    place.router.survey()
    assert not place.kernel.there(4745), "it left that network"


def test_a_default_route_that_another_network_has_is_held_before_it_is_turned_on(place: Place) -> None:
    place.engine.network("0-a", "br-a")
    place.engine.container("tv", "1", {NETWORK: "172.20.0.2", "0-a": "172.22.0.2"})
    place.router.turn_on("tv")
    assert place.kernel.there(4720, sandbox=INSIDE)
    place.router.turn_off("tv")
    place.kernel.ways.clear()
    with pytest.raises(Refusal, match="tv leaves by its network 0-a"):
        place.router.turn_on("tv")


def test_it_is_refused_while_names_leak_and_told_when_they_begin_to(place: Place) -> None:
    place.engine.there["1"]["dns"] = ""
    with pytest.raises(Refusal, match="no DNS server of its own"):
        place.router.turn_on("tv")
    place.engine.there["1"]["dns"] = "9.9.9.9"
    place.hear("start")
    place.router.turn_on("tv")
    place.engine.there["1"]["dns"] = "192.168.1.1"
    place.router.survey()
    assert place.said()["trouble"].startswith("tv asks 192.168.1.1 in the house")


def test_the_engine_is_asked_anew_when_it_has_told_of_something(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def inspect(name: str) -> docker.Described | None:
        asked.append(name)
        return place.engine.inspect(name)

    monkeypatch.setattr(docker, "inspect", inspect)
    for _ in range(2):
        place.router.turn_on("tv")
        place.router.turn_off("tv")
    assert asked == ["tv"]
    place.hear("die", "strange")
    place.router.turn_on("tv")
    place.router.lost()
    place.router.turn_on("tv")
    assert asked == ["tv"] * 3


def test_without_an_engine_or_the_container_it_is_turned_on_all_the_same(place: Place) -> None:
    place.engine.there.clear()
    place.router.turn_on("tv")
    place.engine.running = False
    place.router.turn_on("tv")
    assert len(place.kernel.there(4720)) == 1


def test_what_the_kernel_refuses_is_not_on_unless_it_was(place: Place) -> None:
    place.kernel.refuses = "Operation not permitted"
    with pytest.raises(Refusal, match="not permitted"):
        place.router.turn_on("tv")
    assert not place.router.on and not place.router.walls
    place.kernel.refuses = ""
    place.router.turn_on("tv")
    place.kernel.refuses = "busy"
    with pytest.raises(Refusal, match="busy"):
        place.router.turn_on("tv")
    assert list(place.router.on) == ["tv"]


def test_one_that_is_routed_again_keeps_its_pins(place: Place) -> None:
    place.router.turn_on("tv")
    place.router.survey()
    place.router.turn_off("tv")
    place.router.turn_on("tv")
    place.router.survey()
    assert place.kernel.there(4720, sandbox=INSIDE)
    place.engine.there["1"]["running"] = False
    place.router.turn_off("tv")
    place.router.survey()


# Containers come and go


def test_one_made_anew_is_walled_in_at_once_then_put_on_the_network_and_pinned(place: Place) -> None:
    place.router.turn_on("tv")
    place.router.survey()
    place.engine.there.clear()
    place.router.survey()
    place.come_up("2", web="172.21.0.2", running=False)
    place.hear("create", "2")
    assert len(place.kernel.there(4760)) == 1
    place.router.survey()
    assert NETWORK in place.engine.there["2"]["networks"]
    assert len(place.kernel.there(4760)) == 1, "it may start at any moment"
    place.engine.there["2"]["running"] = True
    place.hear("start", "2")
    place.router.survey()
    assert place.router.settled == {"2": True}
    assert not place.kernel.there(4760) and len(place.kernel.there(4745)) == 1
    assert place.said()["astray"] == ""


def test_a_stranger_that_stops_where_ours_is_not_changes_no_wall(place: Place) -> None:
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.rules = {
        "version": 1,
        "routes": {"tv": ENTRY, "film": {**ENTRY, "bridge": "vpn-film", "table": 24811}},
    }
    for key in ("tv", "film"):
        place.router.turn_on(key)
    place.hear("die")
    assert place.router.walls == {"tv": {"br-web"}, "film": set()}


def test_a_wall_outlasts_a_survey_that_began_before_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.router.turn_on("tv")
    place.router.survey()
    place.engine.there.clear()
    real = docker.networks

    def meanwhile() -> list[docker.Network]:
        place.hear("rename", "2")
        return real()

    monkeypatch.setattr(docker, "networks", meanwhile)
    place.router.survey()
    assert len(place.kernel.there(4760)) == 1


def test_one_that_the_engine_does_not_put_on_the_network_is_guarded_and_told_of(place: Place) -> None:
    place.engine.refuses = "container sharing network namespace"
    place.engine.there.clear()
    place.router.turn_on("tv")
    place.come_up("2", web="172.21.0.2", running=False)
    place.hear("create", "2")
    place.router.survey()
    assert place.said()["astray"].startswith("tv cannot be put on 0-bellpull-tv: container sharing")
    place.engine.there["2"]["running"] = True
    place.router.survey()
    assert "cannot be put on" in place.said()["astray"]
    assert [rule.split()[3] for rule in place.kernel.there(4745)] == ["172.21.0.2"]
    assert len(place.kernel.there(4760)) == 1


def test_one_that_cannot_be_pinned_stays_walled_in_unless_it_is_ending(place: Place) -> None:
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.router.turn_on("tv")
    place.kernel.ways.clear()
    place.router.survey()
    assert "leaves by nothing inside" in place.said()["astray"]
    assert len(place.kernel.there(4760)) == 1 and place.router.settled == {"1": False}


def test_one_that_comes_up_has_a_moment_before_it_is_called_astray(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "PATIENCE", 60.0)
    place.router.turn_on("tv")
    ways = {**place.kernel.ways}
    place.kernel.ways.clear()
    place.router.survey()
    assert place.router.in_doubt and place.said()["astray"] == ""
    monkeypatch.setattr(news, "PATIENCE", 0.0)
    place.router.survey()
    assert not place.router.in_doubt and place.said()["astray"]
    place.kernel.ways |= ways
    place.router.survey()
    assert not place.router.in_doubt and place.said()["astray"] == ""


def test_what_was_heard_during_a_survey_is_not_forgotten_by_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.router.turn_on("tv")
    listed = docker.containers()

    def meanwhile() -> list[docker.Container]:
        place.hear("create", "2")
        return listed

    monkeypatch.setattr(docker, "containers", meanwhile)
    place.router.survey()
    assert place.router.settled == {"1": False, "2": False}
    monkeypatch.setattr(docker, "containers", lambda: listed)
    place.router.survey()
    assert place.router.settled == {"1": True}


def test_one_that_stops_is_walled_in_where_it_was(place: Place) -> None:
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.router.turn_on("tv")
    place.router.survey()
    place.hear("die", "strange")
    assert not place.kernel.there(4760)
    place.hear("die")
    assert len(place.kernel.there(4760)) == 1
    place.engine.there["1"]["running"] = False
    place.router.survey()
    assert len(place.kernel.there(4760)) == 1
    assert place.router.settled == {"1": False}


def test_while_there_is_no_engine_walls_stand_where_they_were(place: Place) -> None:
    place.router.lost()
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.router.turn_on("tv")
    place.router.survey()
    assert not place.kernel.there(4760)
    place.router.lost()
    assert len(place.kernel.there(4760)) == 1
    place.router.heard(None)
    place.router.survey()
    assert not place.kernel.there(4760)


def test_what_strangers_do_changes_nothing(place: Place) -> None:
    place.router.survey()
    place.router.turn_on("tv")
    place.router.survey()
    place.kernel.done.clear()
    place.hear("create", "9", name="shop")
    place.hear("connect", "9", kind="network")
    place.router.survey()
    assert [line for line in place.kernel.done if "rule" in line] == []


def test_of_a_network_every_container_is_pinned(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.rules = {"version": 1, "routes": {"tv": {**ENTRY, "container": None}}}
    place.engine.container("film", "2", {NETWORK: "172.20.0.3"}, running=False)
    place.router.turn_on("tv")
    place.engine.there["2"]["running"] = True
    place.router.survey()
    assert place.router.settled["1"] is True and place.router.settled["2"] is False
    assert "no interface with the address 172.20.0.3" in place.said()["astray"]
    place.engine.there["1"]["running"] = place.engine.there["2"]["running"] = False
    monkeypatch.setattr(docker, "networks", lambda: [docker.Network(NETWORK, "vpn-tv", {"1": (), "2": ()})])
    place.router.survey()
    assert place.said()["astray"] == ""


def test_what_is_turned_off_during_a_survey_stays_off(place: Place) -> None:
    place.router.turn_on("tv")
    place.router.on.clear()
    place.router._finish("tv", "1", True, "", set())
    assert place.router.on == {} and place.router.settled == {"1": False}


def test_one_that_ends_while_it_is_looked_at_stays_walled_in(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.come_up(address="172.20.0.2", web="172.21.0.2")
    place.router.turn_on("tv")
    monkeypatch.setattr(docker, "inspect", lambda name: None)
    place.router.survey()
    assert len(place.kernel.there(4760)) == 1
    place.router.turn_off("tv")
    assert not any(place.kernel.rules_of.values())


# What is undone


def test_what_somebody_deletes_is_laid_again_told_five_times_and_then_once(place: Place) -> None:
    place.router.turn_on("tv")
    told = []
    for _ in range(8):
        place.kernel.rules_of["", "4"] = place.kernel.there(4721)
        place.router.enforce()
        assert len(place.kernel.there(4720)) == 1
        told.append(place.said())
    assert [said["told"] for said in told] == [1, 2, 3, 4, 5, 6, 6, 6]
    lines = told[-1]["lines"]
    assert [sensor for sensor, _ in lines] == [""] * 5 + ["trouble"]
    assert lines[0][1].endswith("and 1 more; laid again")
    assert lines[5][1].startswith("undone 5 times in a minute")


def test_a_single_rule_is_named(place: Place) -> None:
    place.router.turn_on("tv")
    place.kernel.rules_of["", "6"].remove(place.kernel.there(4720, "6")[0])
    place.router.enforce()
    (line,) = place.said()["lines"]
    assert line == ["", "somebody deleted IPv6: pref 4720 iif vpn-tv lookup 24810 protocol 217; laid again"]


def test_a_tunnel_that_changes_is_no_repair(place: Place) -> None:
    place.router.turn_on("tv")
    place.kernel.links_of.clear()
    place.router.enforce()
    assert not place.kernel.there(4730)
    place.kernel.links_of[""] = [TUNNEL]
    place.router.enforce()
    assert len(place.kernel.there(4730)) == 1
    assert place.said()["told"] == 0


def test_an_uplink_without_a_gateway_stays_closed(place: Place) -> None:
    place.kernel.links_of[""] = [TUNNEL._replace(flags=UP)]
    place.router.turn_on("tv")
    assert len(place.kernel.there(4721)) == 1 and not place.kernel.there(4720)
    assert route.close(ENTRY, place.kernel.look()["4"]) == []
