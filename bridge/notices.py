"""One HTTP POST for everything a person may want to hear: ntfy, or a webhook (docs/watchdog.md, "Notices").

A thread of its own sends them one after another, tries again what fails, and is not faster than a
phone's owner can read. URL and headers hold secrets: neither is ever logged.
"""

import asyncio
import http.client
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import Header
from urllib.parse import urlsplit

from bridge import __version__
from bridge.contract import Change, Tile
from bridge.headers import HeadersError, read_headers

ANSWER = 10.0  # seconds a server has for each step
MOST_WAITING = 100
BURST, PAUSE = 10, 30.0  # notices at once, and the seconds after which there may be another one
RETRY_FIRST, RETRY_LAST = 2.0, 600.0  # seconds until the next try
GIVE_UP = 86400.0  # seconds after which a notice is no news
OLD = 60.0  # seconds after which a notice says when it was
PERHAPS_LATER = (408, 425, 429)  # and all from 500 on

log = logging.getLogger(__name__)


class Undelivered(Exception):
    """Why, without a secret. `final`: trying again would not help."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


@dataclass(frozen=True, slots=True)
class Notice:
    """title: the accessory's name. at: seconds since 1970."""

    title: str
    text: str
    at: float


class Notices:
    """A contract.Listener."""

    def __init__(self, url: str, headers_file: str | None, names: Mapping[str, str]) -> None:
        """names: of the accessories, by key."""
        self._post = Post(url, headers_file)
        self._names = names
        self._waiting: deque[Notice] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._lost = 0
        self.failing = ""  # why the first that waits has not been delivered; empty when all is well
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._thread.start()

    def shown(self, tile: Tile) -> None:
        """changed() says it."""

    def changed(self, change: Change) -> None:
        if not change.detects:
            return
        notice = Notice(self._names.get(change.key, change.key), words(change), change.at)
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(notice)
            self._changed.notify()

    async def close(self) -> None:
        """Gives what is waiting two seconds."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join, 2.0)

    # In the thread

    def _run(self) -> None:
        tokens, since = float(BURST), time.monotonic()
        while (notice := self._next()) is not None:
            now = time.monotonic()
            tokens, since = min(BURST, tokens + (now - since) / PAUSE), now
            if tokens < 1 and not self._sleep((1 - tokens) * PAUSE):
                return
            tokens -= 1
            if not self._deliver(notice):
                return

    def _next(self) -> Notice | None:
        """Wait for a notice; None when it is time to stop."""
        with self._changed:
            while not self._waiting:
                if self._stopped:
                    return None
                self._changed.wait()
            if self._lost:
                log.warning("%d notices were dropped, %d were waiting already", self._lost, MOST_WAITING)
                self._lost = 0
            return self._waiting.popleft()

    def _deliver(self, notice: Notice) -> bool:
        """Try until it is delivered or is no news any more; False when it is time to stop."""
        pause = RETRY_FIRST
        while True:
            try:
                self._post.send(notice)
                if self.failing:
                    log.info("%s takes notices again", self._post.where)
                self.failing = ""
                return True
            except Undelivered as trouble:
                if str(trouble) != self.failing:
                    log.warning("a notice cannot be delivered to %s: %s", self._post.where, trouble)
                self.failing = str(trouble)
                if trouble.final or time.time() - notice.at > GIVE_UP:
                    return True
            if not self._sleep(pause):
                return False
            pause = min(pause * 2, RETRY_LAST)

    def _sleep(self, seconds: float) -> bool:
        """False when it is time to stop."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._stopped, seconds)


class Post:
    """Sends notices to one URL; the headers are read each time, so that a new token needs no restart."""

    def __init__(self, url: str, headers_file: str | None) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers_file = headers_file
        self.where = f"{parts.scheme}://{self._host}"

    def send(self, notice: Notice) -> None:
        """Raises Undelivered."""
        text = notice.text
        if time.time() - notice.at > OLD:
            text += time.strftime(" (%Y-%m-%d %H:%M)", time.localtime(notice.at))
        ours = {
            "Content-Type": "text/plain; charset=utf-8",
            "Title": _header(notice.title),
            "User-Agent": f"Bellpull/{__version__}",
        }
        try:
            theirs = read_headers(self._headers_file) if self._headers_file else {}
        except HeadersError as error:
            raise Undelivered(str(error)) from None
        said = {name.lower() for name in theirs}
        headers = {name: value for name, value in ours.items() if name.lower() not in said}
        self._request(text.encode(), headers | theirs)

    def _request(self, body: bytes, headers: Mapping[str, str]) -> None:
        connection = self._connection()
        try:
            connection.request("POST", self._target, body, headers)
            answer = connection.getresponse()
        except ssl.SSLError as error:
            raise Undelivered(f"TLS: {getattr(error, 'verify_message', '') or error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Undelivered(getattr(error, "strerror", "") or type(error).__name__) from None
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            later = answer.status in PERHAPS_LATER or answer.status >= 500
            raise Undelivered(f"it answers {answer.status}", final=not later)

    def _connection(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=ANSWER)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=ANSWER, context=context)


def _header(text: str) -> str:
    """As RFC 2047 writes what is not ASCII, on one line."""
    return Header(text, None if text.isascii() else "utf-8").encode(maxlinelen=0)


def words(change: Change) -> str:
    """What a person is told of a change."""
    if change.outcome is None:
        return change.reason or ("it failed" if change.died else change.sensor)
    act = "restart" if change.restart else f"turn {'on' if change.wanted else 'off'}"
    return f"{act}: {change.outcome}" + (f": {change.reason}" if change.reason else "")
