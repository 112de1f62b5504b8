"""What the watchdog has to know after the bridge was restarted: one small file, written by a thread."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


@dataclass
class Record:
    """What is remembered of one accessory.

    armed     it is watched; the switch beside the tile says no
    restarts  when it was restarted, in seconds since 1970
    gave_up   the brake has stopped the restarts, and it has not recovered since
    told      the rules whose failing was told, as written, and whose recovery was not yet
    """

    armed: bool = True
    restarts: list[float] = field(default_factory=list)
    gave_up: bool = False
    told: list[str] = field(default_factory=list)

    def forget(self) -> None:
        """Begin anew; armed or not is a person's to say."""
        self.restarts, self.gave_up, self.told = [], False, []


class Memory:
    """A Record of each key; what cannot be read or written is said once, and costs no cycle."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watchdog")
        self._written = ""
        self._complained = False
        self._records: dict[str, Record] = self._read()

    def of(self, key: str) -> Record:
        return self._records.setdefault(key, Record())

    def only(self, keys: set[str]) -> None:
        """Forget accessories that are watched no more."""
        self._records = {key: record for key, record in self._records.items() if key in keys}

    def keep(self) -> "asyncio.Future[None]":
        """Write what is known now; the future is done when that is on the disk, or has failed."""
        text = json.dumps({key: asdict(record) for key, record in self._records.items()})
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, text)

    async def close(self) -> None:
        """Gives a hanging disk one second."""
        await asyncio.wait({self.keep()}, timeout=1.0)
        self._thread.shutdown(wait=False)

    def _read(self) -> dict[str, Record]:
        try:
            found = json.loads(self._path.read_text())
            return {key: _record(row) for key, row in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            log.error("%s cannot be read (%s); the watchdog begins anew", self._path, error)
            return {}

    def _write(self, text: str) -> None:
        if text == self._written:
            return
        draft = self._path.with_name(self._path.name + ".new")
        try:
            draft.touch(mode=0o600)
            draft.write_text(text)
            draft.replace(self._path)
            self._written, self._complained = text, False
        except OSError as error:
            if not self._complained:
                log.error(
                    "%s cannot be written: %s; a restarted bridge will not know of this", self._path, error
                )
            self._complained = True


def _record(row: Any) -> Record:
    """Raises TypeError or ValueError for what never was one."""
    record = Record(**row)
    record.restarts = [float(at) for at in record.restarts]
    if not (isinstance(record.armed, bool) and isinstance(record.gave_up, bool)):
        raise ValueError("it is not what was written")
    record.told = [str(rule) for rule in record.told]
    return record
