"""Runs in the box, as whoever is measured: does what it is told and says when.

One JSON object a line in, one a line out. Times are CLOCK_MONOTONIC in seconds, which the box
shares with the machine, so that they compare with those of a controller outside.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path


def run(argv: list[str]) -> dict[str, object]:
    """Run a program: when it was started, when it was gone, what it said."""
    reader, writer = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writer, 1),
        (os.POSIX_SPAWN_DUP2, writer, 2),
    ]
    start = time.monotonic()
    child = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
    _, status = os.waitpid(child, 0)
    end = time.monotonic()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    return {"start": start, "end": end, "code": os.waitstatus_to_exitcode(status), "said": said}


def kill(pid: int, number: int) -> dict[str, object]:
    """Signal a process: when it was sent, when the process was gone."""
    found = os.pidfd_open(pid)
    start = time.monotonic()
    signal.pidfd_send_signal(found, number)
    gone, _, _ = select.select([found], [], [], 30)
    end = time.monotonic()
    os.close(found)
    return {"start": start, "end": end, "code": 0 if gone else 1, "said": ""}


def read(path: str) -> dict[str, object]:
    now = time.monotonic()
    return {"start": now, "end": now, "code": 0, "said": Path(path).read_text()}


for line in sys.stdin:
    match json.loads(line):
        case {"run": argv}:
            answer = run(argv)
        case {"kill": pid, "signal": number}:
            answer = kill(pid, number)
        case {"read": path}:
            answer = read(path)
    print(json.dumps(answer), flush=True)
