"""What outlives the bridge, on a disk that may fail."""

import logging
from pathlib import Path

import pytest

from bridge.watchdog.memory import Memory, Record


async def test_what_is_kept_is_known_again(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "w.json")
    record = memory.of("web")
    record.armed, record.restarts, record.gave_up, record.told = False, [5.0], True, ["cpu > 13%"]
    await memory.close()
    assert Memory(tmp_path / "w.json").of("web") == Record(False, [5.0], True, ["cpu > 13%"])
    assert (tmp_path / "w.json").stat().st_mode & 0o777 == 0o600


async def test_who_is_watched_no_more_is_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "w.json")
    memory.of("web").armed = memory.of("files").armed = False
    memory.only({"web"})
    await memory.close()
    assert Memory(tmp_path / "w.json").of("files").armed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"web": 7}',
        '{"web": {"owner": 7}}',
        '{"web": {"armed": 7}}',
        '{"web": {"restarts": 7}}',
        '{"web": {"restarts": ["x"]}}',
        "[" * 100_000,
    ],
)
async def test_a_damaged_file_is_said_and_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "w.json").write_text(text)
    memory = Memory(tmp_path / "w.json")
    assert memory.of("web") == Record()
    assert "begins anew" in caplog.text
    await memory.close()
    assert Memory(tmp_path / "w.json").of("web") == Record()


async def test_a_disk_that_takes_nothing_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(tmp_path / "gone" / "w.json")
    with caplog.at_level(logging.ERROR):
        await memory.keep()
        memory.of("web").armed = False
        await memory.keep()
    assert len(caplog.records) == 1
    (tmp_path / "gone").mkdir()
    await memory.close()
    assert not Memory(tmp_path / "gone" / "w.json").of("web").armed
