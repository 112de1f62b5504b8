"""Control groups, read without privilege: their files under cgroup v2 are open to everybody (cgroups(7)).

Paths are as systemd tells them, from the root of the hierarchy ("/system.slice/smbd.service").
"""

from functools import cache
from pathlib import Path

from bridge.contract import Vitals

# cgroup v2, the v2 part of a hybrid, and systemd's tree under v1, which only lists processes.
ROOTS = tuple(map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")))


@cache
def root() -> Path:
    """Where the control groups of systemd's units lie on this machine."""
    return next((path for path in ROOTS if (path / "cgroup.procs").exists()), ROOTS[0])


def folder(cgroup: str) -> Path:
    return root() / cgroup.lstrip("/")


def holds(cgroup: str, pid: int) -> bool:
    """Whether this process lives, in this group or below it."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return any(line.partition(":")[2].partition(":")[2].startswith(cgroup) for line in lines)


def still_there(vitals: Vitals) -> bool:
    """Whether groups and processes are the ones they were; some 50 µs for one of each."""
    if not all(folder(cgroup).is_dir() for cgroup in vitals.cgroups):
        return False
    return all(any(holds(cgroup, pid) for cgroup in vitals.cgroups) for pid in vitals.pids)
