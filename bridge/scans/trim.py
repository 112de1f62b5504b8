"""The white border of a print: where the picture inside it begins."""

from __future__ import annotations

import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.crop import cut
from bridge.scans.geometry import Points, Quad, sides

SKIP_MM = 0.8
LEAST_MM = 1.0
MOST_MM = 28.0


def without_border(pixels: Array, quad: Quad, dpi: float) -> Quad | None:
    """The quad of the picture inside a white border; None where a side has none."""
    face = cut(pixels, quad, int(np.iinfo(pixels.dtype).max)).pixels.astype(np.float32)
    if pixels.dtype == np.uint16:
        face /= 257
    face = face.reshape(*face.shape[:2], -1)
    mm = dpi / 25.4
    depths = [_depth(view, mm) for view in _four_views(face)]
    if any(depth < LEAST_MM * mm for depth in depths):
        return None
    top, right, bottom, left = depths
    width, height = sides(quad)
    if left + right > 0.6 * width or top + bottom > 0.6 * height:
        return None
    across, down = (quad[1] - quad[0]) / width, (quad[3] - quad[0]) / height

    def inner(corner: Points, x: float, y: float) -> Points:
        return np.asarray(corner + across * x + down * y)

    moves = [(left, top), (-right, top), (-right, -bottom), (left, -bottom)]
    return np.array([inner(corner, *move) for corner, move in zip(quad, moves, strict=True)])


def _four_views(face: Array) -> list[Array]:
    """The print seen from its top, right, bottom and left: the first row is the outermost."""
    return [face, face.swapaxes(0, 1)[::-1], face[::-1], face.swapaxes(0, 1)]


def _depth(view: Array, mm: float) -> float:
    """How many rows, from the first, are nothing but bright, even paper."""
    side = max(1, view.shape[1] // 8)
    rows = view[: max(2, int(MOST_MM * mm)), side:-side]
    start = int(SKIP_MM * mm)
    if len(rows) <= start + 2:
        return 0.0
    paper = np.median(rows[start : start + max(1, int(0.5 * mm))], axis=(0, 1))
    if paper.mean() < 170:
        return 0.0
    other = (np.abs(rows[start:] - paper).max(axis=2) > 18).mean(axis=1) > 0.12
    if not other.any():
        return 0.0
    return float(start + int(other.argmax())) + 1.0
