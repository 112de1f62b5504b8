"""Many scans: a thread and a worker process to each job, so that a bad scan costs itself and no other."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.scans.files import sweep

PATIENCE_S = 180.0
QUIET = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "VIPS_CONCURRENCY": "1",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass(frozen=True)
class Answer:
    """What came of a scan: `problem` is None when it was split."""

    scan: Path
    problem: str | None
    photos: list[dict[str, Any]]
    files: list[str]
    notes: list[str]


class Workers:
    """A pool of worker processes, each lent to one thread at a time. Close it: it owns processes."""

    def __init__(self, jobs: int) -> None:
        self.idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self.executor = ThreadPoolExecutor(jobs)
        self.closing = threading.Event()
        self.all = [_Worker() for _ in range(jobs)]
        for worker in self.all:
            self.idle.put(worker)

    def split_all(self, scans: list[Path], request: dict[str, Any]) -> Iterator[Answer]:
        """Answers in the order in which they are ready."""
        waiting: list[Future[Answer]] = [self.executor.submit(self._one, scan, request) for scan in scans]
        for future in as_completed(waiting):
            yield future.result()

    def close(self) -> None:
        self.closing.set()
        self.executor.shutdown(wait=False, cancel_futures=True)
        for worker in self.all:
            worker.kill()
        # The threads see their workers' end; only then may the pipes they read be closed.
        self.executor.shutdown(wait=True)
        for worker in self.all:
            worker.end()

    def _one(self, scan: Path, request: dict[str, Any]) -> Answer:
        worker = self.idle.get()
        token = uuid.uuid4().hex
        try:
            reply = worker.ask({**request, "scan": str(scan), "token": token}, self.closing)
        finally:
            self.idle.put(worker)
            sweep(Path(request["output"]), token)
        return Answer(
            scan,
            reply.get("problem"),
            reply.get("photos", []),
            reply.get("files", []),
            reply.get("notes", []),
        )


class _Worker:
    """One process, started when it is first needed and again after it was lost."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any], closing: threading.Event) -> dict[str, Any]:
        if closing.is_set():
            return {"problem": "was not reached"}
        if self.process is None or self.process.poll() is not None:
            self.end()
            self.process = _start()
        process = self.process
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = _line(process.stdout.fileno(), PATIENCE_S)
        except TimeoutError:
            self.end()
            return {"problem": f"took longer than {PATIENCE_S:.0f} s and was given up"}
        except OSError:
            line = b""
        if not line:
            code = process.wait()
            self.end()
            return {"problem": _loss(code)}
        reply: dict[str, Any] = json.loads(line)
        return reply

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def end(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not sent yet finds nobody
                if pipe is not None:
                    pipe.close()


def _start() -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the batch alone, which ends its workers and sweeps up after them.
    return subprocess.Popen(
        [sys.executable, "-m", "bridge.scans.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET},
        start_new_session=True,
    )


def _line(descriptor: int, patience: float) -> bytes:
    """One line, or as much as there was before the end; TimeoutError after `patience` seconds of silence."""
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not received.endswith(b"\n"):
            if not selector.select(patience):
                raise TimeoutError
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                return b""
            received += chunk
    return received


def _loss(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was given up: its process was killed (out of memory, perhaps); scan at a lower resolution"
    if code < 0:
        return f"crashed the decoder ({signal.Signals(-code).name}); the file is damaged: scan it again"
    return f"lost its process (exit code {code})"
