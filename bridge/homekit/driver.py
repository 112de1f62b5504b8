"""HAP-python's driver on our own loop, with identity and pairings out of the key store."""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyhap.accessory import Bridge
from pyhap.accessory_driver import AccessoryDriver
from pyhap.characteristic import Characteristic
from pyhap.util import to_sorted_hap_json

from bridge.homekit.faces import Face
from bridge.homekit.server import Server
from bridge.homekit.setup import PairSetup
from bridge.homekit.store import Keys, Store

log = logging.getLogger("bridge.homekit")

EVERYWHERE = "0.0.0.0"  # noqa: S104 - it is what phones in the house come in by

MOST_CONFIG_NUMBER = 65535  # then c# starts again at 1 (HAP)


class Driver(AccessoryDriver):  # type: ignore[misc]
    """What pyhap's accessories, server and handlers ask for, answered from the key store.

    changed  called when the advertisement has to say something else
    """

    def __init__(
        self, store: Store, code: str, host: str | None, port: int, changed: Callable[[], None]
    ) -> None:
        # Without an address HAP-python looks for one by way of the internet, and without a loop it
        # makes one with a pool of threads; the real loop comes with async_start().
        nowhere: Any = object()
        super().__init__(loop=nowhere, address=host or EVERYWHERE, port=port, pincode=code.encode())
        self.aio_stop_event = asyncio.Event()
        self.store = store
        self.setup = PairSetup(store, code)
        self.http_server = Server((host or EVERYWHERE, port), self)
        self.faces: dict[int, Face] = {}
        self.identified: Callable[[str, str], None] = lambda key, who: None
        self._keys: dict[int, str] = {}
        self._changed = changed
        self.adopt()

    async def async_start(self) -> None:
        """Listen. Raises OSError when the port or the address is not to be had."""
        self.loop = asyncio.get_running_loop()
        self.tid = threading.current_thread()
        await self.http_server.async_start(self.loop)

    def adopt(self) -> None:
        """Bring HAP-python's state up to the key store."""
        keys, state = self.store.keys, self.state
        state.mac, state.setup_id, state.config_version = keys.device_id, keys.setup_id, keys.config_number
        state.private_key = Ed25519PrivateKey.from_private_bytes(keys.private_key)
        state.public_key = state.private_key.public_key()
        state.paired_clients = {id: pairing.public_key for id, pairing in keys.pairings.items()}
        state.client_properties = {id: {"permissions": int(p.admin)} for id, p in keys.pairings.items()}
        state.uuid_to_bytes = {id: pairing.id.encode() for id, pairing in keys.pairings.items()}

    def publish_all(self, bridge: Bridge, faces: Mapping[str, Face]) -> None:
        self.accessory = bridge
        for key, face in faces.items():
            bridge.add_accessory(face)
            self.faces[face.aid] = face
            self._keys[face.aid] = key

    def find(self, aid: int, iid: int) -> tuple[Any, Characteristic | None]:
        """The accessory and its characteristic; None for what there is not."""
        accessory = self.accessory if aid == self.accessory.aid else self.faces.get(aid)
        found = accessory.iid_manager.get_obj(iid) if accessory is not None else None
        return accessory, found if isinstance(found, Characteristic) else None

    def key_of(self, aid: int) -> str:
        """The key of an accessory; "" for the bridge itself."""
        return self._keys.get(aid, "")

    def withdraw(self, face: Face) -> None:
        del self.faces[face.aid], self._keys[face.aid], self.accessory.accessories[face.aid]

    def pairings_changed(self) -> None:
        """After the answer: who was removed is turned out, and the advertisement follows."""
        self.adopt()
        paired: set[UUID] = set(self.store.keys.pairings)
        self.http_server.turn_out(paired)
        self._changed()

    def description(self) -> str:
        """A hash of what a controller keeps of the accessories, values aside.

        HAP-python leaves out every value, so that a new name would go unnoticed; the
        accessory information is all but fixed, and counts.
        """
        information = [
            [characteristic.value for characteristic in accessory.services[0].characteristics]
            for accessory in (self.accessory, *self.accessory.accessories.values())
        ]
        described = self.get_accessories(include_value=False)
        return hashlib.sha256(to_sorted_hap_json([described, information])).hexdigest()

    def count_configuration(self, keys: Keys) -> Keys:
        """c# goes up by one when the description is another one."""
        description = self.description()
        if keys.config_hash == description:
            return keys
        number = keys.config_number + bool(keys.config_hash)
        return replace(
            keys,
            config_hash=description,
            config_number=number if number <= MOST_CONFIG_NUMBER else 1,
        )
