"""kill -9 at random moments: nothing is lost, nothing is half, and the next run finishes without doubles."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
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
