"""Crops as files, read back by decoders that did not write them."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips

from bridge.scans.decode import Page
from bridge.scans.encode import encode

PROFILE = pyvips.Image.profile_load("p3")


def page(pixels: np.ndarray, tag: float | None = 300.0, **more: Any) -> Page:
    bits = more.pop("bits", 8 * pixels.dtype.itemsize)
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    return Page(1, 1, pixels, bits, alpha, tag or 300.0, tag, more.pop("profile", None))


def made(kind: type, bands: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    shape = (40, 52) if bands == 1 else (40, 52, bands)
    return np.asarray(rng.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_opencv_reads_every_sample_of_a_lossless_crop(format: str, bands: int, kind: type) -> None:
    pixels = made(kind, bands)
    if bands == 4:
        pixels[:, :, 3] = np.iinfo(kind).max  # OpenCV darkens what is transparent
    content, notes = encode(page(pixels), pixels, True, format, 92)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[bands]
    assert np.array_equal(decoded.reshape(40, 52, bands)[:, :, order], pixels.reshape(40, 52, bands))
    assert notes == []


@pytest.mark.parametrize("bands", [1, 3])
def test_opencv_reads_a_jpeg_crop(bands: int) -> None:
    pixels = np.full((40, 52) if bands == 1 else (40, 52, 3), 90, np.uint8)
    content, _ = encode(page(pixels), pixels, True, "jpeg", 92)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - 90).max() <= 2


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_one_bit_stays_one_bit(format: str) -> None:
    pixels = (made(np.uint8, 1) > 127).astype(np.uint8) * 255
    content, notes = encode(page(pixels, bits=1), pixels, False, format, 92)
    image = pyvips.Image.new_from_buffer(content, "", fail_on="warning")
    assert image.get("bits-per-sample") == 1
    assert np.array_equal(image.numpy().reshape(pixels.shape), pixels)
    assert notes == []


@pytest.mark.parametrize(("format", "turned"), [("png", True), ("tiff", True), ("jpeg", False)])
def test_one_bit_that_is_turned_or_put_into_a_jpeg_becomes_grey(format: str, turned: bool) -> None:
    pixels = np.full((40, 52), 200, np.uint8)
    content, notes = encode(page(pixels, bits=1), pixels, turned, format, 92)
    assert notes == ["1 bit converted to grey"]
    assert pyvips.Image.new_from_buffer(content, "").avg() == pytest.approx(200, abs=1)


@pytest.mark.parametrize("format", ["png", "tiff", "jpeg"])
def test_resolution_and_profile_are_in_the_file(format: str) -> None:
    pixels = made(np.uint8, 3)
    content, _ = encode(page(pixels, 240.0, profile=PROFILE), pixels, True, format, 92)
    image = pyvips.Image.new_from_buffer(content, "")
    assert image.xres * 25.4 == pytest.approx(240, rel=1e-3)
    assert image.yres * 25.4 == pytest.approx(240, rel=1e-3)
    assert image.get("icc-profile-data") == PROFILE


def test_a_jpeg_crop_has_the_header_that_every_program_takes_the_size_from() -> None:
    pixels = made(np.uint8, 3)
    content, _ = encode(page(pixels, 600.0), pixels, True, "jpeg", 92)
    assert content[6:11] == b"JFIF\0"
    assert struct.unpack(">BHH", content[13:18]) == (1, 600, 600)


@pytest.mark.parametrize("format", ["png", "tiff", "jpeg"])
def test_nothing_is_invented_where_the_scan_has_no_resolution(format: str) -> None:
    pixels = made(np.uint8, 3)
    content, _ = encode(page(pixels, None), pixels, True, format, 92)
    image = pyvips.Image.new_from_buffer(content, "", fail_on="warning")
    assert not image.get_typeof("resolution-unit")
    assert b"pHYs" not in content
    if format == "jpeg":
        assert struct.unpack(">BHH", content[13:18]) == (0, 1, 1)


def test_a_jpeg_says_what_it_could_not_hold() -> None:
    pixels = made(np.uint16, 4)
    content, notes = encode(page(pixels), pixels, True, "jpeg", 92)
    assert notes == ["transparency made white", "16 bit converted to 8"]
    assert pyvips.Image.new_from_buffer(content, "").bands == 3
