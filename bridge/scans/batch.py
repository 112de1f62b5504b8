"""Many scans: a thread and a cutter to each job, so that a bad scan costs itself and no other."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from bridge.scans.cutter import Cutter
from bridge.scans.files import open_scan
from bridge.scans.job import Answer, Job
from bridge.scans.problem import ScanProblem


class Batch:
    """A pool of cutters, each lent to one thread at a time. Close it: it owns processes."""

    def __init__(self, jobs: int, folder: Path | None) -> None:
        self.executor = ThreadPoolExecutor(jobs)
        self.cutters = [Cutter(folder) for _ in range(jobs)]
        self.idle: queue.SimpleQueue[Cutter] = queue.SimpleQueue()
        for cutter in self.cutters:
            self.idle.put(cutter)

    def split_all(self, scans: list[Path], job: Job) -> Iterator[tuple[Path, Answer]]:
        """Answers in the order in which they are ready; `job` goes for all but the name."""
        waiting: dict[Future[Answer], Path] = {
            self.executor.submit(self._one, scan, replace(job, name=scan.name)): scan for scan in scans
        }
        for future in as_completed(waiting):
            yield waiting[future], future.result()

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)
        for cutter in self.cutters:
            cutter.close()
        self.executor.shutdown(wait=True)

    def _one(self, scan: Path, job: Job) -> Answer:
        try:
            descriptor = open_scan(scan)
        except ScanProblem as problem:
            return Answer(str(problem))
        cutter = self.idle.get()
        try:
            return cutter.split(descriptor, job)
        finally:
            self.idle.put(cutter)
            os.close(descriptor)
