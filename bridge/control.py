"""The running bridge's unix socket: the command line's verbs, by the same Keepers.

One request a connection, a JSON line {"verb": …, …}; the answer is JSON lines, the last one
{"end": …} or {"error": …, "reason": …}. Who may connect is the socket's group; root and the
bridge's own user may also see codes and change pairings. The kernel tells who it is; and as
people's commands run as the bridge's user too, that one proves by a secret out of the key
folder, which is hidden from commands, that it is no such command.
"""

import asyncio
import json
import logging
import os
import pwd
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bridge.contract import Change, Tile, Wish
from bridge.homekit import HomeKit, HomeKitError
from bridge.journal import Journal
from bridge.keeper import Keeper
from bridge.paths import Paths

LINE = 64 * 1024  # bytes of a request
PATIENCE = 10.0  # seconds a client has to say what it wants
CLIENTS = 64

log = logging.getLogger(__name__)

Answer = dict[str, Any]


class Wrong(Exception):
    """A request that cannot be done: a short code and one line for a person."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


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
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._followers: set[asyncio.Event] = set()

    def shown(self, tile: Tile) -> None:
        """Followers read the journal, which changed() announces."""

    def changed(self, change: Change) -> None:
        for follower in self._followers:
            follower.set()

    async def start(self) -> None:
        self._secret_path.touch(mode=0o600)
        self._secret_path.write_text(self._secret)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._path, limit=LINE)
        self._path.chmod(0o660)

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
        if len(self._clients) >= CLIENTS:
            writer.close()
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
            async with asyncio.timeout(PATIENCE):
                request = json.loads(await reader.readline())
            peer = Peer.of(writer)
            with _until_gone(reader):
                async for answer in self._answers(request, peer):
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        except HomeKitError as error:
            writer.write(json.dumps({"error": "homekit", "reason": str(error)}).encode() + b"\n")
        except Wrong as wrong:
            writer.write(json.dumps({"error": wrong.code, "reason": str(wrong)}).encode() + b"\n")
        except (ValueError, KeyError, TypeError, AttributeError, TimeoutError):
            writer.write(b'{"error": "request", "reason": "not a request this bridge understands"}\n')
        await writer.drain()

    async def _answers(self, request: Answer, peer: "Peer") -> AsyncIterator[Answer]:
        verb = request["verb"]
        if verb == "journal":
            async for row in self._story(request):
                yield row
            return
        for_all: dict[str, Callable[[Answer, Peer], Awaitable[Any]]] = {"list": self._list, "set": self._set}
        for_owner: dict[str, Callable[[Answer, Peer], Awaitable[Any]]] = {
            "pair": self._pair,
            "reset": self._reset,
            "unlock": self._unlock,
            "forget": self._forget,
        }
        if verb in for_owner and not self._is_owner(peer, request.get("secret")):
            raise Wrong("denied", "only root and the bridge's own user may do this; use sudo")
        yield {"end": await (for_all | for_owner)[verb](request, peer)}

    def _is_owner(self, peer: "Peer", secret: object) -> bool:
        if peer.uid == 0:
            return True
        return peer.uid == os.getuid() and secrets.compare_digest(str(secret), self._secret)

    async def _list(self, request: Answer, peer: "Peer") -> list[Answer]:
        return [describe(keeper, self._kinds[key]) for key, keeper in self._keepers.items()]

    async def _set(self, request: Answer, peer: "Peer") -> Answer:
        keeper = self._keepers.get(request["key"])
        if keeper is None:
            raise Wrong("key", f"there is no accessory {request['key']!r}; `bellpull list` shows them")
        wish = keeper.wish(bool(request["on"]), peer.name)
        try:
            async with asyncio.timeout(request.get("wait")):
                verdict = await asyncio.shield(wish.verdict)
        except TimeoutError:
            return {"outcome": None, "reason": _so_far(wish, keeper)}
        return {"outcome": verdict.outcome, "reason": verdict.reason}

    async def _story(self, request: Answer) -> AsyncIterator[Answer]:
        news = asyncio.Event()
        self._followers.add(news)
        try:
            after, last, key = 0, int(request.get("last", 50)), request.get("key")
            while True:
                rows = await self._journal.rows(after=after, last=last, key=key)
                for row in rows:
                    yield row
                if not request.get("follow"):
                    yield {"end": len(rows)}
                    return
                after, last = max([after, *(row["id"] for row in rows)]), 1000
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

    async def _pair(self, request: Answer, peer: "Peer") -> Answer:
        home = self._homekit
        return {
            "code": home.setup_code,
            "uri": home.setup_uri,
            "paired": home.paired,
            "locked": home.locked,
            "pairings": home.pairings(),
            "orphans": home.orphans(),
        }

    async def _reset(self, request: Answer, peer: "Peer") -> Answer:
        await self._homekit.reset()
        log.warning("%s removed all pairings", peer.name)
        return await self._pair(request, peer)

    async def _unlock(self, request: Answer, peer: "Peer") -> Answer:
        await self._homekit.unlock()
        log.warning("%s allowed pairing again", peer.name)
        return await self._pair(request, peer)

    async def _forget(self, request: Answer, peer: "Peer") -> Answer:
        key = str(request["key"])
        if key in self._keepers:
            raise Wrong(
                "configured", f"{key!r} is in the configuration; remove it there, restart, then forget it"
            )
        if not await self._homekit.forget(key):
            raise Wrong("key", f"nothing is remembered of {key!r}")
        log.warning("%s had %s forgotten", peer.name, key)
        return {}


class Peer:
    """Who is at the other end, as the kernel says."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        try:
            self.name = f"{pwd.getpwuid(uid).pw_name} (command line)"
        except KeyError:
            self.name = f"user {uid} (command line)"

    @classmethod
    def of(cls, writer: asyncio.StreamWriter) -> "Peer":
        sock = writer.get_extra_info("socket")
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return cls(uid)


@contextmanager
def _until_gone(reader: asyncio.StreamReader) -> Iterator[None]:
    """Cancel the current task when the client hangs up; a wish it made goes on."""
    task = asyncio.current_task()
    assert task is not None
    gone = asyncio.ensure_future(reader.read(1))
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
        "reason": keeper.state.reason,
        "since": keeper.since,
    }


def _so_far(wish: Wish, keeper: Keeper) -> str:
    return keeper.state.reason or f"{keeper.key} is still on its way"
