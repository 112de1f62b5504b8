"""A rule as a person writes it, in Monit's words: `total cpu > 13% for 3 cycles then restart`.

Source: monit(1), "Resource testing" and "Fault tolerance". Sizes count in 1024, "GB" and "GiB" alike.
"""

import operator
import os
import re
from dataclasses import dataclass

from bridge.schema import Wrong

MOST_CYCLES = 64  # as in Monit
COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
SIZES = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T"))}
EXAMPLE = "total cpu > 13% for 3 cycles then restart"

WHAT = re.compile(
    r"(?:if\s+)?(total\s*cpu|cpu|(?:total\s*)?memory|unhealthy)\b(?:\s+usage\b)?", re.IGNORECASE
)
LIMIT = re.compile(r"([<>]=?)\s*(\d{1,15}(?:\.\d{1,6})?)\s*(%|[a-z]*)", re.IGNORECASE)
CYCLES = re.compile(r"for\s+(\d{1,9})\s+cycles?\b", re.IGNORECASE)
TIMES = re.compile(r"(\d{1,9})\s+times?\s+within\s+(\d{1,9})\s+cycles?\b", re.IGNORECASE)
THEN = re.compile(r"then\s+(restart|alert)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """What must not be so, and what to do when it is.

    text     as it was written
    what     "cpu" (the process alone), "total cpu" (with its children), "memory", "unhealthy"
    compare  one of COMPARISONS; "" for unhealthy
    limit    percent or bytes; `share`: percent of the machine's memory
    count, within  how many of the last cycles have to be so; equal for "for N cycles"
    restart  or only tell
    """

    text: str
    what: str
    compare: str = ""
    limit: float = 0.0
    share: bool = False
    count: int = 1
    within: int = 1
    restart: bool = True

    def passed(self, value: float) -> bool:
        """Whether a value (percent, bytes; 1 or 0 for unhealthy) is what must not be."""
        if not self.compare:
            return bool(value)
        return bool(COMPARISONS[self.compare](value, self.bound))

    @property
    def bound(self) -> float:
        """The limit in the value's own unit."""
        return self.limit / 100 * machine_memory() if self.share else self.limit

    def __str__(self) -> str:
        """ "total cpu > 13 % for 3 cycles"."""
        unit = f"{self.limit:g} % of the memory" if self.share else shown(self.what, self.limit)
        limit = f" {self.compare} {unit}" if self.compare else ""
        many = "cycle" if self.within == 1 else "cycles"
        if self.count == self.within:
            return f"{self.what}{limit} for {self.count} {many}"
        return f"{self.what}{limit} {self.count} times within {self.within} {many}"


def shown(what: str, value: float) -> str:
    """A value with its unit."""
    if what == "unhealthy":
        return "unhealthy" if value else "healthy"
    return size(value) if what == "memory" else f"{value:.4g} %"


def size(count: float) -> str:
    """Bytes in the largest unit that leaves a number before the point."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"


def machine_memory() -> int:
    """Bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def rule(text: str) -> Rule:
    """The rule of a sentence; raises Wrong, which says from where on it is not understood."""
    what, rest = _taken(WHAT, text)
    if what is None:
        raise Wrong(
            f"{text!r} is about nothing it can measure; write cpu, total cpu, memory or unhealthy first"
        )
    name = re.sub(r"^total\s*", "total ", what[1].lower()).replace("total memory", "memory")
    compare, limit, share, rest = ("", 0.0, False, rest) if name == "unhealthy" else _limit(name, rest)
    count, within, rest = _cycles(rest)
    then, rest = _taken(THEN, rest)
    if rest:
        raise Wrong(f"not understood from {rest!r} on; write it like: {EXAMPLE}")
    return Rule(
        text, name, compare, limit, share, count, within, then is None or then[1].lower() == "restart"
    )


def _taken(pattern: re.Pattern[str], text: str) -> tuple[re.Match[str] | None, str]:
    """What a text begins with, if it does, and what follows."""
    text = text.strip()
    found = pattern.match(text)
    return found, text[found.end() :].strip() if found else text


def _limit(name: str, text: str) -> tuple[str, float, bool, str]:
    example = "memory > 2 GiB" if name == "memory" else f"{name} > 13%"
    found, rest = _taken(LIMIT, text)
    if found is None:
        raise Wrong(f"{name} needs a limit; write it like: {example}")
    compare, number, unit = found[1], float(found[2]), found[3]
    if unit == "%":
        return compare, number, name == "memory", rest
    written = re.fullmatch(r"([kmgt]?)(i?b)?", unit, re.IGNORECASE)
    if name != "memory" or written is None or not unit:
        raise Wrong(f"{found[2]} {unit}".rstrip() + f" is no limit for {name}; write it like: {example}")
    return compare, number * SIZES[written[1].upper()], False, rest


def _cycles(text: str) -> tuple[int, int, str]:
    found, rest = _taken(CYCLES, text)
    if found:
        count = within = int(found[1])
    else:
        found, rest = _taken(TIMES, text)
        count, within = (int(found[1]), int(found[2])) if found else (1, 1)
    if not 1 <= count <= within <= MOST_CYCLES:
        raise Wrong(
            f"{count} of {within} cycles cannot be counted; write 1 to {MOST_CYCLES} cycles,"
            " and no more times than cycles"
        )
    return count, within, rest
