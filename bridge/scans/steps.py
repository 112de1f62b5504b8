"""Sharp steps in a band across a side, added up along all the lines that may be the side."""

from __future__ import annotations

import cv2
import numpy as np

from bridge.scans import slants
from bridge.scans.arrays import Array
from bridge.scans.band import BLOCKS, Band, kinks, strength

# A line fainter than its blocks' noise counts from so many standard deviations, and so many levels.
FAINT, LEAST_STEP = 10.0, 0.5
# Far outside the rough place a line must go along so much of the side.
ALONG, FAR_MM = 0.75, 1.5
# The filter itself leaves a lobe beside a step; compression leaves ghosts; before them come shadow and glare.
LOBE, LOBE_MM, OVER = 6.0, 0.55, 1.7
GHOST, GHOST_MM = 12.0, 1.0
SHARPER, SHADOW_MM, SOFT = 2.0, 2.5, 0.35
GLARE_MM, FAR_SOFT = 6.0, 0.2
# A shadow's ramp from the lid to a clearer line: how deep, how much of it where it begins, and in the mean.
RAMP_MM, RAMP_LEVELS, CLEARER, BEGUN, HALFWAY = 2.0, 2.5, 1.3, 0.2, 0.56

_ROWS = np.arange(BLOCKS)


class Steps:
    """Sharp steps in a band, added up along all lines that may be the side.

    `best` is, an offset, the largest share of blocks that a line shows there; `faint` what all the blocks of
    a line add up to, in standard deviations of the lid's noise: a line may be too faint for a block to show.
    `outer` is the offset of the rough side; all in samples from the band's outer edge.
    """

    def __init__(self, band: Band, live: Array, t: Array) -> None:
        self.band, self.live, self.t = band, live, t
        self.outer = band.outer / band.step
        self.kink = kinks(band.profile, 1.0) * band.clear[:, :, None]
        size = strength(self.kink)
        self.noise = self._lid_noise(size)
        spread = max(2.0, 0.012 * band.length / band.step)
        self.drift = np.arange(-spread, spread + 0.5, 1.0 if spread < 8 else 2.0)
        shifts = np.rint(self.drift[:, None] * t).astype(np.intp)
        score = slants.sums(_shown(size / self.noise) * live[:, None], shifts) / live.sum()
        together = self._together(shifts)
        self.best, self.faint = score.max(axis=0), together.max(axis=0)
        self.lean = np.where(self.best > 0.3, score.argmax(axis=0), together.argmax(axis=0))
        along = np.rint(np.arange(size.shape[1])[None, :] + self.drift[self.lean][None, :] * t[:, None])
        along = np.clip(along.astype(np.intp), 0, size.shape[1] - 1)
        high = np.log1p(size / self.noise)[_ROWS[:, None], along] * live[:, None]
        self.power = high.sum(axis=0) / live.sum()

    def _lid_noise(self, size: Array) -> float:
        """What a block shows where there is but lid, in levels."""
        outside = size[:, : max(4, int(self.outer * 0.8))]
        outside = outside[self.band.clear[:, : outside.shape[1]]]
        return max(0.25, float(np.median(outside)) if outside.size else 0.5)

    def _together(self, shifts: Array) -> Array:
        """The sum along every line, signs and all, over what noise would add up to."""
        capped = np.clip(self.kink / self.noise, -4, 4) * self.live[:, None, None]
        return np.asarray(np.sqrt((slants.sums(capped, shifts) ** 2).sum(axis=2) / max(1, self.live.sum())))

    def lines(self, least: float, far: float) -> dict[int, float]:
        """Where lines are, from outside in, and levels of the step there."""
        peaks = _peaks(self.power, 3)
        heights = self._heights(np.array(peaks, np.intp))
        return {
            at: height
            for at, height in zip(peaks, heights.tolist(), strict=True)
            if height > LEAST_STEP and self._is_line(at, least, at < self.outer - far)
        }

    def _is_line(self, at: int, least: float, far: bool) -> bool:
        """Faint lines and those far outside, where other things lie, must go all along the side."""
        if self.best[at] >= least and not far:
            return True
        if max(self.best[at] / least, self.faint[at] / FAINT) < 1 or self.agree(at) <= ALONG:
            return False
        return bool(np.abs(self.typical(at)).max() > LEAST_STEP)

    def nothing(self, at: float, about: float) -> bool:
        """Whether there is no step about a place, however faint."""
        lo, hi = (min(max(0, int(place)), len(self.best) - 1) for place in (at - about, at + about))
        return bool(self.best[lo : hi + 1].max() < 0.3 and self.faint[lo : hi + 1].max() < FAINT)

    def agree(self, at: int) -> float:
        """The share of blocks that step the same way as all of them together."""
        index, _ = self._rows(at, 0, 0)
        kink = self.kink[_ROWS, index[:, 0]][self.live]
        capped = np.clip(kink, -4 * self.noise, 4 * self.noise)
        way = capped.mean(axis=0)
        return float((capped @ way > 0).mean())

    def line(self, at: int) -> Array:
        return np.asarray(at + float(self.drift[self.lean[at]]) * self.t)

    def ends(self, at: int) -> tuple[float, float]:
        slant = float(self.drift[self.lean[at]])
        return at - slant / 2, at + slant / 2

    def _rows(self, at: int, lo: int, hi: int) -> tuple[Array, Array]:
        index = np.rint(self.line(at)).astype(np.intp)[:, None] + np.arange(lo, hi + 1)
        good = (index >= 0) & (index < self.kink.shape[1])
        return np.clip(index, 0, self.kink.shape[1] - 1), good

    def _heights(self, places: Array) -> Array:
        """Levels of the steps at some offsets."""
        on = np.rint(places[:, None] + self.drift[self.lean[places]][:, None] * self.t).astype(np.intp)
        index = np.clip(on[:, :, None] + np.arange(-1, 2), 0, self.kink.shape[1] - 1)
        kink = self.kink[_ROWS[None, :, None], index][:, self.live]
        alone = np.sqrt((kink**2).sum(axis=3)).max(axis=2)
        together = np.abs(kink.mean(axis=1)).max(axis=(1, 2))
        # The largest of a few noisy values is not nought where there is no step at all.
        alone = np.sqrt(np.maximum(alone**2 - (2.5 * self.noise) ** 2, 0))
        return np.asarray(np.maximum(together, np.median(alone, axis=1)))

    def typical(self, at: int) -> Array:
        """Levels of a line's step with their signs, the median of its blocks, a value a channel."""
        index, _ = self._rows(at, 0, 0)
        return np.asarray(np.median(self.kink[_ROWS, index[:, 0]][self.live], axis=0))

    def change(self, at: int, lo: int, hi: int) -> float:
        """Levels by which the ground changes between two distances (samples, inwards) from a line."""
        index, good = self._rows(at, lo, hi)
        rows = _ROWS[:, None]
        use = self.live & (good & self.band.clear[rows, index]).all(axis=1)
        if use.sum() < 4:
            return 0.0
        profile = self.band.profile[rows, index][use].mean(axis=0)
        return float(np.abs(profile.max(axis=0) - profile.min(axis=0)).max())

    def ramp(self, at: int, other: int, mm: float) -> bool:
        """Whether the ground goes on changing, ever faster, from a line to one further in.

        Paper is even from its edge on, and a picture that fades into its border changes fastest there.
        """
        before, far = round(0.5 * mm), other - at - round(0.25 * mm)
        if far < 4:
            return False
        index, good = self._rows(at, -before, far)
        rows = _ROWS[:, None]
        use = self.live & (good & self.band.clear[rows, index]).all(axis=1)
        if use.sum() < 4:
            return False
        profile = np.median(self.band.profile[rows, index][use], axis=0)
        profile = profile - profile[: max(1, before // 2)].mean(axis=0)
        deep = profile[-1]
        size = float(deep @ deep)
        if size < RAMP_LEVELS**2:
            return False
        share = profile[before:] @ deep / size
        return bool(share[0] < BEGUN and share.min() > -BEGUN and share.mean() < HALFWAY)


def outshone(steps: Steps, at: int, other: int, heights: dict[int, float], mm: float) -> bool:
    """Whether a line is but the fringe of another: its shadow's flank, or what compression leaves about it.

    A shadow is a ramp up to the print: no step in it is high beside what changes between it and the print.
    """
    off, more = (other - at) / mm, heights[other] / heights[at]
    if (abs(off) < max(LOBE_MM, LOBE / mm) and more > OVER) or (0 < off < GHOST_MM and more > GHOST):
        return True
    if (
        0 < off < RAMP_MM
        and more > CLEARER
        and steps.best[other] > steps.best[at]
        and steps.ramp(at, other, mm)
    ):
        return True
    if not 0 < off < GLARE_MM or more < SHARPER or steps.best[other] < 0.7:
        return False
    far = off > SHADOW_MM
    if far and (more < GHOST or steps.best[other] < 0.9):
        return False
    reach = max(3, round(0.3 * mm))
    change = steps.change(at, -reach, max(reach, other - at - max(4, round(0.35 * mm))))
    return heights[at] < (FAR_SOFT if far else SOFT) * change


def _shown(size: Array) -> Array:
    """How clearly a block shows a step, 0 to 1; a line may pass between two samples and drift in a block."""
    value = np.maximum(size - 3.0, 0)
    value = value / (value + 3.0)
    value[:, 0] = value[:, -1] = 0
    return np.maximum(value, 0.999 * np.maximum(np.roll(value, 1, axis=1), np.roll(value, -1, axis=1)))


def _peaks(values: Array, apart: int) -> list[int]:
    """Where a value is the largest among its neighbours within `apart`, from outside to inside."""
    values = values[None, :].astype(np.float32)
    highest = cv2.dilate(values, np.ones((1, 2 * apart + 1), np.uint8))
    return [int(at) for at in np.flatnonzero(values >= highest)]
