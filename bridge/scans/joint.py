"""A line that may part two prints, looked at closely: does one print end here, and another begin?

Where two prints meet every stretch has a step, as sharp as the scanner can see, on one straight line along
the prints' sides; and what lies on one side of it knows nothing of the other. Lines in pictures are bent a
little, soft or gone for a while, lean, or have the same light and shade on both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from bridge.scans import edges
from bridge.scans.arrays import Array
from bridge.scans.band import Band, Scene, kinks, strength, take_band
from bridge.scans.geometry import Points

REACH_MM = 1.2
SKIP_MM = 0.34
STRIP_MM = 4.0
NARROWEST_MM = 0.2
BAR_MM, BAR_SPREAD, BAR_TONE, LOOSE = 0.95, 4.0, 20.0, 12.0
DARK = 150.0
FADE, MARGIN = 3, 0.5  # samples
LIDLIKE = 45.0
WHOLE, PARTLY, HALF_MM, EXACT_MM = 0.93, 0.7, 0.8, 0.3
LONGEST, EQUAL_MM, PERHAPS = 1.75, 1.2, 0.65
LOOSE_NOTCH, LOOSE_LEAN, LEAN = 0.15, 2.0, 0.5


@dataclass(frozen=True)
class Joint:
    """The line from `start` to `end` in scan pixels.

    `hit` is the share of blocks that have a step there, `top` of those whose step stands out from all about
    it (0 to 1), `alike` the correlation of what runs along its two sides (-1 to 1), `lean` degrees off the
    rough line, `moved` pixels from it, inwards; `strip` where an even gap or bar begins and ends beside it,
    in scan pixels from the line; the same twice if there is none.
    """

    start: Points
    end: Points
    hit: float
    top: float
    alike: float
    lean: float
    moved: float
    strip: tuple[float, float]

    @property
    def has_strip(self) -> bool:
        return self.strip[1] - self.strip[0] > 0.5


def look(scene: Scene, a: Points, b: Points) -> Joint | None:
    """The joint near the line from `a` to `b`; None where there is nothing sharp."""
    side = edges.find_side(scene, None, a, b, (1.6, 1.6), clearest=True)
    if side is None:
        return None
    half = side.along * side.length / 2
    start, end = side.point - half, side.point + half
    reach = REACH_MM * scene.mm
    band = take_band(scene.pixels, None, start, end, reach, reach, 1.0)
    if band is None:
        return None
    steps = strength(kinks(band.profile, 1.0))
    middle = round(band.outer)
    here = steps[:, middle - 1 : middle + 2].max(axis=1)
    skip = max(2, round(SKIP_MM * scene.mm))
    around = np.concatenate([steps[:, : max(0, middle - skip)], steps[:, middle + skip + 1 :]], axis=1)
    if not around.size:
        return None
    rough = (b - a) / np.hypot(*(b - a))
    lean = math.degrees(math.asin(float(rough[0] * side.along[1] - rough[1] * side.along[0])))
    return Joint(
        start,
        end,
        hit=float((here > np.maximum(1.0, 1.5 * np.median(steps, axis=1))).mean()),
        top=float(((here[:, None] > around).mean(axis=1) > 0.95).mean()),
        alike=_alike(band.profile, middle, skip),
        lean=abs(lean),
        moved=float((side.point - (a + b) / 2) @ np.array([-rough[1], rough[0]])),
        strip=_even_run(scene, start, end),
    )


def parts_notched(seen: Joint, notch: float) -> bool:
    """Where the outline itself steps, two prints are likely, and the line may lean with one of them.

    The more so where it steps by much (`notch`: the share of the line): loose prints lean each its own way.
    """
    if seen.has_strip:
        return seen.hit > 0.6
    if notch > LOOSE_NOTCH and seen.hit > 0.85 and seen.alike < 0.3:
        return seen.lean < (LOOSE_LEAN if seen.hit > 0.9 and seen.top > 0.85 else LEAN) and seen.top > 0.35
    if seen.alike < 0.1 and seen.lean < 0.1:
        return seen.hit > 0.8 and seen.top > 0.45
    return seen.hit > 0.85 and seen.top > 0.5 and seen.alike < 0.5 and seen.lean < 0.7


def parts_again(seen: Joint) -> bool:
    askew = 0.6 if seen.hit > 0.9 and seen.top > 0.7 and seen.alike < 0.1 else 0.3
    return seen.has_strip or (seen.hit > 0.7 and seen.alike < 0.5 and seen.lean < askew)


def parts_whole(seen: Joint, support: float, halves: float, equal: bool, ruled: bool, format_: bool) -> bool:
    """Prints that lie flush at both ends are as long as each other, hence mostly of one format.

    The line is to divide the piece equally (`halves`: mm off the middle); elsewhere it is hardly believed,
    and only where it leaves a print as long and wide as prints are (`format_`).
    """
    if seen.has_strip:
        middle = equal and seen.hit >= 0.95 and seen.alike < 0.3 and seen.lean < 0.2
        return support >= (PARTLY if middle else WHOLE) and seen.alike < 0.6 and not ruled
    middle = halves < HALF_MM and seen.lean < 0.1
    if middle and equal and (_is_clear(seen) or (format_ and halves < EXACT_MM and _is_strange(seen))):
        return True
    if seen.alike > 0.4 or seen.hit < 0.9:
        return False
    if middle and seen.top > 0.7:
        return True
    if equal and seen.top > 0.85 and seen.alike < 0.15 and seen.lean < 0.1:
        return True
    if seen.hit < 0.95:
        return False
    if equal and not ruled:
        return seen.top > 0.75 and seen.lean < 0.2
    clear = seen.top > (0.9 if seen.alike < 0 else 0.95) and seen.lean < 0.1
    return format_ and clear and support >= WHOLE and not ruled


def _is_clear(seen: Joint) -> bool:
    """Whether a step stands out everywhere, though two pictures happen to be a little alike."""
    return seen.hit > 0.98 and seen.top > 0.9 and seen.alike < 0.5


def _is_strange(seen: Joint) -> bool:
    """Whether two pictures know nothing of each other, though here and there no step stands out."""
    return seen.hit > 0.85 and seen.top > (0.55 if seen.hit > 0.95 else 0.6) and seen.alike < 0.1


def divides_equally(support: Array, at: float, high: float, mm: float) -> bool:
    """Whether a line is one of those that divide a piece into two to four prints of one format, all seen."""
    wide = len(support)
    slack = round(EQUAL_MM * mm)
    for count in (2, 3, 4):
        cell = wide / count
        # In a grid the prints are a part of the piece's height.
        if not any(is_format(cell, high / rows) for rows in (1, 2, 3)):
            continue
        lines = [round(n * cell) for n in range(1, count)]
        seen = all(float(support[n - slack : n + slack + 1].max()) >= PERHAPS for n in lines)
        if seen and min(abs(at - n) for n in lines) <= slack:
            return True
    return False


def is_format(wide: float, high: float) -> bool:
    """Whether a rectangle is as long and wide as prints are."""
    return max(wide, high) <= LONGEST * min(wide, high)


def _alike(profile: Array, middle: int, skip: int) -> float:
    """How much the light and shade along one side of a line are those along the other."""
    wide = skip + 1
    if middle < skip + wide:
        return 1.0
    sides = [profile[:, middle - skip - wide : middle - skip], profile[:, middle + skip + 1 :][:, :wide]]
    one, other = (
        (mean - cv2.blur(mean, (1, 9))).ravel() for mean in (np.asarray(s.mean(axis=1)) for s in sides)
    )
    return float((one * other).sum() / math.sqrt(float((one**2).sum() * (other**2).sum()) + 1e-9))


def _even_run(scene: Scene, a: Points, b: Points) -> tuple[float, float]:
    """The strip about a line that is even all along: a gap or a bar. Offsets in scan pixels."""
    reach = STRIP_MM * scene.mm
    band = take_band(scene.pixels, None, a, b, reach, reach, 1.0)
    if band is None:
        return 0.0, 0.0
    grey = band.profile.mean(axis=2)
    level, spread = np.median(grey, axis=0), np.percentile(grey, 80, axis=0) - np.percentile(grey, 20, axis=0)
    middle, near = int(band.outer), max(2, round(0.3 * scene.mm))
    close = [n for n in range(max(0, middle - near), middle + near + 1) if n < len(level)]
    close.sort(key=lambda n: abs(n - middle))
    least = NARROWEST_MM * scene.mm
    # A bar is of one tone; a dark picture never quite.
    for start in (n for n in close if spread[n] < BAR_SPREAD and level[n] < DARK):
        lo, hi = _run(start, (np.abs(level - level[start]) < BAR_TONE) & (spread < LOOSE))
        if lo == 0 or hi == len(level) - 1 or hi - lo + 2 < least:
            continue
        from_, to = _fade(level, lo, -1) - band.outer, _fade(level, hi, 1) - band.outer
        if hi - lo + 2 > 1.5 * scene.mm:
            # Next to dark content the end of a bar is not to be seen: take no more than bars are wide.
            return max(from_, -BAR_MM * scene.mm), min(to, BAR_MM * scene.mm)
        return from_, to
    return _lid_between(scene, band, grey, close)


def _run(start: int, good: Array) -> tuple[int, int]:
    """The first and last of the good ones about one of them."""
    bad = np.flatnonzero(~good)
    before, after = bad[bad < start], bad[bad > start]
    return int(before[-1]) + 1 if len(before) else 0, int(after[0]) - 1 if len(after) else len(good) - 1


def _fade(level: Array, last: int, way: int) -> float:
    """Where, from the last sample that is all bar, a bar is half gone; and a margin."""
    beyond = level[last::way][: FADE + 1]
    half = (level[last] + beyond[-1]) / 2
    over = int((np.abs(beyond - level[last]) > abs(half - level[last])).argmax())
    if over == 0:
        return float(last + way)
    part = (half - beyond[over - 1]) / (beyond[over] - beyond[over - 1])
    return float(last + way * max(1.0, over - 1 + part + MARGIN))


def _lid_between(scene: Scene, band: Band, grey: Array, close: list[int]) -> tuple[float, float]:
    """The same where the lid is seen between two prints; a strip of even sky is neither gap nor bar."""
    spread = np.percentile(grey, 95, axis=0) - np.percentile(grey, 5, axis=0)
    even = spread < min(LOOSE, 0.35 * float(np.median(spread)))
    start = next((n for n in close if even[n]), None)
    if start is None or scene.lid is None:
        return 0.0, 0.0
    lo, hi = _run(start, even)
    from_, to = lo - 1.0 - band.outer, hi + 1.0 - band.outer
    tone = np.median(band.profile[:, lo : hi + 1], axis=(0, 1))
    if lo == 0 or hi == len(even) - 1 or to - from_ < NARROWEST_MM * scene.mm or float(tone.mean()) < DARK:
        return 0.0, 0.0
    return (from_, to) if np.abs(tone - scene.lid.mean(axis=(0, 1))).max() <= LIDLIKE else (0.0, 0.0)
