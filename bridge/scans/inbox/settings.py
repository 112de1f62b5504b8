"""What an inbox is to be worked with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bridge.scans.problem import UsageProblem
from bridge.tools.folders import problems

QUIET = 5.0
MOST_JOBS = 4


@dataclass(frozen=True)
class Settings:
    """Absolute folders; `done`, `failed` and `duplicates` lie in the inbox unless they are told.

    auto   go on when the inbox is empty
    poll   seconds between two looks where no event comes (network mounts); None: inotify
    quiet  seconds a file has to stay the same
    """

    inbox: Path
    output: Path
    done: Path
    failed: Path
    duplicates: Path
    format: str = "png"
    trim_borders: bool = False
    auto: bool = False
    poll: float | None = None
    quiet: float = QUIET
    jobs: int = max(1, min(MOST_JOBS, os.cpu_count() or 1))

    @property
    def originals(self) -> dict[str, Path]:
        return {"publish": self.done, "fail": self.failed, "duplicate": self.duplicates}


def made(given: dict[str, Any]) -> Settings:
    """Settings from what a command line or a file says; UsageProblem."""
    unknown = set(given) - {field.name for field in fields(Settings)}
    if unknown or not {"inbox", "output"} <= set(given):
        raise UsageProblem(f"settings with {', '.join(sorted(unknown)) or 'no inbox or output'}")
    given = {name: value for name, value in given.items() if value is not None}
    for name in ("inbox", "output"):
        given[name] = Path(given[name]).absolute()
    for name in ("done", "failed", "duplicates"):
        given[name] = Path(given.get(name, given["inbox"] / name)).absolute()
    settings = Settings(**given)
    for _, text in problems({name: str(given[name]) for name in _FOLDERS}):
        raise UsageProblem(text)
    return settings


_FOLDERS = ("inbox", "output", "done", "failed", "duplicates")


def from_file(path: Path) -> Settings:
    """As `bellpull apply` writes them for the service."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageProblem(f"{path}: {error.strerror}; run: sudo bellpull apply") from None
    except ValueError:
        raise UsageProblem(f"{path}: not as `bellpull apply` writes it; run that again") from None
    return made(written)
