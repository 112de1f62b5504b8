"""What `apply` refuses, and what it leaves on the disk."""

import grp
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from bridge import apply as applying
from bridge import sudoers
from bridge.apply import Applied, ApplyError, Places, apply
from bridge.contract import CommandGrant, Grant, UnitGrant
from bridge.helper import trust
from bridge.scansunit import ScansFiles
from bridge.sudoers import SudoersError
from tests.fakes.ownership import Ownership


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Ownership:
    """A machine on which every file is root's, and so are we."""
    fake = Ownership()
    monkeypatch.setattr(trust, "os", fake)
    monkeypatch.setattr(applying, "os", fake)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)  # a development venv is large
    monkeypatch.setattr(sudoers, "check", lambda draft: None)
    monkeypatch.setattr(sudoers, "doubts", lambda policy: [])
    return fake


@pytest.fixture
def places(tmp_path: Path) -> Places:
    group = grp.getgrgid(os.getgid()).gr_name
    scans = ScansFiles(tmp_path / "scans.json", tmp_path / "drop-in.conf")
    return Places(group, tmp_path / "policy.json", tmp_path / "sudoers", scans)


@pytest.fixture
def config(tmp_path: Path, owners: Ownership) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("accessories:\n")
    return path


def asking(*grants: Grant) -> applying.Load:
    def load(text: str) -> Iterable[Grant]:
        assert text == "accessories:\n"
        return grants

    return load


def refused(config: Path, places: Places, *grants: Grant) -> tuple[str, ...]:
    with pytest.raises(ApplyError) as raised:
        apply(config, asking(*grants), places)
    assert not places.policy.exists() and not places.sudoers.exists()
    return raised.value.args


def test_what_is_asked_for_becomes_policy_and_sudoers_lines(config: Path, places: Places) -> None:
    done = apply(config, asking(UnitGrant("smbd.service")), places)
    assert done == Applied(
        [
            "+ unit smbd.service: start, stop, restart",
            f"written: {places.policy}",
            f"written: {places.sudoers}",
        ],
        [],
    )
    assert "smbd.service" in places.policy.read_text()
    assert "smbd.service" in places.sudoers.read_text()
    assert stat.S_IMODE(places.policy.stat().st_mode) == 0o640
    assert stat.S_IMODE(places.sudoers.stat().st_mode) == 0o440


def test_a_second_time_there_is_nothing_to_change(config: Path, places: Places) -> None:
    apply(config, asking(UnitGrant("smbd.service")), places)
    before = [path.stat().st_ino for path in (places.policy, places.sudoers)]
    assert apply(config, asking(UnitGrant("smbd.service")), places).changed == []
    assert [path.stat().st_ino for path in (places.policy, places.sudoers)] == before


def test_what_is_no_longer_asked_for_is_taken_back(config: Path, places: Places) -> None:
    apply(config, asking(UnitGrant("smbd.service"), UnitGrant("nmbd.service")), places)
    done = apply(config, asking(UnitGrant("nmbd.service")), places)
    assert done.changed[0] == "- unit smbd.service: start, stop, restart"
    assert "smbd" not in places.policy.read_text() + places.sudoers.read_text()


def test_lines_that_somebody_edited_are_written_again(config: Path, places: Places) -> None:
    apply(config, asking(UnitGrant("smbd.service")), places)
    places.sudoers.chmod(0o640)
    assert apply(config, asking(UnitGrant("smbd.service")), places).changed == [f"written: {places.sudoers}"]


def test_a_policy_that_is_broken_is_replaced(config: Path, places: Places) -> None:
    places.policy.write_text("{")
    assert apply(config, asking(), places).changed == [
        f"written: {places.policy}",
        f"written: {places.sudoers}",
    ]


