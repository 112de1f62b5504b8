"""What virsh prints, read; that libvirt itself prints it so is tried in tests/e2e."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from bridge.contract import Unavailable
from bridge.tools import libvirt as module
from bridge.tools.libvirt import Domain, Libvirt, parse

TOLD = """\
Domain: 'web'
  state.state=1
  state.reason=1

Domain: 'Sam's guest'
  state.state=5
  state.reason=5

"""
# Imitates virsh: domstats prints a file, `event` prints what is written to a pipe until that closes.
VIRSH = """\
#!/bin/sh
for word; do case $word in
    domstats) [ -e {folder}/deaf ] && exec sleep 60; cat {folder}/told >&1 || exit 1; exit ;;
    *event*) [ -e {folder}/slow ] && echo qemu:///system; cat {folder}/events
        echo 'error: client socket is closed' >&2; exit 1 ;;
esac; done
"""


@pytest.fixture
async def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    program = tmp_path / "virsh"
    program.write_text(VIRSH.format(folder=tmp_path))
    program.chmod(0o755)
    (tmp_path / "told").write_text(TOLD)
    monkeypatch.setattr(module, "PATH", f"{tmp_path}:/usr/bin:/bin")
    os.mkfifo(tmp_path / "events")
    yield tmp_path


def test_every_guest_is_read_with_its_state_and_why_it_is_in_it() -> None:
    assert parse(TOLD) == {"web": Domain("web", 1, 1), "Sam's guest": Domain("Sam's guest", 5, 5)}
    assert parse("") == {} and parse("nonsense\n  state.state=x\n") == {}
    assert parse("Domain: 'a'\n  state.state=one\n  state.other=5\n") == {"a": Domain("a", 0, 0)}


@pytest.mark.parametrize(
    ("state", "reason", "up", "down", "moving", "died", "said"),
    [
        (1, 1, True, False, False, False, "web is running"),
        (2, 0, True, False, False, False, "web is running"),
        (3, 1, False, False, False, False, "web is paused"),
        (3, 11, False, False, True, False, "web is paused"),
        (3, 5, False, False, False, True, "web was paused by an I/O error"),
        (4, 1, False, False, True, False, "web is shutting down"),
        (5, 1, False, True, False, False, "web is off"),
        (5, 3, False, True, False, True, "web has crashed"),
        (5, 5, False, True, False, False, "web is saved"),
        (6, 1, False, True, False, True, "web has crashed"),
        (7, 0, False, False, False, False, "web is suspended"),
        (-1, 0, False, True, False, False, "libvirt knows no guest web"),
        (99, 0, False, False, False, False, "web is in a state that is not known here (99)"),
    ],
)
def test_what_a_state_means(
    state: int, reason: int, up: bool, down: bool, moving: bool, died: bool, said: str
) -> None:
    domain = Domain("web", state, reason)
    assert (domain.up, domain.down, domain.moving, domain.died) == (up, down, moving, died)
    assert str(domain) == said


async def test_watchers_share_one_listener_and_hear_of_every_change_and_of_its_end(virsh: Path) -> None:
    libvirt = Libvirt()
    async with aclosing(libvirt.watch()) as one, aclosing(libvirt.watch()) as other:
        assert (await anext(one))["web"].up and (await anext(other))["web"].up
        with await asyncio.to_thread((virsh / "events").open, "w") as events:
            (virsh / "told").write_text("")
            events.write(
                "event 'balloon-change' for domain 'web': 3\nevent 'lifecycle' for domain 'web': Stopped\n"
            )
            events.flush()
            assert await anext(one) == {} and await anext(other) == {}
            events.write("event 'reboot' for domain 'Sam's guest'\n")
            events.flush()
            await anext(one)
            assert libvirt.reboots == {"Sam's guest": 1}
        for watcher in (one, other):
            with pytest.raises(Unavailable, match="client socket is closed"):
                while True:
                    await anext(watcher)
    assert libvirt._listener is None


async def test_a_watcher_that_comes_later_sees_at_once_how_things_are(virsh: Path) -> None:
    libvirt = Libvirt()
    async with aclosing(libvirt.watch()) as one:
        await anext(one)
        async with aclosing(libvirt.watch()) as other:
            assert "web" in await anext(other)
        with await asyncio.to_thread((virsh / "events").open, "w") as events:
            events.write("event 'lifecycle' for domain 'web': Stopped\n")
            events.flush()
            await anext(one)  # who remains still hears


async def test_what_happens_before_a_listener_listens_is_seen_when_it_is_connected(
    virsh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTED", 0.3)
    (virsh / "slow").touch()
    async with aclosing(Libvirt().watch()) as reads:
        assert (await anext(reads))["web"].up
        (virsh / "told").write_text("")
        assert await anext(reads) == {}


async def test_a_libvirt_that_fails_hangs_or_is_not_there_is_unavailable(
    virsh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (virsh / "told").unlink()
    with pytest.raises(Unavailable, match="libvirt cannot be asked"):
        await Libvirt().read()
    (virsh / "deaf").touch()
    monkeypatch.setattr(module, "ANSWER", 0.2)
    with pytest.raises(Unavailable, match="does not answer"):
        await Libvirt().read()
    (virsh / "virsh").write_text("no program")
    monkeypatch.setattr("shutil.which", lambda name, path: str(virsh / name) * (name == "virsh"))
    with pytest.raises(Unavailable, match="virsh cannot be run"):
        await Libvirt().read()
    monkeypatch.undo()
    (virsh / "virsh").unlink()
    monkeypatch.setattr(module, "PATH", str(virsh))
    with pytest.raises(Unavailable, match="install libvirt-clients"):
        await Libvirt().read()


async def test_an_event_that_is_no_line_is_the_watchers_to_hear_of(virsh: Path) -> None:
    async with aclosing(Libvirt().watch()) as watcher:
        await anext(watcher)
        with await asyncio.to_thread((virsh / "events").open, "w") as events:
            await asyncio.to_thread(events.write, "x" * (1 << 17))
            await asyncio.to_thread(events.flush)
            with pytest.raises(Unavailable, match="cannot be followed"):
                while True:
                    await asyncio.wait_for(anext(watcher), 10)
