"""Names for what is new: as they are, or with a number, so that nothing is overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from bridge.scans.inbox.tree import Tree
from bridge.scans.job import THUMB

OWN = ".bellpull"  # in the output: ledger, lock, work folders, thumbnails
HASH, SURE, DOUBTFUL = 8, "-", "?"  # in a thumbnail's name: as much of the scan's hash, then one of these
LONGEST_STEM = 180  # bytes; what is added for a crop stays below a name's 255


def free(tree: Tree, wanted: str, also: str = "") -> str:
    """A name that nobody has: "scan.png", "scan (2).png", …; so with `also` behind it."""
    for candidate in _numbered(wanted, len(also)):
        if not tree.exists(candidate) and not (also and tree.exists(candidate + also)):
            return candidate
    raise AssertionError


def stem(tree: Tree, scan: str, taken: Collection[str]) -> str:
    """What a scan's photos are named after: as the scan is, unless others have such photos or will have."""
    path = PurePosixPath(scan)
    there = set(tree.names(path.parts[:-1]))
    for candidate in _numbered(str(path.with_name(short(path.stem, LONGEST_STEM))), 0, suffix=False):
        name = PurePosixPath(candidate).name
        pattern = re.compile(rf"{re.escape(name)}((-p\d+)?-(\d+|preview)\.\w+|\.json)")
        if candidate not in taken and not any(map(pattern.fullmatch, there)):
            return candidate
    raise AssertionError


def thumbnail(photo: str, sha256: str, *, doubtful: bool) -> str:
    """The name of a photo's thumbnail (PHOTO + THUMB); the scan's hash keeps two albums apart."""
    return f"{sha256[:HASH]}{DOUBTFUL if doubtful else SURE}{short(photo, 200, tail=True)}"


def label(thumbnail: str) -> str:
    """The photo's own name."""
    return thumbnail[HASH + 1 :].removesuffix(THUMB)


def is_doubtful(thumbnail: str) -> bool:
    return thumbnail[HASH : HASH + 1] == DOUBTFUL


def _numbered(wanted: str, room: int, *, suffix: bool = True) -> Iterator[str]:
    """The name itself, then with (2), (3) … before its suffix; short enough for `room` more bytes."""
    path = PurePosixPath(wanted)
    stem, tail = (path.stem, path.suffix) if suffix else (path.name, "")
    yield (
        wanted if len(os.fsencode(path.name)) + room <= 255 else str(path.with_name(short(stem, 200) + tail))
    )
    number = 2
    while True:
        yield str(path.with_name(f"{short(stem, 200)} ({number}){tail}"))
        number += 1


def short(name: str, longest: int, *, tail: bool = False) -> str:
    """At most so many bytes, no character cut in half; `tail` keeps the end."""
    while len(os.fsencode(name)) > longest:
        name = name[1:] if tail else name[:-1]
    return name
