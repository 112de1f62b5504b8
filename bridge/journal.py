"""Every change of every tile, in SQLite. A full or broken disk costs lines, never a toggle."""

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bridge.contract import Change, Outcome, Tile
from bridge.printable import printable

MOST_ROWS = 100_000
PRUNE_EVERY = 1_000  # rows
RESTART = 2  # in the column `wanted`
MOST_PENDING = 10_000  # changes waiting for a disk that hangs

SCHEMA = """
CREATE TABLE IF NOT EXISTS change (
    id INTEGER PRIMARY KEY,    -- rises with every line and every end of a wish
    at REAL NOT NULL,          -- seconds since 1970
    key TEXT NOT NULL,
    old INTEGER,               -- 1 on, 0 off, NULL unknown
    new INTEGER,
    who TEXT NOT NULL,         -- a controller, a user, or "observed"
    reason TEXT NOT NULL,
    wanted INTEGER,            -- 1 on, 0 off, 2 a restart, NULL for what was only observed
    outcome TEXT,              -- NULL while the wish is on its way
    took REAL                  -- seconds
);
"""

log = logging.getLogger(__name__)


class Journal:
    """The listener that writes changes down; reading goes through rows()."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._db: sqlite3.Connection | None = None
        self._open_wishes: dict[int, int] = {}  # number of a wish on its way -> id of its row
        self._fresh = True
        self._pending = 0
        self._lost = 0
        self._written = 0

    def shown(self, tile: Tile) -> None:
        """Nothing to write: changed() says it."""

    def changed(self, change: Change) -> None:
        if self._pending >= MOST_PENDING:
            self._lost += 1
            return
        self._pending += 1
        self._thread.submit(self._write, change)

    async def rows(self, *, after: int = 0, last: int = 50, key: str | None = None) -> list[dict[str, Any]]:
        """The last rows with an id above `after`, oldest first, as dicts (see as_dict())."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, after, last, key)

    async def close(self) -> None:
        """Write what is waiting and let go; gives a hanging disk one second."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        await asyncio.wait({done}, timeout=1.0)
        self._thread.shutdown(wait=False)

    # In the thread

    def _write(self, change: Change) -> None:
        self._pending -= 1
        try:
            db = self._opened()
            with db:
                row_id = self._keep(db, change)
        except sqlite3.Error as error:
            self._lost += 1
            if self._lost == 1:
                log.error(
                    "%s cannot be written: %s; tiles work on, their story is not kept", self._path, error
                )
            self._forget_connection(error)
        else:
            self._remember(change, row_id)
            if self._lost:
                log.warning("%s can be written again; %d lines are missing", self._path, self._lost)
                self._lost = 0

    def _remember(self, change: Change, row_id: int | None) -> None:
        if change.outcome is not None:
            self._open_wishes.pop(change.wish, None)
        elif change.wish and row_id is not None:
            self._open_wishes[change.wish] = row_id

    def _keep(self, db: sqlite3.Connection, change: Change) -> int | None:
        """Write a line, or the end of a wish into its line; the id of the row."""
        row_id = self._open_wishes.get(change.wish)
        if row_id is not None:
            db.execute(
                "UPDATE change SET id = (SELECT max(id) + 1 FROM change),"
                " new = ?, reason = ?, outcome = ?, took = ? WHERE id = ?",
                (change.new, printable(change.reason), change.outcome, change.took, row_id),
            )
            return row_id
        row = db.execute(
            "INSERT INTO change (at, key, old, new, who, reason, wanted, outcome, took)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                change.at,
                change.key,
                change.old,
                change.new,
                printable(change.who),
                printable(change.reason),
                RESTART if change.restart else change.wanted,
                change.outcome,
                change.took,
            ),
        )
        self._written += 1
        if self._written % PRUNE_EVERY == 1:  # the first one too: a bridge may be restarted every day
            db.execute("DELETE FROM change WHERE id <= (SELECT max(id) FROM change) - ?", (MOST_ROWS,))
        return row.lastrowid

    def _read(self, after: int, last: int, key: str | None) -> list[dict[str, Any]]:
        try:
            found = self._opened().execute(
                "SELECT * FROM change WHERE id > ? AND (? IS NULL OR key = ?) ORDER BY id DESC LIMIT ?",
                (after, key, key, last),
            )
            return [as_dict(row) for row in reversed(found.fetchall())]
        except sqlite3.Error as error:
            log.error("%s cannot be read: %s", self._path, error)
            self._forget_connection(error)
            return []

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=1.0)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            with db:
                db.executescript(SCHEMA)
                if self._fresh:
                    db.execute(
                        "UPDATE change SET outcome = ?, reason = 'the bridge was restarted'"
                        " WHERE wanted IS NOT NULL AND outcome IS NULL",
                        (Outcome.DROPPED,),
                    )
        except sqlite3.Error:
            db.close()
            raise
        self._fresh = False
        return db

    def _forget_connection(self, error: sqlite3.Error) -> None:
        """Open anew next time; a file that is no database is put aside first."""
        self._close()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without its extension
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            self._open_wishes.clear()
            aside = self._path.with_name(self._path.name + ".damaged")
            try:
                self._path.replace(aside)
                for rest in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + rest).unlink(missing_ok=True)
                log.error("%s was damaged; it lies in %s now, a new one is begun", self._path, aside)
            except OSError as trouble:
                log.error("%s is damaged and cannot be put aside: %s", self._path, trouble.strerror)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def as_dict(row: sqlite3.Row) -> dict[str, Any]:
    """{id, at, key, old, new, who, reason, wanted, outcome, took}; states as on, off, unknown.

    `wanted` is on, off, restart, or None for what was only observed.
    """
    found = dict(row)
    for name in ("old", "new"):
        found[name] = {None: "unknown", 0: "off", 1: "on"}[found[name]]
    found["wanted"] = {None: None, 0: "off", 1: "on", RESTART: "restart"}[found["wanted"]]
    return found
