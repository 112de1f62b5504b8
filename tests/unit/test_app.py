"""What a start does before anything is served, and what kinds have to say meanwhile."""

import asyncio
import logging
from pathlib import Path

import pytest

from accessories.command import Command
from bridge.app import App, AppError, _prepare
from bridge.config import Bridge, Config, Entry, Notify
from bridge.notices import Notice, Post
from bridge.paths import Paths
from tests.children import until


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_start_closes_what_a_command_has_opened_to_others_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths(state=tmp_path / "state")
    _prepare(paths)
    paths.secret.write_text("0451")
    paths.journal.touch()
    opened = {paths.keys: 0o755, paths.secret: 0o644, paths.journal: 0o666}
    for path, wide in opened.items():
        path.chmod(wide)
    with caplog.at_level(logging.WARNING):
        _prepare(paths)
    assert [mode(path) for path in opened] == [0o700, 0o600, 0o600]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == list(map(str, opened))
    caplog.clear()
    _prepare(paths)
    assert not caplog.records


def test_a_start_changes_nothing_behind_a_link_out_of_the_key_folder(tmp_path: Path) -> None:
    paths, elsewhere = Paths(state=tmp_path / "state"), tmp_path / "elsewhere"
    _prepare(paths)
    elsewhere.touch(mode=0o644)
    elsewhere.chmod(0o644)
    (paths.keys / "link").symlink_to(elsewhere)
    _prepare(paths)
    assert mode(elsewhere) == 0o644


def test_a_state_that_cannot_be_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AppError, match="choose a --state-dir"):
        _prepare(Paths(state=tmp_path / "file"))


async def test_what_a_kind_tells_is_journalled_and_makes_its_sensor_detect(tmp_path: Path) -> None:
    paths = Paths(state=tmp_path / "state")
    _prepare(paths)
    kind = Command(on=("true",), off=("true",))
    entry = Entry("scans", "Process Scans", kind, "command", sensors=("done",))
    app = App(Config(Bridge(address="127.0.0.1"), (entry,)), paths)
    try:
        app.tools.tell("scans", "done", "12 photos of 5 scans")
        sensor = app.homekit._faces["scans.done"]
        assert (sensor.display_name, sensor.shows.value) == ("Process Scans Done", 1)
        (row,) = await app.journal.rows(key="scans")
        assert (row["who"], row["reason"]) == ("observed", "12 photos of 5 scans")
    finally:
        await app._close([asyncio.create_task(asyncio.sleep(0))])


async def test_what_is_told_goes_to_whom_the_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Notice] = []
    monkeypatch.setattr(Post, "send", lambda self, notice: sent.append(notice))
    paths = Paths(state=tmp_path / "state")
    _prepare(paths)
    entry = Entry("scans", "Process Scans", Command(on=("true",), off=("true",)), "command")
    config = Config(Bridge(address="127.0.0.1"), (entry,), Notify("http://127.0.0.1:1/"))
    app = App(config, paths)
    app.tools.tell("scans", "done", "12 photos of 5 scans")  # although it has no such sensor
    await until(lambda: sent)
    assert (sent[0].title, sent[0].text) == ("Process Scans", "12 photos of 5 scans")
    await app._close([asyncio.create_task(asyncio.sleep(0))])
