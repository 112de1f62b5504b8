"""One bad scan: one clear line, and the others go on. Through the real command, workers and decoders."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    """A cutter without a folder finds the photos and writes none."""
    descriptor = open_scan(path)
    try:
        return cutter.split(descriptor, Job(path.name))
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


def test_a_worker_that_stands_still_is_given_up(scan: Path) -> None:
    with Cutter(None) as impatient:
        assert asked(impatient, scan).problem is None
        assert impatient._child is not None
        impatient._child.wire.settimeout(1)
        child_of(impatient).send_signal(signal.SIGSTOP)
        assert "given up" in (asked(impatient, scan).problem or "")
        assert asked(impatient, scan).problem is None


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 million pixels in 200 kB, as a bomb below the limit would be."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    row = b"\0" + bytes(3 * 10_000)
    path.write_bytes(png_header(10_000, 20_000, zlib.compress(row * 20_000, 1)))
    return path


def test_a_scan_that_takes_too_long_costs_itself(large: Path, scan: Path) -> None:
    with Cutter(None, patience=0.1) as impatient:
        assert asked(impatient, large).problem == "took longer than 0.1 s and was given up"
        assert impatient._child is None
    with Cutter(None) as patient:
        assert asked(patient, scan).problem is None


def test_a_scan_that_eats_memory_costs_itself(large: Path, scan: Path, dry: Cutter) -> None:
    assert asked(dry, scan).problem is None
    status = Path(f"/proc/{child_of(dry).pid}/status").read_text()
    used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize"))
    least = (used << 10) + (300 << 20)
    resource.prlimit(child_of(dry).pid, resource.RLIMIT_AS, (least, least))
    problem = asked(dry, large).problem or ""
    assert "memory" in problem
    assert len(problem.splitlines()) == 1
    assert asked(dry, scan).problem is None


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGSEGV, "crashed the decoder (SIGSEGV)"), (signal.SIGKILL, "its process was killed")],
)
def test_a_crash_in_the_middle_costs_one_scan_and_leaves_nothing(
    number: signal.Signals, words: str, large: Path, scan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "crash"
    out.mkdir()
    with Cutter(out) as cutter_, ThreadPoolExecutor(1) as executor:
        before = sorted(asked(cutter_, scan).files)
        asking = executor.submit(asked, cutter_, large)
        child = child_of(cutter_)
        deadline = time.monotonic() + 30
        while "large" not in str([fd.readlink() for fd in Path(f"/proc/{child.pid}/fd").iterdir()]):
            assert time.monotonic() < deadline
        child.send_signal(number)
        assert words in (asking.result(60).problem or "")
        assert sorted(path.name for path in out.iterdir()) == before
        shutil.copy(scan, tmp_path / "next.png")
        assert len(asked(cutter_, tmp_path / "next.png").files) == len(before) >= 1


def test_control_characters_in_a_name_are_shown_not_obeyed(scan: Path, split: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "red \x1b[31m\nink.png", tmp_path / "gone \x1b]0;owned\x07\r.png"
    scan.rename(good)
    done = split(good, bad)
    assert done.returncode == 1
    assert not any(c in done.stdout + done.stderr for c in "\x1b\x07\r")
    [line], [complaint] = done.stdout.splitlines(), done.stderr.splitlines()
    assert "red \\x1b[31m\\nink.png: " in line
    assert "there is no such file" in complaint
    assert len(list((tmp_path / "out").iterdir())) >= 1


def test_a_name_that_looks_like_an_option_is_split(scan: Path, split: Run, tmp_path: Path) -> None:
    scan.rename(tmp_path / "-scan.png")
    done = split("--output", tmp_path / "out", "--sidecar", "--", "-scan.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"-scan-1.png", "-scan.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_the_output_may_be_the_scans_own_folder(scan: Path, split: Run, tmp_path: Path) -> None:
    before = scan.read_bytes()
    assert split(scan, "--output", tmp_path).returncode == 0
    assert (tmp_path / "scan-1.png").is_file()
    assert scan.read_bytes() == before


def test_a_missing_output_folder_is_made_with_all_above_it(scan: Path, split: Run, tmp_path: Path) -> None:
    assert split(scan, "--output", tmp_path / "a" / "b").returncode == 0
    assert (tmp_path / "a" / "b" / "scan-1.png").is_file()


def test_an_output_in_a_folder_that_is_a_file_is_told(scan: Path, split: Run) -> None:
    done = split(scan, "--output", scan / "out")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_whoever_stops_reading_along_sees_no_traceback(scan: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bridge.scans", "split", str(scan), "--output", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
