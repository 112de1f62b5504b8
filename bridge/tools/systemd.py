"""systemd over D-Bus, without privilege and without polling.

Source of the rules: org.freedesktop.systemd1(5). Signals reach only clients that called
Manager.Subscribe(); the order is subscribe, then read, then listen, so that nothing falls
between. One connection serves every tile; when it breaks, everyone who waits hears
Unavailable, and the next one to ask connects again. Any user may send a signal straight to us,
past every match rule, so only what systemd and the bus themselves send is believed.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from bridge.contract import Unavailable
from bridge.tools.units import UNIT_PATHS, Unit, unit_path

SYSTEMD = "org.freedesktop.systemd1"
MANAGER = f"{SYSTEMD}.Manager"
MANAGER_PATH = "/org/freedesktop/systemd1"
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"
ANSWER = 5.0  # seconds systemd has to answer a question
BURST, CALM = 10, 0.1  # reads of a unit that never rests, and the seconds between those after them
MOST_RULES = 400  # match rules; the bus takes 512 of a connection


@dataclass(eq=False)
class Waiter:
    """Somebody who waits for signals about some units. `words`: their paths and ids."""

    words: frozenset[str] = frozenset()
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: int = 0
    last: float = 0.0

    async def woken(self) -> None:
        """Wait for a signal; when they never end, for a moment more."""
        await self.changed.wait()
        loop = asyncio.get_running_loop()
        self.hurry = self.hurry + 1 if loop.time() - self.last < CALM else 0
        if self.hurry > BURST:
            await asyncio.sleep(CALM)
        self.last = loop.time()
        self.changed.clear()


@dataclass(eq=False)
class Link:
    """One connection to the bus. `owner`: systemd's unique name on it; `rules`: what is listened to."""

    bus: MessageBus
    owner: str = ""
    rules: set[str] = field(default_factory=set)


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


class NotTaken(Unavailable):
    """One of the names is none for a unit."""


@dataclass(eq=False)
class Round:
    """What is asked for in the same turn of the loop, and systemd's one answer by name."""

    names: set[str]
    answer: "asyncio.Task[dict[str, Unit]]"


