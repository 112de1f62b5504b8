"""A sample of the benchmark, with real photographs out of packages. The whole: docs/scans.md."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from benchmarks.scans import photographs
from benchmarks.scans.compose import CATEGORIES, compose
from benchmarks.scans.score import judge
from bridge.scans.detect import detect

SEEDS = (40_001, 40_002)


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="the photographs come out of Debian packages")
def test_of_a_sample_of_every_category_nothing_is_lost_and_nearly_all_is_perfect() -> None:
    photographs.fetch()
    faults: Counter[str] = Counter()
    wrong: list[str] = []
    sure_and_wrong = 0
    for category in CATEGORIES:
        for seed in SEEDS:
            scan = compose(category, seed)
            photos = detect(scan.pixels, scan.dpi).photos
            verdict = judge(scan, [photo.quad for photo in photos])
            faults["lost"] += verdict.lost
            sure_and_wrong += sum(
                not ok and photo.confidence > 0.9 for ok, photo in zip(verdict.good, photos, strict=True)
            )
            if not verdict.perfect:
                wrong.append(f"{category} {seed}: {verdict.faults()}")
    assert faults["lost"] == 0, wrong
    assert len(wrong) <= 0.1 * len(CATEGORIES) * len(SEEDS), wrong
    assert sure_and_wrong <= 1, wrong
