"""What becomes of a scan."""

from __future__ import annotations

from dataclasses import dataclass


class Stuck(Exception):
    """Nothing can go on before a person has done something; the scan is where it was."""


@dataclass
class Outcome:
    """One scan that is over: a line for a person, and counts. `known`: its content was worked before."""

    scan: str
    said: str
    photos: int = 0
    failed: bool = False
    known: bool = False
    unsure: int = 0
