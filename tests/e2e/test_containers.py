"""Containers of a real engine, started and stopped by their tile."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from tests.conftest import CAMPAIGN
from tests.e2e.box import Box
from tests.e2e.engine import docker, helpers, kill_program, make, service, start_engine, told
from tests.e2e.server import CODE, PORT, Server, eventually
from tests.phone import Phone

CONFIG = f"""\
bridge: {{address: {Box.address}, port: {PORT}, setup_code: {CODE}}}
accessories:
  media: {{kind: container, name: Media, container: media, grace: 5s, trouble: true}}
  again: {{kind: container, name: Again, container: media, grace: 5s, action: restart}}
  shop: {{kind: container, name: Shop, project: shop, grace: 5s}}
"""
HEALTHY = ("--health-cmd=test ! -e /tmp/ill", "--health-interval=1s", "--health-retries=1")


@pytest.fixture
async def server(installed: Box) -> AsyncIterator[Server]:
    """With an engine that has no container yet, and three tiles."""
    start_engine(installed)
    server = Server(installed)
    server.configure(CONFIG)
    server.start()
    yield server
    await server.close()


def row(server: Server, key: str = "media") -> tuple[str, str]:
    tile = server.tiles()[key]
    return tile["state"], tile["reason"]


async def becomes(server: Server, state: str, reason: str = "", key: str = "media") -> None:
    """Wait until `bellpull list` says so."""
    try:
        await eventually(lambda: row(server, key)[0] == state and reason in row(server, key)[1])
    except TimeoutError:
        raise AssertionError(f"{key} is {row(server, key)}, not {state} because {reason}") from None


async def test_a_container_is_started_and_stopped_by_its_tile_and_its_tile_follows_it(
    server: Server, phone: Phone
) -> None:
    box, tile = server.box, await phone.tile("Media")
    make(box, "media", start=False)
    await becomes(server, "off", "media was never started")
    assert (await tile.turn(True)).status == 0
    assert told(box, "media") == "running"
    async with phone.watching(tile.id) as events:
        docker(box, "stop", "--time", "5", "media")
        await events.wait_for(tile.id, False)
        docker(box, "start", "media")
        await events.wait_for(tile.id, True)
    assert (await tile.turn(False)).status == 0
    assert told(box, "media", ".State.ExitCode") == "0"


async def test_a_container_that_is_killed_or_ends_with_an_error_is_off_and_tells_the_phone(
    server: Server, phone: Phone
) -> None:
    make(server.box, "media")
    await becomes(server, "on")
    tile, trouble = await phone.tile("Media"), await phone.sensor("Media Trouble")
    async with phone.watching(tile.id, trouble) as events:
        kill_program(server.box, "media")
        await events.wait_for(tile.id, False)
        await events.wait_for(trouble, 1)
    assert row(server) == ("off", "media ended with exit code 137; see `docker logs media`")


async def test_a_container_that_does_not_stay_up_fails_with_the_reason(server: Server, phone: Phone) -> None:
    make(server.box, "media", script="exit 3", start=False)
    await becomes(server, "off")
    assert (await (await phone.tile("Media")).turn(True)).status != 0
    assert "exit code 3" in server.journal("media")[-1]["reason"]


async def test_what_docker_will_not_do_is_told_in_its_words(server: Server, phone: Phone) -> None:
    docker(server.box, "create", "--name", "media", "tiny", "/bin/nothing")
    await becomes(server, "off")
    assert (await (await phone.tile("Media")).turn(True)).status != 0
    assert "media does not start: " in server.journal("media")[-1]["reason"]
    assert "/bin/nothing" in server.journal("media")[-1]["reason"]


async def test_every_state_that_docker_has_shows_on_the_tile(server: Server, phone: Phone) -> None:
    box, tile = server.box, await phone.tile("Media")
    await becomes(server, "unknown", "there is no container media; `docker ps --all` shows those there are")
    make(box, "media", *HEALTHY)
    await becomes(server, "on")
    docker(box, "pause", "media")
    await becomes(server, "off", "media is paused")
    assert (await tile.turn(True)).status == 0
    assert told(box, "media") == "running"
    docker(box, "exec", "media", "/bin/sh", "-c", "> /tmp/ill")
    await becomes(server, "on", "media is unhealthy")
    docker(box, "rm", "--force", "media")
    await becomes(server, "unknown", "there is no container media")
    make(box, "media", "--restart=always", script="exit 7")
    await becomes(server, "off", "media is started again and again (exit code 7)")
    docker(box, "rm", "--force", "media")
    make(box, "other")
    docker(box, "rename", "other", "media")
    await becomes(server, "on")


async def test_a_project_is_started_in_its_order_and_stopped_in_reverse(server: Server, phone: Phone) -> None:
    box, tile = server.box, await phone.tile("Shop")
    service(box, "shop", "web", "app:service_started:false")
    service(box, "shop", "app", "db:service_started:false")
    service(box, "shop", "db")
    await becomes(server, "off", key="shop")
    assert (await tile.turn(True)).status == 0
    order = ("db", "app", "web")
    started = [told(box, f"shop-{name}", ".State.StartedAt") for name in order]
    assert started == sorted(started)
    docker(box, "stop", "shop-app")
    await becomes(server, "off", "shop-app is stopped", key="shop")
    assert (await tile.turn(True)).status == 0
    assert (await tile.turn(False)).status == 0
    ended = [told(box, f"shop-{name}", ".State.FinishedAt") for name in reversed(order)]
    assert ended == sorted(ended)
    assert {told(box, f"shop-{name}") for name in order} == {"exited"}


async def test_without_an_engine_nothing_is_known_and_its_return_is_seen(
    server: Server, phone: Phone
) -> None:
    box = server.box
    make(box, "media", "--restart=always")
    await becomes(server, "on")
    (engine,) = box.processes("dockerd")
    box.run(["kill", "-KILL", str(engine)])
    await becomes(server, "unknown", "Docker's engine")
    await becomes(server, "on")  # systemd starts it again
    box.run(["systemctl", "stop", "docker.service"], timeout=60)
    await becomes(server, "unknown", "Docker's engine does not run; start it: sudo systemctl start docker")
    assert box.is_active("docker.socket")
    await asyncio.sleep(2)
    assert not box.is_active("docker.service"), "the bridge has woken the engine"
    assert (await (await phone.tile("Media")).turn(False)).status != 0
    assert helpers(box) == []
    box.run(["systemctl", "start", "docker.service"], timeout=60)
    await becomes(server, "on")
    box.run(["systemctl", "restart", "bellpull"])
    await becomes(server, "on")


async def test_an_engine_that_starts_after_the_bridge_is_found(installed: Box) -> None:
    server = Server(installed)
    server.configure(CONFIG)
    server.start()
    await becomes(server, "unknown", "Docker's engine does not run")
    start_engine(installed)
    make(installed, "media")
    await becomes(server, "on")


async def test_the_helper_ends_with_the_bridge_however_that_ends(server: Server) -> None:
    box = server.box
    await becomes(server, "unknown")
    await eventually(lambda: len(helpers(box)) == 1)
    box.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "bellpull"])
    await eventually(lambda: not helpers(box) or box.is_active("bellpull"))
    await eventually(lambda: box.is_active("bellpull") and len(helpers(box)) == 1)
    box.run(["systemctl", "stop", "bellpull"])
    assert helpers(box) == []


async def test_a_bridge_that_is_stopped_in_the_middle_of_a_restart_lets_it_finish(server: Server) -> None:
    box = server.box
    make(box, "media", script="trap '' TERM; while :; do sleep 1; done")  # takes its whole grace
    await becomes(server, "on")
    began = told(box, "media", ".State.StartedAt")
    restart = asyncio.create_task(asyncio.to_thread(box.run, ["bellpull", "set", "again", "on"], check=False))
    await asyncio.sleep(1)
    box.run(["systemctl", "stop", "bellpull"], timeout=60)
    await restart
    await eventually(lambda: told(box, "media", ".State.StartedAt") != began)
    assert told(box, "media") == "running"


async def test_root_does_nothing_to_a_container_that_is_not_in_the_configuration(server: Server) -> None:
    make(server.box, "secret")
    helper = "/opt/bellpull/libexec/bellpull-helper"
    for verb, name in (
        ("container-stop", "secret"),
        ("container-watch", "secret"),
        ("container-stop", "x/../y"),
    ):
        done = server.box.run(["sudo", "-n", helper, verb, name], user="bellpull", check=False)
        assert done.returncode != 0
        done = server.box.run([helper, verb, name], check=False)
        assert '"denied"' in done.stdout
    assert told(server.box, "secret") == "running"


async def test_a_check_says_which_container_is_not_there(server: Server) -> None:
    make(server.box, "media2")
    said = server.box.run(["bellpull", "check"], check=False)
    assert "there is no container media on this machine; did you mean media2?" in said.stdout + said.stderr


@pytest.mark.campaign
async def test_a_restart_never_starts_what_somebody_stops(server: Server) -> None:
    """Both at the same time, a little apart: whoever had the program asked to end has it stay off."""
    box, chance = server.box, random.Random(7)
    make(box, "media")
    for _ in range(300 if CAMPAIGN else 8):
        docker(box, "start", "media")
        await becomes(server, "on")
        since = box.run(["date", "+%s.%N"]).stdout.strip()
        restart = asyncio.to_thread(box.run, ["bellpull", "set", "again", "on"], check=False)
        stop = asyncio.to_thread(stop_after, box, chance.random() * 0.4)
        await asyncio.gather(restart, stop)
        until = box.run(["date", "+%s.%N"]).stdout.strip()
        words = ("--since", since, "--until", until, "--filter", "event=kill", "--format", "{{.Action}}")
        asked = docker(box, "events", *words).split()
        # One alone: stop came while it was down, and Docker did nothing about it.
        assert len(asked) < 2 or told(box, "media") == "exited"


def stop_after(box: Box, seconds: float) -> None:
    time.sleep(seconds)
    docker(box, "stop", "media")
