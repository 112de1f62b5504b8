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
from importlib.metadata import entry_points
from typing import ClassVar

import accessories
from bridge.contract import Accessory, Grant
from bridge.tools import Tools

GROUP = "bellpull.accessories"


class Kind(ABC):
    """Base of every kind; subclasses are frozen dataclasses.

    deadline     seconds a wish may take unless the configuration says otherwise
    can_restart  whether `action: restart` makes sense
    """

    deadline: ClassVar[float] = 100.0
    can_restart: ClassVar[bool] = False

    @abstractmethod
    def open(self, key: str, tools: Tools) -> Accessory:
        """The accessory; must not block. What cannot be reached yet is watch()'s to say."""

    def problems(self) -> Iterable[tuple[str, str]]:
        """What is wrong with fields taken together: (field, "what is wrong; what to write")."""
        return ()

    def grants(self, key: str) -> Iterable[Grant]:
        """What root has to allow for it."""
        return ()

    async def doubts(self, tools: Tools) -> Iterable[str]:
        """What `check` warns of when it looks at this machine, a line each."""
        return ()


@cache
def names(*, builtin_only: bool = False) -> dict[str, str]:
    """Every known kind -> where its class is found."""
    found = {
        module.name: f"accessories.{module.name}" for module in pkgutil.iter_modules(accessories.__path__)
    }
    if not builtin_only:
        for entry in entry_points(group=GROUP):
            found.setdefault(entry.name, entry.value)
    return found
