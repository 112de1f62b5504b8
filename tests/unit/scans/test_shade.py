from __future__ import annotations

import cv2
import numpy as np
import pytest

from bridge.scans.shade import INSIDE, OUTSIDE, shift

LID, PAPER = 245.0, 227.0


def profile(edge: float, shadow: float, inside: float = 0.0, seed: int = 1) -> np.ndarray:
    """Paper from `edge` on behind a shadow so many levels deep, which begins some four samples before;
    `inside` levels a sample by which the print gets darker inwards."""
    fine = np.arange(-OUTSIDE - 2, INSIDE + 2, 0.02)
    outside = LID - shadow / (1 + np.exp((edge - 2.2 - fine) / 0.8))
    steep = np.where(fine < edge, outside, PAPER - inside * (fine - edge))
    soft = cv2.GaussianBlur(steep[None, :], (0, 0), 0.8 / 0.02)[0]
    mean = np.interp(np.arange(-OUTSIDE, INSIDE + 1.0), fine, soft)
    noise = np.random.default_rng(seed).normal(0, 0.3, (48, len(mean), 3))
    return np.asarray(mean[None, :, None] + noise, np.float32)


@pytest.mark.parametrize("edge", [0.6, 1.5, 2.4])
def test_paper_begins_where_its_shadow_is_darkest_and_not_where_it_is_steepest(edge: float) -> None:
    assert shift(profile(edge, 28)) == pytest.approx(edge, abs=0.35)


def test_a_plain_step_stays_where_it_is() -> None:
    assert abs(shift(profile(0, 0))) <= 0.1


def test_a_picture_that_fades_into_its_edge_is_no_paper() -> None:
    assert shift(profile(0, 10, inside=2)) == 0
