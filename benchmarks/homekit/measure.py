"""What is measured of one bridge with so many switches; times in seconds."""

import asyncio
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohomekit.exceptions import HomeKitException

from benchmarks.homekit.subjects import CHECKOUT, CODE, Subject, switch
from tests.wire import Pairing, Wire

PORT = 21099
ROUNDS = 30
HANGING = 400  # half-open connections
OUTSIDE = 6  # changes from outside; a poller takes a second for each
IDLE = 10.0  # seconds
PATIENCE = 60.0  # seconds for a bridge to answer
NEVER = 5.0  # seconds after which a change from outside counts as never heard of
CALM = 0.3  # seconds between changes from outside

TICKS = os.sysconf("SC_CLK_TCK")
NOT_THERE = (OSError, HomeKitException, asyncio.TimeoutError, KeyError, ValueError)

Id = tuple[int, int]


@dataclass
class Result:
    """Medians by what was measured; None for what never happened. bytes and shares as they are."""

    subject: str
    count: int
    values: dict[str, float | None] = field(default_factory=dict)


@dataclass
class Running:
    """A started bridge and all processes of its session."""

    process: "subprocess.Popen[bytes]"
    started: float

    def _stats(self) -> Iterator[list[str]]:
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if int(fields[3]) == self.process.pid:
                yield fields

    def cpu(self) -> float:
        """Seconds of the processor so far, by it and every child that has ended."""
        return sum(sum(map(int, fields[11:15])) for fields in self._stats()) / TICKS

    def memory(self) -> float:
        """Bytes resident."""
        return sum(int(fields[21]) for fields in self._stats()) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> float:
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.monotonic() - start


@contextmanager
def running(command: list[str], log: Path) -> Iterator[Running]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
        bridge = Running(process, time.monotonic())
        try:
            yield bridge
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


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


async def pair() -> tuple[Pairing, float]:
    async with Wire.open(PORT) as wire:
        start = time.monotonic()
        return await wire.pair(CODE), time.monotonic() - start


@asynccontextmanager
async def phone(pairing: Pairing) -> AsyncIterator[Wire]:
    async with Wire.open(PORT) as wire:
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


async def measure(subject: Subject, count: int) -> Result:
    result = Result(subject.name, count)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        command = subject.prepare(folder, count, PORT)
        with running(command, folder / "log") as bridge:
            try:
                pairing, result.values["pair-setup"] = await until(pair)
                await until(lambda: _all_there(pairing, count))
            except NOT_THERE as error:
                said = (folder / "log").read_text(errors="replace")[-2000:]
                raise SystemExit(f"{subject.name} does not answer: {error}\n{said}") from error
            await _at_work(result, subject, folder, pairing, count)
            await asyncio.sleep(2)
            before = bridge.cpu()
            await asyncio.sleep(IDLE)
            result.values["idle CPU"] = (bridge.cpu() - before) / IDLE
            result.values["RSS"] = bridge.memory()
            result.values["SIGTERM to exit"] = bridge.stop()
        starts = []
        for _ in range(3):
            with running(command, folder / "log") as bridge:
                await until(lambda: _all_there(pairing, count))
                starts.append(time.monotonic() - bridge.started)
                bridge.stop()
        result.values["cold start to all seen"] = statistics.median(starts)
    return result


async def _all_there(pairing: Pairing, count: int) -> dict[int, Id]:
    async with phone(pairing) as wire:
        return await switches(wire, count)


async def _at_work(result: Result, subject: Subject, folder: Path, pairing: Pairing, count: int) -> None:
    values = result.values
    values["pair-verify"] = await _verify(pairing)
    async with AsyncExitStack() as stack:
        for _ in range(HANGING):
            wire = await stack.enter_async_context(Wire.open(PORT))
            wire.send(b"POST /pair-verify HTTP/1.1\r\nContent-Le")
        values[f"pair-verify while {HANGING} hang"] = await _verify(pairing)
    async with phone(pairing) as one, phone(pairing) as other:
        tiles = await switches(one, count)
        await other.listen(*tiles.values())
        values["GET one"] = await _median(lambda: one.get(tiles[0]))
        values["GET all"] = await _median(lambda: one.get(*tiles.values()))
        values["GET /accessories"] = await _median(lambda: one.ask("GET", "/accessories"))
        values |= await _puts(one, other, tiles[0])
        values["outside to event"] = await _outside(other, folder, tiles)


async def _verify(pairing: Pairing) -> float:
    samples = []
    for _ in range(ROUNDS):
        async with Wire.open(PORT) as wire:
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


async def _outside(wire: Wire, folder: Path, tiles: dict[int, Id]) -> float | None:
    samples = []
    for number in range(OUTSIDE):
        tile = 1 + number % 2
        path, on = switch(folder, tile), number < OUTSIDE // 2 * 2 and number % 4 < 2
        wire.events.clear()
        start = time.monotonic()
        path.touch() if on else path.unlink(missing_ok=True)
        try:
            samples.append(await _heard(wire, tiles[tile], on, NEVER) - start)
        except TimeoutError:
            return None
        await asyncio.sleep(CALM)
    return statistics.median(samples)
