"""`bellpull scans run`, `status` and `redo`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from bridge.printable import printable
from bridge.scans.problem import UsageProblem

DONE, FAILED, USAGE, UNAVAILABLE = 0, 1, 2, 3
SERVICE = Path("/run/bellpull-scans")

Verbs = Any
"""argparse's own word for "subparsers" is private."""


def add(verbs: Verbs) -> None:
    """Their words and options."""
    run = verbs.add_parser("run", help="work an inbox: photos out, originals aside")
    run.description = (
        "Cut the photos of every scan in --inbox into --output. Originals are moved to done/, failed/ or"
        " duplicates/; nothing is overwritten or deleted. Ctrl-C finishes what is in hand."
    )
    run.set_defaults(verb=_run)
    run.add_argument("--inbox", type=Path, metavar="DIR", help="where the scans arrive")
    run.add_argument("--output", "-o", type=Path, metavar="DIR", help="where the photos go")
    for name, text in (("done", "worked"), ("failed", "failed"), ("duplicates", "known already")):
        run.add_argument(
            f"--{name}", type=Path, metavar="DIR", help=f"originals that are {text} (INBOX/{name})"
        )
    run.add_argument("--format", choices=("png", "tiff", "jpeg"), default="png", help="of the photos (png)")
    run.add_argument("--trim-borders", action="store_true", help="leave out white borders")
    run.add_argument("--auto", action="store_true", help="go on waiting when the inbox is empty")
    run.add_argument("--poll", type=_seconds, metavar="SECONDS", help="look so often (network mounts)")
    run.add_argument(
        "--quiet",
        type=_seconds,
        metavar="SECONDS",
        help="a file is finished when it stayed the same so long (5)",
    )
    run.add_argument("--jobs", "-j", type=_count, metavar="N", help="scans at a time (one a core, at most 4)")
    run.add_argument("--settings", type=Path, help=argparse.SUPPRESS)  # the service's own
    status = verbs.add_parser("status", help="how far the inbox is")
    status.set_defaults(verb=_status)
    status.add_argument("--follow", "-f", action="store_true", help="until it is done, with a bar")
    status.add_argument("--output", "-o", type=Path, metavar="DIR", help="of a `run` by hand or a demo")
    redo = verbs.add_parser("redo", help="cut a scan again, with the corners that its sidecar has now")
    redo.description = (
        "Correct the quads in SCAN's sidecar (docs/inbox.md), then say which scan: its name below done/, or"
        " its sidecar. The photos of before are put aside, not deleted."
    )
    redo.set_defaults(verb=_redo)
    redo.add_argument("scan", metavar="SCAN")
    redo.add_argument("--inbox", type=Path, metavar="DIR", help="as for `run`")
    redo.add_argument("--output", "-o", type=Path, metavar="DIR", help="as for `run`")
    redo.add_argument("--done", type=Path, metavar="DIR", help="as for `run` (INBOX/done)")
    redo.add_argument(
        "--settings", type=Path, default=Path("/etc/bellpull/scans.json"), help=argparse.SUPPRESS
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("write seconds, more than 0 and 3600 at most")
    return seconds


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("a whole number from 1 to 64")
    return int(text)


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    found = {name: getattr(arguments, name) for name in names}
    return {name: os.fspath(v) if isinstance(v, Path) else v for name, v in found.items() if v is not None}


def _check_packages() -> None:
    from bridge.scans.cli import check_packages

    check_packages()


def _run(arguments: argparse.Namespace) -> int:
    _check_packages()
    from bridge.scans.inbox import outcome, run, settings

    if arguments.settings is not None:
        wanted, place = settings.from_file(arguments.settings), os.environ.get("RUNTIME_DIRECTORY")
    else:
        if arguments.inbox is None or arguments.output is None:
            raise UsageProblem("say --inbox and --output; `bellpull scans run --help` tells more")
        names = ("inbox", "output", "done", "failed", "duplicates", "format", "trim_borders", "auto")
        wanted, place = settings.made(_given(arguments, *names, "poll", "quiet", "jobs")), None
    run.restrict()
    try:
        asyncio.run(_work(wanted, Path(place) if place else None))
    except outcome.Stuck as stuck:
        return _stuck(str(stuck))
    return DONE


def _stuck(why: str) -> int:
    """On one line, for whoever looks: here, and for the service also where the bridge looks."""
    from bridge import notify

    line = printable(why, 300)
    notify.tell(f"STATUS={line}")
    print(f"bellpull scans: {line}", file=sys.stderr)
    return FAILED


async def _work(wanted: Any, place: Path | None) -> None:
    from bridge.scans.inbox.run import Inbox

    inbox = Inbox(wanted, place)
    inbox.progress.heard = _say
    await inbox.run()


def _say(event: dict[str, Any]) -> None:
    from bridge.scans.inbox.status import line

    print(line(event), flush=True)


def _status(arguments: argparse.Namespace) -> int:
    from bridge.scans.inbox import status
    from bridge.scans.inbox.names import OWN

    folder = arguments.output / OWN if arguments.output else SERVICE
    return DONE if status.show(folder, follow=arguments.follow) else UNAVAILABLE


def _redo(arguments: argparse.Namespace) -> int:
    _check_packages()
    from bridge.scans.inbox import outcome, redo, run, settings

    if arguments.output is not None and arguments.inbox is not None:
        wanted = settings.made(_given(arguments, "inbox", "output", "done"))
    else:
        wanted = settings.from_file(arguments.settings)
    run.restrict()
    try:
        print(redo.redo(wanted, arguments.scan))
    except outcome.Stuck as stuck:
        return _stuck(str(stuck))
    return DONE
