"""The parts of a piece that holds several prints, in pixels of the upright patch, and the cuts between."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

# What a side of a part is: the piece's own outline, a seam, or a seam with a gap or a bar in it.
Edge = Literal["own", "seam", "strip"]
Edges = tuple[Edge, Edge, Edge, Edge]
OWN: Edges = ("own", "own", "own", "own")


@dataclass(frozen=True)
class Box:
    """Whole pixels of the upright patch, and what its sides are: top, right, bottom, left."""

    x0: int
    y0: int
    x1: int
    y1: int
    edges: Edges = OWN

    @property
    def size(self) -> tuple[int, int]:
        return self.x1 - self.x0, self.y1 - self.y0


@dataclass(frozen=True)
class Cut:
    """Where one part ends and the next begins; support 0 to 1."""

    upright: bool
    stop: float
    start: float
    support: float
    notched: bool


def halve(box: Box, cut: Cut) -> tuple[Box, Box]:
    top, right, bottom, left = box.edges
    here: Edge = "strip" if cut.start - cut.stop > 0.5 else "seam"
    if cut.upright:
        return (
            Box(box.x0, box.y0, int(cut.stop), box.y1, (top, here, bottom, left)),
            Box(math.ceil(cut.start), box.y0, box.x1, box.y1, (top, right, bottom, here)),
        )
    return (
        Box(box.x0, box.y0, box.x1, int(cut.stop), (top, right, here, left)),
        Box(box.x0, math.ceil(cut.start), box.x1, box.y1, (here, right, bottom, left)),
    )


def in_row(halves: tuple[Box, Box], which: int, cut: Cut, slack: float) -> Cut | None:
    """The seam to expect in one half where it is as long as several of the other."""
    axis = 0 if cut.upright else 1
    pitch, length = halves[1 - which].size[axis], halves[which].size[axis]
    count = round(length / max(1, pitch))
    if count < 2 or abs(length - count * pitch) > count * slack:
        return None
    place = cut.start + pitch if which else cut.stop - pitch
    return Cut(cut.upright, place, place, 1.0, False)


def between(parts: list[Box]) -> Cut | None:
    """The seam between two boxes."""
    if len(parts) != 2:
        return None
    one, other = parts
    if one.x1 <= other.x0:
        return Cut(True, one.x1, other.x0, 1.0, False)
    return Cut(False, one.y1, other.y0, 1.0, False)
