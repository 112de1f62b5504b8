"""Deckle-edged and scalloped prints: how far the teeth reach out beyond the line that was found.

Every stretch of such a side has a sharp step, but not all at one distance; hardly seen at any one place, they
add up all along the side. A shadow follows the teeth, too, and is soft.
"""

from __future__ import annotations

import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.band import Scene, kinks, take_band
from bridge.scans.geometry import Points

BIN_MM = 0.25
OUTSIDE_MM, INSIDE_MM = 2.4, 1.25
LEAST, LEAST_MM, MOST_MM = 4.4, 0.38, 1.28
UNREST, SHARE, RIPPLED = 0.35, 0.2, 0.4
EVEN = 3.0


def teeth(scene: Scene, blocked: Array | None, a: Points, b: Points) -> float:
    """Pixels by which teeth stand out from the side from `a` to `b` (print on its right)."""
    mm, step = scene.mm, max(1.0, scene.mm / 12)
    bins = int(np.hypot(*(b - a)) / mm / BIN_MM)
    if bins < 32:
        return 0.0
    band = take_band(scene.pixels, blocked, a, b, OUTSIDE_MM * mm, INSIDE_MM * mm, step, bins)
    if band is None:
        return 0.0
    rows = band.clear.all(axis=1)
    if rows.sum() < 32:
        return 0.0
    steps = kinks(band.profile[rows], 1.0)
    energy = np.einsum("bsc,bsc->bs", steps, steps)
    # A hair or a grain of dust is no tooth.
    column = np.minimum(energy, 25 * np.median(energy, axis=0) + 1).mean(axis=0)
    middle, px = band.outer / step, mm / step
    lid = float(np.median(column[: int(middle - MOST_MM * px)]))
    if float(np.median(column[int(middle + 0.85 * px) :])) > EVEN * lid:
        return 0.0
    excess = column - lid
    near = excess[round(middle - LEAST_MM * px) : round(middle + LEAST_MM * px) + 1]
    # Compression leaves ripples beside a side.
    floor = max(UNREST * lid, (RIPPLED if scene.blocky else SHARE) * float(near.max()))
    teeth_at = np.flatnonzero(excess[: round(middle) + 1] > floor)
    at, gap = round(middle), max(2, round(0.2 * px))
    for place in teeth_at[::-1]:
        if at - place > gap:
            break
        at = int(place)
    # Blur carries a tooth's tip out as far as its roundness hides it.
    out = (middle - at) / px
    return float(out * mm) if max(LEAST_MM, LEAST / px) < out < MOST_MM else 0.0
