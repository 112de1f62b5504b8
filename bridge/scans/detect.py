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
    scale = max(1.0, dpi / SMALL_DPI)
    h, w = pixels.shape[:2]
    size = max(1, round(w / scale)), max(1, round(h / scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if pixels.dtype == np.uint16:
        small /= 257
    if small.ndim == 2:
        small = np.repeat(small[:, :, None], 3, axis=2)
    usable = np.ones(small.shape[:2], bool)
    lid = find_lid(small, usable)
    if lid is None:
        return []
    away, noise = outline.difference(small, lid)
    labels, found = outline.pieces(away, noise, usable, LEAST_MM * min(dpi, SMALL_DPI) / 25.4)
    photos = []
    mm = dpi / 25.4
    for piece in found:
        angle = outline.leaning(piece.contour, labels.shape)
        rough = outline.bounding(piece.contour, angle) * [w / size[0], h / size[1]]
        blocked = ((labels != piece.label) & (labels > 0)).astype(np.uint8)
        sides = [edges.find_side(pixels, blocked, rough[n], rough[(n + 1) % 4], mm, (2.0, 2.0)) for n in range(4)]
        photos.append(Photo(edges.quad_of(sides, rough), 0.95))
    return photos
