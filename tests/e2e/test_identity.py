"""Rooms and automations hang on accessory ids: what a person may change without losing them."""

from tests.e2e.server import CONFIG, Server
from tests.phone import Phone

REORDERED = """\
accessories:
  web: {kind: services, name: Home Page, units: [apache2]}
  file_server: {kind: services, name: Files, units: [smbd, nmbd, netatalk]}
"""
HEAD = CONFIG[: CONFIG.index("accessories:")]


async def reconfigured(server: Server, accessories: str) -> None:
    server.configure(HEAD + accessories)
    server.box.run(["systemctl", "restart", "bellpull"])


async def names(phone: Phone) -> list[str]:
    listed = []
    for accessory in await phone.accessories():
        [service] = [s for s in accessory["services"] if s["type"].startswith("0000003E")]
        listed += [c["value"] for c in service["characteristics"] if c["type"].startswith("00000023")]
    return listed


async def test_renaming_and_reordering_changes_nothing_but_the_names(server: Server, phone: Phone) -> None:
    files, web = await phone.tile("File Server"), await phone.tile("Web")
    await reconfigured(server, REORDERED)
    assert (await phone.tile("Files")).id == files.id
    assert (await phone.tile("Home Page")).id == web.id


async def test_an_entry_with_a_mistake_stays_unavailable_and_the_others_work(
    server: Server, phone: Phone
) -> None:
    files, web = await phone.tile("File Server"), await phone.tile("Web")
    text = HEAD + REORDERED.replace("units: [apache2]", "unit: [apache2]")
    server.box.write("/etc/bellpull/config.yaml", text, 0o640)
    server.box.run(["chgrp", "bellpull", "/etc/bellpull/config.yaml"])
    checked = server.box.run(["bellpull", "check"], check=False)
    assert checked.returncode == 2 and "/etc/bellpull/config.yaml:" in checked.stdout
    server.box.run(["systemctl", "restart", "bellpull"])
    assert (await web.read()).status != 0
    assert (await web.turn(True)).status != 0
    await files.wait_until(False)
    assert (await files.turn(True)).status == 0
    await reconfigured(server, REORDERED)
    await web.wait_until(False)
    assert (await web.turn(True)).status == 0


async def test_an_entry_that_is_gone_keeps_its_place_until_it_is_forgotten(
    server: Server, phone: Phone
) -> None:
    web = await phone.tile("Web")
    await reconfigured(server, "\n".join(line for line in REORDERED.splitlines() if "apache2" not in line))
    assert (await web.read()).status != 0
    assert len(await names(phone)) == 3  # the bridge itself, Files, and the place of Web
    server.box.run(["bellpull", "forget", "web"])
    assert len(await names(phone)) == 2


async def test_a_key_that_is_written_again_gets_its_old_id(server: Server, phone: Phone) -> None:
    web = await phone.tile("Web")
    await reconfigured(server, "\n".join(line for line in REORDERED.splitlines() if "apache2" not in line))
    await reconfigured(server, REORDERED)
    assert (await phone.tile("Home Page")).id == web.id
