"""How `ip` is run; a script stands in for it."""

from pathlib import Path

import pytest

from bridge.helper import kernel
from bridge.helper.answer import Refusal


@pytest.fixture
def ip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What it does is written into the file; it shows its arguments and what it reads."""
    script = tmp_path / "ip"
    write(script, 'echo "$@"; cat')
    monkeypatch.setattr(kernel, "IP", str(script))
    return script


def write(script: Path, text: str) -> None:
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)


def test_a_question_is_asked_in_json_and_numbers(ip: Path) -> None:
    assert kernel.ask("4", "rule show\n") == "-j -N -4 -batch -\nrule show\n"


def test_both_families_are_asked_at_once(ip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernel, "IPV6", str(tmp_path))
    assert {family: said.split()[2] for family, said in kernel.ask_all("").items()} == {"6": "-6", "4": "-4"}
    monkeypatch.setattr(kernel, "IPV6", "/nowhere")
    assert list(kernel.ask_all("")) == ["4"]


def test_inside_a_container_it_is_asked_through_its_namespace(
    ip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    enter = tmp_path / "nsenter"
    write(enter, 'echo "$1"; shift; exec "$@"')
    monkeypatch.setattr(kernel, "NSENTER", str(enter))
    assert kernel.ask("6", "", "/proc/7/ns/net").splitlines() == ["--net=/proc/7/ns/net", "-j -N -6 -batch -"]


def test_every_line_of_a_change_is_tried_and_no_line_asks_nothing(ip: Path, tmp_path: Path) -> None:
    write(ip, f'echo "$@" > {tmp_path}/said; cat >> {tmp_path}/said')
    kernel.change("4", [])
    assert not (tmp_path / "said").exists()
    kernel.change("4", ["rule add one", "rule add two"])
    assert (tmp_path / "said").read_text() == "-force -4 -batch -\nrule add one\nrule add two\n"


def test_the_first_reason_it_gives_is_passed_on(ip: Path) -> None:
    write(ip, "cat >/dev/null; echo 'RTNETLINK answers: File exists' >&2; echo more >&2; exit 1")
    with pytest.raises(Refusal, match="RTNETLINK answers: File exists"):
        kernel.change("4", ["rule add one"])
    write(ip, "cat >/dev/null; exit 1")
    with pytest.raises(Refusal, match="ip fails at: rule add one"):
        kernel.change("4", ["rule add one"])


def test_what_one_family_refuses_is_done_in_the_other(ip: Path, tmp_path: Path) -> None:
    write(ip, f"case $2 in -6) echo no >&2; exit 1 ;; esac; cat > {tmp_path}/said")
    with pytest.raises(Refusal, match="no"):
        kernel.change_all({"6": ["rule add one"], "4": ["rule add two"]})
    assert (tmp_path / "said").read_text() == "rule add two\n"


def test_one_that_reads_nothing_says_why(ip: Path) -> None:
    write(ip, "exec <&-; echo no >&2; exit 2")
    with pytest.raises(Refusal, match="no"):
        kernel.change("4", [f"rule add {number}" for number in range(20000)])


def test_one_that_hangs_is_ended(ip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(ip, "exec sleep 60")
    monkeypatch.setattr(kernel, "DEADLINE", 0.1)
    with pytest.raises(Refusal) as refused:
        kernel.ask("4", "rule show\n")
    assert refused.value.code == "timeout"
