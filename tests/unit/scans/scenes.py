"""Small scenes drawn by hand: a lid, and what a test puts on it."""

from __future__ import annotations

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.band import Scene
from bridge.scans.detect import shrink

DPI = 300
MM = DPI / 25.4
LID = 235.0


def lid(width: int = 1000, height: int = 900) -> Array:
    return np.full((height, width, 3), LID, np.float32)


def picture(width: int, height: int, seed: int) -> Array:
    """A picture of soft shapes and fine grain."""
    rng = np.random.default_rng(seed)
    out = np.full((height, width, 3), 120.0, np.float32)
    for cells, weight in ((4, 40), (12, 25), (60, 12)):
        coarse = rng.normal(0, weight, (cells, cells, 3)).astype(np.float32)
        out += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(out, 10, 225)


def scanned(canvas: Array, noise: float = 1.5, seed: int = 1) -> Scene:
    """The canvas as a scanner hands it over, and its empty lid."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(canvas, (0, 0), 0.7) + rng.normal(0, noise, canvas.shape)
    pixels = np.clip(soft + 0.5, 0, 255).astype(np.uint8)
    half, scale = shrink(pixels, 2.0)
    empty = np.full((pixels.shape[0] // 4, pixels.shape[1] // 4, 3), LID, np.float32)
    return Scene(pixels, half, scale, MM, empty)
