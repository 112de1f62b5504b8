"""The lid: what the scanner sees where no print lies. Smooth, nearly even, and at the scan's border."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bridge.scans.arrays import Array, worst

Image = Array
Mask = Array

SAMPLES = 4000
SHRINK = 3
MOST_REGIONS = 30


@dataclass(frozen=True)
class Lid:
    """The lid's colour at every pixel, its noise, and its share of the border and of the picture."""

    colour: Image
    sigma: float
    border: float
    share: float

    def believable(self) -> bool:
        """Whether this may be a lid: white, grey or black, along the border. A sky or a wall is not."""
        mean = self.colour[::16, ::16].reshape(-1, 3).mean(axis=0)
        return bool(mean.max() - mean.min() < 30) and (self.border > 0.12 or self.share > 0.25)


def find_lid(small: Image, usable: Mask) -> Lid | None:
    """The lid of a small picture (H x W x 3, levels), or none where nothing smooth meets the border."""
    full = small.shape[1], small.shape[0]
    size = max(8, full[0] // SHRINK), max(8, full[1] // SHRINK)
    small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    lid = _find(small, cv2.resize(usable.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0)
    if lid is None:
        return None
    return Lid(cv2.resize(lid.colour, full, interpolation=cv2.INTER_LINEAR), lid.sigma, lid.border, lid.share)


def _find(small: Image, usable: Mask) -> Lid | None:
    rough = _roughness(small)
    # A bar's neighbours are rough by the bar, not by themselves.
    usable = cv2.erode(usable.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    limit = max(1.0, 2.5 * float(np.percentile(rough[usable], 8))) if usable.any() else 1.0
    even = ((rough < min(limit, 4.0)) & usable).astype(np.uint8)
    calm = cv2.erode(even, np.ones((3, 3), np.uint8), borderValue=1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(calm, connectivity=4)
    total = small.shape[0] * small.shape[1]
    rim = _rim(usable)
    touch = np.bincount(labels[rim], minlength=count)[:count].astype(float)
    touch /= max(1.0, float(rim.sum()))
    share = stats[:, cv2.CC_STAT_AREA] / total
    candidates = [int(n) for n in np.argsort(-share[1:])[:MOST_REGIONS] + 1 if share[n] > 0.001]
    if not candidates:
        return None
    first = max(candidates, key=lambda n: 2 * touch[n] + share[n])
    if touch[first] < 0.02:
        return None
    chosen = labels == first
    return _grow(small, labels, candidates, chosen, calm > 0, rim)


def _roughness(small: Image) -> Image:
    """Standard deviation over 5x5 pixels, the mean of the channels."""
    mean = cv2.blur(small, (5, 5))
    square = cv2.blur(small * small, (5, 5))
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0)).mean(axis=2), np.float32)


def _rim(usable: Mask) -> Mask:
    """The outermost pixels that are no bar."""
    inner = cv2.erode(
        usable.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(usable & (inner == 0))


def _grow(small: Image, labels: Array, candidates: list[int], chosen: Mask, calm: Mask, rim: Mask) -> Lid:
    """Fit the first region, take in the regions that the fit explains, and fit again."""
    regions = [np.flatnonzero(labels == n) for n in candidates]
    colour, sigma = fit(small, chosen, 1)
    for order in (1, 2, 2):
        away = worst(small - colour)
        near = max(5.0, 5 * sigma)
        for region in regions:
            if float(np.median(away.ravel()[region])) < near:
                chosen.ravel()[region] = True
        colour, sigma = fit(small, chosen, order)
    away = worst(small - colour)
    is_lid = away < max(3.0, 4 * sigma)
    chosen = is_lid & calm
    if chosen.sum() > 50:
        colour, sigma = fit(small, chosen, 3 if chosen.mean() > 0.25 else 2)
        is_lid = worst(small - colour) < max(3.0, 4 * sigma)
    return Lid(colour, sigma, float(is_lid[rim].mean()), float(is_lid.mean()))


def fit(small: Image, where: Mask, order: int) -> tuple[Image, float]:
    """A polynomial a channel through the pixels `where`, outliers dropped; and the noise about it."""
    h, w = small.shape[:2]
    index = np.flatnonzero(where)
    index = index[:: max(1, len(index) // SAMPLES)]
    y, x = np.divmod(index, w)
    basis = _terms(x / w - 0.5, y / h - 0.5, order)
    value = small.reshape(-1, 3)[index]
    keep = np.ones(len(index), bool)
    coefficients = np.zeros((basis.shape[1], 3))
    for _ in range(4):
        terms = basis[keep]
        coefficients = np.linalg.lstsq(terms.T @ terms, terms.T @ value[keep], rcond=None)[0]
        error = worst(value - basis @ coefficients)
        kept, keep = keep, error <= max(1.0, 3.0 * 1.2 * float(np.median(error)))
        if np.array_equal(kept, keep):
            break
    sigma = 1.2 * float(np.median(error))
    # Terms are products of powers of x and y: two small matrices instead of a plane for every term.
    rows, columns = _powers(np.arange(h) / h - 0.5, order), _powers(np.arange(w) / w - 0.5, order)
    colour = np.empty_like(small)
    for c in range(3):
        grid = np.zeros((order + 1, order + 1))
        for (i, j), k in zip(_exponents(order), coefficients[:, c], strict=True):
            grid[j, i] = k
        colour[:, :, c] = rows @ grid @ columns.T
    return colour, sigma


def _exponents(order: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]


def _powers(x: Array, order: int) -> Array:
    return np.stack([x**n for n in range(order + 1)], axis=1)


def _terms(x: Array, y: Array, order: int) -> Array:
    return np.stack([x**i * y**j for i, j in _exponents(order)], axis=1)
