"""The recipe that is found everywhere (a mark, a rule for it, a table), measured as ours is.

It says what a stranger would get otherwise, and that these tests see a leak when there is one.
"""

import time
from collections.abc import Iterator

import pytest

from tests.integration.routing.lab import BRIDGE, NAT, NEIGHBOUR, PORT, Ears, Lab
from tests.integration.routing.test_packets import DHCP, STRICT, downloaded, ears, flooded, published

__all__ = ["ears"]  # a fixture

pytestmark = pytest.mark.root
MARK = f"""
table inet classic {{
  chain pre {{
    type filter hook prerouting priority mangle
    iifname "{BRIDGE}" ip daddr 0.0.0.0/0 meta mark set 1
  }}
}}
"""


def turn_on(lab: Lab) -> None:
    lab.ip("house", "route add default dev tun0 table 100")
    lab.ip("house", "rule add pref 100 fwmark 1 lookup 100")


def turn_off(lab: Lab) -> None:
    lab.ip("house", "rule del pref 100")
    lab.ip("house", "route flush table 100")


@pytest.fixture
def classic(lab: Lab) -> Iterator[Lab]:
    """The recipe is on."""
    lab.nft(MARK)
    lab.sysctl("house", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.tun0.rp_filter=0")
    turn_on(lab)
    try:
        yield lab
    finally:
        turn_off(lab)
        lab.nft("table inet classic {}\ndelete table inet classic\n")


def test_on_a_good_day_ipv4_goes_through_the_tunnel_and_ipv6_does_not(classic: Lab, ears: Ears) -> None:
    # IPv6 addresses are not there at once: each is first asked for on the wire (RFC 4862).
    assert (classic.ask(4), classic.ask(6, within=10)) == ("vpn", "isp")


def test_toggles_leak_when_the_tunnel_falls(classic: Lab) -> None:
    leaked = carried = 0
    with classic.listening() as ears, classic.flood():
        for number in range(10):
            turn_off(classic)
            turn_on(classic)
            ears.forget()
            if number == 5:
                classic.tunnel_down()
                time.sleep(0.05)
                classic.tunnel_up()
                turn_off(classic)
                turn_on(classic)
            time.sleep(0.02)
            leaked, carried = leaked + ears.heard["isp", 4], carried + ears.heard["vpn", 4]
    print(f"10 toggles, the tunnel fell once: {leaked} packets of IPv4 leaked, {carried} carried")
    assert leaked > 0
    assert carried > 0


def test_the_tunnel_vanishes_and_all_gets_out_at_once_and_when_it_is_back(classic: Lab, ears: Ears) -> None:
    classic.tunnel_down()
    flooded(classic, ears)
    print(f"the tunnel is away: {ears.heard['isp', 4]} packets of IPv4 got out in 0.15 s")
    assert ears.heard["isp", 4] > 0
    classic.tunnel_up()
    assert classic.ask() == "isp"


def test_the_firewall_is_flushed_and_all_gets_out(classic: Lab, ears: Ears) -> None:
    classic.nft("flush ruleset\n")
    classic.nft(NAT)
    assert classic.ask() == "isp"


@pytest.mark.parametrize("value", [0, 1, 2])
def test_a_strict_reverse_path_filter_kills_it(classic: Lab, ears: Ears, value: int) -> None:
    try:
        for name in ("all", BRIDGE, "tun0", "wan0"):
            classic.sysctl("house", f"net.ipv4.conf.{name}.rp_filter={value}")
        assert classic.ask(within=0.5) == ("nobody" if value == 1 else "vpn")
    finally:
        for name in ("all", BRIDGE, "wan0"):
            classic.sysctl("house", f"net.ipv4.conf.{name}.rp_filter=0")


def test_an_nft_reverse_path_filter_kills_it(classic: Lab, ears: Ears) -> None:
    classic.nft(STRICT)
    try:
        assert classic.ask(within=0.5) == "nobody"
    finally:
        classic.nft("delete table inet strict\n")


def test_routes_that_a_strange_dhcp_server_sends_change_nothing(classic: Lab, ears: Ears) -> None:
    try:
        for route in DHCP:
            classic.ip("house", f"route add {route}")
        assert classic.ask() == "vpn"
    finally:
        for route in DHCP:
            classic.ip("house", f"route del {route}")


@pytest.mark.parametrize("lost", ["rule del pref 100", "route flush table 100"])
def test_the_loss_of_its_rule_or_of_its_table_lets_all_out(classic: Lab, ears: Ears, lost: str) -> None:
    classic.ip("house", lost)
    try:
        assert classic.ask() == "isp"
    finally:
        again = "route add default dev tun0" if "flush" in lost else "rule add pref 100 fwmark 1"
        classic.ip("house", f"{again} {'table' if 'flush' in lost else 'lookup'} 100")


def test_the_house_is_not_reached(classic: Lab, ears: Ears) -> None:
    assert classic.ask(4, NEIGHBOUR, within=0.3) != "lan"


def test_a_published_port_does_not_answer_neighbours(classic: Lab) -> None:
    with published(classic), classic.socket("cont", 4) as server, classic.socket("lan", 4) as client:
        server.bind(("0.0.0.0", PORT))
        server.settimeout(2)
        client.settimeout(0.5)
        client.sendto(b"hello", ("192.168.7.1", 7777))
        data, who = server.recvfrom(100)
        server.sendto(data, who)
        with pytest.raises(TimeoutError):
            client.recv(100)


def test_a_download_across_the_toggle_ends_and_a_new_one_goes_through_the_tunnel(classic: Lab) -> None:
    turn_off(classic)
    downloaded(classic, lambda: turn_on(classic))
