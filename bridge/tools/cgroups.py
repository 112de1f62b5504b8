"""Control groups, read without privilege: their files under cgroup v2 are open to everybody (cgroups(7)).

Paths are as systemd tells them, from the root of the hierarchy ("/system.slice/smbd.service").
"""

import os
import re
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


def of_container(id: str) -> str:
    """The control group of a container of Docker's, by its id; nothing when there is none.

    Where Docker puts it: below systemd's slice or a group of its own, or where --cgroup-parent says.
    """
    for group in (f"/system.slice/docker-{id}.scope", f"/docker/{id}"):
        if folder(group).is_dir():
            return group
    names = (f"docker-{id}.scope", id)
    found = (f"{above}/{name}" for above, below, _ in os.walk(root()) for name in names if name in below)
    return next(found, "").removeprefix(str(root()))


def first_process(cgroup: str) -> int:
    """The process that the others in it come from: number 1 in its namespace, or the one there longest."""
    pids = sorted(processes(cgroup))
    for pid in pids:
        try:
            if re.search(r"^NSpid:.*\s1$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
                return pid
        except OSError:
            pass  # it has just ended
    return next(iter(pids), 0)


def still_there(vitals: Vitals) -> bool:
    """Whether groups and processes are the ones they were; some 50 µs for one of each."""
    if not all(folder(cgroup).is_dir() for cgroup in vitals.cgroups):
        return False
    return all(any(holds(cgroup, pid) for cgroup in vitals.cgroups) for pid in vitals.pids)


def cpu(cgroup: str) -> tuple[int, float]:
    """(what tells it from a later group of this name, processor seconds used in it and below).

    Raises OSError: FileNotFoundError when there is no such group, or only version 1 of them.
    """
    with (folder(cgroup) / "cpu.stat").open("rb", buffering=0) as file:
        found = re.match(rb"usage_usec (\d+)", file.read(64))
        if found is None:
            raise FileNotFoundError(f"{cgroup}: cpu.stat says nothing of usage_usec")
        return os.fstat(file.fileno()).st_ino, int(found[1]) / 1e6


def memory(cgroup: str) -> int:
    """Bytes in use, without the files' pages that the kernel could drop at once, as `docker stats` counts.

    Raises OSError: FileNotFoundError where the memory controller is not on.
    """
    used = int((folder(cgroup) / "memory.current").read_bytes())
    found = re.search(rb"^inactive_file (\d+)", (folder(cgroup) / "memory.stat").read_bytes(), re.MULTILINE)
    return max(0, used - int(found[1]) if found else used)


def processes(cgroup: str) -> list[int]:
    """All that live in it and below; empty when it is gone."""
    found: list[int] = []
    for here, _, _ in os.walk(folder(cgroup)):
        try:
            found += map(int, (Path(here) / "cgroup.procs").read_bytes().split())
        except OSError:
            pass  # it has just been removed
    return found
