"""The PNG writer, proved against decoders that are not ours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bridge.scans import png

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
pictures = st.one_of(
    shapes.flatmap(lambda shape: arrays(np.uint8, shape)),
    shapes.flatmap(lambda shape: arrays(np.uint16, shape)),
)


@given(pictures)
@settings(deadline=None, max_examples=150)
def test_libvips_reads_back_every_sample(picture: np.ndarray) -> None:
    content = png.encode(picture, 8 * picture.dtype.itemsize, None, None)
    image = pyvips.Image.new_from_buffer(content, "", fail_on="warning")
    assert image.bands == picture.shape[2]
    assert np.array_equal(image.numpy().reshape(picture.shape), picture)


@given(pictures.filter(lambda picture: picture.shape[2] in (1, 3, 4)))
@settings(deadline=None, max_examples=100)
def test_opencv_reads_back_every_sample(picture: np.ndarray) -> None:
    content = png.encode(picture, 8 * picture.dtype.itemsize, None, None)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    read = decoded.reshape(picture.shape)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[picture.shape[2]]
    assert np.array_equal(read[:, :, order], picture)


@given(arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30))))
@settings(deadline=None, max_examples=60)
def test_a_bitonal_picture_stays_one_bit_a_pixel(picture: np.ndarray) -> None:
    content = png.encode(picture.astype(np.uint8) * 255, 1, None, None)
    image = pyvips.Image.new_from_buffer(content, "", fail_on="warning")
    assert image.get("bits-per-sample") == 1
    assert np.array_equal(image.numpy().reshape(picture.shape) > 127, picture)


@pytest.mark.parametrize("dpi", [75, 150, 300, 600, 1200])
def test_the_resolution_survives(dpi: int) -> None:
    image = pyvips.Image.new_from_buffer(png.encode(np.zeros((4, 4), np.uint8), 8, dpi, None), "")
    assert image.xres * 25.4 == pytest.approx(dpi, rel=1e-3)


def test_the_profile_survives() -> None:
    profile = pyvips.Image.profile_load("srgb")
    content = png.encode(np.zeros((4, 4, 3), np.uint8), 8, None, profile)
    assert pyvips.Image.new_from_buffer(content, "").get("icc-profile-data") == profile
