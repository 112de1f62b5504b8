"""One bad scan: one clear line, and the others go on. Through the real command, workers and decoders."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.scans import cutter
from bridge.scans.cutter import Cutter
from bridge.scans.files import open_scan
from bridge.scans.job import Answer, Job
from bridge.scans.png import _chunk

Run = Callable[..., subprocess.CompletedProcess[str]]


def png_header(width: int, height: int, data: bytes) -> bytes:
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def bad_files(folder: Path, good: bytes) -> dict[str, Path]:
    def file(name: str, content: bytes) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to(folder / "target.png")
    file("target.png", good)
    os.mkfifo(folder / "pipe.png")
    corrupt = bytearray(good)
    corrupt[len(good) // 2 : len(good) // 2 + 400] = b"\0" * 400
    return {
        "symbolic link": folder / "link.png",
        "is a folder": folder / "folder.png",
        "no regular file": folder / "pipe.png",
        "no such file": folder / "missing.png",
        "is empty": file("empty.png", b""),
        "is no PNG": file("text.png", b"Dear Mother, the garden is in full bloom.\n"),
        "too small": file("dot.png", cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()),
        "40000 x 1000": file("wide.png", png_header(40_000, 1000, zlib.compress(b"\0" * 120_001_000))),
        "at most 400 million": file("bomb.png", png_header(31_000, 31_000, zlib.compress(b"\0" * 1000))),
        "cannot be decoded": file("truncated.png", good[: len(good) // 3]),
        "be decoded": file("corrupt.png", bytes(corrupt)),
    }


def test_every_bad_scan_gets_one_line_and_the_good_ones_are_split(
    scan: Path, split: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    bad = bad_files(folder, scan.read_bytes())
    before = {path: path.read_bytes() for path in bad.values() if path.is_file() and not path.is_symlink()}
    done = split(*bad.values(), scan, "--sidecar")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(bad), done.stderr
    for words, path in bad.items():
        [line] = [line for line in lines if f"{path}:" in line]
        assert words in line, line
    assert "Traceback" not in done.stderr
    assert {path.name.split("-")[0].split(".")[0] for path in (tmp_path / "out").iterdir()} == {"scan"}
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_scan_under_a_wrong_suffix_is_known_by_its_content(scan: Path, split: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "really a png.jpg"
    shutil.copy(scan, wrong)
    assert split(wrong).returncode == 0


def test_a_scan_that_may_not_be_read_is_told(scan: Path) -> None:
    scan.chmod(0o000)
    code = (
        "import os, sys; from pathlib import Path; from bridge.scans import files, problem\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: files.open_scan(Path(sys.argv[1]))\n"
        "except problem.ScanProblem as told: print(told)"
    )
    for folder in scan.parents[:3]:
        folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, scan], capture_output=True, text=True, timeout=60, check=True
    )
    assert "may not be read" in done.stdout


def test_the_same_output_twice_changes_nothing(scan: Path, split: Run, tmp_path: Path) -> None:
    assert split(scan, "--sidecar").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = split(scan, "--sidecar")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_names_that_would_collide_are_an_error_before_any_work(
    scan: Path, split: Run, tmp_path: Path
) -> None:
    other = tmp_path / "scan.tif"
    shutil.copy(scan, other)
    done = split(scan, other)
    assert done.returncode == 2
    assert "would write the same photos" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_scan_twice_is_an_error_before_any_work(scan: Path, split: Run, tmp_path: Path) -> None:
    assert split(scan, scan).returncode == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_leaves_nothing_behind(scan: Path, split: Run, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=True)
    try:
        done = split(scan, "--output", small)
        assert done.returncode == 1
        assert "is full" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_an_output_that_is_a_file_is_told(scan: Path, split: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = split(scan, "--output", tmp_path / "file")
    assert done.returncode == 2
    assert "is no folder" in done.stderr


@pytest.fixture(scope="module")
def samples(glass: object) -> list[bytes]:
    small = cv2.resize(glass.pixels, (310, 438), interpolation=cv2.INTER_AREA)  # type: ignore[attr-defined]
    return [cv2.imencode(suffix, small)[1].tobytes() for suffix in (".png", ".jpg", ".tif", ".webp")]


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_never_take_the_batch_down(
    data: st.DataObject, samples: list[bytes], dry: Cutter, tmp_path: Path
) -> None:
    content = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    answer = asked(dry, broken)
    assert answer.problem is None or "\n" not in answer.problem


@pytest.fixture(scope="module")
def dry() -> Iterator[Cutter]:
    with Cutter(None) as cutter:
        yield cutter


def asked(cutter: Cutter, path: Path) -> Answer:
    descriptor = open_scan(path)
    try:
        return cutter.split(descriptor, Job(path.name, dry_run=True))
    finally:
        os.close(descriptor)


def child_of(cutter: Cutter) -> subprocess.Popen[bytes]:
    assert cutter._child is not None
    return cutter._child.process


def test_a_worker_that_died_is_replaced_before_the_next_scan(scan: Path, dry: Cutter) -> None:
    assert asked(dry, scan).problem is None
    child_of(dry).kill()
    child_of(dry).wait()
    assert asked(dry, scan).problem is None


def test_a_worker_that_stands_still_is_given_up(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutter, "GRACE_S", 0)
    with Cutter(None, patience=2) as impatient:
        assert asked(impatient, scan).problem is None
        child_of(impatient).send_signal(signal.SIGSTOP)
        assert "given up" in (asked(impatient, scan).problem or "")
        assert asked(impatient, scan).problem is None
