"""The watchdog of a container: the one that burns is restarted, the one that is stopped never started."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import CAMPAIGN
from tests.e2e.box import Box
from tests.e2e.engine import docker, make, start_engine, told
from tests.e2e.server import CODE, PORT, Server, eventually

CONFIG = f"""\
bridge: {{address: {Box.address}, port: {PORT}, setup_code: {CODE}}}
accessories:
  media:
    kind: container
    name: Media
    container: media
    grace: 1s
    trouble: true
    watchdog:
      cycle: 1s
      brake: 1000 restarts within 1 h
      rules: [total cpu > 5% for 3 cycles, unhealthy for 2 cycles then alert, memory > 1 TiB]
"""
BURNS = "while :; do :; done"
BURNS_IN_A_CHILD = "while :; do :; done & wait"
RACES = 300 if CAMPAIGN else 4


@pytest.fixture
async def server(installed: Box) -> AsyncIterator[Server]:
    start_engine(installed)
    server = Server(installed)
    server.configure(CONFIG)
    server.start()
    yield server
    await server.close()


def sees(server: Server) -> dict[str, Any]:
    (report,) = json.loads(server.box.run(["bellpull", "watchdog", "media", "--json"]).stdout)
    return dict(report)


def restarts(server: Server) -> list[dict[str, Any]]:
    """Those that are done."""
    return [row for row in server.journal("media") if row["wanted"] == "restart" and row["outcome"] == "met"]


async def test_a_container_that_burns_is_restarted_and_it_is_its_group_that_tells(server: Server) -> None:
    make(server.box, "media", script=BURNS_IN_A_CHILD)
    started = told(server.box, "media", ".State.StartedAt")
    await eventually(lambda: len(restarts(server)) > 0, within=40)
    first = restarts(server)[0]
    assert first["who"] == "watchdog" and first["reason"].startswith("total cpu > 5 % for 3 cycles: ")
    assert told(server.box, "media", ".Id") in first["reason"]  # the name of its control group
    await eventually(lambda: told(server.box, "media") == "running")
    assert told(server.box, "media", ".State.StartedAt") != started


async def test_a_container_that_is_ill_is_told_of(server: Server) -> None:
    make(
        server.box,
        "media",
        *("--health-cmd=test ! -e /tmp/ill", "--health-interval=1s", "--health-retries=1"),
    )
    docker(server.box, "exec", "media", "sh", "-c", ": > /tmp/ill")
    await eventually(
        lambda: any(row["reason"].startswith("unhealthy for 2 cycles") for row in server.journal("media"))
    )
    assert restarts(server) == []


async def test_a_container_whose_drive_was_absent_at_boot_is_not_started(server: Server) -> None:
    make(server.box, "media", script=BURNS, start=False)
    await asyncio.sleep(6)
    assert (told(server.box, "media"), sees(server)["why"]) == ("created", "off")


async def test_a_container_that_is_stopped_at_any_moment_stays_stopped(server: Server) -> None:
    make(server.box, "media", script=BURNS, start=False)
    chance = random.Random(0x51)
    for _ in range(RACES):
        docker(server.box, "start", "media")
        await asyncio.sleep(chance.uniform(2.5, 5.0))
        if chance.random() < 0.5:
            docker(server.box, "stop", "--time", "0", "media")
        else:
            server.box.run(["bellpull", "set", "media", "off"])
        before = told(server.box, "media", ".State.StartedAt")
        await asyncio.sleep(2.5)
        after = told(server.box, "media"), told(server.box, "media", ".State.StartedAt")
        assert after == ("exited", before)
