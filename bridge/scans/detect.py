"""Where the photos lie: from the pixels of a scan to quads with a confidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.scans import edges, outline
from bridge.scans.geometry import Quad
from bridge.scans.lid import find_lid

SMALL_DPI = 75.0
LEAST_MM = 12.0


@dataclass
class Photo:
    quad: Quad
    confidence: float
    notes: list[str] = field(default_factory=list)
    evidence: dict[str, float] = field(default_factory=dict)


def detect(pixels: NDArray[Any], dpi: float) -> list[Photo]:
    h, w = pixels.shape[:2]
    half, half_scale = shrink(pixels, dpi / (2 * SMALL_DPI))
    small, _ = shrink(half, dpi / half_scale / SMALL_DPI)
    size = small.shape[1], small.shape[0]
    small = small.astype(np.float32)
    if pixels.dtype == np.uint16:
        small /= 257
    if small.ndim == 2:
        small = np.repeat(small[:, :, None], 3, axis=2)
    usable = np.ones(small.shape[:2], bool)
    lid = find_lid(small, usable)
    if lid is None:
        return []
    scene = edges.Scene(pixels, half, half_scale, dpi / 25.4, lid.colour)
    away, noise = outline.difference(small, lid)
    labels, found = outline.pieces(away, noise, usable, LEAST_MM * min(dpi, SMALL_DPI) / 25.4)
    photos = []
    for piece in found:
        angle = outline.leaning(piece.contour, labels.shape)
        rough = outline.bounding(piece.contour, angle) * [w / size[0], h / size[1]]
        blocked = ((labels != piece.label) & (labels > 0)).astype(np.uint8)
        sides = [edges.find_side(scene, blocked, rough[n], rough[(n + 1) % 4], (8.0, 6.0)) for n in range(4)]
        photos.append(Photo(edges.quad_of(sides, rough), 0.95))
    return photos


def shrink(pixels: NDArray[Any], scale: float) -> tuple[NDArray[Any], float]:
    """The picture `scale` times smaller, and the true factor; as it is where it is small already."""
    if scale <= 1.2:
        return pixels, 1.0
    h, w = pixels.shape[:2]
    size = max(1, round(w / scale)), max(1, round(h / scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), w / size[0]
