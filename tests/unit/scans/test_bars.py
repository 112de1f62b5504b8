from __future__ import annotations

import numpy as np
import pytest

from bridge.scans.bars import find_bars
from tests.unit.scans.scenes import LID, MM, lid, picture

DEEP = 8


def barred() -> np.ndarray:
    canvas = lid()
    canvas[200:500, :400] = picture(400, 300, 1)
    canvas[:, :DEEP] = 60
    return canvas.astype(np.uint8)


def test_a_bar_is_as_deep_as_it_is_and_the_other_sides_have_none() -> None:
    bars = find_bars(barred(), MM)
    assert bars.left == pytest.approx(np.full(900, DEEP), abs=0.6)
    assert not bars.right.any()
    assert not bars.top[DEEP + 1 :].any()


def test_a_dark_picture_behind_a_bar_does_not_make_it_deeper() -> None:
    canvas = barred()
    canvas[200:500, DEEP:50] = 70
    bars = find_bars(canvas, MM)
    assert bars.left == pytest.approx(np.full(900, DEEP), abs=0.6)


def test_a_bar_goes_on_where_a_picture_of_its_tone_hides_its_end() -> None:
    canvas = barred()
    canvas[500:, DEEP:300] = 64
    bars = find_bars(canvas, MM)
    assert bars.left == pytest.approx(np.full(900, DEEP), abs=0.6)


def test_a_scan_without_bars_has_none() -> None:
    bars = find_bars(np.full((300, 300, 3), LID, np.uint8), MM)
    assert not any(side.any() for side in (bars.left, bars.right, bars.top, bars.bottom))
