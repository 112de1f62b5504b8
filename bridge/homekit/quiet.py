"""A log that a stranger cannot fill, and that says no secret."""

import logging
import time
from collections.abc import Callable

MOST = 5  # lines of one kind ...
PERIOD = 60.0  # ... in so many seconds


class Bounded(logging.Filter):
    """Lets a kind of line through a few times a minute, then says how many it kept back.

    A kind is the text before its arguments are filled in.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        since, count = self._seen.get(record.msg, (now, 0))
        if now - since >= PERIOD:
            if count > MOST:
                record.msg = f"{record.msg} (and {count - MOST} more like this before)"
            since, count = now, 0
        self._seen[_kind(record.msg)] = since, count + 1
        return count < MOST


def _kind(message: str) -> str:
    return message.partition(" (and ")[0]


def keep_quiet() -> None:
    """Bound what strangers cause; HAP-python's lines below an error say setup codes and requests."""
    logging.getLogger("pyhap").setLevel(logging.ERROR)
    log = logging.getLogger("bridge.homekit.network")
    if not any(isinstance(old, Bounded) for old in log.filters):
        log.addFilter(Bounded())
