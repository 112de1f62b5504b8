"""The engine as others use it: a descriptor and a folder, a child behind a fence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scans.compose import Composed
from bridge.scans.cutter import Cutter
from bridge.scans.files import open_scan
from bridge.scans.job import Answer, Job
from bridge.tools import landlock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cut(scan: Path, folder: Path, job: Job) -> Answer:
    descriptor = open_scan(scan)
    try:
        with Cutter(folder) as cutter:
            return cutter.split(descriptor, job)
    finally:
        os.close(descriptor)


def test_a_descriptor_is_split_whatever_becomes_of_its_name(
    scan: Path, glass: Composed, folder: Path
) -> None:
    descriptor = open_scan(scan)
    scan.unlink()
    with Cutter(folder) as cutter:
        answer = cutter.split(descriptor, Job("Summer 1987.png", sidecar=True))
        again = cutter.split(descriptor, Job("again", format="jpeg"))
    os.close(descriptor)
    assert answer.problem is None and again.problem is None
    crops = [f"Summer 1987-{n}.png" for n in range(1, len(glass.quads) + 1)]
    assert answer.files == [*crops, "Summer 1987.json"]
    assert names(folder) == sorted(answer.files + again.files)


def test_corrected_corners_are_cut_as_given_and_in_the_order_given(scan: Path, folder: Path) -> None:
    first, second = ([[x, 40.0], [x + 200, 40.0], [x + 200, 340.0], [x, 340.0]] for x in (500.0, 100.0))
    answer = cut(scan, folder, Job(scan.name, sidecar=True, quads=[(1, first), (1, second)]))
    assert answer.problem is None
    told = json.loads((folder / "scan.json").read_text())["photos"]
    assert told == answer.photos
    assert [photo["quad"] for photo in told] == [first, second]
    assert [photo["crop"] for photo in told] == ["scan-1.png", "scan-2.png"]
    assert all(photo["confidence"] == 1.0 for photo in told)
    assert all(photo["notes"] == ["corners given"] for photo in told)


def test_corners_off_the_scan_are_a_problem_of_one_line(scan: Path, folder: Path) -> None:
    off = [[9000.0, 9000.0], [9100.0, 9000.0], [9100.0, 9100.0], [9000.0, 9100.0]]
    answer = cut(scan, folder, Job(scan.name, quads=[(1, off)]))
    assert answer.problem == "the quad lies outside the scan; correct its corners"
    assert names(folder) == []


def test_closing_in_the_middle_of_a_scan_leaves_nothing(scan: Path, folder: Path) -> None:
    cutter, descriptor = Cutter(folder), open_scan(scan)
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(cutter.split(descriptor, Job(scan.name))))
    asking.start()
    deadline = time.monotonic() + 30
    while not names(folder):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    cutter.close()
    asking.join(10)
    os.close(descriptor)
    assert not asking.is_alive()
    [answer] = answers
    assert names(folder) == sorted(answer.files)
    assert cutter.split(descriptor, Job(scan.name)).problem == "was not reached"


def test_what_a_power_cut_left_is_removed_a_day_later(folder: Path) -> None:
    (folder / ".bellpull-aa-0.part").touch()
    os.utime(folder / ".bellpull-aa-0.part", (0, 0))
    (folder / ".bellpull-bb-0.part").touch()
    Cutter(folder).close()
    assert names(folder) == [".bellpull-bb-0.part"]


BURGLAR = """
import os, subprocess, sys
from bridge.scans import worker
folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
worker._limit()
worker._load()
worker._fence(folder)

def tried(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return error.strerror
    return "done"

for outside in sys.argv[2:]:
    beside = os.path.dirname(outside)
    print(tried(open, outside), tried(open, outside + "-new", "w"), tried(os.listdir, beside))
print(tried(os.execv, "/usr/bin/env", ["env"]))
print(tried(os.open, "made", os.O_CREAT | os.O_WRONLY, 0o600))
os.chdir(folder)
print(tried(open, "made", "w"))
"""


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_code_inside_the_worker_reaches_no_file_but_in_its_folder(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    done = subprocess.run(
        [sys.executable, "-c", BURGLAR, folder, secret, "/etc/passwd"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    denied = "Permission denied"
    assert done.stdout.splitlines()[:2] == [f"{denied} {denied} {denied}"] * 2, done.stderr
    assert done.stdout.splitlines()[2] == denied
    assert done.stdout.splitlines()[3:5] == [denied, "done"]


def test_the_worker_can_gain_no_privileges(scan: Path, folder: Path) -> None:
    descriptor = open_scan(scan)
    with Cutter(folder) as cutter:
        cutter.split(descriptor, Job(scan.name))
        assert cutter._child is not None
        status = Path(f"/proc/{cutter._child.process.pid}/status").read_text()
    os.close(descriptor)
    assert "NoNewPrivs:\t1" in status


def test_a_job_as_long_as_a_page_of_stamps_arrives_whole(scan: Path, folder: Path) -> None:
    stamp = np.array([[10, 10], [60, 10], [60, 60], [10, 60]]) + 0.123456789012
    quads = [(1, stamp.tolist())] * 600
    answer = cut(scan, folder, Job(scan.name, quads=quads, dry_run=True))
    assert len(answer.photos) == 600
