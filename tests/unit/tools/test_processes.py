"""Commands are run to their true end, and nothing of them is left when they had to be ended."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bridge.contract import Failed
from bridge.tools import processes as module
from bridge.tools.processes import Processes
from tests.children import gone, line, mentioning, nothing_left, until

log = logging.getLogger("command.tile")
PYTHON = str(Path(sys.executable).resolve())  # not a venv's link, which would set a variable
LONG = 30.0  # seconds; no test waits for it


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with nothing_left():
        processes = Processes(tmp_path / "keys")
        yield processes
        await processes.close()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, logger="command")
    return lambda: [record.getMessage() for record in caplog.records if record.name == log.name]


def sh(script: str, *arguments: object) -> list[str]:
    return ["sh", "-c", script, "sh", *map(str, arguments)]


@pytest.mark.parametrize("code", [0, 1, 3, 255])
async def test_the_exit_code_is_the_verdict(processes: Processes, code: int) -> None:
    assert (await processes.run(sh(f"exit {code}"), seconds=LONG, log=log)).code == code


async def test_the_reason_is_the_last_line_of_stderr(processes: Processes) -> None:
    ended = await processes.run(
        sh("echo a >&2; echo 'no\tdisk\033[0m' >&2; echo b; exit 3"), seconds=LONG, log=log
    )
    assert str(ended) == r"exit code 3: no\tdisk\x1b[0m"


async def test_a_signal_is_named(processes: Processes) -> None:
    ended = await processes.run(sh("kill -USR1 $$"), seconds=LONG, log=log)
    assert (ended.code, str(ended)) == (-signal.SIGUSR1, "killed by SIGUSR1")


async def test_what_cannot_be_run_is_told_from_what_failed(processes: Processes, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch(mode=0o644)
    for program, why in (("/no/such", "No such file or directory"), (str(plain), "Permission denied")):
        ended = await processes.run([program], seconds=LONG, log=log)
        assert ended.not_run
        assert str(ended) == f"cannot run {program}: {why}"
        with pytest.raises(Failed, match=f"ended at once: cannot run {program}: {why}"):
            await processes.keep([program], log=log)


def test_only_plain_files_of_the_systems_own_folders_are_started_without_a_look_from_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    for folder in (own, foreign):
        folder.mkdir()
        (folder / "program").touch()
    (own / "link").symlink_to(foreign / "program")
    monkeypatch.setattr(module, "FOLDERS", (str(own),))
    assert module.at_hand("program", f"{own}:{foreign}") and module.at_hand(f"{own}/program", "")
    assert not module.at_hand("program", f"{foreign}:{own}")  # the first of that name is the other one
    for elsewhere in ("link", "missing", f"{own}/link", f"{foreign}/program", f"{own}/../foreign/program"):
        assert not module.at_hand(elsewhere, str(own))


async def test_a_program_that_goes_between_the_look_and_the_start_cannot_be_run(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "at_hand", lambda program, path: True)
    ended = await processes.run(["/usr/bin/gone"], seconds=LONG, log=log)
    assert ended.not_run and str(ended).startswith("cannot run /usr/bin/gone")


async def test_both_outputs_go_to_the_log_line_by_line(
    processes: Processes, said: Callable[[], list[str]]
) -> None:
    await processes.run(sh("echo one; printf 'two\nthree' >&2"), seconds=LONG, log=log)
    assert sorted(said()) == ["one", "three", "two"]


async def test_a_silent_command_logs_its_stderr_only(
    processes: Processes, said: Callable[[], list[str]]
) -> None:
    await processes.run(sh("echo one; echo two >&2"), seconds=LONG, log=log, silent=True)
    assert said() == ["two"]


async def test_a_flood_is_bounded_in_the_log_and_does_not_hold_up_the_verdict(
    processes: Processes, said: Callable[[], list[str]]
) -> None:
    ended = await processes.run(sh("seq 1000 >&2; exit 7"), seconds=LONG, log=log)
    assert str(ended) == "exit code 7: 1000"
    await asyncio.sleep(0)
    assert len(said()) < 100
    assert any(line.startswith("… and ") for line in said())


async def test_a_child_has_no_input_no_descriptors_and_a_small_environment(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("SECRET", "x")
    found, inheritable = tmp_path / "found", os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    code = (
        "import os, sys; names = set(os.environ) - {'LC_CTYPE'};"
        "open(sys.argv[1], 'w').write(repr((sys.stdin.read(), sorted(names), os.getsid(0) == os.getpid(),"
        " sorted(map(int, os.listdir('/proc/self/fd')))[:-1])) + '\\n')"
    )
    await processes.run([PYTHON, "-ISc", code, str(found)], seconds=LONG, log=log)
    os.close(inheritable)
    stdin, names, leads_a_session, descriptors = eval(await line(found))
    assert (stdin, leads_a_session, descriptors) == ("", True, [0, 1, 2, 3])  # 3: the file it writes
    assert set(names) <= set(module.PASSED_ON)


async def test_a_child_can_gain_no_privileges_and_the_bridge_keeps_its_own(processes: Processes) -> None:
    proof = ["grep", "-q", "NoNewPrivs:.1", "/proc/self/status"]
    assert (await processes.run(proof, seconds=LONG, log=log)).code == 0
    assert subprocess.run(proof).returncode == 1


async def test_a_late_command_is_ended_with_everything_it_started(
    processes: Processes, tmp_path: Path
) -> None:
    script = (
        "trap '' TERM; (trap '' TERM; echo $$ >&3; sleep 60) 3>$1 & sleep 60 & echo $! >$2; wait; sleep 60"
    )
    files = tmp_path / "stubborn", tmp_path / "plain"
    with pytest.raises(Failed, match=r"did not finish in 0.4 s and was ended"):
        await processes.run(sh(script, *files), seconds=0.4, log=log)
    for file in files:
        await gone(int(await line(file)))


async def test_those_that_heed_the_request_are_not_killed_in_their_last_act(
    processes: Processes, tmp_path: Path
) -> None:
    script = "(trap 'sleep 0.3; echo done >$1; exit' TERM; touch $2; sleep 60 & wait) & wait"
    done, ready = tmp_path / "done", tmp_path / "ready"
    running = asyncio.create_task(processes.run(sh(script, done, ready), seconds=LONG, log=log))
    await until(ready.exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await line(done) == "done"


async def test_a_cancelled_command_is_ended_though_it_is_cancelled_again(
    processes: Processes, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    script = "trap '' TERM; echo $$ >$1; while :; do sleep 1; done"
    running = asyncio.create_task(processes.run(sh(script, file), seconds=LONG, log=log))
    pid = int(await line(file))
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(pid)


async def test_a_command_that_ended_in_time_keeps_its_background_children(
    processes: Processes, tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    go, file = tmp_path / "go", tmp_path / "pid"
    script = "(while [ ! -e $1 ]; do sleep 0.02; done; echo late >&2; exec sleep 60) & echo $! >$2"
    assert (await processes.run(sh(script, go, file), seconds=LONG, log=log)).code == 0
    go.touch()
    await until(lambda: "late" in said())
    os.kill(int(await line(file)), signal.SIGKILL)


async def test_a_kept_program_runs_until_it_is_ended(processes: Processes, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = await processes.keep(sh("echo $$ >$1; exec sleep 60", file), log=log)
    pid = int(await line(file))
    assert not child.ended.done()
    await processes.end(child)
    assert child.ended.result().code == -signal.SIGTERM
    await gone(pid)


async def test_a_kept_program_that_ignores_the_request_is_made_to_end(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASH_PATIENCE", 0.3)
    file = tmp_path / "pid"
    child = await processes.keep(sh("trap '' TERM; echo $$ >$1; while :; do sleep 1; done", file), log=log)
    pid = int(await line(file))
    await processes.end(child)
    assert child.ended.result().code == -signal.SIGKILL
    await gone(pid)


@pytest.mark.parametrize(
    ("fate", "shown"), [("exit 5", "exit code 5"), ("kill -SEGV $$", "killed by SIGSEGV")]
)
async def test_a_kept_program_that_ends_by_itself_says_how(
    processes: Processes, tmp_path: Path, fate: str, shown: str
) -> None:
    go = tmp_path / "go"
    child = await processes.keep(sh(f"while [ ! -e $1 ]; do sleep 0.02; done; {fate}", go), log=log)
    go.touch()
    async with asyncio.timeout(20):
        assert str(await child.ended) == shown


async def test_a_kept_program_takes_its_group_with_it(processes: Processes, tmp_path: Path) -> None:
    file, go = tmp_path / "pid", tmp_path / "go"
    script = "sleep 60 & echo $! >$1; while [ ! -e $2 ]; do sleep 0.02; done"
    child = await processes.keep(sh(script, file, go), log=log)
    go.touch()
    async with asyncio.timeout(20):
        await child.ended
    await gone(int(await line(file)))


BRIDGE = """
import asyncio, logging, sys
from pathlib import Path
from bridge.tools.processes import Processes

