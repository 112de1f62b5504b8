"""The control socket: who may do what, and that nobody who misuses it harms the bridge."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge import control as module
from bridge.control import CLIENTS, CannotListen, Control
from bridge.homekit import HomeKit, Settings
from bridge.journal import Journal
from bridge.keeper import Keeper
from bridge.paths import Paths
from bridge.request import Peer
from tests.children import nothing_left, until
from tests.fakes.machine import FakeMachine, failure

NOBODY = 65534
CODE = "031-45-154"


@dataclass
class Served:
    """A control socket in front of two fake machines, with a real HomeKit behind it."""

    control: Control
    paths: Paths
    machines: dict[str, FakeMachine]
    keepers: dict[str, Keeper]

    async def ask(self, **request: Any) -> list[dict[str, Any]]:
        return await self.send(json.dumps(request).encode() + b"\n")

    async def send(self, said: bytes) -> list[dict[str, Any]]:
        """All the answers to these bytes."""
        async with self.client() as (reader, writer):
            writer.write(said)
            return [json.loads(line) async for line in reader]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_unix_connection(self.paths.socket)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def end_of(self, **request: Any) -> Any:
        (answer,) = await self.ask(**request)
        return answer["end"]

    async def error_of(self, **request: Any) -> str:
        (answer,) = await self.ask(**request)
        return str(answer["error"])


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    paths = Paths(state=folder)
    paths.keys.mkdir(mode=0o700)
    journal = Journal(paths.journal)
    machines = {"files": FakeMachine(False), "web": FakeMachine(True)}
    keepers: dict[str, Keeper] = {}
    control = Control(paths, keepers, {"files": "services", "web": "command"}, journal)
    for key, machine in machines.items():
        keepers[key] = Keeper(key, key.title(), machine, deadline=20, listeners=[journal, control])
    watching = [asyncio.create_task(keeper.run()) for keeper in keepers.values()]
    control.home = HomeKit(
        Settings("Test", "127.0.0.1", 0, CODE), list(keepers.values()), paths.keys, version="1"
    )
    await control.start()
    await asyncio.sleep(0.01)
    try:
        yield Served(control, paths, machines, keepers)
    finally:
        await control.stop()
        for keeper in keepers.values():
            await keeper.close()
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
        await journal.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


async def test_the_list_tells_every_tile_in_the_order_of_the_file(served: Served) -> None:
    served.machines["web"].become(None, reason="the bus is away")
    await asyncio.sleep(0.01)
    files, web = await served.end_of(verb="list")
    assert files.pop("since") > 1_600_000_000
    assert files == {
        "key": "files",
        "name": "Files",
        "kind": "services",
        "state": "off",
        "wish": None,
        "reason": "",
    }
    assert (web["kind"], web["state"], web["reason"]) == ("command", "unknown", "the bus is away")


async def test_the_list_tells_the_fact_and_the_wish_apart(served: Served) -> None:
    served.machines["files"].instant = False
    served.keepers["files"].wish(True, "Anna")
    files, _ = await served.end_of(verb="list")
    assert (files["state"], files["wish"]) == ("off", "on")


async def test_a_reason_with_terminal_sequences_reaches_nobody_as_such(served: Served) -> None:
    served.machines["web"].become(None, reason="\x1b[2J\nfooled")
    await asyncio.sleep(0.01)
    _, web = await served.end_of(verb="list")
    assert web["reason"] == "\\x1b[2J\\nfooled"
    refused = await served.end_of(verb="set", key="web", on=True)
    assert refused == {"outcome": "unavailable", "reason": "\\x1b[2J\\nfooled"}


async def test_a_wish_is_answered_with_its_outcome(served: Served) -> None:
    assert await served.end_of(verb="set", key="files", on=True) == {"outcome": "met", "reason": ""}
    assert served.machines["files"].on is True
    served.machines["files"].trouble = failure("smbd.service did not stop")
    assert await served.end_of(verb="set", key="files", on=False) == {
        "outcome": "failed",
        "reason": "smbd.service did not stop",
    }


async def test_who_waits_no_longer_than_told_hears_that_it_is_on_its_way(served: Served) -> None:
    served.machines["files"].instant = False
    assert await served.end_of(verb="set", key="files", on=True, wait=0.01) == {"outcome": None, "reason": ""}
    assert served.keepers["files"].current is not None


async def test_a_wish_that_another_one_takes_the_place_of_is_superseded(served: Served) -> None:
    served.machines["files"].instant = False
    first = asyncio.create_task(served.end_of(verb="set", key="files", on=True))
    await until(lambda: served.keepers["files"].current)
    served.keepers["files"].wish(False, "Siri")
    assert await first == {"outcome": "superseded", "reason": "Siri asked for off"}


async def test_who_hangs_up_takes_no_wish_back(served: Served) -> None:
    machine = served.machines["files"]
    machine.instant = False
    async with served.client() as (_, writer):
        writer.write(b'{"verb": "set", "key": "files", "on": true}\n')
        await until(lambda: machine.asked)
    await until(lambda: not served.control._clients)
    machine.finish()
    await until(lambda: machine.on)


async def test_the_journal_names_the_user_who_asked(served: Served) -> None:
    await served.end_of(verb="set", key="files", on=True)
    *rows, end = await served.ask(verb="journal", key="files")
    assert end == {"end": len(rows)}
    assert rows[-1]["outcome"] == "met"
    assert rows[-1]["who"].endswith(" (command line)")


async def test_the_journal_gives_no_more_rows_than_asked_for(served: Served) -> None:
    for on in (True, False, True, False):
        await served.end_of(verb="set", key="files", on=on)
    assert len(await served.ask(verb="journal", last=2)) == 2 + 1
    assert len(await served.ask(verb="journal", last=-1)) == 1 + 1
    assert len(await served.ask(verb="journal", last=1000)) == 4 + 1


async def test_the_journal_of_a_key_that_never_was_is_refused_and_of_one_that_is_gone_is_told(
    served: Served,
) -> None:
    (answer,) = await served.ask(verb="journal", key="nope")
    assert answer == {"error": "key", "reason": "there is no accessory 'nope'; `bellpull list` shows them"}
    await served.end_of(verb="set", key="web", on=False)
    del served.keepers["web"]
    *rows, _ = await served.ask(verb="journal", key="web")
    assert [row["new"] for row in rows] == ["off"]


async def test_a_follower_hears_what_happens_until_it_hangs_up(served: Served) -> None:
    async with served.client() as (reader, writer):
        writer.write(b'{"verb": "journal", "follow": true, "key": "files"}\n')
        await until(lambda: served.control._followers)
        served.machines["web"].become(False)
        served.machines["files"].become(True)
        assert json.loads(await reader.readline())["new"] == "on"
        assert len(served.control._followers) == 1
    await until(lambda: not served.control._followers and not served.control._clients)


@pytest.mark.parametrize(
    "said",
    [
        b"\n",
        b"hello\n",
        b"\x00\xff\xfe\n",
        b"[]\n",
        b'"list"\n',
        b"{}\n",
        b'{"verb": null}\n',
        b'{"verb": ["list"]}\n',
        b'{"verb": "reboot"}\n',
        b'{"verb": "set", "key": "files"}\n',
        b'{"verb": "set", "key": "files", "on": "false"}\n',
        b'{"verb": "set", "key": "files", "on": 1}\n',
        b'{"verb": "set", "key": ["files"], "on": true}\n',
        b'{"verb": "set", "key": "files", "on": true, "wait": NaN}\n',
        b'{"verb": "set", "key": "files", "on": true, "wait": Infinity}\n',
        b'{"verb": "set", "key": "files", "on": true, "wait": -1}\n',
        b'{"verb": "set", "key": "files", "on": true, "wait": 1' + 400 * b"0" + b"}\n",
        b'{"verb": "set", "key": "files", "on": true, "wait": "soon"}\n',
        b'{"verb": "journal", "key": ["x"]}\n',
        b'{"verb": "journal", "last": 1e99}\n',
        b'{"verb": "journal", "follow": "yes"}\n',
        b"[" * 60_000 + b"\n",
        b"x" * 70_000 + b"\n",
    ],
    ids=lambda said: said[:60].decode(errors="replace").strip(),
)
async def test_garbage_is_refused_and_changes_nothing(
    served: Served, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (answer,) = await served.send(said)
    assert answer["error"] == "request"
    assert answer["reason"].startswith("not a request this bridge understands: ")
    assert not served.machines["files"].asked
    assert not caplog.records
    assert len(await served.end_of(verb="list")) == 2


async def test_a_huge_number_of_rows_is_no_reason_to_fail(served: Served) -> None:
    assert (await served.send(b'{"verb": "journal", "last": 9' + 30 * b"9" + b"}\n")) == [{"end": 0}]


NOT_UNDERSTOOD = "not a request this bridge understands"


async def test_a_key_that_is_foreign_text_comes_back_fit_for_a_terminal(served: Served) -> None:
    (answer,) = await served.ask(verb="set", key="\x1b]0;x\x07", on=True)
    assert answer["error"] == "key" and answer["reason"].isprintable()
    for verb in ("set", "journal"):
        (answer,) = await served.ask(verb=verb, key="\ud800", on=True)
        assert answer == {"error": "request", "reason": f"{NOT_UNDERSTOOD}: key is no text"}


async def test_what_comes_after_a_request_does_not_take_its_answer_away(served: Served) -> None:
    (answer,) = await served.send(b'{"verb": "list"}\n\nmore\n')
    assert "end" in answer


async def test_a_client_that_says_nothing_is_sent_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    (answer,) = await served.send(b'{"verb": "li')
    assert answer["reason"].endswith("nothing was asked")
    await until(lambda: not served.control._clients)


async def test_a_bug_behind_the_socket_is_logged_and_told_and_ends_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "describe", lambda *_: 1 // 0)
    (answer,) = await served.ask(verb="list")
    assert answer == {
        "error": "bug",
        "reason": "ZeroDivisionError: integer division or modulo by zero; see the log of the bridge",
    }
    assert "a request of the command line failed" in caplog.text
    assert (await served.end_of(verb="set", key="web", on=False))["outcome"] == "met"


async def test_when_all_places_are_taken_others_hear_so_and_root_is_still_served(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [await asyncio.open_unix_connection(served.paths.socket) for _ in range(CLIENTS)]
    await until(lambda: len(served.control._clients) == CLIENTS)
    monkeypatch.setattr(Peer, "of", lambda _: Peer(NOBODY))
    assert await served.error_of(verb="list") == "busy"
    monkeypatch.setattr(Peer, "of", lambda _: Peer(0))
    assert len(await served.end_of(verb="list")) == 2
    for _, writer in silent:
        writer.close()
    await until(lambda: not served.control._clients)
    monkeypatch.setattr(Peer, "of", lambda _: Peer(NOBODY))
    assert len(await served.end_of(verb="list")) == 2


async def test_stopping_hangs_up_on_everybody_and_leaves_nothing(tmp_path: Path) -> None:
    async with nothing_left():
        async with serving(tmp_path) as served, served.client() as (reader, writer):
            writer.write(b'{"verb": "journal", "follow": true}\n')
            await until(lambda: served.control._followers)
            served.machines["files"].become(True)
            assert json.loads(await reader.readline())["new"] == "on"
            await served.control.stop()
            assert await reader.read() == b""
        assert not served.paths.socket.exists()
        await asyncio.sleep(0.05)


async def test_a_socket_that_a_killed_bridge_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    tmp_path.joinpath("control.sock").touch()
    async with serving(tmp_path) as served:
        assert await served.end_of(verb="list")
        assert served.paths.socket.stat().st_mode & 0o777 == 0o660
        assert served.paths.secret.stat().st_mode & 0o777 == 0o600


async def test_a_path_too_long_for_a_socket_is_one_clear_line(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 100)
    with pytest.raises(CannotListen, match=r"bytes are too long for a socket.*shorter --state-dir"):
        await Control(Paths(state=state), {}, {}, Journal(tmp_path / "j")).start()


async def test_a_secret_that_cannot_be_written_stops_no_bridge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths(state=tmp_path)
    journal = Journal(tmp_path / "j")
    control = Control(paths, {}, {}, journal)
    await control.start()  # there is no folder for keys
    assert "need sudo now" in caplog.text
    await control.stop()
    await journal.close()


# Who may do what

SECRETS = [{"verb": "pair"}, {"verb": "reset"}, {"verb": "unlock"}, {"verb": "forget", "key": "old"}]


def as_user(uid: int, path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The answer another user gets, asked in a process of its own."""
    script = (
        "import os, socket, sys; uid, path, request = sys.argv[1:];"
        "os.setgroups([]); os.setgid(int(uid)); os.setuid(int(uid));"
        "s = socket.socket(socket.AF_UNIX); s.connect(path); s.sendall(request.encode() + b'\\n');"
        "sys.stdout.write(s.makefile().readline())"
    )
    command = [sys.executable, "-ISc", script, str(uid), str(path), json.dumps(request)]
    ended = subprocess.run(command, capture_output=True, timeout=60, cwd="/", check=True)
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


