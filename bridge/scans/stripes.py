"""Faint lines that no print made, all of them exactly along the scan's rows or columns.

A stripe is the scanner's own, left by dust or an uneven cell on its sensor; it does not end where a print
ends. Compression works in squares of eight pixels, and leaves steps of a level or two at their sides.
"""

from __future__ import annotations

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.band import Scene, kinks, take_band
from bridge.scans.geometry import Points

ASKEW, ASKEW_MM = 0.007, 0.35
SQUARE, LEVELS, ROWS, BLOCKY = 8, 2.5, 96, 1.3
BESIDE_MM, LEAST_MM, MOST_MM = 1.0, 8.0, 80.0
ALIKE = 0.4
ON_GRID, FAINTEST, DARKER = 1.2, 1.05, -0.15


def is_stripe(scene: Scene, blocked: Array | None, a: Points, b: Points, height: Array) -> bool:
    """Whether a line goes on beyond `a` and `b` to both sides, as far as there is lid to see it on.

    `height` is its step in levels, inwards, a value a channel.
    """
    length, axis, askew = _laid(a, b)
    if askew > max(ASKEW * length, ASKEW_MM * scene.mm):
        return False
    middle, half = (a + b) / 2, length / 2
    goes_on = [_share(scene, blocked, middle + axis * (way * half), axis, way, height) for way in (-1.0, 1.0)]
    seen = [share for share in goes_on if share is not None]
    return bool(seen) and min(seen) > ALIKE


def is_of_squares(scene: Scene, a: Points, b: Points, height: Array) -> bool:
    """Whether a step is as compression leaves them; a mere glow may go from one row of squares to another."""
    length, axis, askew = _laid(a, b)
    level = float(np.abs(height).max())
    if not scene.blocky or askew > max(ASKEW * length, ASKEW_MM * scene.mm) or level > LEVELS:
        return False
    if level < FAINTEST and height.min() > DARKER:
        return True
    across = float((a + b)[1 if axis[0] else 0]) / 2 / SQUARE
    return askew < ON_GRID and abs(across - round(across)) * SQUARE < ON_GRID


def _laid(a: Points, b: Points) -> tuple[float, Points, float]:
    """A line's length, the axis of the scan that it runs along, and by how much it leaves that."""
    length = float(np.hypot(*(b - a)))
    return length, np.rint((b - a) / length), float(np.abs(b - a).min())


def is_blocky(pixels: Array) -> bool:
    """Whether neighbours differ more where a square of a compressed picture ends than elsewhere."""
    rows = pixels[:: max(1, len(pixels) // ROWS), : pixels.shape[1] // SQUARE * SQUARE]
    if pixels.dtype == np.uint16 or rows.shape[1] < 8 * SQUARE:
        return False
    differ = np.minimum(cv2.absdiff(rows[:, 1:], rows[:, :-1]), 3).reshape(len(rows), -1)
    total = cv2.reduce(differ, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).reshape(rows.shape[1] - 1, -1)
    each = np.append(total.sum(axis=1), 0).reshape(-1, SQUARE).sum(axis=0)
    return bool(each[-1] > BLOCKY * each[:-1].mean())


def _share(
    scene: Scene, blocked: Array | None, end: Points, axis: Points, way: float, height: Array
) -> float | None:
    """The share of a line's step that is there beyond one end of it; None where there is no room."""
    h, w = scene.pixels.shape[:2]
    room = float(max(((np.array([w, h]) * (way * axis > 0) - end) * axis * way).max(), 0)) / scene.mm
    if room < BESIDE_MM + LEAST_MM:
        return None
    near, far = (end + axis * way * s * scene.mm for s in (BESIDE_MM, min(room, MOST_MM)))
    a, b = (near, far) if way > 0 else (far, near)
    step = max(1.0, scene.mm / 12)
    band = take_band(scene.pixels, blocked, a, b, 1.2 * scene.mm, 1.2 * scene.mm, step)
    if band is None:
        return None
    rows = band.clear.all(axis=1)
    if rows.sum() < 6:
        return None
    steps = np.median(kinks(band.profile[rows], 1.0), axis=0) @ height / max(1e-6, float(height @ height))
    middle = round(band.outer / step)
    return float(steps[middle - 2 : middle + 3].max())
