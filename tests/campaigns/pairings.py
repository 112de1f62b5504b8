"""Pairs with a bridge and kills it (SIGKILL) at a random moment after M6, over and over.

    python -m tests.campaigns.pairings [ROUNDS]

A pairing that the controller was told of must be there after every kill. Exit 1 when one is lost.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bridges import CODE, ours
from tests.wire import Wire

ROUNDS = 200
LONGEST = 0.03  # seconds after M6; the store takes a few milliseconds


async def serve(folder: Path) -> None:
    """The victim: says its port and waits to be killed."""
    async with ours(folder) as bridge:
        print(json.dumps({"port": bridge.port}), flush=True)
        await asyncio.Event().wait()


async def one(folder: Path, moment: float) -> bool:
    """Whether the pairing survives a kill `moment` seconds after its last answer."""
    victim = _start(folder)
    try:
        async with Wire.open(_port(victim)) as wire:
            pairing = await wire.pair(CODE)
            if moment:
                await asyncio.sleep(moment)
    finally:
        victim.kill()
        victim.wait()
    survivor = _start(folder)
    try:
        async with Wire.open(_port(survivor)) as wire:
            await wire.verify(pairing)
            return (await wire.ask("GET", "/accessories")).status == 200
    except Exception as error:
        print(f"lost {moment * 1000:.1f} ms after M6: {type(error).__name__}: {error}")
        return False
    finally:
        survivor.kill()
        survivor.wait()


def _start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.campaigns.pairings", "--serve", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _port(child: "subprocess.Popen[str]") -> int:
    assert child.stdout is not None
    port: int = json.loads(child.stdout.readline())["port"]
    return port


async def campaign(rounds: int) -> int:
    """How many of so many pairings were lost."""
    seed = int.from_bytes(os.urandom(4))
    chance = random.Random(seed)
    lost = 0
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            # Every fourth at once: the answer and the kill side by side.
            lost += not await one(Path(folder), chance.uniform(0, LONGEST) if number % 4 else 0.0)
    print(f"{lost} of {rounds} pairings lost (seed {seed})")
    return lost


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    sys.exit(bool(asyncio.run(campaign(int(sys.argv[1]) if sys.argv[1:] else ROUNDS))))
