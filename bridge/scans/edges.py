"""A print's side to a fraction of a pixel: the outermost straight, sharp line near a rough one.

A band across the side is laid straight (rows along the side, columns from outside to inside), averaged into
blocks, and searched for the line on which most blocks have a sharp step. Shadows and glare are soft, so the
step counts by what a narrow derivative sees beyond a wide one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.scans.geometry import Points

BLOCKS = 48
NARROWEST_BORDER_MM = 2.4
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """The scan at full size and `half_scale` times smaller, and pixels per millimetre."""

    pixels: NDArray[Any]
    half: NDArray[Any]
    half_scale: float
    mm: float
    lid: Float | None = None


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


@dataclass(frozen=True)
class Band:
    """`profile` is blocks x offsets x channels; offset 0 is `outer` pixels outside the rough line."""

    profile: Float
    clear: NDArray[np.bool_]
    start: Points
    along: Points
    inward: Points
    length: float
    outer: float
    seen: float
    positions: NDArray[np.float64]


def find_side(
    scene: Scene,
    blocked: NDArray[np.uint8] | None,
    a: Points,
    b: Points,
    reach: tuple[float, float],
    between: str = "",
    least: float = 0.3,
) -> Side | None:
    """The side from `a` to `b` of a print that lies to the right of it, searched from reach[0] mm outside to
    reach[1] mm inside. `blocked` is nonzero (on a grid of its own scale) where something else lies.
    None where the side is off the scan.

    `least` is the share of blocks that must show a line. Between two prints nothing is outermost: `between`
    takes the "clearest" line, or of the clear ones the "innermost", which leaves out a bar between them.
    """
    mm, k = scene.mm, scene.half_scale
    rough = take_band(scene.half, blocked, a / k, b / k, reach[0] * mm / k, reach[1] * mm / k, 1.0)
    if rough is None:
        return None
    lid = None if scene.lid is None else _lid_under(rough, scene)
    found = _search(rough, lid, mm / k, between, least)
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


def take_band(
    pixels: NDArray[np.generic],
    blocked: NDArray[np.uint8] | None,
    a: Points,
    b: Points,
    outer: float,
    inner: float,
    step: float,
) -> Band | None:
    """Sample the band; `outer` and `inner` in pixels, `step` the sampling distance across and along."""
    h, w = pixels.shape[:2]
    length = float(np.hypot(*(b - a)))
    along = (b - a) / length
    inward = np.array([-along[1], along[0]])
    across = np.arange(-outer, inner + step / 2, step)
    trim = 0.04
    rows = max(BLOCKS, int(length * (1 - 2 * trim) / step) // BLOCKS * BLOCKS)
    rows = min(rows, BLOCKS * 24)
    t = np.linspace(trim * length, (1 - trim) * length, rows)
    on = a + t[:, None] * along
    x = (on[:, 0, None] + across * inward[0]).astype(np.float32)
    y = (on[:, 1, None] + across * inward[1]).astype(np.float32)
    mid = (on[:, 0] > 1) & (on[:, 0] < w - 1) & (on[:, 1] > 1) & (on[:, 1] < h - 1)
    seen = float(mid.mean())
    if seen < 0.15:
        return None
    x0, y0 = max(0, int(x.min()) - 2), max(0, int(y.min()) - 2)
    x1, y1 = min(w, int(x.max()) + 3), min(h, int(y.max()) + 3)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    region = pixels[y0:y1, x0:x1]
    band = cv2.remap(region, x - (x0 + 0.5), y - (y0 + 0.5), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    band = band.reshape(BLOCKS, rows // BLOCKS, len(across), -1).astype(np.float32)
    if pixels.dtype == np.uint16:
        band /= 257
    good = (x > 0.5) & (x < w - 0.5) & (y > 0.5) & (y < h - 0.5)
    if blocked is not None:
        good &= _free(blocked, x, y, w, h)
    clear = good.reshape(BLOCKS, rows // BLOCKS, -1).mean(axis=1) > 0.6
    positions = t.reshape(BLOCKS, -1).mean(axis=1)
    return Band(band.mean(axis=1), clear, a, along, inward, length, outer, seen, positions)


def _lid_under(band: Band, scene: Scene) -> Float:
    """The lid's colour at each sample of a band of the half-size picture."""
    assert scene.lid is not None
    across = np.arange(band.profile.shape[1]) - band.outer
    on = band.start + band.positions[:, None] * band.along
    h, w = scene.half.shape[:2]
    sh, sw = scene.lid.shape[:2]
    x = (on[:, 0, None] + across * band.inward[0]) * (sw / w) - 0.5
    y = (on[:, 1, None] + across * band.inward[1]) * (sh / h) - 0.5
    return np.asarray(
        cv2.remap(
            scene.lid, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    )


def _free(blocked: NDArray[np.uint8], x: Float, y: Float, w: int, h: int) -> NDArray[np.bool_]:
    bh, bw = blocked.shape
    column = np.clip(x * (bw / w), 0, bw - 1).astype(np.intp)
    row = np.clip(y * (bh / h), 0, bh - 1).astype(np.intp)
    return np.asarray(blocked[row, column] == 0)


@lru_cache(maxsize=64)
def _derivative(size: int, sigma: float) -> Float:
    """A matrix that takes the Gaussian derivative of every row it is multiplied with; a step of 1 peaks at 1."""
    at = np.arange(size, dtype=np.float64)
    off = at[None, :] - at[:, None]
    kernel = off * np.exp(-(off**2) / (2 * sigma**2)) / sigma**2
    kernel[np.abs(off) > 4 * sigma] = 0
    kernel[off == 0] = 0
    # The kernel's sum must be nought also where the band ends.
    for row in kernel:
        plus, minus = row[row > 0].sum(), -row[row < 0].sum()
        if plus == 0 or minus == 0:
            row[:] = 0
        else:
            row[row > 0] /= plus
            row[row < 0] /= minus
    return kernel.T.astype(np.float32)


def sharpness(profile: Float, sigma: float) -> Float:
    """Levels of sharp step at every offset of every block, all channels together."""
    size = profile.shape[1]
    narrow = _apply(profile, _derivative(size, sigma))
    wide = _apply(profile, _derivative(size, 3 * sigma))
    # Both see a sharp step at its full height; of one blurred beyond the narrow one little is left.
    n, w = np.sqrt((narrow**2).sum(axis=2)), np.sqrt((wide**2).sum(axis=2))
    # Between glare and a print the wide one passes through nought; its neighbours tell.
    w = cv2.dilate(w, np.ones((1, 5), np.uint8))
    return np.asarray(np.maximum(n - 0.6 * w, 0) / 0.35, np.float32)


def _apply(profile: Float, matrix: Float) -> Float:
    return np.asarray(np.einsum("bsc,sk->bkc", profile, matrix, optimize=True), np.float32)


def _search(
    band: Band, lid: Float | None, mm: float, between: str, least: float
) -> tuple[tuple[float, float], bool, float] | None:
    """Offsets (pixels from the band's outer edge) at the side's two ends, and whether a sharp line is there.

    The outermost well supported line that leads from the lid into the print; where what would be cut off by it
    looks like print, or there is none, the line at which the lid ends.
    """
    live = band.clear.any(axis=1)
    if live.sum() < 6:
        return None
    t = band.positions / band.length - 0.5
    lines, drift, score, best = _lines(band, live, t, least)
    if between or lid is None:
        near = 1 - 0.3 * np.abs(np.arange(len(best)) - band.outer) / max(1.0, band.outer)
        at = int((best * near).argmax())
        if between == "innermost":
            at = int(np.flatnonzero(best >= 0.85 * best[at])[-1])
        slant = float(drift[int(score[:, at].argmax())])
        return ((at - slant / 2, at + slant / 2), True, 0.0) if best[at] >= 0.15 else None
    lidward = np.abs(band.profile - lid).max(axis=2)
    onset = _onset(lidward, band, t, mm)
    ground = _Ground(lidward, band.profile.mean(axis=2) - lid.mean(axis=2), band.clear, mm)
    candidates = []
    for at in lines:
        slant = float(drift[int(score[:, at].argmax())])
        candidates.append((at, slant, at + slant * t, float(best[at])))
    for n, (at, slant, where, support) in enumerate(candidates):
        if ground.leaves(where, at < band.outer - mm, support):
            continue
        if any(s > max(0.5, support) and ground.fades(where, deeper) for _, _, deeper, s in candidates[n + 1 : n + 4]):
            continue
        if onset is not None:
            lo = max(0, int(onset[0] - 0.5 * mm))
            soft = float(best[lo : max(lo, int(onset[0] + 0.5 * mm)) + 1].max()) < 0.3
            if ground.costs(onset[0] + onset[1] * t, where, support, soft):
                break
        return (at - slant / 2, at + slant / 2), True, 0.0
    if onset is None:
        return None
    return (onset[0] - onset[1] / 2, onset[0] + onset[1] / 2), False, onset[2]


def _lines(
    band: Band, live: NDArray[np.bool_], t: NDArray[np.float64], least: float
) -> tuple[list[int], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Well supported straight lines from outside to inside; the slants tried, all scores, the best by offset."""
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


def _onset(lidward: Float, band: Band, t: NDArray[np.float64], mm: float) -> tuple[float, float, float] | None:
    """The line (offset at the middle, slant) at which, coming from outside, the lid ends for good; and the share
    of blocks that agree."""
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


def _peaks(best: NDArray[Any], enough: float, apart: int) -> list[int]:
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


@dataclass(frozen=True)
class _Ground:
    """What lies on either side of a line across the band, told by how unlike the lid it is."""

    lidward: Float
    brighter: Float
    clear: NDArray[np.bool_]
    mm: float

    def leaves(self, where: NDArray[np.float64], far: bool, support: float) -> bool:
        """Whether a line, crossed inwards, leads from another print back to the lid.

        A shadow also is less like the lid than a white border behind it, but fades within a millimetre or two,
        and is found near the rough line, not `far` outside it.
        """
        inside = self._level(where, 0.35, 1.0)
        outside = self._level(where, -1.0, -0.35)
        if np.isnan(outside):
            return far
        beyond = self._level(where, -2.5, -1.5)
        if far and support > 0.6 and beyond < 0.75 * outside:
            return False
        if far:
            return bool(outside > inside + 0.7)
        return bool(outside > 2.5 and inside < 0.4 * outside and not beyond < 0.7 * outside)

    def fades(self, onset: NDArray[np.float64], where: NDArray[np.float64]) -> bool:
        """Whether the strip between two lines is shadow or glare: even along the side, and fading outwards.

        Paper behind a shadow is even across, too.
        """
        deep = float(np.median(where - onset)) / self.mm
        if deep < 0.3 or deep > 2.0 and self._even(where, deep):
            return False
        near = self._rows(where, -0.45 * deep, -0.15)
        far = self._level(onset, 0.1, 0.1 + 0.4 * deep)
        level = float(np.nanmedian(near)) if np.isfinite(near).any() else 0.0
        uneven = float(np.nanmedian(np.abs(near - level))) if level else 0.0
        return bool(3 < level < 90 and uneven < 0.3 * level + 1.5 and far < 0.6 * level)

    def costs(self, onset: NDArray[np.float64], where: NDArray[np.float64], support: float, soft: bool) -> bool:
        """Whether to crop at `where`, when the lid ends at `onset`, would cut off a part of the print.

        A strip too narrow for a border counts as shadow even where it does not fade, and so does a wider one
        that begins softly and nowhere is even: paper begins sharply, or is even behind the shadow on it.
        """
        deep = float(np.median(where - onset)) / self.mm
        if deep < 0.4:
            return False
        if not self._level(where, -0.45 * deep, -0.15) < 90:
            return True
        if self.fades(onset, where):
            return deep > 1.0 and support < 0.55
        if deep <= (NARROWEST_BORDER_MM if soft and support > 0.8 else 1.6):
            return False
        return not (soft and support > 0.55 and deep < 4 and not self._even(where, deep))

    def _even(self, where: NDArray[np.float64], deep: float) -> bool:
        """Whether the inner part of a strip is of one tone. Glare is nearly so; it is brighter than the lid."""
        outer, inner = self._level(where, -0.5 * deep, -0.3 * deep), self._level(where, -0.3 * deep, -0.1 * deep)
        glare = self._level(where, -0.5 * deep, -0.1 * deep, self.brighter) > 0
        return bool(abs(outer - inner) < (0.6 if glare else 0.7 + 0.1 * max(outer, inner)))

    def _level(self, where: NDArray[np.float64], lo: float, hi: float, of: Float | None = None) -> float:
        rows = self._rows(where, lo, hi, of)
        return float(np.nanmedian(rows)) if np.isfinite(rows).any() else float("nan")

    def _rows(
        self, where: NDArray[np.float64], lo: float, hi: float, of: Float | None = None
    ) -> NDArray[np.float64]:
        """The mean between two distances (mm) from a line, a value a block; nan where nothing is clear."""
        steps = np.arange(max(1, round((hi - lo) * self.mm)))
        index = np.rint(where[:, None] + lo * self.mm + steps[None, :]).astype(np.intp)
        rows = np.arange(len(where))[:, None]
        good = (index >= 0) & (index < self.lidward.shape[1])
        index = np.clip(index, 0, self.lidward.shape[1] - 1)
        good &= self.clear[rows, index]
        count = good.sum(axis=1)
        total = ((self.lidward if of is None else of)[rows, index] * good).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _fit(band: Band, mm: float) -> Side | None:
    """A straight line through the blocks' own sub-pixel steps, the outliers weighted down."""
    sigma = max(0.8, mm / 12)
    size = band.profile.shape[1]
    slope = np.sqrt((_apply(band.profile, _derivative(size, sigma)) ** 2).sum(axis=2)) * band.clear
    middle = (size - 1) / 2
    weight = np.exp(-(((np.arange(size) - middle) / (0.45 * size)) ** 2))
    peak = (slope * weight).argmax(axis=1)
    peak = np.clip(peak, 1, size - 2)
    rows = np.arange(BLOCKS)
    left, top, right = slope[rows, peak - 1], slope[rows, peak], slope[rows, peak + 1]
    bend = left - 2 * top + right
    at = peak + np.where(bend < 0, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0)
    strong = (top > np.maximum(1.0, 1.2 * slope.mean(axis=1))) & (peak > 1) & (peak < size - 2)
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
    ends = [band.start + band.along * s + band.inward * (line[0] + line[1] * s - band.outer) for s in (0, band.length)]
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


def _robust_line(t: NDArray[np.float64], at: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
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
