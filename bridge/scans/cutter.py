"""The engine behind a fence: one open scan to photos in a folder, in a child process with limits.

    descriptor = open_scan(path)                    # or any descriptor of a regular file
    cutter = Cutter(folder)                         # lasts for many scans; the child starts with the first
    answer = cutter.split(descriptor, Job(name=path.name, sidecar=True))
    if answer.problem is None: ...                  # answer.files lie in the folder, written and synced
    cutter.close()

The child can open nothing but what it makes in the folder (worker.py). A crash, a hang or too much memory
ends it and is this scan's `problem`; the next scan gets another child. Either all files of a scan are in
the folder or none is, and none is ever overwritten. `split` blocks; `close` may be called from any thread.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from dataclasses import asdict
from pathlib import Path

from bridge.scans.files import open_folder, sweep, sweep_old
from bridge.scans.job import Answer, Job

PATIENCE_S = 180
GRACE_S = 5
MOST_ANSWER = 64 << 20
HOME = str(
    Path(__file__).parents[2]
)  # with -P: whatever lies in the folder one happens to be in is no module
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "VIPS_CONCURRENCY": "1",
    "MALLOC_ARENA_MAX": "2",
    # What one scan needed stays for the next: memory that went back is cleared before it comes again.
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class Cutter:
    """Splits one scan at a time into `folder`; without one, dry runs only. Close it: it owns a process."""

    def __init__(self, folder: Path | None, patience: float = PATIENCE_S) -> None:
        """`patience` is the seconds that a page may take. OSError where the folder cannot be opened."""
        self._folder = None if folder is None else open_folder(folder)
        self._patience = patience
        self._token = uuid.uuid4().hex
        self._child: _Child | None = None
        self._closed = False
        self._splitting, self._starting = threading.Lock(), threading.Lock()
        if self._folder is not None:
            sweep_old(self._folder)

    def split(self, scan: int, job: Job) -> Answer:
        """Split the file of a descriptor, which stays open and unchanged."""
        with self._splitting:
            child = self._ready()
            if child is None:
                return Answer("was not reached")
            try:
                return child.ask(scan, job)
            except TimeoutError:
                return self._lost(f"took longer than {self._patience:g} s and was given up")
            except OSError:
                return self._lost(None)

    def close(self) -> None:
        """End the child, also in the middle of a scan: nothing of that scan is left in the folder."""
        with self._starting:
            self._closed = True
            if self._child is not None:
                self._child.process.terminate()  # which waits while files get their names
        with self._splitting:
            if self._child is not None:
                self._lost(None)
            if self._folder is not None:
                os.close(self._folder)
                self._folder = None

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ready(self) -> _Child | None:
        if self._child is not None and self._child.process.poll() is not None:
            self._lost(None)
        with self._starting:
            if self._child is None and not self._closed:
                self._child = _Child(self._folder, self._token, self._patience)
            return None if self._closed else self._child

    def _lost(self, problem: str | None) -> Answer:
        with self._starting:
            assert self._child is not None
            code = self._child.end()
            self._child = None
        if self._folder is not None:
            sweep(self._folder, self._token)
        return Answer(problem or _loss(code, self._patience))


class _Child:
    """One process of worker.py."""

    def __init__(self, folder: int | None, token: str, patience: float) -> None:
        self.wire, theirs = socket.socketpair()
        self.wire.settimeout(patience + GRACE_S)  # the child's own alarm is first, unless it is stopped
        passed = () if folder is None else (folder,)
        with theirs:
            # A session of its own: Ctrl-C reaches the batch alone, which ends its children.
            self.process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - fixed words
                [sys.executable, "-Pm", "bridge.scans.worker", token, str(patience), *map(str, passed)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": HOME},
                pass_fds=passed,
                start_new_session=True,
            )

    def ask(self, scan: int, job: Job) -> Answer:
        """TimeoutError where no answer comes, OSError where the process is gone."""
        line = json.dumps(asdict(job)).encode() + b"\n"
        sent = socket.send_fds(self.wire, [line], [scan])
        self.wire.sendall(line[sent:])
        received = b""
        while not received.endswith(b"\n"):
            chunk = self.wire.recv(1 << 16)
            if not chunk:
                raise ConnectionResetError
            received = (received + chunk).lstrip(b"\n")  # an empty line says: another page is done
            if len(received) > MOST_ANSWER:
                raise ConnectionResetError
        try:
            return Answer(**json.loads(received))
        except (TypeError, ValueError):  # it is no longer itself
            raise ConnectionResetError from None

    def end(self) -> int:
        """The exit code, negative for a signal."""
        self.wire.close()
        # It is about to end by itself, unless it stands still, and how it ends is worth knowing.
        try:
            code = self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return code


def _loss(code: int, patience: float) -> str:
    if code == -signal.SIGALRM:
        return f"took longer than {patience:g} s and was given up"
    if code == -signal.SIGKILL:
        return "was given up: its process was killed (out of memory, perhaps); scan at a lower resolution"
    if code < 0:
        return f"crashed the decoder ({signal.Signals(-code).name}); the file is damaged: scan it again"
    return f"lost its process (exit code {code})"
