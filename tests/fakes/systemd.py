"""Imitates systemd's service manager on a real, private D-Bus: what it says crosses the wire."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from dbus_fast import Message, MessageType, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = f"{NAME}.Manager"
PROPERTIES = "org.freedesktop.DBus.Properties"
TARGETS = {"start": "active", "restart": "active", "stop": "inactive"}
PASSING = {"start": "activating", "restart": "deactivating", "stop": "deactivating"}

# As Debian's system bus, but that anybody may be systemd on it.
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
    <allow send_type="method_return"/><allow send_type="error"/><allow receive_type="*"/>
  </policy>
  <limit name="max_match_rules_per_connection">512</limit>
</busconfig>
"""


@contextmanager
def a_bus(folder: Path) -> Iterator[str]:
    """A D-Bus daemon of its own; its address. It dies in the end, as it would by kill -9."""
    path = folder / "bus"
    path.unlink(missing_ok=True)
    (folder / "bus.conf").write_text(CONFIGURATION.format(path=path))
    command = ["dbus-daemon", f"--config-file={folder / 'bus.conf'}", "--nofork", "--print-address"]
    with Popen(command, stdout=PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        try:
            yield f"unix:path={path}"
        finally:
            daemon.kill()


@dataclass
class FakeUnit:
    """A unit, and what becomes of its jobs.

    fate    result of a job by its kind ("done" unless said); the unit then is as the result says
    ends    what the unit is after a job of this kind instead
    hold    jobs stay queued until finish()
    """

    name: str
    active: str = "inactive"
    sub: str = "dead"
    load: str = "loaded"
    type: str = "notify"
    result: str = "success"
    fate: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    hold: bool = False
    cgroup: str = ""
    pid: int = 0
    job: int = 0
    kind: str = ""

    @property
    def path(self) -> str:
        escaped = re.sub(r"[^A-Za-z0-9]|^[0-9]", lambda found: f"_{ord(found[0]):02x}", self.name)
        return f"{PATH}/unit/{escaped}"


class FakeSystemd:
    """`asked` holds the jobs in the order they were asked for; `reads` counts the questions.

    `deaf`: it takes them and answers none.
    """

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.units: dict[str, FakeUnit] = {}
        self.aliases: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.reads = 0
        self.subscribed = False
        self.deaf = False
        self._number = 0
        bus.add_message_handler(self._answer)

    def add(self, name: str, active: str = "inactive", **more: Any) -> FakeUnit:
        unit = self.units[name] = FakeUnit(name, active, **more)
        return unit

    def become(self, unit: FakeUnit, active: str, sub: str = "", result: str = "") -> None:
        """The unit changes, and everyone who listens is told."""
        unit.active, unit.sub = active, sub or unit.sub
        unit.result = result or unit.result
        for interface in (f"{NAME}.Unit", f"{NAME}.Service"):
            self._signal(unit.path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, {}, []])

    def reload(self) -> None:
        """daemon-reload, after unit files have changed."""
        for reloading in (True, False):
            self._signal(PATH, MANAGER, "Reloading", "b", [reloading])

    def queue(self, kind: str, name: str) -> None:
        """What `systemctl --no-block` does; a job that is there already is replaced."""
        self.asked.append((kind, name))
        unit = self.units[self.aliases.get(name, name)]
        if unit.job:
            self._removed(unit, "canceled")
        self._number += 1
        unit.job, unit.kind = self._number, kind
        self.become(unit, PASSING[kind], kind)
        if not unit.hold:
            asyncio.get_running_loop().call_later(0.01, self.finish, unit, unit.job)

    def finish(self, unit: FakeUnit, job: int | None = None) -> None:
        """The job comes to its end."""
        if not unit.job or job not in (None, unit.job):
            return
        result = unit.fate.get(unit.kind, "done")
        after = unit.ends.get(unit.kind, TARGETS[unit.kind] if result == "done" else "failed")
        unit.result = "exit-code" if after == "failed" else "success"
        unit.active = after
        self._removed(unit, result)
        self.become(unit, after)

    def _removed(self, unit: FakeUnit, result: str) -> None:
        number, unit.job = unit.job, 0
        path = f"{PATH}/job/{number}"
        self._signal(PATH, MANAGER, "JobRemoved", "uoss", [number, path, unit.name, result])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self.subscribed:
            self.bus.send(Message.new_signal(path, interface, member, signature, body))

    def _answer(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if self.deaf:
            return True
        if message.member == "Subscribe":
            self.subscribed = True
            return Message.new_method_return(message)
        if message.member == "ListUnitsByNames":
            self.reads += 1
            rows = [self._row(name) for name in message.body[0] if " " not in name]  # no name: left out
            return Message.new_method_return(message, "a(ssssssouso)", [rows])
        if message.member == "Get":
            unit = next(unit for unit in self.units.values() if unit.path == message.path)
            told = {
                "Type": Variant("s", unit.type),
                "Result": Variant("s", unit.result),
                "ControlGroup": Variant("s", unit.cgroup),
                "MainPID": Variant("u", unit.pid),
            }
            return Message.new_method_return(message, "v", [told[message.body[1]]])
        return None

    def _row(self, name: str) -> list[Any]:
        name = self.aliases.get(name, name)
        unit = self.units.get(name) or FakeUnit(name, load="not-found")
        job = f"{PATH}/job/{unit.job}" if unit.job else "/"
        return [name, "", unit.load, unit.active, unit.sub, "", unit.path, unit.job, unit.kind, job]


@asynccontextmanager
async def systemd(address: str) -> AsyncIterator[FakeSystemd]:
    """A service manager on the bus at this address; it leaves the bus in the end."""
    bus = await MessageBus(bus_address=address).connect()
    fake = FakeSystemd(bus)
    assert await bus.request_name(NAME) is RequestNameReply.PRIMARY_OWNER
    try:
        yield fake
    finally:
        bus.disconnect()


class FakeRoot:
    """Imitates bridge.tools.root over that systemd: the helper's verbs, done at once."""

    def __init__(self, fake: FakeSystemd) -> None:
        self._fake = fake

    async def call(self, verb: str, name: str) -> None:
        self._fake.queue(verb.removeprefix("unit-"), name)
