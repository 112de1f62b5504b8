"""One print found as two: where its picture is of the lid's tone all across, nothing joins the rest of it.

Its two parts lie on the same lines, as exactly as nobody lays two prints, and neither ends where they
face each other. Or they overlap, as no two prints do.
"""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np

from bridge.scans import edges
from bridge.scans.band import Scene
from bridge.scans.geometry import Quad, area, rectangle, share_in, tilt
from bridge.scans.settle import CLEAR, PERHAPS_MORE, UNSURE, Found

ASKEW, APART_MM = 0.4, 0.4
GAP_MM = 1.5  # less is a bar, or a gap between two
OVERLAP = 0.2


def mend(scene: Scene, prints: list[Found]) -> list[Found]:
    """The prints, two of them made one where they are parts of it."""
    for one, other in permutations(prints, 2):
        quad = _joined(scene, one, other)
        others = [found for found in prints if found is not one and found is not other]
        if quad is not None and not any(_is_sure_in(found, quad) for found in others):
            whole = Found(
                quad,
                min(one.confidence, other.confidence, UNSURE),
                one.bounded or other.bounded,
                max(one.reach, other.reach),
                [PERHAPS_MORE],
            )
            return mend(scene, [whole, *others])
    return prints


def _is_sure_in(found: Found, quad: Quad) -> bool:
    return found.confidence > UNSURE and share_in(found.quad, quad) > OVERLAP


def _joined(scene: Scene, one: Found, other: Found) -> Quad | None:
    """The print whose upper or left part is `one` and whose lower or right one is `other`."""
    if min(one.confidence, other.confidence) > UNSURE:
        return None
    larger, smaller = sorted((one, other), key=lambda found: -area(found.quad))
    if max(one.confidence, other.confidence) <= UNSURE and share_in(smaller.quad, larger.quad) > OVERLAP:
        return _about(larger.quad, smaller.quad)
    if abs(tilt(one.quad) - tilt(other.quad)) > ASKEW:
        return None
    for turn in (0, 1):
        # With the first side on top: the upper one's left and right sides go on as the lower one's.
        upper, lower = (np.roll(part.quad, turn, axis=0) for part in (one, other))
        gap = float((lower[0] - upper[3]) @ (upper[3] - upper[0])) / float(np.hypot(*(upper[3] - upper[0])))
        least = min(float(np.hypot(*(part[3] - part[0]))) for part in (upper, lower))
        if not GAP_MM * scene.mm < gap < least:
            continue
        apart = max(_off(lower[[0, 3]], upper[0], upper[3]), _off(lower[[1, 2]], upper[1], upper[2]))
        if apart < APART_MM * scene.mm and not _one_ends(scene, upper, lower):
            return np.roll(np.array([upper[0], upper[1], lower[2], lower[3]]), -turn, axis=0)
    return None


def _about(quad: Quad, other: Quad) -> Quad:
    """The rectangle about two quads that lies as the first one."""
    turn = math.radians(tilt(quad))
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    along = np.vstack([quad, other]) @ axes.T
    lo, hi = along.min(axis=0), along.max(axis=0)
    return rectangle(((lo + hi) / 2) @ axes, hi - lo, tilt(quad))


def _off(points: Quad, a: Quad, b: Quad) -> float:
    """How far the farthest of some points lies off a line."""
    along = (b - a) / np.hypot(*(b - a))
    return float(np.abs((points - a) @ np.array([-along[1], along[0]])).max())


def _one_ends(scene: Scene, upper: Quad, lower: Quad) -> bool:
    facing = [
        edges.find_side(scene, None, a, b, (1.0, 1.0))
        for a, b in ((upper[2], upper[3]), (lower[0], lower[1]))
    ]
    return any(side is not None and side.support > CLEAR for side in facing)
