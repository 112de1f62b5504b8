"""What stands in front of an accessory, or in its place."""

import asyncio
from contextlib import aclosing

import pytest

from bridge.adapters import Broken, Restarting
from bridge.contract import Change, Outcome, Refused, State, Tile, Unavailable
from bridge.keeper import Keeper
from tests.fakes.machine import FakeMachine


class Bounced(FakeMachine):
    bounces = 0

    async def restart(self) -> State:
        if not self.on:
            raise Refused("nothing to restart: it is off")
        self.bounces += 1
        return self.state


class Ear:
    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.shows: list[bool | None] = []

    def shown(self, tile: Tile) -> None:
        self.shows.append(tile.shown)

    def changed(self, change: Change) -> None:
        self.changes.append(change)


async def test_a_restart_tile_rests_at_off_whatever_its_accessory_does() -> None:
    machine = Bounced(True)
    tile = Restarting(machine)
    assert tile.rest is False
    async with aclosing(tile.watch()) as states:
        assert (await anext(states)).on is False
        machine.become(False)
        assert (await anext(states)).on is False


async def test_a_restart_tile_is_unknown_while_its_accessory_is() -> None:
    machine = Bounced(None)
    machine.reason = "the bus is away"
    async with aclosing(Restarting(machine).watch()) as states:
        assert await anext(states) == State(None, reason="the bus is away")


async def test_pressing_it_restarts_what_runs_and_releasing_it_does_nothing() -> None:
    machine = Bounced(True)
    tile = Restarting(machine)
    assert await tile.set(True) == State(False)
    assert await tile.set(False) == State(False)
    assert (machine.bounces, machine.asked) == (1, [])


async def test_pressing_it_never_starts_what_does_not_run() -> None:
    machine = Bounced(False)
    with pytest.raises(Refused, match="nothing to restart: it is off"):
        await Restarting(machine).set(True)
    assert machine.on is False


async def test_a_press_is_told_as_a_wish_that_was_met_while_the_tile_stays_off() -> None:
    ear = Ear()
    keeper = Keeper("web", "Web", Restarting(Bounced(True)), deadline=5, listeners=[ear])
    watching = asyncio.create_task(keeper.run())
    await asyncio.sleep(0.01)
    ear.changes.clear()
    wish = keeper.wish(True, "Anna")
    assert (await wish.verdict).outcome is Outcome.MET
    begun, ended = ear.changes
    assert (begun.wanted, begun.outcome, begun.old) == (True, None, False)
    assert (ended.wanted, ended.outcome, ended.old, ended.new) == (True, Outcome.MET, False, False)
    await asyncio.sleep(0.6)
    assert ear.shows[-2:] == [True, False]
    assert ear.changes == [begun, ended]  # turning itself off is no change of anything
    await keeper.close()
    watching.cancel()


async def test_an_accessory_that_cannot_restart_says_so() -> None:
    with pytest.raises(Refused, match="this accessory cannot be restarted"):
        await Restarting(Broken("as every kind that says nothing of restarts")).set(True)


async def test_a_broken_entry_is_unknown_with_its_reason_and_every_wish_fails_at_once() -> None:
    broken = Broken("'soon' is not a duration")
    async with aclosing(broken.watch()) as states:
        assert await anext(states) == State(None, reason="'soon' is not a duration")
    with pytest.raises(Unavailable, match="'soon' is not a duration"):
        await broken.set(True)
