"""What a cycle means: Monit's semantics, pure.

Source: monit(1), "Fault tolerance", and what Monit 5.33 does (a test runs it beside us): a rule
fails when `count` of its last `within` cycles did, this one included; it then acts in every cycle
that still fails, and has recovered with the first one that does not. A cycle without a value, such
as a process's first, counts for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from bridge.watchdog.rules import Rule


class Act(Enum):
    """What is to be done about a rule after a cycle."""

    NOTHING = auto()
    FAILED = auto()  # the count is full: do it, and tell
    AGAIN = auto()  # it still fails: do it
    RECOVERED = auto()  # tell


@dataclass(frozen=True, slots=True)
class History:
    """The cycles of a rule, newest last, True where the limit was passed.

    failed  the count was full once, and no cycle has been fine since
    """

    cycles: tuple[bool, ...] = ()
    failed: bool = False

    @property
    def bad(self) -> int:
        """How many count."""
        return sum(self.cycles)


def decide(history: History, rule: Rule, value: float | None) -> tuple[History, Act]:
    """One more cycle, in which the rule's value was this; None when there was none."""
    if value is None:
        return history, Act.NOTHING
    passed = rule.passed(value)
    cycles = (*history.cycles, passed)[-rule.within :]
    if history.failed:
        return (History(cycles, True), Act.AGAIN) if passed else (History(), Act.RECOVERED)
    if passed and sum(cycles) >= rule.count:
        return History(cycles, True), Act.FAILED
    return History(cycles), Act.NOTHING


@dataclass(frozen=True, slots=True)
class Brake:
    """`5 restarts within 1 h`: then no more."""

    restarts: int = 5
    seconds: float = 3600.0

    def recent(self, times: Sequence[float], now: float) -> list[float]:
        """Those that count, by the machine's clock; one that was set back forgets nothing."""
        return [at for at in times if abs(now - at) < self.seconds]

    def holds(self, times: Sequence[float], now: float) -> bool:
        return len(self.recent(times, now)) >= self.restarts
