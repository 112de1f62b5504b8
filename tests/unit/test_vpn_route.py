"""What a person writes for a VPN tile, and what the tile says of what was seen."""

import pytest

from accessories.vpn_route import bridge_name, state_of, table
from bridge import config
from bridge.contract import RouteGrant, State
from bridge.tools.routing import Sight
from bridge.vpn import engine

HEAD = "accessories:\n  vpn:\n    kind: vpn_route\n    container: tv\n    interface: tun0\n"


def problems(text: str) -> list[str]:
    return config.parse(text, "file")[1]


def grant(text: str) -> RouteGrant:
    found, wrong = config.parse(text, "file")
    assert found is not None and not wrong
    (entry,) = found.accessories
    assert entry.kind is not None and entry.ignores_bulk
    (made,) = entry.kind.grants(entry.key)
    assert isinstance(made, RouteGrant)
    return made


def test_what_root_has_to_allow() -> None:
    made = grant(f"{HEAD}    lan: [192.168.1.0/24, 10.0.0.5, 'fd00::/64']\n    dns: unchecked\n")
    assert (made.bridge, made.network, made.container) == ("vpn-vpn", "0-bellpull-vpn", "tv")
    assert made.lan == ("192.168.1.0/24", "10.0.0.5", "fd00::/64")
    assert (made.ipv6, made.checks_dns) == (True, False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("    lan: [0.0.0.0/0]", "is everything"),
        ("    lan: [192.168.1.5/24]", "write a network like 192.168.1.0/24"),
        ("    network: a/b", "cannot be a name of Docker's"),
        ("    dns: maybe", "write checked or unchecked"),
    ],
)
def test_what_makes_no_sense_is_told(line: str, said: str) -> None:
    (problem,) = problems(f"{HEAD}{line}\n")
    assert said in problem


def test_an_interface_has_a_name_of_15_characters_at_most() -> None:
    (problem,) = problems(HEAD.replace("tun0", "a-tunnel-too-long"))
    assert "cannot be the name of an interface" in problem


def test_a_container_or_a_network_has_to_be_named() -> None:
    (problem,) = problems(HEAD.replace("    container: tv\n", ""))
    assert "write `container: NAME`" in problem


def test_bridges_and_tables_are_a_keys_own() -> None:
    keys = [*"abc", "television", "television-in-the-kitchen", "television-in-the-hall"]
    assert len({bridge_name(key) for key in keys}) == len({table(key) for key in keys}) == len(keys)
    assert all(len(bridge_name(key)) <= 15 for key in keys)
    assert all(24810 <= table(key) < 44810 for key in keys)


@pytest.mark.parametrize(
    ("sight", "state"),
    [
        (Sight(False, missing="4720 of IPv4"), State(False)),
        (Sight(True), State(True)),
        (
            Sight(True, missing="one"),
            State(False, died=True, reason="not all of the rules are there: one"),
        ),
        (
            Sight(True, astray="eth0"),
            State(False, died=True, reason="it leaves by eth0 in spite of the rules"),
        ),
        (
            Sight(True, blocked="there is no tun0"),
            State(True, died=True, reason="nothing gets out: there is no tun0"),
        ),
    ],
)
def test_it_is_on_when_nothing_can_take_another_way(sight: Sight, state: State) -> None:
    assert state_of(sight) == state


BRIDGE = {
    "Driver": "bridge",
    "Internal": False,
    "EnableIPv6": True,
    "Options": {"com.docker.network.bridge.name": "vpn-vpn"},
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"Driver": "macvlan"}, "has the driver macvlan"),
        ({"Options": {}}, "has not the bridge vpn-vpn"),
        ({"Internal": True}, "is internal"),
        ({"EnableIPv6": False}, "has no IPv6"),
    ],
)
def test_a_network_that_cannot_be_routed_is_told(changed: dict[str, object], said: str) -> None:
    assert engine.what_is_wrong({**BRIDGE, **changed}, grant(HEAD)).startswith(said)
    assert bool(engine.what_is_wrong({**BRIDGE, **changed}, grant(HEAD))) is bool(said)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("com.docker.network.bridge.enable_ip_masquerade", "false", "does not masquerade"),
        ("com.docker.network.host_ipv4", "203.0.113.4", "goes out with an address of its own"),
        ("com.docker.network.bridge.gateway_mode_ipv6", "routed", "is not translated"),
    ],
)
def test_so_is_an_option_that_goes_past_it(option: str, value: str, said: str) -> None:
    options = {**BRIDGE["Options"], option: value}  # type: ignore[dict-item]
    assert engine.what_is_wrong({**BRIDGE, "Options": options}, grant(HEAD)).startswith(said)


def test_each_key_has_a_subnet_of_its_own() -> None:
    assert engine.subnet("a") != engine.subnet("b")
    assert engine.subnet("a").startswith("fd")
