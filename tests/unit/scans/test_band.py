"""Bands across a side: where their samples lie."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.scans.band import take_band


def ramp(dtype: type[np.unsignedinteger], unit: float) -> np.ndarray:
    """Its level at (x, y), in scan pixels, is 20 + x / 4 + y / 8."""
    y, x = np.mgrid[0:400, 0:400] + 0.5
    return np.asarray(np.rint((20 + x / 4 + y / 8) * unit), dtype)


@pytest.mark.parametrize(("dtype", "unit"), [(np.uint8, 1), (np.uint16, 257)])
def test_a_band_askew_is_sampled_where_its_axes_lie(dtype: type[np.unsignedinteger], unit: float) -> None:
    a, b = np.array([60.0, 80.0]), np.array([330.0, 130.0])
    band = take_band(ramp(dtype, unit), None, a, b, 20.0, 30.0, 1.5)
    assert band is not None
    across = np.arange(band.profile.shape[1]) * band.step - band.outer
    on = a + band.positions[:, None, None] * band.along + across[:, None] * band.inward
    assert np.abs(band.profile[..., 0] - (20 + on[..., 0] / 4 + on[..., 1] / 8)).max() < 0.5
    assert band.clear.all()


def test_what_lies_off_the_scan_or_under_another_print_is_not_clear() -> None:
    blocked = np.zeros((100, 100), np.uint8)
    blocked[:, 50:] = 1
    band = take_band(
        ramp(np.uint8, 1), blocked, np.array([10.0, 10.0]), np.array([390.0, 10.0]), 20.0, 20.0, 1.0
    )
    assert band is not None
    assert not band.clear[:, :10].any()
    assert band.clear[:20, 12:].all()
    assert not band.clear[30:].any()
