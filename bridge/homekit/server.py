"""HAP-python's server with a door: how many may come in, and who has to go."""

import asyncio
import logging
from typing import Any
from uuid import UUID

from pyhap.hap_server import HAPServer

from bridge.homekit.connection import Connection

log = logging.getLogger("bridge.homekit.network")

MOST_STRANGERS = 64  # connections before pair-verify
MOST_VERIFIED = 256


class Server(HAPServer):  # type: ignore[misc]
    """Strangers crowd each other out, the oldest first, and never a controller."""

    def __init__(self, address: tuple[str, int], driver: Any) -> None:
        super().__init__(address, driver)
        self._strangers: dict[Connection, None] = {}
        self._controllers: dict[Connection, None] = {}

    async def async_start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Raises OSError when the port or the address is not to be had."""
        self.loop = loop
        host, port = self._addr_port
        self.server = await loop.create_server(
            lambda: Connection(loop, self, self.accessory_handler), host, port
        )
        self.async_cleanup_connections()

    @property
    def port(self) -> int:
        """The port it listens on, when that was left to the system."""
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    def joined(self, connection: Connection) -> None:
        self._strangers[connection] = None
        if len(self._strangers) > MOST_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.drop("too many came after it that are not paired")

    def verified(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._controllers[connection] = None
        if len(self._controllers) > MOST_VERIFIED:
            others = (other for other in self._controllers if other is not connection)
            stalest = min(others, key=lambda other: other.last_activity)
            del self._controllers[stalest]
            stalest.drop("too many controllers are connected")

    def left(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._controllers.pop(connection, None)
        if self.connections.get(connection.peername) is connection:
            del self.connections[connection.peername]

    def turn_out(self, paired: set[UUID]) -> None:
        """Close the connections of everyone who is not paired any more."""
        for connection in list(self._controllers):
            if connection.handler.client_uuid not in paired:
                connection.close()
