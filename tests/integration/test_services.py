"""`kind: services` over a real D-Bus: the units' story from the bus to the tile."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from dbus_fast import Message
from dbus_fast.aio import MessageBus

from accessories.services import Services, Units
from bridge.contract import Accessory, Failed, Outcome, Refused, State, Unavailable, UnitGrant, Vitals
from bridge.keeper import Keeper
from bridge.tools import Tools
from bridge.tools import systemd as module
from tests.children import until
from tests.fakes.systemd import MANAGER, PATH, PROPERTIES, FakeRoot, FakeSystemd, a_bus, systemd

pytestmark = pytest.mark.skipif(not shutil.which("dbus-daemon"), reason="this machine has no dbus-daemon")


@dataclass
class Machine:
    fake: FakeSystemd
    tools: Tools

    def tile(self, *units: str) -> Accessory:
        return Services(units).open("files", self.tools)


@asynccontextmanager
async def manned(address: str, folder: Path) -> AsyncIterator[Machine]:
    async with systemd(address) as fake:
        tools = Tools(folder)
        tools.__dict__["root"] = FakeRoot(fake)
        yield Machine(fake, tools)
        await tools.close()


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    with a_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        async with manned(address, tmp_path) as machine:
            yield machine


async def state_with(states: AsyncGenerator[State, None], on: bool | None, *, moving: bool = False) -> State:
    """The first state that is so."""
    async with asyncio.timeout(20):
        async for state in states:
            if state.on is on and state.moving is moving:
                return state
    raise AssertionError("the watch ended")


# Watching


async def test_the_tile_is_on_when_all_units_are_and_names_the_one_that_is_down(machine: Machine) -> None:
    smbd, nmbd = machine.fake.add("smbd.service", "active"), machine.fake.add("nmbd.service", "active")
    async with aclosing(machine.tile("smbd.service", "nmbd.service").watch()) as states:
        assert await anext(states) == State(True)
        machine.fake.become(nmbd, "failed")
        assert await anext(states) == State(False, died=True, reason="nmbd.service is failed")
        machine.fake.become(smbd, "inactive")
        both = "smbd.service is inactive, nmbd.service is failed"
        assert await anext(states) == State(False, died=True, reason=both)
        machine.fake.become(nmbd, "activating")
        assert (await anext(states)).moving
        machine.fake.become(nmbd, "active")
        machine.fake.become(smbd, "reloading")
        assert (await state_with(states, True)).reason == ""


async def test_what_does_not_concern_the_tile_wakes_nobody(machine: Machine) -> None:
    machine.fake.add("smbd.service", "active")
    other = machine.fake.add("other.service", "active")
    async with aclosing(machine.tile("smbd.service").watch()) as states:
        await anext(states)
        before = machine.fake.reads
        waiting = asyncio.ensure_future(anext(states))
        for _ in range(20):
            machine.fake.become(other, "inactive")
        await machine.tools.systemd.property((await machine.tools.systemd.read(["smbd.service"]))[0], "Type")
        assert machine.fake.reads == before + 1 and not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_signals_without_end_cost_ten_reads_a_second_and_are_followed_to_their_end(
    machine: Machine,
) -> None:
    chatty = machine.fake.add("chatty.service", "active")
    async with aclosing(machine.tile("chatty.service").watch()) as states:
        await anext(states)
        before = machine.fake.reads
        following = asyncio.ensure_future(state_with(states, False))
        for number in range(200):
            machine.fake.become(chatty, "active", str(number))
            await asyncio.sleep(0.002)
        assert machine.fake.reads - before < 60
        machine.fake.become(chatty, "failed")
        assert (await following).died


async def test_a_unit_file_that_goes_and_comes_back_is_seen_by_daemon_reload(machine: Machine) -> None:
    unit = machine.fake.add("smbd.service", "active")
    async with aclosing(machine.tile("smbd.service").watch()) as states:
        await anext(states)
        machine.fake.become(machine.fake.units.pop("smbd.service"), "inactive")
        machine.fake.reload()
        assert (await state_with(states, False)).reason == "smbd.service does not exist"
        machine.fake.units["smbd.service"] = unit
        machine.fake.reload()
        machine.fake.become(unit, "active")
        assert await state_with(states, True) == State(True)


async def test_an_alias_is_followed_to_its_unit_even_when_it_becomes_one_later(machine: Machine) -> None:
    real = machine.fake.add("smbd.service", "inactive")
    async with aclosing(machine.tile("samba.service").watch()) as states:
        assert (await anext(states)).reason == "samba.service does not exist"
        machine.fake.aliases["samba.service"] = "smbd.service"
        machine.fake.reload()
        assert (await anext(states)).reason == "samba.service is inactive"
        machine.fake.become(real, "active")
        assert await anext(states) == State(True)


async def test_a_masked_unit_is_down_and_says_so(machine: Machine) -> None:
    machine.fake.add("smbd.service", load="masked")
    tile = machine.tile("smbd.service")
    async with aclosing(tile.watch()) as states:
        assert (await anext(states)).reason == "smbd.service is masked"
    with pytest.raises(Failed, match=r"smbd\.service is masked"):
        await tile.set(True)
    assert not machine.fake.asked


async def test_more_units_than_the_bus_has_match_rules_are_watched_all(machine: Machine) -> None:
    names = [f"unit{number}.service" for number in range(600)]
    units = [machine.fake.add(name, "active") for name in names]
    async with aclosing(machine.tile(*names).watch()) as states:
        assert await anext(states) == State(True)
        for number in (0, 300, 599):
            machine.fake.become(units[number], "inactive")
            assert names[number] in (await anext(states)).reason


async def test_tiles_that_start_together_ask_together(machine: Machine) -> None:
    names = [f"{number}u@x.service" for number in range(20)]
    for name in names:
        machine.fake.add(name, "active")
    tiles = [Services((name,)).open(name, machine.tools) for name in names]
    async with AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(aclosing(tile.watch())) for tile in tiles]
        states = await asyncio.gather(*(anext(states) for states in watches))
        assert all(state.on for state in states) and machine.fake.reads <= len(names) // 2
        machine.fake.become(machine.fake.units[names[7]], "failed")
        assert (await anext(watches[7])).died


async def test_a_name_that_systemd_does_not_take_is_the_trouble_of_its_own_tile_only(
    machine: Machine,
) -> None:
    machine.fake.add("web.service", "active")
    bad, good = machine.tools.systemd.read(["no name.service"]), machine.tools.systemd.read(["web.service"])
    told = await asyncio.gather(bad, good, return_exceptions=True)
    assert isinstance(told[0], Unavailable) and "does not take no name.service" in str(told[0])
    assert not isinstance(told[1], BaseException) and told[1][0].up


async def test_watches_that_end_leave_nothing_behind(machine: Machine) -> None:
    machine.fake.add("smbd.service", "active")
    for _ in range(5):
        async with aclosing(machine.tile("smbd.service").watch()) as states:
            await anext(states)
    client = machine.tools.systemd
    assert not client._waiting and not client._jobs
    assert client._link is not None and len(client._link.rules) == 4


async def test_signals_that_somebody_else_sends_straight_to_the_bridge_are_not_believed(
    machine: Machine,
) -> None:
    unit = machine.fake.add("smbd.service", "active", hold=True)
    tile = machine.tile("smbd.service")
    stopping = asyncio.ensure_future(tile.set(False))
    await until(lambda: machine.fake.asked)
    client = machine.tools.systemd
    assert client._link is not None
    liar = await MessageBus(bus_address=os.environ["DBUS_SYSTEM_BUS_ADDRESS"]).connect()
    lies: list[tuple[str, str, str, str, list[object]]] = [
        (PATH, MANAGER, "JobRemoved", "uoss", [1, "/", "smbd.service", "failed"]),
        (unit.path, PROPERTIES, "PropertiesChanged", "sa{sv}as", ["x", {}, []]),
        (PATH, "org.freedesktop.DBus", "NameOwnerChanged", "sss", ["org.freedesktop.systemd1", ":1.0", ""]),
    ]
    for path, interface, member, signature, body in lies:
        lie = Message.new_signal(path, interface, member, signature, body)
        lie.destination = client._link.bus.unique_name
        await liar.send(lie)
    liar.disconnect()
    before = client._link
    await client.read(["smbd.service"])
    assert client._link is before
    assert [jobs.results for jobs in client._jobs] == [[]]
    machine.fake.finish(unit)
    assert (await stopping).on is False


# Moving


async def test_units_are_started_in_order_and_stopped_in_reverse(machine: Machine) -> None:
    names = ("smbd.service", "nmbd.service", "netatalk.service")
    for name in names:
        machine.fake.add(name)
    tile = machine.tile(*names)
    assert await tile.set(True) == State(True)
    assert (await tile.set(False)).on is False
    assert machine.fake.asked == [("start", name) for name in names] + [
        ("stop", name) for name in names[::-1]
    ]


async def test_turning_on_starts_what_is_missing_and_off_stops_what_runs(machine: Machine) -> None:
    machine.fake.add("smbd.service", "active")
    machine.fake.add("nmbd.service", "failed")
    tile = machine.tile("smbd.service", "nmbd.service")
    await tile.set(False)
    assert machine.fake.asked == [("stop", "smbd.service")]
    machine.fake.become(machine.fake.units["smbd.service"], "active")
    machine.fake.asked.clear()
    await tile.set(True)
    assert machine.fake.asked == [("start", "nmbd.service")]


async def test_a_unit_that_does_not_start_fails_the_wish_and_nothing_after_it_is_tried(
    machine: Machine,
) -> None:
    machine.fake.add("smbd.service", fate={"start": "failed"})
    machine.fake.add("nmbd.service")
    said = r"^smbd\.service did not start \(exit-code\); see `journalctl -u smbd\.service`$"
    with pytest.raises(Failed, match=said):
        await machine.tile("smbd.service", "nmbd.service").set(True)
    assert machine.fake.asked == [("start", "smbd.service")]


async def test_a_unit_that_does_not_exist_is_told_before_anything_is_started(machine: Machine) -> None:
    machine.fake.add("smbd.service")
    with pytest.raises(Failed, match=r"^nope\.service does not exist$"):
        await machine.tile("smbd.service", "nope.service").set(True)
    assert not machine.fake.asked


async def test_a_dependency_that_fails_is_named_as_the_reason(machine: Machine) -> None:
    machine.fake.add("smbd.service", fate={"start": "dependency"}, ends={"start": "inactive"})
    with pytest.raises(Failed, match=r"smbd\.service did not start \(dependency\)"):
        await machine.tile("smbd.service").set(True)


async def test_a_start_that_somebody_stops_ends_as_the_machine_does(machine: Machine) -> None:
    unit = machine.fake.add("smbd.service", hold=True)
    starting = asyncio.ensure_future(machine.tile("smbd.service").set(True))
    await until(lambda: machine.fake.asked)
    machine.fake.queue("stop", "smbd.service")
    machine.fake.finish(unit)
    assert (await starting).on is False


async def test_a_job_that_is_canceled_and_leaves_the_unit_down_fails_the_wish(machine: Machine) -> None:
    machine.fake.add("smbd.service", fate={"start": "canceled"}, ends={"start": "inactive"})
    with pytest.raises(Failed, match=r"smbd\.service did not start \(canceled\)"):
        await machine.tile("smbd.service").set(True)


async def test_a_unit_whose_condition_fails_is_off_although_its_job_is_done(machine: Machine) -> None:
    machine.fake.add("smbd.service", ends={"start": "inactive"})
    assert await machine.tile("smbd.service").set(True) == State(False, reason="smbd.service is inactive")


async def test_a_simple_service_that_dies_at_once_is_a_failed_start(machine: Machine) -> None:
    unit = machine.fake.add("x.service", type="simple")
    starting = asyncio.ensure_future(machine.tile("x.service").set(True))
    await until(lambda: unit.active == "active")
    machine.fake.become(unit, "failed", result="exit-code")
    with pytest.raises(Failed, match=r"x\.service did not start \(exit-code\)"):
        await starting


async def test_a_service_that_systemd_starts_again_and_again_is_still_moving(machine: Machine) -> None:
    unit = machine.fake.add("x.service", type="simple")
    starting = asyncio.ensure_future(machine.tile("x.service").set(True))
    await until(lambda: unit.active == "active")
    machine.fake.become(unit, "activating", "auto-restart")
    assert (await starting).moving
    await machine.tile("x.service").set(False)
    assert machine.fake.asked[-1] == ("stop", "x.service")


async def test_restart_moves_what_runs_and_never_starts_what_does_not(machine: Machine) -> None:
    machine.fake.add("smbd.service", "active")
    nmbd = machine.fake.add("nmbd.service", "inactive")
    tile = machine.tile("smbd.service", "nmbd.service")
    await tile.restart()
    assert machine.fake.asked == [("restart", "smbd.service")]
    assert nmbd.active == "inactive"
    machine.fake.become(machine.fake.units["smbd.service"], "inactive")
    with pytest.raises(Refused, match=r"nothing to restart: smbd\.service is inactive, nmbd"):
        await tile.restart()


# Coming and going of the bus


@asynccontextmanager
async def kept(machine_tile: Accessory) -> AsyncIterator[Keeper]:
    keeper = Keeper("files", "Files", machine_tile, deadline=30)
    watching = asyncio.create_task(keeper.run())
    yield keeper
    await keeper.close()
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_bridge_that_is_up_before_the_bus_and_one_whose_bus_is_killed_find_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
    monkeypatch.setattr("bridge.keeper.RETRY_LAST", 0.2)
    tools = Tools(tmp_path)
    async with kept(Units(["smbd.service"], tools)) as keeper:
        await until(lambda: "the D-Bus system bus cannot be reached" in keeper.state.reason)
        assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.UNAVAILABLE
        for _ in range(2):
            with a_bus(tmp_path) as place:
                async with systemd(place) as fake:
                    unit = fake.add("smbd.service", "active")
                    tools.__dict__["root"] = FakeRoot(fake)
                    await until(lambda: keeper.shown is True)
                    fake.become(unit, "inactive")
                    await until(lambda: keeper.shown is False)
                    assert (await keeper.wish(True, "Anna").verdict).outcome is Outcome.MET
            await until(lambda: keeper.shown is None)
    await tools.close()
    assert not [record for record in caplog.records if record.name.startswith("bridge")]


async def test_a_systemd_that_leaves_the_bus_and_comes_back_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_bus(tmp_path) as place:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", place)
        tools = Tools(tmp_path)
        async with kept(Units(["smbd.service"], tools)) as keeper:
            for _ in range(2):
                async with systemd(place) as fake:
                    fake.add("smbd.service", "active")
                    await until(lambda: keeper.shown is True)
                await until(lambda: keeper.shown is None)
        await tools.close()


async def test_a_systemd_that_does_not_answer_makes_the_tile_unavailable(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER", 0.2)
    machine.fake.add("smbd.service", "active")
    await machine.tools.systemd.read(["smbd.service"])
    machine.fake.deaf = True
    with pytest.raises(Unavailable, match="systemd does not answer"):
        await machine.tile("smbd.service").set(True)


async def test_an_address_that_makes_no_sense_is_a_bus_that_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "nonsense")
    with pytest.raises(Unavailable, match="the D-Bus system bus cannot be reached"):
        await Tools(tmp_path).systemd.read(["smbd.service"])


# What check and apply want to know


async def test_check_doubts_what_is_not_installed(machine: Machine) -> None:
    machine.fake.add("smbd.service")
    machine.fake.add("nmbd.service", load="masked")
    doubts = await Services(("smbd.service", "nmbd.service", "nope.service")).doubts(machine.tools)
    assert list(doubts) == [
        "nmbd.service is masked on this machine",
        "nope.service does not exist on this machine",
    ]


def test_root_is_asked_for_the_units_and_nothing_else() -> None:
    assert list(Services(("a.service", "b.timer")).grants("x")) == [
        UnitGrant("a.service"),
        UnitGrant("b.timer"),
    ]


async def test_what_to_measure_is_the_units_control_groups_and_main_processes(machine: Machine) -> None:
    ours = Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2]
    machine.fake.add("smbd.service", "active", cgroup=ours, pid=os.getpid())
    machine.fake.add("files.target", "active")
    tile = machine.tile("smbd.service", "files.target")
    assert await tile.vitals() == Vitals((ours,), (os.getpid(),))


async def test_where_to_measure_is_asked_again_when_the_process_is_another(machine: Machine) -> None:
    unit = machine.fake.add("smbd.service", "active", cgroup="/system.slice/no-such.service", pid=2**22 + 1)
    tile = machine.tile("smbd.service")
    assert (await tile.vitals()).pids == (2**22 + 1,)
    unit.pid = 2**22 + 2
    assert (await tile.vitals()).pids == (2**22 + 2,)
    unit.cgroup, unit.pid = "", 0
    assert await tile.vitals() == Vitals()
