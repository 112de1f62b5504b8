"""A PUT says what came of it, and nobody waits for another's."""

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.contract import Outcome, Refused
from bridge.homekit import writes
from tests.bridges import Ours, with_phone
from tests.fakes.machine import FakeMachine, failure
from tests.wire import Wire


def item(bridge: Ours, key: str, value: Any) -> dict[str, Any]:
    aid, iid = bridge.on(key)
    return {"aid": aid, "iid": iid, "value": value}


def body(*items: dict[str, Any]) -> bytes:
    return orjson.dumps({"characteristics": items})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The short deadline, shorter."""
    monkeypatch.setattr(writes, "PATIENCE", 0.3)


async def test_a_switch_does_what_it_is_told_and_says_who_told_it(
    bridge: Ours, phone: Wire, pairing: dict[str, Any]
) -> None:
    assert (await phone.put([item(bridge, "files", True)])).status == 204
    assert bridge.machines["files"].on is True
    assert bridge.ear.changes[-1].who == f"HomeKit {pairing['iOSPairingId'][:4].upper()}"


async def test_nought_and_one_are_off_and_on(bridge: Ours, phone: Wire) -> None:
    assert (await phone.put([item(bridge, "files", 1)])).status == 204
    assert bridge.machines["files"].on is True
    assert (await phone.put([item(bridge, "files", 0)])).status == 204
    assert bridge.machines["files"].on is False


async def test_turning_off_what_is_off_goes_well(bridge: Ours, phone: Wire) -> None:
    assert (await phone.put([item(bridge, "files", False)])).status == 204


async def test_each_item_of_a_request_has_its_own_outcome(bridge: Ours, phone: Wire) -> None:
    bridge.machines["web"].trouble = failure("apache2.service did not start")
    bridge.machines["guests"].trouble = Refused("nothing runs")
    answer = await phone.put([item(bridge, key, True) for key in ("files", "web", "guests")])
    assert (answer.status, answer.statuses) == (207, [0, -70402, -70412])


async def test_the_writes_of_a_request_run_at_once(bridge: Ours, phone: Wire) -> None:
    for machine in bridge.machines.values():
        machine.instant = False
    phone.request("PUT", "/characteristics", body(*(item(bridge, key, True) for key in bridge.machines)))
    while not all(machine.busy for machine in bridge.machines.values()):
        await asyncio.sleep(0.001)
    for machine in bridge.machines.values():
        machine.finish()
    assert (await phone.answer()).status == 204


@pytest.mark.usefixtures("impatient")
async def test_what_takes_longer_is_accepted_and_shows_what_is_wanted(bridge: Ours, phone: Wire) -> None:
    bridge.machines["files"].instant = False
    assert (await phone.put([item(bridge, "files", True)])).status == 204
    assert (await phone.get(bridge.on("files"))).json["characteristics"][0]["value"] is True
    assert bridge.machines["files"].on is False
    assert not [change for change in bridge.ear.changes if change.outcome]
    bridge.machines["files"].finish()
    await asyncio.sleep(0.05)
    assert bridge.ear.changes[-1].outcome is Outcome.MET


async def test_a_wish_that_is_overtaken_has_not_failed(bridge: Ours, phone: Wire, other: Wire) -> None:
    bridge.machines["files"].instant = False
    phone.request("PUT", "/characteristics", body(item(bridge, "files", True)))
    while not bridge.machines["files"].busy:
        await asyncio.sleep(0.001)
    bridge.machines["files"].instant = True
    assert (await other.put([item(bridge, "files", False)])).status == 204
    assert (await phone.answer()).status == 204
    assert bridge.machines["files"].on is False


async def test_a_wish_past_its_deadline_is_told_as_timed_out(tmp_path: Path) -> None:
    machines = {"files": FakeMachine(False, instant=False)}
    async with with_phone(tmp_path, machines=machines, deadline=0.1) as (bridge, phone):
        assert (await phone.put([item(bridge, "files", True)])).statuses == [-70408]


async def test_turning_everything_off_spares_who_asked_for_it(tmp_path: Path) -> None:
    keys = ("files", "web", "vpn")
    machines = {key: FakeMachine(True) for key in keys}
    async with with_phone(tmp_path, machines=machines, bulk=("vpn",)) as (bridge, phone):
        answer = await phone.put([item(bridge, key, False) for key in keys])
        assert (answer.status, answer.statuses) == (207, [0, 0, -70412])
        assert [machines[key].on for key in keys] == [False, False, True]


async def test_turning_off_two_is_not_turning_everything_off(tmp_path: Path) -> None:
    machines = {key: FakeMachine(True) for key in ("files", "web", "vpn")}
    async with with_phone(tmp_path, machines=machines, bulk=("vpn",)) as (bridge, phone):
        off = [item(bridge, "web", False), item(bridge, "vpn", False), item(bridge, "files", True)]
        assert (await phone.put(off)).status == 204
        assert machines["vpn"].on is False


# Timed writes


async def prepare(phone: Wire, pid: int, ttl: int = 5000) -> int:
    return (await phone.ask("PUT", "/prepare", orjson.dumps({"pid": pid, "ttl": ttl}))).json["status"]  # type: ignore[no-any-return]


async def test_a_write_that_was_announced_is_executed_once(bridge: Ours, phone: Wire) -> None:
    assert await prepare(phone, 11) == 0
    assert (await phone.put([item(bridge, "files", True)], pid=11)).status == 204
    assert (await phone.put([item(bridge, "files", False)], pid=11)).statuses == [-70410]
    assert bridge.machines["files"].on is True


async def test_a_write_that_comes_too_late_is_not_executed(bridge: Ours, phone: Wire) -> None:
    await prepare(phone, 11, ttl=20)
    await asyncio.sleep(0.05)
    assert (await phone.put([item(bridge, "files", True)], pid=11)).statuses == [-70410]
    assert bridge.machines["files"].on is False


@pytest.mark.parametrize(
    "nonsense", [b"[]", b"{}", b'{"pid": 1}', b'{"pid": 1, "ttl": 0}', b'{"pid": "1", "ttl": 5}']
)
async def test_an_announcement_of_nothing_is_refused(phone: Wire, nonsense: bytes) -> None:
    assert (await phone.ask("PUT", "/prepare", nonsense)).status == 400


async def test_what_another_controller_announced_is_not_ours_to_write(
    bridge: Ours, phone: Wire, other: Wire
) -> None:
    await prepare(other, 11)
    assert (await phone.put([item(bridge, "files", True)], pid=11)).statuses == [-70410]


# Nonsense


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"characteristics": 1}',
        b'{"characteristics": []}',
        b'{"characteristics": [1]}',
        b'{"characteristics": [{"aid": 2}]}',
        b'{"characteristics": [{"aid": "2", "iid": 9, "value": true}]}',
        b"[" * 100_000,
    ],
)
async def test_nonsense_is_refused_and_changes_nothing(bridge: Ours, phone: Wire, nonsense: bytes) -> None:
    assert (await phone.ask("PUT", "/characteristics", nonsense)).status == 400
    assert (await phone.get(bridge.on("files"))).status == 200
    assert not any(machine.asked for machine in bridge.machines.values())


async def test_to_listen_is_yes_or_no(bridge: Ours, phone: Wire) -> None:
    aid, iid = bridge.on("files")
    assert (await phone.put([{"aid": aid, "iid": iid, "ev": "yes"}])).statuses == [-70410]


@pytest.mark.parametrize("query", ["", "?id=", "?id=2", "?id=2.9,", "?id=a.b", "?id=2.9.1", "?id=-1.9"])
async def test_a_read_of_nothing_in_particular_is_refused(phone: Wire, query: str) -> None:
    assert (await phone.ask("GET", f"/characteristics{query}")).status == 400


async def test_a_read_may_ask_for_more_than_the_value(bridge: Ours, phone: Wire) -> None:
    answer = await phone.get(bridge.on("files"), more="&meta=1&perms=1&type=1&ev=1")
    [described] = answer.json["characteristics"]
    expected = {"format": "bool", "perms": ["pr", "pw", "ev"], "type": "25", "ev": False, "value": False}
    assert expected.items() <= described.items()


# Pipelining


async def test_requests_in_a_row_start_together_and_are_answered_in_order(
    bridge: Ours, phone: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight writes to what takes half a minute, and a read behind them: one wait for all."""
    monkeypatch.setattr(writes, "PATIENCE", 1.0)
    machines = list(bridge.machines.values())
    for machine in machines:
        machine.instant = False
    start = time.monotonic()
    for number in range(8):
        key = list(bridge.machines)[number % 3]
        phone.request("PUT", "/characteristics", body(item(bridge, key, True)))
    phone.request("GET", "/characteristics?id=" + ".".join(map(str, bridge.on("files"))))
    while not all(machine.busy for machine in machines):
        await asyncio.sleep(0.001)
    assert [(await phone.answer()).status for _ in range(9)] == [204] * 8 + [200]
    # Eight waits of a second each would show on the slowest machine.
    assert time.monotonic() - start < 6


