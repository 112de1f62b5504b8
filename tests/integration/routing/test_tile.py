"""The tile of a VPN on a real kernel: what it shows, what it defends, what gets out meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from accessories.vpn_route import VpnRoute, bridge_name, table
from bridge.contract import Outcome
from bridge.keeper import Keeper
from bridge.tools import Tools
from tests.fakes.wishes import FakeWishes
from tests.integration.routing.lab import BRIDGE, ENTRY, POLICY, Lab

pytestmark = pytest.mark.root
KEY = "vpn"
T = TypeVar("T")


class LabRoot:
    """The helper without sudo, in the house; remembers what it was asked."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.asked: list[str] = []
        self.rules = {**POLICY, "routes": {KEY: {**ENTRY, "table": table(KEY)}}}

    async def call(self, verb: str, name: str) -> None:
        self.asked.append(verb)
        await asyncio.to_thread(self.lab.helper, verb, name, self.rules)


class Tile:
    """A Keeper and its VPN tile, in the house."""

    def __init__(self, lab: Lab, wishes: FakeWishes) -> None:
        self.lab, self.root = lab, LabRoot(lab)
        self.tools = Tools(secrets=Path("/nowhere"))
        self.tools.__dict__["root"] = self.root
        accessory = VpnRoute(interface="tun0", container="box").open(KEY, self.tools)
        self.keeper = Keeper(KEY, "VPN", accessory, deadline=10, kept=wishes)

    async def turn(self, on: bool) -> Outcome:
        return (await self.keeper.wish(on, "Anna").verdict).outcome

    async def until(self, what: Callable[[], bool], within: float = 5) -> float:
        """Wait for it; seconds it took."""
        start = time.monotonic()
        async with asyncio.timeout(within):
            while not what():
                await asyncio.sleep(0.001)
        return time.monotonic() - start


def in_the_house(lab: Lab, test: Callable[[Tile], Awaitable[T]], wishes: FakeWishes | None = None) -> T:
    async def run() -> T:
        tile = Tile(lab, wishes or FakeWishes())
        watching = asyncio.create_task(tile.keeper.run())
        try:
            await tile.until(lambda: tile.keeper.state.on is not None)
            return await asyncio.wait_for(test(tile), 60)
        finally:
            await tile.keeper.close()
            watching.cancel()
            await asyncio.wait([watching])
            await tile.tools.close()
            lab.helper("route-off", KEY, tile.root.rules)

    return lab.within("house", lambda: asyncio.run(run()))


def rules(lab: Lab, family: str) -> list[int]:
    return sorted(int(line.split(":")[0]) for line in lab.ip("house", f"{family} rule").splitlines())[1:-1]


def test_a_wish_is_met_when_the_kernel_sends_the_next_packet_there(lab: Lab) -> None:
    assert bridge_name(KEY) == f"vpn-{KEY}"

    async def test(tile: Tile) -> None:
        assert tile.keeper.shown is False
        assert await tile.turn(True) is Outcome.MET
        assert tile.keeper.state.reason == ""
        assert await tile.turn(False) is Outcome.MET

    in_the_house(lab, test)


@pytest.mark.parametrize("lost", ["4720", "4721"])
@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_rule_that_somebody_deletes_is_there_again_before_the_tile_shows_anything(
    lab: Lab, lost: str, family: str
) -> None:
    async def test(tile: Tile) -> None:
        await tile.turn(True)
        before = rules(lab, family)
        lab.ip("house", f"{family} rule del pref {lost}")
        await tile.until(lambda: rules(lab, family) == before)
        await tile.until(lambda: tile.keeper.current is None)
        assert tile.keeper.shown is True
        assert tile.root.asked == ["route-on", "route-on"]

    in_the_house(lab, test)


def test_when_all_rules_are_flushed_they_come_back_and_little_gets_out(lab: Lab) -> None:
    async def test(tile: Tile) -> tuple[float, int]:
        await tile.turn(True)
        with lab.listening() as ears, lab.flood():
            ears.forget()
            for family in ("-4", "-6"):
                lab.ip("house", f"{family} rule flush")
                lab.ip("house", f"{family} rule add pref 32766 lookup main")
            took = await tile.until(lambda: {4720, 4721} <= set(rules(lab, "-4")) & set(rules(lab, "-6")))
            leaked = ears.leaked
            ears.forget()
            await asyncio.sleep(0.1)
            assert ears.leaked == 0
        return took, leaked

    took, leaked = in_the_house(lab, test)
    print(f"all rules flushed: there again after {took * 1000:.0f} ms, {leaked} packets got out")


def test_a_tunnel_that_vanishes_is_told_and_resumed_when_it_is_back_with_another_address(lab: Lab) -> None:
    async def test(tile: Tile) -> None:
        await tile.turn(True)
        lab.tunnel_down()
        await tile.until(lambda: tile.keeper.state.died)
        assert tile.keeper.shown is True
        assert tile.keeper.state.reason == "nothing gets out: there is no tun0"
        await asyncio.to_thread(lab.tunnel_up, 9)
        await tile.until(lambda: not tile.keeper.state.died)
        with lab.listening():
            assert await asyncio.to_thread(lab.ask) == "vpn"
            assert await asyncio.to_thread(lab.ask, 6) == "vpn"
        assert tile.keeper.shown is True

    in_the_house(lab, test)


def test_a_table_that_somebody_flushes_is_filled_again(lab: Lab) -> None:
    async def test(tile: Tile) -> None:
        await tile.turn(True)
        lab.ip("house", f"route flush table {table(KEY)}")
        with lab.listening():
            await tile.until(lambda: lab.ask(within=0.2) == "vpn")

    in_the_house(lab, test)


def test_a_bridge_that_starts_finds_its_wish_and_makes_it_so(lab: Lab) -> None:
    async def test(tile: Tile) -> None:
        await tile.until(lambda: tile.keeper.shown is True and tile.keeper.current is None)
        assert tile.root.asked == ["route-on"]

    in_the_house(lab, test, FakeWishes(**{KEY: True}))


def test_a_bridge_that_starts_while_it_is_on_leaves_it_alone(lab: Lab) -> None:
    async def test(tile: Tile) -> None:
        await asyncio.sleep(0.2)
        assert tile.keeper.shown is True
        assert tile.root.asked == []

    lab.helper("route-on", KEY, LabRoot(lab).rules)
    in_the_house(lab, test, FakeWishes(**{KEY: True}))


def test_a_change_by_somebody_else_is_seen(lab: Lab) -> None:
    async def test(tile: Tile) -> None:
        lab.helper("route-on", KEY, tile.root.rules)
        await tile.until(lambda: tile.keeper.shown is True)
        lab.helper("route-off", KEY, tile.root.rules)
        await tile.until(lambda: tile.keeper.shown is False)

    in_the_house(lab, test)


def test_nothing_is_done_while_nothing_changes(lab: Lab) -> None:
    async def test(tile: Tile) -> None:
        await tile.turn(True)
        spent = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - spent < 0.1
        assert tile.root.asked == ["route-on"]

    in_the_house(lab, test)


def test_a_bridge_device_that_is_away_leaves_the_rules_to_decide(lab: Lab) -> None:
    async def test(tile: Tile) -> None:
        lab.ip("house", f"link set {BRIDGE} down")
        try:
            assert await tile.turn(True) is Outcome.MET
            assert await tile.turn(False) is Outcome.MET
        finally:
            lab.ip("house", f"link set {BRIDGE} up")
            lab.bridge_routes()

    in_the_house(lab, test)
