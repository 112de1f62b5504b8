"""The box keeps its own promises; what else the end-to-end tests say rests on them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import plain_bridge
from tests.e2e.box import Box, Image
from tests.e2e.box.leftovers import STATES, cgroups
from tests.phone import Phone, advertised

CHECKOUT = Path(__file__).parents[2]


def test_systemd_is_the_first_process_and_all_is_well(box: Box) -> None:
    assert box.read("/proc/1/comm").strip() == "systemd"
    assert box.run(["systemctl", "is-system-running"]).stdout.strip() == "running"


def test_samba_and_apache_start_and_stop(box: Box) -> None:
    box.run(["systemctl", "start", "smbd", "nmbd", "apache2"])
    assert box.processes("smbd") and box.processes("nmbd") and box.processes("apache2")
    assert box.is_active("smbd") and box.is_active("nmbd") and box.is_active("apache2")
    box.run(["systemctl", "stop", "smbd"])
    assert not box.is_active("smbd") and not box.processes("smbd")


def test_the_journal_keeps_what_a_unit_says(box: Box) -> None:
    box.write(
        "/etc/systemd/system/talker.service", "[Service]\nType=oneshot\nExecStart=/bin/echo good evening\n"
    )
    box.run(["systemctl", "daemon-reload"])
    box.run(["systemctl", "start", "talker"])
    assert "good evening" in box.journal("talker")


def test_sudo_obeys_a_sudoers_line_and_no_more(box: Box) -> None:
    box.run(["useradd", "--create-home", "butler"])
    box.write("/etc/sudoers.d/butler", "butler ALL=(root) NOPASSWD: /usr/bin/systemctl start smbd\n", 0o440)
    box.run(["sudo", "-n", "systemctl", "start", "smbd"], user="butler")
    assert box.is_active("smbd")
    with pytest.raises(subprocess.CalledProcessError):
        box.run(["sudo", "-n", "systemctl", "stop", "smbd"], user="butler")


def test_input_goes_in_and_a_failure_comes_out_with_its_words(box: Box) -> None:
    assert box.run(["cat"], input="ring\n").stdout == "ring\n"
    with pytest.raises(subprocess.CalledProcessError) as raised:
        box.run(["ls", "/no/such/place"])
    assert "/no/such/place" in raised.value.__notes__[0]


def test_a_program_that_overstays_is_ended(box: Box) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        box.run(["sleep", "1234"], timeout=0.5)
    assert not box.processes("sleep")


def test_the_disk_survives_a_reboot_and_run_does_not(box: Box) -> None:
    box.write("/var/lib/kept", "kept")
    box.write("/run/lost", "lost")
    box.power_off()
    box.boot()
    assert box.read("/var/lib/kept") == "kept"
    assert not (box.root / "run/lost").exists()


def test_two_boxes_do_not_know_each_other(box: Box, fresh: Image) -> None:
    with Box(fresh, name="neighbour") as other:
        box.write("/etc/mine", "mine")
        assert not (other.root / "etc/mine").exists()
        assert box.run(["hostname"]).stdout != other.run(["hostname"]).stdout


async def test_phones_on_the_lan_hear_and_pair_a_bridge_in_the_box(box: Box, tmp_path: Path) -> None:
    enter = ["nsenter", f"--net={box.namespace}"]
    with plain_bridge.running(box.address, 21063, tmp_path / "state", within=enter):
        service = await box.lan.run(advertised(plain_bridge.NAME))
        assert service.addresses == [box.address]
        phone = await box.lan.run(Phone.find(plain_bridge.NAME))
        await plain_bridge.pair(phone)
        guest = await phone.invite()
        tile = await phone.tile("File Server")
        async with guest.watching(tile.id) as heard:
            assert (await tile.turn(True)).status == 0
            await heard.wait_for(tile.id, True)
        await guest.close()
        await phone.close()


def test_nothing_remains_of_a_box_whose_tests_were_killed(fresh: Image) -> None:
    program = (
        "import time; from tests.e2e.box import Box, Image; from tests.e2e.box.debian import debian\n"
        "box = Box(Image((debian(),))); box.boot()\n"
        "print(box.pid, box._state.name, flush=True); time.sleep(60)"
    )
    tests = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert tests.stdout is not None
    pid, name = tests.stdout.readline().split()
    tests.send_signal(signal.SIGKILL)
    tests.communicate(timeout=10)
    _wait_until_gone(Path(f"/proc/{pid}/root/etc"))
    assert (STATES / name).exists()  # SIGKILL leaves nobody to remove it,
    Box(fresh).remove()
    assert not (STATES / name).exists()  # so the next box does
    assert not (cgroups() / name).exists()


def _wait_until_gone(path: Path, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a process that is ending
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.02)
