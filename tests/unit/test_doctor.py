"""What is in the way of a phone is named, with the command that removes it."""

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge import doctor
from bridge.doctor import Finding
from bridge.homekit.links import Link

LINKS = [Link("lo", "127.0.0.1", "reaches this machine only"), Link("eth0", "10.31.9.1", "")]


class FakeFirewall:
    """Programs that answer as told, by their words; others are not installed."""

    def __init__(self, answers: dict[str, tuple[int, str]]) -> None:
        self._answers = answers

    def __call__(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        code, said = self._answers.get(" ".join(command), (127, ""))
        return subprocess.CompletedProcess(command, code, said, "")


@pytest.fixture
def ufw(tmp_path: Path) -> Path:
    conf = tmp_path / "ufw.conf"
    conf.write_text("# comment\nENABLED=yes\nLOGLEVEL=low\n")
    return conf


def test_a_machine_without_a_firewall_has_nothing_to_say(tmp_path: Path) -> None:
    assert list(doctor.firewall(21064, FakeFirewall({}), tmp_path / "none")) == []


def test_firewalld_that_keeps_phones_out_is_named_with_the_command(tmp_path: Path) -> None:
    programs = FakeFirewall(
        {
            "firewall-cmd --state": (0, "running"),
            "firewall-cmd --query-port=21064/tcp": (1, "no"),
            "firewall-cmd --query-service=mdns": (0, "yes"),
        }
    )
    [finding] = doctor.firewall(21064, programs, tmp_path / "none")
    assert not finding.ok
    assert "sudo firewall-cmd --permanent --add-port=21064/tcp --add-service=mdns" in finding.line


def test_firewalld_that_lets_phones_in_is_well(tmp_path: Path) -> None:
    programs = FakeFirewall(
        {
            "firewall-cmd --state": (0, "running"),
            "firewall-cmd --query-port=21064/tcp": (0, "yes"),
            "firewall-cmd --query-service=mdns": (0, "yes"),
        }
    )
    assert [finding.ok for finding in doctor.firewall(21064, programs, tmp_path / "none")] == [True]


STATUS = """Status: active

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW       Anywhere
{port}                  ALLOW       Anywhere
5353/udp                   ALLOW       Anywhere
"""


@pytest.mark.parametrize(("port", "ok"), [("21064/tcp", True), ("21065/tcp", False)])
def test_ufw_is_asked_for_both_ports(ufw: Path, port: str, ok: bool) -> None:
    programs = FakeFirewall({"ufw status": (0, STATUS.format(port=port))})
    [finding] = doctor.firewall(21064, programs, ufw)
    assert finding.ok is ok
    assert ok or "sudo ufw allow 21064/tcp && sudo ufw allow 5353/udp" in finding.line


def test_ufw_that_shows_nothing_to_this_user_gives_the_command_anyway(ufw: Path) -> None:
    [finding] = doctor.firewall(21064, FakeFirewall({"ufw status": (1, "")}), ufw)
    assert not finding.ok
    assert "only root sees its rules" in finding.line


def test_ufw_that_is_off_is_in_nobodys_way(ufw: Path) -> None:
    ufw.write_text("ENABLED=no\n")
    assert list(doctor.firewall(21064, FakeFirewall({"ufw status": (0, "")}), ufw)) == []


def test_every_interface_is_listed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.homekit.links.links", lambda: LINKS)
    assert list(doctor.interfaces(None)) == [
        Finding(True, "127.0.0.1 on lo: not advertised: lo reaches this machine only"),
        Finding(True, "10.31.9.1 on eth0: advertised"),
    ]


def test_no_network_at_all_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.homekit.links.links", lambda: LINKS[:1])
    assert [finding.ok for finding in doctor.interfaces(None)] == [False, True]


def test_an_address_that_is_not_here_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.homekit.links.links", lambda: LINKS)
    [finding] = doctor.interfaces("10.31.9.9")
    assert not finding.ok
    assert "10.31.9.1" in finding.line
    [finding] = doctor.interfaces("127.0.0.1")
    assert finding.ok


def test_a_port_is_knocked_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        assert doctor.port("127.0.0.1", number).ok
    finding = doctor.port(None, number)
    assert not finding.ok
    assert "is the bridge running?" in finding.line


def test_a_lock_is_named_with_the_way_back() -> None:
    assert "--unlock" in doctor.lock({"locked": True, "pairings": []}).line
    assert doctor.lock({"locked": False, "pairings": []}).line == "not paired yet"
    assert doctor.lock({"locked": False, "pairings": [{}]}).ok


def test_a_program_that_is_not_there_is_as_good_as_one_that_says_no() -> None:
    assert doctor.run(["no-such-firewall"]).returncode == 127
    assert doctor.run(["true"]).returncode == 0


def test_what_a_watchdog_cannot_read_is_told_with_the_reason() -> None:
    rules = [{"why": "no process matches 'x'"}, {"why": ""}]
    report = {"key": "web", "watching": True, "why": "", "rules": rules}
    (finding,) = doctor.watchdogs([report, {**report, "watching": False, "why": "off"}])
    assert (finding.ok, finding.line) == (
        False,
        "the watchdog of web cannot measure it: no process matches 'x'",
    )


def test_notices_that_do_not_arrive_are_told_with_the_reason() -> None:
    (finding,) = doctor.notices({"failing": "it answers 401"})
    assert not finding.ok and "it answers 401; look at `notify:`" in finding.line
    assert not list(doctor.notices({"failing": ""}))
