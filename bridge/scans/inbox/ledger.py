"""The intentions, written down before the deeds: what a crash left half done is carried on from here.

One JSON object a line, appended and synced. `do` is what is about to happen to a scan:

    publish    its photos lie complete in `work`; each goes to its place, then the original to `to`
    fail       the original goes to `to`, `reason` beside it
    duplicate  the original goes to `to`
    redo       as publish, after the photos of before went `aside`; the original is at `to` already
    end        that has happened (`sha256` and `scan` as above)
    batch      so has the end of a batch: what ended before it is counted

What has happened carries the `event` that is told of it. Events are numbered from 1 on, over all runs, so
that whoever hears them can say up to which one, and hears the others from the next run.

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

PUBLISH, FAIL, DUPLICATE, REDO, END, BATCH = "publish", "fail", "duplicate", "redo", "end", "batch"
NEWS = 7 * 86400.0  # seconds until what nobody has heard is no news any more


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
    event: dict[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=lambda: round(time.time(), 3))

    @property
    def places(self) -> list[str]:
        """Its photos and its sidecar, below output."""
        return [place for _, place in self.moves if not place.startswith(".")]


class Ledger:
    """The file at `relative`.

    known  hashes whose photos are out, and where the original is
    open   what is to be carried on
    count  how many events there were, `news` those of late, by their number
    batch  events of the batch that is not over
    """

    def __init__(self, tree: Tree, relative: str) -> None:
        self.known: dict[str, str] = {}
        self.open: dict[tuple[str, str], Entry] = {}
        self.count = 0
        self.news: dict[int, dict[str, Any]] = {}
        self.batch: list[dict[str, Any]] = []
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

    @property
    def identity(self) -> int:
        """Tells it from another one, whose numbers are others."""
        return os.fstat(self._fd).st_ino

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
        if entry.event:
            self._number(entry)
        key = (entry.sha256, entry.scan)
        if entry.do == BATCH:
            return
        if entry.do != END:
            self.open[key] = entry
            return
        opened = self.open.pop(key, None)
        if opened is not None and opened.do == PUBLISH:
            self.known[entry.sha256] = opened.to

    def _number(self, entry: Entry) -> None:
        self.count += 1
        if entry.at < time.time() - NEWS:
            self.batch.clear()
            return
        self.news[self.count] = entry.event
        if entry.do == BATCH:
            self.batch.clear()
        else:
            self.batch.append(entry.event)


class Told:
    """Up to which event somebody has heard, in a file of its own: a number, written over itself.

    Without a file nothing of before is news. No sync: after a power cut the last few may be told again.
    """

    def __init__(self, tree: Tree, relative: str, count: int) -> None:
        with tree.parent(relative, make=True) as (folder, name):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(name, flags, 0o666, dir_fd=folder)
        written = os.pread(self._fd, 32, 0).strip()
        self.n = min(int(written), count) if written.isdigit() else count
        self._write()

    def close(self) -> None:
        os.close(self._fd)

    def upto(self, n: int) -> None:
        """OSError."""
        if n > self.n:
            self.n = n
            self._write()

    def _write(self) -> None:
        os.pwrite(self._fd, b"%020d\n" % self.n, 0)


def _entry(line: bytes) -> Entry | None:
    try:
        written: dict[str, Any] = json.loads(line)
        return Entry(**written)
    except (ValueError, TypeError):
        return None
