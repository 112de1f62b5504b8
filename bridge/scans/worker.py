"""The child process that touches foreign files; cutter.py is its other end.

On the socket that is its standard input come a job a line, with the scan's descriptor, and go an answer a
line, and an empty line for every page. Before the first it gives up every way to more privileges and, where
the kernel has Landlock, to all files but Python's own and what it makes in the one folder. Memory, time and
what may be decoded are limited. A kernel that is short of memory ends it before anything else.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import sysconfig
from dataclasses import asdict
from pathlib import Path

from bridge.scans.job import Answer, Job
from bridge.tools import landlock

TOO_LARGE = "needs more memory than there is; scan at a lower resolution"
MOST_MEMORY, LEAST_MEMORY = 8 << 30, 2 << 30
OPENING = landlock.EXECUTE | landlock.READ_FILE
MAKING = landlock.WRITE_FILE | landlock.READ_DIR | landlock.REMOVE_AND_MAKE | landlock.TRUNCATE


class Worker:
    def __init__(self, token: str, patience: float, folder: int | None) -> None:
        self.token, self.patience, self.folder = token, patience, folder
        self.wire = socket.socket(fileno=0)

    def serve(self) -> None:
        while asked := self._next():
            job, scan = asked
            signal.setitimer(signal.ITIMER_REAL, self.patience)
            answer = self._answer(job, scan)
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.close(scan)
            self.wire.sendall(json.dumps(asdict(answer)).encode() + b"\n")

    def _next(self) -> tuple[Job, int] | None:
        line, passed, _, _ = socket.recv_fds(self.wire, 1 << 16, 1)
        while line and not line.endswith(b"\n"):
            line += self.wire.recv(1 << 16)
        return (Job(**json.loads(line)), passed[0]) if line else None

    def _answer(self, job: Job, scan: int) -> Answer:
        from bridge.scans.problem import FolderProblem, ScanProblem
        from bridge.scans.split import split

        try:
            return split(scan, self.folder, self.token, job, self._page_done)
        except FolderProblem as problem:
            return Answer(str(problem), elsewhere=True)
        except ScanProblem as problem:
            return Answer(str(problem))
        except MemoryError:
            return Answer(TOO_LARGE)
        except Exception as error:  # one scan's trouble must not become the next one's
            if "memory" in str(error).lower():  # as OpenCV puts it
                return Answer(TOO_LARGE)
            return Answer(f"cannot be split: {type(error).__name__}: {error}".splitlines()[0][:200])

    def _page_done(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self.patience)
        self.wire.sendall(b"\n")


def _limit() -> None:
    """No more address space than three quarters of this machine's memory, and no core files."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = min(MOST_MEMORY, max(LEAST_MEMORY, have * 3 // 4))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _load() -> None:
    """Every library, as shared ones cannot be opened later; libvips with the four formats only."""
    import cv2

    import bridge.scans.split  # noqa: F401
    from bridge.scans.decode import restrict

    cv2.setNumThreads(1)
    restrict()


def _fence(folder: int | None) -> None:
    landlock.no_new_privileges()
    if landlock.version() == 0:
        return
    rules = landlock.ruleset(landlock.known(OPENING | MAKING | landlock.REFER))
    for place in {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}:
        with contextlib.suppress(FileNotFoundError):
            library = os.open(place, os.O_PATH | os.O_CLOEXEC)
            landlock.allow(rules, library, landlock.READ_FILE | landlock.READ_DIR)
            os.close(library)
    if folder is not None:
        landlock.allow(rules, folder, landlock.known(MAKING))
    landlock.restrict(rules)
    os.close(rules)


def main(token: str, patience: str, *folder: str) -> int:
    worker = Worker(token, float(patience), int(folder[0]) if folder else None)
    _limit()
    _load()
    _fence(worker.folder)
    with contextlib.suppress(KeyboardInterrupt, ConnectionError):
        worker.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
