"""What the phone is told when the machine does not do as it is asked, or takes its time."""

import pytest

from tests.e2e.server import CONFIG, Server, eventually
from tests.phone import Phone

UNABLE = -70402
NOT_IN_THIS_STATE = -70412

UNITS = {
    "stubborn": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/false\n",
    "brief": "[Service]\nExecStart=/bin/false\n",
    "phoenix": "[Service]\nExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=1\n",
    "slow": "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 12\n",
}
TILES = """\
  stubborn: {kind: services, name: Stubborn, units: [stubborn]}
  brief: {kind: services, name: Brief, units: [brief]}
  phoenix: {kind: services, name: Phoenix, units: [phoenix]}
  slow: {kind: services, name: Slow, units: [slow]}
  bounce: {kind: services, name: Bounce Web, units: [apache2], action: restart}
"""


@pytest.fixture
async def server(server: Server) -> Server:
    """With tiles that give trouble."""
    for name, text in UNITS.items():
        server.unit(name, text)
    server.configure(CONFIG + TILES)
    server.box.run(["systemctl", "restart", "bellpull"])
    return server


@pytest.mark.parametrize("name", ["Stubborn", "Brief"])
async def test_a_unit_that_does_not_start_fails_the_write_and_leaves_the_tile_off(
    server: Server, phone: Phone, name: str
) -> None:
    tile = await phone.tile(name)
    answer = await tile.turn(True)
    assert (answer.http, answer.status) == (207, UNABLE)
    assert not await tile.is_on()
    row = server.tiles()[name.lower()]
    assert row["state"] == "off" and f"{name.lower()}.service is failed" in row["reason"]
    assert server.journal(name.lower())[-1]["outcome"] == "failed"


async def test_in_a_scene_each_tile_gets_its_own_status(server: Server, phone: Phone) -> None:
    web, stubborn = await phone.tile("Web"), await phone.tile("Stubborn")
    answer = await phone.put([(*web.id, True), (*stubborn.id, True)])
    assert answer.http == 207
    assert answer.statuses == {web.id: 0, stubborn.id: UNABLE}
    assert server.box.is_active("apache2")


async def test_a_unit_that_takes_its_time_is_held_and_settles_without_a_bounce(
    server: Server, phone: Phone
) -> None:
    tile = await phone.tile("Slow")
    await tile.turn(True)
    other = await server.another_phone()
    async with other.watching(tile.id) as events:
        answer = await tile.turn(False)
        assert (answer.http, answer.status) == (204, 0)
        assert server.box.run(["systemctl", "is-active", "slow"], check=False).stdout == "deactivating\n"
        assert not await tile.is_on()  # the wanted state is held
        assert server.tiles()["slow"]["wish"] == "off"
        await eventually(lambda: server.tiles()["slow"]["wish"] is None, within=40)
        assert server.box.run(["systemctl", "is-active", "slow"], check=False).stdout == "inactive\n"
        assert [event.value for event in events.seen] == [False]
    assert server.journal("slow")[-1]["outcome"] == "met"


async def test_restart_bounces_what_runs_and_turns_itself_off(server: Server, phone: Phone) -> None:
    server.box.run(["systemctl", "start", "apache2"])
    before = server.box.run(["systemctl", "show", "-P", "MainPID", "apache2"]).stdout
    tile, web = await phone.tile("Bounce Web"), await phone.tile("Web")
    await web.wait_until(True)
    async with phone.watching(tile.id, web.id) as events:
        assert (await tile.turn(True)).status == 0
        await events.wait_for(tile.id, False)
    assert server.box.is_active("apache2")
    assert server.box.run(["systemctl", "show", "-P", "MainPID", "apache2"]).stdout != before
    assert not [event for event in events.seen if event.id == web.id]  # no bounce of the other tile


async def test_restart_never_starts_what_does_not_run(server: Server, phone: Phone) -> None:
    tile = await phone.tile("Bounce Web")
    answer = await tile.turn(True)
    assert (answer.http, answer.status) == (207, NOT_IN_THIS_STATE)
    assert not server.box.is_active("apache2")
    assert not await tile.is_on()


async def test_a_death_that_systemd_mends_is_told_and_bounces_no_tile(server: Server, phone: Phone) -> None:
    tile = await phone.tile("Phoenix")
    await tile.turn(True)
    before = server.box.processes("sleep")
    async with phone.watching(tile.id) as events:
        server.box.run(["systemctl", "kill", "--signal=KILL", "phoenix"])
        await eventually(lambda: server.box.processes("sleep") not in ([], before))
        await eventually(lambda: server.box.is_active("phoenix"))
        assert await tile.is_on()
        assert not events.seen
    assert "auto-restart" in server.journal("phoenix")[-1]["reason"]


async def test_turning_everything_off_does_not_take_a_tile_that_ignores_it(
    server: Server, phone: Phone
) -> None:
    ignoring = "  web: {kind: services, name: Web, units: [apache2], bulk: ignore}\n"
    server.configure(CONFIG[: CONFIG.index("  web:")] + ignoring + TILES)
    server.box.run(["systemctl", "restart", "bellpull"])
    names = ("File Server", "Web", "Phoenix", "Slow")
    tiles = {name: await phone.tile(name) for name in names}
    await tiles["Web"].turn(True)
    await tiles["Phoenix"].turn(True)
    answer = await phone.put([(*tile.id, False) for tile in tiles.values()])
    assert answer.statuses[tiles["Web"].id] == NOT_IN_THIS_STATE
    assert server.box.is_active("apache2") and not server.box.is_active("phoenix")
    assert await tiles["Web"].is_on()
    assert (await tiles["Web"].turn(False)).status == 0  # alone, it obeys
