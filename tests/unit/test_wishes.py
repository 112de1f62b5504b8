"""Kept wishes are files that a unit can look for."""

import logging
from pathlib import Path

import pytest

from bridge.wishes import Wishes


def written(folder: Path, *wishes: bool | None) -> list[str]:
    """The files there are after these wishes."""
    made = Wishes(folder)
    for on in wishes:
        made.write("vpn", on)
    made.close()
    return sorted(path.name for path in folder.iterdir())


def test_the_last_wish_is_a_file_and_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "wishes"
    assert Wishes(folder).read("vpn") is None
    assert Wishes(folder).read("vpn", True) is True
    assert written(folder, True) == ["vpn.on"]
    assert Wishes(folder).read("vpn") is True
    assert written(folder, True, False) == ["vpn.off"]
    assert Wishes(folder).read("vpn", True) is False
    assert written(folder, None) == []


def test_both_files_of_a_power_cut_are_read_as_on(tmp_path: Path) -> None:
    (tmp_path / "vpn.on").touch()
    (tmp_path / "vpn.off").touch()
    assert Wishes(tmp_path).read("vpn") is True


def test_a_disk_that_takes_nothing_is_told_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wishes").write_text("a file where the folder should be")
    with caplog.at_level(logging.ERROR):
        made = Wishes(tmp_path / "wishes")
        made.write("vpn", True)
        made.close()
    assert "vpn: the wish cannot be kept on the disk" in caplog.text
