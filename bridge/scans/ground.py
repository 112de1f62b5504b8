"""Print, paper, shadow, glare or lid: what lies beside a line, told by how unlike the lid it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.scans.arrays import Array, median

WIDEST_SHADOW_MM, NARROWEST_BORDER_MM = 1.6, 2.4


@dataclass(frozen=True)
class Ground:
    """What lies on either side of a line across the band, told by how unlike the lid it is."""

    lidward: Array
    brighter: Array
    clear: Array
    mm: float

    def leaves(self, where: Array, far: bool, support: float) -> bool:
        """Whether a line, crossed inwards, leads from another print back to the lid.

        A shadow also is less like the lid than a white border behind it, but fades within a millimetre
        or two, and is found near the rough line, not `far` outside it.
        """
        inside = self._level(where, 0.35, 1.0)
        outside = self._level(where, -1.0, -0.35)
        beyond = self._level(where, -2.5, -1.5)
        if np.isnan(outside) or np.isnan(beyond):
            return far
        if far and support > 0.6 and beyond < 0.75 * outside:
            return False
        if far:
            return bool(outside > inside + 0.7)
        return bool(outside > 2.5 and inside < 0.4 * outside and not beyond < 0.7 * outside)

    def fades(self, onset: Array, where: Array) -> bool:
        """Whether the strip between two lines is shadow or glare: even along the side, and fading outwards.

        Paper behind a shadow is even across, too.
        """
        deep = float(np.median(where - onset)) / self.mm
        if deep < 0.3 or (deep > 2.0 and self._even(where, deep)):
            return False
        near = self._rows(where, -0.45 * deep, -0.15)
        far = self._level(onset, 0.1, 0.1 + 0.4 * deep)
        level = median(near)
        return bool(3 < level < 90 and median(np.abs(near - level)) < 0.3 * level + 1.5 and far < 0.6 * level)

    def costs(self, onset: Array, where: Array, support: float, soft: bool) -> bool:
        """Whether to crop at `where`, when the lid ends at `onset`, would cut off a part of the print.

        A strip too narrow for a border counts as shadow even where it does not fade, the more where it begins
        softly; and so does a wider one that is nowhere even, outside a line that is seen all along: paper is
        even behind the shadow on it.
        """
        deep = float(np.median(where - onset)) / self.mm
        if deep < 0.4:
            return False
        if not self._level(where, -0.45 * deep, -0.15) < 90:
            return True
        if self.fades(onset, where):
            return deep > 1.0 and support < 0.55
        if deep <= (NARROWEST_BORDER_MM if soft and support > 0.8 else WIDEST_SHADOW_MM):
            return False
        return not (support > 0.7 and deep < 4 and not self._even(where, deep))

    def _even(self, where: Array, deep: float) -> bool:
        """Whether the inner part of a strip is of one tone. Glare nearly is; it is brighter than lids."""
        outer, inner = (
            self._level(where, -0.5 * deep, -0.3 * deep),
            self._level(where, -0.3 * deep, -0.1 * deep),
        )
        glare = self._level(where, -0.5 * deep, -0.1 * deep, self.brighter) > 0
        return bool(abs(outer - inner) < (0.6 if glare else 0.7 + 0.1 * max(outer, inner)))

    def _level(self, where: Array, lo: float, hi: float, of: Array | None = None) -> float:
        return median(self._rows(where, lo, hi, of))

    def _rows(self, where: Array, lo: float, hi: float, of: Array | None = None) -> Array:
        """The mean between two distances (mm) from a line, a value a block; nan where nothing is clear."""
        steps = np.arange(max(1, round((hi - lo) * self.mm)))
        index = np.rint(where[:, None] + lo * self.mm + steps[None, :]).astype(np.intp)
        rows = np.arange(len(where))[:, None]
        good = (index >= 0) & (index < self.lidward.shape[1])
        index = np.clip(index, 0, self.lidward.shape[1] - 1)
        good &= self.clear[rows, index]
        count = good.sum(axis=1)
        total = ((self.lidward if of is None else of)[rows, index] * good).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)
