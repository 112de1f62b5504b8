"""The process that touches foreign files: one job a line on standard input, one answer a line on output.

A crash, a hang or too much memory ends this process and costs one scan; the batch starts another.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from dataclasses import asdict
from typing import TextIO

MOST_MEMORY = 8 << 30


def main() -> int:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library that prints must not speak into the answers
    _limit()
    import cv2

    from bridge.scans.decode import restrict

    cv2.setNumThreads(1)
    restrict()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for line in sys.stdin:
            _answer(json.loads(line), answers)
    return 0


def _answer(request: dict[str, object], answers: TextIO) -> None:
    from bridge.scans.problem import ScanProblem
    from bridge.scans.split import Job, split

    try:
        reply: dict[str, object] = asdict(split(Job(**request)))  # type: ignore[arg-type]
    except ScanProblem as problem:
        reply = {"problem": str(problem)}
    except MemoryError:
        reply = {"problem": "needs more memory than there is; scan at a lower resolution"}
    except Exception as error:  # one scan's trouble must not become the next one's
        reply = {"problem": f"cannot be split: {type(error).__name__}: {error}".splitlines()[0][:200]}
    print(json.dumps(reply), file=answers)


def _limit() -> None:
    """No more address space than three quarters of this machine's memory, and no core files."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = min(MOST_MEMORY, max(2 << 30, have * 3 // 4))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
