import signal
from collections.abc import Iterator

import pytest

from bridge.helper import trust
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
