"""Where bridges live: a child process in this network, and a service in a server of its own."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bridge.hands import Hands
from benchmarks.homekit.subjects import CHECKOUT, CODE, Subject, switch
from tests.e2e.box import Box, Image
from tests.e2e.box.debian import debian
from tests.e2e.install import clean_copy, install
from tests.e2e.server import PORT, Server

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}  # a service's
TICKS = os.sysconf("SC_CLK_TCK")
UNIT = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/true\n"
SERVICE = "bellpull.service"


class Child:
    """A program and all processes of its session."""

    address = "127.0.0.1"
    port = 21099

    def __init__(self, subject: Subject, folder: Path, count: int) -> None:
        self._folder = folder
        self._command = subject.prepare(folder, count, self.port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def start(self) -> float:
        with (self._folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                cwd=CHECKOUT,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return time.monotonic()

    def stop(self) -> float:
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.monotonic() - start

    def kill(self) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()

    def _stats(self) -> Iterator[list[str]]:
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if int(fields[3]) == self.process.pid:
                yield fields

    def cpu(self) -> float:
        return sum(sum(map(int, fields[11:15])) for fields in self._stats()) / TICKS

    def memory(self) -> float:
        return sum(int(fields[21]) for fields in self._stats()) * os.sysconf("SC_PAGE_SIZE")

    def outside(self, number: int, on: bool) -> float:
        path = switch(self._folder, number)
        start = time.monotonic()
        if on:
            path.touch()
        else:
            path.unlink(missing_ok=True)
        return start

    def complaint(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]


@contextmanager
def child(subject: Subject, count: int) -> Iterator[Child]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        running = Child(subject, Path(folder), count)
        try:
            yield running
        finally:
            running.kill()


class Installed:
    """Bellpull as installed, with tiles of `kind: services`, one unit each."""

    address = Box.address
    port = PORT

    def __init__(self, box: Box, hands: Hands, count: int) -> None:
        self._box, self._hands = box, hands
        server = Server(box)
        server.unit("bench@", UNIT)
        tiles = "".join(
            f"  tile_{number:03}: {{kind: services, name: Switch {number}, units: [{_unit(number)}]}}\n"
            for number in range(count)
        )
        server.configure(
            f"bridge: {{address: {box.address}, port: {PORT}, setup_code: {CODE}}}\naccessories:\n{tiles}"
        )

    def start(self) -> float:
        return self._hands.run("systemctl", "start", "--no-block", SERVICE).start

    def stop(self) -> float:
        took = self._hands.kill(int(self._hands.property(SERVICE, "MainPID")), signal.SIGTERM).took
        while self._hands.property(SERVICE, "ActiveState") != "inactive":
            time.sleep(0.02)
        return took

    def cpu(self) -> float:
        lines = self._hands.read(f"/sys/fs/cgroup/system.slice/{SERVICE}/cpu.stat").splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    def memory(self) -> float:
        pid = self._hands.property(SERVICE, "MainPID")
        lines = self._hands.read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]
        return int(dict(line.split()[:2] for line in lines)["Rss:"]) * 1024

    def outside(self, number: int, on: bool) -> float:
        return self._hands.run("systemctl", "start" if on else "stop", _unit(number)).start

    def complaint(self) -> str:
        return self._box.journal("bellpull")[-2000:]


def _unit(number: int) -> str:
    return f"bench@{number:03}.service"


@contextmanager
def installed(count: int) -> Iterator[tuple[Box, Installed]]:
    with tempfile.TemporaryDirectory() as folder:
        checkout = clean_copy(Path(folder))
        with Box(Image((debian(),)), binds={checkout: "/src/bellpull"}) as box:
            install(box, "/src/bellpull")
            with Hands(box) as hands:
                yield box, Installed(box, hands, count)
