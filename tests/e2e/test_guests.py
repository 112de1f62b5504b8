"""VM guests under libvirt, started and shut down by their tile."""

from collections.abc import AsyncIterator

import pytest

from tests.e2e import guests
from tests.e2e.box import Box
from tests.e2e.server import CODE, PORT, Server, eventually
from tests.phone import Phone

CONFIG = f"""\
bridge: {{address: {Box.address}, port: {PORT}, setup_code: {CODE}}}
accessories:
  guests: {{kind: vm, name: VM Guests, domains: [first, second], shutdown: 30s, trouble: true}}
  deaf: {{kind: vm, name: Deaf, domains: [deaf], shutdown: 2s}}
  forced: {{kind: vm, name: Forced, domains: [stubborn], shutdown: 2s, force: true}}
  again: {{kind: vm, name: Again, domains: [first], shutdown: 30s, action: restart}}
  every: {{kind: vm, name: Every Guest, domains: all, shutdown: 3s, force: true}}
"""


@pytest.fixture
async def server(installed: Box) -> AsyncIterator[Server]:
    """With libvirt, four guests that are off, and their tiles."""
    guests.start_libvirt(installed)
    for name in ("first", "second"):
        guests.define(installed, name)
    for name in ("deaf", "stubborn"):
        guests.define(installed, name, "deaf")
    server = Server(installed)
    server.configure(CONFIG)
    server.start()
    yield server
    await server.close()


async def boot(server: Server, *names: str) -> None:
    for name in names:
        server.box.run(["virsh", "start", name])
    await booted(server, *names)


async def ended(server: Server, key: str, outcome: str = "met") -> None:
    """Wait for the end of the wish that was made last."""
    await eventually(lambda: server.tiles()[key]["wish"] is None, 60)
    last = [row for row in server.journal(key) if row["outcome"]][-1]
    assert last["outcome"] == outcome, last


async def booted(server: Server, *names: str, times: int = 1) -> None:
    await eventually(lambda: all(guests.has_booted(server.box, name, times) for name in names), 60)


async def test_guests_are_started_and_shut_down_by_their_tile_and_its_state_follows_them(
    server: Server, phone: Phone
) -> None:
    tile = await phone.tile("VM Guests")
    assert not await tile.is_on()
    assert (await tile.turn(True)).status == 0
    await ended(server, "guests")
    assert {guests.state(server.box, name) for name in ("first", "second")} == {"running"}
    await booted(server, "first", "second")
    async with phone.watching(tile.id) as events:
        server.box.run(["virsh", "shutdown", "second"])  # by somebody else
        await events.wait_for(tile.id, False, within=20)
    assert server.tiles()["guests"]["reason"] == "second is off"
    await tile.turn(False)
    await eventually(lambda: guests.state(server.box, "first") == "shut off")
    await ended(server, "guests")


async def test_a_guest_that_dies_is_off_and_tells_the_phone(server: Server, phone: Phone) -> None:
    tile, trouble = await phone.tile("VM Guests"), await phone.sensor("VM Guests Trouble")
    await tile.turn(True)
    await ended(server, "guests")
    async with phone.watching(tile.id, trouble) as events:
        server.box.run(["kill", "-KILL", server.box.read("/run/libvirt/qemu/second.pid").strip()])
        await events.wait_for(tile.id, False)
        await events.wait_for(trouble, 1)
    row = server.tiles()["guests"]
    assert (row["state"], row["reason"]) == ("off", "second has crashed")


async def test_a_guest_that_does_not_hear_its_power_button_fails_or_has_its_plug_pulled(
    server: Server, phone: Phone
) -> None:
    deaf, forced = await phone.tile("Deaf"), await phone.tile("Forced")
    await boot(server, "deaf", "stubborn")
    await deaf.wait_until(True)
    await deaf.turn(False)
    await ended(server, "deaf", "failed")
    assert guests.state(server.box, "deaf") == "running" and await deaf.is_on()
    assert "did not shut down in 2 s" in server.journal("deaf")[-1]["reason"]
    await forced.turn(False)
    await ended(server, "forced")
    assert guests.state(server.box, "stubborn") == "shut off"


