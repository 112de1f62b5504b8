"""The home server of the end-to-end tests: an installed box with tiles, and phones that know it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.e2e.box import Box
from tests.phone import Phone

CODE = "031-45-154"
PORT = 21100

# netatalk is in no Debian 12; any program on its port stands in, the unit is what counts.
NETATALK = "[Service]\nExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 548\n"

CONFIG = f"""\
bridge:
  address: {Box.address}
  port: {PORT}
  setup_code: {CODE}
accessories:
  file_server: {{kind: services, name: File Server, units: [smbd, nmbd, netatalk]}}
  web: {{kind: services, name: Web, units: [apache2]}}
"""


class Server:
    """Bellpull on a box: `configure` it, `start` it, hand out phones."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.phones: list[Phone] = []
        self.unit("netatalk", NETATALK)

    def unit(self, name: str, text: str) -> None:
        """A service of the test's own."""
        self.box.write(f"/etc/systemd/system/{name}.service", text)
        self.box.run(["systemctl", "daemon-reload"])

    def configure(self, text: str) -> None:
        """Write the configuration as its owner would, and have root allow what it asks for."""
        self.box.write("/etc/bellpull/config.yaml", text, 0o640)
        self.box.run(["chgrp", "bellpull", "/etc/bellpull/config.yaml"])
        self.box.run(["bellpull", "apply"])

    def start(self) -> None:
        """As README says; returns when the bridge has told systemd that it is ready."""
        done = self.box.run(["systemctl", "enable", "--now", "bellpull"], check=False)
        assert done.returncode == 0, self.box.journal("bellpull")

    def stop(self, *units: str) -> None:
        self.box.run(["systemctl", "stop", *units])

    def tiles(self) -> dict[str, dict[str, Any]]:
        """What `bellpull list` shows, by key."""
        rows = json.loads(self.box.run(["bellpull", "list", "--json"]).stdout)
        return {row["key"]: row for row in rows}

    def journal(self, key: str) -> list[dict[str, Any]]:
        """What `bellpull journal` tells of an accessory, oldest first."""
        lines = self.box.run(["bellpull", "journal", key, "--json"]).stdout.splitlines()
        return [json.loads(line) for line in lines]

    async def phone(self) -> Phone:
        """A phone on the LAN that has this bridge in its home."""
        phone = await self.box.lan.run(Phone.at(self.box.address, PORT))
        self.phones.append(phone)
        await phone.pair(CODE)
        return phone

    async def another_phone(self) -> Phone:
        """A second one, invited by the first."""
        phone = await self.phones[0].invite()
        self.phones.append(phone)
        return phone

    async def close(self) -> None:
        for phone in self.phones:
            await phone.close()


async def eventually(true: Callable[[], bool], within: float = 20) -> None:
    """Wait until it is so; raises TimeoutError when it does not become so."""
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.1)
