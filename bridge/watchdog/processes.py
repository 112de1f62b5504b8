"""Processes, where control groups do not tell: one found by its command line, and its children.

psutil takes 30 ms and 3 MB to load, so who needs none of this does not load it. Reading a
command line can hang with its process, so all of this belongs into a thread.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psutil import Process

Used = dict[tuple[int, float], float]
"""Processor seconds used so far, by what used them: (process id, its start in seconds since 1970), or
(a control group's number, 0)."""


def oldest(pattern: "re.Pattern[str]", among: Iterable[int] | None) -> "Process | None":
    """The oldest whose command line matches while its parent's does not, as Monit chooses.

    among  only these process ids; None for all of the machine but the bridge itself
    """
    import psutil

    pids = psutil.pids() if among is None else among
    lines = {process: line for process in existing(pids) if (line := command_line(process))}
    found = {
        process for process, line in lines.items() if process.pid != os.getpid() and pattern.search(line)
    }
    first = [process for process in found if _parent(process) not in {one.pid for one in found}]
    return min(first, key=lambda process: process.create_time(), default=None)


def existing(pids: Iterable[int]) -> "list[Process]":
    import psutil

    found = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid))
        except psutil.Error:
            pass  # it has just ended
    return found


def command_line(process: "Process") -> str:
    """Its words with spaces between them; empty for the kernel's own, and when it has ended."""
    import psutil

    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def with_children(processes: "Sequence[Process]") -> "list[Process]":
    import psutil

    found = {process.pid: process for process in processes}
    for process in processes:
        try:
            found |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.Error:
            pass
    return list(found.values())


def cpu(processes: "Iterable[Process]") -> Used:
    """What each has used itself; children that have ended count for nothing, as in Monit."""
    import psutil

    used: Used = {}
    for process in processes:
        try:
            times = process.cpu_times()
            used[process.pid, process.create_time()] = times.user + times.system
        except psutil.Error:
            pass
    return used


def memory(processes: "Iterable[Process]") -> int:
    """The sum of their resident sets in bytes; what they share counts for each."""
    import psutil

    found = 0
    for process in processes:
        try:
            found += process.memory_info().rss
        except psutil.Error:
            pass
    return found


def hidden() -> str:
    """Why others' processes cannot be seen, if so."""
    try:
        Path("/proc/1/stat").read_bytes()
    except OSError:
        return "; /proc is mounted with hidepid, which hides the processes of others"
    return ""


def _parent(process: "Process") -> int:
    import psutil

    try:
        return process.ppid()
    except psutil.Error:
        return 0
