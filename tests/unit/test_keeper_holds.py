"""A wish that holds is kept over restarts, and defended; only a new wish ends it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bridge.contract import Accessory, Change, Denied, Outcome, Refused, Tile
from bridge.keeper import HOLD, REPAIRS, WINDOW, Keeper
from tests.fakes.clock import run
from tests.fakes.machine import FakeMachine
from tests.fakes.wishes import FakeWishes


class Story:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.shows: list[bool | None] = []
        self.changes: list[Change] = []

    def shown(self, tile: Tile) -> None:
        self.shows.append(tile.shown)

    def changed(self, change: Change) -> None:
        self.changes.append(change)


@asynccontextmanager
async def kept(machine: Accessory, wishes: FakeWishes) -> AsyncIterator[tuple[Keeper, Story]]:
    story = Story()
    keeper = Keeper("tile", "Tile", machine, deadline=100.0, listeners=[story], kept=wishes)
    watching = asyncio.create_task(keeper.run())
    await asyncio.sleep(0.01)
    story.shows.clear()
    story.changes.clear()
    yield keeper, story
    await keeper.close()
    watching.cancel()


def in_fake_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def sync() -> None:
        run(test())  # type: ignore[arg-type]

    sync.__name__ = test.__name__
    return sync


def holding(on: bool) -> FakeMachine:
    machine = FakeMachine(on)
    machine.holds = True
    return machine


@in_fake_time
async def test_what_holds_at_first_is_wished_until_somebody_wishes_otherwise() -> None:
    machine, wishes = holding(False), FakeWishes()
    machine.at_first = True
    async with kept(machine, wishes) as (keeper, _):
        assert keeper.shown is True and machine.state.on
        await keeper.wish(False, "Anna").verdict
        assert keeper.shown is False
    machine = holding(False)
    machine.at_first = True
    async with kept(machine, wishes) as (keeper, _):
        await asyncio.sleep(1)
        assert keeper.shown is False


@in_fake_time
async def test_what_is_undone_is_wished_again_without_a_bounce() -> None:
    machine, wishes = holding(False), FakeWishes()
    async with kept(machine, wishes) as (keeper, story):
        await keeper.wish(True, "Anna").verdict
        assert wishes.there == {"tile": True}
        machine.become(False, reason="a rule is missing")
        await asyncio.sleep(0.05)
        assert machine.on is True
        assert story.shows == [True]
        assert [(change.who, change.outcome) for change in story.changes[2:]] == [
            ("observed", None),
            ("defended", None),
            ("defended", Outcome.MET),
        ]


@in_fake_time
async def test_a_kept_wish_is_found_again_when_the_bridge_starts() -> None:
    machine = holding(False)
    async with kept(machine, FakeWishes(tile=True)):
        assert machine.on is True


@in_fake_time
async def test_nothing_is_kept_or_defended_for_a_kind_that_does_not_hold() -> None:
    machine, wishes = FakeMachine(False), FakeWishes(tile=True)
    async with kept(machine, wishes) as (keeper, _):
        assert machine.on is False
        await keeper.wish(False, "Anna").verdict
        assert wishes.there == {"tile": True}


@in_fake_time
async def test_a_new_wish_takes_the_place_of_the_kept_one() -> None:
    machine, wishes = holding(False), FakeWishes(tile=True)
    async with kept(machine, wishes) as (keeper, _):
        await keeper.wish(False, "Anna").verdict
        await asyncio.sleep(WINDOW)
        assert (machine.on, wishes.there) == (False, {"tile": False})


@in_fake_time
async def test_a_wish_that_is_superseded_leaves_the_last_one_kept() -> None:
    machine, wishes = holding(False), FakeWishes()
    machine.instant = False
    async with kept(machine, wishes) as (keeper, _):
        keeper.wish(True, "Anna")
        await asyncio.sleep(0.01)
        keeper.wish(False, "Ben")
        await asyncio.sleep(0.01)
        machine.finish()
        await asyncio.sleep(0.01)
        assert wishes.there == {"tile": False}


@in_fake_time
async def test_a_wish_that_fails_is_not_kept() -> None:
    machine, wishes = holding(False), FakeWishes()
    async with kept(machine, wishes) as (keeper, _):
        machine.trouble = Refused("its names would leak")
        await keeper.wish(True, "Anna").verdict
        assert wishes.there == {"tile": None}
        await asyncio.sleep(WINDOW)
        assert machine.asked == [True]


@in_fake_time
async def test_a_wish_that_the_end_of_the_bridge_cuts_short_is_kept() -> None:
    machine, wishes = holding(False), FakeWishes()
    machine.instant = False
    async with kept(machine, wishes) as (keeper, _):
        keeper.wish(True, "Anna")
        await asyncio.sleep(0.01)
    assert wishes.there == {"tile": True}


@in_fake_time
async def test_what_is_undone_again_and_again_is_alarmed_of_once_and_defended_a_minute_later() -> None:
    machine = holding(True)
    async with kept(machine, FakeWishes(tile=True)) as (keeper, story):
        for _ in range(3 * REPAIRS):
            machine.become(False, reason="a rule is missing")
            await asyncio.sleep(0.01)
        assert machine.asked == [True] * REPAIRS
        (alarm,) = (change for change in story.changes if change.died)
        assert "undone 5 times in a minute, so it is left for one: a rule is missing" in alarm.reason
        assert keeper.shown is False
        await asyncio.sleep(WINDOW)
        assert (machine.on, keeper.shown) == (True, True)


@in_fake_time
async def test_a_defence_that_fails_is_tried_five_times_a_minute_for_ever() -> None:
    machine = holding(True)
    async with kept(machine, FakeWishes(tile=True)) as (keeper, _):
        machine.trouble = Denied("sudo does not allow it")
        machine.become(False)
        await asyncio.sleep(WINDOW / 2)
        assert len(machine.asked) == REPAIRS
        await asyncio.sleep(WINDOW * 10)
        assert 2 * REPAIRS < len(machine.asked) <= 12 * REPAIRS
        machine.trouble = None
        await asyncio.sleep(WINDOW * 2)
        assert keeper.shown is True


@in_fake_time
async def test_a_person_may_wish_while_the_defence_pauses() -> None:
    machine = holding(True)
    async with kept(machine, FakeWishes(tile=True)) as (keeper, _):
        for _ in range(2 * REPAIRS):
            machine.become(False)
            await asyncio.sleep(0.01)
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.MET
        assert keeper.shown is True


@in_fake_time
async def test_a_transition_and_an_unknown_state_are_waited_for() -> None:
    machine = holding(True)
    async with kept(machine, FakeWishes(tile=True)):
        machine.become(False, moving=True)
        await asyncio.sleep(HOLD + 1)
        machine.break_()
        await asyncio.sleep(HOLD)
        assert machine.asked == []


@in_fake_time
async def test_what_stays_on_but_does_not_work_is_told_and_so_is_its_end() -> None:
    machine = holding(True)
    async with kept(machine, FakeWishes()) as (_, story):
        machine.become(True, died=True, reason="there is no tun0")
        await asyncio.sleep(0.01)
        machine.become(True)
        await asyncio.sleep(0.01)
        assert [(change.new, change.died) for change in story.changes] == [(True, True), (True, False)]
        assert story.shows == []
