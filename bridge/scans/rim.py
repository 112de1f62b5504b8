"""A border of the lid's own tone: told by its rim alone, however faint, scalloped or straight.

All about such a print there is a line of unrest, as far from the picture on every side. Other prints lie on
one side of it or two, dust at one place.
"""

from __future__ import annotations

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.band import Scene, kinks, take_band
from bridge.scans.geometry import Points
from bridge.scans.stripes import SQUARE

NEAREST_MM, FARTHEST_MM, BEYOND_MM = 2.0, 7.0, 2.0
LENGTH_MM, BIN_MM, WINDOW_MM = 50.0, 0.35, 0.5
# Unrest beside that of the lid: on three sides, on two, on all in the mean; where a rim has ended; a cap.
THIRD, SECOND, MEAN, ENDED, MOST = 1.35, 2.2, 1.8, 1.6, 6.0
STRONG = 0.9  # of the greatest unrest: teeth make it as wide as they are deep


def rim(scene: Scene, blocked: Array, sides: list[tuple[Points, Points]]) -> list[float]:
    """Millimetres from each side of a picture out to its border's rim; none where there is no rim."""
    if len(sides) < 3:
        return []
    unrest = [_unrest(scene, blocked, a, b) for a, b in sides]
    px = scene.mm / scene.half_scale
    window = max(1, round(WINDOW_MM * px))
    columns = range(round(NEAREST_MM * px), round(FARTHEST_MM * px))
    near = np.array([[_near(side, at, window) for at in columns] for side in unrest])
    ranked = np.sort(near, axis=0)[::-1]
    mean = np.exp(np.log(np.clip(near, 0.5, MOST)).mean(axis=0))
    found = np.where((ranked[2] > THIRD) & (ranked[1] > SECOND), mean, 0)
    best = int(found.argmax())
    if found[best] < MEAN:
        return []
    weak = np.flatnonzero(found < STRONG * found[best])
    last = int(min(weak[weak > best], default=len(found))) - 1
    at = columns[(best + last) // 2]
    for side in unrest:
        within = side[max(round(px), at - 5 * window) : at - window]
        beyond = side[at + 2 * window :][: round(BEYOND_MM * px)]
        if not len(within) or len(beyond) < window:
            return []
        if float(np.percentile(within, 25)) > ENDED or np.median(beyond) > ENDED:
            return []
    ends = [_end(side, at, window) for side in unrest]
    known = [end for end in ends if end is not None]
    return [(float(np.median(known)) if end is None else end) / px for end in ends]


def _unrest(scene: Scene, blocked: Array, a: Points, b: Points) -> Array:
    """How much sharp change there is at every pixel (of the half size) outside a side, beside the lid's."""
    k, px = scene.half_scale, scene.mm / scene.half_scale
    length = float(np.hypot(*(b - a)))
    along, middle = (b - a) / length, (a + b) / 2
    reach = min(length, LENGTH_MM * scene.mm) / 2
    ends = ((middle - along * reach) / k, (middle + along * reach) / k)
    bins = max(32, int(2 * reach / scene.mm / BIN_MM))
    band = take_band(scene.half, blocked, *ends, (FARTHEST_MM + BEYOND_MM) * px, 0.0, 1.0, bins)
    if band is None:
        return np.zeros(0)
    steps = kinks(band.profile, 1.0)
    energy = np.einsum("bsc,bsc->bs", steps, steps)
    column = np.minimum(energy, 25 * np.median(energy, axis=0) + 1).mean(axis=0)[::-1]
    if scene.blocky and np.abs(b - a).min() < SQUARE:  # it was compressed in squares, and lies along them
        column = cv2.blur(column[None, :].astype(np.float32), (round(SQUARE / k) + 1, 1))[0]
    taken = np.flatnonzero(band.clear.mean(axis=0)[::-1] < 0.9)
    column = column[: int(taken[0])] if len(taken) else column
    outside = column[round(NEAREST_MM * px) :]
    return np.asarray(column / max(float(np.median(outside)), 1e-6)) if len(outside) else np.zeros(0)


def _near(side: Array, at: int, window: int) -> float:
    here = side[at - window : at + window + 1]
    return float(here.max()) if len(here) else 1.0


def _end(side: Array, at: int, window: int) -> float | None:
    """Where the unrest about a place ends outwards, but for the shadow's."""
    here = side[at - 2 * window : at + 2 * window + 1]
    there = np.flatnonzero(here > max(ENDED, float(here.max()) / 2))
    return float(at - 2 * window + there[-1]) if len(there) else None
