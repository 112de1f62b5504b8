"""A bridge of three switches, paired, and two phones of one home."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bridges import Ours, ours
from tests.wire import Pairing, Wire

KEYS = ("files", "web", "guests")


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Ours]:
    async with ours(tmp_path, KEYS) as running:
        yield running


@pytest.fixture
async def pairing(bridge: Ours) -> Pairing:
    return await bridge.pair()


@pytest.fixture
async def phone(bridge: Ours, pairing: Pairing) -> AsyncIterator[Wire]:
    async with bridge.phone(pairing) as wire:
        yield wire


@pytest.fixture
async def other(bridge: Ours, pairing: Pairing) -> AsyncIterator[Wire]:
    """Another connection, as the home hub has one."""
    async with bridge.phone(pairing) as wire:
        yield wire
