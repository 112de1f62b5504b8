"""Prints that lie so close that the mask holds them together: the straight lines that part them.

A seam is a sharp straight line across the whole of what it parts. So is a horizon, sometimes; hence without
a notch in the outline a seam must be seen along nearly all its length, and exactly straight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bridge.scans import edges, joint, outline, slants
from bridge.scans.arrays import Array
from bridge.scans.band import Scene, sharpness
from bridge.scans.boxes import OWN, Box, Cut, Edges, between, halve, in_row
from bridge.scans.geometry import Points, Quad
from bridge.scans.joint import Joint

# Nearer to an outline than the lesser prints are wide, a line belongs to a picture; without a notch, sooner.
LEAST_MM = 24.0
LEAST_ALONE_MM = 35.0
BLOCKS = 40
SQUARE = 0.1
NOTCH = 0.045
NOTCHED = 0.6
MOST_LINES = 3
MOST_LOOKS = 6
SLICE = 2.4


@dataclass(frozen=True)
class Leaf:
    """A rough quad, and what its sides are: top, right, bottom, left.

    `doubt` is how much of a line was seen (0 to 1) that might have been a seam and was not taken for one.
    """

    quad: Quad
    edges: Edges = OWN
    doubt: float = 0.0


def part(scene: Scene, silhouette: Array, quad: Quad) -> list[Leaf]:
    """The prints inside a rough rectangle (scan pixels); `silhouette` is the small mask of the piece."""
    patch = _Patch(scene, silhouette, quad)
    boxes = patch.split(Box(0, 0, patch.width, patch.height), 0)
    if len(boxes) == 1:
        return [Leaf(quad, doubt=patch.doubt.get(boxes[0], 0.0))]
    return [Leaf(patch.outward(box), box.edges, patch.doubt.get(box, 0.0)) for box in boxes]


class _Patch:
    """The piece laid upright at half size, so that rows and columns run along the prints' sides."""

    def __init__(self, scene: Scene, silhouette: Array, quad: Quad) -> None:
        k = scene.half_scale
        self.scene = scene
        self.doubt: dict[Box, float] = {}
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
            scene.half,
            warp,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        self.pixels = pixels.reshape(self.height, self.width, -1)
        self.deep = scene.half.dtype == np.uint16
        grow = silhouette.shape[1] / scene.half.shape[1]
        small = np.hstack([move * grow, ((move @ [0.5, 0.5] + self.origin / k) * grow - 0.5)[:, None]])
        self.inside = cv2.warpAffine(silhouette, small, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)

    def outward(self, box: Box) -> Quad:
        corners = np.array([[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]], float)
        return np.asarray(self.origin + (corners @ np.stack([self.along, self.down])) * self.scale)

    def split(self, box: Box, depth: int, expected: Cut | None = None) -> list[Box]:
        box = self.tighten(box)
        if depth > 5 or max(box.size) < 2 * LEAST_MM * self.mm:
            return [box]
        self.doubt[box] = 0.0
        cuts = [
            cut for upright in (True, False) if (cut := self.best_cut(box, upright, expected)) is not None
        ]
        for cut in sorted(cuts, key=lambda c: -c.support):
            # Prints laid in a grid: what parts the whole parts its halves, too.
            across = next((other for other in cuts if other is not cut), None)
            parts = self.split_both(halve(box, cut), depth + 1, cut, across)
            longest = outline.PANORAMA if cut.notched else SLICE
            if not any(len(part) == 1 and _slender(part[0], longest) for part in parts):
                return [leaf for part in parts for leaf in part]
        return [box]

    def split_both(
        self, halves: tuple[Box, Box], depth: int, cut: Cut, across: Cut | None
    ) -> list[list[Box]]:
        """What parts one of two halves, parts the other sooner; and so does a row of prints of one format."""
        slack = joint.EQUAL_MM * self.mm
        before, after = (across or in_row(halves, n, cut, slack) for n in (0, 1))
        one = self.split(halves[0], depth, before)
        other = self.split(halves[1], depth, after or between(one))
        if len(one) == 1 and across is None:
            one = self.split(halves[0], depth, between(other))
        return [one, other]

    def tighten(self, box: Box) -> Box:
        """Shrink to where the piece is; a side that moves is no seam any more."""
        here = self.inside[box.y0 : box.y1, box.x0 : box.x1]
        if not here.any():
            return box
        columns, rows = (
            np.flatnonzero(cv2.reduce(here, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() > 0.08)
            for axis in (0, 1)
        )
        if not len(columns) or not len(rows):
            return box
        slack = 1.2 * self.mm
        moved = (
            rows[0] > slack,
            len(here[0]) - 1 - columns[-1] > slack,
            len(here) - 1 - rows[-1] > slack,
            columns[0] > slack,
        )
        x0 = box.x0 + (int(columns[0]) if moved[3] else 0)
        x1 = box.x0 + int(columns[-1]) + 1 if moved[1] else box.x1
        y0 = box.y0 + (int(rows[0]) if moved[0] else 0)
        y1 = box.y0 + int(rows[-1]) + 1 if moved[2] else box.y1
        top, right, bottom, left = (
            "own" if gone else was for was, gone in zip(box.edges, moved, strict=True)
        )
        return Box(x0, y0, x1, y1, (top, right, bottom, left))

    def best_cut(self, box: Box, upright: bool, expected: Cut | None = None) -> Cut | None:
        pixels = self.pixels[box.y0 : box.y1, box.x0 : box.x1]
        inside = self.inside[box.y0 : box.y1, box.x0 : box.x1]
        if not upright:
            pixels, inside = cv2.transpose(pixels), cv2.transpose(inside)
        high, wide = inside.shape
        least = LEAST_MM * self.mm
        if wide < 2 * least + 2 or high < 12 * self.mm:
            return None
        support, shared, notch, through = self._support(pixels, inside)
        all_support = support.copy()
        notched = notch > NOTCH
        inner = support[int(least) : -int(least)]
        ruled = _peaks(inner, 0.8 * float(inner.max()), round(2 * self.mm)) > MOST_LINES
        alone = round(LEAST_ALONE_MM * self.mm)
        open_ = (support * through)[alone:-alone]
        self.doubt[box] = max(self.doubt[box], float(open_.max()) if open_.size else 0.0)
        central = np.abs(np.arange(wide) + 0.5 - wide / 2) < joint.HALF_MM * self.mm
        perhaps = (support >= joint.PERHAPS) & (through | (central & (support >= joint.WHOLE)))
        perhaps[:alone] = perhaps[-alone:] = False
        base = box.x0 if upright else box.y0
        again = np.zeros(wide, bool)
        if expected is not None and expected.upright == upright:
            again = (np.abs(np.arange(wide) + base - expected.stop) < 1.5 * self.mm) & (support > 0.6)
        support[
            ~np.where(notched, support + 0.5 * np.minimum(notch, 0.4) >= NOTCHED, perhaps | again)
            | (shared < 0.1)
        ] = 0
        support[: int(least)] = 0
        support[-int(least) :] = 0
        for _ in range(MOST_LOOKS):
            at = int((support + 0.3 * np.minimum(notch, 1) * (support > 0)).argmax())
            if support[at] == 0:
                return None
            seen = self._look(box, upright, at)
            if seen is not None:
                place = at + 0.5 + seen.moved / self.scale
                if bool(notched[at]):
                    close = notch[max(0, at - round(self.mm)) : at + round(self.mm) + 1]
                    good = joint.parts_notched(seen, float(close.max()))
                elif again[at]:
                    good = joint.parts_again(seen)
                else:
                    good = joint.parts_whole(
                        seen,
                        float(support[at]),
                        abs(place - wide / 2) / self.mm,
                        joint.divides_equally(all_support, place, high, self.mm),
                        ruled,
                        joint.is_format(min(place, wide - place), high),
                    )
                if good:
                    lo, hi = (place + edge / self.scale for edge in seen.strip)
                    return Cut(upright, base + lo, base + hi, float(support[at]), bool(notched[at]))
            support[max(0, at - int(self.mm)) : at + int(self.mm) + 1] = 0
        return None

    def _look(self, box: Box, upright: bool, at: int) -> Joint | None:
        first, last = self._shared(box, upright, at)
        if upright:
            ends = np.array([[box.x0 + at + 0.5, last], [box.x0 + at + 0.5, first]], float)
        else:
            ends = np.array([[first, box.y0 + at + 0.5], [last, box.y0 + at + 0.5]], float)
        a, b = self.origin + (ends @ np.stack([self.along, self.down])) * self.scale
        seen = joint.look(self.scene, a, b)
        if seen is None or seen.lean < SQUARE:
            return seen
        along = (seen.end - seen.start) / np.hypot(*(seen.end - seen.start))
        return replace(seen, lean=min([seen.lean, *self._leans(box, upright, along)]))

    def _leans(self, box: Box, upright: bool, along: Points) -> list[float]:
        """Degrees between a line and the sides that face it: where prints have slipped, the piece leans."""
        quad = self.outward(box)
        found = [
            edges.find_side(self.scene, None, quad[n], quad[(n + 1) % 4], (2.0, 2.0))
            for n in ((1, 3) if upright else (0, 2))
        ]
        sines = [
            side.along[0] * along[1] - side.along[1] * along[0]
            for side in found
            if side and side.support > 0.6
        ]
        return [abs(math.degrees(math.asin(float(sine)))) for sine in sines]

    def _support(self, pixels: Array, inside: Array) -> tuple[Array, Array, Array, Array]:
        """At each column: the share of blocks with a step there, of those that have print on both sides;
        the share of blocks that have; the share that have print on one side only, ending here; and
        whether the step goes through to both ends.
        """
        high, wide = inside.shape
        blocks = cv2.resize(np.ascontiguousarray(pixels), (wide, BLOCKS), interpolation=cv2.INTER_AREA)
        profile: Array = blocks.reshape(BLOCKS, wide, -1).astype(np.float32)
        if self.deep:
            profile /= 257
        sharp = sharpness(profile, 1.0)
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
        spread = max(1, round(0.008 * high))
        best = _best_slanted(value * both, spread) / np.maximum(both.sum(axis=0), 1)
        near = cv2.dilate(value.astype(np.float32), np.ones((1, 2 * spread + 1), np.uint8)) > 0.3
        count = np.cumsum(both, axis=0)
        begins, ends = both & (count <= 2), both & (count > count[-1] - 2)
        through = (near & begins).any(axis=0) & (near & ends).any(axis=0)
        return best, both.mean(axis=0), one.mean(axis=0), through

    def _shared(self, box: Box, upright: bool, at: int) -> tuple[float, float]:
        """From where to where there is print on both sides of a seam, in patch pixels."""
        inside = self.inside[box.y0 : box.y1, box.x0 : box.x1]
        inside = inside if upright else inside.T
        far, near = round(4 * self.mm), round(2 * self.mm)
        left, right = inside[:, max(0, at - far) : max(1, at - near)], inside[:, at + near : at + far]
        both = np.flatnonzero((left.mean(axis=1) > 0.5) & (right.mean(axis=1) > 0.5))
        base, end = (box.y0, box.y1) if upright else (box.x0, box.x1)
        if len(both) < 8 * self.mm:
            return float(base), float(end)
        return float(base + both[0]), float(base + both[-1] + 1)


def _best_slanted(value: Array, spread: int) -> Array:
    """At each column, the largest sum down a line through it that leans by up to `spread` columns."""
    lean = (np.arange(len(value)) + 0.5) / len(value) - 0.5
    shifts = np.rint(np.arange(-spread, spread + 1)[:, None] * lean).astype(int)
    return np.asarray(slants.sums(value, shifts).max(axis=0))


def _peaks(values: Array, least: float, apart: int) -> int:
    """How many separate places reach `least`."""
    places = np.flatnonzero(values >= least)
    return int((np.diff(places) > apart).sum()) + 1 if len(places) else 0


def _slender(box: Box, longest: float) -> bool:
    """Longer than prints are: a slice of a picture rather than a neighbour."""
    return max(box.size) > longest * min(box.size)


def _axes(quad: Quad) -> tuple[Points, Points, Points]:
    along = (quad[1] - quad[0]) / np.hypot(*(quad[1] - quad[0]))
    return quad[0], along, np.array([-along[1], along[0]])
