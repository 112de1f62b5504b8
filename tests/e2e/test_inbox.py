"""Process Scans on a server: a service of its own, started by the tile through the helper."""

import asyncio
import json

import pytest

from tests.e2e.box import Box
from tests.e2e.server import CODE, PORT, Server, eventually
from tests.inbox import picture, sha

INBOX, OUTPUT = "/srv/scans/inbox", "/srv/scans/photos"

CONFIG = f"""\
bridge:
  address: {Box.address}
  port: {PORT}
  setup_code: {CODE}
accessories:
  scans: {{kind: process_scans, name: Process Scans, inbox: {INBOX}, output: {OUTPUT}, trouble: true}}
"""

# What a decoder that was taken over would try, as the service's own program.
BREAKOUT = """\
import json, os, socket, subprocess
tried = {}
def attempt(name, action):
    try:
        tried[name] = bool(action())
    except Exception as error:
        tried[name] = False
attempt("sudo", lambda: subprocess.run(["sudo", "-n", "-l"], capture_output=True).returncode == 0)
attempt("helper", lambda: subprocess.run(
    ["sudo", "-n", "/opt/bellpull/libexec/bellpull-helper", "unit-start", "bellpull-scans.service"],
    capture_output=True).returncode == 0)
attempt("state", lambda: os.listdir("/var/lib/bellpull"))
attempt("keys", lambda: os.listdir("/var/lib/bellpull/keys"))
attempt("journal", lambda: open("/var/lib/bellpull/journal.db", "rb").read(1))
attempt("config", lambda: open("/etc/bellpull/config.yaml").read())
attempt("control", lambda: socket.socket(socket.AF_UNIX).connect("/run/bellpull/control.sock") is None)
attempt("network", lambda: socket.create_connection(("10.31.7.2", 80), 2))
attempt("etc", lambda: open("/etc/mark", "w"))
attempt("work", lambda: open("/srv/scans/photos/mark", "w"))
open("/srv/scans/photos/tried.json", "w").write(json.dumps(tried))
"""


@pytest.fixture
def scans(installed: Box) -> Server:
    server = Server(installed)
    owner = ["-o", "bellpull-scans", "-g", "bellpull-scans", "-m", "2775"]
    installed.run(["install", "-d", *owner, INBOX, OUTPUT])
    server.configure(CONFIG)
    server.start()
    return server


def put(box: Box, name: str, content: bytes) -> None:
    path = box.root / INBOX.lstrip("/") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o777)
    path.write_bytes(content)


def arrive(box: Box, path: str, content: bytes) -> None:
    """As a scanner writes it: as another user, into a folder that others may write to."""
    (box.root / path.lstrip("/")).write_bytes(content)


def files(box: Box, folder: str) -> list[str]:
    return sorted(box.run(["find", folder, "-type", "f", "-printf", "%P\\n"]).stdout.splitlines())


async def test_the_tile_works_the_inbox_by_its_service_goes_off_and_the_sensor_fires(scans: Server) -> None:
    box = scans.box
    for n in range(3):
        put(box, f"Summer 1987/scan{n}.png", picture(n))
    put(box, "broken.png", b"\x89PNG\r\n\x1a\n and no more")
    phone = await scans.phone()
    tile = await phone.tile("Process Scans")
    done, trouble = await phone.sensor("Process Scans Done"), await phone.sensor("Process Scans Trouble")
    async with phone.watching(tile.id, done, trouble) as events:
        answer = await tile.turn(True)
        assert answer.status == 0, box.journal("bellpull-scans")
        assert box.is_active("bellpull-scans")
        said = box.run(["bellpull", "scans", "status"]).stdout
        assert "scan" in said
        assert box.run(["bellpull", "scans", "status"], user="daemon", check=False).returncode == 3
        await events.wait_for(trouble, 1, within=60)
        await events.wait_for(done, 1, within=60)
        await events.wait_for(tile.id, False, within=20)
    assert not box.is_active("bellpull-scans")
    assert files(box, INBOX) == [
        "done/Summer 1987/scan0.png",
        "done/Summer 1987/scan1.png",
        "done/Summer 1987/scan2.png",
        "failed/broken.png",
        "failed/broken.png.txt",
    ]
    for n in range(3):
        original = box.root / INBOX.lstrip("/") / f"done/Summer 1987/scan{n}.png"
        assert sha(original.read_bytes()) == sha(picture(n))
    assert [name for name in files(box, OUTPUT) if name.endswith("-2.png")] == [
        f"Summer 1987/scan{n}-2.png" for n in range(3)
    ]
    told = [row["reason"] for row in scans.journal("scans")]
    assert "6 photos of 3 scans, 1 failed" in told and "Summer 1987/scan1.png: 2 photos" in told
    await scans.close()


