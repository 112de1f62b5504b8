"""Who hears what, and when: everyone who listens, once, and nobody what he said himself."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.contract import Change, State
from bridge.homekit import Companion, faces, writes
from tests.bridges import ON, Ours, ours, with_phone
from tests.fakes.machine import FakeMachine, failure
from tests.wire import Wire

LONG = 0.15  # seconds in which an event that is due would have come


def said(wire: Wire) -> list[list[tuple[int, Any]]]:
    """The events that came, each as (aid, value) of all it says."""
    return [[(item["aid"], item["value"]) for item in event["characteristics"]] for event in wire.events]


def item(bridge: Ours, key: str, value: bool) -> dict[str, Any]:
    aid, iid = bridge.on(key)
    return {"aid": aid, "iid": iid, "value": value}


@pytest.fixture
async def listening(bridge: Ours, phone: Wire, other: Wire) -> None:
    for wire in (phone, other):
        assert (await wire.listen(*map(bridge.on, bridge.machines))).status == 204
        await wire.get(*map(bridge.on, bridge.machines))


@pytest.mark.usefixtures("listening")
async def test_a_switch_turned_by_one_is_heard_by_the_others_only(
    bridge: Ours, phone: Wire, other: Wire
) -> None:
    await phone.put([item(bridge, "files", True)])
    await other.news()
    assert said(other) == [[(bridge.on("files")[0], True)]]
    assert await phone.quiet(LONG)


@pytest.mark.usefixtures("listening")
async def test_what_happens_outside_is_heard_by_all(bridge: Ours, phone: Wire, other: Wire) -> None:
    bridge.machines["files"].become(True)
    for wire in (phone, other):
        await wire.news()
        assert said(wire) == [[(bridge.on("files")[0], True)]]


@pytest.mark.usefixtures("listening")
async def test_a_wish_that_fails_at_once_bounces_nobody_elses_tile(
    bridge: Ours, phone: Wire, other: Wire
) -> None:
    bridge.machines["files"].trouble = failure()
    assert (await phone.put([item(bridge, "files", True)])).statuses == [-70402]
    assert await other.quiet(LONG)
    await phone.news()
    assert said(phone) == [[(bridge.on("files")[0], False)]]


@pytest.mark.usefixtures("listening")
async def test_what_takes_longer_is_told_as_wanted_and_as_it_was_when_it_fails(
    bridge: Ours, phone: Wire, other: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "PATIENCE", 0.2)
    monkeypatch.setattr(faces, "HOLD", 0.2)
    machine = bridge.machines["files"]
    machine.instant, machine.trouble = False, failure()
    assert (await phone.put([item(bridge, "files", True)])).status == 204
    await other.news()
    machine.finish()
    await other.news(2)
    await phone.news()
    aid = bridge.on("files")[0]
    assert said(other) == [[(aid, True)], [(aid, False)]]
    assert said(phone) == [[(aid, False)]]


@pytest.mark.usefixtures("listening")
async def test_on_off_on_in_a_breath_is_heard_once(bridge: Ours, phone: Wire, other: Wire) -> None:
    bridge.machines["files"].instant = False
    for value in (True, False, True):
        phone.request("PUT", "/characteristics", _body(item(bridge, "files", value)))
    await asyncio.sleep(0.05)
    bridge.machines["files"].finish()
    assert [(await phone.answer()).status for _ in range(3)] == [204] * 3
    await other.news()
    assert await other.quiet(LONG)
    assert said(other) == [[(bridge.on("files")[0], True)]]


def _body(*items: dict[str, Any]) -> bytes:
    return orjson.dumps({"characteristics": items})


async def test_a_group_of_twenty_is_one_event(tmp_path: Path) -> None:
    keys = [f"switch{number}" for number in range(20)]
    async with ours(tmp_path, keys) as bridge:
        pairing = await bridge.pair()
        async with bridge.phone(pairing) as phone, bridge.phone(pairing) as other:
            await other.listen(*map(bridge.on, keys))
            assert (await phone.put([item(bridge, key, True) for key in keys])).status == 204
            await other.news()
            assert await other.quiet(LONG)
            [event] = said(other)
            assert sorted(event) == [(bridge.on(key)[0], True) for key in keys]


@pytest.mark.usefixtures("listening")
async def test_who_stops_listening_hears_no_more(bridge: Ours, phone: Wire, other: Wire) -> None:
    await other.listen(*map(bridge.on, bridge.machines), to=False)
    await phone.put([item(bridge, "files", True)])
    assert await other.quiet(LONG)


@pytest.mark.usefixtures("listening")
async def test_an_accessory_that_comes_back_is_heard_of(bridge: Ours, phone: Wire) -> None:
    machine = bridge.machines["files"]
    machine.break_()
    while (await phone.get(bridge.on("files"))).status == 200:
        await asyncio.sleep(0.01)
    machine.on = True
    machine.mend()
    await phone.news()
    assert said(phone) == [[(bridge.on("files")[0], True)]]
    assert (await phone.get(bridge.on("files"))).status == 200


async def test_a_momentary_switch_turns_itself_back(tmp_path: Path) -> None:
    machine = FakeMachine(False)
    machine.rest = False
    async with with_phone(tmp_path, machines={"restart": machine}) as (bridge, phone):
        await phone.listen(bridge.on("restart"))
        machine.set = _pressed  # type: ignore[method-assign]
        assert (await phone.put([item(bridge, "restart", True)])).status == 204
        await phone.news()
        assert said(phone) == [[(bridge.on("restart")[0], False)]]


async def _pressed(on: bool) -> Any:
    return State(False)


# Companions

TROUBLE, DONE = Companion("files.trouble", "Files Trouble"), Companion("files.done", "Files Done")


async def test_trouble_opens_its_contact_sensor_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "DETECTED", 0.1)
    machine = FakeMachine(False)
    async with with_phone(tmp_path, machines={"files": machine}, companions=(TROUBLE, DONE)) as (
        bridge,
        phone,
    ):
        await phone.listen(bridge.on("files.trouble"), bridge.on("files.done"))
        machine.trouble = failure()
        await phone.put([item(bridge, "files", True)])
        await phone.news(2)
        aid = bridge.on("files.trouble")[0]
        assert said(phone) == [[(aid, 1)], [(aid, 0)]]


async def test_a_thing_that_dies_is_trouble_and_one_that_is_turned_off_is_not(tmp_path: Path) -> None:
    async with ours(tmp_path, companions=(TROUBLE,)) as bridge:
        face = bridge.homekit._faces["files.trouble"]
        change = Change("files", 0.0, True, False, "observed")
        bridge.homekit.changed(change)
        assert face.shows.value == 0
        bridge.homekit.changed(Change("files", 0.0, True, False, "observed", died=True))
        assert face.shows.value == 1


async def test_something_that_is_done_fires_when_it_is_said_to(tmp_path: Path) -> None:
    async with ours(tmp_path, companions=(DONE,)) as bridge, bridge.phone(await bridge.pair()) as phone:
        await phone.listen(bridge.on("files.done"))
        bridge.homekit.fire("files.done")
        bridge.homekit.fire("nobody.done")
        await phone.news()
        assert said(phone) == [[(bridge.on("files.done")[0], 1)]]
        [reading] = (await phone.get(bridge.on("files.done"))).json["characteristics"]
        assert reading["value"] == 1


async def test_a_sensor_cannot_be_written(tmp_path: Path) -> None:
    async with ours(tmp_path, companions=(DONE,)) as bridge, bridge.phone(await bridge.pair()) as phone:
        aid, iid = bridge.on("files.done")
        assert iid == ON
        assert (await phone.put([{"aid": aid, "iid": iid, "value": 1}])).statuses == [-70404]
