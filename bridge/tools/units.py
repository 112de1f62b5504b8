"""Units as systemd shows them on the bus."""

import re
from dataclasses import dataclass

UNIT_PATHS = "/org/freedesktop/systemd1/unit"
TYPES = ("service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice")


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


def unit_path(name: str) -> str:
    """Where systemd shows the unit of this name on the bus, unless that is another unit's alias."""
    escaped = re.sub(rb"[^A-Za-z0-9]|^[0-9]", lambda found: b"_%02x" % ord(found[0]), name.encode()).decode()
    return f"{UNIT_PATHS}/{escaped}"
