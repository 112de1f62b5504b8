"""Numbers for people, in Markdown."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class Series:
    """The samples of one thing measured many times, in seconds."""

    what: str
    samples: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        self.samples.append(seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def least(self) -> float:
        return min(self.samples)

    def row(self) -> list[str]:
        quarters = statistics.quantiles(self.samples, n=4, method="inclusive")
        p95 = statistics.quantiles(self.samples, n=20, method="inclusive")[-1]
        times = (self.least, self.median, p95, quarters[2] - quarters[0])
        return [self.what, str(len(self.samples)), *(ms(time) for time in times)]


@dataclass(frozen=True)
class Figure:
    """A figure to reach: what was measured, the goal, both in the unit that `show` writes."""

    what: str
    value: float
    goal: float
    show: Callable[[float], str]

    def row(self) -> list[str]:
        met = "yes" if self.value <= self.goal else "**no**"
        return [self.what, self.show(self.value), self.show(self.goal), met]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"


def percent(share: float) -> str:
    return f"{share * 100:.3f} %"


def times(ratio: float) -> str:
    return f"{ratio:.2f} x"


def markdown(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; all columns but the first to the right."""
    heads = list(heads)
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
