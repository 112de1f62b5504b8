"""A phone with the Home app, as far as a bridge can tell: a HomeKit controller by aiohomekit.

    phone = await Phone.at("127.0.0.1", port)        # or: await Phone.find("Bellpull")
    await phone.pair("031-45-154")
    tile = await phone.tile("File Server")
    answer = await tile.turn(True)
    assert answer.status == 0 and await tile.is_on()
    async with phone.watching(tile.id) as events:
        await events.wait_for(tile.id, False)
    await phone.close()

A phone lives on the event loop it was made on; its methods may be awaited from any loop, so
that a phone on a box's LAN (a loop in a thread in a network namespace) serves a test's own.
"""

import asyncio
import functools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

from aiohomekit import hkjson
from aiohomekit.characteristic_cache import CharacteristicCacheMemory
from aiohomekit.controller.ip.controller import IpController
from aiohomekit.controller.ip.discovery import IpDiscovery
from aiohomekit.exceptions import HttpErrorResponse
from aiohomekit.model.categories import Categories
from aiohomekit.model.feature_flags import FeatureFlags
from aiohomekit.model.status_flags import StatusFlags
from aiohomekit.zeroconf import HAP_TYPE_TCP, HomeKitService
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

Id = tuple[int, int]
"""Accessory id and instance id of a characteristic."""

ACCESSORY_INFORMATION, SWITCH = ("0000003E", "00000049")  # the first part of the service's UUID
NAME, ON = ("00000023", "00000025")  # and of the characteristic's
SENSORS = {"00000080": "0000006A", "00000086": "00000071"}  # of contact and occupancy: what shows it

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """One characteristic in an answer to GET: its value, or a HAP status other than 0."""

    value: Any
    status: int = 0


@dataclass(frozen=True)
class Answer:
    """The answer to a PUT.

    http      204 when every write went well, 207 otherwise, 4xx when the request was refused
    statuses  HAP status per characteristic, 0 is success; empty when the request was refused
    seconds   from the request's first byte to the answer's last
    """

    http: int
    statuses: dict[Id, int]
    seconds: float

    @property
    def status(self) -> int:
        """The status of a PUT of one."""
        [status] = self.statuses.values()
        return status


@dataclass(frozen=True)
class Event:
    """What the bridge said unasked; `at` is time.monotonic() on arrival."""

    id: Id
    value: Any
    at: float


@dataclass
class Events:
    """The events since the watching began, oldest first."""

    seen: list[Event] = field(default_factory=list)

    async def wait_for(self, id: Id, value: Any, within: float = 5) -> Event:
        """The first event that says so, be it seen already; raises AssertionError when none comes."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for event in self.seen:
                if event.id == id and event.value == value:
                    return event
            await asyncio.sleep(0.002)
        raise AssertionError(f"no event {id} = {value!r} within {within} s, only {self.seen}")


@dataclass(frozen=True)
class Tile:
    """The On of a switch."""

    phone: "Phone"
    id: Id

    async def turn(self, on: bool) -> Answer:
        return await self.phone.put([(*self.id, on)])

    async def read(self) -> Reading:
        return (await self.phone.get([self.id]))[self.id]

    async def is_on(self) -> bool:
        """Raises AssertionError when the bridge answers No Response."""
        reading = await self.read()
        assert reading.status == 0, reading
        return bool(reading.value)

    async def wait_until(self, on: bool, within: float = 10) -> None:
        """Read until it is so; raises AssertionError when it does not become so."""
        deadline = time.monotonic() + within
        while (reading := await self.read()).value is not on:
            assert time.monotonic() < deadline, f"still {reading} after {within} s"
            await asyncio.sleep(0.05)


def where_it_lives(
    method: "Callable[Concatenate[Phone, P], Coroutine[Any, Any, T]]",
) -> "Callable[Concatenate[Phone, P], Coroutine[Any, Any, T]]":
    """Run the method on the phone's own loop, whichever loop awaits it."""

    @functools.wraps(method)
    async def call(phone: "Phone", /, *args: P.args, **kwargs: P.kwargs) -> T:
        work = method(phone, *args, **kwargs)
        if asyncio.get_running_loop() is phone.loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, phone.loop))

    return call


