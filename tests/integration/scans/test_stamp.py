"""Dates and albums read back by exiftool, and the pixels by other decoders."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bridge.scans.decode import Page
from bridge.scans.encode import encode
from bridge.scans.stamp import Stamp, stamped


def read_back(path: Path) -> dict[str, Any]:
    said = subprocess.run(["exiftool", "-json", "-G", path], capture_output=True, check=True)
    fields: dict[str, Any] = json.loads(said.stdout)[0]
    return fields


@pytest.mark.parametrize("profile", [False, True])
@pytest.mark.parametrize(("format", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("tiff", "tif")])
def test_exiftool_reads_date_precision_and_album(
    tmp_path: Path, format: str, suffix: str, profile: bool
) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (61, 77, 3), np.uint8)
    page = Page(1, 1, pixels, 8, False, 300.0, 300.0, b"" if profile else None)
    plain, _ = encode(page, pixels, False, format, 92)
    path = tmp_path / f"photo.{suffix}"
    path.write_bytes(stamped(plain, Stamp("1987:07:01 00:00:00", "1987-07", "Italy & <Rome> ü"), format))
    fields = read_back(path)
    assert fields["EXIF:DateTimeOriginal"] == "1987:07:01 00:00:00"
    assert fields["XMP:DateTimeOriginal"] == "1987:07"
    assert fields["XMP:DateCreated"] == "1987:07"
    assert fields["XMP:Album"] == "Italy & <Rome> ü"
    assert "ExifTool:Warning" not in fields, fields
    (tmp_path / f"plain.{suffix}").write_bytes(plain)
    before, after = cv2.imread(str(tmp_path / f"plain.{suffix}"), -1), cv2.imread(str(path), -1)
    assert before is not None and after is not None and np.array_equal(before, after)


def test_a_photo_without_date_and_album_stays_as_it_is() -> None:
    assert stamped(b"anything", Stamp(), "png") == b"anything"


def test_an_album_alone_makes_no_date(tmp_path: Path) -> None:
    pixels = np.zeros((70, 70), np.uint8)
    plain, _ = encode(Page(1, 1, pixels, 8, False, 300.0, 300.0, None), pixels, False, "png", 92)
    path = tmp_path / "photo.png"
    path.write_bytes(stamped(plain, Stamp(album="Italy"), "png"))
    fields = read_back(path)
    assert fields["XMP:Album"] == "Italy"
    assert not [name for name in fields if "Date" in name and not name.startswith("File:")]
