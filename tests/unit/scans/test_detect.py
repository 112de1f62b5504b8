"""The detection's promises on composed scans, small enough for every run. The figures: benchmarks/scans."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.scans.compose import Placed, compose
from benchmarks.scans.score import judge
from bridge.scans.detect import detect
from tests.unit.scans.scenes import picture

DPI = 150


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "category",
    ["standard", "edge_bar", "touching", "joined_by_bar", "overedge", "dark_lid", "lowcontrast_bw"],
)
def test_every_print_is_found_whole_and_alone(category: str, seed: int) -> None:
    scan = compose(category, 9000 + seed, DPI)
    photos = detect(scan.pixels, DPI).photos
    verdict = judge(scan, [photo.quad for photo in photos])
    assert not (verdict.lost or verdict.cut or verdict.split), verdict.faults()
    assert verdict.merged == 0 or all(photo.confidence <= 0.9 for photo in photos), verdict.faults()


@pytest.mark.parametrize("seed", range(3))
def test_an_empty_glass_gives_no_photo(seed: int) -> None:
    assert detect(compose("empty_scan", 9000 + seed, DPI).pixels, DPI).photos == []


@pytest.mark.parametrize("seed", range(3))
def test_a_letter_is_one_page(seed: int) -> None:
    assert len(detect(compose("not_photos", 9000 + seed, DPI).pixels, DPI).photos) == 1


def test_a_photo_that_fills_the_glass_is_one_photo() -> None:
    scan = compose("single_full_bleed", 9003, DPI)
    photos = detect(scan.pixels, DPI).photos
    assert len(photos) == 1
    assert judge(scan, [photos[0].quad]).perfect


def test_corners_are_sub_pixel_exact_and_told_in_the_pixel_edge_convention() -> None:
    scan = compose("standard", 9001, 300)
    verdict = judge(scan, [photo.quad for photo in detect(scan.pixels, 300).photos])
    assert verdict.corners
    assert float(np.median(verdict.corners)) < 0.05
    assert float(np.median(verdict.angles)) < 0.05


def test_grey_and_sixteen_bit_scans_give_the_same_photos_as_eight_bit_colour() -> None:
    scan = compose("standard", 9002, DPI).pixels
    if scan.dtype == np.uint16:
        scan = (scan >> 8).astype(np.uint8)
    colour = scan if scan.ndim == 3 else cv2.cvtColor(scan, cv2.COLOR_GRAY2RGB)
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    wanted = sorted(photo.quad.mean(axis=0).tolist() for photo in detect(colour, DPI).photos)
    for other in (grey, colour.astype(np.uint16) * 257):
        found = sorted(photo.quad.mean(axis=0).tolist() for photo in detect(other, DPI).photos)
        assert np.allclose(found, wanted, atol=1.0)


def test_a_horizon_across_the_picture_does_not_split_it() -> None:
    scan = np.full((1750, 1240, 3), 238, np.uint8)
    rng = np.random.default_rng(3)
    face = np.empty((590, 885, 3), np.float32)
    face[:300] = [150, 180, 220]
    face[300:] = [40, 80, 95]
    ripple = cv2.GaussianBlur(rng.normal(0, 60, face.shape[:2]).astype(np.float32), (0, 0), 2)
    wobble = np.rint(np.cumsum(rng.normal(0, 0.3, face.shape[1]))).astype(int)
    for x, dy in enumerate(wobble):
        face[:, x] = np.roll(face[:, x], dy, axis=0)
    scan[400:990, 150:1035] = np.clip(face + ripple[:, :, None], 0, 255)
    assert len(detect(scan, DPI).photos) == 1


def test_the_example_print_is_where_it_was_put() -> None:
    quad = Placed(105, 148, 100, 150, 5).quad()
    assert np.hypot(*(quad[1] - quad[0])) == pytest.approx(100)
    assert np.hypot(*(quad[2] - quad[1])) == pytest.approx(150)


def test_four_prints_in_a_square_are_parted_by_the_bars_between_them() -> None:
    scan = compose("joined_by_bar", 1500056, 300)
    verdict = judge(scan, [photo.quad for photo in detect(scan.pixels, 300).photos])
    assert verdict.truth == 4
    assert verdict.merged == 0, verdict.faults()


def test_the_shadow_beside_a_white_border_is_no_photo() -> None:
    scan = compose("white_border_prints", 1500037, 300)
    verdict = judge(scan, [photo.quad for photo in detect(scan.pixels, 300).photos])
    assert verdict.extra == 0, verdict.faults()


def on_the_lid(*places: tuple[int, int, int, int]) -> np.ndarray:
    """Pictures on a lid at 150 DPI, by left, top, width and height in pixels."""
    scan = np.full((1750, 1240, 3), 238, np.uint8)
    for n, (x, y, w, h) in enumerate(places):
        scan[y : y + h, x : x + w] = picture(w, h, n)
    return scan


def test_prints_that_meet_at_a_corner_are_all_found() -> None:
    photos = detect(on_the_lid((200, 300, 240, 360), (438, 658, 500, 380)), DPI).photos
    assert len(photos) == 2


def test_prints_that_a_bridge_of_shadow_joins_are_told_apart() -> None:
    scan = on_the_lid((200, 300, 240, 360), (470, 600, 500, 380))
    scan[620:655, 440:470] = 215
    assert len(detect(scan, DPI).photos) == 2


def test_a_picture_in_a_frame_with_the_lids_tone_between_is_one_print() -> None:
    scan = on_the_lid((200, 300, 700, 900))
    scan[400:1100, 300:800] = 238
    scan[520:980, 400:700] = picture(300, 460, 7)
    photos = detect(scan, DPI).photos
    assert len(photos) == 1
    assert photos[0].confidence < 0.9


def test_a_photo_that_fills_the_glass_with_one_even_tone_is_not_lost() -> None:
    scan = on_the_lid()
    cv2.line(scan, (300, 400), (420, 700), (150, 150, 150), 26, cv2.LINE_AA)
    for y in (100, 900, 1400):
        scan[y : y + 240, :28] = 170
    (photo,) = detect(scan, DPI).photos
    assert photo.quad.tolist() == [[0, 0], [1240, 0], [1240, 1750], [0, 1750]]
    assert photo.notes == ["no edge of a print in sight"]


def test_a_smudge_on_a_glass_with_a_strip_at_its_border_is_no_photo() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (1750, 1240, 3))
    scan = np.clip(on_the_lid() + noise, 0, 255).astype(np.uint8)
    scan[100:600, :30] = 170
    cv2.ellipse(scan, (700, 900), (150, 120), 0, 0, 360, (231, 231, 231), -1)
    assert detect(cv2.GaussianBlur(scan, (0, 0), 2), DPI).photos == []


def test_a_smudge_that_joins_a_print_on_one_side_is_left_out() -> None:
    scan = on_the_lid()
    cv2.ellipse(scan, (550, 460), (120, 90), 0, 0, 360, (226, 226, 226), -1)
    scan = cv2.GaussianBlur(scan, (0, 0), 12)
    scan[500:1200, 300:800] = picture(500, 700, 0)
    (photo,) = detect(scan, DPI).photos
    assert np.allclose(photo.quad, [[300, 500], [800, 500], [800, 1200], [300, 1200]], atol=3)


@pytest.mark.parametrize("dpi", [20, 22, 24, 25, 26, 27, 30, 39, 50])
def test_a_resolution_in_which_hardly_anything_is_to_be_seen_is_borne(dpi: int) -> None:
    mm, rng = dpi / 25.4, np.random.default_rng(dpi)
    scan = 235 + rng.normal(0, 1, (int(297 * mm), int(210 * mm), 3))
    face = scan[int(50 * mm) : int(200 * mm), int(40 * mm) : int(140 * mm)]
    face[:] = rng.uniform(0, 200, face.shape)
    assert len(detect(np.clip(scan, 0, 255).astype(np.uint8), float(dpi)).photos) <= 1


@pytest.mark.parametrize("wide", range(238, 243))
def test_a_piece_that_is_just_as_wide_as_two_prints_is_borne(wide: int) -> None:
    scan = np.full((560, 640, 3), 238, np.uint8)
    scan[100:400, 200 : 200 + wide] = picture(wide, 300, 3)
    assert len(detect(scan, 127.0).photos) == 1