class Phone:
    """One controller and, once paired, its pairing with one bridge."""

    def __init__(self, service: HomeKitService) -> None:
        self.loop = asyncio.get_running_loop()
        self.service = service
        # Any, here and below: aiohomekit is typed in places only. No zeroconf: see `find`.
        self._controller: Any = IpController(CharacteristicCacheMemory(), cast(Any, None))
        self._pairing: Any = None
        self._watchers: list[Events] = []

    @classmethod
    async def at(cls, address: str, port: int) -> Self:
        """A phone that knows where the bridge is."""
        return cls(_service(address, port))

    @classmethod
    async def find(cls, name: str, within: float = 10) -> Self:
        """A phone that looks for the bridge by mDNS, as a real one does."""
        return cls(await advertised(name, within))

    @property
    def pairing(self) -> Any:
        """aiohomekit's own IpPairing, for what this class has no word for (on the phone's loop)."""
        assert self._pairing is not None, "not paired"
        return self._pairing

    @where_it_lives
    async def pair(self, code: str) -> None:
        """Raises aiohomekit's exceptions (AuthenticationError for a wrong code, ...)."""
        discovery: Any = IpDiscovery(self._controller, self.service)
        try:
            finish = await discovery.async_start_pairing("phone")
            pairing = await finish(code)
        finally:
            await discovery.close()
        self._adopt(pairing.pairing_data)
        await pairing.close()

    def _adopt(self, data: dict[str, Any]) -> None:
        pairing = self._controller.load_pairing("phone", data)
        # Not aiohomekit's listeners: they also hear of the phone's own writes.
        pairing.event_received = self._event_received
        self._pairing = pairing

    def _event_received(self, body: dict[str, Any]) -> None:
        now = time.monotonic()
        for item in body["characteristics"]:
            event = Event((item["aid"], item["iid"]), item.get("value"), now)
            for watcher in self._watchers:
                watcher.seen.append(event)

    @where_it_lives
    async def invite(self, *, admin: bool = False) -> "Phone":
        """A second phone of the same home, as iOS adds a family member; its pairing is its own."""
        key = Ed25519PrivateKey.generate()
        secret, public = key.private_bytes_raw().hex(), key.public_key().public_bytes_raw().hex()
        name = str(uuid.uuid4())
        await self.pairing.add_pairing(name, public, "Admin" if admin else "User")
        guest = Phone(self.service)
        guest._adopt(
            {
                **self.pairing.pairing_data,
                "iOSPairingId": name,
                "iOSDeviceLTSK": secret,
                "iOSDeviceLTPK": public,
            }
        )
        return guest

    @where_it_lives
    async def unpair(self) -> None:
        """Remove the bridge from the home."""
        await self.pairing.remove_pairing(self.pairing.pairing_data["iOSPairingId"])

    @where_it_lives
    async def accessories(self) -> list[dict[str, Any]]:
        """The bridge's own description of all its accessories; UUIDs in full."""
        await self._connect()
        listed: list[dict[str, Any]] = await self.pairing.list_accessories_and_characteristics()
        return listed

    async def tile(self, name: str) -> Tile:
        """The switch of the accessory with this name; raises LookupError with the names there are."""
        return Tile(self, await self._find(name, {SWITCH: ON}))

    async def sensor(self, name: str) -> Id:
        """What the sensor of this name shows, 1 when it detects; raises LookupError as tile() does."""
        return await self._find(name, SENSORS)

    async def _find(self, name: str, shows: dict[str, str]) -> Id:
        names = []
        for accessory in await self.accessories():
            services = {service["type"][:8]: service["characteristics"] for service in accessory["services"]}
            names.append(_characteristic(services[ACCESSORY_INFORMATION], NAME)["value"])
            for service in shows.keys() & services if names[-1] == name else ():
                return accessory["aid"], _characteristic(services[service], shows[service])["iid"]
        raise LookupError(f"no such accessory named {name!r}, only {names}")

    @where_it_lives
    async def get(self, ids: Iterable[Id]) -> dict[Id, Reading]:
        """Read several at once."""
        query = ",".join(f"{aid}.{iid}" for aid, iid in ids)
        connection = await self._connect()
        response = await connection.get(f"/characteristics?id={query}")
        return {
            (item["aid"], item["iid"]): Reading(item.get("value"), item.get("status", 0))
            for item in hkjson.loads(response.body)["characteristics"]
        }

    @where_it_lives
    async def put(self, writes: Iterable[tuple[int, int, Any]]) -> Answer:
        """Write several at once, as one scene does."""
        writes = list(writes)
        items = [{"aid": aid, "iid": iid, "value": value} for aid, iid, value in writes]
        connection = await self._connect()
        start = time.monotonic()
        try:
            response = await connection.put("/characteristics", hkjson.dump_bytes({"characteristics": items}))
        except HttpErrorResponse as refusal:
            response = refusal.response
        return _answer([(aid, iid) for aid, iid, _ in writes], response, time.monotonic() - start)

    @asynccontextmanager
    async def watching(self, *ids: Id) -> AsyncIterator[Events]:
        """Subscribe, and collect every event of the bridge while the block runs."""
        events = Events()
        self._watchers.append(events)
        try:
            await self._subscribe(set(ids))
            yield events
        finally:
            self._watchers.remove(events)

    @where_it_lives
    async def _subscribe(self, ids: set[Id]) -> None:
        await self._connect()
        if failed := await self.pairing.subscribe(ids):
            raise AssertionError(f"the bridge refused the subscription: {failed}")

    async def _connect(self) -> Any:
        connection = self.pairing.connection
        connection.reconnect_soon()  # else it may wait up to a minute after the bridge came back
        await self.pairing._ensure_connected()
        return connection

    @where_it_lives
    async def close(self) -> None:
        """Go out of range; the pairing stays."""
        if self._pairing is not None:
            await self._pairing.shutdown()


