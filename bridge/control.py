"""The running bridge's unix socket: the command line's verbs, by the same Keepers.

One request a connection, a JSON line {"verb": …, …}; the answer is JSON lines, the last one
{"end": …} or {"error": …, "reason": …}. Who hangs up wants no answer any more; a wish goes on.
Who may connect is the socket's group; root and the bridge's own user may also see codes and
change pairings. The kernel tells who it is; and as people's commands run as the bridge's user
too, that one proves by a secret out of the key folder, which is hidden from commands, that it
is no such command.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from bridge.client import MOST_ROWS
from bridge.contract import Change, Tile
from bridge.homekit import HomeKit, HomeKitError
from bridge.journal import Journal
from bridge.keeper import Keeper
from bridge.paths import Paths
from bridge.printable import printable
from bridge.request import Answer, Peer, Request, Wrong, error_line, line, next_request, not_understood

if TYPE_CHECKING:
    from bridge.notices import Notices
    from bridge.watchdog.watchdog import Watchdog

LINE = 64 * 1024  # bytes of a request
PATIENCE = 10.0  # seconds a client has to say what it wants
CLIENTS = 64  # at once, and root
LONGEST_PATH = 107  # bytes of a socket's path (unix(7))

log = logging.getLogger(__name__)

Answering = Callable[[Request, Peer], Awaitable[Any]]


class CannotListen(Exception):
    """The socket cannot be made; one line for a person."""


class Control:
    """Serves the socket; is a listener, so that followers hear changes as they happen."""

    def __init__(
        self, paths: Paths, keepers: Mapping[str, Keeper], kinds: Mapping[str, str], journal: Journal
    ) -> None:
        self._path = paths.socket
        self._secret_path = paths.secret
        self._secret = secrets.token_hex()
        self._keepers = keepers
        self._kinds = kinds
        self._journal = journal
        self.home: HomeKit | None = None
        self.watchdog: Watchdog | None = None
        self.notices: Notices | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._followers: set[asyncio.Event] = set()

    def shown(self, tile: Tile) -> None:
        """Followers read the journal, which changed() announces."""

    def changed(self, change: Change) -> None:
        for follower in self._followers:
            follower.set()

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        length = len(os.fsencode(self._path))
        if length > LONGEST_PATH:
            raise CannotListen(
                f"{self._path}: {length} bytes are too long for a socket, which takes {LONGEST_PATH};"
                " choose a shorter --state-dir"
            )
        self._leave_secret()
        try:
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._accept, self._path, limit=LINE)
            self._path.chmod(0o660)
        except OSError as error:
            raise CannotListen(f"{self._path}: cannot be made: {error.strerror or error}") from None

    def _leave_secret(self) -> None:
        try:
            self._secret_path.unlink(missing_ok=True)
            self._secret_path.touch(mode=0o600)
            self._secret_path.write_text(self._secret)
        except OSError as error:
            log.error("%s: %s; `bellpull pair` and `forget` need sudo now", self._secret_path, error.strerror)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=1.0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= CLIENTS and Peer.of(writer).uid != 0:
            await _send_away(reader, writer)
            return
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await next_request(reader, PATIENCE)
            peer = Peer.of(writer)
            with _until_gone(reader):
                async with aclosing(self._answers(request, peer)) as answers:
                    async for answer in answers:
                        writer.write(line(answer))
                        await writer.drain()
        except HomeKitError as error:
            writer.write(error_line("homekit", str(error)))
        except Wrong as wrong:
            writer.write(error_line(wrong.code, str(wrong)))
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("a request of the command line failed")
            writer.write(error_line("bug", f"{type(error).__name__}: {error}; see the log of the bridge"))
        await writer.drain()

    async def _answers(self, request: Request, peer: Peer) -> AsyncGenerator[Answer, None]:
        verb = request.text("verb")
        if verb == "journal":
            async for row in self._story(request):
                yield row
            return
        for_all: dict[str, Answering] = {
            "list": self._list,
            "set": self._set,
            "watchdog": self._watchdog,
            "notices": self._notices,
        }
        for_owner: dict[str, Answering] = {
            "pair": self._pair,
            "reset": self._reset,
            "unlock": self._unlock,
            "forget": self._forget,
        }
        if verb not in for_all and verb not in for_owner:
            raise not_understood(f"it knows no {verb!r}")
        if verb in for_owner and not self._is_owner(peer, request.text("secret", "")):
            raise Wrong("denied", "only root and the bridge's own user may do this; use sudo")
        yield {"end": await (for_all | for_owner)[verb](request, peer)}

    def _is_owner(self, peer: Peer, secret: str) -> bool:
        if peer.uid == 0:
            return True
        return peer.uid == os.getuid() and secrets.compare_digest(secret.encode(), self._secret.encode())

    async def _list(self, request: Request, peer: Peer) -> list[Answer]:
        rows = [describe(keeper, self._kinds[key]) for key, keeper in self._keepers.items()]
        return rows + [describe_removed(key) for key in (self.home.orphans() if self.home else [])]

    async def _watchdog(self, request: Request, peer: Peer) -> list[Answer]:
        key = request.text("key", "")
        reports = self.watchdog.reports() if self.watchdog else {}
        if key and key not in reports:
            self._known(key)
            raise Wrong("key", f"{key!r} has no watchdog; write `watchdog:` below it in the configuration")
        return [reports[key]] if key else list(reports.values())

    async def _notices(self, request: Request, peer: Peer) -> Answer:
        return {"failing": printable(self.notices.failing) if self.notices else ""}

    async def _set(self, request: Request, peer: Peer) -> Answer:
        on, wait = request.boolean("on"), request.seconds("wait")
        keeper = self._keepers[self._known(request.text("key"))]
        wish = keeper.wish(on, peer.name)
        try:
            async with asyncio.timeout(wait):
                verdict = await asyncio.shield(wish.verdict)
        except TimeoutError:
            return {"outcome": None, "reason": printable(keeper.state.reason)}
        answer: Answer = {"outcome": verdict.outcome, "reason": printable(verdict.reason)}
        return answer if keeper.rest is None else {**answer, "rest": keeper.rest}

    def _known(self, key: str) -> str:
        if key not in self._keepers:
            raise Wrong("key", f"there is no accessory {key!r}; `bellpull list` shows them")
        return key

    async def _story(self, request: Request) -> AsyncGenerator[Answer, None]:
        key = request.text("key", "") or None
        last = min(max(request.number("last", 50), 1), MOST_ROWS)
        if key is not None and not await self._journal.rows(last=1, key=key):
            self._known(key)
        news = asyncio.Event()
        self._followers.add(news)
        try:
            after = 0
            while True:
                rows = await self._journal.rows(after=after, last=last, key=key)
                for row in rows:
                    yield row
                if not request.boolean("follow", False):
                    yield {"end": len(rows)}
                    return
                after, last = max([after, *(row["id"] for row in rows)]), MOST_ROWS
                await news.wait()
                news.clear()
        finally:
            self._followers.discard(news)

    # For root and the bridge's own user

    @property
    def _homekit(self) -> HomeKit:
        if self.home is None:
            raise Wrong("starting", "the bridge is still starting; try again in a moment")
        return self.home

    async def _pair(self, request: Request, peer: Peer) -> Answer:
        home = self._homekit
        return {
            "code": home.setup_code,
            "uri": home.setup_uri,
            "paired": home.paired,
            "locked": home.locked,
            "pairings": home.pairings(),
        }

    async def _reset(self, request: Request, peer: Peer) -> Answer:
        await self._homekit.reset()
        log.warning("%s removed all pairings", peer.name)
        return await self._pair(request, peer)

    async def _unlock(self, request: Request, peer: Peer) -> Answer:
        await self._homekit.unlock()
        log.warning("%s allowed pairing again", peer.name)
        return await self._pair(request, peer)

    async def _forget(self, request: Request, peer: Peer) -> Answer:
        key = request.text("key")
        if key in self._keepers:
            raise Wrong(
                "configured", f"{key!r} is in the configuration; remove it there, restart, then forget it"
            )
        if not await self._homekit.forget(key):
            raise Wrong("key", f"nothing is remembered of {key!r}")
        log.warning("%s had %s forgotten", peer.name, key)
        return {}


async def _send_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that it is too busy; what was asked is read first, or the kernel would throw the answer away."""
    writer.write(error_line("busy", "too many are talking to the bridge already; try again"))
    try:
        async with asyncio.timeout(1.0):
            await reader.readline()
    except (TimeoutError, ValueError, ConnectionError):
        pass
    writer.close()


