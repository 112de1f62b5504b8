"""One scan through every step, so that a crash between any two loses nothing and doubles nothing.

    1. the photos are cut into a work folder on the output's file system, written and synced there
    2. the ledger says what is to be named how, and where the original goes
    3. each photo is renamed into place, never over another file
    4. only then the original is moved, as it is
    5. the ledger says that it is over

After a crash before 2 the work folder is emptied and the scan, still in the inbox, is worked again. After
one later, 3 to 5 are done again, and each of them knows when it was done already.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
from contextlib import suppress

from bridge.scans.inbox.ledger import DUPLICATE, END, FAIL, PUBLISH, REDO, Entry, Ledger, Told
from bridge.scans.inbox.look import Found
from bridge.scans.inbox.names import OWN, free
from bridge.scans.inbox.outcome import Outcome, Stuck
from bridge.scans.inbox.settings import Settings
from bridge.scans.inbox.task import Task
from bridge.scans.inbox.tree import Tree, digest, move, open_regular, write_new
from bridge.scans.job import THUMB

REVIEW = "review.txt"


class Bench:
    """The folders of one inbox, locked for this process. Close it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.trees: dict[str, Tree] = {}
        try:
            self.inbox = self._tree("inbox", settings.inbox)
            self.output = self._tree("output", settings.output)
            for do, path in settings.originals.items():
                path.mkdir(exist_ok=True)
                self._tree(do, path)
            with self.output.folder((OWN, "thumbs"), make=True):
                pass
            self._lock = self._locked()
            self.ledger = Ledger(self.output, f"{OWN}/ledger")
            self.told = Told(self.output, f"{OWN}/told", self.ledger.count)
        except OSError as error:
            self.close()
            # What is opened below a folder has a name without its path: that is the output's own.
            place = settings.output / (error.filename or "")
            hint = "; make it first" if error.errno == errno.ENOENT else ""
            raise Stuck(f"{place}: {error.strerror}{hint}") from None
        except Stuck:
            self.close()
            raise
        self.stems: set[str] = set()
        self.busy: set[str] = set()

    def _tree(self, name: str, path: os.PathLike[str]) -> Tree:
        self.trees[name] = Tree(path)  # type: ignore[arg-type]
        return self.trees[name]

    def _locked(self) -> int:
        with self.output.folder((OWN,)) as folder:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open("lock", flags, 0o600, dir_fd=folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise Stuck(f"{self.settings.output}: somebody else is at work for this folder") from None
        return fd

    def close(self) -> None:
        for tree in self.trees.values():
            tree.close()
        for name in ("ledger", "told"):
            if hasattr(self, name):
                getattr(self, name).close()
        if hasattr(self, "_lock"):
            os.close(self._lock)

    @property
    def others(self) -> set[tuple[int, int]]:
        """The folders that may lie in the inbox and are none of its albums."""
        found = (os.fstat(tree.fd) for name, tree in self.trees.items() if name != "inbox")
        return {(status.st_dev, status.st_ino) for status in found}

    def work_folder(self, slot: int) -> str:
        with self.output.folder((OWN, f"work-{slot}"), make=True):
            return f"{OWN}/work-{slot}"

    # After a crash

    def recover(self) -> list[Outcome]:
        """Carry on what was written down, drop what was not: half-cut photos, drafts of copies."""
        outcomes = [self._carry(entry) for entry in list(self.ledger.open.values())]
        for name in self.output.names((OWN,)):
            if name.startswith("work-"):
                with self.output.folder((OWN, name)) as folder:
                    for left in os.listdir(folder):
                        os.unlink(left, dir_fd=folder)
        return outcomes

    # One scan

    def begin(self, found: Found, slot: int) -> Task | Outcome | None:
        """Take a scan in hand; an Outcome when that was all there was to do, None for not now."""
        try:
            fd = self.inbox.open(found.relative)
        except OSError as error:
            return self._unreadable(found, error)
        begun: Task | Outcome | None = None
        try:
            begun = self._begun(found, slot, fd)
        finally:
            if not isinstance(begun, Task):
                os.close(fd)
        return begun

    def _begun(self, found: Found, slot: int, fd: int) -> Task | Outcome | None:
        status = os.fstat(fd)
        if (status.st_size, status.st_mtime_ns, status.st_ino) != (found.size, found.mtime, found.inode):
            return None
        try:
            sha256 = digest(fd)
        except OSError as error:
            return self._unreadable(found, error)
        if sha256 in self.busy:
            return None
        self._may_be_moved(found.relative)
        if sha256 in self.ledger.known and self.trees[PUBLISH].exists(self.ledger.known[sha256]):
            to = free(self.trees[DUPLICATE], found.relative)
            return self.decide(Entry(DUPLICATE, found.relative, sha256, to), fd)
        return Task(self, found.relative, sha256, fd, slot)

    def _may_be_moved(self, scan: str) -> None:
        """An album that somebody has made may be closed to us: better said before its photos are cut."""
        try:
            with self.inbox.parent(scan) as (folder, _):
                open_to_us = os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True)
        except OSError:
            return  # gone, and the scan with it
        if open_to_us:
            return
        place = (self.settings.inbox / scan).parent
        raise Stuck(
            f"{place}: nothing may be taken out of this folder; run: chmod g+w {shlex.quote(str(place))}"
        )

    def _unreadable(self, found: Found, error: OSError) -> Outcome | None:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EIO):
            return None  # gone, or a link by now
        reason = f"may not be read ({error.strerror}); change its mode or owner and put it back"
        return self.fail(found.relative, "", reason, -1)

    def fail(self, scan: str, sha256: str, reason: str, fd: int) -> Outcome:
        to = free(self.trees[FAIL], scan, also=".txt")
        return self.decide(Entry(FAIL, scan, sha256, to, reason), fd)

    def decide(self, entry: Entry, fd: int) -> Outcome:
        """Write the intention down, then do it."""
        try:
            self.ledger.write(entry)
        except OSError as error:
            raise Stuck(f"{self.settings.output}: {error.strerror}") from None
        return self._carry(entry, fd)

    def _carry(self, entry: Entry, fd: int | None = None) -> Outcome:
        """Do what is written. Without `fd` after a crash: some of it may have been done."""
        place = self.settings.output
        try:
            for old, aside in entry.aside:
                if not self.output.exists(aside):  # else the name is the new one's by now
                    self._publish(old, aside)
            for name, wanted in entry.moves:
                self._publish(f"{entry.work}/{name}", wanted)
            self._list(entry.lines)
            if entry.do != REDO:
                place = self.settings.originals[entry.do]
                self._explain(entry)
                self._settle(entry, fd)
                place = self.settings.output
            outcome = self._outcome(entry)
            event = outcome.event if entry.do != REDO else {}
            self.ledger.write(Entry(END, entry.scan, entry.sha256, event=event))
        except OSError as error:
            raise Stuck(f"{error.filename or place}: {error.strerror} (in {place})") from None
        outcome.n = self.ledger.count if event else 0
        return outcome

    def _outcome(self, entry: Entry) -> Outcome:
        if entry.do == FAIL:
            return Outcome(entry.scan, f"failed: {entry.reason}", failed=True)
        if entry.do == DUPLICATE:
            return Outcome(entry.scan, "was known already, put aside", known=True)
        photos = sum(1 for name, _ in entry.moves if _is_photo(name))
        said = "no photo" if not photos else "1 photo" if photos == 1 else f"{photos} photos"
        unsure = len(entry.lines)
        look = f", please look at {unsure} (see {REVIEW})" if unsure else ""
        return Outcome(entry.scan, said + look, photos, unsure=unsure)

    def _publish(self, work: str, wanted: str) -> None:
        try:
            fd = self.output.open(work)
        except FileNotFoundError:
            return  # done before the crash
        try:
            while True:
                try:
                    move(self.output, work, fd, self.output, wanted)
                    return
                except FileExistsError:
                    wanted = free(self.output, wanted)
        finally:
            os.close(fd)

    def _list(self, lines: list[str]) -> None:
        """Add to review.txt what is not in it yet."""
        if not lines:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(REVIEW, flags, 0o666, dir_fd=self.output.fd), "r+b") as file:
            before = file.read().split(b"\n")
            new = [line.encode(errors="backslashreplace") for line in lines]
            text = b"".join(line + b"\n" for line in new if line not in before)
            file.write((b"\n" if before[-1] else b"") + text)
            file.flush()
            os.fsync(file.fileno())
        os.fsync(self.output.fd)

    def _explain(self, entry: Entry) -> None:
        if entry.do != FAIL:
            return
        content = f"{entry.reason}\n".encode(errors="backslashreplace")
        with self.trees[FAIL].parent(f"{entry.to}.txt", make=True) as (folder, name):
            with suppress(FileExistsError):  # written before the crash
                write_new(folder, name, content)
            os.fsync(folder)

    def _settle(self, entry: Entry, fd: int | None) -> None:
        """The original to its place."""
        recovering = fd is None
        if fd is None or fd < 0:
            try:
                with self.inbox.parent(entry.scan) as (folder, name):
                    fd = open_regular(folder, name) if entry.sha256 else _handle(folder, name)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL):
                    return  # moved before the crash, or taken away by a person
                raise
        else:
            fd = os.dup(fd)
        try:
            if recovering and entry.sha256 and digest(fd) != entry.sha256:
                return  # another scan of the same name: its turn will come
            self._move(entry, fd, recovering)
        finally:
            os.close(fd)

    def _move(self, entry: Entry, fd: int, recovering: bool) -> None:
        target = self.trees[entry.do]
        while True:
            try:
                move(self.inbox, entry.scan, fd, target, entry.to, entry.sha256 or None)
                return
            except FileExistsError:
                if recovering and self._is_copy(target, entry):
                    with self.inbox.parent(entry.scan) as (folder, name):
                        os.unlink(name, dir_fd=folder)  # it arrived on the other file system before the crash
                        os.fsync(folder)
                    return
                entry.to = free(target, entry.to)
                self.ledger.write(entry)
            except FileNotFoundError:
                return  # taken away by a person meanwhile

    def _is_copy(self, target: Tree, entry: Entry) -> bool:
        try:
            fd = target.open(entry.to)
        except OSError:
            return False
        try:
            return bool(entry.sha256) and digest(fd) == entry.sha256
        finally:
            os.close(fd)


def _handle(folder: int, name: str) -> int:
    """A descriptor that only knows which file it is: for one that may not be read."""
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def _is_photo(name: str) -> bool:
    return not name.endswith((".json", THUMB))
