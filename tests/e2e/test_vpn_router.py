"""What Docker does to a routed container while the tile is on, under a flood from its first moment."""

import asyncio
import time
from collections import Counter

import pytest

from tests.e2e.test_vpn import said, server, until
from tests.e2e.vpn import PLAIN, TUNNEL, TUNNEL6, VpnServer

__all__ = ["server"]  # a fixture

FIRST = "0-a-network-that-wins"


async def on(server: VpnServer) -> None:
    server.container(flood=True)
    server.box.run(["bellpull", "vpn", "setup", "vpn"])
    server.box.run(["bellpull", "set", "vpn", "on"])
    await until(lambda: server.internet.heard[TUNNEL] > 0 and server.internet.heard[TUNNEL6] > 0)
    server.internet.forget()


async def held(server: VpnServer, seconds: float = 1.5) -> None:
    """It floods through the tunnel, and in no other way."""
    await asyncio.sleep(seconds)
    heard = server.internet.heard
    before = Counter(heard)
    await until(lambda: all(heard[way] > before[way] + 50 for way in (TUNNEL, TUNNEL6)))
    assert server.internet.leaked == 0, server.internet.heard


async def test_a_network_that_wins_is_connected_and_the_container_stays_routed(server: VpnServer) -> None:
    await on(server)
    server.box.run(["docker", "network", "create", FIRST])
    server.box.run(["docker", "network", "connect", FIRST, "seedbox"])
    await held(server)
    assert server.tiles()["vpn"]["state"] == "on"
    server.box.run(["docker", "restart", "--time", "0", "seedbox"])
    await held(server)
    server.box.run(["docker", "network", "disconnect", FIRST, "seedbox"])
    await held(server)


@pytest.mark.parametrize("network", ["bridge", FIRST])
async def test_a_container_made_anew_is_routed_from_its_first_packet(server: VpnServer, network: str) -> None:
    if network == FIRST:
        server.box.run(["docker", "network", "create", FIRST])
    await on(server)
    before = len(server.journal("vpn"))
    server.container("--network", network, flood=True)
    await held(server)
    for _ in range(3):  # as compose does
        server.make("new_seedbox", "--network", network, flood=True, word="create")
        server.box.run(["docker", "rm", "-f", "seedbox"])
        server.box.run(["docker", "rename", "new_seedbox", "seedbox"])
        server.box.run(["docker", "start", "seedbox"])
        await held(server, 0.5)
    assert server.tiles()["vpn"]["state"] == "on"
    assert "off" not in [row["new"] for row in server.journal("vpn")[before:]]


async def test_an_engine_that_begins_again_finds_the_container_fenced_in(server: VpnServer) -> None:
    await on(server)
    server.box.run(["docker", "network", "create", FIRST])
    server.box.run(["docker", "network", "connect", FIRST, "seedbox"])
    await held(server)
    server.box.run(["systemctl", "restart", "docker"], timeout=60)
    await held(server, 3)


async def test_a_container_made_anew_that_cannot_be_routed_is_trouble(server: VpnServer) -> None:
    await on(server)
    phone = await server.phone()
    alarm = await phone.sensor("VPN Routing Trouble")
    async with phone.watching(alarm) as events:
        server.container("--network", "host")
        await events.wait_for(alarm, 1, within=15)
    await until(lambda: server.tiles()["vpn"]["state"] == "off")
    assert "seedbox cannot be put on 0-bellpull-vpn" in server.tiles()["vpn"]["reason"]
    assert "cannot be put on" in said(server, "status", "vpn")


async def test_other_containers_go_their_own_way_meanwhile(server: VpnServer) -> None:
    await on(server)
    server.make("other")
    assert server.ask("other") == PLAIN


async def test_all_rules_flushed_at_once_are_laid_again(server: VpnServer) -> None:
    await on(server)
    started = time.monotonic()
    server.box.run(["sh", "-c", "ip rule flush; ip rule add pref 32766 lookup main; ip -6 rule flush"])
    await until(lambda: "4720:" in server.box.run(["ip", "rule"]).stdout)
    took = time.monotonic() - started
    await asyncio.sleep(0.2)
    print(f"flushed: laid again within {took:.3f} s, {server.internet.leaked} packets got out meanwhile")
    server.internet.forget()
    await held(server)
    assert "laid again" in server.box.run(["bellpull", "journal", "vpn"]).stdout


async def test_a_storm_of_deletions_is_one_alarm_and_each_is_laid_again(server: VpnServer) -> None:
    await on(server)
    phone = await server.phone()
    alarm = await phone.sensor("VPN Routing Trouble")
    async with phone.watching(alarm) as events:
        for _ in range(12):
            server.box.run(["ip", "rule", "del", "pref", "4720"])
            await until(lambda: "4720:" in server.box.run(["ip", "rule"]).stdout)
        await events.wait_for(alarm, 1)
    await held(server)
    told = [row["reason"] for row in server.journal("vpn") if "4720" in row["reason"]]
    assert [reason.startswith("somebody deleted") for reason in told] == [True] * 5 + [False]
    assert told[-1].startswith("undone 5 times in a minute")


async def test_a_router_that_is_killed_is_back_and_knows(server: VpnServer) -> None:
    await on(server)
    for _ in range(3):
        server.box.run(["systemctl", "kill", "--signal=KILL", "bellpull-router"])
        server.container("--network", "bridge", flood=True)
        await held(server, 0.5)


async def test_while_there_is_no_router_a_container_made_anew_comes_up_closed_in(server: VpnServer) -> None:
    await on(server)
    server.make("other")
    server.box.run(["systemctl", "stop", "bellpull-router"])
    server.container("--network", "bridge", flood=True)
    await asyncio.sleep(0.5)
    assert server.internet.leaked == 0, server.internet.heard
    assert server.ask("other") == PLAIN
    server.internet.forget()
    server.box.run(["systemctl", "start", "bellpull-router"])
    await held(server)


async def test_after_a_power_cut_the_container_comes_up_closed_in(server: VpnServer) -> None:
    await on(server)
    server.box.run(["docker", "network", "create", FIRST])
    server.box.run(["docker", "network", "connect", FIRST, "seedbox"])
    await held(server)
    server.box.pull_the_plug()
    server.internet.forget()
    server.box.boot()
    server.internet.connect()
    order = server.box.run(["systemctl", "show", "-p", "Before", "bellpull-router"]).stdout
    assert "docker.service" in order
    server.internet.tunnel_up()
    await held(server)
