"""A print's side to a fraction of a pixel: the outermost straight, sharp line near a rough one.

A band across the side is laid straight (rows along the side, columns from outside to inside), averaged into
blocks, and searched for the line on which most blocks have a sharp step. Shadows and glare are soft, so the
step counts by what a narrow derivative sees beyond a wide one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.scans.arrays import Array, worst
from bridge.scans.band import BLOCKS, Band, Scene, lid_under, sharpness, slope, strength, take_band
from bridge.scans.geometry import Points
from bridge.scans.ground import Ground


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
    mm, k = scene.mm, scene.half_scale
    rough = take_band(scene.half, blocked, a / k, b / k, reach[0] * mm / k, reach[1] * mm / k, 1.0)
    if rough is None:
        return None
    lid = None if scene.lid is None else lid_under(rough, scene)
    found = _search(rough, lid, mm / k, clearest, least)
    if found is None:
        return None
    line, sharp, straight = found
    start = a + rough.inward * (line[0] - rough.outer) * k
    end = b + rough.inward * (line[1] - rough.outer) * k
    if not sharp:
        along = (end - start) / np.hypot(*(end - start))
        return Side((start + end) / 2, along, 0.0, mm / 4, 0.0, rough.seen, rough.length, straight)
    near = 0.35 * mm + 2
    fine = take_band(scene.pixels, None, start, end, near, near, 1.0)
    return _fit(fine, mm) if fine is not None else None


def _search(
    band: Band, lid: Array | None, mm: float, clearest: bool, least: float
) -> tuple[tuple[float, float], bool, float] | None:
    """Offsets (pixels from the band's outer edge) at the side's two ends, and whether a sharp line is there.

    The outermost well supported line that leads from the lid into the print; where what would be cut off by
    it looks like print, or there is none, the line at which the lid ends.
    """
    live = np.asarray(band.clear.any(axis=1))
    if live.sum() < 6:
        return None
    t = band.positions / band.length - 0.5
    lines, drift, score, best = _lines(band, live, t, least)
    if clearest or lid is None:
        away = np.abs(np.arange(len(best)) - band.outer) / mm
        near = np.where(away < 0.6, 1 - 0.5 * away, 0)
        at = int((best * near).argmax())
        slant = float(drift[int(score[:, at].argmax())])
        return ((at - slant / 2, at + slant / 2), True, 0.0) if best[at] >= 0.15 else None
    lidward = worst(band.profile - lid)
    onset = _onset(lidward, band, t, mm)
    ground = Ground(lidward, band.profile.mean(axis=2) - lid.mean(axis=2), band.clear, mm)
    candidates = []
    for at in lines:
        slant = float(drift[int(score[:, at].argmax())])
        candidates.append((at, slant, at + slant * t, float(best[at])))
    for n, (at, slant, where, support) in enumerate(candidates):
        if ground.leaves(where, at < band.outer - mm, support):
            continue
        if any(
            s > max(0.5, support) and ground.fades(where, deeper)
            for _, _, deeper, s in candidates[n + 1 : n + 4]
        ):
            continue
        if onset is not None:
            lo = min(max(0, int(onset[0] - 0.5 * mm)), len(best) - 1)
            soft = float(best[lo : max(lo, int(onset[0] + 0.5 * mm)) + 1].max()) < 0.3
            if ground.costs(onset[0] + onset[1] * t, where, support, soft):
                break
        return (at - slant / 2, at + slant / 2), True, 0.0
    if onset is None:
        return None
    return (onset[0] - onset[1] / 2, onset[0] + onset[1] / 2), False, onset[2]


def _lines(band: Band, live: Array, t: Array, least: float) -> tuple[list[int], Array, Array, Array]:
    """Well supported lines from outside in; the slants tried, all scores, the best by offset."""
    sharp = sharpness(band.profile, 1.0) * band.clear
    outside = sharp[:, : max(4, int(band.outer * 0.8))]
    outside = outside[band.clear[:, : outside.shape[1]]]
    floor = 0.8 + 4.0 * float(outside.mean()) if outside.size else 1.0
    value = np.clip(sharp / floor - 0.5, 0, 1)
    # A line may pass between two samples and drift within a block.
    value = np.maximum(value, 0.999 * np.maximum(np.roll(value, 1, axis=1), np.roll(value, -1, axis=1)))
    count = value.shape[1]
    spread = max(2.0, 0.012 * band.length)
    drift = np.arange(-spread, spread + 0.5, 1.0)
    offsets = np.arange(count)
    index = np.rint(offsets[None, :, None] + drift[:, None, None] * t[None, None, :]).astype(np.intp)
    valid = (index >= 0) & (index < count)
    picked = value[np.arange(BLOCKS)[None, None, :], np.clip(index, 0, count - 1)]
    score = (picked * valid * live).sum(axis=2) / live.sum()
    best = score.max(axis=0)
    enough = max(least, 0.4 / 0.3 * least * float(best.max()))
    return _peaks(best, enough, 3), drift, score, best


def _onset(lidward: Array, band: Band, t: Array, mm: float) -> tuple[float, float, float] | None:
    """Offset at the middle and slant of the line at which, from outside, the lid ends for good; and the
    share of blocks that agree.
    """
    outer = max(4, int(band.outer * 0.5))
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


def _peaks(best: Array, enough: float, apart: int) -> list[int]:
    """Local maxima of at least `enough`, from outside to inside."""
    found = []
    at = 0
    while at < len(best):
        if best[at] >= enough:
            peak = at + int(best[at : at + apart].argmax())
            found.append(peak)
            at = peak + apart
        else:
            at += 1
    return found


def _fit(band: Band, mm: float) -> Side | None:
    """A straight line through the blocks' own sub-pixel steps, the outliers weighted down."""
    sigma = max(0.8, mm / 12)
    size = band.profile.shape[1]
    steps = strength(slope(band.profile, sigma)) * band.clear
    middle = (size - 1) / 2
    weight = np.exp(-(((np.arange(size) - middle) / (0.45 * size)) ** 2))
    peak = (steps * weight).argmax(axis=1)
    peak = np.clip(peak, 1, size - 2)
    rows = np.arange(BLOCKS)
    left, top, right = steps[rows, peak - 1], steps[rows, peak], steps[rows, peak + 1]
    bend = left - 2 * top + right
    at = peak + np.where(bend < 0, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0)
    strong = (top > np.maximum(1.0, 1.2 * steps.mean(axis=1))) & (peak > 1) & (peak < size - 2)
    if strong.sum() < 5:
        return None
    t = band.positions
    line = _robust_line(t[strong], at[strong], np.minimum(top[strong], 40))
    error = at - (line[0] + line[1] * t)
    close = strong & (np.abs(error) < max(0.75, 0.06 * mm))
    if close.sum() < 4:
        return None
    line = np.polyfit(t[close], at[close], 1, w=np.sqrt(np.minimum(top[close], 40)))[::-1]
    error = at[close] - (line[0] + line[1] * t[close])
    ragged = strong & (top > 4) & (at - (line[0] + line[1] * t) < -0.18 * mm)
    if ragged.sum() > 0.2 * strong.sum():
        # A deckle edge, say: the print reaches as far as its teeth do.
        away = at[strong] - (line[0] + line[1] * t[strong])
        line = np.array([line[0] + float(np.percentile(away, 8)), line[1]])
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
