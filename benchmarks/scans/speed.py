"""Seconds and memory of an A4 scan with three prints askew, beside the floor: read, turn and write."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from benchmarks.scans.compose import Placed, _Glass

TIMED = (Placed(58, 85, 100, 148, 3.1), Placed(158, 85, 88, 130, -4.2), Placed(100, 225, 148, 100, 2.0))


def _timing_scan(folder: Path) -> Path:
    """A4 at 300 DPI, RGB, with three prints of some 10 x 15 cm, all askew."""
    from bridge.scans import png

    glass = _Glass("standard", 0, 300, np.random.default_rng(2026))
    glass.lay = lambda: list(TIMED)  # type: ignore[method-assign]
    pixels = glass.scan().pixels
    pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    pixels = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    path = folder / "a4.png"
    path.write_bytes(png.encode(pixels, 8, 300, None))
    return path


def report() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = _timing_scan(Path(folder))
        one = _median(lambda: _in_process(path, Path(folder)))
        floor = _median(lambda: _floor(path, Path(folder)))
        print(f"load {os.getloadavg()[0]:.1f}")
        print(f"{one:.3f} s a scan, the floor {floor:.3f} s, ratio {one / floor:.2f}")
        print(f"peak memory of a worker: {_peak(path, Path(folder)):.0f} MB")
        print(f"start-up (--help): {_median(_help):.3f} s")
        print(f"two processes: {_two(path, Path(folder)):.2f} times the rate of one")


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _in_process(path: Path, folder: Path) -> None:
    """Decode, find, cut, encode, file: what a worker does."""
    from bridge.scans.files import open_folder, open_scan
    from bridge.scans.job import Job
    from bridge.scans.split import split

    scan, place = open_scan(path), open_folder(folder)
    answer = split(scan, place, "bench", Job(path.name))
    for name in answer.files:
        (folder / name).unlink()
    os.close(scan)
    os.close(place)


def _floor(path: Path, folder: Path) -> None:
    """Decode the scan, turn and encode the same crops, with the product's own reader and writer."""
    from bridge.scans.crop import cut
    from bridge.scans.decode import pages
    from bridge.scans.encode import encode
    from bridge.scans.files import open_scan

    scan = open_scan(path)
    page = next(pages(scan))
    os.close(scan)
    for n, p in enumerate(TIMED):
        crop = cut(page.pixels, p.quad() * 300 / 25.4, 255)
        content, _ = encode(page, crop.pixels, crop.turned, "png", 92)
        out = folder / f"floor-{n}.png"
        out.write_bytes(content)
        out.unlink()


def _peak(path: Path, folder: Path) -> float:
    """MB that a worker of its own took for one scan."""
    from bridge.scans.cutter import Cutter
    from bridge.scans.files import open_scan
    from bridge.scans.job import Job

    with Cutter(folder) as cutter:
        scan = open_scan(path)
        answer = cutter.split(scan, Job(path.name))
        os.close(scan)
        assert cutter._child is not None
        status = Path(f"/proc/{cutter._child.process.pid}/status").read_text()
    for name in answer.files:
        (folder / name).unlink()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _help() -> None:
    subprocess.run(
        [sys.executable, "-m", "bridge.scans", "split", "--help"], stdout=subprocess.DEVNULL, check=True
    )


def _many(path: str) -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(8):
            _in_process(Path(path), Path(folder))


def _two(path: Path, folder: Path) -> float:
    # Spawned: libvips does not survive a fork.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_many, [str(path)] * 2))
        start = time.perf_counter()
        _ = list(pool.map(_many, [str(path)]))
        one = time.perf_counter() - start
        start = time.perf_counter()
        _ = list(pool.map(_many, [str(path)] * 2))
        return 2 * one / (time.perf_counter() - start)
