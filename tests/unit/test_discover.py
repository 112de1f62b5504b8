"""A first configuration from what the machine has, which has to be a right one."""

import os
import stat
from pathlib import Path

import pytest

from accessories.vm import Vm
from bridge import discover
from bridge.config import Config, parse


def machine(folder: Path, *units: str) -> list[str]:
    """A folder of unit files."""
    for unit in units:
        (folder / f"{unit}.service").touch()
    return [str(folder / "none"), str(folder)]


def drafted(folders: list[str]) -> Config:
    config, problems = parse(discover.draft(folders), "draft")
    assert not problems and config is not None
    return config


def units_of(config: Config) -> dict[str, tuple[str, ...]]:
    return {entry.key: getattr(entry.kind, "units", ()) for entry in config.accessories}


def test_debians_names_are_known(tmp_path: Path) -> None:
    config = drafted(machine(tmp_path, "smbd", "nmbd", "netatalk", "apache2", "cups"))
    assert units_of(config) == {
        "file-server": ("smbd.service", "nmbd.service", "netatalk.service"),
        "web": ("apache2.service",),
        "printing": ("cups.service",),
    }


def test_fedoras_names_are_known(tmp_path: Path) -> None:
    config = drafted(machine(tmp_path, "smb", "nmb", "httpd", "virtqemud"))
    assert units_of(config) == {
        "file-server": ("smb.service", "nmb.service"),
        "web": ("httpd.service",),
        "vm-guests": (),
    }
    assert next(entry for entry in config.accessories if entry.key == "vm-guests").kind == Vm((), 120.0)


def test_of_two_web_servers_one_is_suggested(tmp_path: Path) -> None:
    assert units_of(drafted(machine(tmp_path, "nginx", "apache2")))["web"] == ("apache2.service",)


def test_where_nothing_is_found_there_is_an_example_that_works(tmp_path: Path) -> None:
    config = drafted([str(tmp_path)])
    assert [entry.key for entry in config.accessories] == ["example"]


def test_what_was_not_found_stands_there_as_a_comment_that_is_right_as_well(tmp_path: Path) -> None:
    lines = discover.draft([str(tmp_path)]).splitlines()
    below = lines.index("accessories:")
    written = [line.replace("  # ", "  ", 1) if index > below else line for index, line in enumerate(lines)]
    config, problems = parse("\n".join(written), "draft")
    assert not problems and config is not None
    assert [entry.key for entry in config.accessories][1:] == [
        suggestion.key for suggestion in discover.SUGGESTIONS
    ]


def test_a_masked_unit_is_not_suggested(tmp_path: Path) -> None:
    masked, installed = tmp_path / "etc", tmp_path / "lib"
    masked.mkdir()
    installed.mkdir()
    folders = [str(masked), *machine(installed, "cups", "nginx")]
    (masked / "cups.service").symlink_to("/dev/null")
    assert set(units_of(drafted(folders))) == {"web"}


def test_the_draft_is_written_for_its_owner_alone_and_never_over_another(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.yaml"
    discover.write(file)
    mode = stat.S_IMODE(file.stat().st_mode)
    assert mode in ((0o600, 0o640) if os.geteuid() == 0 else (0o600,))
    file.write_text("mine")
    with pytest.raises(FileExistsError):
        discover.write(file)
    assert file.read_text() == "mine"
