"""The loop: looks at the inbox, keeps every core cutting, ends a batch, and stops when it is told to."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge import notify
from bridge.contract import Unavailable
from bridge.scans.cutter import Cutter
from bridge.scans.inbox.ledger import BATCH, Entry
from bridge.scans.inbox.look import Found, Look
from bridge.scans.inbox.names import OWN
from bridge.scans.inbox.outcome import Outcome, Stuck
from bridge.scans.inbox.progress import Progress
from bridge.scans.inbox.settings import Settings
from bridge.scans.inbox.task import Task
from bridge.scans.inbox.work import Bench
from bridge.tools.inotify import Inotify

PR_SET_NO_NEW_PRIVS = 38
LOOK_AGAIN = 2.0  # seconds until what came meanwhile is looked for, while there is work
SHEET_PATIENCE = 300.0
# Seconds in which the bridge hears the last of it: by hand perhaps nobody listens; the service's bridge may
# be restarting. What it has not heard then, it hears from the next run.
LINGER, RETURN = 2.0, 60.0


def restrict() -> None:
    """Neither this process nor what it starts gains privileges; it leaves no memory behind in a file."""
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Inbox:
    """One inbox and its batch. `tell` hears every Outcome; Stuck ends it."""

    def __init__(self, settings: Settings, run_folder: Path | None = None) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()
        self.bench = Bench(settings)
        self.progress = Progress(self.bench.ledger, self.bench.told, self.stop)
        self._run_folder = run_folder
        self._look = Look(self.bench.inbox, self.bench.others, settings.quiet)
        self._cutters: dict[int, Cutter] = {}
        self._free = list(range(settings.jobs))
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._commit = asyncio.Lock()
        self._queue: list[Found] = []
        self._looked = -LOOK_AGAIN
        self._restless = 0
        self._batch = False
        self._stuck: Stuck | None = None
        self._inotify = Inotify()

    def stop(self) -> None:
        """Finish what is in hand, begin nothing more."""
        self.stopping.set()
        self.progress.status.state = "stopping"
        self.progress.changed()

    async def run(self) -> None:
        """Until the inbox is empty, or for ever with `auto`; Stuck when it cannot go on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        with suppress(OSError):
            await self._listen()
        try:
            await self._resume()
            notify.tell("READY=1")
            await self._work()
        finally:
            for task in self._tasks:
                task.cancel()
            for cutter in self._cutters.values():
                cutter.close()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._end_batch()
            await self._heard()
            await self.progress.close()
            await self._inotify.close()
            self.bench.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        if self._stuck:
            raise self._stuck

    async def _resume(self) -> None:
        """Carry on with the batch that was killed: its scans, its counts, its contact sheet."""
        before = list(self.bench.ledger.batch)
        outcomes = await asyncio.to_thread(self.bench.recover)
        if before or outcomes or self.bench.output.names((OWN, "thumbs")):
            self._began()
        for event in before:
            self._add(Outcome(**event))
        for outcome in outcomes:
            self._over(outcome)

    async def _heard(self) -> None:
        """Give the bridge time to hear the last of it."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self.progress.heard_all())]
        patience = LINGER
        if self._run_folder is not None and not self.stopping.is_set():
            waits.append(asyncio.ensure_future(self.stopping.wait()))
            patience = RETURN
        await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _listen(self) -> None:
        if self._run_folder is not None:
            await self.progress.listen(self._run_folder, mode=0o666)  # who may is asked of the kernel
        else:
            await self.progress.listen(self.settings.output / OWN, mode=0o600)

    async def _work(self) -> None:
        started = time.monotonic()
        while not self._stuck:
            if self.stopping.is_set():
                if not self._tasks:
                    return
            else:
                await self._fill()
            if self._tasks:
                await self._step()
            elif self._queue or self._restless:
                await self._sleep(min(1.0, self.settings.quiet / 4))
            else:
                await self._end_batch()
                if self.settings.auto:
                    await self._wait()
                elif time.monotonic() - started > self.settings.quiet:
                    return
                else:
                    await self._sleep(min(1.0, self.settings.quiet / 4))

    async def _fill(self) -> None:
        """Give every idle core a scan."""
        if not self._queue or time.monotonic() - self._looked > LOOK_AGAIN:
            await self._see()
        later = []
        while self._queue and self._free and not self._stuck and not self.stopping.is_set():
            found = self._queue.pop(0)
            slot = self._free.pop()  # before anything is waited for: meanwhile others are given back
            async with self._commit:
                try:
                    begun = await asyncio.to_thread(self.bench.begin, found, slot)
                except Stuck as stuck:
                    self._stuck = stuck
                    return
            if isinstance(begun, Task):
                self._began()
                task = asyncio.create_task(self._one(begun, slot), name=begun.scan)
                self._tasks[task] = begun.scan
                task.add_done_callback(self._tasks.pop)
                continue
            self._free.append(slot)
            if begun is None:
                later.append(found)
            else:
                self._began()
                self._over(begun)
        self._queue += later
        self._count()

    async def _see(self) -> None:
        try:
            rested, self._restless = await asyncio.to_thread(self._look.now)
        except OSError as error:
            self._stuck = Stuck(f"{self.settings.inbox}: {error.strerror}")
            return
        in_hand = set(self._tasks.values())
        self._queue = [found for found in rested if found.relative not in in_hand]
        self._looked = time.monotonic()

    async def _one(self, task: Task, slot: int) -> None:
        """One scan from cutting to its end; the cutting goes on beside others, the rest does not."""
        self.progress.status.scan = task.scan
        try:
            cutter = self._cutters.get(slot)
            if cutter is None:
                folder = self.settings.output / task.work
                cutter = self._cutters[slot] = await asyncio.to_thread(Cutter, folder)
            answer = await asyncio.to_thread(task.split, cutter)
            async with self._commit:
                if self._stuck is None:
                    outcome = await asyncio.to_thread(task.finish, answer)
                    if outcome is not None:
                        self._over(outcome)
        except Stuck as stuck:
            self._stuck = self._stuck or stuck
        except OSError as error:
            self._stuck = self._stuck or Stuck(f"{task.scan}: {error.strerror}")
        finally:
            task.close()
            self._free.append(slot)

    async def _step(self) -> None:
        """Until a scan is over, or it is time to look again."""
        await asyncio.wait(self._tasks, timeout=LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED)

    def _began(self) -> None:
        if not self._batch:
            self._batch = True
            ledger = self.bench.ledger
            self.progress.begin(len(self._queue), ledger.count - len(ledger.batch))

    def _over(self, outcome: Outcome) -> None:
        self._add(outcome)
        self.progress.event(outcome.n, outcome.event)

    def _add(self, outcome: Outcome) -> None:
        status = self.progress.status
        if outcome.failed:
            status.failed += 1
        elif outcome.known:
            status.duplicates += 1
        else:
            status.done += 1
            status.photos += outcome.photos
        self._count()

    def _count(self) -> None:
        self.progress.status.waiting = len(self._queue) + self._restless + len(self._tasks)
        self.progress.changed()

    async def _end_batch(self) -> None:
        """Its contact sheet, and the word that it is over."""
        if not self._batch:
            return
        self._batch = False
        said = str(self._stuck or "")
        status = self.progress.status
        if not self._stuck:
            said = await asyncio.to_thread(_sheet, self.settings.output)
        counts = {"done": status.done, "failed": status.failed, "duplicates": status.duplicates}
        event = {"end": {**counts, "photos": status.photos, "said": said}}
        self.progress.event(await asyncio.to_thread(self._written, event), event)
        status.state, status.scan = "waiting", ""
        self.progress.changed()

    def _written(self, event: dict[str, Any]) -> int:
        """The number under which the end of the batch is in the ledger; 0 where there is no room for it."""
        ledger = self.bench.ledger
        if not ledger.batch:
            return 0
        try:
            ledger.write(Entry(BATCH, "", "", event=event))
        except OSError:
            return 0
        return ledger.count

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    async def _wait(self) -> None:
        """Until something happens in the inbox; on network mounts nobody tells, so that one looks."""
        if self.settings.poll is not None:
            await self._sleep(self.settings.poll)
            return
        changed = asyncio.Event()
        folders = [self.settings.inbox / prefix for prefix in self._look.folders]
        try:
            watch = self._inotify.watch(folders, changed.set)
        except Unavailable:
            await self._sleep(self.settings.quiet)
            return
        try:
            await self._see()  # what came before the watch did
            if self._queue or self._restless:
                return
            waits = [asyncio.ensure_future(event.wait()) for event in (changed, self.stopping)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        finally:
            watch.close()


def _sheet(output: Path) -> str:
    """Have the contact sheet made by a process of its own; what went wrong, or nothing."""
    command = [sys.executable, "-m", "bridge.scans.inbox.sheet", os.fspath(output)]
    try:
        made = subprocess.run(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SHEET_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no contact sheet: {error}"[:200]
    return (
        ""
        if made.returncode == 0
        else f"no contact sheet: {made.stderr.decode(errors='replace')[-160:].strip()}"
    )
