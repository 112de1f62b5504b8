"""The recipe that is found everywhere (a mark, a rule for it, a table), measured as ours is.

It says what a stranger would get otherwise, and that these tests see a leak when there is one.
"""

from collections.abc import Iterator

import pytest

from tests.integration.routing.lab import BRIDGE, NEIGHBOUR, Ears, Lab
from tests.integration.routing.test_packets import ears, flooded

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


@pytest.fixture
def classic(lab: Lab) -> Iterator[Lab]:
    """The recipe is on."""
    lab.nft(MARK)
    lab.sysctl("house", "net.ipv4.conf.all.rp_filter=0")
    lab.ip("house", "rule add pref 100 fwmark 1 lookup 100")
    lab.ip("house", "route add default dev tun0 table 100")
    try:
        yield lab
    finally:
        lab.ip("house", "rule del pref 100")
        lab.nft("table inet classic {}\ndelete table inet classic\n")


def test_on_a_good_day_ipv4_goes_through_the_tunnel_and_ipv6_does_not(classic: Lab, ears: Ears) -> None:
    # IPv6 addresses are not there at once: each is first asked for on the wire (RFC 4862).
    assert (classic.ask(4), classic.ask(6, within=10)) == ("vpn", "isp")


def test_the_tunnel_vanishes_and_all_gets_out_at_once_and_when_it_is_back(classic: Lab, ears: Ears) -> None:
    classic.tunnel_down()
    flooded(classic, ears)
    print(f"the tunnel is away: {ears.heard['isp', 4]} packets of IPv4 got out in 0.15 s")
    assert ears.heard["isp", 4] > 0
    classic.tunnel_up()
    assert classic.ask() == "isp"


def test_the_firewall_is_flushed_and_all_gets_out(classic: Lab, ears: Ears) -> None:
    classic.nft("flush table inet classic\n")
    assert classic.ask() == "isp"


def test_the_house_is_not_reached(classic: Lab, ears: Ears) -> None:
    assert classic.ask(4, NEIGHBOUR, within=0.3) != "lan"
