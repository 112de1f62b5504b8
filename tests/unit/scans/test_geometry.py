from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.scans.geometry import area, clip, clockwise, grown, meet, rectangle, sides, tilt
from bridge.scans.order import reading_order

angles = st.floats(-44.9, 44.9)
sizes = st.floats(10, 5000)


@given(angles, sizes, sizes)
def test_a_rectangles_angle_and_size_come_back(angle: float, w: float, h: float) -> None:
    quad = rectangle((100, 200), (w, h), angle)
    assert tilt(quad) == pytest.approx(angle, abs=1e-6)
    assert sides(quad) == pytest.approx((w, h))


@given(angles, st.integers(0, 3), st.booleans())
def test_corners_in_any_order_are_put_clockwise_from_the_top_left(
    angle: float, turn: int, mirrored: bool
) -> None:
    quad = rectangle((0, 0), (300, 200), angle)
    shuffled = np.roll(quad, turn, axis=0)[:: -1 if mirrored else 1]
    assert clockwise(shuffled) == pytest.approx(quad)


def test_lines_meet_where_they_cross() -> None:
    at = meet(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([3.0, 0.0]), np.array([0.0, 1.0]))
    assert at == pytest.approx([3, 1])


def test_reading_order_is_rows_then_columns() -> None:
    centres = [(500, 120), (100, 100), (300, 130), (120, 500), (480, 470)]
    quads = [rectangle(centre, (150, 200), 3) for centre in centres]
    assert reading_order(quads) == [1, 2, 0, 3, 4]


def test_reading_order_of_nothing_is_nothing() -> None:
    assert reading_order([]) == []


def test_a_quad_grows_by_as_much_on_every_side() -> None:
    quad = rectangle((100, 80), (60, 40), 7)
    assert np.allclose(grown(quad, 5), rectangle((100, 80), (70, 50), 7))


def test_quads_that_share_a_side_but_for_a_rounding_error_overlap() -> None:
    frame_ = np.array([[0, 0], [2480, 0], [2480, 3508], [0, 3508]], float)
    a = clip(np.array([[-120.03, 118.5], [1649.51, 134.9], [1638.56, 1315.7], [-130.98, 1299.29]]), frame_)
    b = clip(np.array([[-0.03, 119.41], [1649.6, 134.73], [1638.63, 1316.05], [-11.0, 1300.72]]), frame_)
    assert area(clip(a, b)) > 0.99 * area(a)
    assert not len(clip(a, a + 5000))