async def test_a_controller_that_asks_faster_than_it_reads_is_slowed_down_and_still_answered(
    tmp_path: Path,
) -> None:
    """Forty megabytes: more than any buffer on the way."""
    async with with_phone(tmp_path, keys=[f"switch{number}" for number in range(140)]) as (bridge, phone):
        for _ in range(400):
            phone.request("GET", "/accessories")
        while not any(connection._choked for connection in bridge.homekit._driver.http_server._controllers):
            await asyncio.sleep(0.01)
        assert [(await phone.answer(30)).status for _ in range(400)] == [200] * 400


# Bugs


async def test_a_tile_with_a_bug_fails_alone(
    bridge: Ours, phone: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(on: bool, who: str, *, bulk: bool = False) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(bridge.keepers["files"], "wish", bug)
    answer = await phone.put([item(bridge, "files", True), item(bridge, "web", True)])
    assert (answer.status, answer.statuses) == (207, [-70402, 0])
    assert "a bug" in caplog.text


async def test_a_bug_in_a_request_is_answered_and_logged(
    bridge: Ours, phone: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bridge.homekit._driver, "find", None)
        assert (await phone.get(bridge.on("files"))).status == 500
    assert "a request failed" in caplog.text
    assert (await phone.get(bridge.on("files"))).status == 200
