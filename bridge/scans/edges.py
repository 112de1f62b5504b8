"""A print's side to a fraction of a pixel: the outermost straight, sharp line near a rough one.

A band across the side is laid straight (rows along the side, columns from outside to inside), averaged into
blocks, and searched for the line on which most blocks have a sharp step. Shadows and glare are soft, so the
step counts by what a narrow derivative sees beyond a wide one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bridge.scans import shade
from bridge.scans.arrays import Array, worst
from bridge.scans.band import BLOCKS, Band, Scene, kinks, lid_under, strength, take_band
from bridge.scans.geometry import Points
from bridge.scans.ground import Ground
from bridge.scans.steps import FAR_MM, Steps, outshone
from bridge.scans.stripes import is_of_squares, is_stripe
from bridge.scans.teeth import teeth

# Samples to the millimetre in which sides are searched: what 300 DPI has.
FINE = 12.0
PAPER, CUT_STRAIGHT = 25.0, 0.85
MIXED = 8.0

NoPrints = Callable[[tuple[float, float], Array, bool], bool]
"""Whether a line is no print's: its offsets at both ends, its step a channel, whether it lies outside."""


@dataclass(frozen=True)
class Side:
    """A line through `point` along `along` (unit); `support` is the share of blocks that show it,
    `scatter` their spread about it in pixels, `contrast` the step in levels, `seen` the share of the side
    that lies on the scan. `straight` is the share of blocks at which the lid ends on one line."""

    point: Points
    along: Points
    support: float
    scatter: float
    contrast: float
    seen: float
    length: float
    straight: float = 0.0


def find_side(
    scene: Scene,
    blocked: Array | None,
    a: Points,
    b: Points,
    reach: tuple[float, float],
    clearest: bool = False,
    least: float = 0.3,
) -> Side | None:
    """The side from `a` to `b` of a print that lies to the right of it, searched from reach[0] mm outside to
    reach[1] mm inside. `blocked` is nonzero (on a grid of its own scale) where something else lies.
    None where the side is off the scan.

    `least` is the share of blocks that must show a line. Between two prints nothing is
    outermost: there, take the `clearest` line.
    """
    mm, step = scene.mm, max(1.0, scene.mm / FINE)
    rough = take_band(scene.pixels, blocked, a, b, reach[0] * mm, reach[1] * mm, step)
    if rough is None:
        return None
    lid = None if scene.lid is None else lid_under(rough, scene)

    def on_scan(ends: tuple[float, float]) -> tuple[Points, Points]:
        offsets = (rough.inward * (end * step - rough.outer) for end in ends)
        start, end = (corner + offset for corner, offset in zip((a, b), offsets, strict=True))
        return start, end

    def no_prints(ends: tuple[float, float], height: Array, outside: bool) -> bool:
        line = on_scan(ends)
        return is_of_squares(scene, *line, height) or (outside and is_stripe(scene, blocked, *line, height))

    found = _search(rough, lid, mm / step, clearest, least, no_prints)
    if found is None:
        return None
    line, sharp, straight = found
    start, end = on_scan(line)
    if not sharp:
        along = (end - start) / np.hypot(*(end - start))
        return Side((start + end) / 2, along, 0.0, mm / 4, 0.0, rough.seen, rough.length, straight)
    near = 0.35 * mm + 2
    fine = take_band(scene.pixels, None, start, end, near, near, 1.0)
    side = _fit(fine, mm) if fine is not None else None
    if side is None or fine is None or clearest or not _is_paper(fine):
        return side
    if side.support > CUT_STRAIGHT:
        side = _moved(side, -_shaded(scene, blocked, side, step))
    return _moved(side, teeth(scene, blocked, *_ends(side)))


