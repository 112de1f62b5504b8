"""What is wrong with a split, in the words of a person who would have to mend it.

perfect: every photo overlaps its truth by 95 % or more, nothing is cut deeper than 1 mm, no bar is left,
nothing is merged, split or extra. A document passes when one crop holds all of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.scans.compose import Composed, Quad

CUT_MM = 1.0
OVERLAP = 0.95
BAR_MM2 = 1.0


@dataclass
class Verdict:
    """Counts of photos; corner errors in mm, angles in degrees, of the corners and photos to be judged."""

    truth: int = 0
    found: int = 0
    lost: int = 0
    merged: int = 0
    split: int = 0
    cut: int = 0
    extra: int = 0
    loose: int = 0
    bar: int = 0
    corners: list[float] = field(default_factory=list)
    angles: list[float] = field(default_factory=list)
    good: list[bool] = field(default_factory=list)

    @property
    def perfect(self) -> bool:
        return not any((self.lost, self.merged, self.split, self.cut, self.extra, self.loose, self.bar))

    def faults(self) -> str:
        names = ("lost", "merged", "split", "cut", "extra", "loose", "bar")
        return " ".join(f"{name}:{getattr(self, name)}" for name in names if getattr(self, name)) or "perfect"


def judge(scan: Composed, found: Sequence[Quad]) -> Verdict:
    """Compare quads in scan pixels with the truth. `good`: of every quad found, whether it is right."""
    h, w = scan.pixels.shape[:2]
    frame = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    if scan.document:
        return _judge_page(scan, [_clip(q, frame) for q in found])
    seen = [_clip(q, frame) for q in found]
    true = [_clip(q, frame) for q in scan.quads]
    verdict = Verdict(truth=len(true), found=len(seen), good=[True] * len(seen))
    shared = np.array([[_area(_clip(t, s)) if len(s) > 2 else 0 for s in seen] for t in true]).reshape(
        len(true), len(seen)
    )
    of_true = shared / np.array([[max(_area(t), 1)] for t in true]).reshape(-1, 1)
    of_seen = shared / np.array([[max(_area(s), 1) for s in seen]]).reshape(1, -1)
    holders = [{int(s) for s in np.flatnonzero(of_true[t] > 0.1)} for t in range(len(true))]
    for s in range(len(seen)):
        inside = sum(of_true[t, s] > 0.5 for t in range(len(true)))
        if inside > 1:
            verdict.merged += int(inside) - 1
            verdict.good[s] = False
        if not len(true) or of_seen[:, s].max() < 0.5:
            verdict.extra += 1
            verdict.good[s] = False
    for t in range(len(true)):
        if not len(seen) or (of_true[t].max() < 0.5 and len(holders[t]) < 2):
            verdict.lost += 1
            continue
        if len(holders[t]) > 1:
            verdict.split += 1
            for s in holders[t]:
                verdict.good[s] = False
            continue
        s = int(of_true[t].argmax())
        _judge_pair(scan, verdict, scan.quads[t], found[s], s, (true[t], seen[s]), frame)
    return verdict


def _judge_pair(
    scan: Composed, verdict: Verdict, truth: Quad, quad: Quad, s: int, clipped: tuple[Quad, Quad], frame: Quad
) -> None:
    true, seen = clipped
    px_mm = 25.4 / scan.dpi
    overlap = _area(_clip(true, seen))
    if verdict.good[s]:
        if overlap / (_area(true) + _area(seen) - overlap) < OVERLAP:
            verdict.loose += 1
            verdict.good[s] = False
        if _cut_depth(scan, truth, quad) * px_mm > CUT_MM:
            verdict.cut += 1
            verdict.good[s] = False
        if _bar_area(scan, quad) * px_mm**2 > BAR_MM2:
            verdict.bar += 1
            verdict.good[s] = False
    if not verdict.good[s]:
        return
    near = [_visible(scan, corner) for corner in truth]
    order = _best_turn(truth, quad)
    for corner, mine, ok in zip(truth, order, near, strict=True):
        if ok:
            verdict.corners.append(float(np.hypot(*(corner - mine)) * px_mm))
    if sum(near) >= 3:
        verdict.angles.append(abs(_tilt(order) - _tilt(truth)))


def _judge_page(scan: Composed, seen: list[Quad]) -> Verdict:
    verdict = Verdict(truth=1, found=len(seen), good=[len(seen) == 1] * len(seen))
    verdict.extra, verdict.lost = max(0, len(seen) - 1), int(not seen)
    if len(seen) == 1:
        page = scan.quads[0]
        inner = page.mean(axis=0) + (page - page.mean(axis=0)) * 0.8
        kept = _area(_clip(inner, seen[0])) / _area(inner)
        if kept < 0.98:
            verdict.cut, verdict.good[0] = 1, False
    return verdict


def _clip(a: Quad, b: Quad) -> Quad:
    """What two convex polygons share, both clockwise; OpenCV's own gives nothing where sides coincide."""
    points = a
    for start, stop in zip(b, np.roll(b, -1, axis=0), strict=True):
        along = stop - start
        depth = along[0] * (points[:, 1] - start[1]) - along[1] * (points[:, 0] - start[0])
        kept = []
        for n in range(len(points)):
            p, q, dp, dq = points[n - 1], points[n], depth[n - 1], depth[n]
            if (dp < 0) != (dq < 0):
                kept.append(p + (q - p) * dp / (dp - dq))
            if dq >= 0:
                kept.append(q)
        if not kept:
            return np.zeros((0, 2))
        points = np.array(kept)
    return points


