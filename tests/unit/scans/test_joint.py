from __future__ import annotations

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.joint import Joint, look, parts_again, parts_notched, parts_whole
from tests.unit.scans.scenes import LID, lid, picture, scanned

SEAM = 500


def joint(canvas: Array) -> Joint:
    found = look(scanned(canvas), np.array([SEAM + 2.0, 850]), np.array([SEAM + 2.0, 50]))
    assert found is not None
    return found


def test_two_prints_side_by_side_have_a_step_all_along_and_nothing_in_common() -> None:
    canvas = lid()
    canvas[30:870, 50:SEAM] = picture(SEAM - 50, 840, 1)
    canvas[30:870, SEAM:950] = picture(950 - SEAM, 840, 2)
    seen = joint(canvas)
    assert seen.hit > 0.95
    assert seen.top > 0.75
    assert seen.alike < 0.4
    assert seen.lean < 0.1
    assert not seen.has_strip


def test_a_shadow_across_one_picture_has_the_same_light_and_shade_on_both_sides() -> None:
    canvas = lid()
    canvas[30:870, 50:950] = 2 * cv2.GaussianBlur(picture(900, 840, 3), (0, 0), 12) - 120
    canvas[30:870, SEAM:950] *= 0.6
    assert joint(canvas).alike > 0.6


def test_a_line_that_is_bent_or_soft_or_gone_for_a_while_is_no_joint() -> None:
    straight = picture(900, 840, 4)
    other = picture(900, 840, 5)
    y, x = np.mgrid[0:840, 0:900]
    bent = np.where((x > SEAM - 50 + 12 * np.sin(y / 90))[:, :, None], other, straight)
    gone = np.where(((x > SEAM - 50) & (y > 300))[:, :, None], other, straight)
    share = np.clip((x - SEAM + 50) / 24 + 0.5, 0, 1)[:, :, None]
    soft = straight * (1 - share) + other * share
    for face in (bent, gone, soft):
        canvas = lid()
        canvas[30:870, 50:950] = face
        found = look(scanned(canvas), np.array([SEAM + 2.0, 850]), np.array([SEAM + 2.0, 50]))
        assert found is None or found.hit < 0.9 or found.top < 0.7


def test_a_bar_between_two_prints_is_measured() -> None:
    canvas = lid()
    canvas[30:870, 50:SEAM] = picture(SEAM - 50, 840, 6)
    canvas[30:870, SEAM : SEAM + 8] = 30
    canvas[30:870, SEAM + 8 : 950] = picture(942 - SEAM, 840, 7)
    seen = joint(canvas)
    assert seen.has_strip
    assert 7 <= seen.strip[1] - seen.strip[0] <= 12


def test_nothing_of_a_narrow_bar_is_left_between_pictures_as_dark_as_bright() -> None:
    canvas = lid()
    canvas[30:870, 50:SEAM] = 60
    canvas[30:870, SEAM : SEAM + 5] = 0
    canvas[30:870, SEAM + 5 : 950] = 220
    seen = joint(canvas)
    # Seen from below, offsets grow to the right.
    stop, start = (float(seen.start[0]) + edge for edge in seen.strip)
    assert SEAM - 1.5 < stop < SEAM
    assert SEAM + 5 < start < SEAM + 6.5


def test_a_narrow_bar_before_an_even_picture_is_measured() -> None:
    canvas = lid()
    canvas[30:870, 50:SEAM] = picture(SEAM - 50, 840, 6)
    canvas[30:870, SEAM : SEAM + 5] = 20
    canvas[30:870, SEAM + 5 : 950] = 190
    seen = joint(canvas)
    assert 4 <= seen.strip[1] - seen.strip[0] <= 8


def test_a_dark_picture_at_a_joint_is_no_bar() -> None:
    canvas = lid()
    canvas[30:870, 50:SEAM] = picture(SEAM - 50, 840, 6)
    canvas[30:870, SEAM:950] = 0.5 * picture(950 - SEAM, 840, 7)
    canvas[30:870, SEAM : SEAM + 30] = 30 + 0.1 * picture(30, 840, 9)
    assert not joint(canvas).has_strip


