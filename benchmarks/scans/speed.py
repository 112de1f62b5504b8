"""Seconds and memory of an A4 scan with three prints askew, beside the floor: read it, write the same crops.

Everything lies in memory (/dev/shm), so that no disk is measured. On a machine that has other work take
the seconds of processor time, and the ratios.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.scans.compose import Placed, _Glass

TIMED = (Placed(54, 85, 96, 148, 3.1), Placed(160, 85, 80, 130, -4.2), Placed(100, 225, 148, 100, 2.0))
BATCH = 16
RESOLUTIONS = (150, 300, 600, 1200)
COMMAND = (sys.executable, "-m", "bridge.scans", "split")


@dataclass(frozen=True)
class Took:
    """Seconds on the clock, and of processor time."""

    clock: float
    work: float

    def __str__(self) -> str:
        return f"{self.clock:.3f} s ({self.work:.3f} s of processor time)"


def report() -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        pixels = _pixels()
        scan = _file(pixels, 300, folder)
        tiny = _file(cv2.resize(pixels, None, fx=0.05, fy=0.05), 15, folder)
        print(f"\nA4, 300 DPI, three prints askew, as PNG; load {os.getloadavg()[0]:.1f}")
        ours, two = _batch(scan, folder, 1), _batch(scan, folder, 2)
        floor = _floor(scan)
        print(f"a scan in a batch of {BATCH}, one process on one core: {ours}")
        print(f"the floor, one thread: {floor}")
        print(f"ratio {ours.clock / floor.clock:.2f}, of processor time {ours.work / floor.work:.2f}")
        print(f"two processes on two cores: {ours.clock / two.clock:.2f} times the rate of one")
        print(f"start-up: {_start_up('--help'):.3f} s for --help, {_start_up(tiny):.3f} s for a tiny scan")
        for dpi in RESOLUTIONS:
            scaled = cv2.resize(pixels, None, fx=dpi / 300, fy=dpi / 300, interpolation=cv2.INTER_CUBIC)
            millions = scaled.shape[0] * scaled.shape[1] / 1e6
            peak = _peak(_file(scaled, dpi, folder), folder)
            each = f"{millions:.1f} million pixels: {peak:.0f} MB, {peak / millions:.1f} a million"
            print(f"peak at {dpi} DPI, {each}")


def _pixels() -> np.ndarray:
    """RGB, 8 bit."""
    glass = _Glass("standard", 0, 300, np.random.default_rng(2026))
    glass.lay = lambda: list(TIMED)  # type: ignore[method-assign]
    pixels = glass.scan().pixels
    pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def _file(pixels: np.ndarray, dpi: int, folder: Path) -> Path:
    from bridge.scans import png

    path = folder / f"a4-{dpi}.png"
    path.write_bytes(png.encode(pixels, 8, dpi, None))
    return path


def _batch(scan: Path, folder: Path, jobs: int) -> Took:
    """A scan's share of the real command with BATCH of them, its start-up included."""
    scans = [folder / f"batch-{n}.png" for n in range(BATCH)]
    for path in scans:
        if not path.exists():
            os.link(scan, path)
    cores = sorted(os.sched_getaffinity(0))

    def run() -> None:
        done = subprocess.run(
            [*COMMAND, *scans, "-o", folder / "out", "--jobs", str(jobs)],
            stdout=subprocess.PIPE,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores[:jobs]),
        )
        assert done.stdout.count(b": 3 photos") == BATCH, done.stdout
        shutil.rmtree(folder / "out")

    took = _median(run, 3, resource.RUSAGE_CHILDREN)
    return Took(took.clock / BATCH, took.work / BATCH)


def _floor(scan: Path) -> Took:
    """Decode the scan and encode the crops that the product made of it, in this process."""
    from bridge.scans.crop import cut
    from bridge.scans.decode import pages
    from bridge.scans.encode import encode
    from bridge.scans.files import open_scan

    descriptor = open_scan(scan)
    page = next(pages(descriptor))
    crops = [cut(page.pixels, placed.quad() * 300 / 25.4, 255) for placed in TIMED]

    def run() -> None:
        again = next(pages(descriptor))
        for crop in crops:
            encode(again, crop.pixels, crop.turned, "png", 92)

    took = _median(run, 9, resource.RUSAGE_SELF)
    os.close(descriptor)
    return took


def _median(work: Callable[[], object], times: int, who: int) -> Took:
    clock, processor = [], []
    for _ in range(times):
        before, start = resource.getrusage(who), time.perf_counter()
        work()
        clock.append(time.perf_counter() - start)
        after = resource.getrusage(who)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Took(float(np.median(clock)), float(np.median(processor)))


def _start_up(argument: str | Path) -> float:
    command = [*COMMAND, str(argument), "--dry-run", "--output", "nowhere"]
    return _median(
        lambda: subprocess.run(command, capture_output=True, check=True), 7, resource.RUSAGE_SELF
    ).clock


def _peak(scan: Path, folder: Path) -> float:
    """MB that a worker of its own took for one scan."""
    from bridge.scans.cutter import Cutter
    from bridge.scans.files import open_scan
    from bridge.scans.job import Job

    with Cutter(folder) as cutter:
        descriptor = open_scan(scan)
        answer = cutter.split(descriptor, Job(scan.name))
        os.close(descriptor)
        assert cutter._child is not None, answer.problem
        status = Path(f"/proc/{cutter._child.process.pid}/status").read_text()
    for name in answer.files:
        (folder / name).unlink()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
