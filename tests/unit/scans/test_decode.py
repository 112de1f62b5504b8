from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import pyvips

from bridge.scans import png
from bridge.scans.decode import Page, pages
from bridge.scans.problem import ScanProblem

FACE = np.random.default_rng(4).integers(0, 256, (96, 80, 3), dtype=np.uint8)


def read(path: Path) -> list[Page]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(pages(descriptor))
    finally:
        os.close(descriptor)


def picture(pixels: np.ndarray = FACE, across: float = 150, down: float = 150) -> pyvips.Image:
    space = "srgb" if pixels.ndim == 3 else "b-w"
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=space)
    return image.copy(xres=across / 25.4, yres=down / 25.4)


def tiff(order: str, big: bool, *directories: tuple[dict[int, Sequence[int]], bytes]) -> bytes:
    """A TIFF of pages in one strip each, from SHORT and LONG tags: what no library here writes."""
    number, entry, counter = ("Q", 20, "Q") if big else ("I", 12, "H")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    file = bytearray(head)
    for n, (tags, strip) in enumerate(directories):
        width = struct.calcsize(order + counter)
        after = len(file) + width + entry * (len(tags) + 2) + struct.calcsize(number)
        blobs = bytearray(strip)
        rows = []
        for tag, values in sorted({**tags, 273: [after], 279: [len(strip)]}.items()):
            kind, letter = (4, "I") if tag in (273, 279) else (3, "H")
            content = struct.pack(f"{order}{len(values)}{letter}", *values)
            if len(content) > struct.calcsize(number):
                blobs += b"\0" * (len(blobs) % 2)
                content, blobs = struct.pack(order + number, after + len(blobs)), blobs + content
            rows.append(
                struct.pack(order + "HH" + number, tag, kind, len(values))
                + content.ljust(struct.calcsize(number), b"\0")
            )
        last = n == len(directories) - 1
        file += struct.pack(order + counter, len(rows)) + b"".join(rows)
        blobs += b"\0" * (len(blobs) % 2)
        file += struct.pack(order + number, 0 if last else after + len(blobs)) + blobs
    return bytes(file)


def rgb_tags(width: int = 80, height: int = 96, **more: int) -> dict[int, Sequence[int]]:
    tags: dict[int, Sequence[int]] = {256: [width], 257: [height], 258: [8] * 3, 259: [1], 262: [2]}
    return {**tags, 277: [3], 278: [height], **{int(tag[1:]): [value] for tag, value in more.items()}}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_reduced_picture_beside_the_page_is_no_page(order: str, big: bool, tmp_path: Path) -> None:
    small = np.ascontiguousarray(FACE[:70, :70])
    path = tmp_path / "with a thumbnail.tif"
    path.write_bytes(
        tiff(
            order,
            big,
            (rgb_tags(70, 70, t254=1), small.tobytes()),
            (rgb_tags(), FACE.tobytes()),
        )
    )
    [page] = read(path)
    assert (page.number, page.count) == (1, 1)
    assert np.array_equal(page.pixels, FACE)


def test_the_pages_of_a_tiff_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    path.write_bytes(tiff("<", False, (rgb_tags(), FACE.tobytes()), (rgb_tags(), FACE[::-1].tobytes())))
    assert [(page.number, page.count) for page in read(path)] == [(1, 2), (2, 2)]


def test_a_tiff_of_pages_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.tif"
    path.write_bytes(tiff("<", False, *[(rgb_tags(), b"")] * 600))
    with pytest.raises(ScanProblem, match="more than 500 pages"):
        read(path)


def test_a_palette_in_a_tiff_is_converted_and_said(tmp_path: Path) -> None:
    indices = FACE[:, :, 0]
    ramp = [n * 257 for n in range(256)]
    tags: dict[int, Sequence[int]] = {256: [80], 257: [96], 258: [8], 259: [1], 262: [3], 277: [1], 278: [96]}
    path = tmp_path / "palette.tif"
    path.write_bytes(tiff("<", False, ({**tags, 320: ramp + ramp[::-1] + ramp}, indices.tobytes())))
    [page] = read(path)
    assert "palette converted to RGB" in page.notes
    assert np.array_equal(page.pixels, np.dstack([indices, 255 - indices, indices]))


