"""HomeKit's face of the bridge: publishes tiles, and listens to what happens to them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from errno import EADDRINUSE, EADDRNOTAVAIL
from hashlib import sha256
from pathlib import Path
from typing import Any

from zeroconf import ServiceInfo

from bridge.contract import Change, Tile
from bridge.homekit import faces, identity
from bridge.homekit.advertise import Advertiser, service_info
from bridge.homekit.driver import Driver
from bridge.homekit.faces import Companion, Face, SensorFace, SwitchFace
from bridge.homekit.handler import controller_name
from bridge.homekit.quiet import keep_quiet
from bridge.homekit.store import Keys, Store, StoreError

log = logging.getLogger("bridge.homekit")


class HomeKitError(Exception):
    """HomeKit cannot be served; one line for the person, with what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """name: what Home calls the bridge. address: None for all real interfaces. port: 0 for any.

    setup_code: XXX-XX-XXX, None for the one that is made once and stored.
    """

    name: str
    address: str | None
    port: int
    setup_code: str | None = None


class HomeKit:
    """A contract.Listener."""

    def __init__(
        self,
        settings: Settings,
        tiles: Sequence[Tile],
        keys: Path,
        *,
        version: str,
        companions: Sequence[Companion] = (),
        identified: Callable[[str, str], None] = lambda key, who: None,
    ) -> None:
        """Take the identity out of the key store in the folder `keys`, or make it there.

        identified(key, who) is called when a phone asks which accessory is which; the key is ""
        for the bridge itself. Raises HomeKitError; blocks for a few fsyncs.
        """
        keep_quiet()
        self._settings = settings
        self._version = version
        try:
            self._store = Store(keys, identity.new_keys)
        except StoreError as error:
            raise HomeKitError(str(error)) from error
        try:
            self._publish(tiles, companions)
        except (identity.TooMany, StoreError) as error:
            raise HomeKitError(str(error)) from error
        self._driver.identified = identified
        self._advertiser = Advertiser(self._describe, settings.address)

    def _publish(self, tiles: Sequence[Tile], companions: Sequence[Companion]) -> None:
        owners: dict[str, Tile | Companion] = {tile.key: tile for tile in tiles}
        owners |= {companion.key: companion for companion in companions}
        wanted = {key: (_face_of(owner), owner.name) for key, owner in owners.items()}
        self._store.save(identity.seat(self._store.keys, wanted))
        self._driver = Driver(
            self._store, self.setup_code, self._settings.address, self._settings.port, self._renew
        )
        self._faces = {
            key: faces.make(self._driver, place, self._serial(place.aid), self._version, owners.get(key))
            for key, place in self._store.keys.places.items()
        }
        bridge = faces.make_bridge(self._driver, self._settings.name, self._serial(1), self._version)
        self._driver.publish_all(bridge, self._faces)
        self._store.save(self._driver.count_configuration(self._store.keys))
        self._driver.adopt()

    def _serial(self, aid: int) -> str:
        """Unique in the world, as HomeKit asks, and telling nothing about the machine."""
        return sha256(f"{self._store.keys.device_id} {aid}".encode()).hexdigest()[:12].upper()

    def _describe(self, addresses: list[str]) -> ServiceInfo:
        self._driver.state.port = self.port
        return service_info(self._driver.accessory, self._driver.state, addresses)

    def _renew(self) -> None:
        self._advertiser.renew()

    # Coming and going

    async def start(self) -> None:
        """Answer and advertise. Raises HomeKitError."""
        await self.listen()
        await self._advertiser.start()

    async def listen(self) -> None:
        """Answer those who know the address. Raises HomeKitError."""
        try:
            await self._driver.async_start()
        except OSError as error:
            raise HomeKitError(_explain(error, self._settings)) from error

    async def stop(self) -> None:
        """Say goodbye and hang up; quick."""
        await self._advertiser.stop()
        if self._driver.http_server.server is not None:
            self._driver.http_server.async_stop()

    # What happens to the tiles

    def shown(self, tile: Tile) -> None:
        face = self._faces.get(tile.key)
        if isinstance(face, SwitchFace):
            face.update()

    def changed(self, change: Change) -> None:
        face = self._faces.get(change.key)
        if isinstance(face, SwitchFace) and change.wish and not change.restart:
            if change.outcome is None:
                face.begun(change.wish)
            else:
                face.ended(change.wish)
        if change.detects:
            self.fire(f"{change.key}.{change.detects}")

    def fire(self, key: str) -> None:
        """Let a companion's sensor detect for half a minute; nothing when there is none."""
        face = self._faces.get(key)
        if isinstance(face, SensorFace) and face.available:
            face.fire()

    # Who is who

    @property
    def setup_code(self) -> str:
        return self._settings.setup_code or self._store.keys.setup_code

    @property
    def setup_uri(self) -> str:
        """What the QR code says."""
        uri: str = self._driver.accessory.xhm_uri()
        return uri

    @property
    def port(self) -> int:
        """The port it listens on."""
        server = self._driver.http_server
        return server.port if server.server is not None else self._settings.port

    @property
    def paired(self) -> bool:
        return bool(self._store.keys.pairings)

    @property
    def locked(self) -> bool:
        """Whether too many wrong codes were tried, so that nobody can pair until unlock()."""
        return self._driver.setup.locked

    def pairings(self) -> list[dict[str, Any]]:
        """Who is paired: {"id": its UUID, "who": its name in the journal, "admin": bool} each."""
        return [
            {"id": pairing.id, "who": controller_name(id), "admin": pairing.admin}
            for id, pairing in self._store.keys.pairings.items()
        ]

    def aid_of(self, key: str) -> int:
        """The accessory id of a key; raises KeyError."""
        return self._store.keys.places[key].aid

    def orphans(self) -> list[str]:
        """Keys that keep a place although the configuration has them no more."""
        return [key for key, face in self._faces.items() if _is_orphan(face)]

    # On demand

    async def unlock(self) -> None:
        """Allow pairing again after too many wrong codes. Raises HomeKitError."""
        await self._change(lambda keys: replace(keys, attempts=0))

    async def reset(self) -> None:
        """Forget every phone, and be another bridge to them; setup code and places stay.

        A phone that still has the old one would refuse to add it again. Raises HomeKitError.
        """
        await self._change(
            lambda keys: replace(
                keys,
                attempts=0,
                pairings={},
                device_id=identity.new_device_id(),
                private_key=identity.new_private_key(),
            )
        )
        self._driver.pairings_changed()

    async def forget(self, key: str) -> bool:
        """Give up the place of an accessory that is gone; False when it is not, or never was.

        Its room, scenes and automations are lost. Raises HomeKitError.
        """
        face = self._faces.get(key)
        if face is None or not _is_orphan(face):
            return False
        self._driver.withdraw(face)
        try:
            await self._change(lambda keys: self._driver.count_configuration(_without(keys, key)))
        except HomeKitError:
            self._driver.publish_all(self._driver.accessory, {key: face})
            raise
        del self._faces[key]
        self._driver.pairings_changed()
        return True

    async def _change(self, step: Callable[[Keys], Keys]) -> None:
        try:
            await self._store.change(step)
        except StoreError as error:
            raise HomeKitError(str(error)) from error


def _face_of(owner: Tile | Companion) -> str:
    return owner.face if isinstance(owner, Companion) else SwitchFace.kind


def _is_orphan(face: Face) -> bool:
    return face.tile is None if isinstance(face, SwitchFace) else not face.available


def _without(keys: Keys, key: str) -> Keys:
    return replace(keys, places={other: place for other, place in keys.places.items() if other != key})


def _explain(error: OSError, settings: Settings) -> str:
    if error.errno == EADDRINUSE:
        return (
            f"port {settings.port} is taken by another program (`ss -ltnp` shows which);"
            " stop that one or write another bridge.port"
        )
    if error.errno == EADDRNOTAVAIL:
        return (
            f"this machine has no address {settings.address}; correct bridge.address,"
            " or leave it out to use every real interface"
        )
    return f"HomeKit cannot listen on port {settings.port}: {error.strerror}"
