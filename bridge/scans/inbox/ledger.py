"""The intentions, written down before the deeds: what a crash left half done is carried on from here.

One JSON object a line, appended and synced. `do` is what is about to happen to a scan:

    publish    its photos lie complete in `work`; each goes to its place, then the original to `to`
    fail       the original goes to `to`, `reason` beside it
    duplicate  the original goes to `to`
    redo       as publish, after the photos of before went `aside`; the original is at `to` already
    end        that has happened (`sha256` and `scan` as above)

A line that a power cut left torn is no intention: its deed was not begun.
"""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.scans.inbox.tree import Tree

PUBLISH, FAIL, DUPLICATE, REDO, END = "publish", "fail", "duplicate", "redo", "end"


@dataclass
class Entry:
    """`scan` and `to` are relative to the inbox and to done, failed or duplicates.

    moves  [name in the work folder, place below output], in order
    aside  [place below output, another one], before the moves
    lines  what is to be looked at, for review.txt
    """

    do: str
    scan: str
    sha256: str
    to: str = ""
    reason: str = ""
    work: str = ""
    moves: list[list[str]] = field(default_factory=list)
    aside: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    at: float = field(default_factory=lambda: round(time.time(), 3))

    @property
    def places(self) -> list[str]:
        """Its photos and its sidecar, below output."""
        return [place for _, place in self.moves if not place.startswith(".")]


class Ledger:
    """The file in `folder`; `known` are the hashes whose photos are out, `open` what is to be carried on."""

    def __init__(self, tree: Tree, relative: str) -> None:
        self.known: dict[str, str] = {}
        self.open: dict[tuple[str, str], Entry] = {}
        with tree.parent(relative, make=True) as (folder, name):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(name, flags, 0o666, dir_fd=folder)
            os.fsync(folder)
        content = self._content()
        for line in content.splitlines():
            if entry := _entry(line):
                self._take(entry)
        if content and not content.endswith(b"\n"):
            self._append(b"\n")  # a torn line ends here, so that the next one is whole

    def close(self) -> None:
        os.close(self._fd)

    def write(self, entry: Entry) -> None:
        """On the disk when this returns; OSError, and then it was not written."""
        self._append(json.dumps(asdict(entry)).encode() + b"\n")
        self._take(entry)

    def published(self) -> list[Entry]:
        """Everything whose photos are out, the oldest first."""
        entries = filter(None, map(_entry, self._content().splitlines()))
        return [entry for entry in entries if entry.do in (PUBLISH, REDO)]

    def _content(self) -> bytes:
        with open(f"/proc/self/fd/{self._fd}", "rb") as file:  # noqa: PTH123 - an offset of its own
            return file.read()

    def _append(self, line: bytes) -> None:
        length = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, length)
            raise

    def _take(self, entry: Entry) -> None:
        key = (entry.sha256, entry.scan)
        if entry.do != END:
            self.open[key] = entry
            return
        opened = self.open.pop(key, None)
        if opened is not None and opened.do == PUBLISH:
            self.known[entry.sha256] = opened.to


def _entry(line: bytes) -> Entry | None:
    try:
        written: dict[str, Any] = json.loads(line)
        return Entry(**written)
    except (ValueError, TypeError):
        return None
