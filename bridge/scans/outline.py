"""What lies on the glass, roughly: the pieces of all that is no lid, a rectangle about each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from bridge.scans.arrays import Array, worst
from bridge.scans.geometry import Quad, rectangle
from bridge.scans.lid import Image, Lid, Mask

# A piece this full of its rectangle may be one print; bridges between prints, as shares of the least print.
FULL = 0.85
BRIDGES = (0.25, 0.4, 0.6)
PANORAMA = 3.1


@dataclass(frozen=True)
class Piece:
    """A connected piece of the mask: its filled silhouette, its outline, its size in pixels."""

    silhouette: Array
    contour: Array
    area: float


def difference(small: Image, lid: Lid) -> tuple[Image, float]:
    """How far each pixel is from the lid (levels, the worst channel), and the noise of the lid itself."""
    away = worst(cv2.subtract(small, lid.colour))
    calm = away[::3, ::3]
    calm = calm[calm < 8]
    noise = 1.2 * float(np.median(calm)) if calm.size else 1.0
    return away, noise


def pieces(away: Image, noise: float, usable: Mask, least: float) -> list[Piece]:
    """The connected pieces of at least `least` pixels across, dust and hairs dropped."""
    limit = max(2.5, 4.5 * noise)
    other = ((away > limit) & usable).astype(np.uint8)
    mask = cv2.morphologyEx(other, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for n in range(1, count):
        x, y, w, h, filled = (int(v) for v in stats[n])
        if min(w, h) < least or filled < 0.15 * least * least:
            continue
        for contour in _outlines(labels[y : y + h, x : x + w] == n, least):
            piece = _filled(contour + np.array([x, y]), labels.shape)
            found += _apart(piece, least)
    return found


def is_text(away: Image, noise: float, usable: Mask, mm: float, large: float) -> bool:
    """Whether what lies on the glass is writing: thin strokes, and little else (`large` pixels of it)."""
    ink = ((away > max(20.0, 6 * noise)) & usable).astype(np.uint8)
    wide = max(3, round(2.0 * mm)) | 1
    solid = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((wide, wide), np.uint8))
    total = cv2.countNonZero(ink)
    if total < 0.002 * ink.size or cv2.countNonZero(solid) > 0.35 * total:
        return False
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink - solid, connectivity=8)
    strokes = stats[1:, cv2.CC_STAT_HEIGHT] < 12 * mm
    return bool(strokes.sum() > (25 if large < 0.25 * ink.size else 150))


def _outlines(cut: Mask, least: float) -> list[Array]:
    """Closed, and freed of the hairs and scratches that hang on it; several where only those join them."""
    solid = cv2.copyMakeBorder(cut.astype(np.uint8), 4, 4, 4, 4, cv2.BORDER_CONSTANT)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(solid, contours, -1, 1, cv2.FILLED)
    return [contour - 4 for contour in _solid_parts(solid, 7, least)]


def _solid_parts(mask: Array, size: int, least: float) -> list[Array]:
    """The contours of what is left when all that is narrower than `size` is gone, that may be prints."""
    kernel = np.ones((size, size), np.uint8)
    count, cores = cv2.connectedComponents(cv2.erode(mask, kernel), connectivity=4)
    # Each by itself, so that prints which meet at a corner do not become one again.
    contours = [_contour(cv2.dilate((cores == n).astype(np.uint8), kernel)) for n in range(1, count)]
    largest = max(contours, key=cv2.contourArea, default=None)
    good = [contour for contour in contours if contour is largest or _may_be_print(contour, least)]
    return [contour.reshape(-1, 2) for contour in good]


def _contour(mask: Array) -> Array:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(contours, key=cv2.contourArea))


def _may_be_print(contour: Array, least: float) -> bool:
    """Whether a part is as wide as prints are, and no longer; a strip of a border is neither."""
    low, high = sorted(cv2.minAreaRect(contour)[1])
    return bool(low >= least and high <= PANORAMA * low)


def _filled(contour: Array, shape: tuple[int, ...]) -> Piece:
    full = np.zeros(shape, np.uint8)
    cv2.drawContours(full, [contour.reshape(-1, 1, 2)], -1, 1, cv2.FILLED)
    return Piece(full, contour, float(cv2.countNonZero(full)))


def _apart(piece: Piece, least: float) -> list[Piece]:
    """Prints that nothing but a narrow bridge of shadow joins, one by one; else the piece as it is.

    Prints are rectangles: what fills its own badly, and falls into rectangles where it is thin, was several.
    """
    if _fullness(piece.contour) > FULL:
        return [piece]
    for across in BRIDGES:
        size = max(3, round(across * least)) | 1
        parts = _solid_parts(piece.silhouette, size, least)
        if len(parts) > 1 and all(_fullness(contour) > FULL for contour in parts):
            return [_filled(contour, piece.silhouette.shape) for contour in parts]
    return [piece]


def core(piece: Piece, away: Image, least: float) -> Quad | None:
    """The rectangle about what of a piece differs from the lid by `least` levels and more."""
    clear = ((away > least) & (piece.silhouette > 0)).astype(np.uint8)
    points = cv2.findNonZero(cv2.morphologyEx(clear, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    if points is None:
        return None
    return bounding(points.reshape(-1, 2), leaning(piece.contour, piece.silhouette.shape))


def _fullness(contour: Array) -> float:
    """The share of the least rectangle about a contour that lies in it."""
    points = contour.reshape(-1, 1, 2).astype(np.int32)
    wide, high = cv2.minAreaRect(points)[1]
    return float(cv2.contourArea(points) / max(1.0, wide * high))


def leaning(contour: Array, shape: tuple[int, ...]) -> float:
    """The angle (degrees, -45 to 45) that most of an outline follows, the scan's own border left out."""
    hull = cv2.convexHull(contour.reshape(-1, 1, 2).astype(np.int32)).reshape(-1, 2)
    angles, weights = _straights(contour, shape)
    around = _chords(hull, shape)
    angles, weights = np.concatenate([angles, around[0]]), np.concatenate([weights, around[1]])
    if not len(angles):
        return 0.0
    off = (angles[None, :] - angles[:, None] + 45) % 90 - 45
    votes = (weights * np.maximum(0, 1 - np.abs(off) / 1.5)).sum(axis=1)
    best = int(votes.argmax())
    near = weights * (np.abs(off[best]) < 1.5)
    lean = angles[best] + float((off[best] * near).sum() / near.sum())
    return float((lean + 45) % 90 - 45)


