"""How far the inbox is, as a person reads it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge.printable import printable
from bridge.scans.inbox.progress import SOCKET

PATIENCE = 5.0
WIDTH = 24


def show(folder: Path, *, follow: bool) -> bool:
    """Print it; False when nobody is at work there, or nobody who tells us."""
    live = follow and sys.stdout.isatty()
    heard, batch = False, 0
    for message in messages(folder, follow=follow):
        heard = True
        status = message.get("status")
        if status is not None:
            batch = message["batch"]
        elif 0 < message["n"] <= batch:
            continue  # of an earlier batch; the bridge has not heard of it yet
        if status is None:
            if follow:
                _print(line(message), live, over=True)
        elif live or not follow:
            _print(bar(status) if live else summary(status), live)
        if not follow and status is not None:
            return True
        if follow and "end" in message:
            return True
    if live and heard:
        print()
    if not heard:
        print("not at work; what it did is in `bellpull journal`")
    return heard


def _print(text: str, live: bool, *, over: bool = False) -> None:
    if live:
        print(f"\r{text}\x1b[K", end="\n" if over else "", flush=True)
    else:
        print(text, flush=True)


def messages(folder: Path, *, follow: bool) -> Iterator[dict[str, Any]]:
    """What the worker says, until it ends; nothing when it cannot be asked."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.connect(f"/proc/self/fd/{fd}/{SOCKET}")
        except OSError:
            return
        finally:
            os.close(fd)
        connection.settimeout(None if follow else PATIENCE)
        with connection.makefile("rb") as lines:
            try:
                for written in lines:
                    yield json.loads(written)
            except (OSError, ValueError):
                return


def line(event: dict[str, Any]) -> str:
    """One event."""
    if "end" in event:
        return result(event["end"])
    return f"{printable(event['scan'], 200)}: {printable(event['said'], 300)}"


def result(end: dict[str, Any]) -> str:
    """What a batch came to: "12 photos of 5 scans, 1 failed"."""
    parts = [f"{_count(end['photos'], 'photo')} of {_count(end['done'], 'scan')}"]
    parts += [f"{end['failed']} failed"] if end["failed"] else []
    parts += [f"{end['duplicates']} known already"] if end["duplicates"] else []
    parts += [printable(end["said"], 300)] if end["said"] else []
    return ", ".join(parts)


def summary(status: dict[str, Any]) -> str:
    """On one line: state, files, photos, rate and time left."""
    done = status["done"] + status["failed"] + status["duplicates"]
    words = [status["state"], f"{done} of {_count(done + status['waiting'], 'scan')}"]
    words += [_count(status["photos"], "photo")]
    words += [f"{status['failed']} failed"] if status["failed"] else []
    words += [f"{status['rate']:.1f}/s"] if status["rate"] else []
    words += [f"{_span(status['left'])} left"] if status["left"] else []
    return ", ".join(words)


def bar(status: dict[str, Any]) -> str:
    done = status["done"] + status["failed"] + status["duplicates"]
    filled = WIDTH * done // max(1, done + status["waiting"])
    return f"[{'#' * filled:<{WIDTH}}] {summary(status)}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
