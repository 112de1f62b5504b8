"""What an accessory kind promises, and the words everyone uses about it.

A person makes a *wish*; the machine is observed and states the *fact*; one Keeper per
accessory follows the wish until it is over. Standard library only: kinds, Keeper, faces
and journal share this module and need nothing else of each other.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class State:
    """The fact: what the machine says of an accessory right now.

    on       True or False; None while it cannot be observed
    moving   a transition is under way, so `on` is not the last word
    died     it is off because it failed, not because somebody turned it off; or it is on and
             does not work
    reason   one line for a person ("nmbd.service is failed"), may be empty
    """

    on: bool | None
    moving: bool = False
    died: bool = False
    reason: str = ""


class Outcome(StrEnum):
    """How a wish ended."""

    MET = "met"
    FAILED = "failed"  # it was tried and did not happen
    REFUSED = "refused"  # not in this state
    DENIED = "denied"  # the machine does not let the bridge do it
    UNAVAILABLE = "unavailable"  # the accessory cannot be observed or reached
    LATE = "late"  # the deadline passed; the machine may still be on its way
    SUPERSEDED = "superseded"  # a newer wish took its place
    DROPPED = "dropped"  # the bridge stopped


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a wish: its outcome and, unless it was met, the reason in one line."""

    outcome: Outcome
    reason: str = ""


class Trouble(Exception):
    """Raised by a kind that cannot do what was asked; the text is one line for a person."""

    outcome = Outcome.FAILED

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.outcome, str(self))


class Failed(Trouble):
    """It was tried, and it did not happen."""


class Refused(Trouble):
    """It cannot be done in the state the accessory is in."""

    outcome = Outcome.REFUSED


class Denied(Trouble):
    """The bridge lacks the privilege."""

    outcome = Outcome.DENIED


class Unavailable(Trouble):
    """The accessory cannot be observed or reached now."""

    outcome = Outcome.UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Vitals:
    """Where the watchdog measures what an accessory uses; empty when there is nothing to measure.

    cgroups  the control groups that hold all it runs, below the root of cgroup v2, as systemd
             tells them ("/system.slice/smbd.service", "/system.slice/docker-0451….scope")
    pids     its main processes, one of each thing that runs: what `cpu` means, and all there
             is to measure where there is no cgroup
    healthy  what its own health check says; None without one, or before its first word
    """

    cgroups: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    healthy: bool | None = None


class Accessory(ABC):
    """One thing that can be on or off. All methods run on the event loop and never block it.

    rest: None for a toggle. A momentary accessory rests at this value; setting the other
    one does something, and when that is done it is back at rest.
    holds: the last wish is kept over restarts, and defended against everybody but a new wish.
    at_first: what is held before anybody has wished anything.
    """

    rest: bool | None = None
    holds: bool = False
    at_first: bool | None = None

    @abstractmethod
    def watch(self) -> AsyncGenerator[State, None]:
        """Yield the state now, and again after every change, for ever.

        Each state is true when it is yielded, never an older one. Raise Unavailable (any
        other exception is a bug and is logged as one) when observing is not possible; the
        Keeper shows "unknown" and calls watch() again after a pause.
        """

    @abstractmethod
    async def set(self, on: bool) -> State:
        """Make it so, and return the state seen afterwards; `moving` when it takes longer.

        Called with what is so already, too. Raise a Trouble when it did not happen.
        Cancelled when the wish is superseded or late: return soon then.
        """

    async def restart(self) -> State:
        """Restart what runs, never start what does not (Refused then); the state afterwards."""
        raise Refused("this accessory cannot be restarted")

    async def vitals(self) -> Vitals:
        """Where to measure it now; asked in every cycle of a watchdog while it is on, so be cheap.

        Raises Unavailable.
        """
        return Vitals()


