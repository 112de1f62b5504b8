from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.scans.files import Shelf, open_folder
from bridge.scans.problem import ScanProblem


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = open_folder(tmp_path)
    yield descriptor
    os.close(descriptor)


def put_two(shelf: Shelf) -> list[str]:
    shelf.put("a.png", b"one")
    shelf.put("b.png", b"two")
    return shelf.publish()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_files_get_their_names_at_the_end(folder: int, tmp_path: Path) -> None:
    with Shelf(folder, "t") as shelf:
        shelf.put("a.png", b"one")
        assert "a.png" not in names(tmp_path)
        assert shelf.publish() == ["a.png"]
    assert names(tmp_path) == {"a.png"}
    assert (tmp_path / "a.png").read_bytes() == b"one"


def test_where_one_name_is_taken_none_is_given(folder: int, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"another's")
    with pytest.raises(ScanProblem, match=r"b\.png is there already"), Shelf(folder, "t") as shelf:
        put_two(shelf)
    assert names(tmp_path) == {"b.png"}
    assert (tmp_path / "b.png").read_bytes() == b"another's"


def test_a_link_in_the_way_is_neither_followed_nor_replaced(folder: int, tmp_path: Path) -> None:
    (tmp_path / "b.png").symlink_to("nowhere")
    with pytest.raises(ScanProblem, match="is there already"), Shelf(folder, "t") as shelf:
        put_two(shelf)
    assert names(tmp_path) == {"b.png"}
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("taken", [False, True])
def test_without_hard_links_names_are_given_by_renaming(
    taken: bool, folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    if taken:
        (tmp_path / "b.png").write_bytes(b"another's")
        with pytest.raises(ScanProblem, match="is there already"), Shelf(folder, "t") as shelf:
            put_two(shelf)
        assert names(tmp_path) == {"b.png"}
    else:
        with Shelf(folder, "t") as shelf:
            put_two(shelf)
        assert names(tmp_path) == {"a.png", "b.png"}


def test_a_file_and_its_folder_are_on_the_disk_before_it_counts_as_written(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        done.append("folder" if descriptor == folder else "file")
        real_sync(descriptor)

    def link(part: str, name: str, **options: int) -> None:
        done.append(name)
        real_link(part, name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    with Shelf(folder, "t") as shelf:
        put_two(shelf)
        assert done == ["file", "file", "a.png", "b.png", "folder"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full; nothing of this scan was kept"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "may not be written"),
        (errno.EACCES, "may not be written"),
        (errno.ENAMETOOLONG, "too long for a file's name"),
        (errno.EIO, "cannot be written: Input/output error"),
    ],
)
def test_what_the_disk_refuses_is_one_line_and_leaves_nothing(
    number: int, words: str, folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ScanProblem, match=words), Shelf(folder, "t") as shelf:
        put_two(shelf)
    assert names(tmp_path) == set()
