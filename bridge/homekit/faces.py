"""What HomeKit sees of an accessory: one service, and what it is to be pushed and read.

No characteristic has a getter or a setter: values are put into it when they change, and
writes are carried out by writes.py, which can wait for them.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from pyhap.accessory import Accessory, Bridge
from pyhap.characteristic import Characteristic

from bridge.contract import Tile
from bridge.homekit.identity import firmware_revision
from bridge.homekit.store import Place

MAKER = "Bellpull"
HOLD = 3.0  # seconds the other controllers wait for a wish to end before they hear what was wanted
DETECTED = 30.0  # seconds a sensor stays fired; long enough for every home hub to see it


@dataclass(frozen=True, slots=True)
class Companion:
    """A sensor that notifies a phone on behalf of an accessory; a switch never does.

    key   "KEY.trouble" fires when a wish failed or the thing died, and any ("KEY.done") when
          a Change names it
    name  what the phone calls it
    """

    key: str
    name: str

    @property
    def face(self) -> str:
        return ContactFace.kind if self.key.endswith(".trouble") else OccupancyFace.kind


class Face(Accessory):  # type: ignore[misc]
    """An accessory behind the bridge. Without a subclass's help it does not respond."""

    kind: ClassVar[str]
    state: ClassVar[str]  # the characteristic that says how it stands

    def __init__(self, driver: Any, place: Place, serial: str, version: str) -> None:
        super().__init__(driver, place.name, aid=place.aid)
        describe(self, model=f"{MAKER} {self.kind}", serial=serial, version=version)
        # The order gives the instance ids: add at the end only.
        service = self.add_preload_service(self.kind, ["ConfiguredName"])
        self.shows: Characteristic = service.get_characteristic(self.state)
        self.named: Characteristic = service.get_characteristic("ConfiguredName")
        self.named.value = place.called or place.name
        self.shows_iid: int = self.iid_manager.get_iid(self.shows)
        self.named_iid: int = self.iid_manager.get_iid(self.named)

    @property
    def available(self) -> bool:
        return False

    def show(self, value: Any) -> None:
        """Tell every controller that listens."""
        self.shows.value = value
        self.shows.notify()


class SwitchFace(Face):
    """A Switch that stands as its tile does; without a tile it does not respond.

    While a wish runs the others are left alone until it has ended, or for HOLD seconds: a
    wish that fails at once would bounce the tile, and every bounce fires an automation.
    """

    kind = "Switch"
    state = "On"

    def __init__(
        self, driver: Any, place: Place, serial: str, version: str, tile: Tile | None = None
    ) -> None:
        super().__init__(driver, place, serial, version)
        self.tile = tile
        self._wish = 0
        self._later: asyncio.TimerHandle | asyncio.Handle | None = None
        self.shows.value = bool(tile and tile.shown)

    @property
    def available(self) -> bool:
        return self.tile is not None and self.tile.shown is not None

    def update(self) -> None:
        """The tile shows something else."""
        shown = self.tile.shown if self.tile else None
        if shown is None or shown is self.shows.value:
            return
        self.shows.value = shown
        if not self._wish:
            self._tell_soon()

    def begun(self, wish: int) -> None:
        self._wish = wish
        self._wait(asyncio.get_running_loop().call_later(HOLD, self._tell))

    def ended(self, wish: int) -> None:
        if wish == self._wish:
            self._tell_soon()

    def _tell_soon(self) -> None:
        # Not at once: a wish that is superseded is followed by its successor in the same breath.
        self._wait(asyncio.get_running_loop().call_soon(self._tell))

    def _wait(self, later: asyncio.TimerHandle | asyncio.Handle) -> None:
        if self._later is not None:
            self._later.cancel()
        self._later = later

    def _tell(self) -> None:
        self._wish = 0
        if self.available:
            self.shows.notify()


class SensorFace(Face):
    """A sensor that fires for half a minute."""

    def __init__(self, driver: Any, place: Place, serial: str, version: str, *, alive: bool = True) -> None:
        super().__init__(driver, place, serial, version)
        self._alive = alive
        self._clear: asyncio.TimerHandle | None = None

    @property
    def available(self) -> bool:
        return self._alive

    def fire(self) -> None:
        if self._clear is not None:
            self._clear.cancel()
        self._clear = asyncio.get_running_loop().call_later(DETECTED, self.show, 0)
        self.show(1)


class ContactFace(SensorFace):
    """Opens when there is trouble: Home says "was opened" and can notify."""

    kind = "ContactSensor"
    state = "ContactSensorState"


class OccupancyFace(SensorFace):
    """Detects when something is done."""

    kind = "OccupancySensor"
    state = "OccupancyDetected"


def make(driver: Any, place: Place, serial: str, version: str, owner: Tile | Companion | None) -> Face:
    """The face a place asks for; without an owner it keeps its place and does not respond."""
    if place.face == SwitchFace.kind:
        tile = None if isinstance(owner, Companion) else owner
        return SwitchFace(driver, place, serial, version, tile)
    sensor = ContactFace if place.face == ContactFace.kind else OccupancyFace
    return sensor(driver, place, serial, version, alive=owner is not None)


def make_bridge(driver: Any, name: str, serial: str, version: str) -> Bridge:
    bridge = Bridge(driver, name)
    describe(bridge, model=f"{MAKER} Bridge", serial=serial, version=version)
    return bridge


def describe(accessory: Accessory, *, model: str, serial: str, version: str) -> None:
    """The accessory information; HAP-python's serial number is "default" for everyone."""
    accessory.set_info_service(
        firmware_revision=firmware_revision(version), manufacturer=MAKER, model=model, serial_number=serial
    )
