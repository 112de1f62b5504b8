"""A kind of accessory: its piece of configuration, and how to open it.

A kind is a module in `accessories/` named as the configuration names it, holding one
frozen dataclass derived from Kind: its fields are the keys a person may write. Installed
packages add kinds through the entry-point group "bellpull.accessories" (name = kind,
value = the class).
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cache
from typing import ClassVar

import accessories
from bridge.contract import Accessory, Grant
from bridge.tools import Tools

GROUP = "bellpull.accessories"
DEADLINE = 100.0  # seconds; systemd gives a unit 90 by default


class Kind(ABC):
    """Base of every kind; subclasses are frozen dataclasses.

    bulk  "ignore" when turning off many accessories at once should leave it alone
    """

    bulk: ClassVar[str] = "obey"

    @property
    def can_restart(self) -> bool:
        """Whether `action: restart`, and a watchdog that restarts, make sense."""
        return False

    @property
    def vital(self) -> frozenset[str]:
        """What its Accessory.vitals() tell of: "cpu", "memory", "health"."""
        return frozenset()

    @property
    def deadline(self) -> float:
        """Seconds a wish may take unless the configuration says otherwise."""
        return DEADLINE

    @abstractmethod
    def open(self, key: str, tools: Tools) -> Accessory:
        """The accessory; must not block. What cannot be reached yet is watch()'s to say."""

    def problems(self) -> Iterable[tuple[str, str]]:
        """What is wrong with fields taken together: (field, "what is wrong; what to write")."""
        return ()

    def sensors(self) -> Iterable[str]:
        """The sensors it has beside "trouble": "done" is an accessory KEY.done, named "… Done".

        One detects when the kind calls `tools.tell(key, "done", …)`.
        """
        return ()

    def grants(self, key: str) -> Iterable[Grant]:
        """What root has to allow for it."""
        return ()

    async def doubts(self, tools: Tools) -> Iterable[str]:
        """What `check` warns of when it looks at this machine, a line each."""
        return ()


@cache
def names(*, builtin_only: bool = False) -> dict[str, str]:
    """Every known kind -> where its class is found. Others than our own take 20 ms and 2 MB to find."""
    found = {
        module.name: f"accessories.{module.name}" for module in pkgutil.iter_modules(accessories.__path__)
    }
    if not builtin_only:
        from importlib.metadata import entry_points

        for entry in entry_points(group=GROUP):
            found.setdefault(entry.name, entry.value)
    return found


def find(place: str) -> type[Kind]:
    """The class at a place that names() gives: a module with one Kind, or "module:Class"."""
    module_name, _, class_name = place.partition(":")
    module = importlib.import_module(module_name)
    classes = [item for item in vars(module).values() if isinstance(item, type) and issubclass(item, Kind)]
    (found,) = (
        item for item in classes if (class_name or item.__name__) == item.__name__ and item is not Kind
    )
    return found
