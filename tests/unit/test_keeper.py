"""One wish at a time, and a tile that tells the truth."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bridge import keeper as module
from bridge.contract import Accessory, Change, Denied, Outcome, Refused, State, Tile
from bridge.keeper import GRACE, HOLD, MOMENT, Keeper
from tests.fakes.clock import run
from tests.fakes.machine import FakeMachine, failure

DEADLINE = 100.0


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
async def kept(machine: Accessory, *, ignores_bulk: bool = False) -> AsyncIterator[tuple[Keeper, Story]]:
    story = Story()
    keeper = Keeper("tile", "Tile", machine, deadline=DEADLINE, listeners=[story], ignores_bulk=ignores_bulk)
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


@in_fake_time
async def test_a_wish_that_is_met_is_shown_at_once_and_told_with_its_maker() -> None:
    async with kept(FakeMachine(False)) as (keeper, story):
        wish = keeper.wish(True, "Anna")
        assert keeper.shown is True
        assert (await wish.verdict).outcome is Outcome.MET
        assert story.shows == [True]
        begun, ended = story.changes
        assert (begun.who, begun.wanted, begun.outcome) == ("Anna", True, None)
        assert (ended.old, ended.new, ended.outcome) == (False, True, Outcome.MET)
        assert ended.took is not None


@in_fake_time
async def test_a_wish_that_fails_gives_the_tile_back_to_the_fact() -> None:
    machine = FakeMachine(False)
    machine.trouble = failure("smbd.service did not start")
    async with kept(machine) as (keeper, story):
        verdict = await keeper.wish(True, "Anna").verdict
        assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, "smbd.service did not start")
        assert keeper.shown is False
        assert story.shows == [True, False]


@in_fake_time
async def test_refusals_and_missing_privileges_keep_their_own_names() -> None:
    machine = FakeMachine(False)
    async with kept(machine) as (keeper, _):
        machine.trouble = Refused("not now")
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.REFUSED
        machine.trouble = Denied("run apply")
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.DENIED


@in_fake_time
async def test_an_unexpected_exception_is_a_failed_wish_and_wedges_nothing() -> None:
    machine = FakeMachine(False)
    machine.trouble = ZeroDivisionError("a bug")
    async with kept(machine) as (keeper, _):
        verdict = await keeper.wish(True, "Anna").verdict
        assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, "ZeroDivisionError: a bug")
        machine.trouble = None
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.MET


@in_fake_time
async def test_a_timeout_inside_a_kind_is_not_taken_for_the_deadline() -> None:
    machine = FakeMachine(False)
    machine.trouble = TimeoutError()
    async with kept(machine) as (keeper, _):
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.FAILED


@in_fake_time
async def test_on_off_on_in_a_second_ends_on_without_a_pile_up() -> None:
    machine = FakeMachine(False, instant=False)
    async with kept(machine) as (keeper, story):
        wishes = [keeper.wish(on, "Anna") for on in (True, False, True)]
        await asyncio.sleep(0.5)
        machine.finish()
        assert [(await wish.verdict).outcome for wish in wishes] == [
            Outcome.SUPERSEDED,
            Outcome.SUPERSEDED,
            Outcome.MET,
        ]
        assert machine.on is True
        assert machine.most_busy == 1
        assert story.shows == [True, False, True]


@in_fake_time
async def test_the_same_wish_twice_is_one_wish() -> None:
    machine = FakeMachine(False, instant=False)
    async with kept(machine) as (keeper, _):
        assert keeper.wish(True, "Anna") is keeper.wish(True, "Ben")
        await asyncio.sleep(1)
        assert machine.asked == [True]


@in_fake_time
async def test_off_to_a_tile_that_reads_off_still_reaches_the_kind() -> None:
    machine = FakeMachine(False)
    async with kept(machine) as (keeper, _):
        assert (await keeper.wish(False, "Siri").verdict).outcome is Outcome.MET
        assert machine.asked == [False]


@in_fake_time
async def test_a_wish_past_its_deadline_is_late_and_the_fact_speaks() -> None:
    machine = FakeMachine(True, instant=False)
    async with kept(machine) as (keeper, _):
        wish = keeper.wish(False, "Anna")
        await asyncio.sleep(DEADLINE - 1)
        assert not wish.verdict.done()
        assert keeper.shown is False
        await asyncio.sleep(2)
        assert wish.verdict.result().outcome is Outcome.LATE
        assert keeper.shown is True


class Sluggish(FakeMachine):
    """Its set() returns while the thing still moves."""

    async def set(self, on: bool) -> State:
        self.become(self.on, moving=True, reason="on its way")
        return self.state


@in_fake_time
async def test_what_takes_longer_holds_the_wish_and_settles_by_observation() -> None:
    machine = Sluggish(True)
    async with kept(machine) as (keeper, story):
        wish = keeper.wish(False, "Anna")
        await asyncio.sleep(30)
        assert not wish.verdict.done()
        machine.become(False)
        assert (await wish.verdict).outcome is Outcome.MET
        assert story.shows == [False]


@in_fake_time
async def test_what_settles_on_the_wrong_side_has_failed_with_the_machines_reason() -> None:
    machine = Sluggish(False)
    async with kept(machine) as (keeper, _):
        wish = keeper.wish(True, "Anna")
        await asyncio.sleep(1)
        machine.become(False, reason="web.service is failed")
        verdict = await wish.verdict
        assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, "web.service is failed")
        machine.become(False)
        await asyncio.sleep(1)
        wish = keeper.wish(True, "Anna")
        await asyncio.sleep(1)
        machine.become(False)
        assert (await wish.verdict).reason == "it is still off"


@in_fake_time
async def test_unknown_fails_wishes_at_once_and_comes_back_by_itself() -> None:
    machine = FakeMachine(True)
    async with kept(machine) as (keeper, story):
        machine.break_()
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert keeper.shown is None
        verdict = await keeper.wish(False, "Anna").verdict
        assert (verdict.outcome, verdict.reason) == (Outcome.UNAVAILABLE, "the machine is away")
        assert machine.asked == []
        machine.mend()
        await asyncio.sleep(1)
        assert keeper.shown is True
        assert story.shows == [None, True]


@in_fake_time
async def test_a_bug_in_a_watch_makes_the_tile_unknown_and_is_taken_up_again() -> None:
    machine = FakeMachine(True)
    async with kept(machine) as (keeper, _):
        machine.break_(ValueError("a bug"))
        await asyncio.sleep(0.01)
        assert "ValueError: a bug" in keeper.state.reason
        machine.mend()
        await asyncio.sleep(10)
        assert keeper.shown is True


class Brief(FakeMachine):
    """Its watch says one thing and ends, though it should not."""

    async def watch(self) -> AsyncGenerator[State, None]:
        yield self.state


@in_fake_time
async def test_a_watch_that_ends_is_taken_up_again() -> None:
    async with kept(Brief(True)) as (_, story):
        await asyncio.sleep(1)
        assert None in story.shows
        assert True in story.shows


@in_fake_time
async def test_a_change_from_elsewhere_is_shown_and_told_as_observed() -> None:
    machine = FakeMachine(True)
    async with kept(machine) as (keeper, story):
        machine.become(False, reason="smbd.service is failed")
        await asyncio.sleep(0.01)
        assert keeper.shown is False
        (change,) = story.changes
        assert (change.who, change.old, change.new) == ("observed", True, False)
        assert change.reason == "smbd.service is failed"


@in_fake_time
async def test_a_restart_from_elsewhere_never_bounces_the_tile() -> None:
    machine = FakeMachine(True)
    async with kept(machine) as (_, story):
        for on, moving in ((True, True), (False, True), (True, False)):
            machine.become(on, moving=moving)
            await asyncio.sleep(HOLD / 4)
        assert story.shows == []
        assert story.changes == []


@in_fake_time
async def test_a_transition_that_drags_on_is_shown_in_the_end() -> None:
    machine = FakeMachine(True)
    async with kept(machine) as (_, story):
        machine.become(False, moving=True)
        await asyncio.sleep(HOLD + 0.1)
        assert story.shows == [False]


@in_fake_time
async def test_turning_off_everything_leaves_alone_who_asks_for_it() -> None:
    machine = FakeMachine(True)
    async with kept(machine, ignores_bulk=True) as (keeper, story):
        verdict = await keeper.wish(False, "Siri", bulk=True).verdict
        assert verdict.outcome is Outcome.REFUSED
        assert machine.asked == []
        assert story.changes[-1].outcome is Outcome.REFUSED
        assert (await keeper.wish(False, "Siri").verdict).outcome is Outcome.MET


@in_fake_time
async def test_a_kind_that_cannot_be_cancelled_wedges_nothing() -> None:
    machine = FakeMachine(False, instant=False)
    machine.stubborn = GRACE * 3
    async with kept(machine) as (keeper, _):
        keeper.wish(True, "Anna")
        await asyncio.sleep(0.1)
        wish = keeper.wish(False, "Anna")
        await asyncio.sleep(GRACE + 0.1)
        machine.finish()
        assert (await wish.verdict).outcome is Outcome.MET
        await asyncio.sleep(GRACE * 3)


@in_fake_time
async def test_closing_ends_the_wish_and_says_so() -> None:
    machine = FakeMachine(False, instant=False)
    async with kept(machine) as (keeper, story):
        wish = keeper.wish(True, "Anna")
        await asyncio.sleep(1)
        machine.become(True, moving=True)
        await asyncio.sleep(0.1)
        await keeper.close()
        assert wish.verdict.result().outcome is Outcome.DROPPED
        assert story.changes[-1].outcome is Outcome.DROPPED


class Button(FakeMachine):
    rest = False

    async def set(self, on: bool) -> State:
        await super().set(on)
        self.become(False)
        return self.state


@in_fake_time
async def test_a_momentary_tile_turns_itself_back() -> None:
    machine = Button(False)
    async with kept(machine) as (keeper, story):
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.MET
        assert keeper.shown is True
        await asyncio.sleep(MOMENT + 0.1)
        assert keeper.shown is False
        assert story.shows == [True, False]


@in_fake_time
async def test_a_momentary_tile_that_fails_is_back_at_once() -> None:
    machine = Button(False)
    machine.trouble = failure()
    async with kept(machine) as (keeper, _):
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.FAILED
        assert keeper.shown is False


@in_fake_time
async def test_turning_a_momentary_tile_to_where_it_rests_does_nothing() -> None:
    machine = Button(False, instant=False)
    async with kept(machine) as (keeper, _):
        assert (await keeper.wish(False, "Siri").verdict).outcome is Outcome.MET
        assert machine.asked == []
        pressed = keeper.wish(True, "Anna")
        await asyncio.sleep(0.1)
        assert keeper.wish(False, "Siri") is pressed
        machine.finish()
        assert (await pressed.verdict).outcome is Outcome.MET


def test_numbers_of_wishes_are_never_used_twice() -> None:
    assert next(module._numbers) < next(module._numbers)


@in_fake_time
async def test_a_new_wish_waits_until_the_one_before_has_let_go() -> None:
    machine = FakeMachine(False, instant=False)
    machine.stubborn = GRACE / 2
    async with kept(machine) as (keeper, _):
        keeper.wish(True, "Anna")
        await asyncio.sleep(0.1)
        wish = keeper.wish(False, "Anna")
        await asyncio.sleep(GRACE)
        machine.finish()
        assert (await wish.verdict).outcome is Outcome.MET
        assert machine.most_busy == 1


@in_fake_time
async def test_the_first_look_is_no_change_but_coming_back_is() -> None:
    story = Story()
    machine = FakeMachine(True)
    machine.break_()
    keeper = Keeper("tile", "Tile", machine, deadline=DEADLINE, listeners=[story])
    watching = asyncio.create_task(keeper.run())
    await asyncio.sleep(0.01)
    assert story.changes == []
    machine.mend()
    await asyncio.sleep(1)
    assert [(change.old, change.new) for change in story.changes] == [(None, True)]
    watching.cancel()


@in_fake_time
async def test_a_death_that_systemd_mends_is_told_once_and_does_not_bounce_the_tile() -> None:
    machine = FakeMachine(True)
    async with kept(machine) as (_, story):
        for _ in range(2):
            machine.become(False, moving=True, reason="is activating (auto-restart)", died=True)
            await asyncio.sleep(0.1)
        machine.become(True)
        await asyncio.sleep(HOLD + 1)
        assert story.shows == []
        (change,) = story.changes
        assert (change.old, change.new, change.died) == (True, True, True)
        assert change.reason == "is activating (auto-restart)"


@in_fake_time
async def test_what_was_done_in_the_moment_it_was_called_off_is_not_overlooked() -> None:
    machine = Deaf(False, instant=False)
    async with kept(machine) as (keeper, _):
        keeper.wish(True, "Anna")
        await asyncio.sleep(1)
        machine.finish()
        await asyncio.sleep(0)  # set() returns now
        machine.trouble = failure()
        wish = keeper.wish(False, "Anna")
        await asyncio.sleep(1)
        machine.finish()
        assert (await wish.verdict).outcome is Outcome.FAILED
        assert keeper.shown is True


class Deaf(FakeMachine):
    """Only set() tells how it stands; its watch does not hear of it."""

    async def watch(self) -> AsyncGenerator[State, None]:
        yield self.state
        await asyncio.Event().wait()


@in_fake_time
async def test_the_same_bug_is_logged_once() -> None:
    machine = FakeMachine(True)
    machine.break_(ValueError("a bug"))
    async with kept(machine) as (keeper, _):
        await asyncio.sleep(20)
        assert keeper.shown is None
        assert "a bug" in keeper.state.reason


@in_fake_time
async def test_a_restart_leaves_the_tile_on_and_its_reason_is_told() -> None:
    machine = FakeMachine(True, instant=False)
    async with kept(machine) as (keeper, story):
        wish = keeper.restart("watchdog", "it burns")
        await asyncio.sleep(0.1)
        machine.become(False, moving=True)
        await asyncio.sleep(60)
        assert keeper.shown is True
        machine.become(True)
        machine.finish()
        assert (await wish.verdict).outcome is Outcome.MET
        assert (machine.restarts, machine.asked, story.shows) == (1, [], [])
        begun, ended = story.changes
        assert begun.restart and ended.restart
        assert (ended.who, ended.reason, ended.outcome) == ("watchdog", "it burns", Outcome.MET)


@in_fake_time
async def test_a_restart_that_fails_tells_why_it_was_tried_and_why_it_failed() -> None:
    machine = FakeMachine(True)
    machine.trouble = failure("it does not start")
    async with kept(machine) as (keeper, story):
        assert (await keeper.restart("watchdog", "it burns").verdict).outcome is Outcome.FAILED
        assert story.changes[-1].reason == "it burns; it does not start"


@pytest.mark.parametrize(
    "state", [State(False), State(False, moving=True), State(True, moving=True), State(None)]
)
def test_what_is_not_on_and_at_rest_is_not_restarted(state: State) -> None:
    async def test() -> None:
        machine = FakeMachine(state.on)
        machine.moving = state.moving
        async with kept(machine) as (keeper, _):
            assert (await keeper.restart("watchdog", "it burns").verdict).outcome is Outcome.REFUSED
            assert machine.restarts == 0

    run(test())


@in_fake_time
async def test_a_restart_does_not_cross_a_wish_that_is_on_its_way() -> None:
    machine = FakeMachine(True, instant=False)
    async with kept(machine) as (keeper, _):
        wish = keeper.wish(False, "Anna")
        assert (await keeper.restart("watchdog", "it burns").verdict).outcome is Outcome.REFUSED
        await asyncio.sleep(0.1)
        machine.finish()
        assert (await wish.verdict).outcome is Outcome.MET
        assert machine.restarts == 0 and machine.on is False


@in_fake_time
async def test_who_turns_it_off_during_a_restart_has_it_off() -> None:
    machine = FakeMachine(True, instant=False)
    async with kept(machine) as (keeper, _):
        restart = keeper.restart("watchdog", "it burns")
        await asyncio.sleep(0.1)
        off = keeper.wish(False, "Anna")
        assert (await restart.verdict).outcome is Outcome.SUPERSEDED
        await asyncio.sleep(0.1)
        machine.finish()
        assert (await off.verdict).outcome is Outcome.MET
        assert keeper.settled is False and machine.on is False
