"""Wish and fact of one accessory: follows a wish until it is over, then lets the fact speak.

A tile stands at what was wished while the wish runs, and at the settled fact otherwise. A
transition nobody wished for (a restart from elsewhere) is held back until it settles, for
HOLD seconds at most, because every bounce of a tile fires somebody's automation. A death in
it is told all the same.

A wish of an accessory that holds is kept, and wished again whenever the fact leaves it.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from bridge.contract import (
    Accessory,
    Change,
    Kept,
    Listener,
    Outcome,
    State,
    Trouble,
    Unavailable,
    Verdict,
    Wish,
)

log = logging.getLogger(__name__)

HOLD = 3.0  # seconds a transition may take before the tile shows it
MOMENT = 0.5  # seconds a momentary tile stays pressed after it is done, so that a phone shows the press
GRACE = 5.0  # seconds a cancelled set() has to return
REPAIRS, WINDOW = 5, 60.0  # how often a kept wish is wished again within how many seconds
RETRY_FIRST, RETRY_LAST = 0.1, 5.0  # seconds between attempts to watch again

GIVEN_UP = (Outcome.FAILED, Outcome.REFUSED, Outcome.DENIED, Outcome.UNAVAILABLE)

_numbers = itertools.count(1)


class Keeper:
    """The Tile of one accessory. `run()` must be running for it to know anything.

    looked   set when the first look at the machine is done, whatever was seen
    settled  the fact without its transitions; None while unknown
    """

    def __init__(
        self,
        key: str,
        name: str,
        accessory: Accessory,
        *,
        deadline: float,
        ignores_bulk: bool = False,
        listeners: Sequence[Listener] = (),
        kept: Kept | None = None,
    ) -> None:
        self.key = key
        self.name = name
        self.rest = accessory.rest
        self.state = State(None, reason="not observed yet")
        self.since = time.time()
        self.current: Wish | None = None
        self._accessory = accessory
        self._deadline = deadline
        self._ignores_bulk = ignores_bulk
        self._listeners = listeners
        self.settled: bool | None = None
        self._pressed = False
        self.looked = asyncio.Event()
        self._told: bool | None = None
        self._hold: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()
        self._job: asyncio.Future[State] | None = None
        self._pursuits: set[asyncio.Task[None]] = set()
        self._ailed = False
        self._kept = kept if accessory.holds else None
        self.held = self._kept.read(key, accessory.at_first) if self._kept else None
        self._held_before = self.held
        self._repairs: list[float] = []
        self._again: asyncio.TimerHandle | None = None

    @property
    def shown(self) -> bool | None:
        if self.state.on is None:
            return None
        if self.current is not None:
            return self.current.on
        if self._pressed:
            return not self.rest
        return self.settled

    # The fact

    async def run(self) -> None:
        """Watch the accessory for ever; a watch that breaks is taken up again."""
        pause = RETRY_FIRST
        while True:
            try:
                async with aclosing(self._accessory.watch()) as states:
                    async for state in states:
                        self._observe(state)
                        pause = RETRY_FIRST
                reason = "observing it ended"
            except Unavailable as trouble:
                reason = str(trouble)
            except Exception as error:
                reason = f"observing it failed: {type(error).__name__}: {error}"
                if reason != self.state.reason:
                    log.exception("%s: observing it failed", self.key)
            self._observe(State(None, reason=reason))
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_LAST)

    def _observe(self, state: State) -> None:
        before, self.state = self.state, state
        if state.on is None or not state.moving or self.settled is None:
            self._settle()
        else:
            if self._hold is None:
                self._hold = asyncio.get_running_loop().call_later(HOLD, self._settle)
            if state.died and not before.died and self.current is None:
                self._tell("observed", self.settled)
        self.looked.set()
        self._moved.set()

    def _settle(self) -> None:
        """Take the fact for the last word."""
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        old, self.settled = self.settled, self.state.on
        changed = old is not self.settled
        if changed:
            self.since = time.time()
        ailing, self._ailed = bool(self.settled) and self.state.died is not self._ailed, self.state.died
        if (changed or ailing) and self.looked.is_set() and self.current is None and not self._pressed:
            self._tell("observed", old)
        self._defend()
        self._show()

    # The wish

    def wish(self, on: bool, who: str, *, bulk: bool = False) -> Wish:
        running = self.current
        if running is not None and (running.on is on or on is self.rest):
            return running
        wish = self._new_wish(on, who)
        refusal = self._refusal(wish, bulk)
        if refusal is not None:
            self._conclude(wish, refusal)
            return wish
        if running is not None:
            wish.before = running.before
            self._conclude(running, Verdict(Outcome.SUPERSEDED, f"{who} asked for {_word(on)}"))
        else:
            self._held_before = self.held
        self._keep(on)
        self._begin(wish)
        return wish

    def restart(self, who: str, why: str) -> Wish:
        """Restart what is on and at rest; anything else is refused. Whoever wishes it off meanwhile wins."""
        wish = self._new_wish(True, who, why)
        if self.current is not None or self.state.moving or not self.state.on:
            self._conclude(wish, Verdict(Outcome.REFUSED, "it is not on, or not at rest"))
        else:
            self._held_before = self.held
            self._begin(wish)
        return wish

    def _new_wish(self, on: bool, who: str, why: str = "") -> Wish:
        loop = asyncio.get_running_loop()
        now = loop.time()
        verdict: asyncio.Future[Verdict] = loop.create_future()
        return Wish(self.key, on, who, now, now + self._deadline, verdict, next(_numbers), self.settled, why)

    def _begin(self, wish: Wish) -> None:
        self.current = wish
        self._tell(wish.who, wish.before, wish)
        self._show()
        for pursuit in self._pursuits:
            pursuit.cancel()
        task = asyncio.create_task(self._pursue(wish), name=f"{self.key} {_word(wish.on)}")
        self._pursuits.add(task)
        task.add_done_callback(self._pursuits.discard)

    def _refusal(self, wish: Wish, bulk: bool) -> Verdict | None:
        if self.state.on is None:
            return Verdict(Outcome.UNAVAILABLE, self.state.reason)
        if bulk and not wish.on and self._ignores_bulk:
            return Verdict(Outcome.REFUSED, "turning off several accessories at once leaves this one alone")
        if wish.on is self.rest:
            return Verdict(Outcome.MET)
        return None

    async def _pursue(self, wish: Wish) -> None:
        limit = asyncio.timeout_at(wish.deadline)
        try:
            async with limit:
                verdict = await self._carry_out(wish)
        except Trouble as trouble:
            verdict = trouble.verdict
        except asyncio.CancelledError:
            return
        except Exception as error:
            if limit.expired():
                verdict = Verdict(Outcome.LATE, self.state.reason or "the deadline has passed")
            else:
                log.exception("%s: turning it %s failed", self.key, _word(wish.on))
                verdict = Verdict(Outcome.FAILED, f"{type(error).__name__}: {error}")
        self._end(wish, verdict)

    async def _carry_out(self, wish: Wish) -> Verdict:
        self._observe(await self._act(wish))
        if self.rest is not None:
            return Verdict(Outcome.MET)
        while self.state.moving or self.state.on is None:
            self._moved.clear()
            await self._moved.wait()
        if self.state.on is wish.on:
            return Verdict(Outcome.MET)
        return Verdict(Outcome.FAILED, self.state.reason or f"it is still {_word(not wish.on)}")

    async def _act(self, wish: Wish) -> State:
        """Call set() or restart(), one at a time; a kind that cannot be cancelled wedges nothing."""
        await self._let_go()
        act = self._accessory.restart() if wish.why else self._accessory.set(wish.on)
        self._job = asyncio.ensure_future(act)
        try:
            return await asyncio.shield(self._job)
        except asyncio.CancelledError:
            if not self._job.cancel() and self._job.exception() is None:
                self._observe(self._job.result())
            raise

    async def _let_go(self) -> None:
        """Wait until the last set() has returned, for GRACE seconds at most."""
        if self._job is not None and not self._job.done():
            await asyncio.wait({self._job}, timeout=GRACE)
            if not self._job.done():
                log.error("%s: turning it on or off goes on although it was called off", self.key)

    def _end(self, wish: Wish, verdict: Verdict) -> None:
        assert wish is self.current
        self.current = None
        if self.rest is not None and verdict.outcome is Outcome.MET:
            self._pressed = True
            asyncio.get_running_loop().call_later(MOMENT, self._release)
        if verdict.outcome in GIVEN_UP:
            self._keep(self._held_before)
        self._conclude(wish, verdict)
        self._defend()
        self._show()

    def _conclude(self, wish: Wish, verdict: Verdict) -> None:
        wish.verdict.set_result(verdict)
        self._tell(wish.who, wish.before, wish)

    def _release(self) -> None:
        self._pressed = False
        self._show()

    async def close(self) -> None:
        """End the wish that is still on its way, and say so."""
        if self.current is not None:
            self._end(self.current, Verdict(Outcome.DROPPED, "the bridge stopped"))
        self.held = None
        for timer in (self._hold, self._again):
            if timer is not None:
                timer.cancel()
        for pursuit in self._pursuits:
            pursuit.cancel()
        if self._pursuits:
            await asyncio.wait(self._pursuits)
        await self._let_go()

    # The wish that holds

    def _keep(self, on: bool | None) -> None:
        if self._kept is not None and on is not self.held:
            self.held = on
            self._kept.write(self.key, on)

    def _defend(self) -> None:
        """Wish again what is held, when the fact has left it; not more often than REPAIRS in WINDOW."""
        if self.held is None or self.current is not None or self._again is not None:
            return
        if self.state.moving or self.state.on in (None, self.held):
            return
        now = asyncio.get_running_loop().time()
        self._repairs = [at for at in self._repairs if at > now - WINDOW]
        if len(self._repairs) < REPAIRS:
            self._repairs.append(now)
            self.wish(self.held, "defended")
        else:
            self._pause()

    def _pause(self) -> None:
        """One alarm instead of a storm."""
        reason = (
            f"undone {REPAIRS} times in a minute, so it is left for one: {self.state.reason or 'no reason'}"
        )
        log.error("%s: %s", self.key, reason)
        self._repairs.clear()
        self._again = asyncio.get_running_loop().call_later(WINDOW, self._try_again)
        self.state = replace(self.state, died=True, reason=reason)
        self._tell("observed", self.settled)

    def _try_again(self) -> None:
        self._again = None
        self._defend()

    # The story

    def _show(self) -> None:
        if self.shown is self._told:
            return
        self._told = self.shown
        for listener in self._listeners:
            listener.shown(self)

    def _tell(self, who: str, old: bool | None, wish: Wish | None = None) -> None:
        verdict = wish.verdict.result() if wish and wish.verdict.done() else None
        reasons = (wish.why, verdict.reason if verdict else "") if wish else (self.state.reason,)
        change = Change(
            key=self.key,
            at=time.time(),
            old=old,
            new=self.shown if verdict is None else self.settled,
            who=who,
            reason="; ".join(filter(None, reasons)),
            died=wish is None and self.state.died,
            wish=wish.number if wish else 0,
            wanted=wish.on if wish else None,
            restart=bool(wish and wish.why),
            outcome=verdict.outcome if verdict else None,
            took=asyncio.get_running_loop().time() - wish.since if wish and verdict else None,
        )
        for listener in self._listeners:
            listener.changed(change)


def _word(on: bool) -> str:
    return "on" if on else "off"
