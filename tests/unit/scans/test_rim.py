from __future__ import annotations

import math

import numpy as np
import pytest

from bridge.scans.arrays import Array
from bridge.scans.rim import rim
from tests.unit.scans.scenes import MM, lid, picture, scanned

X0, Y0, X1, Y1 = 350, 300, 750, 600
BORDER = round(4 * MM)
SIDES = [
    (np.array(a, float), np.array(b, float))
    for a, b in (((X0, Y0), (X1, Y0)), ((X1, Y0), (X1, Y1)), ((X1, Y1), (X0, Y1)), ((X0, Y1), (X0, Y0)))
]
NOTHING = np.zeros((225, 250), np.uint8)


def framed(rims: int, teeth: float) -> Array:
    """A picture whose border has the lid's tone and, on some sides, a rim that is a little darker."""
    canvas = lid()
    along = np.arange(X0 - BORDER, X1 + BORDER)
    wave = np.rint(teeth * MM * np.sin(2 * math.pi * along / (2.6 * MM))).astype(int)
    for x, by in zip(along, wave, strict=True):
        if rims > 0:
            canvas[Y0 - BORDER + by - 3 : Y0 - BORDER + by, x] -= 6
        if rims > 1:
            canvas[Y1 + BORDER + by : Y1 + BORDER + by + 3, x] -= 6
    for y, by in zip(range(Y0 - BORDER, Y1 + BORDER), wave, strict=False):
        if rims > 2:
            canvas[y, X0 - BORDER + by - 3 : X0 - BORDER + by] -= 6
        if rims > 3:
            canvas[y, X1 + BORDER + by : X1 + BORDER + by + 3] -= 6
    canvas[Y0:Y1, X0:X1] = picture(X1 - X0, Y1 - Y0, 11)
    return canvas


@pytest.mark.parametrize("teeth", [0.0, 0.3])
@pytest.mark.parametrize("rims", [3, 4])
def test_a_rim_as_far_from_the_picture_on_all_sides_is_a_border_s(rims: int, teeth: float) -> None:
    found = rim(scanned(framed(rims, teeth)), NOTHING, SIDES)
    assert found == pytest.approx([4.0] * 4, abs=0.8)


@pytest.mark.parametrize("rims", [0, 1])
def test_a_line_on_one_side_is_no_rim(rims: int) -> None:
    assert rim(scanned(framed(rims, 0.3)), NOTHING, SIDES) == []


def test_where_other_prints_lie_all_about_no_rim_is_believed() -> None:
    crowded = framed(4, 0.0)
    full = np.ones_like(NOTHING)
    full[Y0 // 4 - 8 : Y1 // 4 + 8, X0 // 4 - 8 : X1 // 4 + 8] = 0
    assert rim(scanned(crowded), full, SIDES) == []


def test_two_sides_are_too_few() -> None:
    assert rim(scanned(framed(4, 0.3)), NOTHING, SIDES[:2]) == []


def test_a_scan_with_nothing_on_it_but_the_lid_has_no_rim() -> None:
    assert rim(scanned(lid()), NOTHING, SIDES) == []


def test_a_shadow_about_the_teeth_does_not_hide_the_rim() -> None:
    canvas = framed(4, 0.6)
    y, x = np.mgrid[0 : len(canvas), 0 : canvas.shape[1]]
    out = np.maximum(
        np.maximum(X0 - BORDER - x, x - X1 - BORDER), np.maximum(Y0 - BORDER - y, y - Y1 - BORDER)
    )
    canvas -= np.where(out > 0, 12 * np.exp(-out / MM), 0).astype(np.float32)[..., None]
    assert rim(scanned(canvas), NOTHING, SIDES) == pytest.approx([4.0] * 4, abs=1.0)
