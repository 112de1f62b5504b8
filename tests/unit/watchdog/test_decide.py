"""decide() beside a plain model of Monit, made from its manual and its bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.watchdog.decide import Act, Brake, History, decide
from bridge.watchdog.rules import Rule


class Monit:
    """One event of Monit's: a map of 64 bits, the newest lowest, and a state."""

    def __init__(self, count: int, cycles: int) -> None:
        self.count, self.cycles = count, cycles
        self.bits = 0
        self.state = "initializing"

    def post(self, failed: bool) -> str:
        if self.state == "initializing" and not self.bits and not failed:
            return "nothing"  # only an error makes an event
        self.bits = ((self.bits << 1) | failed) % 2**64
        if failed and self.state != "failed":
            if bin(self.bits & (2**self.cycles - 1)).count("1") >= self.count:
                self.bits, self.state = int("01" * 8, 16), "failed"
                return "act and tell"
            return "nothing"
        if failed:
            return "act"
        if self.state == "failed":
            self.bits, self.state = 0, "succeeded"
            return "tell"
        return "nothing"


WORDS = {
    Act.NOTHING: "nothing",
    Act.FAILED: "act and tell",
    Act.AGAIN: "act",
    Act.RECOVERED: "tell",
}

counts = st.integers(1, 64).flatmap(lambda within: st.tuples(st.integers(1, within), st.just(within)))


def of(count: int, within: int) -> Rule:
    return Rule("", "cpu", ">", 13, count=count, within=within)


@given(counts, st.lists(st.sampled_from([0.0, 13.0, 13.1, 99.0, None]), max_size=300))
def test_it_does_what_monit_does_in_every_cycle(cycles: tuple[int, int], values: list[float | None]) -> None:
    rule, history, monit = of(*cycles), History(), Monit(*cycles)
    for value in values:
        history, act = decide(history, rule, value)
        assert WORDS[act] == ("nothing" if value is None else monit.post(value > 13))
        assert len(history.cycles) <= rule.within


def acts(rule: Rule, *values: float | None) -> list[Act]:
    history, found = History(), []
    for value in values:
        history, act = decide(history, rule, value)
        found.append(act)
    return found


N, F, A, R = Act.NOTHING, Act.FAILED, Act.AGAIN, Act.RECOVERED


def test_for_three_cycles_is_three_in_a_row_and_then_every_one_that_still_fails() -> None:
    assert acts(of(3, 3), 99, 99, 1, 99, 99, 99, 99, 1, 99, 99, 99) == [N, N, N, N, N, F, A, R, N, N, F]


def test_two_times_within_four_cycles_takes_gaps() -> None:
    assert acts(of(2, 4), 99, 1, 1, 1, 99, 1, 1, 99, 1, 1, 1) == [N, N, N, N, N, N, N, F, R, N, N]


def test_a_cycle_without_a_value_counts_for_nothing() -> None:
    assert acts(of(3, 3), None, 99, 99, None, 99, None, 99, None, 1) == [N, N, N, N, F, N, A, N, R]


@pytest.mark.parametrize(
    ("ago", "holds"),
    [
        ([], False),
        ([10] * 4, False),
        ([10] * 5, True),
        ([3599] * 5, True),
        ([3601] * 5, False),
        ([-60] * 5, True),
    ],
)
def test_the_brake_counts_the_restarts_of_its_time(ago: list[float], holds: bool) -> None:
    now = 1_700_000_000.0
    assert Brake().holds([now - seconds for seconds in ago], now) is holds
