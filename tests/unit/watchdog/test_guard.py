"""A guard over a real Keeper: it restarts what runs, tells once, and starts nothing, whatever the race."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract import Accessory, Outcome, State, Unavailable, Vitals
from bridge.keeper import Keeper
from bridge.watchdog import guard as module
from bridge.watchdog.decide import Brake
from bridge.watchdog.guard import Guard
from bridge.watchdog.memory import Memory, Record
from bridge.watchdog.meter import Value
from bridge.watchdog.rules import rule
from bridge.watchdog.settings import Watch
from tests.fakes.clock import run
from tests.fakes.machine import FakeMachine, failure

RULES = ("total cpu > 13% for 3 cycles",)


class Burning(FakeMachine):
    """`cpu` is what is read of it."""

    def __init__(self, on: bool | None = True, **options: Any) -> None:
        super().__init__(on, **options)
        self.cpu: float | None = 99.0
        self.started: list[str] = []
        self.blind = False

    async def vitals(self) -> Vitals:
        if self.blind:
            raise Unavailable("systemd does not answer")
        await asyncio.sleep(0.01)  # a moment in which anything may happen
        return Vitals(cgroups=("/web",))

    async def set(self, on: bool) -> State:
        if on:
            self.started.append("set")
        return await super().set(on)


class FakeMeter:
    """Imitates Meter: the value is the machine's own."""

    def __init__(self, machine: Burning) -> None:
        self._machine = machine

    def forget(self) -> None:
        pass

    async def read(self, vitals: Vitals) -> dict[str, Value]:
        await asyncio.sleep(0.01)
        return {
            what: Value(self._machine.cpu, "test") for what in ("total cpu", "cpu", "unhealthy", "memory")
        }


class Place:
    """The guard of one machine, its record and all that was told."""

    def __init__(self, machine: Burning, watch: Watch, record: Record) -> None:
        self.machine, self.record = machine, record
        self.told: list[tuple[str, str]] = []
        self.keeper = Keeper("web", "Web", machine, deadline=100.0)
        self.guard = Guard(self.keeper, machine, watch, record, self.say, self.keep)
        self.guard._meter = FakeMeter(machine)  # type: ignore[assignment]
        self.wishes = 0

    def say(self, key: str, sensor: str, text: str) -> None:
        self.told.append((sensor, text.split(":")[0]))

    def keep(self) -> "asyncio.Future[None]":
        return asyncio.ensure_future(asyncio.sleep(0.001))

    async def cycles(self, count: int) -> None:
        for _ in range(count):
            await self.guard.look()
            await asyncio.sleep(1.0)


@asynccontextmanager
async def watched(
    machine: Burning, *rules: str, record: Record | None = None, **options: Any
) -> AsyncIterator[Place]:
    watch = Watch(tuple(map(rule, rules or RULES)), cycle=1.0, **options)
    place = Place(machine, watch, record or Record())
    watching = asyncio.create_task(place.keeper.run())
    await asyncio.sleep(0.01)
    yield place
    await place.keeper.close()
    watching.cancel()


def test_what_burns_is_restarted_in_the_third_cycle_and_told_once() -> None:
    async def test() -> None:
        async with watched(Burning()) as place:
            await place.cycles(2)
            assert place.machine.restarts == 0
            await place.cycles(1)
            assert place.machine.restarts == 1
            await place.cycles(1)
            assert place.machine.restarts == 2
            assert place.told == [("trouble", "restarted")]
            place.machine.cpu = 1.0
            await place.cycles(5)
            assert place.machine.restarts == 2
            assert place.told == [("trouble", "restarted"), ("watchdog", "fine again")]

    run(test())


def test_the_brake_holds_is_told_once_and_recovery_is_told_once() -> None:
    async def test() -> None:
        async with watched(Burning(), brake=Brake(2, 3600.0)) as place:
            await place.cycles(20)
            assert place.machine.restarts == 2
            assert place.told == [
                ("trouble", "restarted"),
                ("trouble", "given up after 2 restarts within 3600 s"),
            ]
            place.machine.cpu = 1.0
            await place.cycles(5)
            assert place.told[2:] == [("watchdog", "recovered; it is restarted again when it has to be")]

    run(test())


def test_another_bridge_goes_on_counting_and_tells_nothing_twice() -> None:
    async def test() -> None:
        record = Record()
        async with watched(Burning(), record=record, brake=Brake(2, 3600.0)) as place:
            await place.cycles(10)
            assert place.machine.restarts == 2
        async with watched(Burning(), record=record, brake=Brake(2, 3600.0)) as place:
            await place.cycles(10)
            assert (place.machine.restarts, place.told) == (0, [])
            place.machine.cpu = 1.0
            await place.cycles(2)
            assert [text for _, text in place.told] == ["recovered; it is restarted again when it has to be"]

    run(test())


def test_an_alert_tells_once_until_it_is_fine_again() -> None:
    async def test() -> None:
        async with watched(Burning(), "unhealthy for 2 cycles then alert") as place:
            await place.cycles(6)
            place.machine.cpu = 0.0
            await place.cycles(2)
            assert place.machine.restarts == 0
            assert place.told == [("trouble", "unhealthy for 2 cycles"), ("watchdog", "fine again")]

    run(test())


@pytest.mark.parametrize("died", [False, True])
def test_what_is_off_is_left_off_and_begins_anew_unless_it_died(died: bool) -> None:
    async def test() -> None:
        async with watched(Burning()) as place:
            await place.cycles(4)
            place.machine.become(False, died=died)
            await place.cycles(9)
            assert (place.machine.restarts, place.machine.on, place.machine.started) == (2, False, [])
            assert bool(place.record.restarts) is died
            place.machine.become(True)
            await place.cycles(2)
            assert place.machine.restarts == 2  # the count has begun anew

    run(test())


