"""The wishes that outlast the bridge: an empty file KEY.on or KEY.off for each.

Empty files, so that a unit which runs before the bridge needs no more than ConditionPathExists=.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

log = logging.getLogger(__name__)


class Wishes:
    """A folder of them; written by a thread of its own, in the order of the wishes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="wishes")

    def read(self, key: str, at_first: bool | None = None) -> bool | None:
        if self._path(key, True).exists():
            return True
        return False if self._path(key, False).exists() else at_first

    def write(self, key: str, on: bool | None) -> None:
        self._writer.submit(self._write, key, on)

    def close(self) -> None:
        """Returns when all is on the disk."""
        self._writer.shutdown()

    def _path(self, key: str, on: bool) -> Path:
        return self._folder / f"{key}.{'on' if on else 'off'}"

    def _write(self, key: str, on: bool | None) -> None:
        """The new file first: a power cut in between leaves both, which is read as on."""
        try:
            self._folder.mkdir(mode=0o755, exist_ok=True)
            if on is not None:
                self._path(key, on).touch()
            for other in {True, False} - {on}:
                self._path(key, other).unlink(missing_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            log.error("%s: the wish cannot be kept on the disk: %s", key, error.strerror)
