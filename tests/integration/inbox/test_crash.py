"""kill -9 at random moments: nothing is lost, nothing is half, and the next run finishes without doubles."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from tests.inbox import SCANS, Folder, picture, the_same_end

CAMPAIGN = bool(os.environ.get("BELLPULL_CAMPAIGN"))
ROUNDS, KILLS = (60, 8) if CAMPAIGN else (2, 3)


def kill(process: subprocess.Popen[str]) -> None:
    """The worker and its children at once, as when the power goes."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 120)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_at_any_moment_nothing_is_lost_half_or_double(folder: Folder, seed: int) -> None:
    for n in range(SCANS):
        folder.put(f"Album {n % 2}/scan{n}.png", picture(100 * seed + n))
    chance = random.Random(seed)
    for _ in range(KILLS):
        process = subprocess.Popen(
            folder.command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        time.sleep(chance.uniform(0.2, 2.2))
        kill(process)
        for photo in folder.photos():
            assert folder.whole(photo)
        assert set(folder.originals()) == set(folder.given)
    ended = folder.run()
    assert ended.returncode == 0, ended.stderr
    the_same_end(folder)


def test_a_batch_that_is_killed_at_its_contact_sheet_is_ended_by_the_next_run(folder: Folder) -> None:
    for n in range(2):
        folder.put(f"{n}.png", picture(n))
    stopper = folder.output / ".bellpull/thumbs/stopper.thumb.jpg"
    stopper.parent.mkdir(parents=True)
    os.mkfifo(stopper)  # who draws the sheet waits for somebody to write a picture
    process = subprocess.Popen(
        folder.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    writer = os.open(stopper, os.O_WRONLY)  # returns when it is being drawn
    kill(process)
    os.close(writer)
    stopper.unlink()
    assert not list(folder.output.glob("contact sheet*"))
    assert folder.run().stdout == "4 photos of 2 scans\n"
    the_same_end(folder)
    assert len(list(folder.output.glob("contact sheet*"))) == 1
    assert folder.run().stdout == ""


@pytest.mark.campaign
@pytest.mark.parametrize("call", range(1, 55) if CAMPAIGN else (24, 32, 38, 46))
def test_a_redo_that_is_killed_is_finished_by_whoever_comes_next(folder: Folder, call: int) -> None:
    folder.put("a.png", picture(1))
    assert folder.run().returncode == 0
    first = {name: (folder.output / name).read_bytes() for name in folder.photos()}
    sidecar = folder.output / "a.json"
    corrected = json.loads(sidecar.read_text())
    corrected["photos"] = [{"page": 1, "quad": [[50, 40], [150, 40], [150, 120], [50, 120]]}]
    sidecar.write_text(json.dumps(corrected))
    redo = folder.command()
    redo[3:] = ["redo", "a.png", *redo[4:6]]
    deadly = [redo[0], str(Path(__file__).with_name("assassin.py")), str(call), *redo[3:]]
    subprocess.run(deadly, capture_output=True, timeout=60)
    assert folder.run().returncode == 0  # carries on with what was decided
    assert list(folder.originals().values()) == [["done/a.png"]]
    if folder.photos() == sorted(first):  # it had not been decided
        assert subprocess.run(redo, capture_output=True, timeout=60).returncode == 0
    assert folder.photos() == ["a-1.png"]
    assert len(json.loads(sidecar.read_text())["photos"]) == 1
    kept = {path.name: path.read_bytes() for path in folder.output.glob(".bellpull/before/*/*.png")}
    assert kept == first


def test_a_bomb_and_a_decoder_that_hangs_cost_their_own_scan_only(folder: Folder) -> None:
    folder.put("a.png", picture(1))
    folder.put("bomb.png", bomb())
    for name in ("c.png", "d.png"):
        folder.put(name, picture(ord(name[0])))
    command = folder.command("--jobs=1")
    command[1:3] = [str(Path(__file__).with_name("impatient.py")), "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (decoders := [pid for pid in children(process.pid) if is_decoder(pid)]):
                assert process.poll() is None
                time.sleep(0.01)
            os.kill(decoders[0], signal.SIGSTOP)
            out, err = process.communicate(timeout=90)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert "4 photos of 2 scans, 2 failed" in out
    assert folder.originals().keys() == folder.given.keys()
    reasons = {name: (folder.inbox / f"failed/{name}.txt").read_text() for name in ("a.png", "bomb.png")}
    assert "took longer than 4 s" in reasons["a.png"] and "at most 400 million" in reasons["bomb.png"]


def bomb() -> bytes:
    """A PNG of a hundred bytes that says it has a thousand million pixels."""
    header = struct.pack(">IIBBBBB", 31_000, 31_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def is_decoder(pid: int) -> bool:
    """Not before it is the worker's program: who is stopped between fork and exec holds up its parent."""
    return b"bridge.scans.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.campaign
@pytest.mark.parametrize("call", range(1, 70) if CAMPAIGN else (20, 27, 33, 39, 46, 54))
def test_killed_between_any_two_system_calls_that_change_something(folder: Folder, call: int) -> None:
    """The nth change of names or files in the worker itself is its last act."""
    folder.put("a.png", picture(1))
    folder.put("b.png", picture(2))
    assassin = Path(__file__).with_name("assassin.py")
    command = folder.command("--jobs=1")
    command[1:3] = [str(assassin), str(call)]
    subprocess.run(command, capture_output=True, timeout=60)
    assert set(folder.originals()) == set(folder.given)
    assert folder.run().returncode == 0
    the_same_end(folder)
