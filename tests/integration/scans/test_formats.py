"""What goes in, in every shape scanners write, comes out in full quality, or converted and said so."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips

from benchmarks.scans.compose import Composed

Run = Callable[..., subprocess.CompletedProcess[str]]


def image(glass: Composed) -> pyvips.Image:
    picture = pyvips.Image.new_from_array(glass.pixels).copy(interpretation="srgb")
    return picture.copy(xres=150 / 25.4, yres=150 / 25.4)


def photos(folder: Path, name: str) -> list[dict[str, Any]]:
    content = json.loads((folder / f"{name}.json").read_text())
    return list(content["photos"])


def with_profile(picture: pyvips.Image) -> pyvips.Image:
    profile = pyvips.Image.profile_load("p3")
    marked = picture.copy()
    marked.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return marked


@pytest.mark.parametrize("format", ["png", "tiff", "jpeg"])
@pytest.mark.parametrize("source", ["png", "tif", "jpg"])
def test_resolution_and_profile_survive(
    source: str, format: str, glass: Composed, split: Run, tmp_path: Path
) -> None:
    scan = tmp_path / f"scan.{source}"
    with_profile(image(glass)).write_to_file(str(scan))
    assert split(scan, "--format", format).returncode == 0
    crop = next((tmp_path / "out").glob("scan-1.*"))
    read = pyvips.Image.new_from_file(str(crop))
    assert read.xres * 25.4 == pytest.approx(150, rel=0.01)
    assert read.get("icc-profile-data") == pyvips.Image.profile_load("p3")


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_sixteen_bits_stay_sixteen(format: str, glass: Composed, split: Run, tmp_path: Path) -> None:
    scan = tmp_path / "deep.tif"
    deep = (glass.pixels.astype(np.uint16) << 8) | 0x5A
    picture = pyvips.Image.new_from_array(deep).copy(interpretation="rgb16")
    picture.tiffsave(str(scan))
    assert split(scan, "--format", format).returncode == 0
    read = pyvips.Image.new_from_file(str(next((tmp_path / "out").glob("deep-1.*"))))
    assert read.format == "ushort"
    assert read.bands == 3
    assert len(np.unique(read.numpy() & 0xFF)) > 1


def test_sixteen_bits_as_jpeg_become_eight_and_it_is_said(
    glass: Composed, split: Run, tmp_path: Path
) -> None:
    scan = tmp_path / "deep.png"
    pyvips.Image.new_from_array(glass.pixels.astype(np.uint16) << 8).copy(interpretation="rgb16").pngsave(
        str(scan)
    )
    assert split(scan, "--format", "jpeg", "--sidecar").returncode == 0
    assert "16 bit converted to 8" in str(photos(tmp_path / "out", "deep"))


def test_grey_stays_grey(glass: Composed, split: Run, tmp_path: Path) -> None:
    scan = tmp_path / "grey.png"
    cv2.imwrite(str(scan), cv2.cvtColor(glass.pixels, cv2.COLOR_RGB2GRAY))
    assert split(scan).returncode == 0
    assert pyvips.Image.new_from_file(str(tmp_path / "out" / "grey-1.png")).bands == 1


def test_cmyk_becomes_rgb_and_it_is_said(glass: Composed, split: Run, tmp_path: Path) -> None:
    scan = tmp_path / "print.jpg"
    image(glass).icc_transform("cmyk", input_profile="srgb").jpegsave(str(scan), Q=95)
    done = split(scan, "--sidecar")
    assert done.returncode == 0, done.stderr
    assert "CMYK converted to RGB" in done.stdout
    assert pyvips.Image.new_from_file(str(tmp_path / "out" / "print-1.png")).bands == 3


def test_a_palette_becomes_rgb_and_it_is_said(glass: Composed, split: Run, tmp_path: Path) -> None:
    scan = tmp_path / "indexed.png"
    image(glass).pngsave(str(scan), palette=True)
    done = split(scan)
    assert done.returncode == 0, done.stderr
    assert "palette converted to RGB" in done.stdout


def test_transparency_is_kept_where_the_format_can(glass: Composed, split: Run, tmp_path: Path) -> None:
    scan = tmp_path / "clear.png"
    image(glass).bandjoin(255).pngsave(str(scan))
    assert split(scan).returncode == 0
    assert pyvips.Image.new_from_file(str(tmp_path / "out" / "clear-1.png")).bands == 4
    done = split(scan, "--format", "jpeg", "--sidecar")
    assert done.returncode == 0
    assert "transparency made white" in str(photos(tmp_path / "out", "clear"))


def test_one_bit_stays_one_bit_unless_it_is_turned(split: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    page = np.full((1754, 1240), 255, np.uint8)
    page[300:900, 200:1000] = (rng.random((600, 800)) > 0.6) * 255
    scan = tmp_path / "bitonal.tif"
    pyvips.Image.new_from_array(page).tiffsave(str(scan), bitdepth=1, xres=150 / 25.4, yres=150 / 25.4)
    assert split(scan, "--sidecar").returncode == 0
    read = pyvips.Image.new_from_file(str(tmp_path / "out" / "bitonal-1.png"))
    turned = "1 bit converted to grey" in str(photos(tmp_path / "out", "bitonal"))
    assert (read.get("bits-per-sample") == 1) is not turned


def test_every_page_of_a_tiff_is_split_and_named(glass: Composed, split: Run, tmp_path: Path) -> None:
    scan = tmp_path / "pages.tif"
    joined = image(glass).join(image(glass), "vertical")
    joined.copy().tiffsave(str(scan), page_height=glass.pixels.shape[0])
    done = split(scan, "--sidecar")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"pages-p1-1.png", "pages-p2-1.png", "pages.json"} <= names
    assert {photo["page"] for photo in photos(tmp_path / "out", "pages")} == {1, 2}


def test_an_exif_orientation_is_followed(glass: Composed, split: Run, tmp_path: Path) -> None:
    straight, turned = tmp_path / "straight.tif", tmp_path / "turned.tif"
    image(glass).tiffsave(str(straight))
    on_its_side = image(glass).rot90().copy()
    on_its_side.set_type(pyvips.GValue.gint_type, "orientation", 8)
    on_its_side.tiffsave(str(turned))
    done = split(straight, turned, "--sidecar")
    assert done.returncode == 0, done.stderr
    upright, followed = photos(tmp_path / "out", "straight"), photos(tmp_path / "out", "turned")
    assert len(upright) == len(followed)
    for a, b in zip(upright, followed, strict=True):
        assert np.allclose(a["quad"], b["quad"], atol=2.0)


def test_webp_is_read(glass: Composed, split: Run, tmp_path: Path) -> None:
    scan = tmp_path / "small.webp"
    image(glass).webpsave(str(scan), Q=95)
    assert split(scan).returncode == 0


def test_a_straight_print_comes_out_bit_for_bit(split: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    page = np.full((1754, 1240, 3), 236, np.uint8)
    face = cv2.GaussianBlur(rng.integers(0, 256, (600, 800, 3)).astype(np.float32), (0, 0), 1.5)
    page[400:1000, 210:1010] = np.clip((face - 128) * 3 + 100, 0, 255).astype(np.uint8)
    scan = tmp_path / "straight.png"
    cv2.imwrite(str(scan), page)
    assert split(scan).returncode == 0
    crop = cv2.imread(str(tmp_path / "out" / "straight-1.png"))
    assert crop is not None
    assert np.array_equal(crop, page[400:1000, 210:1010])
