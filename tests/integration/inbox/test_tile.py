"""The tile of a bridge that is run by hand: the worker is its child."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.bridge import Bridge, running
from tests.inbox import Folder, picture, the_same_end

KEY = "scans"
SCANS = 300  # more than any machine works in the second that an "off" may take


def tile(folder: Folder, more: str = "") -> str:
    places = f"inbox: {folder.inbox}, output: {folder.output}"
    return f"  {KEY}: {{kind: process_scans, name: Process Scans, {places}{more}}}\n"


async def until(true: Callable[[], bool], within: float = 40) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.1)


async def rows(bridge: Bridge) -> list[str]:
    return [row["reason"] for row in await bridge.story(KEY) if row["reason"]]


async def wish_ended(bridge: Bridge) -> None:
    async with asyncio.timeout(60):
        while (await bridge.story(KEY))[-1]["outcome"] != "met":
            await asyncio.sleep(0.1)


async def test_on_works_the_inbox_and_goes_off_the_sensor_fires_and_the_journal_agrees(
    folder: Folder, tmp_path: Path
) -> None:
    folder.put("a.png", picture(1))
    folder.put("Italy 1987/b.png", picture(2))
    async with running(tile(folder), tmp_path) as bridge:
        phone = await bridge.paired_phone()
        scans, done = await phone.tile("Process Scans"), await phone.sensor("Process Scans Done")
        async with phone.watching(scans.id, done) as events:
            assert (await scans.turn(True)).status == 0
            assert await scans.is_on()
            await events.wait_for(done, 1, within=40)
            await events.wait_for(scans.id, False, within=10)
        the_same_end(folder)
        assert {"a.png: 2 photos", "Italy 1987/b.png: 2 photos", "4 photos of 2 scans"} <= set(
            await rows(bridge)
        )


async def test_an_empty_inbox_is_nobodys_news(folder: Folder, tmp_path: Path) -> None:
    async with running(tile(folder), tmp_path) as bridge:
        phone = await bridge.paired_phone()
        scans = await phone.tile("Process Scans")
        assert (await scans.turn(True)).status == 0
        await scans.wait_until(False, within=30)
        assert await rows(bridge) == []


async def test_off_finishes_what_is_in_hand_and_leaves_the_rest(folder: Folder, tmp_path: Path) -> None:
    for n in range(SCANS):
        folder.put(f"{n}.png", picture(n))
    async with running(tile(folder), tmp_path) as bridge:
        phone = await bridge.paired_phone()
        scans = await phone.tile("Process Scans")
        assert (await scans.turn(True)).status == 0
        await until(
            lambda: len(folder.files(folder.inbox / "done") if (folder.inbox / "done").exists() else []) > 2
        )
        assert (await scans.turn(False)).status == 0
        await wish_ended(bridge)  # the tile stands at what is wanted until then
        left = [name for name in folder.files(folder.inbox) if "/" not in name]
        done = folder.files(folder.inbox / "done")
        assert left and len(left) + len(done) == SCANS
        assert len(folder.photos()) == 2 * len(done)
    assert folder.run().returncode == 0
    the_same_end(folder)


async def test_what_is_automatic_is_on_from_the_start_and_off_is_a_pause(
    folder: Folder, tmp_path: Path
) -> None:
    async with running(tile(folder, ", auto: true"), tmp_path) as bridge:
        phone = await bridge.paired_phone()
        scans = await phone.tile("Process Scans")
        await scans.wait_until(True, within=20)
        folder.put("Album/a.png", picture(1))
        await until(lambda: len(folder.photos()) == 2)
        assert await scans.is_on()
        assert (await scans.turn(False)).status == 0
        folder.put("b.png", picture(2))
        await bridge.restart()
        await asyncio.sleep(7)
        assert not await (await phone.tile("Process Scans")).is_on()
        assert (folder.inbox / "b.png").exists()


async def test_a_killed_bridge_takes_its_worker_along_and_nothing_is_lost(
    folder: Folder, tmp_path: Path
) -> None:
    for n in range(12):
        folder.put(f"{n}.png", picture(n))
    async with running(tile(folder), tmp_path) as bridge:
        phone = await bridge.paired_phone()
        assert (await (await phone.tile("Process Scans")).turn(True)).status == 0
        await until(lambda: len(folder.photos()) > 2)
        await bridge.end(9)
        await asyncio.sleep(7)  # the leash lets it finish what it has in hand
        assert set(folder.originals()) == set(folder.given)
    assert folder.run().returncode == 0
    the_same_end(folder)
