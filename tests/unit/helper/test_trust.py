import os
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bridge.helper import trust
from bridge.helper.trust import Missing, Untrusted
from tests.fakes.ownership import Ownership


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("text")
    return path


def test_what_is_roots_all_the_way_is_trusted(owners: Ownership, file: Path) -> None:
    assert trust.inspect(str(file)) == str(file)


def test_dots_and_doubled_slashes_lead_to_the_same_place(owners: Ownership, file: Path) -> None:
    assert trust.inspect(f"{file.parent}//./../folder/file") == str(file)


@pytest.mark.parametrize("bits", [stat.S_IWGRP, stat.S_IWOTH])
def test_a_file_that_others_can_write_is_not(owners: Ownership, file: Path, bits: int) -> None:
    owners.open_to(file, bits)
    with pytest.raises(Untrusted, match=f"{file}: others than root can write it"):
        trust.inspect(str(file))


def test_nor_one_that_belongs_to_somebody_else(owners: Ownership, file: Path) -> None:
    owners.give(file, 1000)
    with pytest.raises(Untrusted, match=f"{file}: belongs to user 1000"):
        trust.inspect(str(file))


def test_nor_one_in_a_folder_that_others_can_write(owners: Ownership, file: Path, tmp_path: Path) -> None:
    owners.open_to(tmp_path, stat.S_IWOTH)
    with pytest.raises(Untrusted, match=f"^{tmp_path}: "):
        trust.inspect(str(file))


def test_nor_anything_where_the_root_folder_is_not_roots(owners: Ownership, file: Path) -> None:
    owners.give("/", 1000)
    with pytest.raises(Untrusted, match=r"^/: belongs"):
        trust.inspect(str(file))


def test_a_link_is_followed_to_what_it_leads_to(owners: Ownership, file: Path, tmp_path: Path) -> None:
    (tmp_path / "absolute").symlink_to(file.parent)
    (tmp_path / "relative").symlink_to("absolute/../folder")
    assert trust.inspect(f"{tmp_path}/relative/file") == str(file)


def test_a_link_into_a_folder_that_others_can_write_is_not_trusted(
    owners: Ownership, file: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    owners.open_to(file.parent, stat.S_IWGRP)
    with pytest.raises(Untrusted, match=f"^{file.parent}: others"):
        trust.inspect(str(link))


def test_nor_a_link_that_belongs_to_somebody_else(owners: Ownership, file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    owners.give(link, 1000)
    with pytest.raises(Untrusted, match=f"^{link}: belongs"):
        trust.inspect(str(link))


def test_links_in_a_circle_end(owners: Ownership, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(Untrusted, match="too many symbolic links"):
        trust.inspect(f"{tmp_path}/a")


def test_what_is_missing_is_told_apart(owners: Ownership, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="there is no such file"):
        trust.inspect(f"{tmp_path}/nothing")


def test_a_file_is_no_folder(owners: Ownership, file: Path) -> None:
    with pytest.raises(Untrusted, match="Not a directory"):
        trust.inspect(f"{file}/below")


def test_a_file_of_roots_is_opened(owners: Ownership, file: Path) -> None:
    with os.fdopen(trust.open_file(str(file))) as opened:
        assert opened.read() == "text"


def test_a_link_is_not_opened(owners: Ownership, file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(Untrusted, match="symbolic links"):
        trust.open_file(f"{tmp_path}/link")


def test_a_missing_file_is_not_opened(owners: Ownership, tmp_path: Path) -> None:
    with pytest.raises(Missing):
        trust.open_file(f"{tmp_path}/nothing")


def test_nor_a_file_of_somebody_elses_and_no_descriptor_leaks(owners: Ownership, file: Path) -> None:
    owners.give(file, 1000)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(Untrusted, match="belongs to user 1000"):
        trust.open_file(str(file))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_pipe_is_no_file_and_does_not_hold_anybody_up(owners: Ownership, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Untrusted, match="not a regular file"):
        trust.open_file(f"{tmp_path}/pipe")


def test_a_command_counts_with_its_program_and_the_files_among_its_arguments(
    owners: Ownership, file: Path
) -> None:
    trust.inspect_command(["/bin/sh", str(file), "--flag", "/no/such/file", str(file.parent)])
    owners.open_to(file, stat.S_IWOTH)
    with pytest.raises(Untrusted, match=str(file)):
        trust.inspect_command(["/bin/sh", str(file)])
    with pytest.raises(Untrusted, match=str(file)):
        trust.inspect_command([str(file)])


def test_a_script_counts_with_its_interpreter(owners: Ownership, file: Path, tmp_path: Path) -> None:
    interpreter = tmp_path / "interpreter"
    interpreter.write_text("")
    file.write_text(f"#! {interpreter} -x\nwords\n")
    trust.inspect_command([str(file)])
    owners.open_to(interpreter, stat.S_IWOTH)
    with pytest.raises(Untrusted, match=str(interpreter)):
        trust.inspect_command([str(file)])


def test_a_script_without_an_interpreter_is_for_the_kernel_to_refuse(owners: Ownership, file: Path) -> None:
    file.write_text("#!\n")
    trust.inspect_command([str(file)])


def test_a_folder_is_no_program(owners: Ownership, file: Path) -> None:
    with pytest.raises(Untrusted, match="not a regular file"):
        trust.inspect_command([str(file.parent)])


def test_the_interpreter_and_all_loaded_code_are_looked_at(owners: Ownership) -> None:
    trust.inspect_loaded()
    owners.open_to(trust.__file__, stat.S_IWOTH)
    with pytest.raises(Untrusted, match=trust.__file__):
        trust.inspect_loaded()


def test_the_interpreter_itself_too(owners: Ownership, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(file))
    owners.give(file, 1000)
    with pytest.raises(Untrusted, match=str(file)):
        trust.inspect_loaded()


def test_a_module_without_a_cache_is_fine(
    owners: Ownership, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = ModuleType("never_cached")
    module.__file__ = f"{tmp_path}/never_cached.py"
    monkeypatch.setitem(sys.modules, "never_cached", module)
    trust.inspect_loaded()


def test_on_a_real_machine_the_temporary_folder_is_not_roots_alone(tmp_path: Path) -> None:
    with pytest.raises(Untrusted):
        trust.inspect(str(tmp_path))
    assert trust.inspect("/usr/bin/env").endswith("env")
