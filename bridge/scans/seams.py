"""Prints that lie so close that the mask holds them together: the straight lines that part them.

A seam is a sharp straight line across the whole of what it parts. So is a horizon, sometimes; hence without
a notch in the outline a seam must be seen along nearly all its length, and exactly straight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.scans import edges
from bridge.scans.edges import Float, Scene
from bridge.scans.geometry import Points, Quad

LEAST_MM = 22.0
STRIP_MM = 5.0
BLOCKS = 40


@dataclass(frozen=True)
class Leaf:
    """A rough quad, and which of its sides (top, right, bottom, left) is a seam."""

    quad: Quad
    seam: tuple[bool, bool, bool, bool] = (False, False, False, False)


@dataclass(frozen=True)
class Box:
    """Whole pixels of the upright patch, and which sides are seams: top, right, bottom, left."""

    x0: int
    y0: int
    x1: int
    y1: int
    seam: tuple[bool, bool, bool, bool] = (False, False, False, False)

    @property
    def size(self) -> tuple[int, int]:
        return self.x1 - self.x0, self.y1 - self.y0


@dataclass(frozen=True)
class Cut:
    """Where one part ends and the next begins; support 0 to 1."""

    upright: bool
    stop: float
    start: float
    support: float


def part(scene: Scene, silhouette: NDArray[np.uint8], quad: Quad) -> list[Leaf]:
    """The prints inside a rough rectangle (scan pixels); `silhouette` is the small mask of the piece."""
    patch = _Patch(scene, silhouette, quad)
    boxes = patch.split(Box(0, 0, patch.width, patch.height), 0)
    if len(boxes) == 1:
        return [Leaf(quad)]
    return [Leaf(patch.outward(box), box.seam) for box in boxes]


class _Patch:
    """The piece laid upright at half size, so that rows and columns run along the prints' sides."""

    def __init__(self, scene: Scene, silhouette: NDArray[np.uint8], quad: Quad) -> None:
        k = scene.half_scale
        self.scene = scene
        self.mm = scene.mm / k
        self.origin, self.along, self.down = _axes(quad)
        width, height = np.hypot(*(quad[1] - quad[0])) / k, np.hypot(*(quad[3] - quad[0])) / k
        self.width, self.height = max(4, round(float(width))), max(4, round(float(height)))
        self.scale = k
        move = np.stack([self.along, self.down], axis=1)
        centre = move @ [0.5, 0.5] + self.origin / k - 0.5
        warp = np.hstack([move, centre[:, None]])
        size = (self.width, self.height)
        pixels = cv2.warpAffine(
            scene.half, warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        self.pixels = pixels.reshape(self.height, self.width, -1)
        self.deep = scene.half.dtype == np.uint16
        grow = silhouette.shape[1] / scene.half.shape[1]
        small = np.hstack([move * grow, ((move @ [0.5, 0.5] + self.origin / k) * grow - 0.5)[:, None]])
        self.inside = cv2.warpAffine(silhouette, small, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)

    def outward(self, box: Box) -> Quad:
        corners = np.array([[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]], float)
        return np.asarray(self.origin + (corners @ np.stack([self.along, self.down])) * self.scale)

    def split(self, box: Box, depth: int) -> list[Box]:
        box = self.tighten(box)
        least = LEAST_MM * self.mm
        if depth > 5 or max(box.size) < 2 * least:
            return [box]
        cuts = [cut for upright in (True, False) if (cut := self.best_cut(box, upright)) is not None]
        if not cuts:
            return [box]
        cut = max(cuts, key=lambda c: c.support)
        t, r, b, left = box.seam
        if cut.upright:
            halves = (
                Box(box.x0, box.y0, round(cut.stop), box.y1, (t, True, b, left)),
                Box(round(cut.start), box.y0, box.x1, box.y1, (t, r, b, True)),
            )
        else:
            halves = (
                Box(box.x0, box.y0, box.x1, round(cut.stop), (t, r, True, left)),
                Box(box.x0, round(cut.start), box.x1, box.y1, (True, r, b, left)),
            )
        return [leaf for half in halves for leaf in self.split(half, depth + 1)]

    def tighten(self, box: Box) -> Box:
        """Shrink to where the piece is; a side that moves is no seam any more."""
        here = self.inside[box.y0 : box.y1, box.x0 : box.x1]
        if not here.any():
            return box
        columns = np.flatnonzero(here.mean(axis=0) > 0.08)
        rows = np.flatnonzero(here.mean(axis=1) > 0.08)
        if not len(columns) or not len(rows):
            return box
        slack = 1.2 * self.mm
        moved = (rows[0] > slack, len(here[0]) - 1 - columns[-1] > slack, len(here) - 1 - rows[-1] > slack, columns[0] > slack)
        x0 = box.x0 + (int(columns[0]) if moved[3] else 0)
        x1 = box.x0 + int(columns[-1]) + 1 if moved[1] else box.x1
        y0 = box.y0 + (int(rows[0]) if moved[0] else 0)
        y1 = box.y0 + int(rows[-1]) + 1 if moved[2] else box.y1
        seam = tuple(was and not gone for was, gone in zip(box.seam, moved, strict=True))
        return Box(x0, y0, x1, y1, seam)  # type: ignore[arg-type]

    def best_cut(self, box: Box, upright: bool) -> Cut | None:
        pixels = self.pixels[box.y0 : box.y1, box.x0 : box.x1]
        inside = self.inside[box.y0 : box.y1, box.x0 : box.x1]
        if not upright:
            pixels, inside = pixels.swapaxes(0, 1), inside.swapaxes(0, 1)
        high, wide = inside.shape
        least = LEAST_MM * self.mm
        if wide < 2 * least or high < 12 * self.mm:
            return None
        support, shared, notch = self._support(pixels, inside)
        clear = int(least)
        inner = support.copy()
        inner[:clear] = 0
        inner[-clear:] = 0
        enough = np.where(notch > 0.06, 0.5, 0.72)
        inner[(inner < enough) | (shared < 0.1)] = 0
        if not inner.any():
            return None
        at = int((inner + 0.3 * np.minimum(notch, 1)).argmax() if inner.max() > 0 else 0)
        if inner[at] == 0:
            at = int(inner.argmax())
        lo, hi = self._strip(support, pixels, at)
        found = float(inner[at])
        if notch[at] <= 0.06 and hi - lo < 2 and not self._straight(box, upright, at):
            return None
        base = box.x0 if upright else box.y0
        return Cut(upright, base + lo, base + hi, found)

    def _support(
        self, pixels: NDArray[np.generic], inside: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """At each column: the share of blocks with a step there, of those that have print on both sides;
        the share of blocks that have; and the share that have print on one side only, ending here."""
        high, wide = inside.shape
        profile = cv2.resize(np.ascontiguousarray(pixels), (wide, BLOCKS), interpolation=cv2.INTER_AREA)
        profile = profile.reshape(BLOCKS, wide, -1).astype(np.float32)
        if self.deep:
            profile /= 257
        sharp = edges.sharpness(profile, 1.0)
        usual = cv2.blur(sharp, (int(12 * self.mm) | 1, 1))
        value = np.clip(sharp / (1.5 + 2.5 * usual) - 0.4, 0, 1)
        value = np.maximum(value, 0.95 * np.maximum(np.roll(value, 1, axis=1), np.roll(value, -1, axis=1)))
        mask = cv2.resize(np.ascontiguousarray(inside), (wide, BLOCKS), interpolation=cv2.INTER_AREA)
        window = max(1, int(2 * self.mm))
        solid = cv2.blur(mask.astype(np.float32), (window, 1))
        gap = int(1.6 * self.mm)
        left, right = np.roll(solid, gap + window // 2, axis=1), np.roll(solid, -gap - window // 2, axis=1)
        both = (left > 0.7) & (right > 0.7)
        one = ((left > 0.8) & (right < 0.2)) | ((left < 0.2) & (right > 0.8))
        best = np.zeros(wide)
        t = (np.arange(BLOCKS) + 0.5) / BLOCKS - 0.5
        offsets = np.arange(wide)
        spread = max(1, round(0.008 * high))
        rows = np.arange(BLOCKS)[:, None]
        for slant in range(-spread, spread + 1):
            index = np.clip(np.rint(offsets[None, :] + slant * t[:, None]).astype(np.intp), 0, wide - 1)
            here = both[rows, index]
            share = (value[rows, index] * here).sum(axis=0) / np.maximum(here.sum(axis=0), 1)
            best = np.maximum(best, share)
        return best, both.mean(axis=0), one.mean(axis=0)

    def _strip(self, support: NDArray[np.float64], pixels: NDArray[np.generic], at: int) -> tuple[float, float]:
        """Where a gap or bar begins and ends about a seam; the same place twice where there is none."""
        reach = int(STRIP_MM * self.mm)
        best = (at + 0.5, at + 0.5)
        grey = pixels.mean(axis=2)
        for other in range(max(0, at - reach), min(len(support), at + reach + 1)):
            lo, hi = sorted((at, other))
            if hi - lo < 2 or support[other] < 0.5:
                continue
            if support[other] < support[max(0, other - 1) : other + 2].max():
                continue
            strip = grey[:, lo + 1 : hi]
            roughness = float(np.median(np.abs(np.diff(strip, axis=0)))) / (257 if self.deep else 1)
            tone = strip.mean(axis=1)
            even = float(np.percentile(tone, 85) - np.percentile(tone, 15)) / (257 if self.deep else 1)
            if even < 25 and roughness < 8 and hi - lo > best[1] - best[0]:
                best = (lo + 0.5, hi + 0.5)
        return best

    def _straight(self, box: Box, upright: bool, at: int) -> bool:
        """Whether the seam is straight and sharp at full size."""
        if upright:
            ends = np.array([[box.x0 + at + 0.5, box.y1], [box.x0 + at + 0.5, box.y0]], float)
        else:
            ends = np.array([[box.x0, box.y0 + at + 0.5], [box.x1, box.y0 + at + 0.5]], float)
        a, b = self.origin + (ends @ np.stack([self.along, self.down])) * self.scale
        side = edges.find_side(self.scene, None, a, b, (1.2, 1.2), strongest=True)
        return side is not None and side.support > 0.6 and side.scatter < 0.05 * self.scene.mm


def _axes(quad: Quad) -> tuple[Points, Points, Points]:
    along = (quad[1] - quad[0]) / np.hypot(*(quad[1] - quad[0]))
    return quad[0], along, np.array([-along[1], along[0]])


def lean(quad: Quad) -> float:
    edge = quad[1] - quad[0]
    return math.degrees(math.atan2(edge[1], edge[0]))


__all__ = ["Float", "Leaf", "part"]
