"""What people see in a terminal: tables, times, colours only where somebody looks."""

import os
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

COLOURS = {
    "on": "32",
    "off": "2",
    "unknown": "33",
    "met": "32",
    "failed": "31",
    "denied": "31",
    "late": "33",
    "ok": "32",
    "!!": "31",
}


def colourful() -> bool:
    """Whether standard output is a terminal whose owner wants colours (no-color.org)."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    return "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Aligned lines; on a terminal with a dim head and coloured states."""
    every = [list(head), *map(list, rows)]
    widths = [max(_width(row[column]) for row in every) for column in range(len(head))]
    lines = [
        "  ".join(_painted(cell, width) for cell, width in zip(row, widths, strict=True)) for row in every
    ]
    if colourful():
        lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
    return [line.rstrip() for line in lines]


def tiles(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The rows of `list` as a table."""
    cells = [
        [
            row["key"],
            row["name"],
            row["kind"],
            row["state"],
            row["wish"] or "",
            moment(row["since"]) if row["since"] is not None else "",
            row["reason"],
        ]
        for row in rows
    ]
    if not cells:
        return ["no accessories; the configuration has none"]
    return table(["KEY", "NAME", "KIND", "STATE", "WISH", "SINCE", "REASON"], cells)


def change(row: dict[str, Any]) -> str:
    """A row of the journal as one line, at the time it was last written."""
    if row["wanted"] is None:
        what = f"{row['old']} -> {row['new']}" if row["old"] != row["new"] else f"still {row['new']}"
    else:
        act = "restart" if row["wanted"] == "restart" else f"turn {row['wanted']}"
        took = f" in {_seconds(row['took'])}" if row["took"] is not None else ""
        what = f"{act}: {row['outcome']}{took}" if row["outcome"] else f"asked to {act}"
    line = f"{moment(row['at'] + (row['took'] or 0))}  {row['key']:<16}  {what:<28}  {row['who']}"
    return f"{line}: {row['reason']}" if row["reason"] else line


def watchdogs(reports: Sequence[dict[str, Any]]) -> list[str]:
    """What the watchdog sees, a table each."""
    if not reports:
        return ["nothing is watched; write `watchdog:` below an accessory"]
    return [line for report in reports for line in _watchdog(report)]


def _watchdog(report: dict[str, Any]) -> list[str]:
    rows = [
        [
            rule["rule"],
            rule["shown"] or ("first look" if report["watching"] and not rule["why"] else "no value"),
            f"{rule['bad']} of {rule['count']}" + (", failed" if rule["failed"] else ""),
            rule["then"],
            rule["why"] or rule["source"],
        ]
        for rule in report["rules"]
    ]
    state = f"looks every {report['cycle']:g} s, again in {report['next']:.0f} s"
    if not report["watching"]:
        state = f"not watched now: {report['why']}"
    elif report["why"]:
        state = f"cannot look: {report['why']}"
    used = f"{report['restarts']} of {report['brake']} restarts within {report['within']:g} s"
    return [
        f"{report['key']}: {state}; {used}{', given up' if report['gave_up'] else ''}",
        *table(
            ["  RULE", "VALUE", "CYCLES", "THEN", "MEASURED"], [["  " + row[0], *row[1:]] for row in rows]
        ),
    ]


def _seconds(took: float) -> str:
    return f"{took:.1f} s" if took >= 1 else f"{took * 1000:.0f} ms"


def findings(found: Iterable[Any]) -> list[str]:
    """What the doctor found, `ok` or `!!` before each line."""
    marks = {True: _painted("ok", 2), False: _painted("!!", 2)}
    return [f"{marks[finding.ok]}  {finding.line}" for finding in found]


def moment(seconds: float) -> str:
    """A time of this machine's clock, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _width(text: str) -> int:
    """The columns of a terminal that it takes."""
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text
    )


def _painted(cell: str, width: int) -> str:
    padded = cell + " " * (width - _width(cell))
    if cell in COLOURS and colourful():
        return f"\x1b[{COLOURS[cell]}m{padded}\x1b[0m"
    return padded
