"""Which folders a person may hand over to be worked in."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import PurePosixPath

from bridge.schema import Node, Wrong, text

SYSTEM = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt/bellpull",
    "/proc",
    "/run/bellpull",
    "/run/systemd",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/bellpull",
    "/var/log",
]
"""The system's own, with everything below."""

SHARED = [
    "/",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/tmp",
    "/var",
    "/var/lib",
    "/var/tmp",
]
"""Folders of folders: what is below belongs to many."""


def folder(node: Node) -> str:
    """A reader for a configuration: an absolute path that could be worked in."""
    written = text(node)
    if problem := problem_of(written):
        raise Wrong(f"{written!r} {problem}")
    return written


def problem_of(written: str) -> str:
    """Why this path cannot be worked in, or nothing."""
    path = PurePosixPath(written)
    if not written.startswith("/") or ".." in path.parts:
        return "is no absolute path; write it from / on, without .."
    if not written.isprintable():
        return "has characters in it that nobody can see; choose another folder"
    if ":" in written:
        return "has a colon in it, which systemd takes for two paths; rename it"
    if str(path) in SHARED or (path.parent == PurePosixPath("/home")):
        return "belongs to many; write a folder in it"
    if any(path.is_relative_to(system) for system in SYSTEM):
        return "is the system's; write a folder of your own"
    return ""


def problems(folders: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of folders taken together: only the originals' own may lie in the inbox."""
    for name, written in folders.items():
        if problem := problem_of(written):
            yield name, f"{written} {problem}"
            return
    for (one, first), (other, second) in combinations(folders.items(), 2):
        here, there = PurePosixPath(first), PurePosixPath(second)
        if here == there:
            yield other, f"{other} and {one} are the same folder; write two"
        elif there.is_relative_to(here) and (one != "inbox" or other == "output"):
            yield other, f"{other} lies in {one}; what is put there would be taken for more of the same"
        elif here.is_relative_to(there):
            yield one, f"{one} lies in {other}; what is put there would be taken for more of the same"
