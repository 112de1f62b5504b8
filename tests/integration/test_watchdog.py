"""A bridge whose program burns, over the socket and with a phone."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bridge import Bridge, running

BURNING = """\
  burner:
    kind: command
    name: Burner
    run: [sh, -c, "while :; do :; done"]
    trouble: true
    watchdog:
      cycle: 1s
      switch: true
      percent: docker
      brake: 2 restarts within 1 h
      rules: [cpu > 1% for 3 cycles then restart, memory > 1 TiB, total cpu > 1% for 2 cycles then alert]
"""


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    async with running(BURNING, tmp_path) as bridge:
        yield bridge


async def sees(bridge: Bridge) -> dict[str, Any]:
    (report,) = json.loads((await bridge.cli("watchdog", "burner", "--json")).out)
    return dict(report)


async def until(bridge: Bridge, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while not true(report := await sees(bridge)):
            await asyncio.sleep(0.2)
    return report


async def test_it_burns_is_restarted_given_up_and_told_of_over_another_bridge(bridge: Bridge) -> None:
    phone = await bridge.paired_phone()
    assert (await sees(bridge))["why"] == "off"
    sensor = next(
        (aid["aid"], char["iid"])
        for aid in await phone.accessories()
        for service in aid["services"]
        for char in service["characteristics"]
        if char["type"].upper().startswith("0000006A")
    )
    async with phone.watching(sensor) as events:
        await bridge.cli("set", "burner", "on")
        await events.wait_for(sensor, 1, within=30)
    report = await until(bridge, lambda report: report["gave_up"])
    assert (report["restarts"], report["brake"]) == (2, 2)
    rows = await bridge.story("burner")
    restarts = [row for row in rows if row["wanted"] == "restart"]
    assert [(row["who"], row["outcome"]) for row in restarts] == [("watchdog", "met")] * 2
    assert re.match(
        r"cpu > 1 % for 3 cycles: .* % \(process \d+ alone, 100 % is one core\)", restarts[0]["reason"]
    )
    told = [row["reason"].split(":")[0] for row in rows if row["who"] == "watchdog" and not row["wanted"]]
    assert told == ["total cpu > 1 % for 2 cycles", "restarted", "given up after 2 restarts within 3600 s"]
    assert (await bridge.tiles())["burner"]["state"] == "on"

    await bridge.restart()  # a program of `run:` ends with its bridge, and is off afterwards
    report = await sees(bridge)
    assert (report["why"], report["restarts"], report["gave_up"]) == ("off", 0, False)


async def test_a_disarmed_watchdog_stays_so_and_restarts_nothing(bridge: Bridge) -> None:
    phone = await bridge.paired_phone()
    switch = await phone.tile("Burner Watchdog")
    assert await switch.is_on()
    assert (await switch.turn(False)).status == 0
    await bridge.restart()
    assert (await bridge.tiles())["burner.watchdog"]["state"] == "off"
    await bridge.cli("set", "burner", "on")
    await asyncio.sleep(5)
    assert (await sees(bridge))["why"] == "disarmed"
    assert not [row for row in await bridge.story("burner") if row["wanted"] == "restart"]
    assert (await bridge.cli("set", "burner.watchdog", "on")).code == 0
    await until(bridge, lambda report: report["restarts"])


async def test_the_command_shows_a_table_and_says_what_has_no_watchdog(bridge: Bridge) -> None:
    shown = await bridge.cli("watchdog")
    assert shown.code == 0 and shown.out.startswith("burner: not watched now: off")
    assert "memory > 1 TiB for 1 cycle" in shown.out
    unknown = await bridge.cli("watchdog", "nobody")
    assert (unknown.code, unknown.err) == (
        2,
        "bellpull: there is no accessory 'nobody'; `bellpull list` shows them\n",
    )
    none = await bridge.cli("watchdog", "burner.watchdog")
    assert none.code == 2 and "has no watchdog; write `watchdog:`" in none.err
