"""Quads and lines in scan pixels, pixel-edge convention: (0, 0) is the top-left corner of the first pixel.

A quad is a 4x2 array, clockwise from the corner that is top-left after a deskew of under 45 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from bridge.scans.arrays import Array

Points = Array
Quad = Array


def rectangle(centre: Sequence[float], size: Sequence[float], angle: float) -> Quad:
    """The quad of a rectangle turned by `angle` degrees (clockwise, as y grows downwards)."""
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * np.asarray(size, float)
    return np.asarray(corners @ axes + np.asarray(centre, float))


def frame(width: float, height: float) -> Quad:
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], float)


def tilt(quad: Quad) -> float:
    """Degrees by which the print is turned, the mean over its sides weighted by their lengths; -45 to 45."""
    along = quad[1] - quad[0] + quad[2] - quad[3]
    down = quad[3] - quad[0] + quad[2] - quad[1]
    both = along + np.array([down[1], -down[0]])
    return math.degrees(math.atan2(both[1], both[0]))


def sides(quad: Quad) -> tuple[float, float]:
    """Mean width and height in pixels."""
    edge = np.hypot(*(np.roll(quad, -1, axis=0) - quad).T)
    return float(edge[0] + edge[2]) / 2, float(edge[1] + edge[3]) / 2


def grown(quad: Quad, by: float) -> Quad:
    """The rectangle with every side moved outwards."""
    across, down = (edge / np.hypot(*edge) for edge in (quad[1] - quad[0], quad[3] - quad[0]))
    return np.asarray(quad + by * np.array([-across - down, across - down, across + down, down - across]))


def inset(outer: Quad, inner: Quad) -> Array:
    """How far each side of a quad lies inside that of another; negative outside."""
    along = np.roll(outer, -1, axis=0) - outer
    inward = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
    between = (inner + np.roll(inner, -1, axis=0) - outer - np.roll(outer, -1, axis=0)) / 2
    return np.asarray((between * inward).sum(axis=1))


def clip(a: Quad, b: Quad) -> Points:
    """What two convex polygons share, both clockwise; no points where they share nothing.

    OpenCV's own says nothing where two sides coincide but for a rounding error.
    """
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


def area(polygon: Points) -> float:
    return float(cv2.contourArea(polygon.astype(np.float32))) if len(polygon) > 2 else 0.0


def share_in(quad: Quad, other: Quad) -> float:
    """The share of a quad that lies in another."""
    return area(clip(quad, other)) / max(1.0, area(quad))


def meet(p: Points, d: Points, q: Points, e: Points) -> Points:
    """Where the lines p + s d and q + t e cross; they must not be parallel."""
    cross = d[0] * e[1] - d[1] * e[0]
    s = ((q[0] - p[0]) * e[1] - (q[1] - p[1]) * e[0]) / cross
    return np.asarray(p + s * d)


def clockwise(quad: Quad) -> Quad:
    """The same corners in the order this module promises."""
    centre = quad.mean(axis=0)
    around = quad[np.argsort(np.arctan2(*(quad - centre).T[::-1]))]
    turns = [np.roll(around, k, axis=0) for k in range(4)]
    return min(turns, key=lambda q: abs(tilt(q)))