async def _hang_up(reader: asyncio.StreamReader) -> None:
    """Wait for the end of what a client sends; what comes after its request is nothing."""
    while await reader.read(1024):
        pass


@contextmanager
def _until_gone(reader: asyncio.StreamReader) -> Iterator[None]:
    """Cancel the current task when the client hangs up; a wish it made goes on."""
    task = asyncio.current_task()
    assert task is not None
    gone = asyncio.ensure_future(_hang_up(reader))
    gone.add_done_callback(lambda end: None if end.cancelled() else task.cancel())
    try:
        yield
    finally:
        gone.cancel()


def describe(keeper: Keeper, kind: str) -> Answer:
    """One row of `list`: {key, name, kind, state: on|off|unknown, wish, reason, since}."""
    wish = keeper.current
    return {
        "key": keeper.key,
        "name": keeper.name,
        "kind": kind,
        "state": {None: "unknown", False: "off", True: "on"}[keeper.settled],
        "wish": None if wish is None else "on" if wish.on else "off",
        "reason": printable(keeper.state.reason),
        "since": keeper.since,
    }


def describe_removed(key: str) -> Answer:
    """The same of an accessory that only the home still has."""
    return {
        "key": key,
        "name": key,
        "kind": "removed",
        "state": "unknown",
        "wish": None,
        "reason": f"not in the configuration any more; `bellpull forget {key}` drops it from the home",
        "since": None,
    }