def test_an_even_strip_of_sky_is_neither_gap_nor_bar() -> None:
    canvas = lid()
    canvas[30:870, 50:950] = picture(900, 840, 8)
    canvas[30:870, SEAM : SEAM + 10] = [150, 190, 240]
    assert not joint(canvas).has_strip


def test_the_lid_between_two_prints_is_a_gap_and_a_sky_of_its_tone_with_a_tree_in_it_is_none() -> None:
    canvas = lid()
    canvas[30:870, 50:950] = picture(900, 840, 8)
    canvas[30:870, SEAM : SEAM + 10] = LID
    seen = joint(canvas)
    assert 9 <= seen.strip[1] - seen.strip[0] <= 13
    canvas[100:200, SEAM : SEAM + 10] = 60
    assert not joint(canvas).has_strip


def test_joints_are_looked_at_in_low_resolution_too() -> None:
    canvas = lid()
    canvas[30:870, 50:950] = picture(900, 840, 9)
    small = cv2.resize(canvas, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    scene = scanned(small)
    low = type(scene)(scene.pixels, scene.half, scene.half_scale, scene.mm / 4, scene.lid)
    found = look(low, np.array([125.0, 210]), np.array([125.0, 15]))
    assert found is None or 0 <= found.hit <= 1


def line(**how: float | tuple[float, float]) -> Joint:
    """A line without a fault, but for what is told."""
    clear = {"hit": 1.0, "top": 1.0, "alike": 0.0, "lean": 0.0, "moved": 0.0, "strip": (0.0, 0.0)}
    return Joint(np.zeros(2), np.ones(2), **(clear | how))  # type: ignore[arg-type]


def test_loose_prints_may_lean_each_its_own_way_where_the_outline_steps_by_much() -> None:
    assert parts_notched(line(lean=1.3), notch=0.4)
    assert not parts_notched(line(lean=1.3), notch=0.05)
    assert not parts_notched(line(lean=1.3, top=0.6), notch=0.4)
    assert not parts_notched(line(lean=2.5), notch=0.4)


def test_where_the_outline_steps_prints_that_know_nothing_of_each_other_need_a_less_clear_line() -> None:
    assert parts_notched(line(hit=0.82, top=0.48), notch=0.12)
    assert not parts_notched(line(hit=0.82, top=0.48, alike=0.3), notch=0.12)
    assert not parts_notched(line(top=0.3), notch=0.12)


def test_a_clear_line_where_one_is_expected_may_lean() -> None:
    assert parts_again(line(lean=0.5, hit=0.95, top=0.75))
    assert not parts_again(line(lean=0.5, hit=0.8))
    assert not parts_again(line(lean=0.5, alike=0.3))


def test_a_bar_in_the_very_middle_of_restless_pictures_is_believed_sooner() -> None:
    bar = line(strip=(0.0, 8.0), top=0.4)
    assert parts_whole(bar, 0.75, 0.2, equal=True, ruled=False, format_=True)
    assert not parts_whole(bar, 0.75, 9.0, equal=False, ruled=False, format_=True)
    assert not parts_whole(
        line(strip=(0.0, 8.0), alike=0.5), 0.75, 0.2, equal=True, ruled=False, format_=True
    )


def test_two_prints_of_one_format_are_believed_sooner_the_more_exactly_they_are_halves() -> None:
    gone_for_a_while = line(hit=0.88, top=0.65)
    assert parts_whole(gone_for_a_while, 0.75, 0.1, equal=True, ruled=False, format_=True)
    assert not parts_whole(gone_for_a_while, 0.75, 0.5, equal=True, ruled=False, format_=True)
    assert not parts_whole(gone_for_a_while, 0.75, 0.1, equal=True, ruled=False, format_=False)
    assert not parts_whole(line(hit=0.88, top=0.65, alike=0.3), 0.75, 0.1, True, False, True)


def test_two_pictures_that_are_a_little_alike_need_a_step_that_is_clear_everywhere() -> None:
    assert parts_whole(line(alike=0.45), 0.9, 0.2, equal=True, ruled=False, format_=True)
    assert not parts_whole(line(alike=0.45, top=0.8), 0.9, 0.2, equal=True, ruled=False, format_=True)
    assert not parts_whole(line(alike=0.6), 0.9, 0.2, equal=True, ruled=False, format_=True)
