"""What a box leaves outside its namespaces (a folder, a control group), and its removal."""

import os
import shutil
import time
from pathlib import Path

STATES = Path("/var/tmp")  # a disk: an overlay's upper layer may not lie on another overlay
PREFIX = f"bellpull-box-{os.getpid()}-"


def cgroups() -> Path:
    """Where this machine has version 2 control groups. Raises FileNotFoundError if nowhere."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return Path(line.split()[1])
    raise FileNotFoundError("no cgroup2 file system is mounted on this machine")


def remove_cgroup(cgroup: Path, within: float = 10) -> None:
    """Remove a control group whose processes are ending; raises OSError if they do not end."""
    deadline = time.monotonic() + within
    while cgroup.exists():
        try:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                Path(folder).rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def sweep() -> None:
    """Remove what boxes of tests that were killed have left."""
    for parent in (cgroups(), STATES):
        for left in parent.glob("bellpull-box-*"):
            owner = left.name.split("-")[2]
            if Path(f"/proc/{owner}").exists():
                continue
            if parent == STATES:
                shutil.rmtree(left, ignore_errors=True)
            else:
                remove_cgroup(left)
