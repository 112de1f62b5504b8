"""Small real scans, an inbox for them, and the worker as a child process (bridge/scans/inbox)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SCANS = 6


def picture(seed: int, photos: int = 2) -> bytes:
    """A PNG of a white lid with pictures on it, 75 DPI, different for each seed."""
    random = np.random.default_rng(seed)
    scan = np.full((440, 320, 3), 244, np.uint8)
    for n in range(photos):
        coarse = random.integers(20, 190, (9, 12, 3), np.uint8)
        scan[30 + 200 * n : 190 + 200 * n, 40:270] = cv2.resize(coarse, (230, 160))
    done, content = cv2.imencode(".png", scan)
    assert done
    return content.tobytes()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Folder:
    """An inbox with its output; `given` are the scans that were put in, by their hash."""

    top: Path
    given: dict[str, str]

    @property
    def inbox(self) -> Path:
        return self.top / "inbox"

    @property
    def output(self) -> Path:
        return self.top / "output"

    def put(self, name: str, content: bytes) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.given[sha(content)] = name
        return path

    def command(self, *more: str) -> list[str]:
        where = [f"--inbox={self.inbox}", f"--output={self.output}", "--quiet=0.05"]
        return [sys.executable, "-m", "bridge.scans", "run", *where, *more]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*more), capture_output=True, text=True, timeout=100)

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def files(self, folder: Path, *patterns: str) -> list[str]:
        """Files below, without what the worker keeps for itself."""
        found = (path for pattern in patterns or ("*",) for path in folder.rglob(pattern) if path.is_file())
        relative = (str(path.relative_to(folder)) for path in found)
        return sorted(name for name in relative if not name.startswith(".bellpull"))

    def originals(self) -> dict[str, list[str]]:
        """Hash -> where in the inbox's folders it lies."""
        places: dict[str, list[str]] = {}
        for name in self.files(self.inbox):
            if not name.endswith(".txt"):
                places.setdefault(sha((self.inbox / name).read_bytes()), []).append(name)
        return places

    def photos(self) -> list[str]:
        return [name for name in self.files(self.output, "*.png") if "contact sheet" not in name]

    def whole(self, photo: str) -> bool:
        content = np.frombuffer((self.output / photo).read_bytes(), np.uint8)
        return cv2.imdecode(content, cv2.IMREAD_COLOR) is not None


def the_same_end(folder: Folder, photos_each: int = 2) -> None:
    """Every original once, in done, as it was; every photo once and whole; nothing left to do."""
    places = folder.originals()
    assert set(places) == set(folder.given)
    assert all(len(names) == 1 and names[0].startswith("done/") for names in places.values()), places
    photos = folder.photos()
    assert len(photos) == photos_each * len(folder.given), photos
    assert all(map(folder.whole, photos))
    for name in folder.files(folder.output, "*.json"):
        for photo in json.loads((folder.output / name).read_text())["photos"]:
            assert ((folder.output / name).parent / photo["crop"]).is_file()
    own = folder.output / ".bellpull"
    assert sorted(path.name for path in own.rglob("*") if path.is_file()) == ["ledger", "lock", "told"]
