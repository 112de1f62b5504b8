"""Cuts a scan from done/ again, with the corners that a person has corrected in its sidecar.

The photos of before and the old sidecar go to `.bellpull/before`, a folder for each time; the new ones take
their names. The steps are in the ledger like any other's, so that a crash changes nothing (work.py).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path, PurePosixPath
from typing import Any

from bridge.scans.cutter import Cutter
from bridge.scans.inbox.ledger import PUBLISH, REDO, Entry
from bridge.scans.inbox.names import OWN
from bridge.scans.inbox.outcome import Stuck
from bridge.scans.inbox.settings import Settings
from bridge.scans.inbox.task import Quads, job_for, moves
from bridge.scans.inbox.tree import digest
from bridge.scans.inbox.work import Bench
from bridge.scans.problem import UsageProblem


def redo(settings: Settings, scan: str) -> str:
    """Returns a line for a person. UsageProblem where there is no such scan or the sidecar makes no sense."""
    bench = Bench(settings)
    try:
        bench.recover()
        last = _last(bench, scan)
        sidecar = next(place for place in last.places if place.endswith(".json"))
        return _again(bench, last, sidecar)
    finally:
        bench.close()


def _last(bench: Bench, scan: str) -> Entry:
    """What was published of it last; a person names the scan below done/, its path, or its sidecar."""
    names = {scan}
    for folder in (bench.settings.done, bench.settings.output):
        absolute = Path(os.path.abspath(scan))  # noqa: PTH100 - resolve() would follow links
        if absolute.is_relative_to(folder):
            names.add(str(absolute.relative_to(folder)))
    for entry in reversed(bench.ledger.published()):
        if names & {entry.to, *(place for place in entry.places if place.endswith(".json"))}:
            return entry
    raise UsageProblem(f"{scan}: no such scan in {bench.settings.done}; say its name there, or its sidecar")


def _again(bench: Bench, last: Entry, sidecar: str) -> str:
    quads = read_quads(bench.settings.output / sidecar)
    try:
        scan = bench.trees[PUBLISH].open(last.to)
    except OSError as error:
        raise UsageProblem(f"{bench.settings.done / last.to}: {error.strerror}") from None
    try:
        if digest(scan) != last.sha256:
            raise UsageProblem(f"{bench.settings.done / last.to}: another scan than the one that was worked")
        work = bench.work_folder(0)
        stem = str(PurePosixPath(sidecar).with_suffix(""))
        job = job_for(bench.settings, last.scan, stem, quads)
        with Cutter(bench.settings.output / work) as cutter:
            answer = cutter.split(scan, job)
        if answer.problem is not None:
            raise Stuck(f"{last.to}: {answer.problem}")
        aside = f"{OWN}/before/{time.strftime('%Y%m%d-%H%M%S')}-{last.sha256[:8]}"
        entry = Entry(REDO, last.scan, last.sha256, last.to, work=work)
        entry.aside = [[place, f"{aside}/{place}"] for place in last.places]
        entry.moves = moves(answer, entry, stem)
        bench.decide(entry, scan)
    finally:
        os.close(scan)
    count = len(answer.photos)
    return f"{last.to}: {count} {'photo' if count == 1 else 'photos'}; those of before are in {aside}"


def read_quads(sidecar: Path) -> Quads:
    """The corners in a sidecar, [page, quad] in the order of its photos. UsageProblem."""
    try:
        written: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
        return [(_page(photo), _quad(photo["quad"])) for photo in written["photos"]]
    except OSError as error:
        raise UsageProblem(f"{sidecar}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UsageProblem(
            f'{sidecar}: not a sidecar; "photos" is a list of {{"page": 1, "quad": [[x, y], …four]}}'
        ) from None


def _page(photo: dict[str, Any]) -> int:
    page = photo.get("page", 1)
    if not isinstance(page, int) or page < 1:
        raise ValueError(page)
    return page


def _quad(written: Any) -> list[list[float]]:
    quad = [[float(x), float(y)] for x, y in written]
    if len(quad) != 4 or not all(abs(value) < 1e6 for corner in quad for value in corner):
        raise ValueError(written)
    return quad
