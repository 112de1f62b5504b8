"""What a child process loses before its program begins: every way to root, and the bridge's keys.

Both restrictions are a thread's own and are inherited by what it starts, so every child is
started by one thread that has restricted itself: no code of ours runs between fork and
exec, and the bridge's other threads keep what they have.

Landlock (Linux 5.13) can only allow. To hide one folder, everything beside the way to it is
allowed; the price is that a command cannot make a new entry directly in a folder on that
way. This is done where the way is root's anyway (/, /var, /var/lib), and left where it
would keep people from writing into their own home folder.
"""

import asyncio
import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.tools import landlock

log = logging.getLogger(__name__)

FOR_FILES = landlock.WRITE_FILE | landlock.READ_FILE | landlock.TRUNCATE
RIGHTS = FOR_FILES | landlock.REMOVE_AND_MAKE | landlock.REFER


def hide_from_children() -> None:
    """Keep processes of the same user from tracing this one and reading its memory."""
    landlock.keep_from_tracers()


class Fence:
    """Starts programs that can neither gain privileges nor, where it can be had, reach `hidden`."""

    def __init__(self, hidden: Path) -> None:
        self._hidden = hidden.resolve()
        self._ruleset = -1
        self._starter: ThreadPoolExecutor | None = None
        self._seen: object = None
        self._why_not = self._obstacle()
        if self._why_not:
            log.warning("commands can read %s: %s", self._hidden, self._why_not)

    def _obstacle(self) -> str:
        if os.geteuid() == 0:
            return "the bridge runs as root"
        if landlock.version() < 1:
            return "this kernel has no Landlock"
        unknown = [folder for folder in self._way() if not os.access(folder, os.R_OK)]
        if unknown:
            return f"{unknown[0]} cannot be listed"
        own = [folder for folder in self._hidden.parents[1:] if os.access(folder, os.W_OK)]
        return f"{own[0]} is the bridge's own to write" if own else ""

    def start(
        self, argv: Sequence[str], *, stdin: int, stdout: int, env: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, stderr a pipe; raises OSError. Half a millisecond.

        It begins in `/` and makes files that everybody may read, as other services do.
        """
        return (
            self._restricted()
            .submit(
                subprocess.Popen,  # a person's own program, and no shell
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=env,
                cwd="/",
                umask=0o022,
                start_new_session=True,
            )
            .result()
        )

    def _restricted(self) -> ThreadPoolExecutor:
        """The thread that has restricted itself."""
        if self._starter is None:
            starter = ThreadPoolExecutor(1, "start commands")
            starter.submit(self._enter).result()
            self._starter = starter
        return self._starter

    def _enter(self) -> None:
        landlock.no_new_privileges()
        if self._ruleset >= 0:
            landlock.restrict(self._ruleset)

    async def refresh(self) -> None:
        """Make the rules anew when something came or went beside the hidden folder."""
        if self._why_not:
            return
        seen = [(found.st_ino, found.st_mtime_ns) for found in map(os.stat, self._way())]
        if seen != self._seen:
            ruleset = await asyncio.to_thread(self._make)  # waits for a disk, perhaps a hung one
            self.close()
            self._ruleset, self._seen = ruleset, seen

    def _way(self) -> list[Path]:
        return list(self._hidden.parents)

    def _make(self) -> int:
        rights = landlock.known(RIGHTS)
        ruleset = landlock.ruleset(rights)
        for entry in self._beside():
            try:
                _allow(ruleset, entry, rights)
            except OSError:
                pass  # gone meanwhile, or nothing that a command could open either
        return ruleset

    def _beside(self) -> Iterator[os.DirEntry[str]]:
        """Everything that lies in a folder on the way, but not on the way itself."""
        way = {str(self._hidden), *map(str, self._way())}
        for folder in self._way():
            with os.scandir(folder) as entries:
                yield from (entry for entry in entries if entry.path not in way and not entry.is_symlink())

    def close(self) -> None:
        starter, self._starter = self._starter, None
        if starter is not None:
            starter.shutdown()
        if self._ruleset >= 0:
            os.close(self._ruleset)
            self._ruleset = -1


def _allow(ruleset: int, entry: os.DirEntry[str], rights: int) -> None:
    found = os.open(entry.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not entry.is_dir(follow_symlinks=False):
            rights &= FOR_FILES
        landlock.allow(ruleset, found, rights)
    finally:
        os.close(found)
