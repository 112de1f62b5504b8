import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.helper import engine, trust
from tests.fakes.docker_engine import FakeEngine
from tests.fakes.ownership import Ownership


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Ownership:
    """A machine on which every file is root's; give() and open_to() change that."""
    fake = Ownership()
    monkeypatch.setattr(trust, "os", fake)
    return fake


@pytest.fixture
def held_signals() -> Iterator[None]:
    """Signals as the helper has them while it works: all held back."""
    before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    yield
    while signal.sigtimedwait(signal.valid_signals(), 0):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """An engine that answers at its socket, without a container."""
    fake = FakeEngine(tmp_path / "docker.sock")
    monkeypatch.setattr(engine, "SOCKETS", ("/nowhere/docker.sock", str(tmp_path / "docker.sock")))
    yield fake
    fake.close()