def test_a_channel_that_is_no_transparency_is_dropped(tmp_path: Path) -> None:
    infrared = np.dstack([FACE, FACE[:, :, :1]])
    path = tmp_path / "infrared.tif"
    path.write_bytes(tiff("<", False, ({**rgb_tags(t338=0), 258: [8] * 4, 277: [4]}, infrared.tobytes())))
    [page] = read(path)
    assert not page.alpha
    assert np.array_equal(page.pixels, FACE)
    assert "extra channels dropped" in page.notes


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_a_scan_without_a_resolution_has_no_tag_and_is_measured(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{suffix}"
    if suffix == "png":
        path.write_bytes(png.encode(FACE, 8, None, None))
    elif suffix == "tif":
        path.write_bytes(tiff("<", False, (rgb_tags(), FACE.tobytes())))
    else:
        picture(across=25.4, down=25.4).write_to_file(str(path))
    [page] = read(path)
    assert page.tag is None
    assert "no resolution in the file" in page.notes[0]


@pytest.mark.parametrize("dpi", [75, 150, 300, 600, 1200])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_the_resolution_is_read(suffix: str, dpi: int, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{suffix}"
    large = pyvips.Image.black(2 * dpi, 3 * dpi).copy(xres=dpi / 25.4, yres=dpi / 25.4)
    large.write_to_file(str(path))
    [page] = read(path)
    assert page.tag == pytest.approx(dpi, rel=1e-3)
    assert page.dpi == page.tag
    assert page.notes == []


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("across", "down", "shape"), [(150, 300, (96, 160)), (300, 150, (192, 80))])
def test_pixels_that_are_not_square_are_made_square(
    across: float, down: float, shape: tuple[int, int], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"fax.{suffix}"
    picture(across=across, down=down).write_to_file(str(path))
    [page] = read(path)
    assert page.pixels.shape[:2] == shape
    assert page.scale == (shape[1] / 80, shape[0] / 96)
    assert page.tag == pytest.approx(300, rel=1e-3)
    assert f"{across} x {down} DPI made 300 both ways" in page.notes


def test_what_lies_on_its_side_has_its_two_resolutions_the_other_way_round(tmp_path: Path) -> None:
    path = tmp_path / "turned.tif"
    turned = picture(across=150, down=300).copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    turned.tiffsave(str(path))
    [page] = read(path)
    assert page.pixels.shape[:2] == (160, 96)


@pytest.mark.parametrize(("bands", "alpha"), [(1, False), (2, True), (3, False), (4, True)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_colour_and_transparency_keep_their_depth(
    bands: int, alpha: bool, kind: type, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, np.iinfo(kind).max, (96, 80, bands), dtype=kind, endpoint=True)
    path = tmp_path / "scan.png"
    path.write_bytes(png.encode(pixels, 8 * pixels.dtype.itemsize, 300, None))
    [page] = read(path)
    assert page.alpha is alpha
    assert page.bits == 8 * pixels.dtype.itemsize
    assert np.array_equal(page.pixels.reshape(pixels.shape), pixels)


def test_sixteen_bits_of_cmyk_are_sixteen_of_rgb(tmp_path: Path) -> None:
    path = tmp_path / "print.tif"
    picture().icc_transform("cmyk", input_profile="srgb", depth=16).tiffsave(str(path))
    [page] = read(path)
    assert page.bits == 16
    assert page.pixels.shape == (96, 80, 3)
    assert any("CMYK converted to RGB" in note for note in page.notes)


@pytest.mark.parametrize("kind", ["uint", "float", "short"])
def test_samples_of_another_kind_become_sixteen_bits(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    picture(FACE[:, :, 0]).cast(kind).tiffsave(str(path))
    [page] = read(path)
    assert page.pixels.dtype == np.uint16
    assert np.array_equal(page.pixels, FACE[:, :, 0].astype(np.uint16) * 257)
    assert f"{kind} samples converted to 16 bit" in page.notes


def test_transparent_parts_are_white_to_whoever_looks_for_photos() -> None:
    pixels = np.dstack([np.full((80, 80), 10, np.uint8), np.zeros((80, 80), np.uint8)])
    page = Page(1, 1, pixels, 8, True, 300.0, 300.0, None)
    assert page.opaque().shape == (80, 80)
    assert (page.opaque() == 255).all()
