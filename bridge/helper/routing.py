"""What keeps what is routed routed, whatever becomes of the machine's rules and of Docker's containers.

What is missing is laid again after every change that the kernel tells of. A container that comes
up is fenced in (`fences`) until its own default route is pinned to the tile's network (`pins`).
`news` is what it keeps and tells, `serving` the program around it.
"""

import threading
from collections.abc import Callable
from typing import Any

from . import docker, fences, kernel, news, pins, policy
from .answer import Refusal
from .kernel import Seen
from .verbs import route

Entry = dict[str, Any]


class Router:
    """One lock for what is decided; `settled` says of each routed container whether it is pinned.

    in_doubt: the last survey saw what may be over in a moment.
    """

    def __init__(self, read: Callable[[], policy.Policy] = lambda: policy.read(policy.PATH)) -> None:
        self._read = read
        self._turn = threading.RLock()
        self._docker = threading.Lock()
        self._laid: set[str] = set()
        self._news = news.News()
        self._memory = docker.Memory()
        self.on: dict[str, Entry] = {}
        self.own: set[str] = set()
        self.networks: list[docker.Network] = []
        self.settled: dict[str, bool] = {}
        self.walls: dict[str, set[str]] = {}
        self._heard = self._surveyed = 0
        self._looked = False
        self._released: set[str] = set()
        self.in_doubt = False

    # What is wanted

    def begin(self) -> None:
        """Take up what was on, before anybody else comes: nothing gets out from here on."""
        rules = self._read()
        self._own(rules)
        routes = rules.get("routes")
        for key in routes if isinstance(routes, dict) else ():
            self._news.begin(key)
        for key in news.stored():
            try:
                self.on[key] = route.find(rules, key)
            except Refusal:  # no longer in the configuration
                continue
            self.walls[key] = set(news.kept(key))
        self.enforce()

    def turn_on(self, key: str) -> None:
        rules = self._read()
        self._own(rules)
        entry = route.find(rules, key)
        with self._docker:
            self._check(entry)
            networks = self._memory.of(docker.networks) if docker.runs() else []
            with self._turn:
                self.networks = networks
                self._begin_one(key, entry)

    def _begin_one(self, key: str, entry: Entry) -> None:
        """What fails half-way stays closed, but is not on."""
        was = key in self.on
        self.on[key] = entry
        self.walls.setdefault(key, set())
        self._take_in(self._routed(entry))
        try:
            self.enforce()
            self._keep(key)
        except BaseException:
            if not was:
                self.on.pop(key)
                self.walls.pop(key)
            raise

    def turn_off(self, key: str) -> None:
        entry = route.find(self._read(), key)
        with self._docker, self._turn:
            self.on.pop(key, None)
            self.walls.pop(key, None)
            news.forget(key)
            released = self._routed(entry)
            self._forget(released)
            self._released |= set(released)
            self.enforce(entry)
        self._news.say(key, trouble="")
        self._news.astray(key, "")

    def _check(self, entry: Entry) -> None:
        if not docker.runs():
            return
        links = kernel.links()
        ask = self._memory.of
        for name in [entry["container"]] if entry["container"] else ask(docker.on_network, entry["network"]):
            described = ask(docker.inspect, name)
            if described and (reason := self._why_not(entry, described, links)):
                raise Refusal("refused", reason)

    def _why_not(self, entry: Entry, described: Entry, links: list[kernel.Link]) -> str:
        """One whose default route is another network's is pinned to ours before it is asked again."""
        here = entry["network"] in described["NetworkSettings"]["Networks"] and described["State"]["Running"]
        contested = here and docker.way_out(described, entry["network"])
        if contested:
            self.settled[described["Id"]] = not pins.pin(described, entry["network"])
        pinned = bool(contested) and self.settled[described["Id"]]
        return route.why_not(entry, described, links, pinned=pinned)

    def _own(self, rules: policy.Policy) -> None:
        routes = rules.get("routes")
        self.own = {entry["bridge"] for entry in routes.values()} if isinstance(routes, dict) else set()

    # The kernel

    def enforce(self, leaving: Entry | None = None) -> None:
        """Lay what is missing, and take what is left over; `leaving`: the route that was turned off."""
        with self._turn:
            wanted = fences.fences(self.networks, self.own, self.settled, set().union(*self.walls.values()))
            seen = kernel.look()
            lines = {
                family: (route.turn_off(leaving, family, there) if leaving else [])
                + self._lines(family, there, wanted)
                for family, there in seen.items()
            }
            for family in seen:
                self._count(family, lines[family])
            kernel.change(lines)
            self._laid = {f"IPv{n}: {rule}" for n in seen for rule in fences.after(seen[n].rules, lines[n])}
            self._leave(seen)

    def _leave(self, seen: dict[str, Seen]) -> None:
        """What systemd lays when this program has ended: a routed container may come up anywhere then."""
        everywhere = {network.bridge for network in self.networks}.union(*self.walls.values())
        wanted = fences.fences(self.networks, self.own, self.settled, everywhere) if self.on else fences.NONE
        for family, there in seen.items():
            rules = fences.rules(wanted, family, self._near(family, there.links))
            self._news.leave(family, [rule for rule in rules if f"IPv{family}: {rule}" not in self._laid])

    def _lines(self, family: str, seen: Seen, wanted: fences.Fences) -> list[str]:
        lines = [line for entry in self.on.values() for line in _turned_on(entry, family, seen)]
        there = [rule for rule in seen.rules if route.preference(rule) in fences.PREFERENCES]
        fenced = fences.lines(fences.rules(wanted, family, self._near(family, seen.links)), there)
        if self.on and not self._looked:  # what stands since the last one ended may still be needed
            fenced = [line for line in fenced if line.startswith("rule add ")]
        return lines + fenced

    def _near(self, family: str, links: list[kernel.Link]) -> list[str]:
        """The networks of the house, as all routes together have them."""
        return sorted({prefix for entry in self.on.values() for prefix in route.house(entry, family, links)})

    def _count(self, family: str, lines: list[str]) -> None:
        """What was there and had to be laid again was deleted by somebody."""
        lost = [
            f"IPv{family}: {rule}"
            for line in lines
            if (rule := line.removeprefix("rule add ")) != line and f"IPv{family}: {rule}" in self._laid
        ]
        for key, entry in self.on.items():
            mine = [rule for rule in lost if f"iif {entry['bridge']} " in rule]
            if mine:
                more = f" and {len(mine) - 1} more" if mine[1:] else ""
                self._news.repaired(key, f"somebody deleted {mine[0]}{more}")

    # Docker

    def lost(self) -> None:
        self._memory.forget()
        with self._turn:
            for container in self.settled:
                self.settled[container] = False
            if self.on:
                self.enforce()

    def heard(self, event: docker.Described | None) -> None:
        """The wall, at once, from what is known already; the survey that has to follow takes it away."""
        self._memory.forget()
        word, name, container, made = docker.read_event(event)
        with self._turn:
            self._heard += 1
            self.networks += made
            if word in ("create", "rename") and (key := self._named(name)):
                self.settled[container] = False
                self.walls[key] |= {network.bridge for network in self.networks} - self.own
                self.enforce()
            if word == "die" and container in self.settled:
                self._stopped(container)

    def _stopped(self, container: str) -> None:
        """It may come up again where it was, with another address."""
        self.settled[container] = False
        were = {network.bridge for network in self.networks if container in network.endpoints}
        for key, entry in self.on.items():
            if entry["bridge"] in were:
                self.walls[key] |= were - self.own
        self.enforce()

    def survey(self) -> None:
        """Look at all networks and containers; put what is to be routed on its network, and pin it."""
        self.in_doubt = False
        self._release()
        if not self.on:
            return
        with self._docker:
            self._surveyed = self._heard
            listed = docker.containers()
            found = {one.name: one for one in listed}
            self._look(found)
            for key, entry in list(self.on.items()):
                if entry["container"]:
                    self._settle_named(key, entry, found.get(entry["container"]))
                else:
                    self._settle_all(key, entry)
            self._conclude({one.id for one in listed})

    def _release(self) -> None:
        """What is no longer routed goes out as Docker has it."""
        with self._docker:
            while self._released:
                container = self._released.pop()
                described = docker.inspect(container)
                if container not in self.settled and described and described["State"]["Running"]:
                    pins.unpin(described)

    def _look(self, found: dict[str, docker.Container]) -> None:
        networks = docker.networks()
        with self._turn:
            for one in found.values():
                if self.settled.get(one.id):  # else what it sent before it was pinned gets by
                    networks = docker.remembered(networks, self.networks, one)
            self.networks = networks
            for key, entry in self.on.items():
                named = found.get(entry["container"])
                self._take_in([*self._routed(entry), *([named.id] if named else [])])
                if named and not self.settled[named.id]:
                    self.walls[key] |= self._bridges(named)
            self.enforce()

    def _bridges(self, container: docker.Container) -> set[str]:
        """Where it may come up, beside its route's network."""
        return {one.bridge for one in self.networks if one.name in container.networks} - self.own

    def _take_in(self, containers: list[str]) -> None:
        """They are fenced in until they are seen to be pinned."""
        for container in containers:
            self.settled.setdefault(container, False)

    def _routed(self, entry: Entry) -> list[str]:
        """Ids of the containers that are on a route's network."""
        return [
            id for network in self.networks if network.bridge == entry["bridge"] for id in network.endpoints
        ]

    def _settle_named(self, key: str, entry: Entry, found: docker.Container | None) -> None:
        if found is None:
            self._finish(key, None, True, "", set())
            return
        reason = ""
        if entry["network"] not in found.networks:
            reason = docker.connect(entry["network"], found.id)
            with self._turn:
                self.networks = docker.networks()
        described = docker.inspect(found.id) if found.running else None
        walls = self._bridges(found)
        if reason:
            self._finish(key, found.id, False, _astray(found.name, entry, reason), walls)
        elif described is None or not described["State"]["Running"]:
            self._finish(key, found.id, False, "", walls)
        else:
            reason = pins.pin(described, entry["network"])
            self._know(described)
            self._finish(key, found.id, not reason, reason, walls if reason else set())
            self._names(key, entry, described)

    def _settle_all(self, key: str, entry: Entry) -> None:
        reasons = []
        for container in self._routed(entry):
            described = docker.inspect(container)
            if described and described["State"]["Running"]:
                reasons.append(pins.pin(described, entry["network"]))
                self._know(described)
                self.settled[container] = not reasons[-1]
        self._finish(key, None, True, next(filter(None, reasons), ""), set())

    def _know(self, described: Entry) -> None:
        """What it sent before it was pinned, and waits for a gateway's address, comes after the wall."""
        with self._turn:
            self.networks = docker.told(self.networks, described)

    def _finish(self, key: str, container: str | None, pinned: bool, reason: str, walls: set[str]) -> None:
        with self._turn:
            if key not in self.on:
                return
            if self._surveyed == self._heard:  # else the next survey knows more
                self.walls[key] = walls
                if container:
                    self.settled[container] = pinned
            self._keep(key)
            self.enforce()
        self.in_doubt |= not self._news.astray(key, reason)

    def _names(self, key: str, entry: Entry, described: Entry) -> None:
        self._news.say(key, trouble=route.why_not(entry, described, kernel.links(), pinned=True))

    def _conclude(self, containers: set[str]) -> None:
        """Nothing happened meanwhile: there are no others, and what the last router left can go."""
        with self._turn:
            if self._surveyed == self._heard:
                self._forget([id for id in self.settled if id not in containers])
                self._looked = True
                self.enforce()

    def _named(self, name: str) -> str:
        return next((key for key, entry in self.on.items() if entry["container"] == name), "")

    def _forget(self, containers: list[str]) -> None:
        for container in containers:
            self.settled.pop(container, None)

    # What is kept

    def _keep(self, key: str) -> None:
        """Where a routed container may come up at the next start, before Docker says so."""
        bridges = {
            network.bridge
            for network in self.networks
            for container in self._routed(self.on[key])
            if container in network.endpoints
        }
        kept = sorted((bridges | self.walls[key]) - self.own)
        news.store(key, kept)


def _turned_on(entry: Entry, family: str, seen: Seen) -> list[str]:
    try:
        return route.turn_on(entry, family, seen)
    except Refusal:  # another uplink without a gateway: closed, until it has one
        return route.close(entry, seen)


def _astray(name: str, entry: Entry, reason: str) -> str:
    return f"{name} cannot be put on {entry['network']}: {reason}; run: sudo bellpull vpn setup"
