"""What is measured, each in a function of its own; see docs/benchmarks.md for what each one means."""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bridge.hands import Hands
from benchmarks.bridge.place import HELPER, PYTHON, SYSTEMCTL, TILES, unit
from benchmarks.bridge.table import Series
from tests.e2e.box import Box
from tests.e2e.server import PORT, Server
from tests.phone import Events, Phone, Tile
from tests.wire import Pairing, Wire

CGROUP = "/sys/fs/cgroup/system.slice/bellpull.service"
REST = 0.15  # seconds between two samples: what the last one stirred up has settled


@dataclass
class Bench:
    """A configured, running server and who works at it."""

    server: Server
    phone: Phone
    tiles: Sequence[Tile]
    daemon: Tile
    root: Hands
    bellpull: Hands

    @property
    def pid(self) -> int:
        """The bridge's process, as the box counts."""
        return int(self.root.property("bellpull.service", "MainPID"))


async def toggles(bench: Bench, rounds: int) -> list[Series]:
    """A PUT and `sudo -n systemctl start` of a unit on no tile, in turns."""
    starting, starting_by_sudo = (
        Series("PUT to unit starting"),
        Series("`sudo -n systemctl start` to unit starting"),
    )
    answer, ended = Series("PUT to answer"), Series("`sudo -n systemctl start` to its end")
    for number in range(rounds):
        here, tile = unit(number % len(bench.tiles)), bench.tiles[number % len(bench.tiles)]
        start = time.monotonic()
        answered = await tile.turn(True)
        assert answered.status == 0, answered
        answer.add(answered.seconds)
        starting.add(bench.root.stamp(here, "InactiveExit") - start)
        await tile.turn(False)
        await asyncio.sleep(REST)

        done = bench.bellpull.run("sudo", "-n", SYSTEMCTL, "start", "bench-outside.service")
        ended.add(done.took)
        starting_by_sudo.add(bench.root.stamp("bench-outside.service", "InactiveExit") - done.start)
        bench.root.run("systemctl", "stop", "bench-outside.service")
        await asyncio.sleep(REST)
    return [starting, starting_by_sudo, answer, ended]


async def changes_outside(bench: Bench, rounds: int) -> list[Series]:
    """Someone at the keyboard starts and stops a unit; a daemon is killed."""
    started, stopped = Series("started outside to event"), Series("stopped outside to event")
    killed = Series("`kill -9` of a daemon to event")
    async with bench.phone.watching(*(tile.id for tile in (*bench.tiles, bench.daemon))) as events:
        for number in range(rounds):
            here, tile = unit(number % len(bench.tiles)), bench.tiles[number % len(bench.tiles)]
            for verb, on, word, series in (
                ("start", True, "ActiveEnter", started),
                ("stop", False, "InactiveEnter", stopped),
            ):
                events.seen.clear()
                bench.root.run("systemctl", verb, here)
                at = (await events.wait_for(tile.id, on)).at
                series.add(at - bench.root.stamp(here, word))
                await asyncio.sleep(REST)
            killed.add(await _kill(bench, events))
            events.seen.clear()
    return [started, stopped, killed]


async def _kill(bench: Bench, events: Events) -> float:
    bench.root.run("systemctl", "start", "bench-daemon.service")
    await events.wait_for(bench.daemon.id, True)
    await asyncio.sleep(REST)
    pid = int(bench.root.property("bench-daemon.service", "MainPID"))
    start = bench.root.kill(pid, signal.SIGKILL).start
    return (await events.wait_for(bench.daemon.id, False)).at - start


async def daemons(bench: Bench, rounds: int) -> Series:
    """Type=simple is up before its program could fail, so that its start is looked at for 0.1 s."""
    answer = Series("PUT to answer, a unit of Type=simple")
    for _ in range(rounds):
        answered = await bench.daemon.turn(True)
        assert answered.status == 0, answered
        answer.add(answered.seconds)
        await bench.daemon.turn(False)
        await asyncio.sleep(REST)
    return answer