async def advertised(name: str, within: float = 10) -> HomeKitService:
    """What mDNS says of the bridge with this name; raises TimeoutError when nothing is heard of it."""
    found: asyncio.Queue[str] = asyncio.Queue()

    def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        found.put_nowait(name)

    async with asyncio.timeout(within), AsyncZeroconf() as zeroconf:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, HAP_TYPE_TCP, handlers=[heard])
        try:
            while True:
                full_name = await found.get()
                if full_name.startswith(name):
                    info = AsyncServiceInfo(HAP_TYPE_TCP, full_name)
                    if await info.async_request(zeroconf.zeroconf, 3000):
                        return HomeKitService.from_service_info(info)
        finally:
            await browser.async_cancel()


def _service(address: str, port: int) -> HomeKitService:
    return HomeKitService(
        name="",
        id="",
        model="",
        feature_flags=FeatureFlags(0),
        status_flags=StatusFlags.UNPAIRED,
        config_num=1,
        state_num=1,
        category=Categories.BRIDGE,
        protocol_version="1.1",
        type=HAP_TYPE_TCP,
        address=address,
        addresses=[address],
        port=port,
    )


def _characteristic(characteristics: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(item for item in characteristics if item["type"].startswith(kind))


def _answer(ids: list[Id], response: Any, seconds: float) -> Answer:
    if response.code == 204:
        return Answer(204, dict.fromkeys(ids, 0), seconds)
    items = hkjson.loads(response.body)["characteristics"] if response.code == 207 else []
    return Answer(response.code, {(item["aid"], item["iid"]): item["status"] for item in items}, seconds)
