from __future__ import annotations

from bridge.scans.boxes import Box, Cut, Edges, between, halve, in_row


def test_a_row_of_one_format_tells_its_next_seam_from_the_first() -> None:
    row = Box(0, 0, 500, 1600)
    first = Cut(False, 533.0, 533.0, 1.0, False)
    assert in_row(halve(row, first), 0, first, 7.0) is None
    expected = in_row(halve(row, first), 1, first, 7.0)
    assert expected is not None
    assert not expected.upright
    assert expected.stop == 1066.0
    last = Cut(False, 1066.0, 1066.0, 1.0, False)
    expected = in_row(halve(row, last), 0, last, 7.0)
    assert expected is not None
    assert expected.stop == 532.0


def test_a_longer_neighbour_says_nothing_of_a_seam() -> None:
    row = Box(0, 0, 500, 1600)
    cut = Cut(False, 600.0, 600.0, 1.0, False)
    assert in_row(halve(row, cut), 1, cut, 7.0) is None


def test_the_seam_between_two_boxes_is_where_they_lie_apart() -> None:
    across = between([Box(0, 0, 200, 100), Box(0, 104, 200, 200)])
    assert across is not None
    assert (across.upright, across.stop, across.start) == (False, 100, 104)
    seams: Edges = ("seam", "seam", "seam", "seam")
    in_grid = between([Box(100, 0, 200, 100, seams), Box(100, 100, 200, 200, seams)])
    assert in_grid is not None
    assert not in_grid.upright
    beside = between([Box(0, 0, 100, 200), Box(120, 0, 220, 200)])
    assert beside is not None
    assert (beside.upright, beside.stop, beside.start) == (True, 100, 120)
    assert between([Box(0, 0, 100, 200)]) is None
