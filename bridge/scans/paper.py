"""A print's white border: one paper, of one tone on all four sides, however like the lid.

What a border is on one side tells where it ends on another, where it is hardly told from the lid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bridge.scans.arrays import Array, medians, worst
from bridge.scans.band import Scene, lid_under, take_band
from bridge.scans.geometry import Points

NEAR_MM, FAR_MM = 1.5, 2.3
LEAST_MM, MOST_MM = 1.5, 8.5
FOOT_MM = 24.0
ALIKE, SHARP_MM = 8.0, 0.6
DARKEST = 130.0  # paper, however yellow; a sky is darker in one channel at least
TOLD = 2.0
ASTRAY_MM = 2.0  # so far inside its true place a side may have been taken to be
# A border seen by nothing but its own tone: even from its beginning to its end, and one tone all round.
FIRST_MM, SHEER_MM, EVEN, BEYOND, ONE_TONE = 0.5, 0.5, 0.25, 0.4, 1.5
ALL_ROUND = 3  # sides


@dataclass(frozen=True)
class Border:
    """Tone in levels, a value a channel, and width in millimetres."""

    tone: Array
    width: float


def border_inside(scene: Scene, a: Points, b: Points) -> Border | None:
    """The strip of one tone along a side, which ends all at once where the picture begins."""
    mm, step = scene.mm, max(1.0, scene.mm / 6)
    px = mm / step
    near = slice(round(NEAR_MM * px), max(round(FAR_MM * px), round(NEAR_MM * px) + 1))
    # Most sides have none, and show it near by.
    for reach in (FAR_MM, MOST_MM + 1):
        band = take_band(scene.pixels, None, a, b, 0.0, reach * mm, step)
        if band is None:
            return None
        tone = np.median(band.profile[:, near].mean(axis=1), axis=0) * np.ones(3)
        alike = (worst(band.profile - tone) < ALIKE) & band.clear
        share = alike.sum(axis=0) / np.maximum(band.clear.sum(axis=0), 1)
        if share[near].min() < 0.75 or tone.min() < DARKEST:
            return None
    ends = np.flatnonzero(share[near.start :] < 0.5)
    if not len(ends):
        return None
    end = int(ends[0]) + near.start
    before = share[max(0, end - round(SHARP_MM * px))]
    width = end / px
    return Border(tone, width) if before > 0.75 and width < MOST_MM else None


def same(borders: list[Border | None]) -> Border | None:
    """The border that most of the sides that have one agree on."""
    known = [border for border in borders if border is not None]
    if not known:
        return None

    def fellows(border: Border) -> list[Border]:
        return [other for other in known if np.abs(other.tone - border.tone).max() < ALIKE]

    alike = max((fellows(border) for border in known), key=len)
    tone = np.median([border.tone for border in alike], axis=0)
    return Border(tone, float(np.median([border.width for border in alike])))


def is_inside(scene: Scene, a: Points, b: Points, tone: Array) -> bool:
    """Whether what lies just inside a side is paper of a tone, along most of it."""
    band = take_band(scene.pixels, None, a, b, 0.0, FAR_MM * scene.mm, max(1.0, scene.mm / 12))
    if band is None:
        return False
    near = band.profile[:, round(NEAR_MM * scene.mm / band.step) :].mean(axis=1)
    return bool((worst(near - tone) < ALIKE).mean() > 0.5)


def is_lid(scene: Scene, a: Points, b: Points, border: Border) -> bool:
    """Whether what was taken for a border inside a side is as well the lid."""
    band = take_band(scene.pixels, None, a, b, 0.0, border.width * scene.mm, max(1.0, scene.mm / 6))
    return band is not None and bool(
        np.abs(border.tone - np.median(lid_under(band, scene), axis=(0, 1))).max() < ONE_TONE
    )


def all_round(scene: Scene, blocked: Array, sides: list[tuple[Points, Points]]) -> Border | None:
    """A border outside at least three sides that were found, none of which shows where it ends.

    Shadow and glare fade outwards, and differ from side to side; paper is of one tone, as wide all round.
    """
    found: list[Border] = []
    for n, (a, b) in enumerate(sides):
        border = _border_outside(scene, blocked, a, b)
        if border is not None:
            found.append(border)
        if len(found) + len(sides) - n - 1 < ALL_ROUND:
            break
    if len(found) < ALL_ROUND:
        return None
    tone = np.median([border.tone for border in found], axis=0)
    width = float(np.median([border.width for border in found]))
    alike = [
        border
        for border in found
        if np.abs(border.tone - tone).max() < ONE_TONE and abs(border.width - width) < 1.0
    ]
    return Border(tone, width) if len(alike) >= ALL_ROUND else None


def _border_outside(scene: Scene, blocked: Array, a: Points, b: Points) -> Border | None:
    mm, step = scene.mm, max(1.0, scene.mm / 6)
    px = mm / step
    first, near = round(FIRST_MM * px), round(LEAST_MM * px)
    # Most sides have none, and show it near by.
    for reach, enough in ((LEAST_MM, near), (MOST_MM + 2, near + round(px))):
        band = take_band(scene.pixels, blocked, a, b, reach * mm, 0.0, step)
        if band is None:
            return None
        lid = lid_under(band, scene)
        off, clear = (band.profile - lid)[:, ::-1], band.clear[:, ::-1]
        good = clear.sum(axis=0) >= 0.5 * len(off)
        length = len(good) if good.all() else int(good.argmin())
        if length < enough:
            return None
        profile = medians(off[:, :length], clear[:, :length])
        unlike = np.median(profile[first:near], axis=0)
        size = float(unlike @ unlike)
        if size < TOLD**2:
            return None
    share = cv2.blur((profile @ unlike / size)[None, :].astype(np.float32), (3, 1))[0]
    ends = np.flatnonzero(share[first:] < 0.5)
    if not len(ends):
        return None
    end, edge = int(ends[0]) + first, round(SHEER_MM * px)
    even = np.abs(share[first : end - edge] - 1)
    if end < LEAST_MM * px or even.max() > EVEN or share[end + edge : end + 3 * edge].max(initial=0) > BEYOND:
        return None
    tone = unlike + np.median(lid[:, ::-1][:, first:end], axis=(0, 1))
    return Border(tone, end / px) if end / px < MOST_MM else None


def begins(scene: Scene, blocked: Array, a: Points, b: Points, border: Border) -> float | None:
    """How far (mm) inside a line a border's paper begins, negative outside; None where that is not told.

    The border's width is counted from that line to the picture.
    Paper is even all the way from the picture to its own edge; shadow and glare are ramps.
    """
    mm, step = scene.mm, max(1.0, scene.mm / 12)
    band = take_band(scene.pixels, blocked, a, b, ASTRAY_MM * mm, border.width * mm, step)
    if band is None or not band.clear.any(axis=0).all():
        return None
    px, line = mm / step, round(band.outer / step)
    sure = slice(-max(2, round(1.2 * px)), -max(1, round(0.4 * px)))
    profile = medians(band.profile, band.clear) * np.ones(3)
    tone = np.median(profile[sure], axis=0)
    if np.abs(tone - border.tone).max() > ALIKE:
        return None
    other = worst(profile - tone) > TOLD
    outside = np.flatnonzero(other[: sure.start])
    if not len(outside):
        return None
    edge = int(outside[-1])
    goes_on = other[max(0, edge - round(0.4 * px)) : edge + 1]
    return (edge + 1 - line) / px if goes_on.all() else None


def width_outside(scene: Scene, blocked: Array, a: Points, b: Points, tone: Array) -> float | None:
    """How far (mm) paper of a tone goes on outside a side; None where the lid has nearly the same tone."""
    mm, step = scene.mm, max(1.0, scene.mm / 6)
    outer = FOOT_MM * mm
    band = take_band(scene.pixels, blocked, a, b, outer, 0.0, step)
    if band is None:
        return None
    lid = lid_under(band, scene)
    unlike = tone - lid
    size = np.einsum("bsc,bsc->bs", unlike, unlike)
    if np.sqrt(np.median(size)) < TOLD:
        return None
    share = np.einsum("bsc,bsc->bs", band.profile - lid, unlike) / np.maximum(size, 1.0)
    # Where others lie there is none.
    share[:, band.clear.sum(axis=0) < 0.5 * len(share)] = 0
    first = round(FIRST_MM * mm / step)  # nearer, the picture's own edge outshines a tone so like the lid's
    paper = np.median(np.where(band.clear, share, 0), axis=0)[::-1][first:]
    paper = cv2.blur(paper[None, :].astype(np.float32), (3, 1))[0]
    other = np.abs(paper - 1) > 0.5
    ends = np.flatnonzero(other[:-2] & other[1:-1] & other[2:])  # sharpening leaves a line beside the picture
    return float((ends[0] + first) * step / mm) if len(ends) else None
