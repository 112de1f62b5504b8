from __future__ import annotations

import numpy as np
import pytest

from bridge.scans.arrays import Array
from bridge.scans.geometry import frame
from bridge.scans.settle import Found
from bridge.scans.torn import mend
from tests.unit.scans.scenes import LID, lid, picture, scanned

X0, X1, TOP, BOTTOM = 200, 800, 100, 800
GAP = slice(400, 460)


def parts(shift: float = 0.0, confidence: float = 0.7) -> list[Found]:
    def found(y0: float, y1: float, x: float, sure: float) -> Found:
        return Found(frame(X1 - X0, y1 - y0) + np.array([x, y0]), sure, True, 0.0)

    return [found(GAP.stop, BOTTOM, X0 + shift, 0.9), found(TOP, GAP.start, X0, confidence)]


def torn(wave: float = 0.0) -> Array:
    """A picture with a stripe of the lid's tone all across, straight or as wavy as clouds are, in pixels."""
    canvas = lid()
    canvas[TOP:BOTTOM, X0:X1] = picture(X1 - X0, BOTTOM - TOP, 7)
    for x in range(X0, X1):
        by = round(wave * np.sin(x / 25))
        canvas[GAP.start + by : GAP.stop + by, x] = LID
    return canvas


def test_the_two_parts_of_one_print_are_made_one_and_said_to_be_unsure() -> None:
    for found in (parts(), parts()[::-1]):
        (whole,) = mend(scanned(torn(wave=20)), found)
        assert whole.quad == pytest.approx(np.array([[X0, TOP], [X1, TOP], [X1, BOTTOM], [X0, BOTTOM]]))
        assert whole.confidence == 0.7
        assert whole.notes == ["may be more than one photo"]


def test_prints_that_end_where_they_face_each_other_stay_two() -> None:
    assert len(mend(scanned(torn()), parts())) == 2


@pytest.mark.parametrize("found", [parts(shift=8), parts(confidence=0.95)], ids=["askew", "sure"])
def test_prints_that_were_laid_side_by_side_or_are_sure_stay_two(found: list[Found]) -> None:
    assert len(mend(scanned(torn(wave=20)), found)) == 2


def test_parts_of_which_one_ends_where_they_face_each_other_stay_two() -> None:
    canvas = torn(wave=20)
    canvas[GAP.start - 25 : GAP.start, X0:X1] = picture(X1 - X0, 25, 8)
    canvas[GAP.start : GAP.start + 25, X0:X1] = LID
    assert len(mend(scanned(canvas), parts())) == 2


def test_two_parts_with_a_sure_print_between_them_stay_two() -> None:
    above, below = parts()[::-1]
    between = Found(frame(X1 - X0, 30) + np.array([X0, GAP.start + 15.0]), 0.95, True, 0.0)
    assert len(mend(scanned(torn(wave=20)), [above, between, below])) == 3


def test_two_that_overlap_and_are_unsure_are_one() -> None:
    one = Found(frame(400, 300) + np.array([X0, TOP]), 0.6, True, 0.0)
    other = Found(frame(300, 400) + np.array([X0 + 250.0, TOP + 50.0]), 0.55, True, 0.0)
    (whole,) = mend(scanned(torn()), [one, other])
    right, bottom = X0 + 550.0, TOP + 450.0
    assert whole.quad == pytest.approx(np.array([[X0, TOP], [right, TOP], [right, bottom], [X0, bottom]]))
    one.confidence = 0.95
    assert len(mend(scanned(torn()), [one, other])) == 2