def test_a_disarmed_one_looks_at_nothing() -> None:
    async def test() -> None:
        async with watched(Burning(), record=Record(armed=False)) as place:
            await place.cycles(5)
            assert (place.machine.restarts, place.told) == (0, [])
            assert place.guard.report()["why"] == "disarmed"

    run(test())


def test_what_cannot_be_looked_at_says_why_and_is_looked_at_again() -> None:
    async def test() -> None:
        async with watched(Burning()) as place:
            place.machine.blind = True
            await place.cycles(5)
            assert place.guard.report()["why"] == "systemd does not answer"
            place.machine.blind = False
            await place.cycles(3)
            assert place.machine.restarts == 1 and place.guard.report()["why"] == ""

    run(test())


def test_a_restart_that_fails_counts_for_the_brake() -> None:
    async def test() -> None:
        machine = Burning()
        machine.trouble = failure("it would not")
        async with watched(machine, brake=Brake(2, 3600.0)) as place:
            await place.cycles(10)
            assert machine.restarts == 2
            assert [text for _, text in place.told] == ["given up after 2 restarts within 3600 s"]

    run(test())


def test_a_person_who_turns_it_off_during_the_restart_wins() -> None:
    async def test() -> None:
        async with watched(Burning(instant=False)) as place:
            looking = asyncio.create_task(place.cycles(3))
            while place.machine.restarts == 0:
                await asyncio.sleep(0.005)
            off = place.keeper.wish(False, "Anna")
            await asyncio.sleep(0.1)
            place.machine.finish()
            assert (await off.verdict).outcome is Outcome.MET
            await looking
            await place.cycles(5)
            assert (place.machine.on, place.machine.restarts, place.told) == (False, 1, [])

    run(test())


def test_a_cycle_that_breaks_is_logged_and_the_next_one_is_looked_at(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with watched(Burning()) as place:
            monkeypatch.setattr(module, "decide", lambda *_: 1 / 0)
            guarding = asyncio.create_task(place.guard.run())
            await asyncio.sleep(3.5)
            monkeypatch.undo()
            await asyncio.sleep(3.0)
            guarding.cancel()
            assert place.machine.restarts == 1

    run(test())
    assert caplog.text.count("a cycle of its watchdog failed") == 4


class Race:
    """One of many: a machine that burns, and people, crashes and repairs at every moment."""

    def __init__(self, steps: list[tuple[str, float]], instant: bool) -> None:
        self.steps = steps
        self.instant = instant

    async def play(self) -> None:
        machine = Burning(instant=self.instant)
        async with watched(machine, "total cpu > 13% for 1 cycle", brake=Brake(10_000, 3600.0)) as place:
            guarding = asyncio.create_task(place.guard.run())
            for what, pause in self.steps:
                await self.step(place, what)
                await asyncio.sleep(pause)
            await self.leave_off(place)
            guarding.cancel()

    async def step(self, place: Place, what: str) -> None:
        machine = place.machine
        if what in ("on", "off"):
            machine.started.clear()
            place.keeper.wish(what == "on", "Anna")
        elif what == "finish":
            machine.finish()
        elif what == "crash":
            machine.become(False, died=True)
        elif what == "stopped outside":
            machine.become(False)
        elif what == "started outside":
            machine.become(True)
        else:
            machine.break_() if what == "blind" else machine.mend()

    async def leave_off(self, place: Place) -> None:
        """Whatever was: once it is off and nobody wishes it on, it stays off."""
        machine = place.machine
        machine.mend()
        await asyncio.sleep(10.0)
        off = place.keeper.wish(False, "Anna")
        while not off.verdict.done():
            machine.finish()
            await asyncio.sleep(0.1)
        assert off.verdict.result().outcome is Outcome.MET
        before = machine.restarts
        machine.started.clear()
        await asyncio.sleep(20.0)
        assert machine.on is False and not machine.started and machine.restarts == before


STEPS = ["on", "off", "finish", "crash", "stopped outside", "started outside", "blind", "mend"]


@pytest.mark.campaign
@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.sampled_from([0.0, 0.005, 0.015, 0.02, 0.5, 1.0, 1.01, 3.0])),
        max_size=25,
    ),
    st.booleans(),
)
def test_nothing_is_ever_started_whatever_the_race(steps: list[tuple[str, float]], instant: bool) -> None:
    run(Race(steps, instant).play())


async def test_the_switch_keeps_its_place_and_arming_begins_anew(tmp_path: Path) -> None:
    from bridge.watchdog.watchdog import Watchdog

    watch = Watch((rule(RULES[0]),), switch=True)

    def open_() -> tuple[Watchdog, Accessory]:
        watchdog = Watchdog(tmp_path / "w.json", lambda *_: None)
        watchdog.add(Keeper("web", "Web", Burning(), deadline=1.0), Burning(), watch)
        return watchdog, watchdog.switch("web")

    watchdog, switch = open_()
    assert (await anext(switch.watch())).on is True
    assert (await switch.set(False)).on is False
    await watchdog.close()
    watchdog, switch = open_()
    assert (await anext(switch.watch())).on is False
    assert watchdog.reports()["web"]["why"] == "disarmed"
    await switch.set(True)
    await watchdog.close()
    without = Watchdog(tmp_path / "w.json", lambda *_: None)
    without._memory.of("web").armed = False
    without.add(Keeper("web", "Web", Burning(), deadline=1.0), Burning(), Watch(watch.rules))
    assert without._memory.of("web").armed
    await without.close()
    assert Memory(tmp_path / "w.json").of("web").armed
