"""Sums along slanted lines, against the plain formula."""

import numpy as np
import pytest

from bridge.scans.slants import sums


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_sum_down_each_line_is_what_adding_its_places_gives(channels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    value = rng.random((7, 20, *channels))
    shifts = np.rint(np.arange(-5, 6)[:, None] * np.linspace(-0.5, 0.5, 7)).astype(int)
    found = sums(value, shifts)
    for line, shift in enumerate(shifts):
        for place in range(20):
            crossed = [value[row, place + by] for row, by in enumerate(shift) if 0 <= place + by < 20]
            assert found[line, place] == pytest.approx(sum(crossed))