class Systemd:
    """A client of the system's service manager, connected when it is first needed."""

    def __init__(self) -> None:
        self._round: Round | None = None
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None
        self._waiting: set[Waiter] = set()
        self._jobs: set[Jobs] = set()
        self._mourning: set[asyncio.Task[None]] = set()

    async def read(self, names: Sequence[str]) -> list[Unit]:
        """The units of these names, in this order; Unavailable when systemd cannot be asked."""
        turn = self._round
        if turn is None:
            asked: set[str] = set()
            self._round = turn = Round(asked, asyncio.create_task(self._answer(asked)))
            turn.answer.add_done_callback(lambda task: task.cancelled() or task.exception())
        turn.names.update(names)
        try:
            units = await asyncio.shield(turn.answer)
        except NotTaken:
            if turn.names == set(names):
                raise
            units = await self._list(names)  # it may be somebody else's name
        return [units[name] for name in names]

    async def _answer(self, asked: set[str]) -> dict[str, Unit]:
        try:
            await self._connected()
        finally:
            self._round = None
        return await self._list(sorted(asked))

    async def _list(self, names: Sequence[str]) -> dict[str, Unit]:
        (rows,) = await self._ask("ListUnitsByNames", "as", [list(names)])
        if len(rows) != len(names):
            raise NotTaken(f"systemd does not take {' or '.join(names)} for the name of a unit")
        return {
            name: Unit(name, row[0], row[2], row[3], row[4], row[6], bool(row[7]))
            for name, row in zip(names, rows, strict=True)
        }

    async def watch(self, names: Sequence[str]) -> AsyncGenerator[list[Unit], None]:
        """The units now, and again whenever something about one of them changed."""
        link = await self._connected()
        waiter, told = Waiter(), None
        self._waiting.add(waiter)
        try:
            await self._listen(link, waiter, {unit_path(name): name for name in names})
            while True:
                units = await self.read(names)
                if await self._listen(link, waiter, {unit.path: unit.id for unit in units}):
                    continue  # what happened before we listened is seen by reading again
                if units != told:
                    told = units
                    yield units
                await waiter.woken()
                if self._link is not link or not link.bus.connected:
                    raise Unavailable("the connection to systemd was lost")
        finally:
            self._waiting.discard(waiter)

    async def _listen(self, link: Link, waiter: Waiter, units: Mapping[str, str]) -> bool:
        """Let signals about these units (path -> id) wake the waiter; False when they do already."""
        words = frozenset([*units, *units.values()])
        if words == waiter.words:
            return False
        for path in units:
            await self._match_unit(link, path)
        waiter.words = words
        return True

    @asynccontextmanager
    async def jobs(self, unit: Unit) -> AsyncIterator[Jobs]:
        """Enter before something is asked of a unit, then `await jobs.end()`."""
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
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.bus.disconnect()
            self._link = None
        if self._mourning:
            await asyncio.wait(self._mourning, timeout=1.0)

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
        link = await self._connected()
        return await _call(link.bus, SYSTEMD, path, interface, member, signature, body)

    async def _connected(self) -> Link:
        if self._link is not None and self._link.bus.connected:
            return self._link
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect(), name="connect to D-Bus")
        self._link = await asyncio.shield(self._connecting)
        return self._link

    async def _connect(self) -> Link:
        try:
            bus = MessageBus(bus_type=BusType.SYSTEM)
            async with asyncio.timeout(ANSWER):
                await bus.connect()
        except Exception as error:  # of many classes, over the library's releases
            raise Unavailable(f"the D-Bus system bus cannot be reached: {_said(error)}") from None
        link = Link(bus)
        try:
            await self._greet(link)
        except BaseException:
            bus.disconnect()
            raise
        mourning = asyncio.get_running_loop().create_task(self._mourn(bus), name="D-Bus connection")
        self._mourning.add(mourning)
        mourning.add_done_callback(self._mourning.discard)
        return link

    async def _greet(self, link: Link) -> None:
        await self._match(
            link, f"sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'"
        )
        (link.owner,) = await _call(link.bus, BUS, BUS_PATH, BUS, "GetNameOwner", "s", [SYSTEMD])
        link.bus.add_message_handler(lambda message: self._heard(link, message))
        for member in ("Reloading", "JobRemoved"):
            await self._match(link, f"sender='{SYSTEMD}',interface='{MANAGER}',member='{member}'")
        await _call(link.bus, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe")

    async def _mourn(self, bus: MessageBus) -> None:
        """Wake everyone when the connection ends; what they ask next tells them."""
        with contextlib.suppress(Exception):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._wake(None)

    async def _match_unit(self, link: Link, path: str) -> None:
        signal = f"sender='{SYSTEMD}',interface='{PROPERTIES}',member='PropertiesChanged'"
        rule = f"{signal},path='{path}'"
        if rule not in link.rules and len(link.rules) >= MOST_RULES:
            rule = f"{signal},path_namespace='{UNIT_PATHS}'"
        await self._match(link, rule)

    async def _match(self, link: Link, rule: str) -> None:
        if rule not in link.rules:
            await _call(link.bus, BUS, BUS_PATH, BUS, "AddMatch", "s", [f"type='signal',{rule}"])
            link.rules.add(rule)

    def _heard(self, link: Link, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == BUS and message.member == "NameOwnerChanged":
            if message.body[0] == SYSTEMD:
                link.bus.disconnect()
        elif message.sender != link.owner:
            return
        elif message.member == "PropertiesChanged":
            self._wake(message.path)
        elif message.member == "JobRemoved":
            _, _, name, result = message.body
            for jobs in self._jobs:
                if jobs.unit.id == name:
                    jobs.results.append(result)
            self._wake(name)
        elif message.member == "Reloading":
            self._wake(None)

    def _wake(self, what: str | None) -> None:
        """Wake who waits for it; None wakes everyone."""
        for waiter in self._waiting:
            if what is None or what in waiter.words:
                waiter.changed.set()


async def _call(
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


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
