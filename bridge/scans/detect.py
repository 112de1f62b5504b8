"""Where the photos lie: from the pixels of a scan to quads with a confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from bridge.scans import bars as bars_
from bridge.scans import outline, seams, settle, torn
from bridge.scans.arrays import Array
from bridge.scans.band import Scene
from bridge.scans.boxes import OWN
from bridge.scans.geometry import Quad, area, clip, frame, grown, inset, share_in, sides
from bridge.scans.lid import find_lid
from bridge.scans.stripes import is_blocky

SMALL_DPI = 75.0
LEAST_MM, STRIP_MM = 12.0, 6.0
MOST_NOISE = 3.5
FAR_MM = 1.0
BESIDE_MM = 1.6
SURROUNDED = 0.95
SMUDGE, TINT = 10.0, 4.0
FILLED = 0.9
WITHIN = 0.8
SURE = 0.9


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
    found = outline.pieces(away, noise, usable, LEAST_MM * mm / scale)
    if outline.is_text(away, noise, usable, mm / scale, sum(piece.area for piece in found)):
        return [_whole(w, h, 0.7, "a page of text")]
    scene = Scene(pixels, half, half_scale, mm, lid.colour, is_blocky(pixels))
    prints = [laid for piece in found for laid in _prints(scene, found, piece, bars, scale, usable)]
    for laid in prints:
        _look_again(scene, laid, away, bars, scale)
    prints = [laid for laid in prints if not _is_smudge(laid, away)]
    _keep_apart(scene, prints, bars, scale)
    prints = _outermost(prints)
    # A strip is the shadow that a print's own border hides from it.
    wide = [laid.found for laid in prints if min(sides(laid.found.quad)) > STRIP_MM * mm]
    if prints and lid.border < SURROUNDED and _is_borderless(wide):
        return [_whole(w, h, 0.6, "no edge of a print in sight")]
    return [Photo(photo.quad, photo.confidence, photo.notes) for photo in torn.mend(scene, wide)]


@dataclass
class _Laid:
    """A print with what it was found by; `blocked` is where others lie, on the small picture."""

    piece: outline.Piece
    leaf: seams.Leaf
    blocked: Array
    found: settle.Found


def _prints(
    scene: Scene,
    pieces: list[outline.Piece],
    piece: outline.Piece,
    bars: bars_.Bars,
    scale: float,
    usable: Array,
) -> list[_Laid]:
    angle = outline.leaning(piece.contour, piece.silhouette.shape)
    rough = outline.bounding(piece.contour, angle) * scale
    leaves = seams.part(scene, piece.silhouette, rough)
    others: Array = (~usable).astype(np.uint8)
    for other in pieces:
        if other is not piece:
            others |= other.silhouette
    others = cv2.dilate(others, np.ones((3, 3), np.uint8))
    laid = []
    for n, leaf in enumerate(leaves):
        blocked = others
        if len(leaves) > 1:
            blocked = others.copy()
            for neighbour in leaves[:n] + leaves[n + 1 :]:
                _fill(blocked, neighbour.quad / scale)
        laid.append(_Laid(piece, leaf, blocked, _settled(scene, piece, leaf, blocked, bars, scale)))
    return laid


def _settled(
    scene: Scene, piece: outline.Piece, leaf: seams.Leaf, blocked: Array, bars: bars_.Bars, scale: float
) -> settle.Found:
    found = settle.settle(scene, blocked, leaf, bars)
    if _filled(piece.silhouette, leaf.quad / scale) < FILLED:
        found.confidence = min(found.confidence, settle.UNSURE)
        found.notes.append("not a full rectangle")
    return found


def _look_again(scene: Scene, laid: _Laid, away: Array, bars: bars_.Bars, scale: float) -> None:
    """An unsure print is looked for again about what is clearly no lid.

    If all is sure then, and only one side elsewhere, that one was a smudge's, or a line in the border.
    """
    if laid.found.confidence > SURE or laid.leaf.edges != OWN:
        return
    quad = outline.core(laid.piece, away, SMUDGE * 2)
    if quad is None:
        return
    leaf = seams.Leaf(quad * scale)
    found = _settled(scene, laid.piece, leaf, laid.blocked, bars, scale)
    moved = np.sort(np.abs(inset(laid.found.quad, found.quad))) / scene.mm
    if found.confidence > SURE and moved[2] < FAR_MM < STRIP_MM / 2 < moved[3]:
        laid.leaf, laid.found = leaf, found


def _keep_apart(scene: Scene, prints: list[_Laid], bars: bars_.Bars, scale: float) -> None:
    """Prints do not overlap: one whose sides were found far out, in another, took the other's for its own."""
    for laid in sorted(prints, key=lambda laid: -laid.found.reach):
        if laid.found.reach < FAR_MM:
            continue
        own = grown(laid.found.quad, BESIDE_MM * scene.mm)
        near = [
            other.found.quad
            for other in prints
            if other.piece is not laid.piece and area(clip(own, other.found.quad)) > 0
        ]
        if near:
            blocked = laid.blocked.copy()
            for quad in near:
                _fill(blocked, grown(quad, BESIDE_MM * scene.mm) / scale)
            laid.found = _settled(scene, laid.piece, laid.leaf, blocked, bars, scale)


def _outermost(prints: list[_Laid]) -> list[_Laid]:
    """Without those that lie in another: what looks like a print in a print is a part of its picture."""
    kept: list[_Laid] = []
    for laid in sorted(prints, key=lambda laid: -area(laid.found.quad)):
        quad = laid.found.quad
        holder = next((other for other in kept if share_in(quad, other.found.quad) > WITHIN), None)
        if holder is None:
            kept.append(laid)
        else:
            holder.found.confidence = min(holder.found.confidence, settle.UNSURE)
            if settle.PERHAPS_MORE not in holder.found.notes:
                holder.found.notes.append(settle.PERHAPS_MORE)
    return kept


def _is_smudge(laid: _Laid, away: Array) -> bool:
    """Whether it is hardly there at all: a greasy place on the lid, or the tint that compression gave it."""
    most = np.percentile(away[laid.piece.silhouette > 0], 90)
    return bool(most < (TINT if laid.found.bounded else SMUDGE))


def _filled(silhouette: Array, quad: Quad) -> float:
    """The share of a rough rectangle in which anything lies."""
    inside = np.zeros_like(silhouette)
    _fill(inside, quad)
    return float(silhouette[inside > 0].mean()) if inside.any() else 1.0


def _fill(mask: Array, quad: Quad) -> None:
    cv2.fillConvexPoly(mask, np.round(quad).astype(np.int32), (1,))


def _is_borderless(prints: list[settle.Found]) -> bool:
    """Whether most of what was taken for prints (by area), or all of it, has no clear side."""
    sizes = [math.prod(sides(found.quad)) for found in prints]
    bounded = sum(size for size, found in zip(sizes, prints, strict=True) if found.bounded)
    return not prints or bounded < 0.5 * sum(sizes)


def _whole(w: int, h: int, confidence: float, note: str) -> Photo:
    return Photo(frame(w, h), confidence, [note])


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
