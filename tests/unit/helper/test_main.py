import json
import os
from pathlib import Path

import pytest

from bridge.helper import main as program
from bridge.helper import policy, process, trust, verbs
from bridge.helper.plan import Plan
from tests.fakes.ownership import Ownership

pytestmark = pytest.mark.usefixtures("owners")


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Plan]:
    """The plans that were carried out, by a helper that is root and whose policy has one unit."""
    (tmp_path / "policy.json").write_text('{"version": 1, "units": ["smbd.service"]}')
    plans: list[Plan] = []
    monkeypatch.setattr(policy, "PATH", f"{tmp_path}/policy.json")
    monkeypatch.setattr(process, "reset", lambda: None)
    monkeypatch.setattr(program, "run", plans.append)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return plans


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda descriptor, line: written.append(line))
    return written


def code(*arguments: str) -> str | None:
    refusal = program.attempt(arguments)
    return refusal.code if refusal else None


def test_a_word_and_a_name_that_are_allowed_are_carried_out(ran: list[Plan], said: list[bytes]) -> None:
    assert program.main(["unit-start", "smbd.service"]) == 0
    assert [plan.argv[-1] for plan in ran] == ["smbd.service"]
    assert said == [b'{"ok": true}\n']


def test_what_a_verb_has_done_itself_needs_no_plan(
    monkeypatch: pytest.MonkeyPatch, ran: list[Plan], said: list[bytes]
) -> None:
    monkeypatch.setattr(verbs, "find", lambda word: lambda policy, name: None)
    assert program.main(["route-on", "tv"]) == 0
    assert not ran


def test_what_is_no_program_is_done_here(ran: list[Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(verbs, "find", lambda word: lambda policy, name: lambda: done.append(name))
    assert program.attempt(["container-stop", "media"]) is None
    assert done == ["media"] and not ran


def test_a_refusal_is_one_line_and_exit_code_1(ran: list[Plan], said: list[bytes]) -> None:
    assert program.main(["unit-start", "sshd.service"]) == 1
    assert not ran
    assert [json.loads(line)["error"] for line in said] == ["denied"]


def test_the_exit_code_tells_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(descriptor: int, line: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", closed)
    assert program.main(["unit-start", "smbd.service"]) == 0


@pytest.mark.parametrize("arguments", [(), ("unit-start",), ("unit-start", "smbd.service", "now")])
def test_anything_but_two_words_is_refused(arguments: tuple[str, ...]) -> None:
    assert code(*arguments) == "usage"


@pytest.mark.parametrize("who", ["getuid", "geteuid"])
def test_who_is_not_root_is_refused(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(os, who, lambda: 1000)
    assert code("unit-start", "smbd.service") == "usage"


def test_code_that_others_can_write_is_not_used(owners: Ownership, ran: list[Plan]) -> None:
    owners.give(trust.__file__, 1000)
    assert code("unit-start", "smbd.service") == "unsafe"
    assert not ran


def test_a_bug_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(process, "reset", broken)
    refusal = program.attempt(["unit-start", "smbd.service"])
    assert refusal and str(refusal) == "the helper has a bug: ZeroDivisionError: by zero"
