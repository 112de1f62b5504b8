"""The rules, proved with packets counted at both far ends."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.conftest import CAMPAIGN
from tests.integration.routing.campaign import campaign, router
from tests.integration.routing.lab import (
    BRIDGE,
    ENTRY,
    INTERNET,
    NEIGHBOUR,
    POLICY,
    PORT,
    TABLE,
    Ears,
    Lab,
)

pytestmark = pytest.mark.root
BOTH = pytest.mark.parametrize("family", [4, 6])
DHCP = ["0.0.0.0/1 via 10.90.0.1", "128.0.0.0/1 via 10.90.0.1", "198.51.100.0/24 via 10.90.0.1"]
STRICT = (
    "table inet strict {\n chain pre {\n type filter hook prerouting priority -310\n"
    " fib saddr . mark . iif oif missing drop\n }\n}\n"
)


@pytest.fixture
def ears(lab: Lab) -> Iterator[Ears]:
    with lab.listening() as ears:
        yield ears


def flooded(lab: Lab, ears: Ears, seconds: float = 0.15) -> None:
    """Forget what was heard, and flood for a while."""
    ears.forget()
    with lab.flood():
        time.sleep(seconds)
    time.sleep(0.02)


@BOTH
def test_off_is_the_plain_uplink_and_on_the_tunnel(lab: Lab, ears: Ears, family: int) -> None:
    assert lab.ask(family) == "isp"
    lab.helper("route-on")
    assert lab.ask(family) == "vpn"
    lab.helper("route-off")
    assert lab.ask(family) == "isp"


def test_off_leaves_no_rule_behind(lab: Lab) -> None:
    before = lab.ip("house", "rule"), lab.ip("house", "-6 rule")
    for verb in ("route-on", "route-on", "route-off", "route-off"):
        lab.helper(verb)
    assert (lab.ip("house", "rule"), lab.ip("house", "-6 rule")) == before


@BOTH
def test_the_house_is_reached_whether_on_or_off_and_with_the_tunnel_down(
    lab: Lab, ears: Ears, family: int
) -> None:
    assert lab.ask(family, NEIGHBOUR) == "lan"
    lab.helper("route-on")
    assert lab.ask(family, NEIGHBOUR) == "lan"
    lab.tunnel_down()
    assert lab.ask(family, NEIGHBOUR) == "lan"


def test_only_the_networks_that_are_named_are_reached_when_some_are(lab: Lab, ears: Ears) -> None:
    named = {**POLICY, "routes": {"vpn": {**ENTRY, "lan": ["10.1.0.0/16", "fd07::9"]}}}
    lab.helper("route-on", rules=named)
    assert lab.ask(4, NEIGHBOUR, within=0.3) != "lan"
    assert lab.ask(6, NEIGHBOUR) == "lan"


@pytest.mark.campaign
def test_nothing_leaks_over_toggles_under_a_flood_with_a_tunnel_that_comes_and_goes(lab: Lab) -> None:
    with router(lab) as turn:
        leaked, carried = campaign(lab, turn, 1000 if CAMPAIGN else 20, every=10)
    print(f"{leaked} packets leaked, {carried} carried")
    assert leaked == 0
    assert carried > 0


def test_when_the_tunnel_vanishes_nothing_gets_out_until_the_way_is_laid_again(lab: Lab, ears: Ears) -> None:
    lab.helper("route-on")
    with lab.flood():
        ears.forget()
        lab.tunnel_down()
        time.sleep(0.1)
        assert ears.leaked == 0
        lab.tunnel_up(9)
        time.sleep(0.1)
        assert ears.leaked == 0
        lab.helper("route-on")
        ears.forget()
        time.sleep(0.1)
        assert ears.leaked == 0
        assert ears.carried > 0


@BOTH
def test_without_a_tunnel_a_container_is_told_at_once_that_it_cannot_get_out(
    lab: Lab, ears: Ears, family: int
) -> None:
    lab.tunnel_down()
    lab.helper("route-on")
    assert lab.ask(family) == "blocked"


def test_ipv6_is_stopped_when_the_tunnel_has_none(lab: Lab, ears: Ears) -> None:
    lab.tunnel_up(ipv6=False)
    lab.helper("route-on")
    assert (lab.ask(4), lab.ask(6)) == ("vpn", "blocked")


def test_ipv6_is_stopped_when_it_is_not_wanted(lab: Lab, ears: Ears) -> None:
    lab.helper("route-on", rules={**POLICY, "routes": {"vpn": {**ENTRY, "ipv6": False}}})
    assert (lab.ask(4), lab.ask(6)) == ("vpn", "blocked")


@pytest.mark.parametrize("value", [0, 1, 2])
def test_reverse_path_filters_let_it_through(lab: Lab, ears: Ears, value: int) -> None:
    lab.helper("route-on")
    try:
        for name in ("all", BRIDGE, "tun0", "wan0"):
            lab.sysctl("house", f"net.ipv4.conf.{name}.rp_filter={value}")
        assert lab.ask() == "vpn"
    finally:
        for name in ("all", BRIDGE, "wan0"):
            lab.sysctl("house", f"net.ipv4.conf.{name}.rp_filter=0")


def test_an_nft_reverse_path_filter_lets_it_through(lab: Lab, ears: Ears) -> None:
    lab.nft(STRICT)
    try:
        lab.helper("route-on")
        assert (lab.ask(4), lab.ask(6)) == ("vpn", "vpn")
    finally:
        lab.nft("delete table inet strict\n")


@pytest.mark.parametrize("lost", ["4700", "4720", "4730", "table"])
def test_the_loss_of_a_rule_or_of_the_table_leaks_nothing(lab: Lab, ears: Ears, lost: str) -> None:
    lab.helper("route-on")
    with lab.flood():
        ears.forget()
        for family in ("-4", "-6"):
            if lost == "table":
                lab.ip("house", f"{family} route flush table {TABLE}")
            else:
                lab.ip("house", f"{family} rule del pref {lost}")
        time.sleep(0.1)
    assert ears.leaked == 0


def test_the_loss_of_the_guard_leaks_nothing_while_the_tunnel_is_there(lab: Lab, ears: Ears) -> None:
    lab.helper("route-on")
    for family in ("-4", "-6"):
        lab.ip("house", f"{family} rule del pref 4721")
    flooded(lab, ears)
    assert ears.leaked == 0
    lab.helper("route-on")
    lab.tunnel_down()
    flooded(lab, ears)
    assert ears.leaked == 0


def test_routes_that_a_strange_dhcp_server_sends_change_nothing(lab: Lab, ears: Ears) -> None:
    lab.helper("route-on")
    try:
        for route in DHCP:
            lab.ip("house", f"route add {route}")
        lab.helper("route-on")
        flooded(lab, ears)
        assert (ears.leaked, lab.ask()) == (0, "vpn")
        lab.tunnel_down()
        flooded(lab, ears)
        assert ears.leaked == 0
    finally:
        for route in DHCP:
            lab.ip("house", f"route del {route}")


def test_a_container_with_another_address_goes_the_same_way(lab: Lab, ears: Ears) -> None:
    lab.helper("route-on")
    lab.ip("cont", "addr add 10.77.0.99/24 dev eth0")
    lab.ip("cont", "route replace default via 10.77.0.1 src 10.77.0.99")
    try:
        assert lab.ask() == "vpn"
    finally:
        lab.ip("cont", "route replace default via 10.77.0.1")
        lab.ip("cont", "addr del 10.77.0.99/24 dev eth0")


def test_a_firewall_that_is_flushed_opens_nothing(lab: Lab, ears: Ears) -> None:
    from tests.integration.routing.lab import NAT

    lab.helper("route-on")
    with lab.flood():
        ears.forget()
        lab.nft("flush ruleset\n")
        time.sleep(0.1)
        lab.nft(NAT)
        time.sleep(0.1)
    assert ears.leaked == 0
    assert lab.ask() == "vpn"


def test_the_guard_may_be_there_before_the_bridge_and_holds_when_it_is_made_anew(
    lab: Lab, ears: Ears
) -> None:
    lab.helper("route-on")
    with lab.flood():
        ears.forget()
        lab.ip("house", f"link del {BRIDGE}")
        lab.make_bridge()
        lab.ip("house", f"link set c0 master {BRIDGE}")
        time.sleep(0.3)
    assert ears.leaked == 0
    assert lab.ask() == "vpn"


def test_a_second_uplink_is_used_by_its_own_gateway(lab: Lab, ears: Ears) -> None:
    """The way to the VPN's machine over a wire of its own stands for a second provider."""
    lab.ip("house", f"link add wan1 type veth peer name house1 netns {lab.ns('vpn')}")
    try:
        lab._address("house", "wan1", "10.92.0.2/24", "fd92::2/64")
        lab._address("vpn", "house1", "10.92.0.1/24", "fd92::1/64")
        lab.nft('add rule inet nat post iifname "vpn-vpn" oifname "wan1" masquerade\n')
        lab.ip("house", "route add default via 10.92.0.1 metric 900")
        lab.ip("house", "-6 route add default via fd92::1 metric 2000")
        lab.helper("route-on", rules={**POLICY, "routes": {"vpn": {**ENTRY, "interface": "wan1"}}})
        # A new wire hears who asks for its IPv6 address up to a second later, and is asked but once a second.
        assert (lab.ask(4), lab.ask(6, within=5.0)) == ("vpn", "vpn")
        lab.ip("house", "link set wan1 down")
        assert (lab.ask(4), lab.ask(6)) == ("blocked", "blocked")
    finally:
        lab.ip("house", "link del wan1")


