"""`python -m bridge.scans.demo FOLDER`: an inbox with three scans to try, unless the folder is there."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from bridge.scans import png
from bridge.scans.arrays import Array

DPI = 150
GLASS = (1754, 1240)  # A4
NAMES = ("Summer 1987/scan0001.png", "Summer 1987/scan0002.png", "1964-06 Wedding.png")


def main(folder: Path) -> None:
    if folder.exists():
        return
    for seed, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png.encode(scan(seed), 8, DPI, None))
    (folder.parent / "photos").mkdir(exist_ok=True)


def scan(seed: int) -> Array:
    """Two prints on a lid that is not quite white, RGB; the second one lies askew."""
    random = np.random.default_rng(seed)
    glass = np.full((*GLASS, 3), 241.0, np.float32)
    for n, angle in enumerate((0.0, random.uniform(2, 7))):
        print_ = _print(random)
        height, width = print_.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        turn[:, 2] += np.array([random.uniform(90, 200), 120.0 + 800 * n])
        size = GLASS[::-1]
        cover = cv2.warpAffine(np.ones((height, width), np.float32), turn, size, flags=cv2.INTER_AREA)[
            ..., None
        ]
        glass = cv2.warpAffine(print_, turn, size) * cover + glass * (1 - cover)
    return np.asarray(np.clip(glass + random.normal(0, 1.2, glass.shape), 0, 255).astype(np.uint8))


def _print(random: np.random.Generator) -> Array:
    """A landscape, more or less: sky, hills, and the grain of an old picture."""
    height, width = 590, 885
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = (1 - down) * random.uniform(90, 200, 3) + down * random.uniform(120, 220, 3)
    picture: Array = np.broadcast_to(sky, (height, width, 3)).astype(np.float32).copy()
    across = np.arange(width)
    for depth in range(3):
        waves = sum(np.sin(across / random.uniform(40, 160) + random.uniform(0, 6)) for _ in range(3))
        horizon = (height * (0.45 + 0.17 * depth) + 25 * np.asarray(waves)).astype(int)
        colour = random.uniform(30, 130, 3) * (1 - 0.2 * depth)
        picture[np.arange(height)[:, None] > horizon[None, :]] = colour
    grain = random.normal(0, 6, picture.shape)
    return np.asarray(picture + grain, np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