async def test_off_stops_the_service_between_two_scans(scans: Server) -> None:
    box = scans.box
    for n in range(80):
        put(box, f"{n}.png", picture(n))
    phone = await scans.phone()
    tile = await phone.tile("Process Scans")
    assert (await tile.turn(True)).status == 0
    await eventually(lambda: len(files(box, f"{INBOX}/done")) > 2, within=60)
    assert (await tile.turn(False)).status == 0
    await tile.wait_until(False, within=30)
    done, rest = len(files(box, f"{INBOX}/done")), files(box, INBOX)
    assert 2 < done < 80 and len(rest) == 80
    assert len([name for name in files(box, OUTPUT) if name.endswith("-2.png") and "/" not in name]) == done
    await scans.close()


async def test_code_inside_the_worker_can_neither_sudo_nor_reach_the_bridge(scans: Server) -> None:
    box = scans.box
    box.write("/usr/local/lib/breakout.py", BREAKOUT)
    program = "[Service]\nType=oneshot\nExecStart=\nExecStart=/usr/bin/python3 /usr/local/lib/breakout.py\n"
    box.write("/etc/systemd/system/bellpull-scans.service.d/zz.conf", program)
    box.run(["systemctl", "daemon-reload"])
    started = box.run(["systemctl", "start", "bellpull-scans"], check=False)
    assert started.returncode == 0, box.journal("bellpull-scans")
    tried = json.loads(box.read(f"{OUTPUT}/tried.json"))
    assert tried.pop("work")
    assert not any(tried.values()), tried
    await scans.close()


async def test_what_the_page_says_works_for_a_person_of_the_group(scans: Server) -> None:
    box = scans.box
    box.run(["useradd", "--create-home", "--groups", "bellpull-scans", "ann"])
    box.run(["install", "-m", "644", "/dev/null", "/tmp/scan.png"])
    (box.root / "tmp/scan.png").write_bytes(picture(1))
    album = f"{INBOX}/Italy 1987"
    box.run(["sh", "-ec", f"umask 022; mkdir '{album}'; cp /tmp/scan.png '{album}/scan1.png'"], user="ann")
    phone = await scans.phone()
    tile = await phone.tile("Process Scans")
    await tile.turn(True)
    await eventually(lambda: "chmod g+w" in scans.tiles()["scans"]["reason"], within=30)
    assert scans.tiles()["scans"]["reason"].endswith(f"run: chmod g+w '{album}'")
    assert files(box, INBOX) == ["Italy 1987/scan1.png"]
    box.run(["chmod", "g+w", album], user="ann")
    assert (await tile.turn(True)).status == 0
    await tile.wait_until(False, within=60)
    assert files(box, INBOX) == ["done/Italy 1987/scan1.png"]
    sidecar = f"{OUTPUT}/Italy 1987/scan1.json"
    box.run(["sed", "--in-place=.old", "s/[0-9.]*e-05/0/g", sidecar], user="ann")
    said = box.run(["bellpull", "scans", "redo", "Italy 1987/scan1.png"], user="bellpull-scans").stdout
    assert "Italy 1987/scan1.png: 2 photos; those of before are in .bellpull/before" in said
    await scans.close()


async def test_a_folder_that_is_missing_is_said_by_the_write_and_in_the_journal(scans: Server) -> None:
    box = scans.box
    box.run(["mv", INBOX, f"{INBOX}.gone"])
    phone = await scans.phone()
    answer = await (await phone.tile("Process Scans")).turn(True)
    assert answer.status != 0
    assert scans.journal("scans")[-1]["reason"] == f"there is no folder {INBOX}; make it (docs/inbox.md)"
    await scans.close()


