"""What is measured of one bridge with so many switches; times in seconds."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohomekit.exceptions import HomeKitException

from benchmarks.homekit.subjects import CODE
from tests.wire import Pairing, Wire

ROUNDS = 30
STARTS = 3
HANGING = 400  # half-open connections
OUTSIDE = 6  # changes from outside; a poller takes a second for each
IDLE = 10.0  # seconds
PATIENCE = 60.0  # seconds for a bridge to answer
NEVER = 5.0  # seconds after which a change from outside counts as never heard of
CALM = 0.3  # seconds between changes from outside

NOT_THERE = (OSError, HomeKitException, asyncio.TimeoutError, KeyError, ValueError)

Id = tuple[int, int]


@dataclass
class Result:
    """Medians by what was measured; None for what never happened. bytes and shares as they are."""

    subject: str
    count: int
    values: dict[str, float | None] = field(default_factory=dict)


class Bridge(Protocol):
    """A bridge that can be started and stopped, wherever it lives."""

    address: str
    port: int

    def start(self) -> float:
        """Start it; when that was."""
        ...

    def stop(self) -> float:
        """End it by SIGTERM; how long it took."""
        ...

    def cpu(self) -> float:
        """Seconds of the processor so far, its children's included."""
        ...

    def memory(self) -> float:
        """Bytes resident."""
        ...

    def outside(self, number: int, on: bool) -> float:
        """Somebody else turns a switch; when that began."""
        ...

    def complaint(self) -> str:
        """What it last said."""
        ...


async def until(attempt: Any) -> Any:
    """What the attempt gives as soon as it succeeds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await attempt()
        except NOT_THERE:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.005)


async def pair(bridge: Bridge) -> tuple[Pairing, float]:
    async with Wire.open(bridge.port, bridge.address) as wire:
        start = time.monotonic()
        return await wire.pair(CODE), time.monotonic() - start


@asynccontextmanager
async def phone(bridge: Bridge, pairing: Pairing) -> AsyncIterator[Wire]:
    async with Wire.open(bridge.port, bridge.address) as wire:
        yield await wire.verify(pairing)


async def switches(wire: Wire, count: int) -> dict[int, Id]:
    """The On of every switch by its number; KeyError when they are not all there and readable."""
    found: dict[int, Id] = {}
    for accessory in (await wire.ask("GET", "/accessories")).json["accessories"]:
        about = {item["type"].lstrip("0")[:2]: item for item in _characteristics(accessory)}
        name = str(about["23"]["value"])
        if name.startswith("Switch "):
            found[int(name.removeprefix("Switch "))] = accessory["aid"], about["25"]["iid"]
    if len(found) < count or (await wire.get(*found.values())).status != 200:
        raise KeyError("not all there yet")
    return found


def _characteristics(accessory: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for service in accessory["services"]:
        if service["type"].lstrip("0").startswith(("3E", "49")):
            # The accessory information first: its Name is the one.
            yield from reversed(service["characteristics"])


async def measure(name: str, bridge: Bridge, count: int) -> Result:
    """All of it; the bridge must have been set up and not be running."""
    result = Result(name, count)
    values = result.values
    bridge.start()
    try:
        pairing, values["pair-setup"] = await until(lambda: pair(bridge))
        await until(lambda: _all_there(bridge, pairing, count))
    except NOT_THERE as error:
        raise SystemExit(f"{name} does not answer: {error}\n{bridge.complaint()}") from error
    await _at_work(result, bridge, pairing, count)
    await asyncio.sleep(2)
    before = bridge.cpu()
    await asyncio.sleep(IDLE)
    values["idle CPU"] = (bridge.cpu() - before) / IDLE
    values["RSS"] = bridge.memory()
    values["SIGTERM to exit"] = bridge.stop()
    starts = []
    for _ in range(STARTS):
        await asyncio.sleep(CALM)
        started = bridge.start()
        await until(lambda: _all_there(bridge, pairing, count))
        starts.append(time.monotonic() - started)
        await asyncio.sleep(1)
        bridge.stop()
    values["cold start to all seen"] = statistics.median(starts)
    return result


async def _all_there(bridge: Bridge, pairing: Pairing, count: int) -> dict[int, Id]:
    async with phone(bridge, pairing) as wire:
        return await switches(wire, count)


async def _at_work(result: Result, bridge: Bridge, pairing: Pairing, count: int) -> None:
    values = result.values
    values["pair-verify"] = await _verify(bridge, pairing)
    async with AsyncExitStack() as stack:
        for _ in range(HANGING):
            wire = await stack.enter_async_context(Wire.open(bridge.port, bridge.address))
            wire.send(b"POST /pair-verify HTTP/1.1\r\nContent-Le")
        try:
            values[f"pair-verify while {HANGING} hang"] = await _verify(bridge, pairing)
        except NOT_THERE:
            values[f"pair-verify while {HANGING} hang"] = None
    async with phone(bridge, pairing) as one, phone(bridge, pairing) as other:
        tiles = await switches(one, count)
        await other.listen(*tiles.values())
        values["GET one"] = await _median(lambda: one.get(tiles[0]))
        values["GET all"] = await _median(lambda: one.get(*tiles.values()))
        values["GET /accessories"] = await _median(lambda: one.ask("GET", "/accessories"))
        values |= await _puts(one, other, tiles[0])
        values["outside to event"] = await _outside(other, bridge, tiles)


async def _verify(bridge: Bridge, pairing: Pairing) -> float:
    samples = []
    for _ in range(ROUNDS):
        async with Wire.open(bridge.port, bridge.address) as wire:
            start = time.monotonic()
            await wire.verify(pairing)
            samples.append(time.monotonic() - start)
    return statistics.median(samples)


async def _median(ask: Any) -> float:
    samples = []
    for _ in range(ROUNDS):
        start = time.monotonic()
        answer = await ask()
        samples.append(time.monotonic() - start)
        assert answer.status == 200
    return statistics.median(samples)


async def _puts(one: Wire, other: Wire, tile: Id) -> dict[str, float | None]:
    """A PUT at one controller, to its answer and to the event at the other."""
    answers, events = [], []
    for number in range(ROUNDS):
        on = number % 2 == 0
        other.events.clear()
        start = time.monotonic()
        heard = asyncio.create_task(_heard(other, tile, on))
        answer = await one.put([{"aid": tile[0], "iid": tile[1], "value": on}])
        answers.append(time.monotonic() - start)
        assert answer.status == 204, answer
        events.append(await heard - start)
        await asyncio.sleep(CALM)
    return {"PUT": statistics.median(answers), "PUT to event elsewhere": statistics.median(events)}


async def _heard(wire: Wire, tile: Id, on: bool, within: float = 10.0) -> float:
    """When the controller hears that the switch is so."""
    count = 0
    while True:
        count += 1
        for event in (await wire.news(count, within))[count - 1 :]:
            for item in event["characteristics"]:
                if (item["aid"], item["iid"]) == tile and bool(item["value"]) is on:
                    return time.monotonic()


async def _outside(wire: Wire, bridge: Bridge, tiles: dict[int, Id]) -> float | None:
    samples = []
    for number in range(OUTSIDE):
        switch, on = 1 + number % 2, number % 4 < 2
        wire.events.clear()
        start = bridge.outside(switch, on)
        try:
            samples.append(await _heard(wire, tiles[switch], on, NEVER) - start)
        except TimeoutError:
            return None
        await asyncio.sleep(CALM)
    return statistics.median(samples)
