"""What goes wrong around the bridge, and the clear outcome each time."""

from collections.abc import Callable

import pytest

from tests.e2e.box import Box
from tests.e2e.server import CODE, CONFIG, Server, eventually
from tests.phone import Phone

PRIVILEGES = -70401
POLICY = "/etc/bellpull/policy.json"


def helper_refused(box: Box) -> None:
    (box.root / "opt/bellpull/libexec").chmod(0o777)


def sudo_missing(box: Box) -> None:
    box.run(["mv", "/usr/bin/sudo", "/usr/bin/sudo.gone"])


def sudoers_gone(box: Box) -> None:
    box.run(["rm", "/etc/sudoers.d/bellpull"])


def policy_writable_by_others(box: Box) -> None:
    (box.root / POLICY.lstrip("/")).chmod(0o666)


def policy_not_root_s(box: Box) -> None:
    box.run(["chown", "bellpull", POLICY])


def policy_without_the_unit(box: Box) -> None:
    box.write(POLICY, '{"version": 1, "units": [], "commands": {}}', 0o640)
    box.run(["chgrp", "bellpull", POLICY])


@pytest.mark.parametrize(
    "break_it",
    [
        helper_refused,
        sudo_missing,
        sudoers_gone,
        policy_writable_by_others,
        policy_not_root_s,
        policy_without_the_unit,
    ],
)
async def test_without_the_privilege_the_write_says_so_and_nothing_moves(
    server: Server, phone: Phone, break_it: Callable[[Box], None]
) -> None:
    break_it(server.box)
    tile = await phone.tile("Web")
    answer = await tile.turn(True)
    assert (answer.http, answer.status) == (207, PRIVILEGES)
    assert not server.box.is_active("apache2")
    assert not await tile.is_on()  # observing needs no privilege
    last = server.journal("web")[-1]
    assert last["outcome"] == "denied" and last["reason"]


async def test_what_is_observed_goes_on_without_sudo(server: Server, phone: Phone) -> None:
    sudo_missing(server.box)
    tile = await phone.tile("Web")
    async with phone.watching(tile.id) as events:
        server.box.run(["systemctl", "start", "apache2"])
        await events.wait_for(tile.id, True)


async def test_a_killed_bus_makes_tiles_unknown_and_its_return_brings_them_back(
    server: Server, phone: Phone
) -> None:
    tile = await phone.tile("Web")
    server.box.run(["systemctl", "start", "apache2"])
    await tile.wait_until(True)
    server.box.run(["systemctl", "stop", "dbus.socket"])
    server.box.run(["systemctl", "kill", "-s", "KILL", "dbus.service"])
    await eventually(lambda: server.tiles()["web"]["state"] == "unknown")
    assert (await tile.read()).status != 0
    answer = await tile.turn(False)
    assert answer.status != 0 and answer.seconds < 9  # else the phone would have given up
    server.box.run(["systemctl", "start", "dbus.socket"])
    await tile.wait_until(True, within=20)
    assert (await tile.turn(False)).status == 0
    assert not server.box.is_active("apache2")


async def test_a_bridge_that_is_killed_comes_back_with_its_pairings_and_reads_the_fact(
    server: Server, phone: Phone
) -> None:
    tile = await phone.tile("Web")
    server.box.write("/etc/systemd/system/apache2.service.d/slow.conf", "[Service]\nExecStop=/bin/sleep 8\n")
    server.box.run(["systemctl", "daemon-reload"])
    await tile.turn(True)
    await tile.turn(False)  # accepted, on its way
    server.box.run(["systemctl", "kill", "-s", "KILL", "bellpull"])
    await eventually(lambda: not server.box.is_active("apache2"), within=30)
    await eventually(lambda: server.box.is_active("bellpull"), within=30)
    await tile.wait_until(False, within=20)
    assert (await tile.turn(True)).status == 0
    assert await tile.is_on()


async def test_a_bridge_that_starts_before_the_bus_waits_for_it(installed: Box) -> None:
    server = Server(installed)
    server.configure(CONFIG)
    server.box.run(["systemctl", "stop", "dbus.socket"])
    server.box.run(["systemctl", "kill", "-s", "KILL", "dbus.service"])
    server.start()
    phone = await server.phone()
    tile = await phone.tile("Web")
    assert (await tile.read()).status != 0
    server.box.run(["systemctl", "start", "dbus.socket", "apache2"])
    await tile.wait_until(True, within=20)
    await server.close()


async def test_after_a_reboot_the_phone_finds_everything_as_it_was(server: Server, phone: Phone) -> None:
    tile = await phone.tile("Web")
    assert (await tile.turn(True)).status == 0
    server.box.power_off()
    server.box.boot()
    await eventually(lambda: server.box.is_active("bellpull"))
    assert (await phone.tile("Web")).id == tile.id
    await tile.wait_until(False)  # apache2 was started, never enabled


async def test_the_journal_of_the_machine_holds_no_setup_code(server: Server, phone: Phone) -> None:
    await (await phone.tile("Web")).turn(True)
    everything = server.box.run(["journalctl", "--no-pager", "--all"]).stdout
    assert "bellpull" in everything
    assert CODE not in everything and CODE.replace("-", "") not in everything
