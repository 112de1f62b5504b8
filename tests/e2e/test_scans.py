"""`bellpull scans` on a server where `make install` put it."""

from pathlib import Path

import cv2
import pytest

from benchmarks.scans import photographs
from benchmarks.scans.compose import compose
from tests.e2e.box import Box, Image


def test_an_ordinary_user_splits_scans_with_what_was_installed(
    with_bellpull: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photographs, "pick", photographs.invented)
    scan = compose("standard", 8000, 150)
    cv2.imwrite(str(tmp_path / "a scan.png"), scan.pixels)
    tmp_path.chmod(0o755)
    with Box(with_bellpull, binds={tmp_path: "/scans"}) as box:
        said = box.run(
            ["bellpull", "scans", "split", "/scans/a scan.png", "--output", "/tmp/photos", "--sidecar"],
            user="bellpull",
        ).stdout
        made = box.run(["ls", "/tmp/photos"]).stdout.split("\n")
    assert f"{len(scan.quads)} photos" in said
    assert "a scan.json" in made and f"a scan-{len(scan.quads)}.png" in made
