"""`scans split`: the command line of the splitting engine. Imports nothing heavy: the workers do."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bridge.printable import printable
from bridge.scans.batch import Batch
from bridge.scans.inbox import command
from bridge.scans.job import Answer, Job
from bridge.scans.problem import UsageProblem

DONE, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
LONGEST_LINE = 2000
PACKAGES = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "pyvips": "'pyvips[binary]'",
    "isal": "isal",
}
SUFFIXES = {"png": "png", "tiff": "tif", "jpeg": "jpg"}


def main(argv: Sequence[str] | None = None) -> int:
    """0: all were split; 1: some could not be; 2: nothing was done, the command line is wrong; 130:
    Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code: int = arguments.verb(arguments)
        return code
    except UsageProblem as problem:
        _complain(str(problem))
        return USAGE
    except BrokenPipeError:  # whoever read along has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED


def _split(arguments: argparse.Namespace) -> int:
    check_packages()
    _check_names(arguments.scans)
    _check_output(arguments)
    return _run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bellpull scans", description="Photos out of flatbed scans.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    split = commands.add_parser("split", help="cut the photos out of scans", description=main.__doc__)
    split.description = (
        "Cut every photo out of each SCAN: straight, complete, in full quality. Scans are never altered."
    )
    split.add_argument("scans", nargs="+", type=Path, metavar="SCAN", help="PNG, TIFF, JPEG or WebP")
    split.add_argument("--output", "-o", required=True, type=Path, metavar="DIR", help="where the photos go")
    split.add_argument("--format", choices=("png", "tiff", "jpeg"), default="png", help="of the photos (png)")
    split.add_argument("--quality", type=_quality, default=92, metavar="N", help="of JPEG, 1 to 100 (92)")
    split.add_argument("--sidecar", action="store_true", help="write SCAN.json: corners, confidence, notes")
    split.add_argument("--preview", action="store_true", help="write a picture with the photos outlined")
    split.add_argument("--trim-borders", action="store_true", help="leave out white borders")
    split.add_argument("--jobs", "-j", type=_jobs, default=1, metavar="N", help="scans at a time (1)")
    split.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
    split.set_defaults(verb=_split)
    command.add(commands)
    return parser


def _quality(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError("a whole number from 1 to 100")
    return int(text)


def _jobs(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("a whole number from 1 to 64")
    return int(text)


def check_packages() -> None:
    """The pictures' libraries come with an extra, for servers that split nothing."""
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageProblem(
            f"the extra `scans` is missing: pip install {' '.join(missing)}, or `sudo make install` anew"
        )


def _check_names(scans: Sequence[Path]) -> None:
    """Two scans of one stem would write the same photos."""
    stems: dict[str, list[Path]] = defaultdict(list)
    for scan in scans:
        stems[scan.stem].append(scan)
    for same in stems.values():
        if len(same) > 1:
            names = " and ".join(str(scan) for scan in same[:3])
            raise UsageProblem(
                f"{names} would write the same photos; rename one, or split them into two folders"
            )


def _check_output(arguments: argparse.Namespace) -> None:
    output: Path = arguments.output
    if arguments.dry_run and not output.exists():
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageProblem(f"--output {output} is no folder") from None
    except OSError as error:
        raise UsageProblem(f"--output {output} cannot be made: {error.strerror}") from None
    if not os.access(output, os.R_OK | os.W_OK | os.X_OK):
        raise UsageProblem(f"--output {output} may not be read and written; choose another")


def _run(arguments: argparse.Namespace) -> int:
    job = Job(
        name="",
        format=arguments.format,
        quality=arguments.quality,
        sidecar=arguments.sidecar,
        preview=arguments.preview,
        trim_borders=arguments.trim_borders,
        dry_run=arguments.dry_run,
    )
    failed = 0
    there = {scan: taken for scan in arguments.scans if (taken := _taken(arguments, scan))}
    for scan, taken in there.items():
        _complain(f"{scan}: {taken} is there already; remove it or choose another --output")
        failed += 1
    scans = [scan for scan in arguments.scans if scan not in there]
    bar = _Bar(len(scans))
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    batch = Batch(max(1, min(arguments.jobs, len(scans))), None if job.dry_run else arguments.output)
    try:
        for scan, answer in batch.split_all(scans, job):
            bar.clear()
            failed += _tell(scan, answer)
            bar.step()
    except KeyboardInterrupt:
        bar.clear()
        _complain("stopped; what was finished is whole, nothing is half-written")
        return INTERRUPTED
    finally:
        batch.close()
        bar.clear()
        signal.signal(signal.SIGTERM, previous)
    return SOME_FAILED if failed else DONE


def _taken(arguments: argparse.Namespace, scan: Path) -> Path | None:
    """A file that this scan would write and that is there: found before any work."""
    if arguments.dry_run:
        return None
    suffix = SUFFIXES[arguments.format]
    names = [f"{scan.stem}-1.{suffix}", f"{scan.stem}-p1-1.{suffix}"]
    names += [f"{scan.stem}.json"] if arguments.sidecar else []
    names += [f"{scan.stem}-preview.jpg"] if arguments.preview else []
    return next((arguments.output / name for name in names if (arguments.output / name).exists()), None)


def _tell(scan: Path, answer: Answer) -> int:
    if answer.problem:
        _complain(f"{scan}: {answer.problem}")
        return 1
    count = len(answer.photos)
    words = "no photo" if not count else "1 photo" if count == 1 else f"{count} photos"
    unsure = [str(n) for n, photo in enumerate(answer.photos, 1) if photo["confidence"] < 0.9]
    look = f", please look at {', '.join(unsure)}" if unsure else ""
    notes = f" ({'; '.join(dict.fromkeys(answer.notes))})" if answer.notes else ""
    print(printable(f"{scan}: {words}{look}{notes}", LONGEST_LINE), flush=True)
    return 0


def _complain(text: str) -> None:
    print(printable(f"bellpull scans: {text}", LONGEST_LINE), file=sys.stderr, flush=True)


class _Bar:
    """How far the batch is, at what rate, and how long it will take; on a terminal only."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.live = sys.stderr.isatty() and total > 1
        self.step(0)

    def step(self, by: int = 1) -> None:
        self.done += by
        if not self.live:
            return
        passed = time.monotonic() - self.start
        rate = self.done / passed if self.done else 0.0
        minutes, seconds = divmod(round((self.total - self.done) / rate), 60) if rate else (0, 0)
        left = f"{minutes}:{seconds:02} left" if rate else "…"
        filled = 24 * self.done // self.total
        line = f"[{'#' * filled:<24}] {self.done}/{self.total} scans  {rate:.1f}/s  {left}"
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
