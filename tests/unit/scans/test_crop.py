from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from bridge.scans.bars import find_bars
from bridge.scans.crop import cut
from bridge.scans.geometry import rectangle

NOISE = np.random.default_rng(1).integers(0, 256, (900, 700, 3), dtype=np.uint8)


@pytest.mark.parametrize("angle", [0.0, 0.02, -0.05, math.degrees(math.asin(0.99 / 500))])
def test_a_print_that_lies_straight_is_cut_out_bit_for_bit(angle: float) -> None:
    crop = cut(NOISE, rectangle((350.2, 450.3), (400.1, 500.0), angle), 255)
    assert not crop.turned
    assert crop.pixels.shape == (500, 400, 3)
    place = np.flatnonzero((crop.pixels[0, 0] == NOISE).all(axis=2).ravel())
    assert any(np.array_equal(NOISE[p // 700 :, p % 700 :][:500, :400], crop.pixels) for p in place), (
        "the crop is no part of the scan"
    )


def test_a_print_that_is_askew_by_more_than_a_pixel_is_turned() -> None:
    angle = math.degrees(math.asin(1.2 / 500))
    assert cut(NOISE, rectangle((350, 450), (400, 500), angle), 255).turned


@pytest.mark.parametrize("angle", [-12.0, -3.3, 0.7, 8.0, 30.0])
def test_turning_puts_every_pixel_where_it_belongs(angle: float) -> None:
    y, x = np.mgrid[0:800, 0:800] + 0.5
    turn = math.radians(angle)
    u = (x - 400) * math.cos(turn) + (y - 400) * math.sin(turn)
    ramp = np.clip(u * 40 + 32768, 0, 65535).astype(np.uint16)
    crop = cut(ramp, rectangle((400, 400), (300, 200), angle), 65535).pixels
    expected = ((np.arange(300) + 0.5 - 150) * 40 + 32768)[None, :]
    assert np.abs(crop[5:-5, 5:-5].astype(float) - expected[:, 5:-5]).max() < 6.0, "over 0.15 pixels off"


def test_what_lies_past_the_scans_edge_is_left_out_and_said() -> None:
    crop = cut(NOISE, rectangle((0, 450), (400, 500), 0), 255)
    assert crop.partial
    assert np.array_equal(crop.pixels, NOISE[200:700, 0:200])


def test_a_corner_without_picture_is_white_not_smeared() -> None:
    black = np.zeros((600, 600), np.uint8)
    crop = cut(black, rectangle((150, 300), (300, 300), 10), 255)
    assert crop.pixels[2, 2] == 255 or crop.pixels[-3, 2] == 255
    assert set(np.unique(crop.pixels[100:200, 100:200])) == {0}


def test_what_a_bar_hides_is_made_white() -> None:
    scan = np.full((1200, 900), 240, np.uint8)
    scan[300:900, 0:500] = cv2.resize(NOISE[:, :, 0], (500, 600)) // 2 + 90
    scan[:, :9] = 20
    bars = find_bars(scan, 300 / 25.4)
    assert bars.left.max() == pytest.approx(9, abs=1)
    crop = cut(scan, rectangle((250, 600), (480, 560), 2.5), 255, bars)
    assert crop.turned
    assert not (crop.pixels < 40).any()


def test_a_quad_off_the_scan_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        cut(NOISE, rectangle((5000, 5000), (100, 100), 0), 255)
