"""Several VPN tiles on one server, each through a tunnel of its own, under a flood of both families."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.box import Box, Image
from tests.e2e.server import eventually
from tests.e2e.test_vpn import said
from tests.e2e.tunnels import OpenVpn, WireGuard, ends
from tests.e2e.vpn import CONFIG, INTERNET6, PLAIN, PLAIN6, TUNNEL, TUNNEL6, VpnServer, prepared

TILES = f"""\
{CONFIG}\
  second: {{kind: vpn_route, name: Second, container: second, interface: tun1}}
  guarded: {{kind: vpn_route, name: Guarded, container: guarded, interface: wg0}}
  aged: {{kind: vpn_route, name: Aged, container: aged, interface: tun0, ipv6: false}}
"""
KEYS = {"seedbox": "vpn", "second": "second", "guarded": "guarded", "aged": "aged"}
WINS = "0-a-network-that-wins"
MARKED = """\
table ip classic {
  chain pre {
    type filter hook prerouting priority mangle
    iifname "classic0" meta mark set 1
  }
}
"""


@pytest.fixture(scope="module")
def shared(with_bellpull: Image) -> Iterator[VpnServer]:
    with Box(with_bellpull) as box, prepared(box, TILES) as server:
        box.run(["docker", "rm", "-f", "seedbox"])
        box.run(["docker", "network", "create", "--ipv6", "--subnet", "fd99::/64", WINS])
        yield server


@pytest.fixture
def server(shared: VpnServer) -> Iterator[VpnServer]:
    """One server for all of these tests; each makes its containers and finds all tiles off."""
    shared.internet.tunnel_up()
    yield shared
    for name, key in KEYS.items():
        shared.box.run(["docker", "rm", "-f", name], check=False)
        shared.turn(key, False)


def routed(server: VpnServer, name: str, *options: str) -> None:
    """A container that floods, prepared and routed; nothing was heard of it yet."""
    server.make(name, *options)
    server.box.run(["bellpull", "vpn", "setup", KEYS[name]])
    server.turn(KEYS[name], True)
    server.internet.forget()
    server.box.run(["docker", "rm", "-f", name])
    server.make(name, *options, flood=True)


async def comes_by(server: VpnServer, *ways: str) -> None:
    """Fifty packets more by each of these; none came by the plain uplink since forget()."""
    heard = server.internet.heard
    before = Counter(heard)
    await eventually(lambda: all(heard[way] > before[way] + 50 for way in ways))
    assert server.internet.leaked == 0, heard


async def test_ipv6_is_stopped_while_the_tunnel_has_none_and_goes_on_when_it_has(server: VpnServer) -> None:
    routed(server, "seedbox")
    await comes_by(server, TUNNEL, TUNNEL6)
    server.internet.tunnel_down()
    server.internet.tunnel_up(ipv6=False)
    await comes_by(server, TUNNEL)
    before = server.internet.heard[TUNNEL6]
    await comes_by(server, TUNNEL)
    assert server.internet.heard[TUNNEL6] == before
    server.internet.tunnel_down()
    server.internet.tunnel_up()
    await comes_by(server, TUNNEL, TUNNEL6)


async def test_a_network_with_ipv6_that_wins_changes_nothing(server: VpnServer) -> None:
    routed(server, "seedbox")
    server.box.run(["docker", "network", "connect", WINS, "seedbox"])
    await comes_by(server, TUNNEL, TUNNEL6)
    server.box.run(["docker", "rm", "-f", "seedbox"])
    server.make("seedbox", "--network", WINS, flood=True)
    await comes_by(server, TUNNEL, TUNNEL6)
    server.turn("vpn", False)
    server.internet.forget()
    await eventually(lambda: server.internet.heard[PLAIN] > 50 and server.internet.heard[PLAIN6] > 50)


async def test_without_ipv6_a_container_has_none_by_another_network_either(server: VpnServer) -> None:
    routed(server, "aged")
    server.box.run(["docker", "network", "connect", WINS, "aged"])
    await comes_by(server, TUNNEL)
    server.box.run(["docker", "rm", "-f", "aged"])
    server.make("aged", "--network", WINS, flood=True)
    await comes_by(server, TUNNEL)
    assert server.internet.heard[TUNNEL6] == 0


async def test_several_tiles_turn_on_and_off_each_for_itself(server: VpnServer) -> None:
    another = OpenVpn(server.box, 1)
    (four, _), (six, _) = ends(1)
    try:
        another.up()
        routed(server, "second")
        server.make("seedbox")
        server.box.run(["bellpull", "vpn", "setup", "vpn"])
        for _ in range(3):
            server.turn("vpn", True)
            assert (server.ask(), server.ask(where=INTERNET6)) == (TUNNEL, TUNNEL6)
            await comes_by(server, four, six)
            server.turn("vpn", False)
            await comes_by(server, four, six)
        server.internet.tunnel_down()
        await comes_by(server, four, six)
        assert server.ask() == PLAIN
        server.box.run(["docker", "rm", "-f", "second"])
        server.turn("second", False)
        server.make("second")
        assert server.ask("second") == PLAIN
    finally:
        another.down()
        another.close()


async def test_wireguard_vanishes_and_comes_back_with_other_addresses(server: VpnServer) -> None:
    wire = WireGuard(server.box)
    try:
        wire.up()
        everything = ("default", "dev", "wg0", "table", "51820")  # as without `Table = off`
        server.box.run(["ip", "route", "add", *everything])
        assert "wg0 takes the whole server along (default)" in said(server, "status", "guarded")
        server.box.run(["ip", "route", "del", *everything])
        assert "whole server" not in said(server, "status", "guarded")
        routed(server, "guarded")
        await comes_by(server, *wire.sources)
        wire.down()
        gone = "nothing gets out: there is no wg0"
        await eventually(lambda: server.tiles()["guarded"]["reason"] == gone)
        assert server.internet.leaked == 0
        server.internet.forget()
        await asyncio.sleep(0.3)
        assert not server.internet.heard
        wire.renumber()
        wire.up()
        await comes_by(server, *wire.sources)
        await eventually(lambda: server.tiles()["guarded"]["reason"] == "")
    finally:
        wire.down()
        wire.close()


async def test_the_classic_recipe_holds_only_as_long_as_nobody_touches_the_container(
    server: VpnServer,
) -> None:
    box = server.box
    named = "com.docker.network.bridge.name=classic0"
    box.run(["docker", "network", "create", "--opt", named, "00-classic"])
    box.run(["nft", "-f", "-"], input=MARKED)
    box.run(["ip", "route", "add", "default", "dev", "tun0", "table", "100"])
    box.run(["ip", "rule", "add", "pref", "100", "fwmark", "1", "lookup", "100"])
    try:
        server.make("classic")
        box.run(["docker", "network", "connect", "00-classic", "classic"])
        await eventually(lambda: server.ask("classic") == TUNNEL)
        box.run(["docker", "restart", "--time", "0", "classic"])
        await eventually(lambda: server.ask("classic") == TUNNEL)
        box.run(["systemctl", "restart", "docker"], timeout=60)
        await eventually(lambda: server.ask("classic") == TUNNEL)
        box.run(["docker", "network", "connect", WINS, "classic"])
        await eventually(lambda: server.ask("classic") == PLAIN)
        box.run(["docker", "rm", "-f", "classic"])
        server.make("classic")
        await eventually(lambda: server.ask("classic") == PLAIN)
    finally:
        box.run(["docker", "rm", "-f", "classic"])
        box.run(["ip", "rule", "del", "pref", "100"])
        box.run(["nft", "delete", "table", "ip", "classic"])
