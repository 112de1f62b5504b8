"""`kind: vm`: what its guests make of a tile, and what is asked of root for it."""

import asyncio
import sys
from pathlib import Path

import pytest

from accessories import vm
from accessories.vm import ALL, Vm
from bridge.config import parse
from bridge.contract import Accessory, DomainGrant, Failed, Refused, State
from bridge.tools import Tools
from bridge.tools.libvirt import Stands
from tests.fakes.libvirt import FakeLibvirt

ON, OFF, PAUSED, ASLEEP = Stands.RUNNING, Stands.SHUT_OFF, Stands.PAUSED, Stands.SUSPENDED


def tile(fake: FakeLibvirt, *domains: str, shutdown: float = 0.05, force: bool = False) -> Accessory:
    return Vm(domains, shutdown, force).open("guests", tools(fake))


def tools(fake: FakeLibvirt) -> Tools:
    made = Tools(Path("/nowhere"))
    made.__dict__.update(libvirt=fake, root=fake)
    return made


async def test_the_tile_is_on_when_every_guest_runs_and_names_those_that_do_not() -> None:
    fake = FakeLibvirt(web=ON, mail=PAUSED, other=OFF)
    states = tile(fake, "web", "mail").watch()
    assert await anext(states) == State(False, reason="mail is paused")
    await fake.become("mail", ON)
    assert await anext(states) == State(True)
    await fake.become("web", OFF, 3)
    assert await anext(states) == State(False, died=True, reason="web has crashed")
    await fake.become("web", Stands.SHUTTING_DOWN)
    assert (await anext(states)).moving
    await states.aclose()


async def test_all_are_the_guests_there_are_and_none_is_off() -> None:
    assert (await anext(tile(FakeLibvirt(a=ON, b=ON), *ALL).watch())).on
    assert await anext(tile(FakeLibvirt(), *ALL).watch()) == State(False, reason="libvirt knows no guest yet")
    fake = FakeLibvirt(a=ON, b=OFF)
    assert (await tile(fake, *ALL).set(True)).on
    assert fake.asked == [("domains-start", "all")]


async def test_each_guest_is_woken_in_the_way_it_needs_and_the_others_are_left_alone() -> None:
    fake = FakeLibvirt(web=OFF, mail=PAUSED, old=ASLEEP, up=ON)
    assert (await tile(fake, "web", "mail", "old", "up").set(True)).on
    assert fake.asked == [("domain-start", "web"), ("domain-resume", "mail"), ("domain-wakeup", "old")]


async def test_a_guest_that_libvirt_does_not_know_is_told_before_anything_is_started() -> None:
    fake = FakeLibvirt(web=OFF)
    with pytest.raises(Failed, match="libvirt knows no guest mial; see: virsh list --all"):
        await tile(fake, "web", "mial").set(True)
    assert not fake.asked
    assert (await tile(fake, "web", "mial").set(False)).on is False


async def test_guests_are_shut_down_in_reverse_order() -> None:
    fake = FakeLibvirt(web=ON, mail=ON, off=OFF)
    assert await tile(fake, "web", "mail", "off").set(False) == State(
        False, reason="web is off, mail is off, off is off"
    )
    assert fake.asked == [("domain-shutdown", "mail"), ("domain-shutdown", "web")]


async def test_a_guest_that_ignores_its_power_button_fails_the_wish_or_is_destroyed() -> None:
    fake = FakeLibvirt(web=ON, mail=ON)
    fake.deaf.add("web")
    with pytest.raises(Failed, match=r"web did not shut down in 0.05 s.*`force: true`"):
        await tile(fake, "web", "mail").set(False)
    assert fake.is_("web") == ON and fake.is_("mail") == OFF
    assert (await tile(fake, "web", "mail", force=True).set(False)).on is False
    assert fake.asked[-2:] == [("domain-shutdown", "web"), ("domain-destroy", "web")]


async def test_a_guest_that_still_boots_is_asked_again_until_it_hears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vm, "AGAIN", 0.01)
    fake = FakeLibvirt(web=ON, mail=ON)
    fake.deaf.add("web")
    off = asyncio.create_task(tile(fake, "web", "mail", shutdown=20).set(False))
    while fake.asked.count(("domain-shutdown", "web")) < 3:
        await asyncio.sleep(0.01)
    fake.deaf.clear()
    assert (await off).on is False
    assert fake.asked.count(("domain-shutdown", "mail")) == 1


async def test_a_guest_that_is_on_its_way_down_is_started_when_it_is_down() -> None:
    fake = FakeLibvirt(web=ON)
    fake.deaf.add("web")
    guests = tile(fake, "web", shutdown=20)
    off = asyncio.create_task(guests.set(False))
    await fake.is_asked(("domain-shutdown", "web"))
    off.cancel()
    on = asyncio.create_task(guests.set(True))
    await asyncio.sleep(0.05)
    assert not on.done()
    await fake.become("web", OFF)
    assert (await on).on
    assert fake.asked == [("domain-shutdown", "web"), ("domain-start", "web")]