@pytest.fixture
async def open_to_others() -> AsyncIterator[Served]:
    """A socket that everyone may reach, as the members of the group reach the real one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        async with serving(Path(folder)) as served:
            served.paths.socket.chmod(0o666)
            yield served


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("this machine has no second user for an ordinary one to be")


async def test_a_member_of_the_group_may_list_set_and_read_the_journal(open_to_others: Served) -> None:
    need_root()
    socket = open_to_others.paths.socket
    listed = await asyncio.to_thread(as_user, NOBODY, socket, {"verb": "list"})
    assert len(listed["end"]) == 2
    answer = await asyncio.to_thread(as_user, NOBODY, socket, {"verb": "set", "key": "files", "on": True})
    assert answer["end"]["outcome"] == "met"
    row = await asyncio.to_thread(as_user, NOBODY, socket, {"verb": "journal", "key": "files", "last": 1})
    assert row["who"] == "nobody (command line)"


@pytest.mark.parametrize("request_", SECRETS, ids=lambda request: request["verb"])
async def test_a_member_of_the_group_sees_no_codes_and_changes_no_pairings(
    open_to_others: Served, request_: dict[str, Any]
) -> None:
    need_root()
    secret = open_to_others.paths.secret.read_text()  # even if it had been told
    for more in ({}, {"secret": secret}):
        answer = await asyncio.to_thread(as_user, NOBODY, open_to_others.paths.socket, {**request_, **more})
        assert answer["error"] == "denied"
        assert CODE not in json.dumps(answer)


@pytest.mark.parametrize("request_", SECRETS, ids=lambda request: request["verb"])
async def test_the_bridges_own_user_needs_the_secret_that_commands_cannot_read(
    served: Served, request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getuid", lambda: NOBODY)
    monkeypatch.setattr(Peer, "of", lambda _: Peer(NOBODY))
    for wrong in (None, "", "x" * 64, "ü"):
        assert await served.error_of(**request_, secret=wrong) == "denied"
    right = served.paths.secret.read_text()
    (answer,) = await served.ask(**request_, secret=right)
    assert "end" in answer or answer["error"] == "key"


async def test_who_owns_the_bridge_sees_code_and_pairings(served: Served) -> None:
    answer = await served.end_of(verb="pair", secret=served.paths.secret.read_text())
    assert (answer["code"], answer["paired"], answer["locked"]) == (CODE, False, False)
    assert answer["uri"].startswith("X-HM://")
    assert answer["pairings"] == []


async def test_only_what_is_gone_from_the_configuration_can_be_forgotten(served: Served) -> None:
    secret = served.paths.secret.read_text()
    assert await served.error_of(verb="forget", key="files", secret=secret) == "configured"
    assert await served.error_of(verb="forget", key="never", secret=secret) == "key"


async def test_while_the_bridge_starts_who_asks_too_early_hears_so(served: Served) -> None:
    served.control.home = None
    assert await served.error_of(verb="pair", secret=served.paths.secret.read_text()) == "starting"
