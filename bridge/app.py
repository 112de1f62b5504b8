"""The composition root: the only place that sees everything."""

import asyncio
import fcntl
import gc
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import __version__, log, notify
from bridge.adapters import Broken, Restarting
from bridge.config import Config, Entry, sensor_name
from bridge.contract import Accessory, Change, Listener, Tell
from bridge.control import CannotListen, Control
from bridge.homekit import Companion, HomeKit, HomeKitError, Settings
from bridge.journal import Journal
from bridge.keeper import Keeper
from bridge.paths import Paths
from bridge.tools import Tools
from bridge.tools.fence import hide_from_children
from bridge.wishes import Wishes

if TYPE_CHECKING:
    from bridge.notices import Notices
    from bridge.watchdog.watchdog import Watchdog

CALM = 5.0  # seconds between two answers to "which one is it?", which strangers may ask
FIRST_LOOK = 0.5  # seconds that the start waits for tiles to know how they stand

logger = logging.getLogger(__name__)


class AppError(Exception):
    """The bridge cannot run; one line for a person."""


class App:
    """One bridge: its tiles, and everyone who shows them. To be made on the running loop."""

    def __init__(self, config: Config, paths: Paths) -> None:
        self.tools = Tools(secrets=paths.keys, tell=self._tell)
        self.journal = Journal(paths.journal)
        self.wishes = Wishes(paths.wishes)
        self.keepers: dict[str, Keeper] = {}
        self._asked = 0.0
        kinds = {entry.key: entry.kind_name for entry in config.accessories}
        kinds |= {f"{entry.key}.watchdog": "watchdog" for entry in config.accessories}
        self.control = Control(paths, self.keepers, kinds, self.journal)
        self.listeners: list[Listener] = [self.journal, self.control]
        self.notices = _notices(config) if config.notify else None
        if self.notices is not None:
            self.listeners.append(self.notices)
            self.control.notices = self.notices
        self.watchdog: Watchdog | None = None
        if any(entry.watch for entry in config.accessories):
            self.watchdog = self.control.watchdog = _watchdog(paths, self._bark)
        for entry in config.accessories:
            self._keep(entry)
        self.homekit = HomeKit(
            Settings(config.bridge.name, config.bridge.address, config.bridge.port, config.bridge.setup_code),
            list(self.keepers.values()),
            paths.keys,
            version=__version__,
            companions=[
                Companion(f"{entry.key}.{sensor}", sensor_name(entry.name, sensor))
                for entry in config.accessories
                for sensor in entry.sensors
            ],
            identified=self._identified,
        )
        self.listeners.append(self.homekit)
        self.control.home = self.homekit

    def _keep(self, entry: Entry) -> None:
        accessory = self._opened(entry)
        keeper = self.keepers[entry.key] = Keeper(
            entry.key,
            entry.name,
            accessory,
            deadline=entry.deadline,
            ignores_bulk=entry.ignores_bulk,
            listeners=self.listeners,
            kept=self.wishes,
        )
        if self.watchdog is not None and entry.watch is not None:
            self.watchdog.add(keeper, accessory, entry.watch)
            if entry.watch.switch:
                self._keep_switch(self.watchdog, entry)

    def _keep_switch(self, watchdog: "Watchdog", entry: Entry) -> None:
        key, name = f"{entry.key}.watchdog", sensor_name(entry.name, "watchdog")
        self.keepers[key] = Keeper(
            key,
            name,
            watchdog.switch(entry.key),
            deadline=entry.deadline,
            ignores_bulk=True,
            listeners=self.listeners,
        )

    def _opened(self, entry: Entry) -> Accessory:
        if entry.kind is None:
            return Broken(entry.broken)
        try:
            accessory = entry.kind.open(entry.key, self.tools)
        except Exception as error:
            logger.exception("%s: cannot be opened", entry.key)
            return Broken(f"cannot be opened: {type(error).__name__}: {error}")
        return Restarting(accessory) if entry.action == "restart" else accessory

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        tasks = [asyncio.create_task(keeper.run(), name=key) for key, keeper in self.keepers.items()]
        tasks.append(asyncio.create_task(_show_life(tasks.copy()), name="life"))
        if self.watchdog is not None:
            tasks.append(asyncio.create_task(self.watchdog.run(), name="watchdog"))
        try:
            await self.control.start()
            await self._first_looks()
            await self.homekit.start()
            gc.freeze()  # all of this stays to the end: looking it through at exit alone takes 30 ms
            notify.tell("READY=1", f"STATUS={len(self.keepers)} accessories")
            self._greet()
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            notify.tell("STOPPING=1")
            await self._close(tasks)

    async def _first_looks(self) -> None:
        """Let phones find tiles that know how they stand."""
        looks = [keeper.looked.wait() for keeper in self.keepers.values()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*looks), FIRST_LOOK)

    async def _close(self, tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*(keeper.close() for keeper in self.keepers.values()))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=1.0)
        await self.homekit.stop()
        await self.control.stop()
        if self.watchdog is not None:
            await self.watchdog.close()
        if self.notices is not None:
            await self.notices.close()
        await self.tools.close()
        await self.journal.close()
        self.wishes.close()

    def _identified(self, key: str, who: str) -> None:
        """Somebody has pressed "identify" in the Home app; the key is empty for the bridge itself."""
        now = time.time()
        if now - self._asked < CALM:
            return
        self._asked = now
        logger.warning("%s asks which one this is: %s", who, key or "the bridge itself")
        self._note(key, who, "asks which one this is")

    def _tell(self, key: str, sensor: str, text: str) -> None:
        logger.info("%s: %s", key, f"{sensor}: {text}" if sensor else text)
        self._note(key, "observed", text, sensor)

    def _bark(self, key: str, sensor: str, text: str) -> None:
        logger.warning("%s: watchdog: %s", key, text)
        self._note(key, "watchdog", text, sensor)

    def _note(self, key: str, who: str, text: str, sensor: str = "") -> None:
        """A line of the story that changes no tile."""
        keeper = self.keepers.get(key)
        shown = keeper.shown if keeper else None
        change = Change(key or "(bridge)", time.time(), shown, shown, who, text, sensor=sensor)
        for listener in self.listeners:
            listener.changed(change)

    def _greet(self) -> None:
        """The setup code belongs on a person's terminal, never in a log."""
        logger.info(
            "%d accessories, %s", len(self.keepers), "paired" if self.homekit.paired else "not paired yet"
        )
        if not self.homekit.paired and not log.for_journal():
            from bridge.pairing import invitation

            print(invitation(self.homekit.setup_code, self.homekit.setup_uri), flush=True)


