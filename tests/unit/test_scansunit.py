from pathlib import Path

import pytest

from bridge.contract import ScansGrant
from bridge.scansunit import ScansError, ScansFiles, drop_in


def grant(*folders: str, lasts: bool = False) -> ScansGrant:
    return ScansGrant("scans", "bellpull-scans.service", folders, "{}", lasts)


def test_only_the_outermost_folders_are_named() -> None:
    text = drop_in(grant("/srv/in", "/srv/out", "/srv/in/done", "/srv/in2"))
    assert [line for line in text.splitlines() if line.startswith("ReadWrite")] == [
        'ReadWritePaths="/srv/in"',
        'ReadWritePaths="/srv/out"',
        'ReadWritePaths="/srv/in2"',
    ]


def test_folders_in_homes_are_bound_into_view() -> None:
    assert 'BindPaths="/home/ann/scans"' in drop_in(grant("/home/ann/scans"))


def test_no_path_says_anything_else_to_systemd() -> None:
    text = drop_in(grant('/srv/a "b" \\ %n'))
    assert 'ReadWritePaths="/srv/a \\"b\\" \\\\ %%n"' in text


def test_what_goes_on_is_started_again_when_it_fails() -> None:
    assert "Restart=on-failure" in drop_in(grant("/srv/in", lasts=True))
    assert "Restart" not in drop_in(grant("/srv/in"))


def test_there_is_one_service(tmp_path: Path) -> None:
    files = ScansFiles(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ScansError, match="both want"):
        files.wanted([grant("/srv/in"), grant("/srv/in2")])


def test_without_a_tile_nothing_is_left_there(tmp_path: Path) -> None:
    files = ScansFiles(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b").write_text("old")
    assert files.stale(files.wanted([])) == [tmp_path / "b"]
    assert files.stale(files.wanted([grant("/srv/in")])) == []
