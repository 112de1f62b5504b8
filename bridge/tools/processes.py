"""Runs the programs a person has configured, fenced in, and really ends them when it must."""

import asyncio
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bridge.contract import Failed
from bridge.tools.fence import Fence, hide_from_children
from bridge.tools.output import Output

PATIENCE = 2.0  # seconds between asking a command's group to end and making it
LEASH_PATIENCE = 5.0  # the same for a program that runs as long as its tile is on
FIRST_BREATH = 0.25  # seconds such a program is looked at before its start is believed
LAST_WAIT = 1.0  # seconds a killed process has to be gone; one that waits for a disk may not be
BACKGROUND = 64  # pipes kept for children that outlive their command

__all__ = ["Child", "Ended", "Processes", "hide_from_children"]

C = TypeVar("C", bound="Child")

FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
SETPRIV = ("setpriv", "--no-new-privs", "--")
CANNOT_RUN = ("setpriv: failed to execute ", "cannot run ")  # setpriv's words and the leash's
LEASH = Path(__file__).with_name("leash.py")
PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "TZ", "HOME", "USER", "LOGNAME", "SHELL"),
    *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),  # a user's own services, when run by hand
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: `code` is its exit code, or minus a signal's number.

    said  its last line on stderr, readable and bounded; may be empty
    """

    code: int
    said: str = ""

    @property
    def not_run(self) -> bool:
        """It was not found or is not executable (126 and 127, as setpriv and every shell say it)."""
        return self.code in (126, 127)

    def __str__(self) -> str:
        for saying in CANNOT_RUN:
            if self.not_run and self.said.startswith(saying):
                return f"cannot run {self.said.removeprefix(saying)}"
        how = f"killed by {_signal_name(-self.code)}" if self.code < 0 else f"exit code {self.code}"
        return f"{how}: {self.said}" if self.said else how


class Child:
    """One running program and its group. `ended` is done as soon as the program itself has ended."""

    def __init__(self, process: subprocess.Popen[bytes], log: logging.Logger) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ended] = self._loop.create_future()
        self._process = process
        pipes = [pipe for pipe in (process.stderr, process.stdout) if pipe is not None]
        self.outputs = [Output(os.dup(pipe.fileno()), log) for pipe in pipes]
        for pipe in pipes:
            pipe.close()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pids(self) -> tuple[int, ...]:
        """The program's own process."""
        return (self._process.pid,)

    def _reap(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        for output in self.outputs:
            output.finish()
        self.ended.set_result(Ended(code, self.outputs[0].last))

    async def stop(self) -> None:
        """End the whole group, whatever it does about it; returns in little more than PATIENCE."""
        self._signal(signal.SIGTERM)
        await self._gone(PATIENCE)
        self._signal(signal.SIGKILL)
        await asyncio.wait({self.ended}, timeout=LAST_WAIT)
        if not self.ended.done():
            logging.getLogger(__name__).error("process %d does not end, even killed", self._process.pid)

    async def _gone(self, seconds: float) -> None:
        """Wait until nobody of the group is left. The kernel tells of the program only, not of its group."""
        until, pause = self._loop.time() + seconds, 0.005
        while self._signal(0) and self._loop.time() < until:
            if self.ended.done():
                await asyncio.sleep(pause)
            else:
                await asyncio.wait({self.ended}, timeout=pause)
            pause = min(2 * pause, 0.1)

    def _signal(self, number: int) -> bool:
        """Signal the group; False when nobody is left. A group in use keeps its number from being reused."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class Leashed(Child):
    """A program that runs until `stop()`, or until the bridge ends in whatever way."""

    def __init__(self, process: subprocess.Popen[bytes], log: logging.Logger, held: int) -> None:
        super().__init__(process, log)
        self._held = held
        self.ended.add_done_callback(lambda _: self._let_go())

    @property
    def pids(self) -> tuple[int, ...]:
        leash = self._process.pid
        try:
            return tuple(map(int, Path(f"/proc/{leash}/task/{leash}/children").read_text().split()))
        except OSError:
            return (leash,)  # it has ended, or the kernel tells nobody of children

    async def stop(self) -> None:
        self._let_go()
        await asyncio.wait({self.ended}, timeout=LEASH_PATIENCE + LAST_WAIT)
        if not self.ended.done():
            await super().stop()

    def _let_go(self) -> None:
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)


class Processes:
    """Starts children that get no new privileges and cannot read `secrets` (see bridge.tools.fence).

    They get no input, no descriptors, a small environment and a session of their own. What they
    say goes to the log; it is no verdict. A program outside the system's own folders is looked up
    by setpriv, in the child: a disk that does not answer then holds up that child, not the bridge.
    """

    def __init__(self, secrets: Path) -> None:
        self._fence = Fence(secrets)
        self._children: set[Child] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._outputs: list[Output] = []

    async def run(
        self, argv: Sequence[str], *, seconds: float, log: logging.Logger, silent: bool = False
    ) -> Ended:
        """Run a program to its end; its background children live on. `silent`: drop its stdout.

        Raises Failed when it cannot be started, or when it has to be ended after `seconds`
        with its whole group. Cancelled, it ends that group too before it returns.
        """
        child = await self._start(argv, log, silent=silent)
        try:
            await asyncio.wait({child.ended}, timeout=seconds)
            in_time = child.ended.done()
        finally:
            if not child.ended.done():
                await self.end(child)
        if not in_time:
            raise Failed(f"did not finish in {seconds:g} s and was ended")
        return child.ended.result()

    async def keep(self, argv: Sequence[str], *, log: logging.Logger) -> Child:
        """Start a program that is to go on until `end()`; it ends with the bridge at the latest.

        Raises Failed when it cannot be started, or ends at once.
        """
        await self._ready()
        ours, theirs = os.pipe()[::-1]
        try:
            command = [sys.executable, "-IS", str(LEASH), f"{LEASH_PATIENCE}", *argv]
            process = self._launch(command, stdin=theirs, stdout=subprocess.PIPE)
        except Failed:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        child = self._adopt(Leashed(process, log, ours))
        try:
            await asyncio.wait({child.ended}, timeout=FIRST_BREATH)
        except asyncio.CancelledError:
            await self.end(child)
            raise
        if child.ended.done():
            raise Failed(f"it ended at once: {child.ended.result()}")
        return child

    async def end(self, child: Child) -> None:
        """End a child's whole group; goes on even when the caller is cancelled."""
        ending = asyncio.create_task(child.stop(), name="end a command")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.shield(ending)

    async def close(self) -> None:
        """End what still runs, but for what commands left in the background."""
        endings = [*self._endings, *(asyncio.create_task(child.stop()) for child in self._children)]
        if endings:
            await asyncio.wait(endings)
        for output in self._outputs:
            output.close()
        self._fence.close()

    async def _start(self, argv: Sequence[str], log: logging.Logger, *, silent: bool) -> Child:
        await self._ready()
        stdout = subprocess.DEVNULL if silent else subprocess.PIPE
        careful = [*SETPRIV, *argv]
        try:
            command = argv if at_hand(argv[0], environment()["PATH"]) else careful
            process = self._launch(command, stdin=subprocess.DEVNULL, stdout=stdout)
        except Failed:
            process = self._launch(careful, stdin=subprocess.DEVNULL, stdout=stdout)  # it explains
        return self._adopt(Child(process, log))
        return self._adopt(Child(process, log))

    async def _ready(self) -> None:
        try:
            await self._fence.refresh()
        except OSError as error:
            raise Failed(f"cannot hide the keys from it: {error}") from error

    def _launch(self, command: Sequence[str], *, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
        try:
            return self._fence.start(command, stdin=stdin, stdout=stdout, env=environment())
        except OSError as error:
            raise Failed(f"cannot start a process: {error.strerror}") from error

    def _adopt(self, child: C) -> C:
        self._children.add(child)
        child.ended.add_done_callback(lambda _: self._let_go(child))
        return child

    def _let_go(self, child: Child) -> None:
        self._children.discard(child)
        outputs = [output for output in (*self._outputs, *child.outputs) if output.open]
        for output in outputs[:-BACKGROUND]:
            output.close()
        self._outputs = outputs[-BACKGROUND:]


def environment() -> dict[str, str]:
    """What a child is told of the world."""
    return {"PATH": ":".join(FOLDERS)} | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def at_hand(program: str, path: str) -> bool:
    """Whether starting it waits for no foreign disk: a plain file in one of the system's own folders."""
    folder, name = os.path.split(program)
    for place in [folder] if folder else path.split(":"):
        if place not in FOLDERS:
            return False
        with suppress(OSError):
            return stat.S_ISREG(os.lstat(f"{place}/{name}").st_mode)
    return False


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
