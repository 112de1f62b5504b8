"""A band across a side, laid straight: rows along it, averaged into blocks; columns from outside in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.geometry import Points

BLOCKS = 48


@dataclass(frozen=True)
class Scene:
    """The scan at full size and `half_scale` times smaller, and pixels per millimetre; `blocky` when it
    was compressed in squares."""

    pixels: Array
    half: Array
    half_scale: float
    mm: float
    lid: Array | None = None
    blocky: bool = False


@dataclass(frozen=True)
class Band:
    """`profile` is blocks x offsets x channels; offset 0 is `outer` pixels outside the rough line."""

    profile: Array
    clear: Array
    start: Points
    along: Points
    inward: Points
    length: float
    outer: float
    seen: float
    positions: Array
    step: float


def take_band(
    pixels: Array,
    blocked: Array | None,
    a: Points,
    b: Points,
    outer: float,
    inner: float,
    step: float,
    blocks: int = BLOCKS,
) -> Band | None:
    """Sample the band; `outer` and `inner` in pixels, `step` the sampling distance across and along."""
    h, w = pixels.shape[:2]
    length = float(np.hypot(*(b - a)))
    along = (b - a) / length
    inward = np.array([-along[1], along[0]])
    across = np.arange(-outer, inner + step / 2, step)
    trim = 0.04
    rows = max(blocks, min(int(length * (1 - 2 * trim) / step), BLOCKS * 24) // blocks * blocks)
    t = np.linspace(trim * length, (1 - trim) * length, rows)
    on = a + t[:, None] * along
    mid = (on[:, 0] > 1) & (on[:, 0] < w - 1) & (on[:, 1] > 1) & (on[:, 1] < h - 1)
    seen = float(mid.mean())
    if seen < 0.15:
        return None
    corners = on[[0, 0, -1, -1]] + across[[0, -1, 0, -1], None] * inward
    lo, hi = corners.min(axis=0), corners.max(axis=0)
    x0, y0 = max(0, int(lo[0]) - 2), max(0, int(lo[1]) - 2)
    x1, y1 = min(w, int(hi[0]) + 3), min(h, int(hi[1]) + 3)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    warp = np.stack([step * inward, (on[-1] - on[0]) / (rows - 1), corners[0]], axis=1)
    samples = _laid(pixels[y0:y1, x0:x1], warp, (x0, y0), (len(across), rows), cv2.INTER_LINEAR)
    profile = _block_means(samples.reshape(rows, len(across), -1), blocks)
    if pixels.dtype == np.uint16:
        profile /= 257
    good = _within(on, across, inward, lo, hi, (w, h))
    if blocked is not None:
        good &= _free(blocked, warp, np.array(blocked.shape[::-1]) / (w, h), good.shape)
    clear = np.ones((blocks, len(across)), bool)
    if not good.all():
        clear = good.reshape(blocks, rows // blocks, -1).mean(axis=1) > 0.6
    positions = t.reshape(blocks, -1).mean(axis=1)
    return Band(profile, clear, a, along, inward, length, outer, seen, positions, step)


def _laid(region: Array, warp: Array, corner: tuple[int, int], size: tuple[int, int], how: int) -> Array:
    """A picture's part from `corner` on, sampled along a band's axes."""
    warp = warp - np.array([[0, 0, corner[0] + 0.5], [0, 0, corner[1] + 0.5]])
    flags = how | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(region, warp, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _block_means(samples: Array, blocks: int) -> Array:
    rows, wide, bands = samples.shape
    each = samples.reshape(blocks, rows // blocks, wide * bands)
    # Summed as whole numbers, which the samples are.
    total = each.sum(axis=1, dtype=np.uint32 if samples.dtype == np.uint16 else np.uint16)
    return np.asarray(total / np.float32(rows // blocks), np.float32).reshape(blocks, wide, bands)


def _within(
    on: Points, across: Array, inward: Points, lo: Points, hi: Points, size: tuple[int, int]
) -> Array:
    """Whether each sample lies on the scan."""
    far = np.array(size) - 0.5
    good = np.ones((len(on), len(across)), bool)
    if (lo > 0.5).all() and (hi < far).all():
        return good
    for axis in (0, 1):
        place = on[:, axis, None] + across * inward[axis]
        good &= (place > 0.5) & (place < far[axis])
    return good


def lid_under(band: Band, scene: Scene) -> Array:
    """The lid's colour at each sample of a band."""
    assert scene.lid is not None
    across = np.arange(band.profile.shape[1]) * band.step - band.outer
    on = band.start + band.positions[:, None] * band.along
    h, w = scene.pixels.shape[:2]
    sh, sw = scene.lid.shape[:2]
    x = (on[:, 0, None] + across * band.inward[0]) * (sw / w) - 0.5
    y = (on[:, 1, None] + across * band.inward[1]) * (sh / h) - 0.5
    return np.asarray(
        cv2.remap(
            scene.lid,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def _free(blocked: Array, warp: Array, scale: Array, shape: tuple[int, ...]) -> Array:
    """Whether nothing else lies there; `scale` is of that picture beside the scan, across and down."""
    there = _laid(blocked, warp * scale[:, None], (0, 0), (shape[1], shape[0]), cv2.INTER_NEAREST)
    return np.asarray(there == 0)


def kinks(profile: Array, sigma: float) -> Array:
    """Sharp steps across, a value an offset, block and channel; a step of 1 peaks at 1, with its sign.

    The slope of the profile beyond that of its surroundings: shadow, glare and pictures that fade into
    their border are ramps, however steep, and leave nothing.
    """
    return np.asarray(
        cv2.sepFilter2D(profile, -1, _kernel(sigma), np.ones(1, np.float32), borderType=cv2.BORDER_REPLICATE)
    ).reshape(profile.shape)


@lru_cache(maxsize=16)
def _kernel(sigma: float) -> Array:
    reach = int(np.ceil(9 * sigma))
    off = np.arange(-reach, reach + 1, dtype=np.float64)

    def slope(width: float) -> Array:
        kernel = off * np.exp(-(off**2) / (2 * width**2))
        return np.asarray(kernel / (kernel * off).sum())

    both = slope(sigma) - slope(3 * sigma)
    return np.asarray(both / both[off > 0].sum(), np.float32)


def strength(steps: Array) -> Array:
    """All channels together."""
    return np.asarray(np.sqrt(np.einsum("bsc,bsc->bs", steps, steps)), np.float32)


def slope(profile: Array, sigma: float) -> Array:
    """The Gaussian derivative across, a value an offset, block and channel; a sharp step of 1 peaks at 1."""
    return np.asarray(
        cv2.sepFilter2D(
            profile, -1, _plain_kernel(sigma), np.ones(1, np.float32), borderType=cv2.BORDER_REPLICATE
        )
    ).reshape(profile.shape)


@lru_cache(maxsize=16)
def _plain_kernel(sigma: float) -> Array:
    reach = int(np.ceil(4 * sigma))
    off = np.arange(-reach, reach + 1, dtype=np.float32)
    kernel = off * np.exp(-(off**2) / (2 * sigma**2))
    return np.asarray(kernel / kernel[kernel > 0].sum(), np.float32)


def sharpness(profile: Array, sigma: float) -> Array:
    """Levels of sharp step at every offset of every block, all channels together."""
    # Both see a sharp step at its full height; of one blurred beyond the narrow one little is left.
    n, w = strength(slope(profile, sigma)), strength(slope(profile, 3 * sigma))
    # Between glare and a print the wide one passes through nought; its neighbours tell.
    w = cv2.dilate(w, np.ones((1, 5), np.uint8))
    return np.asarray(np.maximum(n - 0.6 * w, 0) / 0.35, np.float32)
