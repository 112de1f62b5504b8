"""One picture of all photos of a batch, for a look at a glance: `python -m bridge.scans.inbox.sheet OUTPUT`.

The worker left a small JPEG of each photo in `.bellpull/thumbs`; they are gone once the sheet is there.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.inbox.look import natural
from bridge.scans.inbox.names import OWN, is_doubtful, label
from bridge.scans.inbox.tree import Tree, rename_new, write_new
from bridge.scans.job import THUMB

WIDEST = 4000  # pixels
CELL = (60, 260)  # pixels to a side, the least and the most
GAP = 8
LABEL = 18
PAPER, INK, LOOK = 245, (60, 60, 60), (30, 30, 220)  # blue, green, red
DRAFT = "sheet.part"


def main() -> int:
    output = Tree(Path(sys.argv[1]))
    with output.folder((OWN, "thumbs")) as thumbs, output.folder((OWN,)) as own:
        names = sorted((name for name in os.listdir(thumbs) if name.endswith(THUMB)), key=natural_of)
        if not names:
            return 0
        sheet = drawn([Photo(label(name), thumb(thumbs, name), is_doubtful(name)) for name in names])
        if DRAFT in os.listdir(own):
            os.unlink(DRAFT, dir_fd=own)
        write_new(own, DRAFT, sheet)
        _name(own, output.fd)
        for name in names:
            os.unlink(name, dir_fd=thumbs)
    return 0


def _name(own: int, output: int) -> None:
    moment = time.strftime("%Y-%m-%d %H.%M.%S")
    number = 1
    while True:
        more = f" ({number})" if number > 1 else ""
        try:
            rename_new(own, DRAFT, output, f"contact sheet {moment}{more}.jpg")
        except FileExistsError:
            number += 1
        else:
            os.fsync(output)
            return


@dataclass(frozen=True)
class Photo:
    """A cell of the sheet; no picture where it cannot be read."""

    label: str
    picture: Array | None
    doubtful: bool


def natural_of(name: str) -> Any:
    return natural(label(name))


def thumb(folder: int, name: str) -> Array | None:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(fd, "rb") as file:
        content = file.read(1 << 22)
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None


def drawn(photos: list[Photo]) -> bytes:
    """A JPEG, as near to a square as it can be, at most WIDEST wide; what deserves a look has a frame."""
    columns = max(1, round(len(photos) ** 0.5))
    cell = int(np.clip(WIDEST // columns - GAP, *CELL))
    columns = min(columns, WIDEST // (cell + GAP))
    rows = -(-len(photos) // columns)
    paper = np.full((rows * (cell + LABEL + GAP) + GAP, columns * (cell + GAP) + GAP, 3), PAPER, np.uint8)
    for n, photo in enumerate(photos):
        y, x = (GAP + n // columns * (cell + LABEL + GAP), GAP + n % columns * (cell + GAP))
        if photo.picture is not None:
            _put(paper, photo.picture, x, y, cell)
        ink = LOOK if photo.doubtful else INK
        if photo.doubtful:
            cv2.rectangle(paper, (x - 3, y - 3), (x + cell + 2, y + cell + LABEL), LOOK, 3)
        text = photo.label.encode("ascii", "replace").decode()[-cell // 7 :]
        cv2.putText(paper, text, (x, y + cell + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, ink, 1, cv2.LINE_AA)
    done, content = cv2.imencode(".jpg", paper, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return content.tobytes()


def _put(paper: Array, photo: Array, x: int, y: int, cell: int) -> None:
    scale = cell / max(photo.shape[:2])
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    y += (cell - size[1]) // 2
    x += (cell - size[0]) // 2
    paper[y : y + size[1], x : x + size[0]] = small


if __name__ == "__main__":
    sys.exit(main())
