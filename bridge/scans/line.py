"""One side of a print while it is being settled: a line, and how well it is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bridge.scans.edges import Side
from bridge.scans.geometry import Points, Quad


@dataclass
class Line:
    """A point and a direction in scan pixels; `weight` is 0 for a guess.

    `bar`: a bar hides it. `off`: it lies off the scan. Outwards is to the left of its direction.
    """

    point: Points
    along: Points
    weight: float
    bar: bool = False
    side: Side | None = None
    off: bool = False

    @classmethod
    def of(cls, side: Side) -> Line:
        weight = side.support * side.length**2 / (side.scatter**2 + 0.1)
        return cls(side.point, side.along, weight, side=side)

    @property
    def contrast(self) -> float:
        """Levels; 0 where no side was seen."""
        return self.side.contrast if self.side is not None and self.weight > 0 else 0.0

    def ends(self, rough: Quad, n: int) -> tuple[Points, Points]:
        """Where it begins and ends as the nth side of a rough quad."""
        half = self.along * np.hypot(*(rough[(n + 1) % 4] - rough[n])) / 2
        return self.point - half, self.point + half

    def outward(self, rough: Quad, n: int) -> float:
        """Pixels by which it lies outside the nth side of a rough quad."""
        a, b = rough[n], rough[(n + 1) % 4]
        along = (b - a) / np.hypot(*(b - a))
        return float((self.point - (a + b) / 2) @ np.array([along[1], -along[0]]))

    def outwards(self, by: float) -> Line:
        """The same some pixels further out."""
        return replace(self, point=self.point + by * np.array([self.along[1], -self.along[0]]))

    def guessed(self, by: float) -> Line:
        """The same some pixels further out, a guess."""
        return replace(self.outwards(by), weight=0.0)