def _area(a: Quad) -> float:
    return float(cv2.contourArea(a.astype(np.float32))) if len(a) > 2 else 0.0


def _cut_depth(scan: Composed, truth: Quad, quad: Quad) -> float:
    """How deep, in pixels, the crop cuts into what can be seen of the print and is no bar."""
    h, w = scan.pixels.shape[:2]
    n = max(8, int(np.hypot(*(truth[1] - truth[0])) / scan.dpi * 25.4 * 2))
    m = max(8, int(np.hypot(*(truth[3] - truth[0])) / scan.dpi * 25.4 * 2))
    u, v = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, m))
    points = (truth[0] + u[..., None] * (truth[1] - truth[0]) + v[..., None] * (truth[3] - truth[0])).reshape(
        -1, 2
    )
    x, y = points.T
    inside = (x >= 0) & (y >= 0) & (x < w) & (y < h)
    points = points[inside]
    clear = cv2.dilate(scan.bars.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    points = points[clear[points[:, 1].astype(int), points[:, 0].astype(int)]]
    depth = 0.0
    for n in range(4):
        edge = quad[(n + 1) % 4] - quad[n]
        normal = np.array([edge[1], -edge[0]]) / max(np.hypot(*edge), 1e-9)
        if len(points):
            depth = max(depth, float(((points - quad[n]) @ normal).max()))
    return depth


def _bar_area(scan: Composed, quad: Quad) -> float:
    if not scan.bars.any():
        return 0.0
    mask: NDArray[Any] = np.zeros(scan.bars.shape, np.uint8)
    cv2.fillConvexPoly(mask, np.round(quad * 16 - 8).astype(np.int32), 1, shift=4)
    mask = cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return float((scan.bars & (mask > 0)).sum())


def _visible(scan: Composed, corner: NDArray[np.float64]) -> bool:
    h, w = scan.pixels.shape[:2]
    x, y = corner
    reach = int(scan.dpi / 25.4)
    if not (-0.5 <= x <= w + 0.5 and -0.5 <= y <= h + 0.5):
        return False
    near = scan.bars[max(0, int(y) - reach) : int(y) + reach, max(0, int(x) - reach) : int(x) + reach]
    return not near.any()


def _best_turn(truth: Quad, quad: Quad) -> Quad:
    turns = [np.roll(quad, k, axis=0) for k in range(4)]
    return min(turns, key=lambda q: float(np.abs(q - truth).sum()))


def _tilt(quad: Quad) -> float:
    """Degrees, the mean over the four sides of a quad whose corners go clockwise from the truth's first."""
    edges = [quad[1] - quad[0], quad[2] - quad[3]]
    rises = [quad[3] - quad[0], quad[2] - quad[1]]
    along = sum(edges)
    down = sum(rises)
    turn = np.array([down[1], -down[0]])
    both = along + turn
    return float(np.degrees(np.arctan2(both[1], both[0])))
