"""VPN Routing from the phone: a real engine, a real tunnel, and an Internet that sees who asks."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.e2e.box import Box, Image
from tests.e2e.vpn import CONFIG, PLAIN, TUNNEL, VpnServer, listening

SETUP = ["bellpull", "vpn", "setup", "vpn"]


@pytest.fixture
async def server(with_bellpull: Image) -> AsyncIterator[VpnServer]:
    """Docker runs, the tunnel is up, `bellpull vpn setup` has prepared the container, the bridge runs."""
    with Box(with_bellpull) as box:
        server = VpnServer(box, await box.lan.run(listening(box)))
        try:
            server.internet.tunnel_up()
            server.configure(CONFIG)
            box.run(SETUP)
            server.start()
            yield server
        finally:
            await server.close()


async def until(what: Callable[[], bool], within: float = 15) -> None:
    async with asyncio.timeout(within):
        while not what():
            await asyncio.sleep(0.05)


def said(server: VpnServer, *words: str) -> str:
    done = server.box.run(["bellpull", "vpn", *words], check=False)
    return done.stdout + done.stderr


async def test_a_tap_sends_the_container_through_the_tunnel_and_back(server: VpnServer) -> None:
    tile = await (await server.phone()).tile("VPN Routing")
    assert server.ask() == PLAIN
    assert (await tile.turn(True)).status == 0
    assert server.ask() == TUNNEL
    assert said(server, "status", "vpn").splitlines()[:3] == [
        "routing: on",
        "router: watches the kernel and Docker",
        "IPv4: tun0",
    ]
    assert (await tile.turn(False)).status == 0
    assert server.ask() == PLAIN


async def test_while_on_nothing_gets_out_without_the_tunnel_and_it_resumes_by_itself(
    server: VpnServer,
) -> None:
    tile = await (await server.phone()).tile("VPN Routing")
    await tile.turn(True)
    server.internet.forget()
    server.internet.tunnel_down()
    assert server.ask() == ""
    assert "nothing gets out: there is no tun0" in said(server, "status", "vpn")
    assert await tile.is_on()
    server.internet.tunnel_up()
    await until(lambda: server.ask() == TUNNEL)
    assert server.internet.leaked == 0


async def test_it_outlasts_the_container_the_engine_the_firewall_and_the_bridge(server: VpnServer) -> None:
    tile = await (await server.phone()).tile("VPN Routing")
    await tile.turn(True)
    server.internet.forget()
    box = server.box
    box.run(["docker", "restart", "--time", "0", "seedbox"])
    assert server.ask() == TUNNEL
    box.run(["iptables", "-t", "nat", "-F"])
    box.run(["systemctl", "restart", "docker"], timeout=60)
    await until(lambda: server.ask() == TUNNEL)
    box.run(["systemctl", "kill", "--signal=KILL", "bellpull"])
    assert server.ask() == TUNNEL
    await until(lambda: '"state": "on"' in box.run(["bellpull", "list", "--json"], check=False).stdout)
    server.container()
    box.run(SETUP)
    assert server.ask() == TUNNEL
    assert server.internet.leaked == 0


async def test_rules_that_somebody_deletes_are_there_again_and_the_journal_says_so(server: VpnServer) -> None:
    tile = await (await server.phone()).tile("VPN Routing")
    await tile.turn(True)
    server.box.run(["ip", "rule", "del", "pref", "4720"])
    await until(lambda: "4720:" in server.box.run(["ip", "rule"]).stdout)
    assert server.ask() == TUNNEL
    journal = ["bellpull", "journal"]
    await until(lambda: "somebody deleted IPv4: pref 4720" in server.box.run(journal).stdout)
    assert await tile.is_on()


async def test_a_container_whose_names_would_leak_is_not_routed(server: VpnServer) -> None:
    server.container(dns=Box.address)
    server.box.run(SETUP)
    tile = await (await server.phone()).tile("VPN Routing")
    assert (await tile.turn(True)).status == -70412
    assert not await tile.is_on()
    assert f"seedbox asks {Box.address} in the house" in server.box.run(["bellpull", "journal"]).stdout
    assert "in the house" in said(server, "status", "vpn")
    assert "in the house" in server.box.run(["bellpull", "doctor"], check=False).stdout


async def test_setup_says_what_it_would_do_does_it_once_and_takes_it_back(server: VpnServer) -> None:
    assert said(server, "setup", "vpn") == "nothing to do\n"
    removal = said(server, "setup", "vpn", "--remove", "--dry-run")
    assert "would remove the Docker network 0-bellpull-vpn" in removal
    said(server, "setup", "vpn", "--remove")
    assert server.ask() == PLAIN
    assert "vpn-vpn" not in server.box.run(["ip", "link"]).stdout
    again = said(server, "setup", "vpn", "--dry-run")
    assert "would make the Docker network 0-bellpull-vpn on the bridge vpn-vpn" in again


async def test_a_container_that_cannot_be_routed_is_told_with_a_cure(server: VpnServer) -> None:
    server.container("--network", "host")
    assert "seedbox uses the server's own network" in said(server, "setup", "vpn")
    server.box.run(["docker", "rm", "-f", "seedbox"])
    assert "there is no container seedbox" in said(server, "setup", "vpn")
