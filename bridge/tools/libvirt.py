"""libvirt's guests over virsh's read-only connection: without privilege, polling, or a binding to compile.

Source of the numbers: virDomainState and its reasons in libvirt-domain.h. One `virsh event`
serves every tile. It does not say from when on it listens, but is asked for its URI first, so
the guests are looked at once more a moment after it has said that; it ends when the connection
does, and then everyone who waits hears Unavailable.
"""

import asyncio
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from bridge.contract import Unavailable
from bridge.printable import printable

URI = "qemu:///system"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ANSWER = 10.0  # seconds libvirt has to answer a question
CONNECTED = 0.5  # seconds after which a listener that is connected surely listens
SETPRIV = ("setpriv", "--pdeathsig", "KILL", "--")  # a listener does not outlive a bridge that is killed
EVENT = b"event '"
OF_NOTE = ("lifecycle", "reboot")


class Stands(IntEnum):
    """virDomainState, and one for a guest that libvirt does not know."""

    ABSENT = -1
    NO_STATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTTING_DOWN = 4
    SHUT_OFF = 5
    CRASHED = 6
    SUSPENDED = 7


WORDS: dict[int, str] = {
    Stands.RUNNING: "is running",
    Stands.BLOCKED: "is running",
    Stands.PAUSED: "is paused",
    Stands.SHUTTING_DOWN: "is shutting down",
    Stands.CRASHED: "has crashed",
    Stands.SUSPENDED: "is suspended",
}
PASSING = (2, 3, 4, 7, 8, 9, 11, 12)
"""virDomainPausedReason: paused for libvirt's own work, and only for a moment."""
STUCK = {5: "by an I/O error", 6: "by its watchdog", 10: "because it crashed"}
"""virDomainPausedReason: paused because something is wrong."""
SAVED = 5
"""virDomainShutoffReason: off, and its memory is on disk until it is started again."""
ENDED_BADLY = (3, 6)
"""virDomainShutoffReason: crashed, failed."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest as `virsh domstats --state` tells it; `reason` belongs to the state."""

    name: str
    state: int
    reason: int = 0

    @property
    def up(self) -> bool:
        return self.state in (Stands.RUNNING, Stands.BLOCKED)

    @property
    def down(self) -> bool:
        return self.state in (Stands.SHUT_OFF, Stands.CRASHED, Stands.ABSENT)

    @property
    def moving(self) -> bool:
        paused_for_a_moment = self.state == Stands.PAUSED and self.reason in PASSING
        return self.state in (Stands.NO_STATE, Stands.SHUTTING_DOWN) or paused_for_a_moment

    @property
    def died(self) -> bool:
        if self.state == Stands.SHUT_OFF:
            return self.reason in ENDED_BADLY
        return self.state == Stands.CRASHED or (self.state == Stands.PAUSED and self.reason in STUCK)

    def __str__(self) -> str:
        match self.state, self.reason:
            case Stands.ABSENT, _:
                return f"libvirt knows no guest {self.name}"
            case Stands.SHUT_OFF, reason if reason in ENDED_BADLY:
                how = "has crashed"
            case Stands.SHUT_OFF, reason:
                how = "is saved" if reason == SAVED else "is off"
            case Stands.PAUSED, reason if reason in STUCK:
                how = f"was paused {STUCK[reason]}"
            case state, _:
                how = WORDS.get(state, f"is in a state that is not known here ({state})")
        return f"{self.name} {how}"


Domains = dict[str, Domain]


