"""A hundred controllers at work: everyone is served, and the bridge grows no bigger."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bridge.homekit.server import MOST_STRANGERS
from tests.bridges import CODE, ON, child
from tests.conftest import CAMPAIGN
from tests.wire import Pairing, Wire

CONTROLLERS = 100
ROUNDS = 1500 if CAMPAIGN else 12
GROWTH = 3 * 2**20  # bytes, after the first third: what the allocator keeps


async def work(port: int, pairing: Pairing, rounds: int, door: asyncio.Semaphore) -> None:
    """One controller: listens, reads, writes, and leaves and comes back now and then."""
    done = 0
    while done < rounds:
        async with AsyncExitStack() as stack:
            async with door:
                wire = await stack.enter_async_context(Wire.open(port))
                await wire.verify(pairing)
            assert (await wire.listen((2, ON), (3, ON))).status == 204
            for _ in range(min(rounds - done, random.randint(5, 50))):
                done += 1
                value = random.random() < 0.5
                assert (await wire.get((2, ON), (3, ON))).status == 200
                assert (
                    await wire.put([{"aid": random.choice([2, 3]), "iid": ON, "value": value}])
                ).status == 204
                wire.events.clear()


@pytest.mark.campaign
async def test_a_hundred_controllers_are_served_and_leave_nothing_behind(tmp_path: Path) -> None:
    with child(tmp_path) as bridge:
        async with Wire.open(bridge.port) as wire:
            pairing = await wire.pair(CODE)
        sizes = []
        door = asyncio.Semaphore(MOST_STRANGERS // 2)  # a real home does not come in all at once
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for _ in range(CONTROLLERS):
                    group.create_task(work(bridge.port, pairing, ROUNDS // 3, door))
            sizes.append(bridge.memory)
        print([f"{size / 2**20:.1f} MiB" for size in sizes])
        assert sizes[2] - sizes[0] < GROWTH, sizes