async def test_paused_and_saved_guests_are_off_and_go_on_when_turned_on(server: Server, phone: Phone) -> None:
    tile = await phone.tile("VM Guests")
    await boot(server, "first", "second")
    await tile.wait_until(True)
    server.box.run(["virsh", "suspend", "first"])
    server.box.run(["virsh", "managedsave", "second"])
    await tile.wait_until(False)
    await eventually(lambda: server.tiles()["guests"]["reason"] == "first is paused, second is saved")
    assert (await tile.turn(True)).status == 0
    await ended(server, "guests")
    assert {guests.state(server.box, name) for name in ("first", "second")} == {"running"}
    assert not guests.has_booted(server.box, "second", 2)


async def test_a_guest_that_is_turned_off_while_it_boots_and_on_while_it_goes_ends_as_it_was_wanted(
    server: Server, phone: Phone
) -> None:
    tile = await phone.tile("VM Guests")
    await tile.turn(True)
    await tile.turn(False)  # nobody listens to the power button yet
    await ended(server, "guests")
    assert guests.state(server.box, "first") == guests.state(server.box, "second") == "shut off"
    await tile.turn(True)
    await ended(server, "guests")
    await booted(server, "first", "second")
    server.box.run(["virsh", "suspend", "first"])
    await tile.wait_until(False)
    assert (await tile.turn(False)).status == 0
    await eventually(lambda: guests.state(server.box, "second") == "shut off")
    assert guests.state(server.box, "first") == "paused"


async def test_a_guest_that_cannot_start_says_why_also_among_all(server: Server, phone: Phone) -> None:
    server.box.run(["mv", "/opt/guest/deaf", "/opt/guest/gone"])
    for name, key in (("Deaf", "deaf"), ("Every Guest", "every")):
        tile = await phone.tile(name)
        await tile.turn(True)
        await ended(server, key, "failed")
        assert any("/opt/guest/deaf" in row["reason"] for row in server.journal(key))
    assert guests.state(server.box, "first") == "running"


async def test_a_restart_reboots_what_runs_and_starts_nothing(server: Server, phone: Phone) -> None:
    tile = await phone.tile("Again")
    assert (await tile.turn(True)).status == -70412
    assert guests.state(server.box, "first") == "shut off"
    await boot(server, "first")
    await eventually(lambda: server.tiles()["guests"]["reason"] == "second is off")
    await tile.turn(True)
    await booted(server, "first", times=2)
    await ended(server, "again")
    assert guests.state(server.box, "first") == "running"


async def test_all_means_every_guest_there_is_also_those_of_tomorrow(server: Server, phone: Phone) -> None:
    guests.define(server.box, "third")
    tile = await phone.tile("Every Guest")
    names = ("first", "second", "third", "deaf", "stubborn")
    assert (await tile.turn(True)).status == 0
    await ended(server, "every")
    assert {guests.state(server.box, name) for name in names} == {"running"}
    await tile.turn(False)
    await tile.wait_until(False, within=20)
    await eventually(lambda: {guests.state(server.box, name) for name in names} == {"shut off"})


async def test_a_libvirt_that_is_killed_and_comes_back_is_found_again(server: Server, phone: Phone) -> None:
    tile = await phone.tile("VM Guests")
    await tile.turn(True)
    await ended(server, "guests")
    server.box.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "libvirtd"])
    server.box.run(["systemctl", "start", "libvirtd"])
    await eventually(lambda: guests.state(server.box, "first") == "running")  # it finds its guests again
    await tile.wait_until(True)
    server.box.run(["virsh", "destroy", "first"])
    await tile.wait_until(False)
    server.box.run(
        ["systemctl", "stop", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd"]
    )
    await eventually(lambda: server.tiles()["guests"]["state"] == "unknown")
    assert "libvirt cannot be asked" in server.tiles()["guests"]["reason"]
    assert (await tile.turn(True)).status == -70402
    server.box.run(["systemctl", "start", "libvirtd"])
    await tile.wait_until(False)


async def test_the_bridge_may_touch_no_guest_but_its_own(server: Server) -> None:
    server.configure(CONFIG.replace("  every:", "  # every:"))
    helper = "/opt/bellpull/libexec/bellpull-helper"
    guests.define(server.box, "other")
    for words in (["domain-start", "other"], ["domain-destroy", "first"], ["domains-start", "all"]):
        done = server.box.run(["sudo", "-n", helper, *words], user="bellpull", check=False)
        assert done.returncode != 0
    assert guests.state(server.box, "other") == "shut off"
