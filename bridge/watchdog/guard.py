"""One accessory's cycles: look, decide, restart or tell. What is off, moving or unknown is left alone."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from bridge.contract import Accessory, Outcome, Tell, Unavailable
from bridge.keeper import Keeper
from bridge.printable import printable
from bridge.watchdog.decide import Act, History, decide
from bridge.watchdog.memory import Record
from bridge.watchdog.meter import Meter, Value
from bridge.watchdog.rules import Rule, shown
from bridge.watchdog.settings import Watch

log = logging.getLogger(__name__)

WHO = "watchdog"
TROUBLE = "trouble"  # the sensor that opens when something is wrong
NEWS = "watchdog"  # no sensor opens for good news, but people are told

Keep = Callable[[], "asyncio.Future[None]"]


class Guard:
    """Watches one accessory while `run()` runs; see docs/watchdog.md for what it promises."""

    def __init__(
        self, keeper: Keeper, accessory: Accessory, watch: Watch, record: Record, say: Tell, keep: Keep
    ) -> None:
        self.keeper, self.watch, self.record = keeper, watch, record
        self._accessory = accessory
        self._say = say
        self._keep = keep
        self._meter = Meter((rule.what for rule in watch.rules), watch.process, watch.percent)
        self._histories: dict[Rule, History] = {}
        self._values: dict[str, Value] = {}
        self._blind = ""
        self._next = 0.0
        known = {rule.text for rule in watch.rules}
        record.told = [text for text in record.told if text in known]

    async def run(self) -> None:
        """A look every cycle, for ever; one that takes longer puts off the next."""
        loop = asyncio.get_running_loop()
        self._next = loop.time()
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("%s: a cycle of its watchdog failed", self.keeper.key)
            self._next = max(self._next + self.watch.cycle, loop.time())
            await asyncio.sleep(self._next - loop.time())

    async def look(self) -> None:
        """One cycle."""
        if self.why_not() or not await self._measure() or self.why_not():
            return
        failing = [rule for rule in self.watch.rules if self._judge(rule)]
        if self.record.gave_up and all(self._fine(rule) for rule in self.watch.rules if rule.restart):
            self._recover()
        if failing and not self.record.gave_up:
            await self._restart(failing[0])

    def why_not(self) -> str:
        """Why it is not watched now; what is off begins anew, its restarts too unless it died."""
        state = self.keeper.state
        if not self.record.armed:
            self._begin_anew()
            return "disarmed"
        if self.keeper.current is not None or state.moving:
            return "on its way"
        if state.on is None:
            return "unknown"
        if not state.on:
            self._begin_anew(forget=not state.died)
            return "off"
        return ""

    def _begin_anew(self, forget: bool = False) -> None:
        self._histories.clear()
        self._values.clear()
        self._blind = ""
        self._meter.forget()
        if forget and (self.record.restarts or self.record.told or self.record.gave_up):
            self.record.forget()
            self._keep()

    async def _measure(self) -> bool:
        try:
            self._values = await self._meter.read(await self._accessory.vitals())
            self._blind = ""
        except Unavailable as trouble:
            self._blind = str(trouble)
        return not self._blind

    # What a cycle means

    def _judge(self, rule: Rule) -> bool:
        """Count the cycle; whether it asks for a restart."""
        history = self._histories.get(rule, History())
        self._histories[rule], act = decide(history, rule, self._values[rule.what].value)
        told = rule.text in self.record.told
        if act is Act.FAILED and not told and not rule.restart:
            self._remember(rule)
            self._say(self.keeper.key, TROUBLE, self._words(rule))
        elif told and self._fine(rule) and not self.record.gave_up:
            self.record.told.remove(rule.text)
            self._keep()
            self._say(self.keeper.key, NEWS, f"fine again: {self._words(rule)}")
        return rule.restart and act in (Act.FAILED, Act.AGAIN)

    def _fine(self, rule: Rule) -> bool:
        found = self._values.get(rule.what, Value()).value
        return found is not None and not rule.passed(found)

    def _remember(self, rule: Rule) -> None:
        self.record.told.append(rule.text)
        self._keep()

    def _words(self, rule: Rule) -> str:
        """The rule, the value, where it was read, and what its percent mean."""
        found = self._values[rule.what]
        value = "no value" if found.value is None else shown(rule.what, found.value)
        return f"{rule}: {value} ({found.source})"

    def _recover(self) -> None:
        self.record.gave_up = False
        restarting = {rule.text for rule in self.watch.rules if rule.restart}
        self.record.told = [text for text in self.record.told if text not in restarting]
        self._keep()
        self._say(self.keeper.key, NEWS, "recovered; it is restarted again when it has to be")

    async def _restart(self, rule: Rule) -> None:
        """Through the Keeper, who refuses what is not on; written down first, so that none is forgotten."""
        words, record, brake = self._words(rule), self.record, self.watch.brake
        record.restarts = brake.recent(record.restarts, time.time())
        if brake.holds(record.restarts, time.time()):
            record.gave_up = True
            self._keep()
            times = f"{brake.restarts} restarts within {brake.seconds:g} s"
            self._say(self.keeper.key, TROUBLE, f"given up after {times}: {words}")
            return
        record.restarts.append(time.time())
        await asyncio.wait({self._keep()}, timeout=1.0)
        verdict = None if self.why_not() else await self.keeper.restart(WHO, words).verdict
        if verdict is None or verdict.outcome is Outcome.REFUSED:
            record.restarts = record.restarts[:-1]
            return
        if verdict.outcome is Outcome.MET and rule.text not in record.told:
            self._remember(rule)
            self._say(self.keeper.key, TROUBLE, f"restarted: {words}")
        self._meter.forget()
        if not self.why_not():
            await self._measure()  # the first look at what has begun; it counts for no cycle

    # What a person sees

    def report(self) -> dict[str, Any]:
        """What it sees, as JSON takes it; `next` in seconds."""
        brake, record = self.watch.brake, self.record
        return {
            "key": self.keeper.key,
            "watching": not (why := self.why_not()),
            "why": why or printable(self._blind),
            "next": max(0.0, self._next - asyncio.get_running_loop().time()),
            "cycle": self.watch.cycle,
            "restarts": len(brake.recent(record.restarts, time.time())),
            "brake": brake.restarts,
            "within": brake.seconds,
            "gave_up": record.gave_up,
            "rules": [self._report(rule) for rule in self.watch.rules],
        }

    def _report(self, rule: Rule) -> dict[str, Any]:
        found, history = self._values.get(rule.what, Value()), self._histories.get(rule, History())
        return {
            "rule": str(rule),
            "then": "restart" if rule.restart else "alert",
            "value": found.value,
            "shown": "" if found.value is None else shown(rule.what, found.value),
            "limit": rule.bound if rule.compare else None,
            "bad": history.bad,
            "count": rule.count,
            "within": rule.within,
            "failed": history.failed,
            "source": printable(found.source),
            "why": printable(found.why),
        }
