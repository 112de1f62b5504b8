from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import pyvips

from benchmarks.scans.compose import Composed
from benchmarks.scans.score import judge

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_sidecar_tells_corners_crop_page_confidence_and_notes(
    scan: Path, glass: Composed, split: Run, tmp_path: Path
) -> None:
    assert split(scan, "--sidecar").returncode == 0
    content = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert set(content) == {"photos", "scan"}
    for n, photo in enumerate(content["photos"], 1):
        assert set(photo) == {"quad", "crop", "page", "confidence", "notes"}
        assert photo["crop"] == f"scan-{n}.png"
        assert (tmp_path / "out" / photo["crop"]).is_file()
        assert 0 <= photo["confidence"] <= 1
    verdict = judge(glass, [np.array(photo["quad"]) for photo in content["photos"]])
    assert verdict.perfect, verdict.faults()


def test_names_keep_spaces_and_every_script(scan: Path, split: Run, tmp_path: Path) -> None:
    name = "Überraschung, 夏休み 1987"
    scan.rename(tmp_path / f"{name}.png")
    assert split(tmp_path / f"{name}.png").returncode == 0
    assert (tmp_path / "out" / f"{name}-1.png").is_file()


def test_a_name_that_is_no_unicode_is_split_all_the_same(scan: Path, split: Run, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/scan\xff.png"
    os.rename(scan, odd)  # noqa: PTH104 - bytes
    done = split(os.fsdecode(odd), "--sidecar")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / os.fsdecode(b"scan\xff-1.png")).is_file()


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(scan: Path, split: Run, tmp_path: Path) -> None:
    done = split(scan, "--dry-run", "--sidecar", "--preview")
    assert done.returncode == 0
    assert "photos" in done.stdout
    assert not (tmp_path / "out").exists()


def test_the_preview_is_a_picture_of_the_scan(scan: Path, split: Run, tmp_path: Path) -> None:
    assert split(scan, "--preview").returncode == 0
    picture = cv2.imread(str(tmp_path / "out" / "scan-preview.jpg"))
    assert picture is not None
    assert max(picture.shape) <= 1600


def test_white_borders_are_kept_unless_they_are_to_be_trimmed(split: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    page = np.full((1754, 1240, 3), 225, np.uint8)
    page[300:900, 200:1000] = 250
    face = cv2.GaussianBlur(rng.integers(0, 256, (540, 740, 3)).astype(np.float32), (0, 0), 3)
    page[330:870, 230:970] = np.clip((face - 128) * 5 + 100, 0, 255).astype(np.uint8)
    scan = tmp_path / "bordered.png"
    cv2.imwrite(str(scan), page)
    assert split(scan).returncode == 0
    assert split(scan, "--trim-borders", "--output", tmp_path / "trimmed").returncode == 0
    whole, inner = (
        pyvips.Image.new_from_file(str(tmp_path / f"{d}/bordered-1.png")) for d in ("out", "trimmed")
    )
    assert (whole.height, whole.width) == pytest.approx((600, 800), abs=2)
    assert (inner.height, inner.width) == pytest.approx((540, 740), abs=6)


def test_several_jobs_write_what_one_does(scan: Path, split: Run, tmp_path: Path) -> None:
    scans = [tmp_path / f"{n}.png" for n in range(4)]
    for path in scans:
        path.write_bytes(scan.read_bytes())
    assert split(*scans, "--output", tmp_path / "one").returncode == 0
    assert split(*scans, "--output", tmp_path / "two", "--jobs", "2").returncode == 0
    one = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert one == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert len(one) >= 8


def test_ctrl_c_leaves_no_half_files(scan: Path, tmp_path: Path) -> None:
    scans = [tmp_path / f"{n}.png" for n in range(30)]
    for path in scans:
        path.write_bytes(scan.read_bytes())
    out = tmp_path / "out"
    # A shell starts what runs in its background with SIGINT ignored, and tests run there, too.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "bridge.scans", "split", *map(str, scans)]
    command += ["--output", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 30
    while not (out.exists() and any(out.glob("*.png"))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = [
        child
        for thread in Path(f"/proc/{process.pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    assert workers
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    assert said.count("\n") == 1, said
    left = sorted(path.name for path in out.iterdir())
    assert not [name for name in left if name.startswith(".")]
    assert all(cv2.imread(str(out / name)) is not None for name in left)


def test_on_a_terminal_there_is_a_bar_with_rate_and_time_left(scan: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(scan.read_bytes())
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bridge.scans", "split", str(scan), str(other)]
    command += ["--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL)
    assert process.wait(timeout=60) == 0
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "1/2" in shown
    assert "/s" in shown
    assert "left" in shown


@pytest.mark.parametrize(
    "arguments", [["--quality", "0"], ["--quality", "high"], ["--jobs", "0"], ["--format", "gif"]]
)
def test_a_wrong_option_is_told_before_any_work(
    arguments: list[str], scan: Path, split: Run, tmp_path: Path
) -> None:
    assert split(scan, *arguments).returncode == 2
    assert not (tmp_path / "out").exists()


def test_the_command_starts_without_the_heavy_libraries() -> None:
    code = "import sys, bridge.scans.cli; print(sorted({'numpy', 'cv2', 'pyvips'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_its_packages_the_command_says_in_one_line_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(cv2=None, pyvips=None)\n"
        "from bridge import cli; sys.exit(cli.main(['scans', 'split', 'a.png', '--output', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "pip install opencv-python-headless 'pyvips[binary]'" in line
    assert not (tmp_path / "out").exists()
