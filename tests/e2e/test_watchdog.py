"""The watchdog on a real server: what burns is restarted, what is off stays off; and Monit beside it."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.contract import Vitals
from bridge.watchdog.decide import Act, History, decide
from bridge.watchdog.meter import Meter
from bridge.watchdog.rules import rule
from tests.e2e.box import Box
from tests.e2e.server import CODE, PORT, Server, eventually

# Burns while the file is there, and says on which start it is.
BURNER = """\
import pathlib, sys, time
fire = pathlib.Path(sys.argv[1])
while True:
    if not fire.exists():
        time.sleep(0.01)
"""
FIRE = "/run/fire"
UNIT = f"[Service]\nExecStart=/usr/bin/python3 /srv/burner.py {FIRE}\n"

CONFIG = f"""\
bridge:
  address: {Box.address}
  port: {PORT}
  setup_code: {CODE}
accessories:
  burner:
    kind: services
    name: Burner
    units: [burner]
    trouble: true
    watchdog:
      cycle: 1s
      brake: 3 restarts within 1 h
      switch: true
      rules: [total cpu > 5% for 3 cycles then restart, memory > 1 TiB for 2 cycles]
"""

TROUBLE = "00000080"  # a contact sensor's service
STATE = "0000006A"  # and what it shows


@pytest.fixture
async def server(installed: Box) -> AsyncIterator[Server]:
    server = Server(installed)
    server.box.write("/srv/burner.py", BURNER)
    server.unit("burner", UNIT)
    server.configure(CONFIG)
    server.start()
    yield server
    await server.close()


def sees(server: Server) -> dict[str, Any]:
    (report,) = json.loads(server.box.run(["bellpull", "watchdog", "burner", "--json"]).stdout)
    return dict(report)


def restarts(server: Server) -> list[dict[str, Any]]:
    return [row for row in server.journal("burner") if row["wanted"] == "restart"]


def pid(server: Server) -> str:
    shown = server.box.run(["systemctl", "show", "-P", "MainPID", "burner"])
    return shown.stdout.strip()


async def test_what_burns_is_restarted_given_up_told_and_recovers(server: Server) -> None:
    phone = await server.phone()
    tile = await phone.tile("Burner")
    assert (await tile.turn(True)).status == 0
    await eventually(lambda: sees(server)["rules"][0]["value"] is not None)
    assert sees(server)["rules"][0]["source"] == "cgroup /system.slice/burner.service, " + cores()
    assert "resident memory of the" in sees(server)["rules"][1]["source"]  # the box has no memory controller
    first = pid(server)
    sensor = next(
        (accessory["aid"], char["iid"])
        for accessory in await phone.accessories()
        for service in accessory["services"]
        for char in service["characteristics"]
        if char["type"].upper().startswith(STATE)
    )
    async with phone.watching(sensor, tile.id) as events:
        server.box.write(FIRE, "")
        await events.wait_for(sensor, 1, within=30)
        assert pid(server) != first
        await eventually(lambda: bool(sees(server)["gave_up"]), within=30)
        assert not [event for event in events.seen if event.id == tile.id], "the tile bounced"
    rows = restarts(server)
    assert [(row["who"], row["outcome"]) for row in rows] == [("watchdog", "met")] * 3
    assert rows[0]["reason"].startswith("total cpu > 5 % for 3 cycles: ")
    server.box.run(["rm", FIRE])
    await eventually(lambda: not sees(server)["gave_up"])
    told = [
        row["reason"] for row in server.journal("burner") if row["who"] == "watchdog" and not row["wanted"]
    ]
    assert [text.partition(":")[0] for text in told] == [
        "restarted",
        "given up after 3 restarts within 3600 s",
        "recovered; it is restarted again when it has to be",
    ]


async def test_a_restarted_bridge_counts_on_and_tells_nothing_twice(server: Server) -> None:
    server.box.write(FIRE, "")
    server.box.run(["bellpull", "set", "burner", "on"])
    await eventually(lambda: bool(sees(server)["gave_up"]), within=40)
    server.box.run(["systemctl", "kill", "-s", "KILL", "bellpull"])
    await eventually(lambda: server.box.run(["bellpull", "list"], check=False).returncode == 0, within=30)
    await eventually(lambda: bool(sees(server)["rules"][0]["failed"]), within=30)
    report = sees(server)
    assert (report["restarts"], report["gave_up"], len(restarts(server))) == (3, True, 3)
    given_up = [row for row in server.journal("burner") if row["reason"].startswith("given up")]
    assert len(given_up) == 1


async def test_what_a_person_stops_stays_stopped_however_it_burned(server: Server) -> None:
    server.box.write(FIRE, "")
    for stop in (["systemctl", "stop", "burner"], ["bellpull", "set", "burner", "off"]) * 2:
        server.box.run(["bellpull", "set", "burner", "on"])
        await eventually(lambda: sees(server)["rules"][0]["bad"] >= 2)  # about to be restarted
        server.box.run(stop)
        await asyncio.sleep(2.5)
        assert not server.box.is_active("burner"), stop
        assert sees(server)["why"] == "off"


async def test_disarmed_from_the_phone_it_lets_it_burn(server: Server) -> None:
    phone = await server.phone()
    switch = await phone.tile("Burner Watchdog")
    assert (await switch.turn(False)).status == 0
    server.box.write(FIRE, "")
    server.box.run(["bellpull", "set", "burner", "on"])
    await asyncio.sleep(6)
    assert (sees(server)["why"], restarts(server)) == ("disarmed", [])
    assert (await switch.turn(True)).status == 0
    await eventually(lambda: len(restarts(server)) > 0)


def cores() -> str:
    count = os.cpu_count() or 1
    return "100 % is one core" if count == 1 else f"100 % is all {count} cores"


# Monit beside it, on the same process

MONITRC = """\
set daemon 1
set pidfile /run/monit.test.pid
set idfile /run/monit.test.id
set statefile /run/monit.test.state
check process burner with pidfile /run/burner.pid
  start program = "/bin/true"
  restart program = "/bin/true"
  if {rule}
