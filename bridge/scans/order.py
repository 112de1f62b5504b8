"""Reading order: rows from top to bottom, each from left to right."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.scans.geometry import Quad


def reading_order(quads: Sequence[Quad]) -> list[int]:
    """Indices in reading order. Photos share a row when their heights overlap by half of the lesser."""
    spans = [(float(q[:, 1].min()), float(q[:, 1].max()), float(q[:, 0].mean())) for q in quads]
    left = sorted(range(len(quads)), key=lambda n: (spans[n][0] + spans[n][1], spans[n][2]))
    order: list[int] = []
    while left:
        top, bottom, _ = spans[left[0]]
        row = [n for n in left if _overlap(spans[n][:2], (top, bottom)) > 0.5]
        row.sort(key=lambda n: spans[n][2])
        order += row
        left = [n for n in left if n not in row]
    return order


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return shared / max(1e-9, min(a[1] - a[0], b[1] - b[0]))
