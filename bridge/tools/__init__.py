"""What kinds are handed to reach the machine: root, systemd, processes, files, routes.

Each tool is made when a kind first asks for it, so that a bridge with only commands never
loads D-Bus.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.contract import Tell

if TYPE_CHECKING:
    from bridge.tools.containers import Containers
    from bridge.tools.inotify import Inotify
    from bridge.tools.libvirt import Libvirt
    from bridge.tools.netlink import Netlink
    from bridge.tools.processes import Processes
    from bridge.tools.root import Root
    from bridge.tools.systemd import Systemd


def _nobody(key: str, sensor: str, text: str) -> None:
    """Who listens where there is no bridge: a `check`, a test."""


@dataclass
class Tools:
    """The tools of one bridge.

    secrets  the folder no child process may read
    tell     says what a person may want to hear
    """

    secrets: Path
    tell: Tell = _nobody

    @cached_property
    def root(self) -> "Root":
        from bridge.tools.root import Root

        return Root()

    @cached_property
    def systemd(self) -> "Systemd":
        from bridge.tools.systemd import Systemd

        return Systemd()

    @cached_property
    def processes(self) -> "Processes":
        from bridge.tools.processes import Processes

        return Processes(self.secrets)

    @cached_property
    def inotify(self) -> "Inotify":
        from bridge.tools.inotify import Inotify

        return Inotify()

    @cached_property
    def containers(self) -> "Containers":
        from bridge.tools.containers import Containers

        return Containers(self.root, self.inotify)

    @cached_property
    def netlink(self) -> "Netlink":
        from bridge.tools.netlink import Netlink

        return Netlink()

    @cached_property
    def libvirt(self) -> "Libvirt":
        from bridge.tools.libvirt import Libvirt

        return Libvirt()

    async def close(self) -> None:
        """Let go of what was opened."""
        for tool in ("containers", "systemd", "processes", "inotify", "libvirt", "netlink"):
            if tool in self.__dict__:
                await self.__dict__[tool].close()