async def test_the_journal_has_each_scan_once_whoever_is_restarted_meanwhile(scans: Server) -> None:
    box = scans.box
    for n in range(30):
        put(box, f"{n}.png", picture(n))
    phone = await scans.phone()
    assert (await (await phone.tile("Process Scans")).turn(True)).status == 0
    for enough in (3, 9):
        while len(files(box, f"{INBOX}/done")) < enough:
            await asyncio.sleep(0.1)
        box.run(["systemctl", "restart", "bellpull"])
    scans.stop("bellpull")  # and the worker ends while there is no bridge
    await eventually(lambda: len(files(box, f"{INBOX}/done")) == 30, within=120)
    await eventually(lambda: any("contact sheet" in name for name in files(box, OUTPUT)), within=60)
    scans.start()
    await eventually(lambda: not box.is_active("bellpull-scans"), within=30)
    told = [row["reason"] for row in scans.journal("scans") if "photos" in row["reason"]]
    assert sorted(told) == sorted([*(f"{n}.png: 2 photos" for n in range(30)), "60 photos of 30 scans"])
    await scans.close()


async def test_a_full_disk_is_said_at_the_tile_and_room_lets_it_go_on(scans: Server) -> None:
    box = scans.box
    box.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=777", "photos", OUTPUT])
    for n in range(8):
        put(box, f"{n}.png", picture(n))
    phone = await scans.phone()
    tile, trouble = await phone.tile("Process Scans"), await phone.sensor("Process Scans Trouble")
    async with phone.watching(tile.id, trouble) as events:
        assert (await tile.turn(True)).status == 0
        await events.wait_for(trouble, 1, within=60)
        await tile.wait_until(False, within=30)
    why = scans.tiles()["scans"]["reason"]
    assert "full" in why or "No space left" in why, why
    scans.stop("bellpull")
    scans.start()
    assert scans.tiles()["scans"]["reason"] == why
    box.run(["mount", "-o", "remount,size=60m", OUTPUT])
    assert (await tile.turn(True)).status == 0
    await eventually(lambda: len(files(box, f"{INBOX}/done")) == 8, within=60)
    await eventually(lambda: not box.is_active("bellpull-scans"), within=30)
    assert [name for name in files(box, INBOX) if not name.startswith("done/")] == []
    assert len([name for name in files(box, OUTPUT) if name.endswith("-2.png")]) == 8
    await scans.close()


async def test_an_automatic_inbox_in_a_home_is_worked_as_scans_arrive_and_off_is_a_pause(
    scans: Server,
) -> None:
    box = scans.box
    home, inbox, output = "/home/ann", "/home/ann/scans/in", "/home/ann/scans/out"
    box.run(["install", "-d", "-m", "700", home])
    box.run(["install", "-d", "-m", "755", f"{home}/scans"])
    owner = ["-o", "bellpull-scans", "-g", "bellpull-scans", "-m", "2775"]
    box.run(["install", "-d", *owner, inbox, output])
    box.write(f"{home}/diary.txt", "Dear diary")
    box.write("/etc/systemd/system/bellpull-scans.service.d/zz.conf", "[Service]\nRestartSec=1\n")
    scans.stop("bellpull")
    scans.configure(
        CONFIG.replace(INBOX, inbox).replace(OUTPUT, output).replace("trouble:", "auto: true, trouble:")
    )
    scans.start()
    await eventually(lambda: box.is_active("bellpull-scans"), within=30)
    arrive(box, f"{inbox}/a.png", picture(1))
    await eventually(lambda: files(box, output).count("a-2.png") == 1, within=60)
    worker = box.run(["systemctl", "show", "--property=MainPID", "--value", "bellpull-scans"]).stdout.strip()
    seen = box.run(["ls", "-A", f"/proc/{worker}/root{home}", f"/proc/{worker}/root{home}/scans"]).stdout
    assert "diary.txt" not in seen and "in\nout\n" in seen
    phone = await scans.phone()
    tile = await phone.tile("Process Scans")
    assert await tile.is_on()
    box.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "bellpull-scans"])
    await eventually(lambda: box.is_active("bellpull-scans"), within=60)  # held, or started again by systemd
    assert (await tile.turn(False)).status == 0
    await tile.wait_until(False, within=30)
    arrive(box, f"{inbox}/b.png", picture(2))
    scans.stop("bellpull")
    scans.start()
    assert not await tile.is_on() and not box.is_active("bellpull-scans")
    assert (await tile.turn(True)).status == 0
    await eventually(lambda: files(box, output).count("b-2.png") == 1, within=60)
    await scans.close()
