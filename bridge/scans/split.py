"""One scan to its photos: decode, detect, crop, encode, file. Runs in a worker; cutter.py starts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np

from bridge.scans import trim
from bridge.scans.arrays import Array
from bridge.scans.bars import find_bars
from bridge.scans.crop import cut
from bridge.scans.decode import Page, pages
from bridge.scans.detect import Detection, Photo, detect
from bridge.scans.encode import SUFFIXES, encode
from bridge.scans.files import Shelf
from bridge.scans.job import THUMB, Answer, Job
from bridge.scans.order import reading_order
from bridge.scans.preview import preview, thumbnail
from bridge.scans.problem import ScanProblem
from bridge.scans.stamp import Stamp, stamped

MM = 25.4


@dataclass
class _Work:
    """A scan on its way; `shelf` is None in a dry run."""

    job: Job
    shelf: Shelf | None
    photos: list[dict[str, Any]] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def split(
    scan: int, folder: int | None, token: str, job: Job, page_done: Callable[[], None] = lambda: None
) -> Answer:
    """Split the scan of a descriptor into the folder of another (None: a dry run). ScanProblem where it
    cannot be read or the photos not written; then nothing is left behind.
    """
    if job.dry_run or folder is None:
        work = _Work(job, None)
        _split_pages(work, scan, page_done)
        return Answer(photos=work.photos, notes=work.notes)
    with Shelf(folder, token) as shelf:
        work = _Work(job, shelf)
        _split_pages(work, scan, page_done)
        if job.sidecar:
            shelf.put(f"{_stem(job)}.json", _sidecar(work))
        return Answer(photos=work.photos, files=shelf.publish(), notes=work.notes)


def _split_pages(work: _Work, scan: int, page_done: Callable[[], None]) -> None:
    for page in pages(scan):
        _split_page(work, page)
        page_done()


def _split_page(work: _Work, page: Page) -> None:
    job, opaque = work.job, page.opaque()
    detection = _found(opaque, page) if job.quads is None else _given(opaque, page, job.quads)
    photos = detection.photos
    if job.trim_borders:
        photos = [_trimmed(opaque, page.dpi, photo) for photo in photos]
    prefix = f"{_stem(job)}-p{page.number}" if page.count > 1 else _stem(job)
    for n, photo in enumerate(photos, 1):
        name = f"{prefix}-{n}.{SUFFIXES[job.format]}"
        if work.shelf is not None:
            content, pixels = _crop(page, Detection([photo], detection.bars), job)
            work.shelf.put(name, content)
            if job.thumbnails:
                work.shelf.put(f"{name}{THUMB}", thumbnail(pixels))
        work.photos.append(_row(photo, name, page))
    if job.preview and work.shelf is not None:
        work.shelf.put(f"{prefix}-preview.jpg", preview(opaque, photos))
    work.pages.append(_described(page))
    work.notes += page.notes


def _found(opaque: Array, page: Page) -> Detection:
    detection = detect(opaque, page.dpi)
    order = reading_order([photo.quad for photo in detection.photos])
    return Detection([detection.photos[n] for n in order], detection.bars)


def _given(opaque: Array, page: Page, quads: list[tuple[int, list[list[float]]]]) -> Detection:
    """What a person has corrected is believed, and needs no look."""
    photos = [
        Photo(np.array(quad, float) * page.scale, 1.0, ["corners given"])
        for number, quad in quads
        if number == page.number
    ]
    return Detection(photos, find_bars(opaque, page.dpi / MM))


def _crop(page: Page, detection: Detection, job: Job) -> tuple[bytes, Array]:
    """The file of one photo and its pixels; the photo's notes learn what had to be done."""
    [photo] = detection.photos
    white = int(np.iinfo(page.pixels.dtype).max)
    try:
        crop = cut(page.pixels, photo.quad, white, detection.bars)
    except ValueError as error:
        raise ScanProblem(f"{error}; correct its corners") from None
    if crop.partial:
        photo.notes.append("runs past the scan's edge")
    content, converted = encode(page, crop.pixels, crop.turned, job.format, job.quality)
    photo.notes += converted
    stamp = Stamp(job.taken, job.known, job.album)
    return stamped(content, stamp, job.format), crop.pixels


def _row(photo: Photo, name: str, page: Page) -> dict[str, Any]:
    return {
        "quad": np.round(photo.quad / page.scale, 3).tolist(),
        "crop": name,
        "page": page.number,
        "confidence": photo.confidence,
        "notes": photo.notes,
    }


def _stem(job: Job) -> str:
    return PurePath(job.name).stem


def _described(page: Page) -> dict[str, Any]:
    height, width = page.pixels.shape[:2]
    width, height = round(width / page.scale[0]), round(height / page.scale[1])
    facts = {"page": page.number, "width": width, "height": height, "dpi": page.dpi, "bits": page.bits}
    return {**facts, "notes": page.notes}


def _trimmed(opaque: Array, dpi: float, photo: Photo) -> Photo:
    quad = trim.without_border(opaque, photo.quad, dpi)
    if quad is None:
        return photo
    return Photo(quad, photo.confidence, [*photo.notes, "border trimmed"])


def _sidecar(work: _Work) -> bytes:
    scan = {"file": work.job.name, "pages": work.pages}
    return (json.dumps({"photos": work.photos, "scan": scan}, indent=1) + "\n").encode()
