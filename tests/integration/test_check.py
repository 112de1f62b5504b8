"""`bellpull check` looks at the machine too, and says what root does not allow yet."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from bridge import policy
from bridge.check import check
from bridge.paths import Paths
from tests.fakes.systemd import a_bus, systemd

TILES = """\
accessories:
  files: {kind: services, units: [smbd, nope]}
  lamp: {kind: command, on: [true]}
"""
BEHIND = "warning: root does not allow what this configuration asks for yet; run: sudo bellpull apply"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A machine without a bus and without a policy."""
    for function in (policy.read_policy, policy.is_behind):
        monkeypatch.setattr(function, "__defaults__", (tmp_path / "policy.json",))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
    paths = Paths(tmp_path / "config.yaml", tmp_path)
    paths.config.write_text(TILES)
    return paths


@pytest.mark.skipif(not shutil.which("dbus-daemon"), reason="this machine has no dbus-daemon")
async def test_a_unit_that_does_not_exist_is_a_warning_with_its_place(paths: Paths, tmp_path: Path) -> None:
    with a_bus(tmp_path) as address:
        async with systemd(address) as fake:
            fake.add("smbd.service")
            found, errors, warnings = await asyncio.to_thread(check, paths)
    assert found is not None and not errors
    place = f"{paths.config}:2:3: accessories.files"
    assert warnings == [f"{place}: warning: nope.service does not exist on this machine", BEHIND]


def test_a_machine_that_cannot_be_asked_is_said_once(paths: Paths) -> None:
    paths.config.write_text(TILES + "  web: {kind: services, units: [apache2]}\n")
    _, errors, warnings = check(paths)
    assert not errors
    (unseen,) = [line for line in warnings if "not compared with this machine" in line]
    assert "the D-Bus system bus cannot be reached" in unseen


def test_errors_are_told_alone_as_the_rest_would_be_guesses(paths: Paths) -> None:
    paths.config.write_text(TILES + "  web: {kind: nope}\n")
    _, errors, warnings = check(paths)
    assert len(errors) == 1 and not warnings


def test_a_policy_that_holds_what_is_asked_for_is_not_behind(paths: Paths, tmp_path: Path) -> None:
    found, _, warnings = check(paths)
    assert found is not None and BEHIND in warnings
    units = {"version": 1, "units": ["nope.service", "smbd.service"], "commands": {}}
    (tmp_path / "policy.json").write_text(json.dumps(units))
    assert BEHIND not in check(paths)[2]


def test_what_asks_nothing_of_root_needs_no_policy(paths: Paths) -> None:
    paths.config.write_text("accessories:\n  lamp: {kind: command, on: [true]}\n")
    assert check(paths)[1:] == ([], [])


def test_a_policy_that_cannot_be_used_is_a_warning(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("nonsense")
    assert any("policy.json" in line for line in check(paths)[2])


def test_two_inboxes_on_one_server_are_a_warning_before_apply_refuses_them(paths: Paths) -> None:
    tile = "  {key}: {{kind: process_scans, inbox: /srv/{key}/in, output: /srv/{key}/out}}\n"
    paths.config.write_text("accessories:\n" + tile.format(key="a") + tile.format(key="b"))
    found, errors, warnings = check(paths)
    assert found is not None and not errors
    said = "a and b both want bellpull-scans.service; one server has one inbox of scans"
    assert f"warning: `apply` will refuse: {said}" in warnings
