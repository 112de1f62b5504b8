from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.scans import photographs
from benchmarks.scans.compose import Composed, compose

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def glass() -> Composed:
    """Two or more prints at 150 DPI, 8-bit colour, from pictures that need no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "pick", photographs.invented)
        for seed in range(8000, 8020):
            scan = compose("standard", seed, 150)
            if scan.pixels.dtype == np.uint8 and scan.pixels.ndim == 3 and len(scan.quads) >= 2:
                return scan
    raise AssertionError("no such scan among the seeds")


@pytest.fixture
def scan(glass: Composed, tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    assert cv2.imwrite(str(path), glass.pixels[:, :, ::-1])
    return path


@pytest.fixture
def split(tmp_path: Path) -> Run:
    """The real command; `output` is tmp_path/out unless told."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bridge.scans", "split", *map(str, arguments)]
        if "--output" not in command:
            command += ["--output", str(tmp_path / "out")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload,no-any-return]

    return run
