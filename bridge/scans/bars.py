"""The scanner's own dark bars along the border of a scan: where the glass ends, and the lid's hinge."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bridge.scans.arrays import Array

REACH_MM = 5.0
BLOCK_MM = 1.0
LEAST_RUN = 12
TRIES, UNEVEN_MM = 40, 0.4
EVEN = 10.0
DARK = 150.0


@dataclass(frozen=True)
class Bars:
    """Depths in pixels of the scan, a value a pixel along each border; 0 where there is no bar."""

    left: Array
    right: Array
    top: Array
    bottom: Array

    def usable(self, size: tuple[int, int], scale: float) -> Array:
        """False under a bar, on a picture of `size` (width, height) that is `scale` times smaller."""
        w, h = size
        x, y = np.arange(w)[None, :], np.arange(h)[:, None]

        def depth(border: Array, n: int) -> Array:
            here = cv2.resize(border[None, :], (n, 1), interpolation=cv2.INTER_LINEAR)[0] / scale
            return np.where(here > 0, np.ceil(here + 0.3), 0).astype(np.float32)

        return np.asarray(
            (x >= depth(self.left, h)[:, None])
            & (w - 1 - x >= depth(self.right, h)[:, None])
            & (y >= depth(self.top, w)[None, :])
            & (h - 1 - y >= depth(self.bottom, w)[None, :])
        )

    def paint(self, cut: Array, x0: int, y0: int, size: tuple[int, int], white: int) -> Array:
        """A piece of a scan of `size` with its corner at (x0, y0), made white under the bars."""
        h, w = cut.shape[:2]
        x, y = np.arange(x0, x0 + w)[None, :], np.arange(y0, y0 + h)[:, None]
        under = (x < self.left[y0 : y0 + h, None]) | (size[0] - 1 - x < self.right[y0 : y0 + h, None])
        under |= (y < self.top[None, x0 : x0 + w]) | (size[1] - 1 - y < self.bottom[None, x0 : x0 + w])
        if not under.any():
            return cut
        cut = cut.copy()
        cut[under] = white
        return cut

    def any(self) -> bool:
        return any(bool(side.any()) for side in (self.left, self.right, self.top, self.bottom))


def find_bars(pixels: Array, mm: float) -> Bars:
    """Look along the four borders of a scan with `mm` pixels to the millimetre."""
    deep = max(4, round(REACH_MM * mm))
    return Bars(
        left=_along(_blocks(pixels[:, :deep], 0, mm), pixels.shape[0], mm),
        right=_along(_blocks(pixels[:, -deep:], 0, mm)[:, ::-1], pixels.shape[0], mm),
        top=_along(_blocks(pixels[:deep], 1, mm).T, pixels.shape[1], mm),
        bottom=_along(_blocks(pixels[-deep:], 1, mm)[::-1].T, pixels.shape[1], mm),
    )


def _blocks(strip: Array, along: int, mm: float) -> Array:
    """Levels of a strip, averaged along one axis into blocks of a millimetre."""
    h, w = strip.shape[:2]
    blocks = max(4, round(strip.shape[along] / mm / BLOCK_MM))
    size = (blocks, h) if along else (w, blocks)
    flat = cv2.resize(strip, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    grey: Array = flat.reshape(size[1], size[0], -1).mean(axis=2)
    return grey / np.float32(257) if strip.dtype == np.uint16 else grey


def _along(grey: Array, length: int, mm: float) -> Array:
    """Bar depths along a border of `length` pixels, from blocks whose first column is the border."""
    depth, level = _first_steps(grey)
    run = _steady(depth, mm)
    run &= _along_most(depth, run, mm)
    if run.sum() < LEAST_RUN:
        return np.zeros(length, np.float32)
    filled = _fill(depth, run, grey, level)
    return np.asarray(cv2.resize(filled[None, :], (length, 1), interpolation=cv2.INTER_NEAREST)[0])


def _first_steps(grey: Array) -> tuple[Array, Array]:
    """Where each block's dark, even start ends (nan: it has none), in pixels; and its level."""
    blocks, deep = grey.shape
    depth = np.full(blocks, np.nan, np.float32)
    level = np.zeros(blocks, np.float32)
    for n, row in enumerate(grey):
        start = float(row[0])
        if start > DARK:
            continue
        far = np.flatnonzero(np.abs(row - start) > 25)
        if not len(far):
            continue
        at = int(far[0])
        beyond = float(row[min(deep - 1, at + 2)])
        half = (start + beyond) / 2
        crossing = np.flatnonzero((row[1:] - half) * (row[:-1] - half) <= 0)
        if not len(crossing) or abs(beyond - start) < 25:
            continue
        i = int(crossing[0])
        depth[n] = i + 0.5 + (half - row[i]) / (row[i + 1] - row[i]) if row[i + 1] != row[i] else i + 0.5
        level[n] = start
    return depth, level


def _steady(depth: Array, mm: float) -> Array:
    """Blocks whose depth agrees with most of their neighbours'."""
    slack = max(1.2, 0.12 * mm)
    agree = np.zeros(len(depth))
    seen = np.zeros(len(depth))
    for shift in range(-7, 8):
        if shift == 0:
            continue
        other = np.full_like(depth, np.nan)
        if shift > 0:
            other[shift:] = depth[:-shift]
        else:
            other[:shift] = depth[-shift:]
        seen += 1
        agree += np.abs(other - depth) < slack
    return np.asarray((agree >= 6) & np.isfinite(depth))


def _along_most(depth: Array, run: Array, mm: float) -> Array:
    """Blocks that lie on the straight line that most do: where others end deeper, a dark picture goes on."""
    known = np.flatnonzero(run)
    if len(known) < 2:
        return run
    pairs = known[np.linspace(0, len(known) - 1, 2 * TRIES).astype(int)].reshape(2, -1)
    apart = pairs[1] - pairs[0]
    slope = (depth[pairs[1]] - depth[pairs[0]]) / np.maximum(apart, 1)
    lines = depth[pairs[0], None] + slope[:, None] * (np.arange(len(depth)) - pairs[0, :, None])
    near = np.abs(lines - depth) < UNEVEN_MM * mm
    return np.asarray(near[(near & run).sum(axis=1).argmax()])


def _fill(depth: Array, run: Array, grey: Array, level: Array) -> Array:
    """Carry the bar across blocks that are as dark at the border, where dark content hides its end."""
    known = np.flatnonzero(run)
    guess = np.interp(np.arange(len(depth)), known, depth[known]).astype(np.float32)
    tone = np.interp(np.arange(len(depth)), known, level[known])
    dark = np.abs(grey[:, 0] - tone) < 25
    left = np.maximum.accumulate(np.where(run, np.arange(len(depth)), -10_000))
    right = np.minimum.accumulate(np.where(run, np.arange(len(depth)), 10_000)[::-1])[::-1]
    between = (left >= 0) & (right < 10_000)
    close = (np.arange(len(depth)) - left <= 3) | (right - np.arange(len(depth)) <= 3)
    same = run | (np.abs(grey[:, 0] - tone) < EVEN)
    stretch = np.cumsum(np.diff(same, prepend=False))
    joined = same & np.isin(stretch, stretch[run])
    return np.where(joined | (dark & (between | close)), guess, 0).astype(np.float32)