class Libvirt:
    """A client of the system's libvirt; it listens while somebody watches.

    reboots   how often each guest was seen to reboot
    """

    def __init__(self) -> None:
        self.reboots: Counter[str] = Counter()
        self._listener: asyncio.Task[None] | None = None
        self._watchers: set[asyncio.Queue[Domains | Unavailable]] = set()
        self._last: Domains | None = None

    async def read(self) -> Domains:
        """Every guest that is defined or runs, by name; Unavailable when libvirt cannot be asked."""
        process = await _virsh("domstats", "--state")
        try:
            async with asyncio.timeout(ANSWER):
                out, err = await process.communicate()
        except TimeoutError:
            raise Unavailable(f"libvirt does not answer within {ANSWER:g} s") from None
        finally:
            await _end(process)
        if process.returncode != 0:
            raise Unavailable(_explained(err))
        return parse(out.decode(errors="replace"))

    async def watch(self) -> AsyncGenerator[Domains, None]:
        """All guests now, and again after every change of one of them."""
        news: asyncio.Queue[Domains | Unavailable] = asyncio.Queue()
        if self._listener is None or self._listener.done():
            self._last = None
            self._listener = asyncio.create_task(self._listen(), name="libvirt's events")
        elif self._last is not None:
            news.put_nowait(self._last)
        self._watchers.add(news)
        try:
            while True:
                found = await news.get()
                if isinstance(found, Unavailable):
                    raise found
                yield found
        finally:
            self._watchers.discard(news)
            if not self._watchers:
                await self.close()

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and not listener.done():
            listener.cancel()
            await asyncio.wait({listener})

    async def _listen(self) -> None:
        """Tell all watchers how the guests are, from now on; at its end, why it ended."""
        changed = asyncio.Event()
        try:
            process = await _virsh("uri; event --all --loop")
            hearing = asyncio.create_task(self._hear(process, changed), name="virsh event")
            try:
                while True:
                    changed.clear()
                    self._tell(await self.read())
                    await asyncio.wait(
                        {hearing, waiting := asyncio.create_task(changed.wait())},
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    waiting.cancel()
                    if hearing.done():
                        raise Unavailable(hearing.result())
            finally:
                hearing.cancel()
                await asyncio.wait({hearing})
                await _end(process)
        except Exception as error:
            if isinstance(error, Unavailable):
                trouble = error
            else:
                trouble = Unavailable(f"libvirt's events cannot be followed: {error}")
            for news in self._watchers:
                news.put_nowait(trouble)

    def _tell(self, domains: Domains) -> None:
        self._last = domains
        for news in self._watchers:
            news.put_nowait(domains)

    async def _hear(self, process: asyncio.subprocess.Process, changed: asyncio.Event) -> str:
        """Listen until virsh ends; why it did."""
        assert process.stdout is not None and process.stderr is not None
        while line := await process.stdout.readline():
            if line.strip() == URI.encode():
                asyncio.get_running_loop().call_later(CONNECTED, changed.set)
            if line.startswith(EVENT):
                what, _, rest = line.removeprefix(EVENT).decode(errors="replace").partition("'")
                if what == "reboot":
                    self.reboots[rest.partition("'")[2].rpartition("'")[0]] += 1
                if what in OF_NOTE:
                    changed.set()
        return _explained(await process.stderr.read(4096))


def parse(text: str) -> Domains:
    """What `virsh domstats --state` prints: "Domain: 'NAME'" and lines of "  state.KEY=NUMBER"."""
    found: Domains = {}
    name, numbers = "", {"state": 0, "reason": 0}
    for line in [*text.splitlines(), "Domain: ''"]:
        if line.startswith("Domain: '"):
            if name:
                found[name] = Domain(name, numbers["state"], numbers["reason"])
            name, numbers = line.removeprefix("Domain: '").removesuffix("'"), {"state": 0, "reason": 0}
        elif line.strip().startswith("state."):
            key, _, number = line.strip().removeprefix("state.").partition("=")
            if key in numbers and number.isdecimal():
                numbers[key] = int(number)
    return found


def processes(names: Iterable[str]) -> list[int]:
    """The processes of guests that run. qemu is told who it is: `-name guest=NAME,…`."""
    wanted = {f"guest={name}".encode() for name in names}
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            words = path.read_bytes().split(b"\0")
            if b"-name" in words[:-1] and words[words.index(b"-name") + 1].partition(b",")[0] in wanted:
                found.append(int(path.parent.name))
    return sorted(found)


async def _virsh(*words: str) -> asyncio.subprocess.Process:
    virsh, setpriv = shutil.which("virsh", path=PATH), shutil.which("setpriv", path=PATH)
    if virsh is None:
        raise Unavailable("virsh is not on this machine; install libvirt-clients (Fedora: libvirt-client)")
    before = (setpriv, *SETPRIV[1:]) if setpriv else ()
    try:
        return await asyncio.create_subprocess_exec(
            *before,
            virsh,
            "--readonly",
            "--quiet",
            "--connect",
            URI,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/"},
            start_new_session=True,  # a Ctrl-C meant for the bridge is not virsh's
        )
    except OSError as error:
        raise Unavailable(f"virsh cannot be run: {error.strerror}") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.communicate()


def _explained(errors: bytes) -> str:
    lines = [line.removeprefix("error: ") for line in errors.decode(errors="replace").splitlines() if line]
    return f"libvirt cannot be asked: {printable(lines[-1] if lines else 'virsh ended', 200)}"
