import os
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.helper import running
from bridge.helper.answer import Refusal
from bridge.helper.plan import Plan
from bridge.helper.process import ENVIRONMENT, signals_with_a_choice
from tests.fakes.ownership import Ownership

pytestmark = pytest.mark.usefixtures("held_signals", "owners")


def sh(script: str, *, deadline: float = 20, timeout: float | None = None, detached: bool = False) -> Plan:
    return Plan(("/bin/sh", "-c", script), deadline=deadline, timeout=timeout, detached=detached)


def refusal(plan: Plan) -> tuple[str, str]:
    with pytest.raises(Refusal) as refused:
        running.run(plan)
    return refused.value.code, str(refused.value)


def test_a_program_that_ends_well_is_done() -> None:
    running.run(sh("exit 0"))


def test_what_it_says_last_is_the_reason_why_it_failed() -> None:
    assert refusal(sh("echo first >&2; echo at last >&2; exit 3")) == ("failed", "at last")


def test_if_it_says_nothing_the_exit_code_or_the_signal_is() -> None:
    assert refusal(sh("exit 3")) == ("failed", "it ended with exit code 3")
    assert refusal(sh("kill -KILL $$")) == ("failed", "it was ended by signal 9")


def test_a_grandchild_that_holds_stderr_open_delays_nothing(tmp_path: Path) -> None:
    code, reason = refusal(sh(f"sleep 60 & echo $! > {tmp_path}/pid; exit 4"))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert (code, reason) == ("failed", "it ended with exit code 4")


def test_a_failure_after_the_commands_own_time_is_called_a_timeout() -> None:
    assert refusal(sh("exit 1", timeout=0.0))[0] == "timeout"
    assert refusal(sh("exit 1", timeout=30.0))[0] == "failed"


def test_what_has_to_be_done_first_is_done_first_and_its_failure_is_the_end(tmp_path: Path) -> None:
    touch, look = ("/bin/sh", "-c", f"echo > {tmp_path}/file"), ("/bin/sh", "-c", f"test -e {tmp_path}/file")
    running.run(Plan(look, first=touch, deadline=20))
    assert refusal(Plan(touch, first=("/bin/sh", "-c", "exit 5"), deadline=20))[0] == "failed"


def test_what_a_program_says_decides_what_is_done_next(tmp_path: Path) -> None:
    said: list[str] = []

    def then(text: str) -> Plan | None:
        said.append(text)
        return sh(f"echo > {tmp_path}/done") if text == "hello\n" else None

    (tmp_path / "long").write_text("x" * 200_000)
    running.run(Plan(("/bin/echo", "hello"), then=then, deadline=20))
    running.run(Plan(("/bin/cat", str(tmp_path / "long")), then=then, deadline=20))
    assert (tmp_path / "done").exists()
    assert said == ["hello\n", "x" * 200_000]


def test_a_strict_plan_fails_by_a_complaint_alone() -> None:
    complaint = ("/bin/sh", "-c", "echo one >&2; echo two >&2")
    running.run(Plan(complaint, deadline=20))
    assert refusal(Plan(complaint, strict=True, deadline=20)) == ("failed", "two")
    running.run(Plan(("/bin/true",), strict=True, deadline=20))


def test_a_program_that_overstays_is_killed(tmp_path: Path) -> None:
    code, reason = refusal(sh(f"echo $$ > {tmp_path}/pid; exec sleep 60", deadline=0.2))
    assert code == "timeout" and "did not answer within 0.2 s" in reason
    assert os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]) == -signal.SIGKILL


def test_a_goodbye_does_not_end_what_must_be_finished() -> None:
    running.run(sh(f"kill -TERM {os.getpid()}; kill -HUP {os.getpid()}; exit 0"))


@pytest.mark.parametrize("goodbye", ["TERM", "HUP", "INT"])
def test_a_goodbye_ends_the_waiting_for_what_goes_on_by_itself(goodbye: str) -> None:
    code, _ = refusal(sh(f"kill -{goodbye} {os.getpid()}; exec sleep 60", detached=True))
    assert code == "interrupted"
    assert os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]) == -signal.SIGTERM


def test_a_program_starts_with_clean_signals_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "")
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    running.run(sh(f"exec > {tmp_path}/seen; env; grep Sig /proc/self/status"))
    signal.signal(signal.SIGUSR1, before)
    seen = (tmp_path / "seen").read_text().split("\n")
    names = {line.partition("=")[0] for line in seen if "=" in line}
    assert names <= {*ENVIRONMENT, "PWD", "OLDPWD", "SHLVL", "_"}
    masks = [int(line.split()[1], 16) for line in seen if line.startswith(("SigBlk", "SigIgn"))]
    assert len(masks) == 2
    assert not any(mask & 1 << number - 1 for mask in masks for number in signals_with_a_choice())


def test_a_program_that_others_can_write_is_not_run(owners: Ownership) -> None:
    owners.open_to(os.path.realpath("/bin/sh"), stat.S_IWOTH)
    code, reason = refusal(sh("exit 0"))
    assert code == "unsafe" and "others than root" in reason


def test_a_program_that_is_not_there_is_not_run(tmp_path: Path) -> None:
    argv: Sequence[str] = (f"{tmp_path}/nothing",)
    assert refusal(Plan(argv, deadline=1))[0] == "unsafe"
