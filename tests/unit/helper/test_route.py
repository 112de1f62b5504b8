"""The rules of a route, as the lines that the kernel is given."""

from collections.abc import Sequence
from typing import Any

import pytest

from bridge.helper import docker, router, verbs
from bridge.helper.answer import Refusal
from bridge.helper.kernel import LOOPBACK, POINT_TO_POINT, UP, Link, Seen
from bridge.helper.policy import Policy
from bridge.helper.verbs import route
from tests.fakes.kernel import FakeKernel

ENTRY: dict[str, Any] = {
    "bridge": "vpn-tv",
    "table": 24810,
    "interface": "tun0",
    "lan": ["192.168.1.0/24", "fd00::5"],
    "ipv6": True,
    "network": "0-bellpull-tv",
    "container": "tv",
    "dns": True,
}
POLICY: Policy = {"version": 1, "routes": {"tv": ENTRY}}
IPV4 = [
    "rule add pref 4721 iif vpn-tv type unreachable protocol 217",
    "route replace default dev tun0 table 24810 metric 10 protocol 217",
    "rule add pref 4700 to 192.168.1.0/24 iif vpn-tv lookup 254 protocol 217",
    "rule add pref 4730 from 10.8.0.2 lookup 24810 protocol 217",
    "rule add pref 4720 iif vpn-tv lookup 24810 protocol 217",
]


def link(name: str, *addresses: str, flags: int = UP) -> Link:
    pairs = [address.split("/") for address in addresses]
    return Link(name, 9, flags, tuple((address, int(length)) for address, length in pairs))


LO = link("lo", "127.0.0.1/8", flags=LOOPBACK | UP)
TUNNEL = link("tun0", "10.8.0.2/32", flags=POINT_TO_POINT | UP)
HERE = [
    "pref 4700 to 192.168.1.0/24 iif vpn-tv lookup 254 protocol 217",
    "pref 4720 iif vpn-tv lookup 24810 protocol 217",
    "pref 4721 iif vpn-tv type unreachable protocol 217",
    "pref 4730 from 10.8.0.2 lookup 24810 protocol 217",
]
STRANGERS = [
    "pref 4720 iif vpn-other lookup 24811 protocol 217",
    "pref 4745 from 172.20.0.9 iif vpn-tv type unreachable protocol 217",
]


def seen(
    links: Sequence[Link] = (),
    rules: Sequence[str] = (),
    defaults: Sequence[tuple[str, str]] = (),
    routes: Sequence[str] = (),
) -> Seen:
    return Seen([*links], [*rules], [*defaults], [*routes])


def on(family: str, there: Seen, **changed: object) -> list[str]:
    return route.turn_on({**ENTRY, **changed}, family, there)


def test_turning_on_closes_first_and_opens_the_way_last() -> None:
    assert on("4", seen([TUNNEL], STRANGERS)) == IPV4


def test_what_is_there_is_not_made_again() -> None:
    way = "default dev tun0 table 24810 metric 10 protocol 217"
    assert on("4", seen([TUNNEL], HERE, [], [way])) == []
    for other in (way.replace("tun0", "tun1"), way.replace("dev", "via 10.8.0.1 dev")):
        assert on("4", seen([TUNNEL], HERE, [], [other])) == [IPV4[1]]


def test_rules_of_an_earlier_network_or_tunnel_go_while_it_is_closed() -> None:
    old = [
        "pref 4700 to 10.9.9.9 iif vpn-tv lookup 254 protocol 217",
        "pref 4730 from 10.9.0.2 lookup 24810 protocol 217",
    ]
    assert on("4", seen([TUNNEL], old))[:4] == [
        IPV4[0],
        "rule del pref 4700 to 10.9.9.9 iif vpn-tv lookup 254 protocol 217",
        "rule del pref 4730 from 10.9.0.2 lookup 24810 protocol 217",
        IPV4[1],
    ]


