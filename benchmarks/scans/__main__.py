"""`python -m benchmarks.scans`: accuracy by category, seconds and memory, beside baselines and the floor.

The seed is new for every set of figures that is published; tuning uses seeds below 1000.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "VIPS_CONCURRENCY"):
    os.environ.setdefault(name, "1")  # before the libraries read it: one scan, one core

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.scans import speed  # noqa: E402
from benchmarks.scans.baselines import BASELINES  # noqa: E402
from benchmarks.scans.compose import CATEGORIES, Composed, compose  # noqa: E402
from benchmarks.scans.score import Verdict, judge  # noqa: E402

OURS = "bellpull"
FAULTS = ("lost", "merged", "split", "cut", "extra", "loose", "bar")


@dataclass
class Tally:
    """What came of one tool's scans of one category."""

    scans: int = 0
    perfect: int = 0
    photos: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    corners: list[float] = field(default_factory=list)
    angles: list[float] = field(default_factory=list)
    sure: list[bool] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.scans += 1
        self.perfect += verdict.perfect
        self.photos += verdict.truth
        for fault in FAULTS:
            self.faults[fault] += int(getattr(verdict, fault))
        self.corners += verdict.corners
        self.angles += verdict.angles


def main() -> int:
    arguments = _parser().parse_args()
    cv2.setNumThreads(1)
    results: dict[str, dict[str, Tally]] = {}
    for category in arguments.categories.split(",") if arguments.categories else CATEGORIES:
        seeds = range(arguments.seed, arguments.seed + arguments.scans)
        results[category] = _category(category, seeds, arguments.beside, arguments.pictures)
        _print_row(category, results[category])
    _print_total(results)
    if not arguments.no_speed:
        speed.report()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=100, help="a category")
    parser.add_argument("--seed", type=int, required=True, help="of the first scan")
    parser.add_argument(
        "--beside", type=int, default=0, metavar="N", help="the baselines on the first N scans, too"
    )
    parser.add_argument("--categories", default="", help="some, with commas between")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the failures")
    parser.add_argument("--no-speed", action="store_true")
    return parser


def _category(category: str, seeds: range, beside: int, pictures: Path | None) -> dict[str, Tally]:
    from bridge.scans.detect import detect

    tallies = {OURS: Tally()} | ({name: Tally() for name in BASELINES} if beside else {})
    for n, seed in enumerate(seeds):
        scan = compose(category, seed)
        photos = detect(scan.pixels, scan.dpi).photos
        verdict = judge(scan, [photo.quad for photo in photos])
        tallies[OURS].add(verdict)
        tallies[OURS].sure += [
            ok for ok, photo in zip(verdict.good, photos, strict=True) if photo.confidence > 0.9
        ]
        if not verdict.perfect:
            print(f"  {category} {seed}: {verdict.faults()}", flush=True)
            if pictures:
                _picture(scan, [photo.quad for photo in photos], pictures / f"{category}-{seed}.jpg")
        if n < beside:
            _beside(scan, tallies)
    return tallies


def _beside(scan: Composed, tallies: dict[str, Tally]) -> None:
    pixels = (scan.pixels >> 8).astype(np.uint8) if scan.pixels.dtype == np.uint16 else scan.pixels
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.png"
        cv2.imwrite(
            str(path), pixels[:, :, ::-1] if pixels.ndim == 3 else pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1]
        )
        for name, baseline in BASELINES.items():
            tallies[name].add(judge(scan, baseline(path)))


def _picture(scan: Composed, quads: list[Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (scan.pixels >> 8).astype(np.uint8) if scan.pixels.dtype == np.uint16 else scan.pixels
    scale = 480 / max(pixels.shape[:2])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR if small.ndim == 2 else cv2.COLOR_RGB2BGR)
    for group, colour in ((scan.quads, (0, 170, 0)), (quads, (40, 40, 230))):
        for quad in group:
            cv2.polylines(
                small, [np.round(quad * scale * 16).astype(np.int32)], True, colour, 1, cv2.LINE_AA, 4
            )
    cv2.imwrite(str(path), small, [cv2.IMWRITE_JPEG_QUALITY, 80])


def _print_row(category: str, tallies: dict[str, Tally]) -> None:
    for name, tally in tallies.items():
        faults = ", ".join(f"{count} {fault}" for fault, count in tally.faults.items() if count) or "-"
        print(
            f"| {category} | {name} | {tally.perfect}/{tally.scans} | {tally.photos} | {faults} |"
            f" {_precision(tally)} |",
            flush=True,
        )


def _precision(tally: Tally) -> str:
    corners, angles = tally.corners or [0.0], tally.angles or [0.0]
    return f"{np.median(corners):.3f} / {np.percentile(corners, 95):.2f} mm, {np.percentile(angles, 95):.3f}°"


def _print_total(results: dict[str, dict[str, Tally]]) -> None:
    for name in next(iter(results.values())):
        tally = Tally()
        for tallies in results.values():
            one = tallies[name]
            tally.scans, tally.perfect = tally.scans + one.scans, tally.perfect + one.perfect
            tally.photos += one.photos
            tally.faults += one.faults
            tally.corners += one.corners
            tally.angles += one.angles
            tally.sure += one.sure
        _print_row("all", {name: tally})
        if tally.sure:
            right = sum(tally.sure)
            print(f"above 0.9: {len(tally.sure)} photos, {right / len(tally.sure):.2%} of them perfect")


if __name__ == "__main__":
    sys.exit(main())
