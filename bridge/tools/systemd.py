"""systemd over D-Bus, without privilege and without polling.

Source of the rules: org.freedesktop.systemd1(5). Signals reach only clients that called
Manager.Subscribe(); the order is subscribe, then read, then listen, so that nothing falls
between. One connection serves every tile; when it breaks, everyone who waits hears
Unavailable, and the next one to ask connects again.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from bridge.contract import Unavailable

SYSTEMD = "org.freedesktop.systemd1"
MANAGER = f"{SYSTEMD}.Manager"
MANAGER_PATH = "/org/freedesktop/systemd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
TYPES = (
    "service",
    "socket",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
    "scope",
    "target",
    "device",
)
ANSWER = 5.0  # seconds systemd has to answer a question


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as ListUnitsByNames() tells it; the words are systemd's."""

    name: str  # as it was asked for
    id: str  # its own name, where the other is an alias
    load: str  # loaded, not-found, masked, bad-setting, error
    active: str  # active, reloading, inactive, failed, activating, deactivating
    sub: str
    path: str
    job: bool  # a job for it is queued or runs

    @property
    def up(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def down(self) -> bool:
        return self.active in ("inactive", "failed")

    @property
    def moving(self) -> bool:
        return self.job or not (self.up or self.down)

    @property
    def missing(self) -> bool:
        return self.load == "not-found" and self.down


@dataclass(eq=False, slots=True)
class _Waiter:
    """Somebody who watches units: their paths and ids, None (any) before they are known."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    words: frozenset[str] | None = None


class Jobs:
    """The results of the jobs of one unit that ended since jobs() was entered."""

    def __init__(self, systemd: "Systemd", unit: Unit) -> None:
        self._systemd = systemd
        self.unit = unit
        self.results: list[str] = []

    async def end(self) -> tuple[Unit, str]:
        """Wait until the unit has no job any more: (the unit, result of its last job).

        Results are systemd's: done, canceled, timeout, failed, dependency, skipped; "done"
        when there was no job, for then there was nothing to do.
        """
        async with contextlib.aclosing(self._systemd.watch([self.unit.name])) as reads:
            async for (unit,) in reads:
                if not unit.job:
                    break
        return unit, self.results[-1] if self.results else "done"


class Systemd:
    """A client of the system's service manager, connected when it is first needed."""

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()
        self._waiting: set[_Waiter] = set()
        self._jobs: set[Jobs] = set()
        self._matched: set[str] = set()
        self._mourning: asyncio.Task[None] | None = None

    async def read(self, names: Sequence[str]) -> list[Unit]:
        """The units of these names, in this order; Unavailable when systemd cannot be asked."""
        (rows,) = await self._ask("ListUnitsByNames", "as", [list(names)])
        return [
            Unit(name, row[0], row[2], row[3], row[4], row[6], bool(row[7]))
            for name, row in zip(names, rows, strict=True)
        ]

    async def watch(self, names: Sequence[str]) -> AsyncGenerator[list[Unit], None]:
        """The units now, and again whenever something about one of them changed."""
        waiter = _Waiter()
        self._waiting.add(waiter)
        try:
            while True:
                units = await self.read(names)
                bus = self._bus
                if await self._match_units(units):
                    continue  # what happened before systemd was asked to tell, nobody told
                waiter.words = frozenset(word for unit in units for word in (unit.path, unit.id))
                yield units
                await waiter.woken.wait()
                waiter.woken.clear()
                if self._bus is not bus or bus is None or not bus.connected:
                    raise Unavailable("the connection to systemd was lost")
        finally:
            self._waiting.discard(waiter)

    @asynccontextmanager
    async def jobs(self, unit: Unit) -> AsyncIterator[Jobs]:
        """Enter before something is asked of a unit, then `await jobs.end()`."""
        await self._match_units([unit])
        jobs = Jobs(self, unit)
        self._jobs.add(jobs)
        try:
            yield jobs
        finally:
            self._jobs.discard(jobs)

    async def property(self, unit: Unit, name: str) -> str:
        """A property of the unit's own type, as text ("Result", "Type"); empty when it has none."""
        interface = f"{SYSTEMD}.{unit.id.rpartition('.')[2].capitalize()}"
        try:
            (value,) = await self._ask("Get", "ss", [interface, name], interface=PROPERTIES, path=unit.path)
        except Unavailable:
            return ""
        return str(value.value)

    async def steady(self, unit: Unit, seconds: float) -> Unit:
        """Look at a unit for a while; returns early when it is not up any more."""
        try:
            async with asyncio.timeout(seconds), contextlib.aclosing(self.watch([unit.name])) as reads:
                async for (unit,) in reads:
                    if not unit.up:
                        break
        except TimeoutError:
            pass
        return unit

    async def close(self) -> None:
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    # The wire

    async def _ask(
        self,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        interface: str = MANAGER,
        path: str = MANAGER_PATH,
    ) -> list[Any]:
        bus = await self._connected()
        return await self._call(bus, SYSTEMD, path, interface, member, signature, body)

    async def _call(
        self,
        bus: MessageBus,
        to: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
    ) -> list[Any]:
        message = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            async with asyncio.timeout(ANSWER):
                reply = await bus.call(message)
        except (DBusError, OSError, EOFError, TimeoutError) as error:
            raise Unavailable(f"systemd does not answer: {_said(error)}") from None
        if reply is None or reply.message_type is MessageType.ERROR:
            said = reply.body[0] if reply and reply.body else reply.error_name if reply else "no reply"
            raise Unavailable(f"systemd does not answer: {said}")
        return list(reply.body)

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                self._bus = await self._connect()
            return self._bus

    async def _connect(self) -> MessageBus:
        bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            async with asyncio.timeout(ANSWER):
                await bus.connect()
        except (DBusError, OSError, EOFError, TimeoutError) as error:
            raise Unavailable(f"the D-Bus system bus cannot be reached: {_said(error)}") from None
        self._matched = set()
        bus.add_message_handler(self._heard)
        try:
            await self._match(
                bus, f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='Reloading'"
            )
            await self._match(
                bus, f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{SYSTEMD}'"
            )
            await self._call(bus, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe")
        except Unavailable:
            bus.disconnect()
            raise
        self._mourning = asyncio.get_running_loop().create_task(self._mourn(bus), name="D-Bus connection")
        return bus

    async def _mourn(self, bus: MessageBus) -> None:
        """Wake everyone when the connection ends; what they ask next tells them."""
        with contextlib.suppress(Exception):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._wake_all()

    async def _match_units(self, units: Sequence[Unit]) -> bool:
        """Have systemd tell of these units; whether it did not until now."""
        bus = await self._connected()
        signal = f"type='signal',sender='{SYSTEMD}',interface"
        rules = [
            rule
            for unit in units
            for rule in (
                f"{signal}='{PROPERTIES}',member='PropertiesChanged',path='{unit.path}'",
                f"{signal}='{MANAGER}',member='JobRemoved',arg2='{unit.id}'",
            )
            if rule not in self._matched
        ]
        for rule in rules:
            await self._match(bus, rule)
        return bool(rules)

    async def _match(self, bus: MessageBus, rule: str) -> None:
        await self._call(
            bus,
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "AddMatch",
            "s",
            [rule],
        )
        self._matched.add(rule)

    def _heard(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "PropertiesChanged":
            self._wake(message.path)
        elif message.member == "JobRemoved":
            _, _, name, result = message.body
            for jobs in self._jobs:
                if jobs.unit.id == name:
                    jobs.results.append(result)
            self._wake(name)
        elif message.member in ("Reloading", "NameOwnerChanged"):
            if message.member == "NameOwnerChanged" and self._bus is not None:
                self._bus.disconnect()
            self._wake_all()

    def _wake(self, what: str | None) -> None:
        for waiter in self._waiting:
            if waiter.words is None or what in waiter.words:
                waiter.woken.set()

    def _wake_all(self) -> None:
        for waiter in self._waiting:
            waiter.woken.set()


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
