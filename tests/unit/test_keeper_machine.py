"""Whatever happens in whatever order: a Keeper is never stuck, and at rest the tile is the machine."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.contract import Change, Outcome, Refused, Tile, Wish
from bridge.keeper import GRACE, HOLD, RETRY_LAST, WINDOW, Keeper
from tests.fakes.clock import runner
from tests.fakes.machine import FakeMachine, failure
from tests.fakes.wishes import FakeWishes

DEADLINE = 60.0


class Faces:
    """Listens as HomeKit does: what it was told last must be what is shown."""

    def __init__(self) -> None:
        self.last: bool | None = None
        self.begun: set[int] = set()
        self.ended: list[int] = []

    def shown(self, tile: Tile) -> None:
        assert tile.shown is not self.last, "told twice"
        self.last = tile.shown

    def changed(self, change: Change) -> None:
        if change.wish and change.outcome is None:
            self.begun.add(change.wish)
        elif change.wish:
            assert change.wish not in self.ended, "ended twice"
            self.ended.append(change.wish)


class KeeperMachine(RuleBasedStateMachine):
    @initialize(
        on=st.booleans(),
        rest=st.sampled_from([None, None, False, True]),
        bulk=st.booleans(),
        holds=st.booleans(),
        held=st.sampled_from([None, False, True]),
    )
    def begin(self, on: bool, rest: bool | None, bulk: bool, holds: bool, held: bool | None) -> None:
        self.runner = runner()
        self.machine = FakeMachine(on if rest is None else rest, instant=False)
        self.machine.rest = rest
        self.machine.holds = holds and rest is None
        self.kept = FakeWishes(tile=held)
        self.faces = Faces()
        self.wishes: list[Wish] = []
        self.patience_lost = False
        self.keeper = Keeper(
            "tile",
            "Tile",
            self.machine,
            deadline=DEADLINE,
            ignores_bulk=bulk,
            listeners=[self.faces],
            kept=self.kept,
        )
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.watching = asyncio.create_task(self.keeper.run())
        await asyncio.sleep(0.01)

    def pass_(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @rule(
        wanted=st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.01, 2.0])), min_size=1, max_size=4),
        bulk=st.booleans(),
    )
    def wish(self, wanted: list[tuple[bool, float]], bulk: bool) -> None:
        async def make() -> None:
            for on, pause in wanted:
                self.wishes.append(self.keeper.wish(on, "Anna", bulk=bulk))
                await asyncio.sleep(pause)

        self.runner.run(make())

    @rule()
    def the_machine_finishes_what_it_was_asked(self) -> None:
        self.machine.finish()
        self.pass_(0.01)
        if self.machine.rest is not None:
            self.machine.become(self.machine.rest)
        self.pass_(0.01)

    @rule(trouble=st.sampled_from([failure(), Refused("not now"), ValueError("a bug"), TimeoutError()]))
    def the_machine_fails(self, trouble: Exception) -> None:
        self.machine.trouble = trouble
        self.machine.finish()
        self.pass_(0.01)
        self.machine.trouble = None

    @precondition(lambda self: self.machine.rest is None)
    @rule(on=st.booleans(), moving=st.booleans())
    def somebody_else_changes_the_machine(self, on: bool, moving: bool) -> None:
        self.machine.become(on, moving=moving, reason="" if on else "is inactive")
        self.pass_(0.01)

    @rule(
        error=st.sampled_from([None, ValueError("a bug")]),
        seconds=st.sampled_from([0.01, RETRY_LAST, 2 * DEADLINE]),
    )
    def the_machine_cannot_be_observed_for_a_while(self, error: Exception | None, seconds: float) -> None:
        self.machine.break_(error)
        self.pass_(seconds)
        assert self.keeper.shown is None
        self.machine.mend()
        self.pass_(RETRY_LAST + 0.1)
        assert self.keeper.shown is not None

    @rule(stubborn=st.sampled_from([0.0, 1.0, GRACE * 2]))
    def the_kind_minds_being_cancelled(self, stubborn: float) -> None:
        self.machine.stubborn = stubborn
        self.patience_lost |= stubborn > GRACE

    @rule(seconds=st.sampled_from([0.1, 1.0, HOLD, GRACE, DEADLINE + 1]))
    def time_passes(self, seconds: float) -> None:
        self.pass_(seconds)

    @invariant()
    def at_most_one_wish_is_on_its_way_and_not_for_longer_than_its_deadline(self) -> None:
        if not hasattr(self, "keeper"):
            return
        running = [wish for wish in self.wishes if not wish.verdict.done()]
        assert all(wish is self.keeper.current for wish in running)
        late = DEADLINE + GRACE + 0.1
        assert all(self.runner.get_loop().time() < wish.since + late for wish in running)

    @invariant()
    def the_kind_does_one_thing_at_a_time_when_it_lets_itself_be_cancelled(self) -> None:
        if hasattr(self, "keeper") and not self.patience_lost:
            assert self.machine.most_busy <= 1

    @invariant()
    def faces_know_what_is_shown(self) -> None:
        if hasattr(self, "keeper"):
            assert self.faces.last is self.keeper.shown
            assert not self.watching.done()

    def teardown(self) -> None:
        if not hasattr(self, "keeper"):
            return
        self.machine.trouble, self.machine.stubborn = None, 0.0
        self.machine.mend()
        self.machine.become(self.machine.on if self.machine.rest is None else self.machine.rest)
        self.pass_(DEADLINE + 3 * GRACE)
        self.machine.finish()
        self.machine.instant = True
        self.pass_(RETRY_LAST + HOLD)
        if self.machine.holds:
            self.pass_(2 * WINDOW + DEADLINE + 3 * GRACE)
            assert self.kept.there["tile"] in (None, self.machine.on)
        assert self.keeper.current is None
        assert self.keeper.shown is self.machine.on
        assert all(wish.verdict.done() for wish in self.wishes)
        assert self.faces.begun <= set(self.faces.ended)
        self._it_still_works()
        self.runner.run(self.keeper.close())
        self.watching.cancel()
        self.runner.close()

    def _it_still_works(self) -> None:
        wanted = not self.machine.on

        async def try_it() -> Outcome:
            return (await self.keeper.wish(wanted, "Anna").verdict).outcome

        assert self.runner.run(try_it()) is Outcome.MET
        self.machine.become(wanted if self.machine.rest is None else self.machine.rest)
        self.pass_(1.0)
        assert self.keeper.shown is self.machine.on


KeeperMachine.TestCase.settings = settings(stateful_step_count=30)
TestKeeperMachine = pytest.mark.campaign(KeeperMachine.TestCase)
