"""The story of every tile, on a disk that may fail."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge import journal as module
from bridge.contract import Change, Outcome
from bridge.journal import Journal


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Journal]:
    journal = Journal(folder / "journal.db")
    yield journal
    await journal.close()


def seen(new: bool | None, key: str = "files", **more: Any) -> Change:
    return Change(key, 1_700_000_000.0, old=None, new=new, who="observed", **more)


def begun(wish: int, wanted: bool = True) -> Change:
    return Change("files", 1_700_000_001.0, False, wanted, "anna", wish=wish, wanted=wanted)


def ended(wish: int, outcome: Outcome = Outcome.MET, reason: str = "") -> Change:
    return Change(
        "files",
        1_700_000_003.0,
        False,
        True,
        "anna",
        reason,
        wish=wish,
        wanted=True,
        outcome=outcome,
        took=2.0,
    )


async def test_a_change_is_a_row_with_old_new_who_when_and_why(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        journal.changed(seen(False, reason="nmbd.service is failed"))
        (row,) = await journal.rows()
    assert row == {
        "id": 1,
        "at": 1_700_000_000.0,
        "key": "files",
        "old": "unknown",
        "new": "off",
        "who": "observed",
        "reason": "nmbd.service is failed",
        "wanted": None,
        "outcome": None,
        "took": None,
    }


async def test_a_wish_is_one_row_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        journal.changed(begun(7))
        (row,) = await journal.rows()
        assert (row["wanted"], row["outcome"], row["took"]) == ("on", None, None)
        journal.changed(ended(7))
        (row,) = await journal.rows()
        assert (row["who"], row["old"], row["new"]) == ("anna", "off", "on")
        assert (row["wanted"], row["outcome"], row["took"]) == ("on", "met", 2.0)


async def test_a_restart_is_told_from_a_wish_to_turn_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        journal.changed(replace(begun(7), restart=True))
        (row,) = await journal.rows()
        assert row["wanted"] == "restart"


async def test_who_follows_hears_of_the_end_although_the_row_is_an_old_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        journal.changed(begun(7))
        journal.changed(seen(True, key="web"))
        heard = await journal.rows()
        journal.changed(ended(7))
        (news,) = await journal.rows(after=heard[-1]["id"])
        assert (news["key"], news["outcome"]) == ("files", "met")
        assert [row["key"] for row in await journal.rows()] == ["web", "files"]


async def test_rows_can_be_had_of_one_accessory_and_as_few_as_wanted(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        for number in range(5):
            journal.changed(seen(True, key=f"t{number % 2}", reason=str(number)))
        assert [row["reason"] for row in await journal.rows(key="t0")] == ["0", "2", "4"]
        assert [row["reason"] for row in await journal.rows(last=2)] == ["3", "4"]
        assert await journal.rows(key="t9") == []


async def test_a_wish_that_was_on_its_way_when_the_bridge_ended_is_told_as_dropped(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        journal.changed(begun(1))
    async with opened(tmp_path) as journal:
        (row,) = await journal.rows()
        assert (row["outcome"], row["reason"]) == ("dropped", "the bridge was restarted")
        journal.changed(begun(1))  # another wish: numbers begin anew with every bridge
        journal.changed(ended(1))
        assert [row["outcome"] for row in await journal.rows()] == ["dropped", "met"]


async def test_the_journal_is_bounded_even_when_the_bridge_is_restarted_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 20)
    monkeypatch.setattr(module, "PRUNE_EVERY", 10)
    for _ in range(12):
        async with opened(tmp_path) as journal:
            for number in range(7):
                journal.changed(seen(True, reason=str(number)))
    async with opened(tmp_path) as journal:
        assert len(await journal.rows(last=1000)) <= 20 + 10
        for _ in range(50):
            journal.changed(begun(5))
            journal.changed(ended(5))
        assert len(await journal.rows(last=1000)) <= 20 + 10


async def test_foreign_text_is_escaped_and_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        journal.changed(Change("files", 0.0, None, True, "an\x1b[2Jna", "a\nb\udc80\u202e" + 9000 * "x"))
        (row,) = await journal.rows()
    assert row["who"] == "an\\x1b[2Jna"
    assert row["reason"].startswith("a\\nb\\udc80\\u202ex")
    assert len(row["reason"]) == 500


@pytest.mark.parametrize("damage", ["not a database " * 500, ""])
async def test_a_damaged_file_is_put_aside_and_a_new_one_begun(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "journal.db"
    if damage:
        file.write_text(damage)
    else:
        async with opened(tmp_path) as journal:
            for number in range(200):
                journal.changed(seen(True, reason=f"{number} {100 * 'x'}"))
        pages = bytearray(file.read_bytes())
        pages[4096:] = bytes(len(pages) - 4096)
        file.write_bytes(pages)
    async with opened(tmp_path) as journal:
        journal.changed(seen(True, reason="lost"))
        journal.changed(seen(True, reason="kept"))
        assert [row["reason"] for row in await journal.rows()] == ["kept"]
    assert (tmp_path / "journal.db.damaged").exists()
    assert "was damaged; it lies in" in caplog.text


class Full(Journal):
    """A real journal on a disk that is full, as SQLite tells it, until `space` is made."""

    space = False

    def _open(self) -> sqlite3.Connection:
        db = super()._open()
        pages = 1000 if self.space else db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        return db


async def test_a_full_disk_costs_lines_is_said_once_and_is_taken_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Full(tmp_path / "journal.db")
    long = 450 * "x"
    journal.changed(begun(3))
    for _ in range(100):
        journal.changed(seen(True, reason=long))
    told = await journal.rows(last=1000)
    assert 1 <= len(told) < 50
    complaints = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(complaints) == 1 and "database or disk is full" in complaints[0].message
    journal.space = True
    journal.changed(ended(3))
    assert (await journal.rows())[-1]["outcome"] == "met"  # the row of the wish, not a second one
    assert "can be written again; " in caplog.text
    assert len([row for row in await journal.rows(last=1000) if row["wanted"]]) == 1
    await journal.close()


async def test_a_place_where_no_file_can_be_costs_lines_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "journal.db").mkdir()
    async with opened(tmp_path) as journal:
        journal.changed(seen(True))
        journal.changed(seen(False))
        assert await journal.rows() == []
    assert "tiles work on, their story is not kept" in caplog.text


async def test_a_disk_that_hangs_keeps_neither_the_loop_nor_the_end_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 3)
    journal = Journal(tmp_path / "journal.db")
    go = asyncio.Event()
    loop = asyncio.get_running_loop()
    hanging = loop.run_in_executor(
        journal._thread, lambda: asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)
    )
    for _ in range(10):
        journal.changed(seen(True))
    await journal.close()
    assert not hanging.done()
    go.set()
    await hanging