"""


@asynccontextmanager
async def monit(box: Box, text: str) -> AsyncIterator["asyncio.Queue[str]"]:
    """What Monit says of its check, line by line."""
    box.write("/etc/monit.test", MONITRC.format(rule=text), 0o600)
    command = box.command(["stdbuf", "-oL", "monit", "-I", "-v", "-c", "/etc/monit.test"])
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines: asyncio.Queue[str] = asyncio.Queue()

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = re.sub(r"\x1b\[[0-9;]*m", "", line.decode(errors="replace"))
            if found := re.search(r"'burner' (cpu usage |trying to restart)", text):
                lines.put_nowait(found[1])

    reading = asyncio.create_task(read())
    try:
        yield lines
    finally:
        end(box, "/run/monit.test.pid")
        await process.wait()
        await reading


@pytest.mark.parametrize(
    ("text", "pattern", "acts"),
    [
        ("cpu > 15% for 3 cycles then restart", "1101111101110", 4),
        ("cpu > 15% 2 times within 4 cycles then restart", "100010110001100", 3),
    ],
)
async def test_monit_restarts_the_same_process_in_the_same_cycles(
    box: Box, text: str, pattern: str, acts: int
) -> None:
    """pattern: in which cycles it burns."""
    box.write("/srv/burner.py", BURNER)
    fire = f"{FIRE}-beside-monit"
    started = f"echo $$ > /run/burner.pid; exec python3 /srv/burner.py {fire}"
    burner = await asyncio.create_subprocess_exec(*box.command(["sh", "-c", started]))
    meter, history = Meter(["cpu"], re.compile(f"^python3 /srv/burner.py {fire}$"), "monit"), History()
    ours: list[int] = []
    theirs: list[int] = []
    try:
        await eventually(lambda: (box.root / "run/burner.pid").exists())
        async with monit(box, text) as said, asyncio.timeout(80):
            cycle = -1
            while cycle < len(pattern):
                if await said.get() == "trying to restart":
                    theirs.append(cycle)
                    continue
                cycle += 1  # Monit has just looked, so look too
                value = (await meter.read(Vitals()))["cpu"].value
                light(box, fire, pattern[cycle : cycle + 1] == "1")
                history, act = decide(history, rule(text), value)
                ours += [cycle] if act in (Act.FAILED, Act.AGAIN) else []
    finally:
        end(box, "/run/burner.pid")
        await burner.wait()
    assert theirs == ours
    assert len(ours) == acts


def end(box: Box, pidfile: str) -> None:
    box.run(["sh", "-c", f"kill $(cat {pidfile})"])


def light(box: Box, fire: str, on: bool) -> None:
    path = Path(box.root / fire.lstrip("/"))
    if on:
        path.touch()
    else:
        path.unlink(missing_ok=True)
