from __future__ import annotations

import cv2
import numpy as np

from bridge.scans.edges import find_side
from bridge.scans.stripes import is_blocky, is_of_squares, is_stripe
from tests.unit.scans.scenes import MM, lid, picture, scanned

PRINT = slice(330, 620)
STRIPE, EDGE = 300, 400
A, B = np.array([float(STRIPE), 620.0]), np.array([float(STRIPE), 330.0])
HEIGHT = np.full(3, -4.0)
ASKEW, BESIDE = np.array([12.0, 0]), np.array([3.0, 0])


def striped() -> np.ndarray:
    canvas = lid()
    canvas[:, STRIPE : STRIPE + 12] -= 4
    canvas[PRINT, EDGE:] = picture(1000 - EDGE, 290, 1)
    return canvas


def test_a_line_that_goes_on_beyond_a_print_is_a_stripe_of_the_scanner() -> None:
    assert is_stripe(scanned(striped()), None, A, B, HEIGHT)


def test_a_line_that_ends_with_the_print_is_none() -> None:
    canvas = lid()
    canvas[PRINT, STRIPE:] -= 4
    canvas[PRINT, EDGE:] = picture(1000 - EDGE, 290, 1)
    assert not is_stripe(scanned(canvas), None, A, B, HEIGHT)


def test_a_line_that_runs_along_neither_rows_nor_columns_is_none() -> None:
    assert not is_stripe(scanned(striped()), None, A + ASKEW, B, HEIGHT)


def test_a_print_is_not_taken_to_begin_at_a_stripe() -> None:
    a, b = np.array([float(EDGE), 620.0]), np.array([float(EDGE), 330.0])
    side = find_side(scanned(striped()), None, a, b, (12.0, 6.0))
    assert side is not None
    assert abs(side.point[0] - EDGE) < 0.05 * MM


def test_a_scan_that_was_a_jpeg_is_known_by_its_squares() -> None:
    canvas = lid()
    canvas[PRINT, EDGE:] = picture(1000 - EDGE, 290, 1)
    pixels = scanned(canvas).pixels
    _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert is_blocky(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)))
    assert not is_blocky(pixels)
    assert not is_blocky(pixels[:, :30])
    assert not is_blocky(pixels.astype(np.uint16) * 257)


def test_a_faint_line_on_the_side_of_a_compressed_square_is_no_prints() -> None:
    canvas = lid()
    canvas[PRINT, 304:] -= 1.5
    scene = scanned(canvas)
    a, b = np.array([304.0, 620]), np.array([304.0, 330])
    compressed = type(scene)(scene.pixels, scene.half, scene.half_scale, scene.mm, scene.lid, blocky=True)
    assert is_of_squares(compressed, a, b, np.full(3, -1.5))
    assert not is_of_squares(scene, a, b, np.full(3, -1.5))
    assert not is_of_squares(compressed, a + BESIDE, b + BESIDE, np.full(3, -1.5))


def test_a_glow_that_compression_leaves_beside_a_print_is_no_prints_wherever_it_is() -> None:
    canvas = lid()
    canvas[PRINT, 299:] += 0.8
    scene = scanned(canvas)
    a, b = np.array([299.0, 620]), np.array([301.0, 330])
    compressed = type(scene)(scene.pixels, scene.half, scene.half_scale, scene.mm, scene.lid, blocky=True)
    assert is_of_squares(compressed, a, b, np.full(3, 0.8))
    assert not is_of_squares(compressed, a, b, np.array([0.1, -0.2, -0.8]))
    assert not is_of_squares(scene, a, b, np.full(3, 0.8))
