from __future__ import annotations

from bridge.scans.boxes import Box, Cut, halve, in_row


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
