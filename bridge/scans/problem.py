"""What goes wrong with a scan, told to the person: one line, what is wrong and what to do."""

from __future__ import annotations


class ScanProblem(Exception):
    """This scan cannot be split; the others can."""


class FolderProblem(ScanProblem):
    """What was cut cannot be written, so that no other scan can be split either."""


class UsageProblem(Exception):
    """Nothing can be done before the command line is changed."""
