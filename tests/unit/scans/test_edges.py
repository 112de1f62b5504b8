from __future__ import annotations

import cv2
import numpy as np
import pytest

from bridge.scans.edges import Side, find_side
from tests.unit.scans.scenes import LID, MM, lid, picture, scanned

LEFT = 400


def side_of(canvas: np.ndarray, rough: float = LEFT) -> Side | None:
    """The left side of what lies right of `rough`, which runs from the bottom up: the print on its right."""
    a, b = np.array([rough, 850.0]), np.array([rough, 50.0])
    return find_side(scanned(canvas), None, a, b, (8.0, 6.0))


def test_a_side_is_found_to_a_hundredth_of_a_millimetre() -> None:
    canvas = lid()
    canvas[40:860, LEFT:] = picture(1000 - LEFT, 820, 1)
    side = side_of(canvas, LEFT - 9)
    assert side is not None
    assert side.support > 0.9
    assert side.point[0] == pytest.approx(LEFT, abs=0.01 * MM)


@pytest.mark.parametrize("width_mm", [0.5, 0.8, 1.2])
def test_a_shadow_is_left_outside_and_white_paper_inside(width_mm: float) -> None:
    covered = np.zeros((900, 1000), np.float32)
    covered[40:860, LEFT:] = 1
    moved = np.roll(covered, -round(width_mm * MM), axis=1)
    shade = cv2.GaussianBlur(moved, (0, 0), 0.5 * width_mm * MM)[:, :, None]
    canvas = lid() * (1 - 0.12 * shade)
    canvas[40:860, LEFT:] = LID + 3
    canvas[40 + 50 : 860 - 50, LEFT + 50 :] = picture(550, 720, 2)
    side = side_of(canvas, LEFT - 5)
    assert side is not None
    assert side.point[0] == pytest.approx(LEFT, abs=0.1 * MM)


def test_paper_four_levels_from_the_lid_is_seen_although_noise_is_as_strong() -> None:
    canvas = lid()
    canvas[40:860, LEFT:] = LID - 4
    canvas[90:810, LEFT + 50 :] = picture(550, 720, 3)
    a, b = np.array([LEFT + 50.0, 850]), np.array([LEFT + 50.0, 50])
    side = find_side(scanned(canvas, noise=4.0), None, a, b, (8.0, 6.0))
    assert side is not None
    assert side.point[0] == pytest.approx(LEFT, abs=0.1 * MM)


def test_a_hair_outside_a_print_is_no_side() -> None:
    canvas = lid()
    canvas[40:860, LEFT:] = picture(600, 820, 4)
    cv2.line(canvas, (LEFT - 40, 100), (LEFT - 38, 300), (90.0, 90.0, 90.0), 1, cv2.LINE_AA)
    side = side_of(canvas)
    assert side is not None
    assert side.point[0] == pytest.approx(LEFT, abs=0.02 * MM)


def test_a_side_off_the_scan_is_none() -> None:
    assert side_of(lid(), -60.0) is None


def test_a_print_behind_a_deep_shadow_is_told_from_the_shadow_s_beginning() -> None:
    canvas = lid()
    canvas[40:860, LEFT:] = picture(600, 820, 4)
    ramp = round(1.1 * MM)
    canvas[40:860, LEFT - ramp : LEFT] -= 24 * (np.arange(ramp)[None, :, None] / ramp) ** 1.6
    side = side_of(canvas, LEFT - 10)
    assert side is not None
    assert side.point[0] == pytest.approx(LEFT, abs=0.05 * MM)
