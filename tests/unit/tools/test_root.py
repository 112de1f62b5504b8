"""Asking root, with real programs in the place of sudo and the helper."""

import asyncio
import logging
import os
import signal
import stat
from contextlib import aclosing
from pathlib import Path

import pytest

from bridge.contract import Denied, Failed, Trouble
from bridge.tools import root as module
from bridge.tools.root import LIMIT, LINE, Root
from tests.children import gone, line, nothing_left

OK = """echo '{"ok": true}'"""


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a sudo of the test's own is looked for."""
    monkeypatch.setattr(module, "PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "sudo"


def says(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def trouble_of(verb: str = "unit-start", name: str = "smbd.service") -> Trouble:
    with pytest.raises(Trouble) as raised:
        await Root(Path("/opt/helper")).call(verb, name)
    return raised.value


async def test_sudo_is_asked_once_never_for_a_password_and_with_exact_words(sudo: Path) -> None:
    says(sudo, f'printf "%s|" "$@" > {sudo}.words; env > {sudo}.env; pwd > {sudo}.cwd; {OK}')
    os.environ["BELLPULL_TEST_SECRET"] = "x"
    try:
        await Root(Path("/opt/helper")).call("unit-start", "smbd.service")
    finally:
        del os.environ["BELLPULL_TEST_SECRET"]
    assert Path(f"{sudo}.words").read_text() == "-n|/opt/helper|unit-start|smbd.service|"
    names = {entry.partition("=")[0] for entry in Path(f"{sudo}.env").read_text().splitlines()}
    assert {"PATH", "LANG"} <= names <= {"PATH", "LANG", "PWD", "SHLVL", "_", "OLDPWD"}
    assert Path(f"{sudo}.cwd").read_text() == "/\n"


async def test_without_sudo_the_cure_is_told(sudo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATH", str(sudo.parent))
    trouble = await trouble_of()
    assert isinstance(trouble, Denied)
    assert str(trouble) == "sudo is not installed; install it, then run `sudo bellpull apply`"


async def test_a_sudo_that_refuses_means_apply_and_its_words_go_to_the_log(
    sudo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    says(sudo, "printf 'sudo: a password\\033[31m is required\\n' >&2; exit 1")
    with caplog.at_level(logging.WARNING):
        trouble = await trouble_of()
    assert isinstance(trouble, Denied)
    assert str(trouble) == "sudo does not allow it; run `sudo bellpull apply`"
    assert "sudo exited with 1: sudo: a password\\x1b[31m is required" in caplog.text


async def test_a_sudo_that_cannot_be_run_is_a_failure_of_one_line(sudo: Path) -> None:
    sudo.write_text("#!/no/such/shell\n")
    sudo.chmod(sudo.stat().st_mode | stat.S_IXUSR)
    trouble = await trouble_of()
    assert isinstance(trouble, Failed) and "sudo cannot be run: No such file" in str(trouble)


@pytest.mark.parametrize(
    ("answer", "code", "kind", "reason"),
    [
        ('{"ok": false, "error": "failed", "reason": "it did not"}', 1, Failed, "it did not"),
        ('{"ok": false, "error": "timeout", "reason": "too slow"}', 1, Failed, "too slow"),
        ('{"ok": false, "error": "denied", "reason": "not in the policy"}', 1, Denied, "not in the policy"),
        ('{"ok": false, "error": "unsafe"}', 1, Denied, "the helper refused"),
        ('{"ok": true}', 1, Denied, "the helper refused"),
        ('{"ok": "yes"}', 0, Denied, "the helper refused"),
        ("{}", 0, Denied, "sudo does not allow it; run `sudo bellpull apply`"),
        ("[]", 0, Denied, "sudo does not allow it; run `sudo bellpull apply`"),
        ("hello", 0, Denied, "sudo does not allow it; run `sudo bellpull apply`"),
        ("", 0, Denied, "sudo does not allow it; run `sudo bellpull apply`"),
    ],
)
async def test_only_an_answer_that_says_done_and_an_exit_that_agrees_is_success(
    sudo: Path, answer: str, code: int, kind: type[Trouble], reason: str
) -> None:
    says(sudo, f"echo '{answer}'; exit {code}")
    trouble = await trouble_of()
    assert (type(trouble), str(trouble)) == (kind, reason)


async def test_an_answer_without_end_is_bounded_and_no_success(sudo: Path) -> None:
    says(
        sudo, f"""echo '{{"ok": true}}'; head -c {20 * LIMIT} /dev/zero; head -c {20 * LIMIT} /dev/zero >&2"""
    )
    assert isinstance(await trouble_of(), Denied)


def test_an_answer_nested_without_end_is_no_success() -> None:
    assert isinstance(module.verdict(b"[" * LIMIT, b"", 0), Denied)


async def test_a_call_that_is_called_off_asks_the_helper_to_end_and_leaves_nothing(sudo: Path) -> None:
    says(sudo, f"echo $$ > {sudo}.pid; exec sleep 300")
    async with nothing_left():
        call = asyncio.create_task(Root(Path("/opt/helper")).call("command-on", "lamp"))
        pid = int(await line(Path(f"{sudo}.pid")))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gone(pid)
        await asyncio.sleep(0.1)


async def test_a_helper_that_may_not_be_signalled_is_left_to_its_own_deadline(
    sudo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    says(sudo, f"echo $$ > {sudo}.pid; sleep 1; {OK}")
    monkeypatch.setattr("asyncio.subprocess.Process.terminate", forbidden)
    async with nothing_left():
        call = asyncio.create_task(Root(Path("/opt/helper")).call("command-on", "lamp"))
        pid = int(await line(Path(f"{sudo}.pid")))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gone(pid)
        await asyncio.sleep(0.1)


# A watch


async def lines_of(many: int) -> list[object]:
    """The first so many lines; the watch is closed then."""
    told: list[object] = []
    async with aclosing(Root(Path("/opt/helper")).watch("container-watch", "all")) as lines:
        async for line in lines:
            told.append(line)
            if len(told) == many:
                break
    return told


async def test_a_watch_tells_line_by_line_and_leaves_nothing(sudo: Path) -> None:
    says(sudo, f"""echo $$ > {sudo}.pid; echo '{{"a": 1}}'; echo '{{"a": 2}}'; exec cat""")
    async with nothing_left():
        assert await lines_of(2) == [{"a": 1}, {"a": 2}]
        await gone(int(Path(f"{sudo}.pid").read_text()))


async def test_the_helpers_input_ends_with_whoever_watches(sudo: Path) -> None:
    says(sudo, f"""trap '' TERM; echo '{{"a": 1}}'; cat; echo over > {sudo}.over""")
    async with nothing_left():
        assert await lines_of(1) == [{"a": 1}]
        assert Path(f"{sudo}.over").read_text() == "over\n"


async def test_a_watch_that_does_not_hear_its_input_end_is_asked_to(
    sudo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PARTING", 0.2)
    says(sudo, f"""echo $$ > {sudo}.pid; echo '{{"a": 1}}'; exec sleep 300""")
    async with nothing_left():
        assert await lines_of(1) == [{"a": 1}]
        await gone(int(Path(f"{sudo}.pid").read_text()))


async def test_a_watch_that_does_not_end_is_left_behind_after_a_while(
    sudo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PARTING", 0.1)
    says(sudo, f"""trap '' TERM; echo $$ > {sudo}.pid; echo '{{"a": 1}}'; while :; do sleep 0.1; done""")
    assert await lines_of(1) == [{"a": 1}]
    os.kill(int(Path(f"{sudo}.pid").read_text()), signal.SIGKILL)
    assert "the helper's watch does not end" in caplog.text
    await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        ("""echo '{"ok": false, "error": "denied", "reason": "no"}'; exit 1""", Denied, "no"),
        ("""echo '{"ok": false, "error": "failed", "reason": "gone"}'; exit 1""", Failed, "gone"),
        ("""echo '{"a": 1}'; exit 0""", Denied, "sudo does not allow it; run `sudo bellpull apply`"),
        (OK, Failed, "the helper's watch ended"),
        ("echo hello", Denied, "sudo does not allow it; run `sudo bellpull apply`"),
        ("echo '[1]'", Denied, "sudo does not allow it; run `sudo bellpull apply`"),
        ("echo no >&2; exit 1", Denied, "sudo does not allow it; run `sudo bellpull apply`"),
        (f"head -c {LINE + 10} /dev/zero", Denied, "sudo does not allow it; run `sudo bellpull apply`"),
    ],
)
async def test_a_watch_that_ends_says_why(sudo: Path, script: str, kind: type[Trouble], reason: str) -> None:
    says(sudo, script)
    with pytest.raises(Trouble) as raised:
        await lines_of(9)
    assert (type(raised.value), str(raised.value)) == (kind, reason)


async def test_a_watch_that_is_called_off_leaves_nothing(sudo: Path) -> None:
    says(sudo, f"""echo $$ > {sudo}.pid; exec cat""")
    async with nothing_left():
        watch = asyncio.create_task(lines_of(1))
        pid = int(await line(Path(f"{sudo}.pid")))
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch
        await gone(pid)