def _straights(contour: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Angles (degrees, folded to -45 to 45) of an outline's straight stretches, and their squared lengths."""
    h, w = shape[:2]
    knots = cv2.approxPolyDP(contour.reshape(-1, 1, 2).astype(np.int32), 2.0, True).reshape(-1, 2)
    place = {tuple(point): n for n, point in enumerate(contour.tolist())}
    angles, weights = [], []
    for a, b in zip(knots, np.roll(knots, -1, axis=0), strict=True):
        i, j = place[tuple(a.tolist())], place[tuple(b.tolist())]
        stretch = contour[i:j] if i < j else np.vstack([contour[i:], contour[:j]])
        trim = max(2, len(stretch) // 12)
        stretch = stretch[trim:-trim]
        x, y = stretch.T if len(stretch) else (np.zeros(0), np.zeros(0))
        if (
            not 8 <= len(stretch) <= 1.5 * np.abs(b - a).max()
            or x.max() <= 1
            or y.max() <= 1
            or x.min() >= w - 2
            or y.min() >= h - 2
        ):
            continue
        vx, vy = cv2.fitLine(stretch.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel()[:2]
        angles.append((math.degrees(math.atan2(vy, vx)) + 45) % 90 - 45)
        weights.append(float(len(stretch)) ** 2)
    return np.array(angles), np.array(weights)


def _chords(hull: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The same for the sides of a hull: all there is to see of a print whose outline is ragged."""
    h, w = shape[:2]
    ahead = np.roll(hull, -1, axis=0)
    chord = (ahead - hull).astype(float)
    length = np.hypot(*chord.T)
    low, high = np.minimum(hull, ahead), np.maximum(hull, ahead)
    rim = (high[:, 0] <= 1) | (high[:, 1] <= 1) | (low[:, 0] >= w - 2) | (low[:, 1] >= h - 2)
    good = (length > 10) & ~rim
    angles = (np.degrees(np.arctan2(chord[good, 1], chord[good, 0])) + 45) % 90 - 45
    return angles, 0.5 * length[good] ** 2


def bounding(contour: Array, angle: float) -> Quad:
    """The rectangle turned by `angle` that holds an outline, in the pixel-edge convention."""
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    along = (contour + 0.5) @ axes.T
    lo, hi = along.min(axis=0), along.max(axis=0)
    grow = 0.5 * (abs(math.cos(turn)) + abs(math.sin(turn)))
    size = hi - lo + 2 * grow - (2 * grow - 1)
    return rectangle(((lo + hi) / 2) @ axes, size, angle)
