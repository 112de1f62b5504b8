from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.scans.paper import (
    Border,
    all_round,
    begins,
    border_inside,
    is_inside,
    is_lid,
    same,
    width_outside,
)
from tests.unit.scans.scenes import LID, MM, lid, picture, scanned

LEFT, WIDTH = 300, round(4 * MM)
A, B = np.array([float(LEFT), 850.0]), np.array([float(LEFT), 50.0])
INNER = np.array([float(WIDTH), 0.0])


def bordered(paper: float) -> np.ndarray:
    canvas = lid()
    canvas[40:860, LEFT:] = paper
    canvas[90:810, LEFT + WIDTH :] = picture(1000 - LEFT - WIDTH, 720, 3)
    return canvas


def nothing() -> np.ndarray:
    return np.zeros((225, 250), np.uint8)


def test_a_border_has_one_tone_and_ends_where_the_picture_begins() -> None:
    border = border_inside(scanned(bordered(LID + 8)), A, B)
    assert border is not None
    assert border.tone == pytest.approx([LID + 8] * 3, abs=1)
    assert border.width == pytest.approx(4, abs=0.2)


def test_a_picture_without_a_border_and_even_paper_without_a_picture_have_none() -> None:
    assert border_inside(scanned(bordered(LID + 8)), A + INNER, B + INNER) is None
    canvas = lid()
    canvas[40:860, LEFT:] = LID + 8
    assert border_inside(scanned(canvas), A, B) is None


def test_a_side_off_the_scan_has_neither_border_nor_paper() -> None:
    scene, off = scanned(bordered(LID + 8)), np.array([-500.0, 0])
    assert border_inside(scene, A + off, B + off) is None
    assert not is_inside(scene, A + off, B + off, np.full(3, LID))
    assert width_outside(scene, nothing(), A + off, B + off, np.full(3, LID + 8)) is None


def test_the_border_of_a_print_is_the_one_that_most_sides_have() -> None:
    white, grey = Border(np.full(3, 245.0), 4.0), Border(np.full(3, 180.0), 7.0)
    common = same([white, None, grey, Border(np.full(3, 243.0), 4.4)])
    assert common is not None
    assert common.width == pytest.approx(4.2)
    assert same([None, None]) is None


def test_paper_is_known_by_its_tone() -> None:
    scene = scanned(bordered(LID + 8))
    assert is_inside(scene, A, B, np.full(3, LID + 8))
    assert not is_inside(scene, A + INNER, B + INNER, np.full(3, LID + 8))


@pytest.mark.parametrize("unlike", [3, -3, 10])
def test_paper_hardly_told_from_the_lid_is_followed_to_its_end(unlike: float) -> None:
    scene = scanned(bordered(LID + unlike))
    width = width_outside(scene, nothing(), A + INNER, B + INNER, np.full(3, LID + unlike))
    assert width == pytest.approx(4, abs=0.4)


def test_paper_of_the_lids_own_tone_cannot_be_followed() -> None:
    scene = scanned(bordered(LID + 1))
    assert width_outside(scene, nothing(), A + INNER, B + INNER, np.full(3, LID + 1)) is None


PICTURE = np.array([[360.0, 300], [760, 300], [760, 620], [360, 620]])
SIDES = [(PICTURE[n], PICTURE[(n + 1) % 4]) for n in range(4)]


def framed(*levels: float) -> np.ndarray:
    """A picture on the lid with rings about it, a millimetre each, so many levels off the lid."""
    canvas = lid()
    for n in range(len(levels), 0, -1):
        out = round(n * MM)
        canvas[300 - out : 620 + out, 360 - out : 760 + out] = LID + levels[n - 1]
    canvas[300:620, 360:760] = picture(400, 320, 3)
    return canvas


def test_a_border_of_one_tone_all_round_is_seen_by_its_tone_alone() -> None:
    border = all_round(scanned(framed(-3, -3, -3, -3)), nothing(), SIDES)
    assert border is not None
    assert border.width == pytest.approx(4, abs=0.3)
    assert border.tone == pytest.approx([LID - 3] * 3, abs=0.6)


def test_shadow_that_fades_and_a_tone_on_two_sides_are_no_border() -> None:
    assert all_round(scanned(framed(-8, -6, -4, -2)), nothing(), SIDES) is None
    half = framed(-3, -3, -3, -3)
    half[:300], half[300:620, :360] = LID, LID
    assert all_round(scanned(half), nothing(), SIDES) is None


def test_the_dark_even_sky_of_a_picture_is_no_border() -> None:
    canvas = bordered(LID + 8)
    canvas[40:860, LEFT : LEFT + WIDTH] = (71, 112, 171)
    assert border_inside(scanned(canvas), A, B) is None


@pytest.mark.parametrize("levels", [np.linspace(3, 11, 24), -np.linspace(1, 30, 24)], ids=["glare", "shadow"])
def test_paper_begins_where_glare_or_shadow_beside_it_has_ended(levels: np.ndarray) -> None:
    canvas = bordered(LID + 15)
    canvas[40:860, LEFT - len(levels) : LEFT] = LID + levels[None, :, None]
    outer = np.array([-float(len(levels)), 0.0])
    scene, border = scanned(canvas), Border(np.full(3, LID + 15), 4.0)
    assert begins(scene, nothing(), A + outer, B + outer, border) == pytest.approx(2, abs=0.2)
    assert begins(scene, nothing(), A, B, border) == pytest.approx(0, abs=0.2)
    inside = replace(border, width=3.0)
    assert begins(scene, nothing(), A - outer / 2, B - outer / 2, inside) == pytest.approx(-1, abs=0.2)


def test_where_paper_begins_is_not_told_by_another_tone_nor_under_other_prints() -> None:
    scene = scanned(bordered(LID + 15))
    assert begins(scene, nothing(), A, B, Border(np.full(3, LID - 15), 4.0)) is None
    assert begins(scene, np.ones_like(nothing()), A, B, Border(np.full(3, LID + 15), 4.0)) is None


def test_a_line_that_sharpening_left_beside_the_picture_does_not_end_its_border() -> None:
    canvas = framed(8, 8, 8, 8)
    before = width_outside(scanned(canvas), nothing(), *SIDES[0], np.full(3, LID + 8))
    line = round(300 - 0.7 * MM)
    canvas[line : line + 2, 360:760] = LID - 4
    after = width_outside(scanned(canvas), nothing(), *SIDES[0], np.full(3, LID + 8))
    assert before is not None
    assert after == pytest.approx(before, abs=0.2)


def test_a_border_of_the_very_tone_of_the_lid_may_be_the_lid() -> None:
    for tone, same_tone in ((LID + 0.5, True), (LID + 3, False)):
        border = border_inside(scanned(bordered(tone)), A, B)
        assert border is not None
        assert is_lid(scanned(bordered(tone)), A, B, border) is same_tone