def _notices(config: Config) -> "Notices":
    from bridge.notices import Notices

    assert config.notify is not None
    names = {entry.key: entry.name for entry in config.accessories}
    return Notices(config.notify.url, config.notify.headers_file, names)


def _watchdog(paths: Paths, say: Tell) -> "Watchdog":
    from bridge.watchdog.watchdog import Watchdog

    return Watchdog(paths.watchdog, say)


async def _show_life(keepers: list[asyncio.Task[None]]) -> None:
    """Feed systemd's watchdog while the loop turns and every Keeper lives."""
    interval = notify.watchdog_interval()
    while True:
        if interval is None:
            await asyncio.Event().wait()
        elif not any(task.done() for task in keepers):
            notify.tell("WATCHDOG=1")
        await asyncio.sleep(interval or 0)


def serve(config: Config, paths: Paths) -> None:
    """Run the bridge in this process until it is told to stop; raises AppError."""
    os.umask(0o077)
    _prepare(paths)
    hide_from_children()
    with _only_one(paths.state / "lock"):
        asyncio.run(_run(config, paths))


async def _run(config: Config, paths: Paths) -> None:
    try:
        await App(config, paths).run()
    except (HomeKitError, CannotListen) as error:
        raise AppError(str(error)) from None


def _prepare(paths: Paths) -> None:
    try:
        paths.state.mkdir(parents=True, exist_ok=True)
        paths.keys.mkdir(mode=0o700, exist_ok=True)
        _close_to_others(paths.keys, 0o700)
        for path in (*paths.keys.iterdir(), paths.journal):
            if path.is_file() and not path.is_symlink():
                with suppress(PermissionError):  # somebody else's, say a backup by root
                    _close_to_others(path, 0o600)
    except OSError as error:
        raise _unusable(error, paths.state) from None


def _close_to_others(path: Path, wanted: int) -> None:
    """Undo what a command may have done: it runs as the same user, and Landlock covers no chmod."""
    mode = path.stat().st_mode & 0o7777
    if mode == wanted:
        return
    path.chmod(wanted)
    if mode & 0o077:
        logger.warning("%s: others could get at it (mode %o); closed to them again", path, mode)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock that keeps two bridges from sharing one state."""
    try:
        file = path.open("w")
    except OSError as error:
        raise _unusable(error, path) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AppError(f"{path.parent}: another bridge is running with this state") from None
        yield


def _unusable(error: OSError, path: Path) -> AppError:
    where = error.filename or path
    return AppError(f"{where}: cannot be used for the bridge's state: {error.strerror}; choose a --state-dir")
