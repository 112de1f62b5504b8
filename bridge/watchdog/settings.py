"""`watchdog:` of an accessory in the configuration."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from bridge import schema
from bridge.kind import Kind
from bridge.schema import Duration, From, Node, Wrong
from bridge.watchdog.decide import Brake
from bridge.watchdog.rules import Rule, rule

BRAKE = Brake()


def a_rule(node: Node) -> Rule:
    try:
        return rule(schema.text(node))
    except Wrong as wrong:
        raise Wrong(str(wrong), node) from None


def a_pattern(node: Node) -> "re.Pattern[str]":
    written = schema.text(node)
    try:
        return re.compile(written)
    except (re.error, RecursionError, OverflowError) as error:
        raise Wrong(
            f"{written!r} is no regular expression ({error}); write part of a command line, such as jellyfin"
        ) from None


def a_brake(node: Node) -> Brake:
    written = schema.text(node)
    found = re.fullmatch(r"(\d{1,4})\s+restarts?\s+within\s+(.+)", written.strip(), re.ASCII | re.IGNORECASE)
    if found is None or int(found[1]) < 1:
        raise Wrong(f"{written!r} is no brake; write it like: 5 restarts within 1 h")
    return Brake(int(found[1]), schema.seconds(found[2]))


@dataclass(frozen=True)
class Watch:
    """What is measured of an accessory, and when it is restarted or somebody told.

    process  measure the process whose command line this matches, instead of the accessory's own
    percent  "monit": 100 % is every core busy; "docker": 100 % is one core
    switch   a switch beside the tile that arms and disarms it
    """

    rules: tuple[Annotated[Rule, From(a_rule)], ...]
    cycle: Duration = 30.0
    process: Annotated["re.Pattern[str] | None", From(a_pattern)] = None
    percent: Literal["monit", "docker"] = "monit"
    brake: Annotated[Brake, From(a_brake)] = BRAKE
    switch: bool = False

    def problems(self, kind: Kind, action: str) -> Iterable[tuple[str, str]]:
        """What does not go together: (field, "what is wrong; what to write")."""
        if action == "restart":
            yield "rules", "a button is never on; write the watchdog at the switch of the same thing"
        if self.cycle < 1:
            yield "cycle", f"{self.cycle:g} s is too often; write 1s or more"
        for one in self.rules:
            yield from (("rules", f"{one.text!r}: {text}") for text in self._problems(one, kind))

    def _problems(self, one: Rule, kind: Kind) -> Iterable[str]:
        need = {"unhealthy": "health", "memory": "memory"}.get(one.what, "cpu")
        if need == "health" and need not in kind.vital:
            yield "this kind has no health check; remove the rule"
        elif need not in kind.vital and self.process is None:
            yield f"this kind does not tell its {need}; write `process:` too, with a part of its command line"
        if one.restart and not kind.can_restart:
            yield "this kind cannot be restarted; end the rule with `then alert`"
        if need == "cpu" and self.percent == "monit" and one.limit >= 100 and one.compare.startswith(">"):
            yield "more than 100 % cannot be, which is every core busy; write less, or `percent: docker`"
