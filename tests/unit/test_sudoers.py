"""Exact lines for sudo; that sudo reads them so is tried in tests/e2e."""

import shutil
from pathlib import Path

import pytest

from bridge import sudoers
from bridge.paths import HELPER
from bridge.policy import Policy
from bridge.sudoers import SudoersError


def policy(*units: str) -> Policy:
    commands = {"lamp": {"off": ["/bin/true"], "timeout": 1}}
    return {"version": 1, "units": list(units), "commands": commands, "routes": {}}


def fake_sudo(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Let `script` be what is found under the names sudo and visudo."""
    program = folder / "sudo"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, path: str(program))


def test_there_is_a_line_for_each_verb_and_name_and_no_pattern_in_any() -> None:
    rules = [
        line for line in sudoers.render(policy("smbd.service")).splitlines() if line.startswith("bellpull")
    ]
    assert rules == [
        f"bellpull ALL=(root) NOPASSWD: NOSETENV: {HELPER} {words}"
        for words in (
            "unit-start smbd.service",
            "unit-stop smbd.service",
            "unit-restart smbd.service",
            "command-off lamp",
        )
    ]


def test_what_means_something_to_sudo_is_escaped() -> None:
    assert r"unit-start a\:b@c.service" in sudoers.render(policy("a:b@c.service"))
    assert r"unit-start a\\\\x2db.service" in sudoers.render(policy(r"a\x2db.service"))


@pytest.mark.parametrize("name", ["*", "a?", "[a]", "a b", "", "^a$", "a\nb", "a#b", "a!b", '"a"', "ä"])
def test_what_cannot_be_exact_is_refused(name: str) -> None:
    with pytest.raises(SudoersError, match="cannot be written exactly"):
        sudoers.render(policy(name))


def test_visudo_is_asked_about_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_sudo(monkeypatch, tmp_path, f'echo "$@" > {tmp_path}/asked')
    sudoers.check(tmp_path / "draft")
    assert (tmp_path / "asked").read_text().endswith(f"--file={tmp_path}/draft\n")


def test_what_visudo_says_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_sudo(monkeypatch, tmp_path, "echo syntax; echo error >&2; exit 1")
    with pytest.raises(SudoersError, match=f"visudo refuses {tmp_path}/draft: syntax error"):
        sudoers.check(tmp_path / "draft")


def test_sudo_is_asked_whether_it_obeys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_sudo(monkeypatch, tmp_path, f'echo asked "$@" >> {tmp_path}/asked')
    assert sudoers.doubts(policy("smbd.service")) == []
    first, *others = (tmp_path / "asked").read_text().splitlines()
    assert first == f"asked -n -l -U bellpull {HELPER} unit-start smbd.service"
    assert len(others) == 3


def test_if_sudo_does_not_a_person_is_told_where_to_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_sudo(monkeypatch, tmp_path, "exit 1")
    (doubt,) = sudoers.doubts(policy("smbd.service"))
    assert "@includedir /etc/sudoers.d" in doubt


def test_without_sudo_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    with pytest.raises(SudoersError, match="install sudo"):
        sudoers.check(Path("draft"))
