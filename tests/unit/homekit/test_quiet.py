"""A log nobody can fill from outside."""

import logging

from bridge.homekit.quiet import MOST, PERIOD, Bounded


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line(message: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x", 1, message, ("a",), None)


def test_a_kind_of_line_comes_a_few_times_and_then_says_how_often_it_did_not() -> None:
    clock = Clock()
    bounded = Bounded(clock)
    assert [bounded.filter(line("dropped: %s")) for _ in range(10)] == [True] * MOST + [False] * (10 - MOST)
    assert bounded.filter(line("another: %s"))
    clock.now = PERIOD
    late = line("dropped: %s")
    assert bounded.filter(late)
    assert late.getMessage() == f"dropped: a (and {10 - MOST} more like this before)"
    assert [bounded.filter(line("dropped: %s")) for _ in range(MOST)] == [True] * (MOST - 1) + [False]