def _shaded(scene: Scene, blocked: Array | None, side: Side, step: float) -> float:
    """Pixels by which paper begins further in, where a side was found in the paper's shadow."""
    reach = shade.OUTSIDE * step, shade.INSIDE * step
    band = take_band(scene.pixels, blocked, *_ends(side), *reach, step)
    return 0.0 if band is None else shade.shift(band.profile) * step


def _ends(side: Side) -> tuple[Points, Points]:
    half = side.along * side.length / 2
    return side.point - half, side.point + half


def _moved(side: Side, out: float) -> Side:
    return replace(side, point=side.point + out * np.array([side.along[1], -side.along[0]]))


def _is_paper(band: Band) -> bool:
    """Whether what lies just inside a side may be a border: of nearly one tone all along."""
    inside = band.profile[:, -2:].mean(axis=(1, 2))
    return bool(np.percentile(inside, 90) - np.percentile(inside, 10) < PAPER)


def _search(
    band: Band, lid: Array | None, mm: float, clearest: bool, least: float, no_prints: NoPrints
) -> tuple[tuple[float, float], bool, float] | None:
    """Offsets (samples from the band's outer edge) at the side's two ends, and whether a sharp line is there.

    The outermost line that leads from the lid into the print; where what would be cut off by it looks like
    print, or there is none, the line at which the lid ends.
    """
    live = np.asarray(band.clear.any(axis=1))
    if live.sum() < 6:
        return None
    t = band.positions / band.length - 0.5
    steps = Steps(band, live, t)
    if clearest or lid is None:
        away = np.abs(np.arange(len(steps.best)) - steps.outer) / mm
        near = np.where(away < 0.6, 1 - 0.5 * away, 0)
        at = int((steps.best * near).argmax())
        # Between two restless pictures hardly a step stands out; a closer look may tell.
        return steps.ends(at) if steps.best[at] >= 0.15 else (steps.outer, steps.outer), True, 0.0
    lidward = worst(band.profile - lid)
    onset = _onset(lidward, band, t, mm, steps.outer)
    ground = Ground(lidward, band.profile.mean(axis=2) - lid.mean(axis=2), band.clear, mm)
    lines = steps.lines(least, FAR_MM * mm)
    for at in lines:
        where, support = steps.line(at), float(steps.best[at])
        if ground.leaves(where, at < steps.outer - mm, support):
            continue
        if any(outshone(steps, at, other, lines, mm) for other in lines if other != at):
            continue
        height = steps.typical(at)
        # Lighter here and darker there: neither a stripe nor a square's side does that.
        mixed = lines[at] > MIXED * max(1.0, np.abs(height).max())
        if not mixed and no_prints(steps.ends(at), height, at < steps.outer - 0.3 * mm):
            continue
        if onset is not None and ground.costs(
            onset[0] + onset[1] * t, where, support, steps.nothing(onset[0], 0.5 * mm)
        ):
            break
        return steps.ends(at), True, 0.0
    if onset is None:
        return None
    return (onset[0] - onset[1] / 2, onset[0] + onset[1] / 2), False, onset[2]


def _onset(
    lidward: Array, band: Band, t: Array, mm: float, middle: float
) -> tuple[float, float, float] | None:
    """Offset at the middle and slant of the line at which, from outside, the lid ends for good; and the
    share of blocks that agree.
    """
    outer = max(4, int(middle * 0.5))
    quiet = lidward[:, :outer][band.clear[:, :outer]]
    limit = max(4.0, 4.0 * float(np.median(quiet))) if quiet.size else 4.0
    beyond = (lidward > limit) & band.clear
    run = max(3, int(0.7 * mm))
    ahead = np.stack([np.roll(beyond, -k, axis=1) for k in range(run)]).mean(axis=0) > 0.8
    ahead[:, -run:] = False
    start = ahead & beyond
    has = start.any(axis=1)
    if has.sum() < 0.4 * len(t):
        return None
    first = start.argmax(axis=1)
    line = _robust_line(t[has], first[has].astype(float), np.ones(int(has.sum())))
    agree = np.abs(first - line[0] - line[1] * t) < 0.4 * mm
    return float(line[0]), float(line[1]), float((agree & has).sum() / max(1, len(t)))


