"""Moves units: by the helper, with the outcome off the bus; and puts how they are into words."""

from collections.abc import Sequence

from bridge.contract import Failed, State
from bridge.tools import Tools
from bridge.tools.units import Unit

UNTOLD = ("simple", "exec", "idle")  # service types that are "started" before their program could fail
FIRST_BREATH = 0.1  # seconds such a program is looked at before its start is believed


async def move(tools: Tools, verb: str, unit: Unit) -> None:
    """Have one job queued and wait for its end; Failed with systemd's reason."""
    async with tools.systemd.jobs(unit) as jobs:
        await tools.root.call(verb, unit.name)
        after, result = await jobs.end()
    if verb != "unit-stop" and after.up and await tools.systemd.property(after, "Type") in UNTOLD:
        after = await tools.systemd.steady(after, FIRST_BREATH)
    if result not in ("done", "skipped") or (verb != "unit-stop" and after.active == "failed"):
        why = await tools.systemd.property(after, "Result") if after.active == "failed" else result
        what = {"unit-start": "start", "unit-stop": "stop", "unit-restart": "restart"}[verb]
        raise Failed(f"{unit.name} did not {what} ({why or result}); see `journalctl -u {unit.name}`")


def state_of(units: Sequence[Unit]) -> State:
    """One tile's fact from its units': on when all are active."""
    down = [unit for unit in units if not unit.up]
    return State(
        on=not down,
        moving=any(unit.moving for unit in units),
        died=any(unit.active == "failed" or unit.sub.startswith("auto-restart") for unit in down),
        reason=", ".join(f"{unit.name} {words(unit)}" for unit in down),
    )


def words(unit: Unit) -> str:
    """How it is: "is failed", "does not exist"."""
    if unit.load == "not-found":
        return "does not exist"
    if unit.load != "loaded":
        return f"is {unit.load}"
    return f"is {unit.active} ({unit.sub})" if unit.sub.startswith("auto-restart") else f"is {unit.active}"
