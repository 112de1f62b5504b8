"""Commands as a tile: the exit code decides, one at a time, and the tile never claims what nobody checked."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import accessories.command as module
from accessories.command import Command
from bridge.contract import Accessory, CommandGrant, Denied, Failed, Refused, State, Unavailable, Vitals
from bridge.keeper import Keeper
from bridge.tools import Tools
from tests.children import gone, line, nothing_left, until


def sh(script: str, *arguments: object) -> tuple[str, ...]:
    return ("sh", "-c", script, "sh", *map(str, arguments))


# What a person writes


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (Command(), "on"),
        (Command(state=("x",)), "on"),
        (Command(on=("x",), state=("x",)), "state"),
        (Command(off=("x",), state=("x",)), "state"),
        (Command(run=("x",), on=("x",)), "on"),
        (Command(run=("x",), off=("x",)), "off"),
        (Command(run=("x",), state=("x",)), "state"),
        (Command(run=("x",), privileged=True), "privileged"),
        (Command(privileged=True), "on"),
        (Command(on=("x",), off=("x",), poll=5.0), "poll"),
        (Command(on=("x",), off=("x",), watch=("/x",)), "watch"),
        (Command(on=("x",), off=("x",), state=("x",), poll=0.5), "poll"),
        (Command(on=("x",), off=("x",), state=("x",), watch=("x/y",)), "watch"),
    ],
)
def test_what_does_not_go_together_is_told_at_its_field(command: Command, field: str) -> None:
    ((where, what),) = command.problems()
    assert where == field
    assert "; " in what  # what is wrong; what to write


@pytest.mark.parametrize(
    "command",
    [
        Command(on=("x",)),
        Command(off=("x",), privileged=True),
        Command(on=("x",), off=("x",)),
        Command(on=("x",), off=("x",), state=("x",), poll=1.0, watch=("/x",), privileged=True),
        Command(run=("x",)),
    ],
)
def test_what_goes_together_is_taken(command: Command) -> None:
    assert list(command.problems()) == []


def test_only_a_privileged_command_asks_for_root() -> None:
    command = Command(on=("a",), off=("b",), timeout=3.0, privileged=True)
    assert list(command.grants("lamp")) == [CommandGrant("lamp", ("a",), ("b",), 3.0)]
    assert list(Command(on=("a",)).grants("lamp")) == []


# What it does


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    async with nothing_left():
        tools = Tools(tmp_path / "keys")
        yield tools
        await tools.close()


@dataclass
class Lamp:
    """Something real that commands move: on while a file exists; `ran` counts the commands."""

    folder: Path
    on: tuple[str, ...] = field(init=False)
    off: tuple[str, ...] = field(init=False)
    state: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.on = sh("echo on >>$2; touch $1", self.file, self.log)
        self.off = sh("echo off >>$2; rm $1", self.file, self.log)
        self.state = sh("echo state >>$2; test -e $1", self.file, self.log)

    @property
    def file(self) -> Path:
        return self.folder / "lit"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    @property
    def lit(self) -> bool:
        return self.file.exists()


@pytest.fixture
def lamp(tmp_path: Path) -> Lamp:
    return Lamp(tmp_path)


class Sight:
    """What watch() has said so far."""

    def __init__(self) -> None:
        self.states: list[State] = []

    @property
    def on(self) -> list[bool | None]:
        return [state.on for state in self.states]


@asynccontextmanager
async def seen(accessory: Accessory) -> AsyncIterator[Sight]:
    sight = Sight()

    async def look() -> None:
        states = accessory.watch()
        try:
            async for state in states:
                sight.states.append(state)
        finally:
            assert isinstance(states, AsyncGenerator)
            await states.aclose()

    looking = asyncio.create_task(look())
    await until(lambda: sight.states or looking.done())
    try:
        yield sight
    finally:
        looking.cancel()
        await asyncio.wait({looking})
        if not looking.cancelled():
            looking.result()


async def test_a_toggle_runs_the_command_and_answers_what_state_says(tools: Tools, lamp: Lamp) -> None:
    tile = Command(on=lamp.on, off=lamp.off, state=lamp.state).open("lamp", tools)
    assert tile.rest is None
    assert await tile.set(True) == State(True)
    assert lamp.lit
    assert await tile.set(False) == State(False)
    assert not lamp.lit


async def test_what_is_so_already_is_not_done_again(tools: Tools, lamp: Lamp) -> None:
    tile = Command(on=lamp.on, off=lamp.off, state=lamp.state).open("lamp", tools)
    lamp.file.touch()
    assert await tile.set(True) == State(True)
    assert lamp.ran == ["state"]


async def test_without_state_the_tile_shows_what_last_succeeded(tools: Tools, lamp: Lamp) -> None:
    tile = Command(on=lamp.on, off=sh("exit 9")).open("lamp", tools)
    async with seen(tile) as sight:
        assert sight.on == [False]
        assert await tile.set(True) == State(True)
        with pytest.raises(Failed, match=r"^exit code 9$"):
            await tile.set(False)
        await until(lambda: len(sight.on) > 1)
        assert sight.on[-1] is True


async def test_a_state_that_follows_late_is_waited_for(tools: Tools, lamp: Lamp) -> None:
    slowly = sh("(sleep 0.3; touch $1) >/dev/null 2>&1 &", lamp.file)
    tile = Command(on=slowly, off=lamp.off, state=lamp.state).open("lamp", tools)
    assert await tile.set(True) == State(True)


async def test_a_command_that_succeeds_without_effect_is_not_believed(
    tools: Tools, lamp: Lamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CATCH_UP", (0.0, 0.01))
    tile = Command(on=("true",), off=lamp.off, state=lamp.state).open("lamp", tools)
    assert await tile.set(True) == State(False)


async def test_a_failure_says_the_exit_code_and_the_last_line_of_stderr(tools: Tools, lamp: Lamp) -> None:
    tile = Command(on=sh("echo 'no\033[1m bulb' >&2; exit 3"), off=lamp.off, state=lamp.state).open(
        "k", tools
    )
    with pytest.raises(Failed) as caught:
        await tile.set(True)
    assert str(caught.value) == r"exit code 3: no\x1b[1m bulb"


async def test_stderr_is_no_verdict(tools: Tools, lamp: Lamp) -> None:
    tile = Command(on=sh("echo error >&2"), off=("true",)).open("lamp", tools)
    assert await tile.set(True) == State(True)


async def test_a_late_command_is_a_failure_and_what_it_did_is_seen(tools: Tools, lamp: Lamp) -> None:
    on = sh("touch $1; sleep 60", lamp.file)
    tile = Command(on=on, off=lamp.off, state=lamp.state, timeout=0.5).open("lamp", tools)
    async with seen(tile) as sight:
        with pytest.raises(Failed, match=r"did not finish in 0\.5 s and was ended"):
            await tile.set(True)
        await until(lambda: sight.on[-1] is True)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (("/no/such",), "cannot run /no/such: No such file or directory"),
        (sh("no-such-program"), "exit code 127: sh: 1: no-such-program: not found"),
        (sh("kill -KILL $$"), "killed by SIGKILL"),
        (("sleep", "60"), "did not finish in 0.5 s and was ended"),
    ],
)
async def test_a_state_that_cannot_tell_is_unknown_and_nothing_is_run(
    tools: Tools, lamp: Lamp, state: tuple[str, ...], reason: str
) -> None:
    tile = Command(on=lamp.on, off=lamp.off, state=state, timeout=0.5).open("lamp", tools)
    async with seen(tile) as sight:
        assert sight.states == [State(None, reason=f"its state is unknown: {reason}")]
        with pytest.raises(Unavailable, match=reason):
            await tile.set(True)
    assert lamp.ran == []


async def test_an_unknown_state_comes_back_by_itself(
    tools: Tools, lamp: Lamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.05)
    program = lamp.folder / "program"
    tile = Command(on=lamp.on, off=lamp.off, state=(str(program),)).open("lamp", tools)
    async with seen(tile) as sight:
        assert sight.on == [None]
        fresh = lamp.folder / "fresh"
        fresh.write_text("#!/bin/sh\nexit 0\n")
        fresh.chmod(0o755)
        fresh.rename(program)
        await until(lambda: sight.on[-1] is True)


async def test_a_change_of_a_watched_path_is_seen_without_polling(tools: Tools, lamp: Lamp) -> None:
    tile = Command(on=lamp.on, off=lamp.off, state=lamp.state, watch=(str(lamp.file),)).open("lamp", tools)
    async with seen(tile) as sight:
        assert sight.on == [False]
        lamp.file.touch()
        await until(lambda: sight.on[-1] is True)
        lamp.file.unlink()
        await until(lambda: sight.on[-1] is False)
        await asyncio.sleep(3 * module.CALM)
        runs = len(lamp.ran)
        await asyncio.sleep(3 * module.CALM)
        assert len(lamp.ran) == runs


async def test_a_state_that_touches_what_is_watched_is_no_busy_loop(tools: Tools, lamp: Lamp) -> None:
    state = sh("echo state >>$1; date >$2", lamp.log, lamp.file)
    tile = Command(on=lamp.on, off=lamp.off, state=state, watch=(str(lamp.file),)).open("lamp", tools)
    async with seen(tile):
        await asyncio.sleep(1.0)
    assert len(lamp.ran) <= 1.0 / module.CALM + 1


async def test_polls_come_after_a_pause_and_never_overlap(tools: Tools, lamp: Lamp) -> None:
    state = sh(
        "test -e $2 && echo overlap >>$1; touch $2; sleep 0.2; rm $2; echo done >>$1; exit 1",
        lamp.log,
        lamp.file,
    )
    tile = Command(on=("true",), off=("true",), state=state, poll=0.01).open("lamp", tools)
    async with seen(tile):
        await until(lambda: len(lamp.ran) >= 4)
        await tile.set(False)
    assert set(lamp.ran) == {"done"}


async def test_a_poll_waits_while_a_set_runs(tools: Tools, lamp: Lamp) -> None:
    on = sh("echo begin >>$2; sleep 0.4; touch $1; echo end >>$2", lamp.file, lamp.log)
    tile = Command(on=on, off=lamp.off, state=lamp.state, poll=0.02).open("lamp", tools)
    async with seen(tile):
        await tile.set(True)
    ran = lamp.ran
    assert ran[ran.index("begin") + 1] == "end"


@pytest.mark.parametrize("on", [True, False])
async def test_a_push_button_runs_its_command_and_is_back_at_rest(tools: Tools, lamp: Lamp, on: bool) -> None:
    tile = (Command(on=lamp.on) if on else Command(off=lamp.on)).open("lamp", tools)
    assert tile.rest is not on
    async with seen(tile) as sight:
        assert await tile.set(on) == State(not on)
        assert await tile.set(not on) == State(not on)
        assert sight.on == [not on]
    assert lamp.ran == ["on"]


async def test_a_push_button_that_fails_says_so(tools: Tools) -> None:
    with pytest.raises(Failed, match="exit code 4"):
        await Command(on=sh("exit 4")).open("lamp", tools).set(True)


class FakeRoot:
    """The unprivileged end of the helper, answering as it is told."""

    def __init__(self, lamp: Lamp) -> None:
        self.lamp = lamp
        self.calls: list[tuple[str, str]] = []
        self.trouble: Exception | None = None

    async def call(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        if self.trouble:
            raise self.trouble
        if verb == "command-on":
            self.lamp.file.touch()
        else:
            self.lamp.file.unlink()


async def test_a_privileged_command_is_roots_to_run_and_its_state_is_not(tools: Tools, lamp: Lamp) -> None:
    tools.__dict__["root"] = root = FakeRoot(lamp)
    command = Command(on=("false",), off=("false",), state=lamp.state, privileged=True)
    tile = command.open("lamp", tools)
    assert await tile.set(True) == State(True)
    assert await tile.set(False) == State(False)
    assert root.calls == [("command-on", "lamp"), ("command-off", "lamp")]
    assert set(lamp.ran) == {"state"}
    root.trouble = Denied("sudo does not allow it")
    with pytest.raises(Denied):
        await tile.set(True)


# A program of our own


async def test_run_is_on_while_its_program_lives(tools: Tools, tmp_path: Path) -> None:
    tile = Command(run=sh("echo $$ >$1; exec sleep 60", tmp_path / "pid")).open("web", tools)
    assert tile.rest is None
    async with seen(tile) as sight:
        assert await tile.set(False) == State(False)
        assert await tile.set(True) == State(True)
        pid = int(await line(tmp_path / "pid"))
        assert await tile.set(True) == State(True)
        assert int(await line(tmp_path / "pid")) == pid
        assert await tile.set(False) == State(False)
        await gone(pid)
        await until(lambda: sight.on[-1] is False)
        assert not any(state.died for state in sight.states)


@pytest.mark.parametrize(
    ("fate", "state"),
    [
        ("exit 0", State(False, reason="it ended by itself: exit code 0")),
        (
            "echo broken >&2; exit 3",
            State(False, died=True, reason="it ended by itself: exit code 3: broken"),
        ),
        ("kill -KILL $$", State(False, died=True, reason="it ended by itself: killed by SIGKILL")),
    ],
)
async def test_a_program_that_ends_by_itself_is_off_and_stays_off(
    tools: Tools, tmp_path: Path, fate: str, state: State
) -> None:
    go = tmp_path / "go"
    tile = Command(run=sh(f"while [ ! -e $1 ]; do sleep 0.02; done; {fate}", go)).open("web", tools)
    async with seen(tile) as sight:
        await tile.set(True)
        go.touch()
        await until(lambda: sight.states[-1] == state)
        go.unlink()
        assert await tile.set(True) == State(True)
        await tile.set(False)


async def test_a_program_that_ends_at_once_was_never_on(tools: Tools) -> None:
    tile = Command(run=sh("echo 'port in use' >&2; exit 1")).open("web", tools)
    async with seen(tile) as sight:
        with pytest.raises(Failed, match=r"^it ended at once: exit code 1: port in use$"):
            await tile.set(True)
        assert sight.on == [False]


async def test_turned_on_while_it_still_ends_it_is_started_anew(tools: Tools, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = "trap 'sleep 0.5; exit' TERM; echo $$ >$1; while :; do sleep 0.05; done"
    tile = Command(run=sh(script, file)).open("web", tools)
    await tile.set(True)
    pid = int(await line(file))
    ending = asyncio.create_task(tile.set(False))
    await asyncio.sleep(0.1)
    ending.cancel()
    assert await tile.set(True) == State(True)
    await gone(pid)
    await until(lambda: file.read_text().strip() != str(pid))
    await tile.set(False)


async def test_a_start_that_is_called_off_leaves_nothing(tools: Tools, tmp_path: Path) -> None:
    tile = Command(run=sh("echo $$ >$1; exec sleep 60", tmp_path / "pid")).open("web", tools)
    starting = asyncio.create_task(tile.set(True))
    pid = int(await line(tmp_path / "pid"))
    starting.cancel()
    await asyncio.wait({starting})
    await gone(pid)
    assert await tile.set(False) == State(False)


# Under the Keeper


async def test_a_superseded_command_is_ended_and_the_last_wish_wins(tools: Tools, lamp: Lamp) -> None:
    on = sh("echo $$ >$2; sleep 60; touch $1", lamp.file, lamp.folder / "pid")
    tile = Command(on=on, off=lamp.off, state=lamp.state).open("lamp", tools)
    keeper = Keeper("lamp", "Lamp", tile, deadline=60.0)
    watching = asyncio.create_task(keeper.run())
    await until(lambda: keeper.state.on is False)
    first = keeper.wish(True, "phone")
    pid = int(await line(lamp.folder / "pid"))
    second = keeper.wish(False, "phone")
    async with asyncio.timeout(30):
        assert [(await wish.verdict).outcome for wish in (first, second)] == ["superseded", "met"]
    await gone(pid)
    assert (keeper.shown, lamp.lit) == (False, False)
    watching.cancel()
    await keeper.close()
    await asyncio.wait({watching})


async def test_a_child_killed_from_outside_is_a_failure_and_no_hang(tools: Tools, lamp: Lamp) -> None:
    on = sh("echo $$ >$1; exec sleep 60", lamp.folder / "pid")
    tile = Command(on=on, off=("true",)).open("lamp", tools)
    turning = asyncio.create_task(tile.set(True))
    os.kill(int(await line(lamp.folder / "pid")), signal.SIGKILL)
    with pytest.raises(Failed, match=r"^killed by SIGKILL$"):
        await turning


async def test_a_running_program_is_restarted_and_its_own_process_is_what_to_measure(
    tools: Tools, tmp_path: Path
) -> None:
    command = Command(run=sh("echo $$ >>$1; exec sleep 60", tmp_path / "pids"))
    assert command.can_restart and command.vital == {"cpu", "memory"}
    tile = command.open("web", tools)
    await tile.set(True)
    first = await line(tmp_path / "pids")
    assert await tile.vitals() == Vitals(pids=(int(first),))
    assert (await tile.restart()).on is True
    await gone(int(first))
    await until(lambda: len((tmp_path / "pids").read_text().split()) == 2)
    assert await tile.vitals() == Vitals(pids=(int((tmp_path / "pids").read_text().split()[1]),))
    await tile.set(False)


async def test_a_restart_starts_no_program_that_is_off(tools: Tools) -> None:
    tile = Command(run=("sleep", "60")).open("web", tools)
    with pytest.raises(Refused, match="does not run"):
        await tile.restart()
    assert await tile.vitals() == Vitals()
    assert not Command(on=("x",)).can_restart and not Command(on=("x",)).vital
