"""What is asked of the engine, and what it answers. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

THUMB = ".thumb.jpg"


@dataclass(frozen=True)
class Job:
    """What to do with one scan. `name` is its file's: crops are named after it without its suffix.

    `quads` are corners that a person has corrected, as `[page, quad]` in the order of the crops' numbers;
    None: find the photos. `thumbnails` puts a small CROP + THUMB beside each crop. `taken`, `known` and
    `album` go into the crops (stamp.py).
    """

    name: str
    format: str = "png"
    quality: int = 92
    sidecar: bool = False
    preview: bool = False
    trim_borders: bool = False
    dry_run: bool = False
    quads: list[tuple[int, list[list[float]]]] | None = None
    thumbnails: bool = False
    taken: str = ""
    known: str = ""
    album: str = ""


@dataclass(frozen=True)
class Answer:
    """What came of a scan. `problem`, one line for a person, is None when it was split.

    `photos` are as in the sidecar; `files` names all that was written, the crops first; `notes` are
    about the scan. `elsewhere`: the problem is the folder's (full, not writable), and no scan's.
    """

    problem: str | None = None
    photos: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    elsewhere: bool = False
