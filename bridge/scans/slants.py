"""Sums along many slanted lines through a few rows, by sums over the rows that a line crosses alike."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bridge.scans.arrays import Array


def sums(value: Array, shifts: Array) -> Array:
    """Line x place: the sum of value[row, place + shifts[line, row]] over all rows; off the ends is nothing.

    value    rows x places, or rows x places x channels
    shifts   whole numbers, lines x rows
    """
    rows, wide = value.shape[:2]
    reach = int(np.abs(shifts).max())
    above = np.zeros((rows + 1, wide + 2 * reach, *value.shape[2:]), np.float32)
    np.cumsum(value, axis=0, out=above[1:, reach : reach + wide])
    total = np.zeros((len(shifts), wide, *value.shape[2:]), np.float32)
    for line, shift in enumerate(shifts):
        turns = [0, *(np.flatnonzero(np.diff(shift)) + 1).tolist(), rows]
        for first, last in pairwise(turns):
            at = reach + int(shift[first])
            total[line] += above[last, at : at + wide] - above[first, at : at + wide]
    return total
