"""What becomes of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Stuck(Exception):
    """Nothing can go on before a person has done something; the scan is where it was."""


@dataclass
class Outcome:
    """One scan that is over: a line for a person, and counts. `known`: its content was worked before.

    n  its place among all that was ever told of this inbox (ledger.py); 0 for what is nobody's news
    """

    scan: str
    said: str
    photos: int = 0
    failed: bool = False
    known: bool = False
    unsure: int = 0
    n: int = 0

    @property
    def event(self) -> dict[str, Any]:
        """As it is told to others."""
        return {name: value for name, value in vars(self).items() if name != "n"}
