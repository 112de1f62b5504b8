"""One scan to its photos: decode, detect, crop, encode, file. Runs in a worker; the batch is elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bridge.scans import trim
from bridge.scans.crop import cut
from bridge.scans.decode import Page, pages
from bridge.scans.detect import Photo, detect
from bridge.scans.encode import SUFFIXES, encode
from bridge.scans.files import Shelf
from bridge.scans.order import reading_order
from bridge.scans.preview import preview


@dataclass(frozen=True)
class Job:
    """What to do with one scan; `token` names its unfinished files."""

    scan: str
    output: str
    token: str
    format: str = "png"
    quality: int = 92
    sidecar: bool = False
    preview: bool = False
    trim_borders: bool = False
    dry_run: bool = False


@dataclass
class Outcome:
    """`photos` as in the sidecar; `files` what was written."""

    photos: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def split(job: Job) -> Outcome:
    """ScanProblem where the scan cannot be read or the photos not written; then nothing is left behind."""
    path = Path(job.scan)
    outcome = Outcome()
    described: dict[str, Any] = {"file": path.name, "pages": []}
    with Shelf(Path(job.output), job.token) as shelf:
        for page in pages(path):
            _split_page(job, path.stem, page, shelf, outcome)
            described["pages"].append(_described(page))
            outcome.notes += page.notes
        if job.sidecar and not job.dry_run:
            shelf.put(f"{path.stem}.json", _sidecar(outcome, described))
        outcome.files = shelf.publish()
    return outcome


def _split_page(job: Job, stem: str, page: Page, shelf: Shelf, outcome: Outcome) -> None:
    detection = detect(page.opaque(), page.dpi)
    photos = detection.photos
    photos = [photos[n] for n in reading_order([photo.quad for photo in photos])]
    if job.trim_borders:
        photos = [_trimmed(page, photo) for photo in photos]
    prefix = f"{stem}-p{page.number}" if page.count > 1 else stem
    for n, photo in enumerate(photos, 1):
        name = f"{prefix}-{n}.{SUFFIXES[job.format]}"
        if not job.dry_run:
            white = np.iinfo(page.pixels.dtype).max
            crop = cut(page.pixels, photo.quad, int(white), detection.bars)
            if crop.partial:
                photo.notes.append("runs past the scan's edge")
            content, converted = encode(page, crop.pixels, crop.turned, job.format, job.quality)
            photo.notes += converted
            shelf.put(name, content)
        outcome.photos.append(
            {
                "quad": np.round(photo.quad, 3).tolist(),
                "crop": name,
                "page": page.number,
                "confidence": photo.confidence,
                "notes": photo.notes,
            }
        )
    if job.preview and not job.dry_run:
        shelf.put(f"{prefix}-preview.jpg", preview(page.opaque(), photos))


def _described(page: Page) -> dict[str, Any]:
    height, width = page.pixels.shape[:2]
    facts = {"page": page.number, "width": width, "height": height, "dpi": page.dpi, "bits": page.bits}
    return {**facts, "notes": page.notes}


def _trimmed(page: Page, photo: Photo) -> Photo:
    quad = trim.without_border(page.opaque(), photo.quad, page.dpi)
    if quad is None:
        return photo
    return Photo(quad, photo.confidence, [*photo.notes, "border trimmed"])


def _sidecar(outcome: Outcome, scan: dict[str, Any]) -> bytes:
    return (json.dumps({"photos": outcome.photos, "scan": scan}, indent=1) + "\n").encode()