@pytest.mark.parametrize(
    "links",
    [
        [],
        [link("tun0", "10.8.0.2/32", flags=POINT_TO_POINT)],
        [link("tun0")],
        [link("tun0", "fd08::2/64", flags=POINT_TO_POINT | UP)],
    ],
)
def test_without_a_tunnel_that_works_it_is_closed_and_says_nothing(links: list[Link]) -> None:
    assert on("4", seen(links)) == [IPV4[0], IPV4[2], IPV4[4]]


def test_ipv6_that_is_not_wanted_is_closed_though_the_tunnel_has_it() -> None:
    there = seen([link("tun0", "fd08::2/64", flags=POINT_TO_POINT | UP)])
    assert any("from fd08::2" in line for line in on("6", there))
    assert on("6", there, ipv6=False) == [
        IPV4[0],
        "rule add pref 4700 to fd00::5 iif vpn-tv lookup 254 protocol 217",
        IPV4[4],
    ]


def test_without_named_ones_the_networks_of_the_house_are_those_of_its_addresses() -> None:
    links = [
        *(LO, TUNNEL, link("vpn-tv", "172.20.0.1/16", "fd20::1/64")),
        link("eth0", "192.168.7.9/24", "203.0.113.4/24", "fd07::9/64", "2001:db8:5::9/64", "2001:db8::1/32"),
        link("docker0", "172.17.0.1/16"),
        link("eth1", "10.0.0.5/32"),
    ]

    def lan(family: str) -> list[str]:
        return [line.split()[5] for line in on(family, seen(links), lan=[]) if "pref 4700" in line]

    assert lan("4") == ["10.0.0.5", "172.17.0.0/16", "192.168.7.0/24"]
    assert lan("6") == ["2001:db8:5::/64", "fd07::/64"]


def test_another_uplink_is_gone_through_by_its_gateway() -> None:
    there = seen([link("tun0", "10.8.0.2/24")], [], [("eth0", "10.1.0.1"), ("tun0", "10.8.0.1")])
    assert "route replace default via 10.8.0.1 dev tun0 table 24810 metric 10 protocol 217" in on("4", there)


def test_another_uplink_without_a_gateway_is_refused() -> None:
    with pytest.raises(Refusal, match="tun0 is no tunnel and has no gateway"):
        on("4", seen([link("tun0", "10.8.0.2/24")]))


def test_turning_off_takes_the_guard_away_last_and_leaves_strangers_alone() -> None:
    assert [line.split()[3] for line in route.turn_off(ENTRY, "4", seen([], HERE + STRANGERS))] == [
        *("4720", "4730", "4700", "4721")
    ]
    assert route.turn_off(ENTRY, "4", seen([], STRANGERS)) == []


# Without a router


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    fake = FakeKernel()
    fake.links_of[""] = [TUNNEL]
    monkeypatch.setattr(route, "kernel", fake)
    monkeypatch.setattr(router, "ask", lambda word, key: False)
    monkeypatch.setattr(docker, "inspect", lambda name: None)
    return fake


def do(word: str, policy: Policy = POLICY) -> None:
    work = verbs.find(word)(policy, "tv")
    assert callable(work)
    work()


def test_without_a_router_it_is_done_at_once_and_a_second_time_nothing_is(kernel: FakeKernel) -> None:
    do("route-on")
    assert [line for line in kernel.done if line.startswith("4")] == [f"4: {line}" for line in IPV4]
    assert kernel.done[0].startswith("6: "), "IPv6 is changed first"
    kernel.done.clear()
    do("route-on")
    assert kernel.done == []
    do("route-off")
    assert not any(kernel.rules_of.values())


