"""From `make install` to a tile on the phone, in the steps that README and the installer give."""

import asyncio
import re

import pytest

from tests.e2e.box import Box
from tests.phone import Phone, advertised


@pytest.fixture
def started(installed: Box) -> Box:
    """With the configuration that `init` wrote from what it found."""
    installed.run(["systemctl", "enable", "--now", "bellpull"])
    return installed


def shown_code(box: Box) -> str:
    [code] = re.findall(r"\b\d{3}-\d{2}-\d{3}\b", box.run(["bellpull", "pair"]).stdout)
    return str(code)


async def test_a_phone_finds_the_bridge_pairs_with_the_code_shown_and_has_the_servers_tiles(
    started: Box,
) -> None:
    phone = await started.lan.run(Phone.find("Bellpull"))
    assert phone.service.addresses == [started.address]
    await phone.pair(shown_code(started))
    tile = await phone.tile("File Server")
    assert (await tile.turn(True)).status == 0
    assert started.processes("smbd") and started.processes("nmbd")
    await phone.close()


async def hears(box: Box, status_flags: int) -> None:
    """An advertisement with these flags: it follows the answer, and may come a moment later."""
    async with asyncio.timeout(10):
        while (await box.lan.run(advertised("Bellpull"))).status_flags != status_flags:
            await asyncio.sleep(0.1)


async def test_mdns_says_whether_the_bridge_is_paired(started: Box) -> None:
    await hears(started, 1)
    phone = await started.lan.run(Phone.find("Bellpull"))
    await phone.pair(shown_code(started))
    await hears(started, 0)
    await phone.unpair()
    await hears(started, 1)
    await phone.close()


async def test_mdns_keeps_quiet_about_networks_that_are_not_a_homes(installed: Box) -> None:
    for name in ("docker0", "virbr0"):
        installed.run(["ip", "link", "add", name, "type", "bridge"])
        installed.run(["ip", "addr", "add", f"172.{17 if name == 'docker0' else 18}.0.1/16", "dev", name])
        installed.run(["ip", "link", "set", name, "up"])
    installed.run(["systemctl", "start", "bellpull"])
    assert (await installed.lan.run(advertised("Bellpull"))).addresses == [installed.address]


async def test_the_code_on_paper_stays_valid(started: Box) -> None:
    code = shown_code(started)
    started.run(["systemctl", "restart", "bellpull"])
    assert shown_code(started) == code


def test_the_configuration_it_wrote_has_no_errors(started: Box) -> None:
    assert "no errors" in started.run(["bellpull", "check"]).stdout
    assert started.run(["bellpull", "apply"]).stdout == "nothing to change\n"


def test_only_the_group_may_speak_to_the_bridge_and_only_root_sees_codes(started: Box) -> None:
    started.run(["useradd", "--groups", "bellpull", "ann"])
    started.run(["useradd", "stranger"])
    assert "File Server" in started.run(["bellpull", "list"], user="ann").stdout
    assert started.run(["bellpull", "pair"], user="ann", check=False).returncode == 1
    refused = started.run(["bellpull", "list"], user="stranger", check=False)
    assert refused.returncode != 0 and len(refused.stderr.splitlines()) == 1
