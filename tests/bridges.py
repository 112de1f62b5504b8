"""Bridges in the test's own process, without an advertisement: ours, and HAP-python's as it comes."""

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyhap.accessory import Accessory, Bridge
from pyhap.accessory_driver import AccessoryDriver

from bridge.contract import Change, Listener, Tile
from bridge.homekit import Companion, HomeKit, Settings
from bridge.keeper import Keeper
from tests.fakes.machine import FakeMachine
from tests.wire import Pairing, Wire

CODE = "031-45-154"
ON = 9  # instance id of a switch's On, ours and plain


class Ear:
    """A listener that passes everything on to a HomeKit that may come later, and remembers the last of it."""

    def __init__(self) -> None:
        self.homekit: Listener | None = None
        self.changes: deque[Change] = deque(maxlen=1000)

    def shown(self, tile: Tile) -> None:
        if self.homekit is not None:
            self.homekit.shown(tile)

    def changed(self, change: Change) -> None:
        self.changes.append(change)
        if self.homekit is not None:
            self.homekit.changed(change)


@dataclass
class Ours:
    """A bridge with Keepers of fake machines."""

    homekit: HomeKit
    keepers: dict[str, Keeper]
    machines: dict[str, FakeMachine]
    ear: Ear
    identified: list[tuple[str, str]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.homekit.port

    def on(self, key: str) -> tuple[int, int]:
        return self.homekit.aid_of(key), ON

    async def pair(self) -> Pairing:
        async with Wire.open(self.port) as wire:
            return await wire.pair(CODE)

    @asynccontextmanager
    async def phone(self, pairing: Pairing) -> AsyncIterator[Wire]:
        async with Wire.open(self.port) as wire:
            yield await wire.verify(pairing)


@asynccontextmanager
async def ours(
    folder: Path,
    keys: Iterable[str] = ("files",),
    *,
    machines: dict[str, FakeMachine] | None = None,
    companions: tuple[Companion, ...] = (),
    names: dict[str, str] | None = None,
    bulk: tuple[str, ...] = (),
    deadline: float = 100.0,
    bridge_name: str = "Test Bridge",
    version: str = "1.2.3",
) -> AsyncIterator[Ours]:
    """Our bridge, listening on a port of its own and observed once; its keys are kept in `folder`."""
    machines = machines or {key: FakeMachine(False) for key in keys}
    ear = Ear()
    identified: list[tuple[str, str]] = []
    keepers = {
        key: Keeper(
            key,
            (names or {}).get(key, f"Tile {key}"),
            machine,
            deadline=deadline,
            ignores_bulk=key in bulk,
            listeners=[ear],
        )
        for key, machine in machines.items()
    }
    watching = [asyncio.create_task(keeper.run()) for keeper in keepers.values()]
    await asyncio.sleep(0)
    homekit = HomeKit(
        Settings(bridge_name, "127.0.0.1", 0, CODE),
        list(keepers.values()),
        folder / "keys",
        version=version,
        companions=companions,
        identified=lambda key, who: identified.append((key, who)),
    )
    ear.homekit = homekit
    try:
        await homekit.listen()
        yield Ours(homekit, keepers, machines, ear, identified)
    finally:
        for keeper in keepers.values():
            await keeper.close()
        for task in watching:
            task.cancel()
        await homekit.stop()


@asynccontextmanager
async def with_phone(folder: Path, **options: Any) -> AsyncIterator[tuple[Ours, Wire]]:
    """Our bridge with these options, and a phone that is paired with it."""
    async with ours(folder, **options) as bridge, bridge.phone(await bridge.pair()) as phone:
        yield bridge, phone


@dataclass
class Child:
    """Our bridge in a process of its own, with accessories "files" and "web"."""

    process: "subprocess.Popen[str]"
    port: int

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def memory(self) -> int:
        """Bytes resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024


@contextmanager
def child(folder: Path) -> Iterator[Child]:
    command = [sys.executable, "-m", "tests.bridges", str(folder)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        running = Child(process, json.loads(process.stdout.readline()))
        try:
            yield running
        finally:
            running.kill()


async def _serve(folder: Path) -> None:
    async with ours(folder, ("files", "web")) as bridge:
        print(json.dumps(bridge.port), flush=True)
        await asyncio.Event().wait()


@dataclass
class Plain:
    """HAP-python's bridge with one switch, aid 2; `set` is its setter."""

    driver: AccessoryDriver
    port: int
    switch: Accessory


@asynccontextmanager
async def plain(folder: Path, **on: Any) -> AsyncIterator[Plain]:
    loop = asyncio.get_running_loop()
    driver = AccessoryDriver(
        loop=loop, address="127.0.0.1", port=1, persist_file=str(folder / "plain"), pincode=CODE.encode()
    )
    driver.aio_stop_event = asyncio.Event()
    driver.finish_pair = lambda: None  # which would advertise
    bridge = Bridge(driver, "Plain")
    switch = Accessory(driver, "Tile files", aid=2)
    switch.add_preload_service("Switch").configure_char("On", **on)
    bridge.add_accessory(switch)
    driver.add_accessory(bridge)
    driver.http_server._addr_port = ("127.0.0.1", 0)
    await driver.http_server.async_start(loop)
    port = driver.http_server.server.sockets[0].getsockname()[1]
    try:
        yield Plain(driver, port, switch)
    finally:
        driver.http_server.async_stop()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