SCRIPT = "trap '' TERM; (while :; do sleep 1; done) & while :; do sleep 1; done"

async def main():
    processes = Processes(Path(sys.argv[1]))
    print(flush=True)
    await processes.keep(["sh", "-c", SCRIPT, sys.argv[1]], log=logging.getLogger("x"))
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.02, 0.05, 0.5])
async def test_a_kept_program_and_its_group_end_with_a_bridge_that_is_killed(
    tmp_path: Path, delay: float
) -> None:
    keys = str(tmp_path / "keys")
    bridge = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BRIDGE, keys, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert bridge.stdout is not None
    await bridge.stdout.readline()
    await asyncio.sleep(delay)
    bridge.kill()
    await bridge.wait()
    await until(lambda: not mentioning(keys))


async def test_killing_the_leash_itself_does_not_set_the_program_free(
    processes: Processes, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    child = await processes.keep(sh("echo $PPID $$ >$1; exec sleep 60", file), log=log)
    leash, pid = map(int, (await line(file)).split())
    os.kill(leash, signal.SIGKILL)
    async with asyncio.timeout(20):
        assert (await child.ended).code == -signal.SIGKILL
    await gone(pid)


async def test_a_command_inherits_neither_the_bridges_umask_nor_its_folder(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran, kept = tmp_path / "ran", tmp_path / "kept"
    script = "echo $(umask) $(pwd) >$1; exec sleep $2"
    umask = os.umask(0o077)
    try:
        await processes.run(sh(script, ran, 0), seconds=LONG, log=log)
        child = await processes.keep(sh(script, kept, 60), log=log)
    finally:
        os.umask(umask)
    for file in (ran, kept):
        assert await line(file) == "0022 /"
        assert file.stat().st_mode & 0o777 == 0o644
    await processes.end(child)


async def test_closing_ends_what_still_runs(processes: Processes, tmp_path: Path) -> None:
    kept, running = tmp_path / "kept", tmp_path / "running"
    await processes.keep(sh("echo $$ >$1; exec sleep 60", kept), log=log)
    task = asyncio.create_task(
        processes.run(sh("echo $$ >$1; exec sleep 60", running), seconds=LONG, log=log)
    )
    pids = [int(await line(file)) for file in (kept, running)]
    await processes.close()
    for pid in pids:
        await gone(pid)
    assert (await task).code == -signal.SIGTERM


async def test_a_machine_that_can_start_no_process_is_a_clear_failure(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETPRIV", ("/no/setpriv",))
    with pytest.raises(Failed, match="cannot start a process: No such file or directory"):
        await processes.run(["true"], seconds=LONG, log=log)
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(Failed, match="cannot start a process: No such file or directory"):
        await processes.keep(["true"], log=log)
