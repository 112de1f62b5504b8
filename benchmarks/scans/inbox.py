"""A batch through the tile, and the bridge meanwhile: `python -m benchmarks.scans.inbox [--scans 200]`.

A bridge as a child process; a HomeKit controller turns its `process_scans` tile on over A4 scans at 300
DPI, and toggles another tile all the time, before the batch and during it. Each scan is one of a dozen
composed ones with a comment of its own, so that none is known already. Afterwards `bellpull scans split`
cuts the same scans with as many processes: the engine's own speed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.scans import photographs
from benchmarks.scans.compose import compose
from bridge.scans.png import _chunk
from tests.bridge import running
from tests.phone import Tile

DIFFERENT = 12
PAUSE = 0.1  # seconds between two toggles: a phone and the bridge take time from the scans as well
BEFORE = 5.0  # seconds of toggling on a quiet bridge
ROOM = 18 << 20  # bytes on the disk that a scan and its photos take
PATIENCE = 10.0  # seconds a scan may take, all in all

CONFIG = """\
  scans: {{kind: process_scans, inbox: {top}/inbox, output: {top}/photos}}
  lamp:
    kind: command
    on: [touch, {top}/lamp]
    off: [rm, -f, {top}/lamp]
    state: [test, -e, {top}/lamp]
    watch: [{top}/lamp]
"""


def fill(inbox: Path, count: int) -> int:
    """Write the scans; how many photos they hold."""
    photographs.pick = photographs.invented
    originals: list[tuple[bytes, int]] = []
    seed = 700_000
    while len(originals) < DIFFERENT:
        scan = compose("standard", seed, 300)
        seed += 1
        if scan.pixels.dtype == np.uint8 and scan.pixels.ndim == 3:
            done, png = cv2.imencode(".png", scan.pixels[:, :, ::-1])
            assert done
            originals.append((png.tobytes(), len(scan.quads)))
    for n in range(count):
        content, _ = originals[n % DIFFERENT]
        comment = _chunk(b"tEXt", b"Comment\0" + str(n).encode())
        (inbox / f"scan{n}.png").write_bytes(content[:33] + comment + content[33:])
    return sum(originals[n % DIFFERENT][1] for n in range(count))


async def toggled(lamp: Tile, until: float | None, scans: Tile | None) -> list[float]:
    """Milliseconds of each PUT, until a time or until the tile of the scans is off."""
    took, on = [], True
    while True:
        answer = await lamp.turn(on)
        assert answer.status == 0, answer
        took.append(answer.seconds * 1000)
        on = not on
        await asyncio.sleep(PAUSE)
        if until is not None and time.monotonic() > until:
            return took
        if scans is not None and len(took) % 20 == 0 and not await scans.is_on():
            return took


def said(name: str, took: list[float]) -> str:
    cuts = statistics.quantiles(took, n=100)
    return (
        f"| PUT, {name} | {len(took)} | {cuts[49]:.0f} | {cuts[94]:.0f} | {cuts[98]:.0f} | {max(took):.0f} |"
    )


def engine(scans: Path, output: Path) -> float:
    """Seconds that `bellpull scans split` takes over the same scans."""
    options = ["--jobs", str(os.cpu_count()), "--sidecar", "--output", os.fspath(output)]
    command = [sys.executable, "-m", "bridge.scans", "split", *options]
    start = time.monotonic()
    subprocess.run([*command, *scans.glob("*.png")], check=False, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


async def main(count: int) -> None:
    top = Path(tempfile.mkdtemp(prefix="bellpull-bench-"))
    try:
        if shutil.disk_usage(top).free < (needed := count * ROOM):
            raise SystemExit(
                f"{count} scans need {needed >> 30} GB in {top.parent}; set TMPDIR, or fewer --scans"
            )
        (top / "inbox").mkdir()
        (top / "photos").mkdir()
        (top / "state").mkdir()
        photos = fill(top / "inbox", count)
        async with running(CONFIG.format(top=top), top / "state") as bridge:
            phone = await bridge.paired_phone()
            lamp, scans = await phone.tile("Lamp"), await phone.tile("Scans")
            quiet = await toggled(lamp, time.monotonic() + BEFORE, None)
            start = time.monotonic()
            assert (await scans.turn(True)).status == 0
            async with asyncio.timeout(60 + count * PATIENCE):
                busy = await toggled(lamp, None, scans)
            seconds = time.monotonic() - start
        done = len(list((top / "inbox/done").glob("*.png")))
        cut = len(list((top / "photos").glob("scan*.png")))
        shutil.rmtree(top / "photos")
        alone = engine(top / "inbox/done", top / "photos")
        assert len(list((top / "photos").glob("scan*.png"))) == cut
        print("| | n | median ms | 95th | 99th | worst |\n|---|---|---|---|---|---|")
        print(said("quiet bridge", quiet))
        print(said(f"while {count} scans are worked", busy))
        print(f"\n{done} of {count} scans, {cut} photos of {photos}, {seconds:.0f} s, {done / seconds:.2f}/s")
        print(f"scans split, as many processes: {alone:.0f} s, {done / alone:.2f}/s")
    finally:
        shutil.rmtree(top)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=200, help="2000 take 36 GB for a quarter of an hour")
    asyncio.run(main(parser.parse_args().scans))
