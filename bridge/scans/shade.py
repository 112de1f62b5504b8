"""Where white paper begins behind its own shadow: the step itself is small, the shadow before it is steep.

Paper is even from its edge on; outside lie a step and a shadow, which a parabola describes near the edge.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bridge.scans.arrays import Array

# In samples (one a pixel at 300 DPI): how far is looked, and how far a side may move, from outwards to in.
OUTSIDE, INSIDE, WINDOW = 6, 14, 5
PLACES = np.arange(-10, 31) / 10
SOFTNESS = (0.6, 0.8, 1.0)
BETTER, EVEN = 0.5, 1.5


def shift(profile: Array) -> float:
    """Samples by which the edge lies further in than the line along which a profile was taken.

    The profile is blocks x (OUTSIDE + 1 + INSIDE) x channels. 0 where there is no paper, or nothing better.
    """
    tone = np.median(profile, axis=0)
    if np.ptp(tone[OUTSIDE + 4 :], axis=0).max() > EVEN:
        return 0.0
    mean = tone[OUTSIDE - WINDOW : OUTSIDE + WINDOW + 1]
    left = np.einsum("pij,jc->pic", _leftovers(), mean)
    error = np.einsum("pic,pic->p", left, left).reshape(len(SOFTNESS), -1).min(axis=0)
    best = int(error.argmin())
    here = float(error[int(np.abs(PLACES).argmin())])
    return float(PLACES[best]) if error[best] < BETTER * here else 0.0


@lru_cache(maxsize=1)
def _leftovers() -> Array:
    """For every softness and place, the matrix that leaves of a profile what no such edge explains."""
    x = np.arange(-WINDOW, WINDOW + 1.0)
    fine = np.arange(-WINDOW - 6, WINDOW + 6, 0.1)
    found = []
    for soft in SOFTNESS:
        reach = np.arange(-4 * soft, 4 * soft + 0.05, 0.1)
        bell = np.exp(-(reach**2) / (2 * soft**2))
        half = len(bell) // 2
        for place in PLACES:
            outside = np.maximum(place - fine, 0)
            shapes = [np.ones_like(fine), np.sign(outside), outside, outside**2]
            soft_shapes = [
                np.convolve(np.pad(shape, half, mode="edge"), bell / bell.sum(), mode="valid")[: len(fine)]
                for shape in shapes
            ]
            terms = np.stack([np.interp(x, fine, shape) for shape in soft_shapes], axis=1)
            found.append(np.eye(len(x)) - terms @ np.linalg.pinv(terms))
    return np.array(found)
