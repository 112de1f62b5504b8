"""The whole bridge, run as a person runs it: a real process, real commands, real phones."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from aiohomekit.exceptions import AccessoryDisconnectedError, AuthenticationError

from tests.bridge import Bridge, placed, running
from tests.children import until

UNREACHABLE = -70402
CHECKOUT = Path(__file__).parents[2]


def switch(folder: Path, key: str, **more: str) -> str:
    """A tile of real commands: on as long as a file exists."""
    file = folder / key
    fields = {
        "kind": "command",
        "on": f"[touch, {file}]",
        "off": f"[rm, -f, {file}]",
        "state": f"[test, -e, {file}]",
        "watch": f"[{file}]",
    } | more
    return f"  {key}:\n" + "".join(f"    {name}: {value}\n" for name, value in fields.items() if value)


@pytest.fixture
async def lamp(tmp_path: Path) -> AsyncIterator[Bridge]:
    """A bridge with one switch."""
    async with running(switch(tmp_path, "lamp"), tmp_path) as bridge:
        yield bridge


async def eventually(true: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await true():
            await asyncio.sleep(0.02)


# Tiles


async def test_a_phone_toggles_a_tile_and_hears_what_happens_outside(lamp: Bridge, tmp_path: Path) -> None:
    phone = await lamp.paired_phone()
    tile = await phone.tile("Lamp")
    assert (await tile.turn(True)).status == 0
    assert (tmp_path / "lamp").exists() and await tile.is_on()
    async with phone.watching(tile.id) as heard:
        (tmp_path / "lamp").unlink()
        await heard.wait_for(tile.id, False)
    asked, seen = await lamp.story("lamp")
    assert (asked["wanted"], asked["outcome"], asked["old"], asked["new"]) == ("on", "met", "off", "on")
    assert asked["took"] > 0 and asked["who"] not in ("observed", "")
    assert (seen["who"], seen["old"], seen["new"], seen["wanted"]) == ("observed", "on", "off", None)


async def test_the_demo_runs_as_make_run_runs_it_and_its_tiles_do_something(tmp_path: Path) -> None:
    demo = (CHECKOUT / "bridge/demo.yaml").read_text().partition("accessories:\n")[2]
    web_port, note = str(socket_port()), str(tmp_path / "note")
    demo = demo.replace("8642", web_port).replace("/tmp/bellpull-demo-note", note)
    async with running(demo, tmp_path) as bridge:
        await until(lambda: "type the setup code" in bridge.log and "Add Anyway" in bridge.log)
        phone = await bridge.paired_phone()
        web, clock = await phone.tile("Web Server"), await phone.tile("Clock")
        assert (await web.turn(True)).status == 0
        await eventually(lambda: answers(int(web_port)))
        keys = f"http://127.0.0.1:{web_port}{bridge.state}/keys/homekit.json"
        with pytest.raises(HTTPError, match="404") as refused:
            await asyncio.to_thread(urlopen, keys)
        refused.value.close()
        assert (await (await phone.tile("Note")).turn(True)).status == 0 and Path(note).exists()
        async with phone.watching(clock.id) as heard:
            assert (await clock.turn(True)).status == 0
            await heard.wait_for(clock.id, False)  # a button turns itself off
        (press,) = await bridge.story("clock")
        assert (press["wanted"], press["outcome"], press["old"], press["new"]) == ("on", "met", "off", "off")
        assert await bridge.end() == 0
        assert not await answers(int(web_port))  # the web server ends with the bridge


def socket_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_broken_entry_stays_and_does_not_respond_while_the_others_work(tmp_path: Path) -> None:
    text = switch(tmp_path, "lamp") + "  fan: {kind: command, on: [x], timeout: soon}\n"
    async with running(text, tmp_path) as bridge:
        problem = "accessories.fan.timeout: 'soon' is not a duration; write it like 30s, 5m or 1.5 (seconds)"
        assert bridge.log.count(problem) == 1
        phone = await bridge.paired_phone()
        fan, working = await phone.tile("Fan"), await phone.tile("Lamp")
        reading = (await phone.get([fan.id]))[fan.id]
        assert reading.status == UNREACHABLE
        scene = await phone.put([(*fan.id, True), (*working.id, True)])
        assert scene.statuses == {fan.id: UNREACHABLE, working.id: 0}
        row = (await bridge.tiles())["fan"]
        assert (row["state"], row["kind"]) == ("unknown", "command")
        assert row["reason"].startswith("'soon' is not a duration")
        assert (await bridge.cli("set", "fan", "on")).code == 3


async def test_a_tile_that_ignores_bulk_stays_on_when_everything_is_turned_off(tmp_path: Path) -> None:
    keys = ("one", "two", "three")
    text = switch(tmp_path, "vpn", bulk="ignore") + "".join(switch(tmp_path, key) for key in keys)
    async with running(text, tmp_path) as bridge:
        phone = await bridge.paired_phone()
        tiles = [await phone.tile(name) for name in ("Vpn", "One", "Two", "Three")]
        await phone.put([(*tile.id, True) for tile in tiles])
        answer = await phone.put([(*tile.id, False) for tile in tiles])
        assert [answer.statuses[tile.id] for tile in tiles] == [-70412, 0, 0, 0]
        assert [await tile.is_on() for tile in tiles] == [True, False, False, False]
        assert (await bridge.story("vpn"))[-1]["outcome"] == "refused"
        assert (await tiles[0].turn(False)).status == 0  # alone it is meant


async def test_a_deadline_ends_a_wish_and_a_trouble_sensor_tells_the_phone(tmp_path: Path) -> None:
    text = switch(tmp_path, "slow", on="[sleep, '60']", timeout="30s", deadline="1s", trouble="true")
    async with running(text, tmp_path) as bridge:
        phone = await bridge.paired_phone()
        names = [
            item["value"]
            for accessory in await phone.accessories()
            for service in accessory["services"]
            for item in service["characteristics"]
            if item["type"].startswith("00000023")
        ]
        assert "Slow Trouble" in names
        sensor = next(
            (accessory["aid"], item["iid"])
            for accessory in await phone.accessories()
            for service in accessory["services"]
            for item in service["characteristics"]
            if item["type"].startswith("0000006A")  # ContactSensorState
        )
        async with phone.watching(sensor) as heard:
            ran = await bridge.cli("set", "slow", "on")
            await heard.wait_for(sensor, 1)
        assert (ran.code, ran.out) == (4, "")
        assert ran.err == "bellpull: slow: late: the deadline has passed\n"
        assert (await bridge.story("slow"))[-1]["outcome"] == "late"


# Identity


async def test_a_restart_keeps_pairing_ids_and_setup_code(lamp: Bridge) -> None:
    code = await lamp.code()
    phone = await lamp.paired_phone()
    tile = await phone.tile("Lamp")
    for number in (signal.SIGTERM, signal.SIGKILL):
        await lamp.restart(number)
        assert (await tile.turn(True)).status == 0
        assert (await phone.tile("Lamp")).id == tile.id
        assert await lamp.code() == code


async def test_renaming_and_reordering_change_nothing_but_the_name(tmp_path: Path) -> None:
    text = switch(tmp_path, "lamp") + switch(tmp_path, "fan")
    async with running(text, tmp_path) as bridge:
        phone = await bridge.paired_phone()
        lamp, fan = await phone.tile("Lamp"), await phone.tile("Fan")
        bridge.configure(
            switch(tmp_path, "new") + switch(tmp_path, "fan", name="Cooler") + switch(tmp_path, "lamp")
        )
        await bridge.restart()
        assert (await phone.tile("Lamp")).id == lamp.id
        assert (await phone.tile("Cooler")).id == fan.id
        assert (await phone.tile("New")).id not in (lamp.id, fan.id)


async def test_a_removed_accessory_stays_and_does_not_respond_until_it_is_forgotten(tmp_path: Path) -> None:
    text = switch(tmp_path, "lamp") + switch(tmp_path, "fan")
    async with running(text, tmp_path) as bridge:
        phone = await bridge.paired_phone()
        fan = await phone.tile("Fan")
        bridge.configure(switch(tmp_path, "lamp"))
        await bridge.restart()
        assert (await phone.get([fan.id]))[fan.id].status == UNREACHABLE
        assert (await bridge.tiles())["fan"]["kind"] == "removed"
        refused = await bridge.cli("forget", "lamp")
        assert refused.code == 1 and "is in the configuration; remove it there" in refused.err
        ran = await bridge.cli("forget", "fan")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out == "fan is forgotten; the Home app drops it with its room and automations\n"
        with pytest.raises(LookupError):
            await phone.tile("Fan")
        bridge.configure(text)
        await bridge.restart()
        assert (await phone.tile("Fan")).id != fan.id  # one that was forgotten comes back as another


async def test_pair_shows_code_and_pairings_and_reset_removes_them(lamp: Bridge) -> None:
    first = await lamp.cli("pair")
    assert first.code == 0 and "█" in first.out and "Paired" not in first.out
    phone = await lamp.paired_phone()
    paired = await lamp.cli("pair")
    assert "Paired; another phone joins" in paired.out and "admin" in paired.out
    assert (await lamp.cli("pair", "--unlock")).code == 0
    assert (await lamp.cli("pair", "--reset")).code == 0
    assert "Paired" not in (await lamp.cli("pair")).out
    with pytest.raises((AuthenticationError, AccessoryDisconnectedError, TimeoutError)):
        async with asyncio.timeout(5):
            await phone.tile("Lamp")
    stranger = await lamp.paired_phone()
    assert await stranger.tile("Lamp")


# The command line


async def test_set_says_how_a_wish_ended_by_its_exit_code(tmp_path: Path) -> None:
    text = (
        switch(tmp_path, "lamp")
        + switch(tmp_path, "stuck", on="[sh, -c, 'echo no \\x1b[31mway >&2; exit 5']".replace("'", '"'))
        + switch(tmp_path, "slow", on="[sleep, '60']", timeout="70s")
        + switch(tmp_path, "gone", state="[/no/such/program]", watch="")
    )
    async with running(text, tmp_path) as bridge:
        done = await bridge.cli("set", "lamp", "on")
        assert (done.code, done.out, done.err) == (0, "lamp is on\n", "")
        failed = await bridge.cli("set", "stuck", "on")
        assert (failed.code, failed.out) == (1, "")
        assert failed.err == "bellpull: stuck: failed: exit code 5: no \\x1b[31mway\n"
        unavailable = await bridge.cli("set", "gone", "on")
        assert unavailable.code == 3 and "gone: unavailable: its state is unknown: " in unavailable.err
        waited = await bridge.cli("set", "slow", "on", "--wait", "0.2")
        assert (waited.code, waited.err) == (4, "bellpull: slow: still on its way\n")
        assert (await bridge.cli("set", "slow", "off")).code == 0
        waiting = asyncio.create_task(bridge.cli("set", "slow", "on"))
        await eventually(lambda: wished(bridge, "slow"))
        assert (await bridge.cli("set", "slow", "off")).code == 0
        superseded = await waiting
        assert superseded.code == 1 and "slow: superseded: " in superseded.err
        unknown = await bridge.cli("set", "nope", "on")
        assert unknown.code == 2
        assert unknown.err == "bellpull: there is no accessory 'nope'; `bellpull list` shows them\n"
        assert "\x1b" not in bridge.log + (await bridge.cli("list")).out + (await bridge.cli("journal")).out


async def wished(bridge: Bridge, key: str) -> bool:
    return (await bridge.tiles())[key]["wish"] is not None


async def test_list_and_journal_are_tables_for_people_and_json_for_programs(lamp: Bridge) -> None:
    head, line = (await lamp.cli("list")).out.splitlines()
    assert head.split() == ["KEY", "NAME", "KIND", "STATE", "WISH", "SINCE", "REASON"]
    assert line.split()[:4] == ["lamp", "Lamp", "command", "off"]
    assert set((await lamp.tiles())["lamp"]) == {"key", "name", "kind", "state", "wish", "reason", "since"}
    await lamp.cli("set", "lamp", "on")
    await lamp.cli("set", "lamp", "off")
    (line,) = (await lamp.cli("journal", "--lines", "1")).out.splitlines()
    assert "lamp" in line and "turn off: met in " in line and "(command line)" in line
    assert [row["wanted"] for row in await lamp.story()] == ["on", "off"]
    unknown = await lamp.cli("journal", "nope")
    assert unknown.code == 2 and "there is no accessory 'nope'" in unknown.err


async def test_journal_follow_shows_what_happens_until_it_is_interrupted(lamp: Bridge) -> None:
    follower = lamp.begin("journal", "--follow", "--json")
    assert follower.stdout is not None
    await asyncio.sleep(1)
    await lamp.cli("set", "lamp", "on")
    begun = json.loads(await asyncio.to_thread(follower.stdout.readline))
    if begun["outcome"] is None:
        begun = json.loads(await asyncio.to_thread(follower.stdout.readline))
    assert (begun["key"], begun["wanted"], begun["outcome"]) == ("lamp", "on", "met")
    follower.send_signal(signal.SIGINT)
    _, said = await asyncio.to_thread(follower.communicate, timeout=60)
    assert (follower.returncode, said) == (130, b"")


async def test_who_reads_only_the_head_of_the_journal_gets_no_complaint(lamp: Bridge) -> None:
    for on in ("on", "off"):
        await lamp.cli("set", "lamp", on)
    follower = lamp.begin("journal", "--follow")
    assert follower.stdout is not None and follower.stderr is not None
    await asyncio.to_thread(follower.stdout.readline)
    follower.stdout.close()
    await lamp.cli("set", "lamp", "on")
    said = await asyncio.to_thread(follower.stderr.read)
    follower.stderr.close()
    assert (await asyncio.to_thread(follower.wait, 60), said) == (0, b"")


async def test_without_a_bridge_the_command_line_says_so_and_exits_with_3(tmp_path: Path) -> None:
    async with placed(switch(tmp_path, "lamp"), tmp_path) as bridge:
        for words in (["list"], ["set", "lamp", "on"], ["journal"], ["pair"], ["forget", "x"]):
            ran = await bridge.cli(*words)
            assert ran.code == 3
            where = f"{bridge.state}/control.sock: No such file or directory"
            assert ran.err == f"bellpull: the bridge is not running ({where})\n"


# Coming and going


async def test_it_ends_at_once_and_well_when_it_is_asked_to(lamp: Bridge) -> None:
    await lamp.paired_phone()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert await lamp.end(number) == 0
        assert loop.time() - start < 20  # a hang, not a figure
        assert "Traceback" not in lamp.log
        assert not (lamp.state / "control.sock").exists()
        await lamp.start()


async def test_a_wish_on_its_way_when_the_bridge_ends_is_told_as_dropped(tmp_path: Path) -> None:
    text = switch(tmp_path, "slow", on="[sleep, '60']", timeout="70s")
    async with running(text, tmp_path) as bridge:
        for number in (signal.SIGTERM, signal.SIGKILL):
            assert (await bridge.cli("set", "slow", "on", "--wait", "0")).code == 4
            assert (await bridge.story("slow"))[-1]["outcome"] is None  # it is on the disk by now
            await bridge.restart(number)
            row = (await bridge.story("slow"))[-1]
            assert (row["wanted"], row["outcome"]) == ("on", "dropped")
            assert (await bridge.tiles())["slow"]["wish"] is None


async def test_systemd_hears_when_it_answers_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        async with placed(switch(tmp_path, "lamp"), tmp_path) as bridge:
            bridge.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
            bridge.launch()
            said: list[str] = []
            while len(said) < 6:
                said += (await asyncio.to_thread(systemd.recv, 4096)).decode().splitlines()
            assert await answers(bridge.port)
            assert {"READY=1", "STATUS=1 accessories"} <= set(said)
            assert said.count("WATCHDOG=1") >= 2
            assert await bridge.end() == 0
            while "STOPPING=1" not in said:
                said += (await asyncio.to_thread(systemd.recv, 4096)).decode().splitlines()


async def refusal(bridge: Bridge) -> tuple[int, str]:
    """Exit code and words of a bridge that does not start: one line, no traceback."""
    ran = await bridge.cli("run")
    assert "Traceback" not in ran.err
    lines = [line for line in ran.err.splitlines() if line.startswith("bellpull: ")]
    assert len(lines) == 1, ran.err
    return ran.code, lines[0]


async def test_a_second_bridge_with_the_same_state_is_refused(lamp: Bridge) -> None:
    assert await refusal(lamp) == (1, f"bellpull: {lamp.state}: another bridge is running with this state")
    assert (await lamp.cli("list")).code == 0


async def test_what_keeps_it_from_starting_is_one_line_with_a_cure(tmp_path: Path) -> None:
    async with placed(switch(tmp_path, "lamp"), tmp_path) as bridge:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            bridge.configure(switch(tmp_path, "lamp"), port=other.getsockname()[1])
            code, line = await refusal(bridge)
            assert code == 1 and "is taken by another program" in line and "bridge.port" in line
        bridge.configure(switch(tmp_path, "lamp"), address="192.0.2.1")
        code, line = await refusal(bridge)
        assert code == 1 and "this machine has no address 192.0.2.1; correct bridge.address" in line
        bridge.configure("  {}\n", port=1)
        ran = await bridge.cli("run")
        assert ran.code == 2 and "bridge.port: 1 cannot be used as a port" in ran.err
        bridge.config.unlink()
        code, line = await refusal(bridge)
        assert code == 2 and line.endswith(f"write one with `bellpull --config {bridge.config} init`")


async def test_a_state_folder_that_cannot_be_used_is_one_line_with_a_cure(tmp_path: Path) -> None:
    async with placed(switch(tmp_path, "lamp"), tmp_path) as bridge:
        bridge.state.touch()
        code, line = await refusal(bridge)
        assert code == 1
        said = "cannot be used for the bridge's state: File exists; choose a --state-dir"
        assert line == f"bellpull: {bridge.state}: {said}"
        bridge.state.unlink()
        (bridge.state / "lock").mkdir(parents=True)
        code, line = await refusal(bridge)
        assert code == 1 and f"{bridge.state}/lock: cannot be used for the bridge's state: Is a dir" in line
        shutil.rmtree(bridge.state)
        deep = Bridge(tmp_path / ("x" * 100), bridge.port)
        deep.folder.mkdir()
        deep.configure(switch(tmp_path, "lamp"))
        code, line = await refusal(deep)
        assert code == 1 and "too long for a socket" in line and "--state-dir" in line
        ran = await deep.cli("list")
        assert ran.code == 3 and "AF_UNIX path too long" in ran.err


async def test_a_state_folder_is_made_with_those_above_it_for_its_owner_alone(tmp_path: Path) -> None:
    class Deep(Bridge):
        @property
        def state(self) -> Path:
            return self.folder / "a" / "b" / "state"

    async with placed("  {}\n", tmp_path) as empty:
        bridge = Deep(tmp_path, empty.port)
        await bridge.start()
        try:
            assert (await bridge.cli("list")).out == "no accessories; the configuration has none\n"
            for path in (bridge.state, bridge.state / "keys"):
                assert path.stat().st_mode & 0o777 == 0o700
            assert await bridge.story() == []
            assert (bridge.state / "journal.db").stat().st_mode & 0o077 == 0
        finally:
            assert await bridge.end() == 0


async def test_a_journal_that_cannot_be_written_stops_no_toggle_and_no_start(tmp_path: Path) -> None:
    async with placed(switch(tmp_path, "lamp"), tmp_path) as bridge:
        (bridge.state / "journal.db").mkdir(parents=True)
        await bridge.start()
        assert (await bridge.cli("set", "lamp", "on")).code == 0
        assert (tmp_path / "lamp").exists()
        assert bridge.log.count("tiles work on, their story is not kept") == 1
        assert await bridge.end() == 0 and "Traceback" not in bridge.log


@pytest.mark.skipif(os.geteuid() != 0, reason="this machine has no mount for an ordinary user")
async def test_a_full_disk_stops_no_toggle_and_the_story_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "state"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        async with running(switch(tmp_path, "lamp"), tmp_path) as bridge:
            phone = await bridge.paired_phone()
            tile = await phone.tile("Lamp")
            with pytest.raises(OSError), (disk / "fat").open("wb", buffering=0) as fat:
                while True:
                    fat.write(bytes(4096))
            for _ in range(10):
                assert (await tile.turn(True)).status == 0
                assert (await tile.turn(False)).status == 0
            assert "tiles work on, their story is not kept" in bridge.log
            await bridge.restart(signal.SIGKILL)
            assert (await tile.turn(True)).status == 0  # started on a full disk, and paired still
            (disk / "fat").unlink()
            await eventually(lambda: _toggled_and_told(bridge))
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


async def _toggled_and_told(bridge: Bridge) -> bool:
    for on in ("on", "off"):
        await bridge.cli("set", "lamp", on)
    rows = await bridge.story("--lines", "1")
    return bool(rows) and (rows[0]["wanted"], rows[0]["outcome"]) == ("off", "met")


async def test_a_damaged_journal_is_put_aside(tmp_path: Path) -> None:
    async with running(switch(tmp_path, "lamp"), tmp_path) as bridge:
        await bridge.end()
        (bridge.state / "journal.db").write_text("nothing that SQLite knows " * 100)
        await bridge.start()
        for on in ("on", "off"):
            assert (await bridge.cli("set", "lamp", on)).code == 0
        assert (bridge.state / "journal.db.damaged").exists()
        assert [row["wanted"] for row in await bridge.story()][-1] == "off"
        with sqlite3.connect(bridge.state / "journal.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()


async def test_a_bridge_that_was_never_paired_tells_its_code_to_a_terminal_and_not_to_a_log(
    tmp_path: Path,
) -> None:
    async with placed(switch(tmp_path, "lamp"), tmp_path) as bridge:
        with (tmp_path / "log").open("ab") as log:
            status = os.fstat(log.fileno())
        bridge.environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        await bridge.start()
        await until(lambda: "1 accessories" in bridge.log)
        code = await bridge.code()
        assert await bridge.end() == 0
        assert code not in bridge.log and "█" not in bridge.log
        assert all(line.startswith("<") for line in bridge.log.splitlines())
