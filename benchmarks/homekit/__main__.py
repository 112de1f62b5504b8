"""Compares our bridge with its peers, in a network of its own, and prints tables in Markdown.

    python -m benchmarks.homekit [COUNT ...]          (root; 3, 20 and 149 switches by default)

Fetches the peers from the npm registry once; ten minutes.
"""

import asyncio
import ctypes
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

from benchmarks.homekit.measure import Result, measure
from benchmarks.homekit.places import child, installed
from benchmarks.homekit.subjects import everyone, fetch

COUNTS = (3, 20, 149)
CLONE_NEWNET = 0x40000000  # linux/sched.h; os.unshare is there from Python 3.12 on
LAN = (
    "link set lo up",
    "link add lan0 type veth peer name far0",
    "address add 10.31.8.1/24 dev lan0",
    "link set lan0 up",
    "link set far0 up",
)
UNITS = {"idle CPU": "%", "RSS": "MiB"}


def leave_the_network() -> None:
    """From here on this process and its children have a LAN of their own, and nothing else."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.exit(f"benchmarks.homekit: {os.strerror(ctypes.get_errno())}; run it as root")
    for command in LAN:
        subprocess.run(["ip", *command.split()], check=True)


def load() -> str:
    return " ".join(Path("/proc/loadavg").read_text().split()[:3])


def shown(what: str, value: float | None) -> str:
    if value is None:
        return "never"
    if what == "RSS":
        return f"{value / 2**20:.0f}"
    return f"{value * 100:.2f}" if what == "idle CPU" else f"{value * 1000:.1f}"


def table(results: list[Result]) -> str:
    """One row a measurement, one column a bridge; medians, ms unless said otherwise."""
    heads = ["", *(result.subject for result in results)]
    lines = [heads, ["---", *["---:"] * len(results)]]
    for what in results[0].values:
        unit = UNITS.get(what, "ms")
        lines.append([f"{what}, {unit}", *(shown(what, result.values[what]) for result in results)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    counts = [int(argument) for argument in sys.argv[1:]] or list(COUNTS)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bellpull-peers"
    subjects = everyone(fetch(cache))
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    results = {count: [services(count)] for count in counts}  # first: they come with a network of their own
    leave_the_network()
    for count in counts:
        before = load()
        for subject in subjects:
            print(f"{subject.name}, {count} switches", file=sys.stderr)
            with child(subject, count) as bridge:
                results[count].append(asyncio.run(measure(subject.name, bridge, count)))
        print(f"\n{count} switches (load average before: {before})\n\n{table(results[count])}", flush=True)


def services(count: int) -> Result:
    """Ours with `kind: services`, installed on a real systemd."""
    name = "Bellpull, services"
    print(f"{name}, {count} switches", file=sys.stderr)
    with installed(count) as (box, bridge):
        return asyncio.run(box.lan.run(measure(name, bridge, count)))


main()
