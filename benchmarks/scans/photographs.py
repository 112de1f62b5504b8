"""Real photographs, taken out of packages that carry them; nothing is fetched but packages, by name.

Licences are those of the packages: scikit-image (public domain and CC0 photographs), scikit-learn (two
photographs, CC BY), mate-backgrounds (CC BY-SA and GPL), lomiri-wallpapers (CC BY-SA), palapeli-data
(CC BY-SA, GFDL, public domain), gcompris-qt-data (CC BY-SA, public domain). None is redistributed here:
the benchmark composes its scans in memory or into a temporary folder.
"""

from __future__ import annotations

import functools
import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

DEBIAN = (
    "mate-backgrounds",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "palapeli-data",
    "gcompris-qt-data",
)
PYPI = ("scikit-image", "scikit-learn")
WANTED = re.compile(
    r"mate/nature/.*\.jpg|Elephants\.jpg|_by_.*\.jpg|palapeli/collection/.*\.jpg"
    r"|(explore_monuments|explore_farm_animals|explore_world_animals|erase|details)\.rcc"
    r"|skimage/data/(coffee|camera|astronaut|chelsea|rocket|motorcycle_left|moon|brick|grass|gravel)\.\w+"
    r"|datasets/images/(china|flower)\.jpg"
)
UNLIKE = re.compile(r"analogpattern|Painting-Colors|Picture_|umang|free_by")  # patterns, not photographs
LONGEST = 2400

Picture = NDArray[np.uint8]


def cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "bellpull" / "photographs"


def fetch() -> list[Path]:
    """The photographs on disk, fetched at the first call; sorted, so that seeds mean the same."""
    root = cache()
    stamp = root / "complete"
    if not stamp.exists():
        root.mkdir(parents=True, exist_ok=True)
        _unpack_debian(root)
        _unpack_pypi(root)
        stamp.touch()
    return sorted(path for path in (root / "pictures").iterdir() if not UNLIKE.search(path.name))


def _unpack_debian(root: Path) -> None:
    if os.geteuid() == 0:  # a new machine has no lists of packages yet
        subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=sys.stderr)
    subprocess.run(["apt-get", "download", "-q", *DEBIAN], cwd=root, check=True, stdout=sys.stderr)
    for package in sorted(root.glob("*.deb")):
        tree = root / package.stem
        subprocess.run(["dpkg", "-x", package, tree], check=True)
        for path in sorted(tree.rglob("*")):
            if path.is_file() and WANTED.search(str(path)):
                _keep(root, path.name, path.read_bytes())
        subprocess.run(["rm", "-rf", "--", tree, package], check=True)


def _unpack_pypi(root: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            root,
            *PYPI,
        ],
        check=True,
        stdout=sys.stderr,
    )
    for wheel in sorted(root.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if WANTED.search(name):
                    _keep(root, Path(name).name, archive.read(name))
        wheel.unlink()


def _keep(root: Path, name: str, content: bytes) -> None:
    folder = root / "pictures"
    folder.mkdir(exist_ok=True)
    parts = _webp_inside(content) if name.endswith(".rcc") else [content]
    for n, part in enumerate(parts):
        suffix = f"-{n:03d}.webp" if name.endswith(".rcc") else ""
        (folder / (name + suffix)).write_bytes(part)


def _webp_inside(blob: bytes) -> list[bytes]:
    """A Qt resource file stores its pictures whole, one after the other."""
    found = []
    for match in re.finditer(rb"RIFF....WEBP", blob, re.DOTALL):
        size = struct.unpack_from("<I", blob, match.start() + 4)[0] + 8
        if size > 40_000:
            found.append(blob[match.start() : match.start() + size])
    return found


@functools.lru_cache(maxsize=24)
def load(path: Path) -> Picture:
    """8-bit RGB, the long side at most LONGEST pixels."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{path}: not a picture")
    scale = LONGEST / max(bgr.shape[:2])
    if scale < 1:
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def pick(rng: np.random.Generator) -> Picture:
    paths = fetch()
    return load(paths[int(rng.integers(len(paths)))])


def invented(rng: np.random.Generator) -> Picture:
    """A picture that needs no package: clouds of colour over edges and fine grain. For tests, not figures."""
    h, w = 700, 900
    out = np.zeros((h, w, 3), np.float32)
    for cells, weight in ((3, 70.0), (9, 45.0), (40, 25.0), (160, 12.0)):
        coarse = rng.normal(0, 1, (cells, cells * 4 // 3, 3)).astype(np.float32)
        out += weight * cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    for _ in range(25):
        centre = (int(rng.integers(w)), int(rng.integers(h)))
        tone = [float(v) for v in rng.uniform(-90, 90, 3)]
        blob = np.zeros_like(out)
        axes = (int(rng.integers(20, 160)), int(rng.integers(20, 160)))
        cv2.ellipse(blob, centre, axes, float(rng.uniform(0, 180)), 0, 360, tone, -1)
        out += blob
    return np.clip(out + 115, 0, 255).astype(np.uint8)
