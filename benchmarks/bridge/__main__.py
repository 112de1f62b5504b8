"""Boots a server, installs the bridge on it as a person would, and prints what it measured in Markdown."""

import asyncio
import platform
import sys
from datetime import date
from pathlib import Path

from benchmarks.bridge import measure
from benchmarks.bridge.hands import Hands
from benchmarks.bridge.measure import Bench, Memory
from benchmarks.bridge.place import PYTHON, TILES, installed, started
from benchmarks.bridge.table import Figure, Series, markdown, mib, ms, percent, times
from tests.e2e.box import Box
from tests.e2e.server import Server

ROUNDS = 60
STARTS = 15
WEAR = 600  # toggles: more than a house makes in an hour
IDLE = 120.0  # seconds


def load() -> str:
    return " ".join(Path("/proc/loadavg").read_text().split()[:3])


async def run(server: Server) -> None:
    print(f"{date.today()}, {machine(server.box)}; load {load()} before, ", end="")
    phone = await server.phone()
    try:
        with Hands(server.box) as root, Hands(server.box, "bellpull") as bellpull:
            tiles = [await phone.tile(f"Tile {number:02}") for number in range(TILES - 1)]
            bench = Bench(server, phone, tiles, await phone.tile("Daemon"), root, bellpull)
            print(await everything(bench))
    finally:
        await server.close()


async def everything(bench: Bench) -> str:
    fresh = measure.memory(bench)
    idle = await measure.idle(bench, IDLE)
    toggles = await measure.toggles(bench, ROUNDS)
    changes = await measure.changes_outside(bench, ROUNDS)
    helper = measure.helper(bench, ROUNDS)
    answer = await measure.daemons(bench, ROUNDS // 3)
    await measure.wear(bench, WEAR)
    worn = measure.memory(bench)
    starts = await measure.starts(bench, bench.phone.pairing.pairing_data, STARTS)
    return "\n\n".join(
        [
            f"{load()} after.",
            markdown(
                ["figure to reach", "measured (median)", "goal", "reached"],
                [figure.row() for figure in figures(toggles, changes, helper, starts, worn, idle)],
            ),
            markdown(
                ["", "n", "least", "median", "95 %", "between quartiles"],
                [series.row() for series in (*toggles[:3], answer, *toggles[3:], *changes, *helper, *starts)],
            ),
            markdown(
                ["memory", "RSS", "PSS"],
                [
                    ["after the start", mib(fresh.rss), mib(fresh.pss)],
                    [f"after {WEAR} toggles and more", mib(worn.rss), mib(worn.pss)],
                ],
            ),
        ]
    )


def figures(
    toggles: list[Series],
    changes: list[Series],
    helper: list[Series],
    starts: list[Series],
    worn: Memory,
    idle: float,
) -> list[Figure]:
    starting, by_sudo, *_ = toggles
    _, _, net, python = helper
    read, _, ended = starts
    return [
        *(Figure(series.what, series.median, 0.060, ms) for series in changes),
        Figure("PUT to unit starting, beyond sudo's", starting.median - by_sudo.median, 0.040, ms),
        Figure(net.what, net.median, 0.050, ms),
        Figure(f"the same against {python.what}", net.median / python.median, 2, times),
        Figure(f"idle processor time, {TILES} tiles, {IDLE:.0f} s", idle, 0.0005, percent),
        Figure(read.what, read.median, 0.6, ms),
        Figure("RSS after all of it", worn.rss, 64 * 10**6, mib),
        Figure(ended.what, ended.median, 0.150, ms),
    ]


def machine(box: Box) -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    python = box.run([PYTHON, "--version"]).stdout.strip()
    return f"{len(models)} x {models[0]}, Linux {platform.release()}, {python} in the box"


def main() -> int:
    with installed() as box:
        asyncio.run(run(started(box)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