def helper(bench: Bench, rounds: int) -> list[Series]:
    """The root program, what it runs, and the least that sudo and Python can take, in turns."""
    whole, verb = (
        Series(f"`sudo -n bellpull-helper unit-start {unit(0)}`"),
        Series("its `systemctl` alone, as root"),
    )
    python = Series("`sudo -n python3 -I -c pass`")
    net = Series("helper without its `systemctl`")
    bench.root.run("systemctl", "start", unit(0))  # so that asking again does nothing
    for _ in range(rounds):
        whole.add(bench.bellpull.run("sudo", "-n", HELPER, "unit-start", unit(0)).took)
        verb.add(
            bench.root.run(
                SYSTEMCTL, "--no-block", "--no-ask-password", "--quiet", "start", "--", unit(0)
            ).took
        )
        python.add(bench.bellpull.run("sudo", "-n", PYTHON, "-I", "-c", "pass").took)
        net.add(whole.samples[-1] - verb.samples[-1])
        time.sleep(REST)
    bench.root.run("systemctl", "stop", unit(0))
    return [whole, verb, net, python]


async def starts(bench: Bench, pairing: Pairing, rounds: int) -> list[Series]:
    """Stop by SIGTERM, start by systemd, until a paired controller has read every tile."""
    read, ready, ended = (
        Series(f"start to the first read of {TILES} tiles answered"),
        Series("start to READY=1"),
        Series("SIGTERM to exit"),
    )
    for _ in range(rounds):
        ended.add(bench.root.kill(bench.pid, signal.SIGTERM).took)
        while bench.root.property("bellpull.service", "ActiveState") != "inactive":
            await asyncio.sleep(0.02)
        await asyncio.sleep(REST)
        bench.root.run("systemctl", "start", "--no-block", "bellpull.service")
        answered = await bench.server.box.lan.run(_first_read(bench, pairing))
        await asyncio.sleep(1)
        start = bench.root.stamp("bellpull.service", "InactiveExit")
        read.add(answered - start)
        ready.add(bench.root.stamp("bellpull.service", "ActiveEnter") - start)
        await asyncio.sleep(1)
    return [read, ready, ended]


async def _first_read(bench: Bench, pairing: Pairing) -> float:
    """When every tile was read with success by a controller that has been waiting at the door."""
    ids = [tile.id for tile in bench.tiles]
    async with asyncio.timeout(20):
        while True:
            try:
                wire = Wire(*await asyncio.open_connection(Box.address, PORT))
                break
            except ConnectionError:
                await asyncio.sleep(0.002)
        await wire.verify(pairing)
        while any((await wire.get(*ids)).statuses):
            await asyncio.sleep(0.002)
        at = time.monotonic()
        wire.writer.transport.abort()
        return at


@dataclass(frozen=True)
class Memory:
    """In bytes: resident, and the share of it that is the bridge's alone (proportional set size)."""

    rss: int
    pss: int


def memory(bench: Bench) -> Memory:
    rollup = dict(
        line.split()[:2] for line in bench.root.read(f"/proc/{bench.pid}/smaps_rollup").splitlines()[1:]
    )
    return Memory(int(rollup["Rss:"]) * 1024, int(rollup["Pss:"]) * 1024)


async def wear(bench: Bench, count: int) -> None:
    """That many tiles turned on and off again, three with each PUT."""
    for number in range(0, count, 3):
        tiles = [bench.tiles[(number + other) % len(bench.tiles)] for other in range(3)]
        for on in (True, False):
            answer = await bench.phone.put([(*tile.id, on) for tile in tiles])
            assert not any(answer.statuses.values()), answer


async def idle(bench: Bench, seconds: float) -> float:
    """Share of one core that the bridge takes while nothing happens and a phone listens."""
    async with bench.phone.watching(*(tile.id for tile in bench.tiles)):
        await asyncio.sleep(5)
        before, start = _used(bench), time.monotonic()
        await asyncio.sleep(seconds)
        return (_used(bench) - before) / (time.monotonic() - start)


def _used(bench: Bench) -> float:
    """Processor time of the service so far, in seconds; the kernel counts it in nanoseconds."""
    lines = bench.root.read(f"{CGROUP}/cpu.stat").splitlines()
    return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6
