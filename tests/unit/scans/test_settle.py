from __future__ import annotations

import numpy as np
import pytest

from bridge.scans.bars import find_bars
from bridge.scans.geometry import frame
from bridge.scans.seams import Leaf
from bridge.scans.settle import settle
from tests.unit.scans.scenes import LID, MM, lid, picture, scanned

BORDER = round(3.5 * MM)
X0, Y0, X1, Y1 = 150, 120, 850, 780


def found_from(rough: np.ndarray, paper: np.ndarray) -> tuple[np.ndarray, float]:
    """The quad and the confidence of a print with a border, found from a rough rectangle."""
    canvas = lid()
    canvas[Y0:Y1, X0:X1] = paper
    inner = picture(X1 - X0 - 2 * BORDER, Y1 - Y0 - 2 * BORDER, 5)
    canvas[Y0 + BORDER : Y1 - BORDER, X0 + BORDER : X1 - BORDER] = inner
    scene = scanned(canvas)
    found = settle(scene, np.zeros((225, 250), np.uint8), Leaf(rough), find_bars(scene.pixels, MM))
    return found.quad, found.confidence


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.asarray(frame(x1 - x0, y1 - y0) + np.array([x0, y0]))


def test_a_border_seen_on_some_sides_is_looked_for_on_the_side_that_lies_at_the_picture() -> None:
    paper = np.full((Y1 - Y0, X1 - X0, 3), LID - 12, np.float32)
    quad, confidence = found_from(box(X0, Y0, X1, Y1 - BORDER), paper)
    assert quad == pytest.approx(box(X0, Y0, X1, Y1), abs=0.1 * MM)
    assert confidence > 0.9


def test_a_border_that_melts_into_the_lid_on_one_side_is_lent_and_said_to_be_unsure() -> None:
    paper = np.full((Y1 - Y0, X1 - X0, 3), LID + 1, np.float32)
    for shaded in (paper[:4], paper[:, :4], paper[:, -4:]):
        shaded -= 60
    quad, confidence = found_from(box(X0, Y0, X1, Y1 - BORDER), paper)
    assert quad[2:, 1] == pytest.approx([Y1, Y1], abs=0.6 * MM)
    assert confidence <= 0.9


def test_no_border_is_lent_to_a_side_that_has_its_own() -> None:
    paper = np.full((Y1 - Y0, X1 - X0, 3), LID - 12, np.float32)
    quad, _ = found_from(box(X0 + BORDER, Y0 + BORDER, X1, Y1), paper)
    assert quad == pytest.approx(box(X0, Y0, X1, Y1), abs=0.1 * MM)


def test_glare_beside_a_print_without_a_border_is_none_of_it() -> None:
    canvas = lid()
    canvas[Y0:Y1, X0:X1] = picture(X1 - X0, Y1 - Y0, 5)
    wide = round(1.7 * MM)
    glare = 20 * np.minimum(1, np.arange(wide)[::-1] / (0.5 * wide))
    canvas[Y0:Y1, X1 : X1 + wide] = LID + glare[None, :, None]
    scene = scanned(canvas)
    leaf = Leaf(box(X0, Y0, X1 + wide, Y1))
    found = settle(scene, np.zeros((225, 250), np.uint8), leaf, find_bars(scene.pixels, MM))
    assert found.quad == pytest.approx(box(X0, Y0, X1, Y1), abs=0.1 * MM)
