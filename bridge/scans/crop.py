"""A photo out of a scan: whole pixels where that is straight enough, else turned once with a cubic filter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.bars import Bars
from bridge.scans.geometry import Quad, clip, frame, rectangle, sides, tilt

STRAIGHT_PX = 1.0


@dataclass(frozen=True)
class Crop:
    """`turned` when the pixels were resampled; `partial` when the print runs past the scan's edge."""

    pixels: Array
    turned: bool
    partial: bool


def cut(pixels: Array, quad: Quad, white: int, bars: Bars | None = None) -> Crop:
    """Cut out a quad in scan pixels. What of it lies outside the scan is left out; corners without
    picture, and what a bar hides, are filled `white`.
    """
    h, w = pixels.shape[:2]
    visible = clip(quad, frame(w, h))
    if len(visible) < 3:
        raise ValueError("the quad lies outside the scan")
    angle = tilt(quad)
    partial = bool((quad < -1).any() or (quad > np.array([w, h]) + 1).any())
    if max(sides(quad)) * abs(math.sin(math.radians(angle))) <= STRAIGHT_PX:
        return Crop(_whole_pixels(pixels, quad), False, partial)
    return Crop(_turned(pixels, quad, visible, angle, white, bars), True, partial)


def _whole_pixels(pixels: Array, quad: Quad) -> Array:
    h, w = pixels.shape[:2]
    left, right = (quad[0, 0] + quad[3, 0]) / 2, (quad[1, 0] + quad[2, 0]) / 2
    top, bottom = (quad[0, 1] + quad[1, 1]) / 2, (quad[2, 1] + quad[3, 1]) / 2
    x0, y0 = min(max(0, round(left)), w - 1), min(max(0, round(top)), h - 1)
    x1, y1 = max(x0 + 1, min(w, round(right))), max(y0 + 1, min(h, round(bottom)))
    return pixels[y0:y1, x0:x1]


def _turned(pixels: Array, quad: Quad, visible: Quad, angle: float, white: int, bars: Bars | None) -> Array:
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    upright, seen = quad @ axes.T, visible @ axes.T
    lo = np.array([upright[[0, 3], 0].mean(), upright[[0, 1], 1].mean()])
    hi = np.array([upright[[1, 2], 0].mean(), upright[[2, 3], 1].mean()])
    lo, hi = np.maximum(lo, seen.min(axis=0)), np.minimum(hi, seen.max(axis=0))
    size = max(1, round(hi[0] - lo[0])), max(1, round(hi[1] - lo[1]))
    box = rectangle(((lo + hi) / 2) @ axes, size, angle)
    h, w = pixels.shape[:2]
    # Only the part around the photo: the warp then touches less memory, and no side exceeds its limits.
    x0, y0 = np.maximum(np.floor(box.min(axis=0)).astype(int) - 3, 0)
    x1, y1 = np.minimum(np.ceil(box.max(axis=0)).astype(int) + 3, [w, h])
    around = pixels[y0:y1, x0:x1]
    if bars is not None and bars.any():
        around = bars.paint(around, int(x0), int(y0), (w, h), white)
    origin = box[0] - [x0, y0] + np.array([0.5, 0.5]) @ axes - 0.5
    warp = np.hstack([axes.T, origin[:, None]])
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    return np.asarray(
        cv2.warpAffine(
            around,
            warp,
            size,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(white,) * bands,
        )
    )
