"""One scan in hand: what is asked of the engine for it, and what is decided about its answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from bridge.scans.cutter import Cutter
from bridge.scans.inbox.dates import taken
from bridge.scans.inbox.ledger import PUBLISH, Entry
from bridge.scans.inbox.names import OWN, free, stem, thumbnail
from bridge.scans.inbox.outcome import Outcome, Stuck
from bridge.scans.inbox.settings import Settings
from bridge.scans.inbox.tree import digest
from bridge.scans.job import THUMB, Answer, Job

if TYPE_CHECKING:
    from bridge.scans.inbox.work import Bench

SURE = 0.9  # the confidence below which a person is asked to look


Quads = list[tuple[int, list[list[float]]]]


class Task:
    """A scan that is being split."""

    def __init__(self, bench: Bench, scan: str, sha256: str, fd: int, slot: int) -> None:
        self.bench, self.scan, self.sha256, self.fd = bench, scan, sha256, fd
        self.work = bench.work_folder(slot)
        self.stem = stem(bench.output, scan, bench.stems)
        bench.stems.add(self.stem)
        bench.busy.add(sha256)

    def split(self, cutter: Cutter) -> Answer:
        """Blocks as long as it takes; needs nothing but its own work folder."""
        job = job_for(self.bench.settings, self.scan, self.stem)
        return cutter.split(self.fd, job)

    def finish(self, answer: Answer) -> Outcome | None:
        """Bring it to its end; None when the file was changed meanwhile, so that it is not the time yet."""
        if digest(self.fd) != self.sha256:
            self._drop(answer)
            return None
        if answer.problem is not None:
            if answer.elsewhere:
                raise Stuck(answer.problem)
            return self.bench.fail(self.scan, self.sha256, answer.problem, self.fd)
        to = free(self.bench.trees[PUBLISH], self.scan)
        entry = Entry(PUBLISH, self.scan, self.sha256, to, work=self.work)
        entry.moves = moves(answer, entry, self.stem)
        entry.lines = list(self._doubts(answer))
        return self.bench.decide(entry, self.fd)

    def _doubts(self, answer: Answer) -> Iterator[str]:
        folder = PurePosixPath(self.stem).parent
        for photo in answer.photos:
            if photo["confidence"] < SURE:
                why = "; ".join(photo["notes"])
                yield f"{folder / photo['crop']}  {photo['confidence']:.2f}" + (f"  {why}" if why else "")

    def _drop(self, answer: Answer) -> None:
        with self.bench.output.folder(PurePosixPath(self.work).parts) as folder:
            for name in answer.files:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)

    def close(self) -> None:
        self.bench.stems.discard(self.stem)
        self.bench.busy.discard(self.sha256)
        os.close(self.fd)


def job_for(settings: Settings, scan: str, stem: str, quads: Quads | None = None) -> Job:
    """What the engine is to do with a scan; its date and album come from its own name, wherever it lies."""
    path = PurePosixPath(scan)
    album = path.parts[:-1]
    date = taken(path.stem, album)
    return Job(
        name=PurePosixPath(stem).name + path.suffix,
        format=settings.format,
        trim_borders=settings.trim_borders,
        sidecar=True,
        thumbnails=True,
        taken=date.exif if date else "",
        known=date.known if date else "",
        album="/".join(album),
        quads=quads,
    )


def moves(answer: Answer, entry: Entry, stem: str) -> list[list[str]]:
    """[name in the work folder, place below output] of all that was cut."""
    folder = PurePosixPath(stem).parent
    doubtful = {photo["crop"] + THUMB for photo in answer.photos if photo["confidence"] < SURE}
    return [
        [name, f"{OWN}/thumbs/{thumbnail(name, entry.sha256, doubtful=name in doubtful)}"]
        if name.endswith(THUMB)
        else [name, str(folder / name)]
        for name in answer.files
    ]