async def test_a_guest_that_was_turned_off_and_started_by_somebody_else_is_on() -> None:
    fake = FakeLibvirt(web=ON)
    guests = tile(fake, "web", shutdown=20)
    states = guests.watch()
    await anext(states)
    await guests.set(False)
    assert not (await anext(states)).on
    await fake.become("web", ON)
    assert (await asyncio.wait_for(guests.set(True), 5)).on
    await states.aclose()


async def test_guests_that_are_paused_saved_or_asleep_are_off_already_and_left_alone() -> None:
    fake = FakeLibvirt(web=ON, mail=PAUSED, old=ASLEEP)
    assert not (await tile(fake, "web", "mail", "old", force=True).set(False)).on
    assert fake.asked == [("domain-shutdown", "web")]


async def test_what_root_cannot_do_because_somebody_else_has_done_it_is_done() -> None:
    fake = FakeLibvirt(web=OFF, mail=OFF)
    fake.faster.add("web")
    assert (await tile(fake, "web", "mail").set(True)).on
    assert not (await tile(fake, "web", "mail").set(False)).on
    fake.faster.clear()
    fake.broken.add("mail")
    with pytest.raises(Failed, match="network 'default' is not active"):
        await tile(fake, "web", "mail").set(True)
    with pytest.raises(Failed, match="network 'default' is not active"):
        await tile(fake, *ALL).set(True)


async def test_a_restart_reboots_what_runs_waits_for_it_and_starts_nothing() -> None:
    fake = FakeLibvirt(web=ON, mail=OFF)
    await tile(fake, "web", "mail").restart()
    assert fake.asked == [("domain-reboot", "web")] and fake.is_("mail") == OFF
    fake.deaf.add("web")
    with pytest.raises(Failed, match="web did not reboot"):
        await tile(fake, "web").restart()
    with pytest.raises(Refused, match="nothing to restart: mail is off"):
        await tile(fake, "mail").restart()


async def test_check_doubts_guests_that_are_not_there() -> None:
    fake = FakeLibvirt(web=ON, mail=OFF)
    assert await Vm(("web", "mial")).doubts(tools(fake)) == [
        "domains: mial: unknown guest; did you mean 'mail'?"
    ]
    assert await Vm(ALL).doubts(tools(fake)) == []
    assert await Vm(("web",)).doubts(tools(FakeLibvirt())) == ["libvirt knows no guest on this machine yet"]
    assert await Vm(ALL).doubts(tools(FakeLibvirt())) == ["libvirt knows no guest on this machine yet"]


def test_root_is_asked_for_these_guests_or_for_all_and_to_pull_a_plug_only_if_that_is_written() -> None:
    assert list(Vm(("web", "mail"), force=True).grants("k")) == [
        DomainGrant("web", True),
        DomainGrant("mail", True),
    ]
    assert list(Vm(ALL).grants("k")) == [DomainGrant(None, False)]
    assert Vm(("web",)).deadline == 180 and Vm(("web",), shutdown=600).deadline == 660


@pytest.mark.parametrize(
    ("domains", "said"),
    [
        ("[]", "an empty list; write at least one guest, or all"),
        ("web", "'web' is no list; write [web], or all"),
        ("[my web]", "'my web' is not the name of a guest that can be allowed exactly"),
        ("['*']", "'*' is not the name"),
        ("[--all]", "'--all' is not the name"),
        ("['12']", "'12' could be the id of another guest"),
        ("[web, web]", "web is listed twice; remove one"),
        ("[[web]]", "a list where text is expected"),
    ],
)
def test_what_is_no_guest_is_said_with_its_place(domains: str, said: str) -> None:
    _, (problem,) = parse(f"accessories:\n  a: {{kind: vm, domains: {domains}}}\n", "c")
    assert problem.startswith("c:2:") and said in problem


def test_all_is_a_word_and_no_guest() -> None:
    config, problems = parse("accessories:\n  a: {kind: vm, domains: all, shutdown: 5m}\n", "c")
    assert config and not problems and config.accessories[0].kind == Vm(ALL, 300.0)


async def test_what_guests_use_is_measured_at_their_processes_anew_when_those_are_others() -> None:
    fake = FakeLibvirt(web=ON, mail=OFF)
    accessory = tile(fake, "web", "mail")
    states = accessory.watch()
    await anext(states)
    assert (await accessory.vitals()).pids == ()
    # Imitates qemu by its arguments.
    words = ("-c", "input()", "-name", "guest=web,debug-threads=on")
    qemu = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=asyncio.subprocess.PIPE)
    assert (await accessory.vitals()).pids == (qemu.pid,) == (await accessory.vitals()).pids
    await qemu.communicate(b"\n")
    assert (await accessory.vitals()).pids == ()
    await states.aclose()
