"""A file of root's that is replaced as a whole or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RootFile:
    """What should lie at `path`; the owner is who writes it, and so is the group unless it is told."""

    path: Path
    text: str
    mode: int
    gid: int | None = None

    def is_there(self) -> bool:
        """Is it all as it should be, mode and owner included?"""
        try:
            status = self.path.lstat()
            return (
                status.st_mode == stat.S_IFREG | self.mode
                and status.st_uid == os.geteuid()
                and self.gid in (None, status.st_gid)
                and self.path.read_bytes() == self.text.encode()
            )
        except FileNotFoundError:
            return False

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A draft beside it, complete and on the disk; removed afterwards unless published.

        Its name has a dot, so that sudo passes over it (sudoers(5), "Including other files").
        """
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.text)
                file.flush()
                os.fchown(file.fileno(), -1, -1 if self.gid is None else self.gid)
                os.fchmod(file.fileno(), self.mode)
                os.fsync(file.fileno())
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def publish(self, draft: Path) -> None:
        """Put the draft in its place, so that it is there after a power cut too."""
        draft.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