def test_when_visudo_refuses_neither_file_changes(
    config: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(draft: Path) -> None:
        raise SudoersError("visudo refuses it")

    monkeypatch.setattr(sudoers, "check", refuse)
    assert refused(config, places, UnitGrant("smbd.service")) == ("visudo refuses it",)
    assert [path.name for path in config.parent.iterdir()] == ["config.yaml"]


def test_who_is_not_root_is_told_how(
    config: Path, places: Places, owners: Ownership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "geteuid", lambda: 1000)
    assert "sudo bellpull apply" in refused(config, places)[0]


def test_before_the_installation_there_is_no_group(config: Path, places: Places) -> None:
    lonely = Places("no-such-group", places.policy, places.sudoers)
    assert "sudo make install" in refused(config, lonely)[0]


def test_a_configuration_that_others_can_write_is_not_believed(
    config: Path, places: Places, owners: Ownership
) -> None:
    owners.open_to(config, stat.S_IWGRP)
    assert refused(config, places)[0].startswith(f"{config}: others than root can write it")


def test_nor_one_behind_a_link(config: Path, places: Places) -> None:
    link = config.with_name("link.yaml")
    link.symlink_to(config)
    assert "symbolic link" in refused(link, places)[0]


def test_nor_one_that_is_missing_too_large_or_no_text(config: Path, places: Places) -> None:
    assert "no such file" in refused(config.with_name("nothing.yaml"), places)[0]
    config.write_bytes(b"\xff")
    assert "not UTF-8" in refused(config, places)[0]
    config.write_text("#" * (applying.LARGEST + 1))
    assert "larger than" in refused(config, places)[0]


def test_an_installation_that_others_can_write_does_not_apply_anything(
    config: Path, places: Places, owners: Ownership
) -> None:
    module = Path(applying.__file__).with_name("helper") / "process.py"  # not loaded by apply itself
    owners.open_to(module, stat.S_IWOTH)
    assert "this installation is not root's alone" in refused(config, places)[0]


def test_nor_one_whose_libraries_others_can_write(
    config: Path, places: Places, owners: Ownership, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "venv" / "lib").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", f"{tmp_path}/venv")
    owners.give(tmp_path / "venv" / "lib", 1000)
    assert f"{tmp_path}/venv/lib: belongs to user 1000" in refused(config, places)[0]


def test_the_law_is_not_laid_where_others_can_write(config: Path, places: Places, owners: Ownership) -> None:
    elsewhere = Places(places.group, places.policy, places.sudoers.parent / "open" / "sudoers")
    elsewhere.sudoers.parent.mkdir()
    owners.open_to(elsewhere.sudoers.parent, stat.S_IWOTH)
    assert "others than root" in refused(config, elsewhere)[0]


def test_every_privileged_command_that_others_can_change_is_told_at_once(
    config: Path, places: Places, owners: Ownership, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    owners.open_to(script, stat.S_IWGRP)
    lines = refused(
        config,
        places,
        CommandGrant("lamp", (str(script),), ("/bin/sh", str(script)), 1),
        CommandGrant("heater", ("heater", "on"), ("/no/such/program",), 1),
        CommandGrant("good", ("/bin/true",), None, 1),
    )
    assert [line.split(": ")[0] for line in lines] == [
        "accessories.lamp.on",
        "accessories.lamp.off",
        "accessories.heater.on",
        "accessories.heater.off",
    ]
    assert "others than root can write it" in lines[0] and str(script) in lines[1]
    assert "whole path" in lines[2] and "no such file" in lines[3]


def test_a_program_that_may_not_be_read_is_an_error_of_one_line(
    config: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(argv: tuple[str, ...]) -> None:
        raise PermissionError(13, "Permission denied", argv[0])

    monkeypatch.setattr(trust, "inspect_command", unreadable)
    lines = refused(config, places, CommandGrant("lamp", ("/bin/true",), None, 1))
    assert lines == ("accessories.lamp.on: /bin/true: Permission denied",)


def test_sudos_own_doubts_are_passed_on(
    config: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sudoers, "doubts", lambda policy: [f"sudo does not allow {policy['units']}"])
    done = apply(config, asking(UnitGrant("smbd.service")), places)
    assert done.warnings == ["sudo does not allow ['smbd.service']"]


@pytest.mark.parametrize(
    ("argv", "warned"),
    [
        (("/bin/sh", "-c", "reboot"), True),
        (("/usr/bin/python3", "-c", "0"), True),
        (("/usr/bin/perl", "-e", "0"), True),
        (("/bin/bash", "-lc", "reboot"), True),
        (("/bin/bash", "--norc", "-ec", "reboot"), True),
        (("/usr/bin/python3.11", "-Ic", "0"), True),
        (("/usr/bin/perl", "-E", "0"), True),
        (("/usr/bin/env", "bash", "-c", "reboot"), True),
        (("/usr/bin/env", "reboot"), True),
        (("/bin/sh", "/bin/true"), False),
        (("/bin/sh", "-e", "/bin/true"), False),
        (("/usr/bin/perl", "-c", "/bin/true"), False),
        (("/usr/bin/python3", "--check", "/bin/true"), False),
        (("/bin/true", "-c"), False),
    ],
)
def test_shells_are_warned_of(
    config: Path, places: Places, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], warned: bool
) -> None:
    monkeypatch.setattr(trust, "inspect_command", lambda argv: None)
    done = apply(config, asking(CommandGrant("lamp", argv, None, 1)), places)
    assert bool(done.warnings) is warned


def test_a_shell_by_another_name_is_warned_of(config: Path, places: Places, tmp_path: Path) -> None:
    (tmp_path / "tool").symlink_to("/bin/sh")
    done = apply(config, asking(CommandGrant("lamp", (f"{tmp_path}/tool", "-c", "reboot"), None, 1)), places)
    assert done.warnings


def test_a_name_that_cannot_be_exact_is_refused(config: Path, places: Places) -> None:
    assert "'smbd' is not the full name of a unit" in refused(config, places, UnitGrant("smbd"))[0]
