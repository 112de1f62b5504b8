"""Where the photos lie: from the pixels of a scan to quads with a confidence."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from bridge.scans import bars as bars_
from bridge.scans import outline, seams, settle
from bridge.scans.arrays import Array
from bridge.scans.band import Scene
from bridge.scans.geometry import Quad, frame
from bridge.scans.lid import Lid, find_lid

SMALL_DPI = 75.0
LEAST_MM = 12.0
MOST_NOISE = 3.5


@dataclass(frozen=True)
class Detection:
    """The photos, in no order, and the bars: what lies under them is no picture."""

    photos: list[Photo]
    bars: bars_.Bars


@dataclass
class Photo:
    quad: Quad
    confidence: float
    notes: list[str] = field(default_factory=list)


def detect(pixels: Array, dpi: float) -> Detection:
    """The photos on a scan (grey or RGB, 8 or 16 bit). An empty glass gives none."""
    bars = bars_.find_bars(pixels, dpi / 25.4)
    return Detection(_photos(pixels, dpi, bars), bars)


def _photos(pixels: Array, dpi: float, bars: bars_.Bars) -> list[Photo]:
    h, w = pixels.shape[:2]
    mm = dpi / 25.4
    half, half_scale = shrink(pixels, dpi / (2 * SMALL_DPI))
    picture, _ = shrink(half, dpi / half_scale / SMALL_DPI)
    scale = w / picture.shape[1]
    small = _levels(picture)
    usable = bars.usable((small.shape[1], small.shape[0]), scale)
    lid = find_lid(small, usable)
    if lid is None or not lid.believable():
        return [_whole(w, h, 0.7, "no lid in sight")]
    away, noise = outline.difference(small, lid)
    if noise > MOST_NOISE:
        return [_whole(w, h, 0.6, "no lid in sight")]
    labels, found = outline.pieces(away, noise, usable, LEAST_MM * mm / scale)
    if outline.is_text(away, noise, usable, mm / scale, sum(piece.area for piece in found)):
        return [_page(found, labels, (w, h), scale)]
    scene = Scene(pixels, half, half_scale, mm, lid.colour)
    photos = []
    for piece in found:
        photos += _prints(scene, found, piece, bars, scale, usable)
    return _judge(photos, found, lid, (w, h), scale)


def _prints(
    scene: Scene,
    pieces: list[outline.Piece],
    piece: outline.Piece,
    bars: bars_.Bars,
    scale: float,
    usable: Array,
) -> list[settle.Found]:
    angle = outline.leaning(piece.contour, piece.silhouette.shape)
    rough = outline.bounding(piece.contour, angle) * scale
    leaves = seams.part(scene, piece.silhouette, rough)
    others: Array = (~usable).astype(np.uint8)
    for other in pieces:
        if other is not piece:
            others |= other.silhouette
    others = cv2.dilate(others, np.ones((3, 3), np.uint8))
    found = []
    for n, leaf in enumerate(leaves):
        blocked = others
        if len(leaves) > 1:
            blocked = others.copy()
            for neighbour in leaves[:n] + leaves[n + 1 :]:
                cv2.fillConvexPoly(blocked, np.round(neighbour.quad / scale).astype(np.int32), (1,))
        found.append(settle.settle(scene, blocked, leaf, bars))
    return found


def _judge(
    photos: list[settle.Found], found: list[outline.Piece], lid: Lid, size: tuple[int, int], scale: float
) -> list[Photo]:
    w, h = size
    covered = sum(piece.area for piece in found) * scale * scale / (w * h)
    surrounded = lid.border > 0.85
    if photos and covered > 0.1 and not surrounded and not any(photo.bounded for photo in photos):
        return [_whole(w, h, 0.6, "no edge of a print in sight")]
    return [Photo(photo.quad, photo.confidence, photo.notes) for photo in photos]


def _whole(w: int, h: int, confidence: float, note: str) -> Photo:
    return Photo(frame(w, h), confidence, [note])


def _page(found: list[outline.Piece], labels: outline.Labels, size: tuple[int, int], scale: float) -> Photo:
    return _whole(*size, 0.7, "a page of text")


def _levels(picture: Array) -> Array:
    """RGB in levels 0 to 255, as float32."""
    levels = picture.astype(np.float32)
    if picture.dtype == np.uint16:
        levels /= 257
    return np.repeat(levels[:, :, None], 3, axis=2) if levels.ndim == 2 else levels


def shrink(pixels: Array, scale: float) -> tuple[Array, float]:
    """The picture `scale` times smaller, and the true factor; as it is where it is small already."""
    if scale <= 1.2:
        return pixels, 1.0
    h, w = pixels.shape[:2]
    size = max(1, round(w / scale)), max(1, round(h / scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), w / size[0]
