"""What root allows, compiled."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bridge.contract import CommandGrant, ContainerGrant, DomainGrant, Grant, RouteGrant, UnitGrant
from bridge.helper import policy as helpers
from bridge.helper import verbs
from bridge.policy import PolicyError, calls, compile_policy, describe, is_behind, read_policy

LAMP = CommandGrant("lamp", ("/usr/local/bin/lamp", "on"), None, 10.0)
TV = RouteGrant("tv", "vpn-tv", 24810, "tun0", ("10.0.0.0/8",), True, "tv", "0-bellpull-tv", True)
GRANTS: list[Grant] = [
    TV,
    UnitGrant("smbd.service"),
    LAMP,
    UnitGrant("nmbd.service"),
    UnitGrant("smbd.service"),
]
POLICY = {
    "version": 1,
    "units": ["nmbd.service", "smbd.service"],
    "commands": {"lamp": {"on": ["/usr/local/bin/lamp", "on"], "timeout": 10.0}},
    "routes": {
        "tv": {
            "bridge": "vpn-tv",
            "table": 24810,
            "interface": "tun0",
            "lan": ["10.0.0.0/8"],
            "ipv6": True,
            "network": "0-bellpull-tv",
            "container": "tv",
            "dns": True,
        }
    },
}


def test_a_policy_holds_each_grant_once_and_nothing_else() -> None:
    assert compile_policy(GRANTS) == POLICY
    assert compile_policy([]) == {"version": 1, "units": [], "commands": {}, "routes": {}}


def test_every_name_that_cannot_be_exact_is_told_at_once() -> None:
    wrong: list[Grant] = [
        UnitGrant("smbd"),
        UnitGrant("*.service"),
        CommandGrant("my lamp", ("/bin/true",), None, 1),
    ]
    with pytest.raises(PolicyError) as refused:
        compile_policy([*wrong, *GRANTS])
    assert [line.split("'")[1] for line in refused.value.args] == ["smbd", "*.service", "my lamp"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, 86401.0, float("nan")])
def test_a_time_that_the_helper_would_refuse_is_refused_now(seconds: float) -> None:
    with pytest.raises(PolicyError, match="a day at most"):
        compile_policy([CommandGrant("lamp", ("/bin/true",), None, seconds)])


def test_the_helper_understands_every_call_that_is_allowed() -> None:
    read = helpers.parse(json.dumps(POLICY).encode())
    allowed = list(calls(POLICY))
    assert ("unit-restart", "nmbd.service") in allowed
    assert [name for verb, name in allowed if verb.startswith("command")] == ["lamp"]
    assert [verb for verb, name in allowed if name == "tv"] == ["route-on", "route-off"]
    for verb, name in allowed:
        assert verbs.find(verb)(read, name)


@pytest.mark.parametrize("changed", [{"table": 24811}, {"bridge": "vpn-film"}])
def test_two_routes_share_neither_table_nor_bridge(changed: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="tv and film share a routing table by chance"):
        compile_policy([TV, dataclasses.replace(TV, key="film", **changed)])


def test_a_policy_is_described_a_line_a_thing() -> None:
    assert describe(POLICY) == [
        "unit nmbd.service: start, stop, restart",
        "unit smbd.service: start, stop, restart",
        'command lamp on, 10 s: ["/usr/local/bin/lamp", "on"]',
        "route tv: what comes from vpn-tv through tun0",
    ]


def test_a_policy_is_behind_when_it_is_missing_or_differs(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    assert is_behind(GRANTS, path)
    path.write_text(json.dumps(compile_policy(GRANTS)))
    assert not is_behind(GRANTS, path)
    assert is_behind([LAMP], path)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 1}', '{"units": [], "commands": {"lamp": {"on": 1}}}']
)
def test_a_policy_that_apply_did_not_write_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(PolicyError, match="not as `bellpull apply` writes it"):
        read_policy(path)


def test_a_policy_that_may_not_be_read_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=os.strerror(21)):
        read_policy(tmp_path)


def test_guests_are_allowed_by_name_or_all_and_their_plug_only_if_somebody_wrote_so() -> None:
    grants = [DomainGrant("web", False), DomainGrant("mail", True), DomainGrant("web", False)]
    made = compile_policy([*grants, DomainGrant(None, False)])
    assert (
        made["domains"]["web"] == ["start", "resume", "wakeup", "shutdown", "reboot"] == made["all_domains"]
    )
    assert made["domains"]["mail"][-1] == "destroy"
    assert "destroy" in compile_policy([*grants, DomainGrant("web", True)])["domains"]["web"]
    assert "every guest: start, resume, wakeup, shutdown, reboot" in describe(made)
    allowed = list(calls(made))
    assert ("domain-destroy", "mail") in allowed and ("domain-destroy", "web") not in allowed
    assert ("domains-start", "all") in allowed
    for verb, name in allowed:
        assert verbs.find(verb)(helpers.parse(json.dumps(made).encode()), name)
    with pytest.raises(PolicyError, match="'12' cannot be the name"):
        compile_policy([DomainGrant("12", False)])


def test_containers_are_there_where_somebody_has_them_and_are_watched_by_one_call() -> None:
    made = compile_policy(
        [ContainerGrant("media", "media", None, 30), ContainerGrant("all", None, "shop", None)]
    )
    assert made["containers"] == {
        "media": {"container": "media", "project": None, "grace": 30},
        "all": {"container": None, "project": "shop", "grace": None},
    }
    assert describe(made) == [
        "media: start, stop, restart, watch container media",
        "all: start, stop, restart, watch project shop",
    ]
    allowed = list(calls(made))
    assert ("container-restart", "media") in allowed and ("container-stop", "all") in allowed
    assert [call for call in allowed if call[0] == "container-watch"] == [("container-watch", "all")]
    for verb, name in allowed:
        assert callable(verbs.find(verb)(helpers.parse(json.dumps(made).encode()), name))


def test_containers_that_the_helper_would_refuse_are_refused_now() -> None:
    wrong = [ContainerGrant("my media", "media", None, 1), ContainerGrant("media", None, "../etc", 1)]
    with pytest.raises(PolicyError) as refused:
        compile_policy(wrong)
    assert [line.split("'")[1] for line in refused.value.args] == ["my media", "../etc"]
