"""A file that is replaced as a whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from bridge.rootfile import RootFile


@pytest.fixture
def file(tmp_path: Path) -> RootFile:
    return RootFile(tmp_path / "law", "new\n", 0o640, os.getegid())


def test_a_draft_that_is_published_takes_its_place(file: RootFile) -> None:
    file.path.write_text("old\n")
    assert not file.is_there()
    with file.staged() as draft:
        assert file.path.read_text() == "old\n"
        file.publish(draft)
    assert file.is_there()
    assert file.path.read_text() == "new\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640
    assert list(file.path.parent.iterdir()) == [file.path]


def test_a_draft_that_is_not_published_leaves_no_trace(file: RootFile) -> None:
    with pytest.raises(ZeroDivisionError), file.staged():
        raise ZeroDivisionError
    assert list(file.path.parent.iterdir()) == []


def test_sudo_passes_over_a_draft(file: RootFile) -> None:
    with file.staged() as draft:
        assert "." in draft.name


def test_a_draft_is_never_written_through_a_link_that_lay_there(file: RootFile, tmp_path: Path) -> None:
    (tmp_path / ".law.new").symlink_to(tmp_path / "elsewhere")
    with file.staged() as draft:
        file.publish(draft)
    assert not (tmp_path / "elsewhere").exists()
    assert file.is_there()


def test_a_file_of_another_mode_or_text_and_a_link_are_not_it(file: RootFile, tmp_path: Path) -> None:
    file.path.write_text("new\n")
    file.path.chmod(0o644)
    assert not file.is_there()
    file.path.chmod(0o640)
    assert file.is_there()
    file.path.rename(tmp_path / "elsewhere")
    file.path.symlink_to(tmp_path / "elsewhere")
    assert not file.is_there()