@pytest.mark.parametrize("word", ["on", "off"])
def test_where_there_is_a_router_it_is_the_one_that_does_it(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    asked: list[tuple[str, str]] = []

    def ask(word: str, key: str) -> bool:
        asked.append((word, key))
        return True

    monkeypatch.setattr(router, "ask", ask)
    assert verbs.find(f"route-{word}")(POLICY, "tv") is None
    assert asked == [(word, "tv")]


# What Docker says


def described(
    networks: dict[str, Any] | None = None, *, dns: Sequence[str] = ("9.9.9.9",)
) -> docker.Described:
    there = networks or {"0-bellpull-tv": {"Gateway": "172.20.0.1"}}
    return {"Name": "/tv", "HostConfig": {"Dns": dns}, "NetworkSettings": {"Networks": there}}


def why_not(container: docker.Described, **changed: object) -> str:
    return route.why_not({**ENTRY, **changed}, container, [link("eth0", "192.168.7.9/24")])


@pytest.mark.parametrize(
    ("container", "why"),
    [
        (described(), ""),
        (described(dns=[]), "tv has no DNS server of its own"),
        (described(dns=["9.9.9.9", "192.168.1.1"]), "tv asks 192.168.1.1 in the house"),
        (described(dns=["fd00::5"]), "tv asks fd00::5 in the house"),
        (described({"web": {"Gateway": "172.21.0.1"}}), "tv is not on the network 0-bellpull-tv"),
        (described({"0-bellpull-tv": {}, "web": {"Gateway": "x"}}), ""),
        (described({"0-bellpull-tv": {}, "0": {"Gateway": "x"}}), "tv leaves by its network 0"),
        (described({"0-bellpull-tv": {}, "0": {"Gateway": ""}}), ""),
        (described({"0-bellpull-tv": {"GwPriority": 1}, "0": {"Gateway": "x"}}), ""),
        (
            described({"0-bellpull-tv": {}, "z": {"Gateway": "x", "GwPriority": 9}}),
            "tv leaves by its network",
        ),
    ],
)
def test_a_container_that_could_get_past_it_is_told_of(container: docker.Described, why: str) -> None:
    assert why_not(container).startswith(why) and bool(why_not(container)) is bool(why)


def test_dns_is_not_looked_at_when_the_owner_says_so() -> None:
    assert why_not(described(dns=[]), dns=False) == ""
    assert why_not(described(dns=["192.168.7.1"]), lan=[]).startswith("tv asks 192.168.7.1")


def test_it_is_not_turned_on_while_a_container_could_get_past_it(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "inspect", lambda name: described(dns=[]))
    with pytest.raises(Refusal) as refused:
        do("route-on")
    assert refused.value.code == "refused" and not kernel.done


def test_a_container_that_is_not_there_hinders_nothing(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(docker, "inspect", asked.append)
    monkeypatch.setattr(docker, "on_network", lambda name: [f"one on {name}"])
    do("route-on", {"routes": {"tv": {**ENTRY, "container": None}}})
    do("route-on")
    assert asked == ["one on 0-bellpull-tv", "tv"]


# The policy


@pytest.mark.parametrize("policy", [{}, {"routes": []}])
def test_a_policy_without_routes_is_not_used(policy: Policy) -> None:
    assert code(policy) == "policy"


def test_a_route_that_is_not_in_the_policy_is_denied() -> None:
    assert code({"routes": {"other": ENTRY}}) == "denied"


@pytest.mark.parametrize(
    "changed",
    [
        *({"bridge": name} for name in (None, "", "a b", "-x", "x" * 16, "a/b")),
        {"interface": "tun0; reboot"},
        *({"table": number} for number in ("24810", 254, 1 << 31, None)),
        *({"lan": lan} for lan in (None, "10.0.0.0/8", ["all"], [1], ["10.0.0.0/8 table 5"])),
        *({"network": "a/../b"}, {"container": "a?b"}, {"network": None}),
        *({"ipv6": 1}, {"dns": None}),
    ],
)
def test_a_route_that_apply_would_not_have_written_is_not_used(changed: dict[str, object]) -> None:
    assert code({"routes": {"tv": {**ENTRY, **changed}}}) == "policy"


def code(policy: Policy) -> str:
    with pytest.raises(Refusal) as refused:
        verbs.find("route-on")(policy, "tv")
    return refused.value.code
