from __future__ import annotations

import numpy as np
import pytest

from bridge.scans.arrays import Array
from bridge.scans.teeth import teeth
from tests.unit.scans.scenes import LID, MM, lid, scanned

LEFT = 400


def scalloped(deep_mm: float, contrast: float) -> Array:
    """Paper whose left side goes to and fro between LEFT and `deep_mm` to the right of it."""
    canvas = lid()
    y, x = np.mgrid[0:900, 0:1000]
    edge = LEFT + deep_mm * MM * (0.5 + 0.5 * np.sin(2 * np.pi * y / (2.6 * MM)))
    canvas += (contrast * np.clip(x - edge + 0.5, 0, 1))[:, :, None]
    return canvas


@pytest.mark.parametrize("contrast", [-25.0, 12.0])
def test_a_line_at_the_bottom_of_scallops_is_told_how_far_they_reach(contrast: float) -> None:
    scene = scanned(scalloped(0.6, contrast))
    bottom = LEFT + 0.6 * MM
    out = teeth(scene, None, np.array([bottom, 850]), np.array([bottom, 50]))
    assert out == pytest.approx(0.6 * MM, abs=0.15 * MM)


@pytest.mark.parametrize("contrast", [-120.0, -25.0, 5.0])
def test_a_straight_side_has_no_teeth(contrast: float) -> None:
    scene = scanned(scalloped(0.0, contrast))
    assert teeth(scene, None, np.array([float(LEFT), 850]), np.array([float(LEFT), 50])) == 0


def test_a_picture_that_goes_up_to_the_side_is_no_paper_with_teeth() -> None:
    canvas = lid()
    rng = np.random.default_rng(1)
    canvas[:, LEFT:] = np.repeat(np.repeat(rng.uniform(20, 200, (90, 60, 1)), 10, 0), 10, 1) + np.zeros(3)
    assert teeth(scanned(canvas), None, np.array([float(LEFT), 850]), np.array([float(LEFT), 50])) == 0


def test_a_side_too_short_to_tell_has_none() -> None:
    scene = scanned(lid() - LID / 2)
    assert teeth(scene, None, np.array([400.0, 450]), np.array([400.0, 400])) == 0