@dataclass(eq=False, slots=True)
class Wish:
    """What somebody wants of an accessory, from the moment it is made until its verdict.

    since and deadline are loop times in seconds; before is the fact when it all began; verdict
    never carries an exception; why is the reason to restart it, empty for a wish to turn it on or off.
    """

    key: str
    on: bool
    who: str
    since: float
    deadline: float
    verdict: asyncio.Future[Verdict]
    number: int = 0
    before: bool | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the story: a wish begun, a wish ended, or a state that was seen.

    old, new   what the tile stood at before and after (None: unknown)
    who        a controller, a CLI user, "observed", or "defended" (a wish that holds was undone)
    wish       number of the wish, 0 for what was only observed
    wanted     what the wish asked for
    restart    it was on, and was to be restarted
    outcome    None while the wish is on its way, and for what was only observed
    took       seconds from the wish to its end
    sensor     which of the accessory's sensors detects because of it ("done"), "" for none
    """

    key: str
    at: float
    old: bool | None
    new: bool | None
    who: str
    reason: str = ""
    died: bool = False
    wish: int = 0
    wanted: bool | None = None
    outcome: Outcome | None = None
    took: float | None = None
    sensor: str = ""
    restart: bool = False

    @property
    def detects(self) -> str:
        """Which sensor detects because of it: the named one, "trouble" when something failed, or ""."""
        failed = self.died or self.outcome in (Outcome.FAILED, Outcome.LATE, Outcome.DENIED)
        return self.sensor or ("trouble" if failed else "")


Tell = Callable[[str, str, str], None]
"""(key, sensor, one line): something a person may want to hear of an accessory, such as
("scans", "done", "12 photos of 5 scans"). It goes into the journal, and the sensor detects."""


class Tile(Protocol):
    """What a face (HomeKit, the control socket) sees of an accessory: its Keeper."""

    @property
    def key(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def rest(self) -> bool | None:
        """As Accessory.rest: None for a toggle."""
        ...

    @property
    def shown(self) -> bool | None:
        """What the tile stands at: the wanted value while a wish runs, else the settled fact."""
        ...

    def wish(self, on: bool, who: str, *, bulk: bool = False) -> Wish:
        """Make a wish; returns at once. `bulk`: one of several turned off by the same request."""
        ...


class Kept(Protocol):
    """Where the wishes of accessories that hold them outlast the bridge. Must not block or raise."""

    def read(self, key: str, at_first: bool | None = None) -> bool | None:
        """The wish that was kept last, `at_first` if there is none."""
        ...

    def write(self, key: str, on: bool | None) -> None: ...


class Listener(Protocol):
    """Who hears what happens to a tile. Called on the loop; must not block or raise."""

    def shown(self, tile: Tile) -> None:
        """`tile.shown` has changed."""

    def changed(self, change: Change) -> None:
        """A line for the journal."""


@dataclass(frozen=True, slots=True)
class UnitGrant:
    """A systemd unit that root may be asked to start, stop and restart."""

    unit: str


@dataclass(frozen=True, slots=True)
class CommandGrant:
    """Commands that root may be asked to run; `timeout` in seconds."""

    key: str
    on: tuple[str, ...] | None
    off: tuple[str, ...] | None
    timeout: float


@dataclass(frozen=True, slots=True)
class DomainGrant:
    """A guest of libvirt that root may be asked to start, resume, shut down and reboot.

    name   None: every guest there is
    force  its plug may be pulled, too
    """

    name: str | None
    force: bool


@dataclass(frozen=True, slots=True)
class ContainerGrant:
    """A container, or all of a compose project, that root may be asked to start, stop, restart and watch.

    grace  whole seconds that each has to end before it is killed; None: what the container says itself
    """

    key: str
    container: str | None
    project: str | None
    grace: int | None


@dataclass(frozen=True, slots=True)
class RouteGrant:
    """A network whose traffic root may be asked to send through an interface, and back.

    bridge     the network's bridge, and `table` its routing table: no other key's
    lan        prefixes that are always reached directly; empty: where the machine has addresses
    ipv6       False: IPv6 goes nowhere while on
    container  the one that is put on the Docker network `network`, if one is named
    """

    key: str
    bridge: str
    table: int
    interface: str
    lan: tuple[str, ...]
    ipv6: bool
    container: str | None
    network: str
    checks_dns: bool


@dataclass(frozen=True, slots=True)
class ScansGrant:
    """Folders that a worker's unit may write to, and what it is to do in them.

    settings  the file the unit reads, as text
    lasts     it goes on until it is stopped, so systemd starts it again when it fails
    """

    key: str
    unit: str
    folders: tuple[str, ...]
    settings: str
    lasts: bool


Grant = UnitGrant | CommandGrant | RouteGrant | DomainGrant | ContainerGrant | ScansGrant
