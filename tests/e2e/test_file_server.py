"""File Server, the owner's tile: samba's two daemons and netatalk under one switch."""

import asyncio

import pytest

from tests.e2e.server import Server
from tests.phone import Phone

UNITS = ("smbd", "nmbd", "netatalk")


async def turned_on(server: Server, phone: Phone) -> None:
    assert (await (await phone.tile("File Server")).turn(True)).status == 0
    assert all(server.box.is_active(unit) for unit in UNITS)


async def test_turning_it_on_starts_every_daemon(server: Server, phone: Phone) -> None:
    tile = await phone.tile("File Server")
    assert not await tile.is_on()
    answer = await tile.turn(True)
    assert (answer.http, answer.status) == (204, 0)
    assert all(server.box.is_active(unit) for unit in UNITS)
    assert server.box.processes("smbd") and server.box.processes("nmbd")
    assert await tile.is_on()


async def test_turning_it_off_stops_every_daemon(server: Server, phone: Phone) -> None:
    await turned_on(server, phone)
    tile = await phone.tile("File Server")
    assert (await tile.turn(False)).status == 0
    assert not any(server.box.is_active(unit) for unit in UNITS)
    assert not server.box.processes("smbd") and not server.box.processes("nmbd")
    assert not await tile.is_on()


async def test_daemons_start_in_order_and_stop_in_reverse(server: Server, phone: Phone) -> None:
    await turned_on(server, phone)
    await (await phone.tile("File Server")).turn(False)
    said = server.box.run(["journalctl", "--output=cat", "--identifier=systemd"]).stdout.splitlines()
    words: dict[str, list[str]] = {"Started": [], "Stopped": []}
    for line in said:
        verb, _, rest = line.partition(" ")
        unit = rest.partition(".service")[0]
        if verb in words and unit in UNITS:
            words[verb].append(unit)
    assert words == {"Started": list(UNITS), "Stopped": list(reversed(UNITS))}


@pytest.mark.parametrize("end", [["systemctl", "stop", "smbd"], ["systemctl", "kill", "-s", "KILL", "smbd"]])
async def test_what_ends_elsewhere_flips_the_tile(server: Server, phone: Phone, end: list[str]) -> None:
    # Debian's smbd comes back by itself after a crash; here it must not, or the tile is on again.
    server.box.write("/etc/systemd/system/smbd.service.d/stay.conf", "[Service]\nRestart=no\n")
    server.box.run(["systemctl", "daemon-reload"])
    await turned_on(server, phone)
    tile = await phone.tile("File Server")
    async with phone.watching(tile.id) as events:
        server.box.run(end)
        await events.wait_for(tile.id, False, within=10)
    assert not await tile.is_on()
    row = server.tiles()["file_server"]
    assert row["state"] == "off" and "smbd.service" in row["reason"]
    assert server.box.is_active("nmbd")


async def test_a_tile_that_is_partly_off_is_completed_by_on_and_emptied_by_off(
    server: Server, phone: Phone
) -> None:
    server.box.run(["systemctl", "start", "nmbd"])
    tile = await phone.tile("File Server")
    await tile.wait_until(False)
    assert (await tile.turn(False)).status == 0
    assert not server.box.is_active("nmbd")
    server.box.run(["systemctl", "start", "nmbd"])
    assert (await tile.turn(True)).status == 0
    assert all(server.box.is_active(unit) for unit in UNITS)


async def test_what_is_so_already_is_no_failure(server: Server, phone: Phone) -> None:
    tile = await phone.tile("File Server")
    assert (await tile.turn(False)).status == 0
    await tile.turn(True)
    before = server.box.processes("smbd")
    assert (await tile.turn(True)).status == 0
    assert server.box.processes("smbd") == before


async def test_another_phone_sees_what_this_one_did(server: Server, phone: Phone) -> None:
    other = await server.another_phone()
    tile = await phone.tile("File Server")
    async with other.watching(tile.id) as events:
        await tile.turn(True)
        await events.wait_for(tile.id, True)
        await tile.turn(False)
        await events.wait_for(tile.id, False)


async def test_on_off_on_in_a_breath_ends_on(server: Server, phone: Phone) -> None:
    tile = await phone.tile("File Server")
    other = await server.another_phone()
    again = await other.tile("File Server")
    answers = await asyncio.gather(tile.turn(True), again.turn(False))
    last = await tile.turn(True)
    assert last.status == 0, answers
    assert all(server.box.is_active(unit) for unit in UNITS)
    assert await tile.is_on() and await again.is_on()


async def test_the_command_line_does_what_the_phone_does(server: Server, phone: Phone) -> None:
    tile = await phone.tile("File Server")
    async with phone.watching(tile.id) as events:
        server.box.run(["bellpull", "set", "file_server", "on"])
        await events.wait_for(tile.id, True)
    assert all(server.box.is_active(unit) for unit in UNITS)
    assert server.tiles()["file_server"]["state"] == "on"
    who = [row["who"] for row in server.journal("file_server")]
    assert any("root" in name for name in who)
