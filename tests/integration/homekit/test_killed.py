"""kill -9 at any moment after the last answer of a pair-setup loses no pairing."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.bridges import CODE, child
from tests.conftest import CAMPAIGN
from tests.wire import Wire

ROUNDS = 200 if CAMPAIGN else 4
LONGEST = 0.03  # seconds after the answer; storing takes a few milliseconds


@pytest.mark.campaign
@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_a_pairing_that_was_answered_survives_a_kill(tmp_path: Path, round_: int) -> None:
    with child(tmp_path) as victim:
        async with Wire.open(victim.port) as wire:
            pairing = await wire.pair(CODE)
            # Every fourth at once: the answer and the kill side by side.
            await asyncio.sleep(random.uniform(0, LONGEST) if round_ % 4 else 0)
            victim.kill()
    with child(tmp_path) as survivor:
        async with Wire.open(survivor.port) as wire:
            await wire.verify(pairing)
            assert (await wire.ask("GET", "/accessories")).status == 200