@contextmanager
def published(lab: Lab) -> Iterator[None]:
    """Port 7777 of the house is the container's, as the engine does it."""
    lab.nft(
        "table ip published {\n chain pre {\n type nat hook prerouting priority dstnat\n"
        f" udp dport 7777 dnat to 10.77.0.5:{PORT}\n }}\n}}\n"
    )
    try:
        yield
    finally:
        lab.nft("delete table ip published\n")


def test_a_published_port_answers_neighbours_while_on(lab: Lab) -> None:
    lab.helper("route-on")
    with published(lab), lab.socket("cont", 4) as server, lab.socket("lan", 4) as client:
        server.bind(("0.0.0.0", PORT))
        server.settimeout(2)
        client.settimeout(2)
        client.sendto(b"hello", ("192.168.7.1", 7777))
        data, who = server.recvfrom(100)
        server.sendto(data, who)
        assert client.recv(100) == b"hello"


def downloaded(lab: Lab, turn_on: Callable[[], None]) -> None:
    """What was begun before gets no further by the plain uplink; what begins then comes by the tunnel."""
    servers = {name: lab.socket(name, 4, socket.SOCK_STREAM) for name in ("isp", "vpn")}
    for server in servers.values():
        server.bind((INTERNET[4], 8080))
        server.listen()
    with servers["isp"], servers["vpn"], lab.socket("cont", 4, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect((INTERNET[4], 8080))
        connection, _ = servers["isp"].accept()
        with connection:
            connection.sendall(b"before")
            assert client.recv(100) == b"before"
            turn_on()
            connection.setblocking(False)
            with suppress(OSError):
                client.sendall(b"after")
            time.sleep(0.5)
            with pytest.raises((BlockingIOError, ConnectionError)):
                assert connection.recv(100) != b"after"
        with lab.socket("cont", 4, socket.SOCK_STREAM) as anew:
            anew.settimeout(5)
            anew.connect((INTERNET[4], 8080))
            servers["vpn"].settimeout(5)
            servers["vpn"].accept()[0].close()


def test_a_download_across_the_toggle_ends_and_leaks_nothing(lab: Lab, ears: Ears) -> None:
    downloaded(lab, lambda: lab.helper("route-on"))
