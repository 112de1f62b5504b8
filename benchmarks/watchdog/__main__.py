"""What one look at one watched thing costs: processor time of the bridge's thread, by where it reads.

    python -m benchmarks.watchdog

Measured on this process and its own control group; 2000 looks each (200 where processes are walked).
"""

import asyncio
import os
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bridge.contract import Vitals
from bridge.tools import cgroups
from bridge.watchdog.decide import History, decide
from bridge.watchdog.meter import Meter
from bridge.watchdog.rules import rule


def processes() -> int:
    return len(list(Path("/proc").glob("[0-9]*")))


def own_group() -> str:
    return Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2]


async def cost(texts: Sequence[str], vitals: Vitals, process: str | None, looks: int) -> list[float]:
    """Seconds of processor time of the whole process, a look each."""
    rules = [rule(text) for text in texts]
    meter = Meter((one.what for one in rules), re.compile(process) if process else None, "monit")
    found = []
    for _ in range(looks):
        start = time.process_time()
        values = await meter.read(vitals)
        for one in rules:
            decide(History(), one, values[one.what].value)
        found.append(time.process_time() - start)
    return found


async def main() -> None:
    group, me = own_group(), (os.getpid(),)
    total, memory, alone = (
        "total cpu > 13% for 3 cycles",
        "memory > 2 GiB for 5 cycles",
        "cpu > 13% for 3 cycles",
    )
    rows = [
        ("`total cpu` of a control group", [total], Vitals((group,), me), None, 2000),
        ("`cpu` of its main process", [alone], Vitals((group,), me), None, 2000),
        ("both", [total, alone], Vitals((group,), me), None, 2000),
        ("`memory`, `total cpu` of a process and its children", [memory, total], Vitals((), me), None, 200),
        ("`process:`, looked for on the whole machine", [alone], Vitals(), "benchmarks.watchdog", 200),
    ]
    print(f"{processes()} processes on the machine, load {os.getloadavg()[0]:.1f}\n")
    print("| what | median | 95 % |\n| --- | ---: | ---: |")
    for name, texts, vitals, process, looks in rows:
        found = await cost(texts, vitals, process, looks)
        half, most = statistics.median(found) * 1e3, statistics.quantiles(found, n=20)[-1] * 1e3
        print(f"| {name} | {half:.3f} ms | {most:.3f} ms |")
    start = time.process_time()
    for _ in range(2000):
        cgroups.still_there(Vitals((group,), me))
    print(f"| a service's vitals, still the same | {(time.process_time() - start) / 2:.3f} ms | |")


if __name__ == "__main__":
    asyncio.run(main())