def _fit(band: Band, mm: float) -> Side | None:
    """A straight line through the blocks' own sub-pixel steps, the outliers weighted down."""
    steps = strength(kinks(band.profile, max(0.8, mm / 12))) * band.clear
    size = steps.shape[1]
    t = band.positions
    offset, slant = _clearest_line(steps, t / band.length - 0.5)
    guess = offset + slant * (t / band.length - 0.5)
    near = np.abs(np.arange(size)[None, :] - guess[:, None]) <= max(1.5, 0.13 * mm)
    peak = np.clip((steps * near).argmax(axis=1), 1, size - 2)
    rows = np.arange(BLOCKS)
    left, top, right = steps[rows, peak - 1], steps[rows, peak], steps[rows, peak + 1]
    bend = left - 2 * top + right
    at = peak + np.where(bend < 0, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0)
    strong = (top > np.maximum(0.3, 1.2 * steps.mean(axis=1))) & (peak > 1) & (peak < size - 2)
    if strong.sum() < 5:
        return None
    line = _robust_line(t[strong], at[strong], np.minimum(top[strong], 40))
    error = at - (line[0] + line[1] * t)
    close = strong & (np.abs(error) < max(0.75, 0.06 * mm))
    if close.sum() < 4:
        return None
    line = np.polyfit(t[close], at[close], 1, w=np.sqrt(np.minimum(top[close], 40)))[::-1]
    error = at[close] - (line[0] + line[1] * t[close])
    ends = [
        band.start + band.along * s + band.inward * (line[0] + line[1] * s - band.outer)
        for s in (0, band.length)
    ]
    chord = ends[1] - ends[0]
    return Side(
        point=(ends[0] + ends[1]) / 2,
        along=chord / np.hypot(*chord),
        support=float(close.sum() / max(1, band.clear.any(axis=1).sum())),
        scatter=float(np.sqrt(np.mean(error**2))),
        contrast=float(np.median(top[close])),
        seen=band.seen,
        length=band.length,
    )


def _clearest_line(steps: Array, t: Array) -> tuple[float, float]:
    """Offset at the middle and slant of the line on which most blocks have a step, near the band's middle."""
    size = steps.shape[1]
    usual = np.median(steps, axis=1, keepdims=True)
    value = steps / (steps + 3 * usual + 0.5)
    middle = (size - 1) / 2
    spread = min(4.0, middle / 2)
    best, where = -1.0, (middle, 0.0)
    offsets = np.arange(1, size - 1)
    weight = np.exp(-(((offsets - middle) / (0.6 * size)) ** 2))
    for slant in np.arange(-spread, spread + 0.1, 0.5):
        index = np.clip(np.rint(offsets[:, None] + slant * t[None, :]).astype(np.intp), 0, size - 1)
        score = value[np.arange(len(t))[None, :], index].sum(axis=1) * weight
        n = int(score.argmax())
        if score[n] > best:
            best, where = float(score[n]), (float(offsets[n]), float(slant))
    return where


def _robust_line(t: Array, at: Array, weight: Array) -> Array:
    """Intercept and slope of the line most blocks agree on, by trying pairs and counting."""
    n = len(t)
    i, j = np.triu_indices(n, k=max(1, n // 5))
    if len(i) > 600:
        pick = np.linspace(0, len(i) - 1, 600).astype(int)
        i, j = i[pick], j[pick]
    slope = (at[j] - at[i]) / (t[j] - t[i])
    start = at[i] - slope * t[i]
    error = np.abs(at[None, :] - start[:, None] - slope[:, None] * t[None, :])
    votes = (np.maximum(0, 1 - error / 0.8) * weight).sum(axis=1)
    best = int(votes.argmax())
    return np.array([start[best], slope[best]])
