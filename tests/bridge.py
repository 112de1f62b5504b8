"""The whole bridge as a child process, as a person runs it, on loopback with a state of its own.

async with running(LAMP, tmp_path) as bridge:
    phone = await bridge.paired_phone()
    await (await phone.tile("Lamp")).turn(True)
    assert json.loads((await bridge.cli("list", "--json")).out)[0]["state"] == "on"
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.phone import Phone

PATIENCE = 60  # seconds until a bridge that starts, stops or answers is given up


@dataclass(frozen=True)
class Ran:
    """A command line that has ended."""

    code: int
    out: str
    err: str


@dataclass
class Bridge:
    """A bridge that can be stopped, killed and started again with another configuration."""

    folder: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    phones: list[Phone] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> str:
        """All it has said so far, over all its lives."""
        return (self.folder / "log").read_text()

    def configure(self, accessories: str, **bridge: Any) -> None:
        """Write the configuration: what stands below `accessories:`, and more of `bridge:`."""
        section = {"name": "Test Bridge", "address": "127.0.0.1", "port": self.port} | bridge
        self.config.write_text(f"bridge: {json.dumps(section)}\naccessories:\n{accessories}")

    def command(self, *words: str) -> list[str]:
        where = ["--config", str(self.config), "--state-dir", str(self.state)]
        return [sys.executable, "-m", "bridge", *where, *words]

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and wait for nothing."""
        environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment | self.environment,
            )
        return self.process

    async def start(self) -> None:
        """Start it and wait until it answers."""
        process = self.launch()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                except OSError:
                    assert process.poll() is None, f"it ended with {process.returncode}:\n{self.log}"
                    await asyncio.sleep(0.02)

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    async def restart(self, number: int = signal.SIGTERM) -> None:
        await self.end(number)
        await self.start()

    async def cli(self, *words: str) -> Ran:
        """Run `bellpull WORDS…` for this bridge."""
        ended = await asyncio.to_thread(
            subprocess.run, self.command(*words), capture_output=True, timeout=PATIENCE, text=True
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin `bellpull WORDS…`, for one that goes on."""
        return subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    async def tiles(self) -> dict[str, dict[str, Any]]:
        """The rows of `bellpull list`, by their keys."""
        return {row["key"]: row for row in json.loads((await self.cli("list", "--json")).out)}

    async def story(self, *words: str) -> list[dict[str, Any]]:
        """The rows of `bellpull journal`."""
        ran = await self.cli("journal", "--json", *words)
        return [json.loads(line) for line in ran.out.splitlines()]

    async def code(self) -> str:
        """The setup code, as a person reads it."""
        shown = re.search(r"\d{3}-\d{2}-\d{3}", (await self.cli("pair")).out)
        assert shown
        return shown.group()

    async def phone(self) -> Phone:
        phone = await Phone.at("127.0.0.1", self.port)
        self.phones.append(phone)
        return phone

    async def paired_phone(self) -> Phone:
        phone = await self.phone()
        await phone.pair(await self.code())
        return phone


def a_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def placed(accessories: str, folder: Path, **bridge: Any) -> AsyncIterator[Bridge]:
    """A bridge that is configured and not started; whatever is started is gone afterwards."""
    one = Bridge(folder, a_free_port())
    one.configure(accessories, **bridge)
    try:
        yield one
    finally:
        for phone in one.phones:
            await phone.close()
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@asynccontextmanager
async def running(accessories: str, folder: Path, **bridge: Any) -> AsyncIterator[Bridge]:
    """A bridge that answers; in the end it is stopped, and has to end well."""
    async with placed(accessories, folder, **bridge) as one:
        await one.start()
        yield one
        if one.process is not None and one.process.poll() is None:
            assert await one.end() == 0, one.log
        assert "Traceback" not in one.log, one.log
