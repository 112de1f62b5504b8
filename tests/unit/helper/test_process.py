import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.helper import process

PACKAGE = Path(process.__file__).parents[1]
CALLER = """
import os, resource, signal, sys
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR2])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
os.umask(0)
os.nice(3)
os.close(0)
os.execv(sys.executable, [sys.executable, "-IS", "-c", sys.argv[1]])
"""
PROGRAM = f"""
import os, sys
sys.path.append({str(PACKAGE)!r})
from helper import process
os.dup2(1, 50)
process.reset()
print(sorted(int(name) for name in os.listdir("/proc/self/fd"))[:3], os.path.exists("/proc/self/fd/50"))
print(os.getcwd(), oct(os.umask(0)), dict(os.environ) == process.ENVIRONMENT)
print(process.resource.getrlimit(process.resource.RLIMIT_FSIZE)[0])
print(os.getpriority(os.PRIO_PROCESS, 0))
status = dict(line.split() for line in open("/proc/self/status") if line.startswith("Sig"))
print(status["SigBlk:"], status["SigIgn:"], status["SigCgt:"])
"""


def test_nothing_of_the_callers_remains() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLER, PROGRAM],
        env={"LD_LIBRARY_PATH": "/tmp", "PYTHONPATH": "/tmp", "LC_ALL": "C"},
        cwd="/usr",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=30,
    )
    descriptors, place, size, niceness, signals = done.stdout.splitlines()
    assert descriptors == "[0, 1, 2] False"
    assert place == "/ 0o22 True"
    assert int(size) == resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    assert niceness == "0" or os.geteuid() != 0
    blocked, ignored, caught = (int(mask, 16) for mask in signals.split())
    bits = [1 << number - 1 for number in process.signals_with_a_choice()]
    assert all(blocked & bit and not (ignored | caught) & bit for bit in bits)


class FakeProcess:
    """Imitates a process as `os` shows it: 0 is closed, 9 is open, it may not become nicer."""

    def __init__(self) -> None:
        self.descriptors = {1, 2, 9}
        self.environ = {"LD_PRELOAD": "evil.so"}
        self.did: list[object] = []

    def fstat(self, number: int) -> None:
        if number not in self.descriptors:
            raise OSError(errno.EBADF, "bad")

    def open(self, path: str, flags: int) -> None:
        assert (path, flags) == ("/dev/null", os.O_RDWR)
        self.descriptors.add(0)

    def listdir(self, path: str) -> list[str]:
        assert path == "/proc/self/fd"
        return [*map(str, sorted(self.descriptors)), "10"]  # the listing's own

    def close(self, number: int) -> None:
        self.fstat(number)
        self.descriptors.remove(number)

    def setpriority(self, which: int, who: int, priority: int) -> None:
        self.did.append(priority)
        raise PermissionError

    def chdir(self, path: str) -> None:
        self.did.append(path)

    def umask(self, mask: int) -> None:
        self.did.append(mask)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class FakeLimits:
    """Imitates `resource` in a container: one limit cannot be raised above 100."""

    def __init__(self) -> None:
        self.limits: dict[int, tuple[int, int]] = {}

    def setrlimit(self, limit: int, wanted: tuple[int, int]) -> None:
        if limit == resource.RLIMIT_NPROC and wanted != (100, 100):
            raise ValueError("not allowed to raise maximum limit")
        self.limits[limit] = wanted

    def getrlimit(self, limit: int) -> tuple[int, int]:
        return (50, 100)


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in process.signals_with_a_choice()}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.usefixtures("signals")
def test_what_may_not_be_changed_is_left_and_the_rest_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, limits = FakeProcess(), FakeLimits()
    monkeypatch.setattr(process, "os", fake)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    process.reset()
    assert fake.descriptors == {0, 1, 2}
    assert fake.environ == process.ENVIRONMENT
    assert fake.did == ["/", 0o022, 0]
    assert limits.limits == {**process.LIMITS, resource.RLIMIT_NPROC: (100, 100)}
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    process.hear_signals()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
