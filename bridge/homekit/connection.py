"""HAP-python's protocol of one connection, made to answer in order, in time and in bounds.

Every request has an h11 connection of its own, because h11 reads the next request only when
the last one is answered, and here a request starts when it arrives: only its answer waits.
"""

import asyncio
import logging
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import h11
from cryptography.exceptions import InvalidTag
from pyhap.accessory import get_topic
from pyhap.hap_crypto import HAPCrypto
from pyhap.hap_event import create_hap_event
from pyhap.hap_protocol import HAPServerProtocol

from bridge.homekit.answer import Answer, Refusal, Status
from bridge.homekit.faces import Face
from bridge.homekit.handler import Handler

log = logging.getLogger("bridge.homekit.network")

HALF = 30.0  # seconds for the rest of a request, and for a stranger's next one
STRANGER_HEAD, STRANGER_BODY = 4 * 1024, 4 * 1024  # bytes, before pair-verify
HEAD, BODY = 32 * 1024, 128 * 1024  # bytes, after; a GET of all of 149 accessories takes 15 KB
MOST_WAITING = 32  # requests taken on and not answered yet
MOST_UNREAD = 2**20  # bytes written that the controller does not fetch
QUIET, LONGEST_BURST = 0.004, 0.05  # seconds without news that end a burst of events; and its longest
LINGER = 5.0  # seconds a controller has to fetch its last answer
KEEPALIVE = {"TCP_KEEPIDLE": 300, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 4}  # to notice phones that left

_NEVER = object()


class Crypto(HAPCrypto):  # type: ignore[misc]
    """HAP-python waits for more when exactly one byte came in a frame, that is: for ever."""

    MIN_BLOCK_LENGTH = HAPCrypto.MIN_BLOCK_LENGTH - 1


@dataclass(slots=True)
class Exchange:
    """A request that was taken on, and what answers it."""

    http: h11.Connection
    answer: Answer


class Connection(HAPServerProtocol):  # type: ignore[misc]
    """A controller's connection.

    told  what the controller knows of a characteristic, by reading, writing or an event: it is
          not told again
    """

    request: h11.Request | None
    request_body: list[bytes]
    _event_timer: asyncio.TimerHandle | None

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Any, driver: Any) -> None:
        super().__init__(loop, server.connections, driver)
        self.server = server
        self.told: dict[tuple[int, int], Any] = {}
        self._waiting: deque[Exchange] = deque()
        self._body = 0
        self._half: asyncio.TimerHandle | None = None
        self._burst_ends = 0.0
        self._choked = False
        self._next_request()

    @property
    def verified(self) -> bool:
        return self.hap_crypto is not None

    # Coming and going

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.handler = Handler(self.accessory_driver, self.peername, self)
        _keep_alive(transport.get_extra_info("socket"))
        self._watch_half()
        self.server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.left(self)
        self.accessory_driver.setup.leave(self)
        self._stop_timers()
        super().connection_lost(exc)

    def close(self) -> None:
        """Let the controller fetch what was written, but not for ever."""
        if self.transport is None or self.transport.is_closing():
            return
        super().close()
        self.loop.call_later(LINGER, self.transport.abort)

    def drop(self, why: str) -> None:
        """Cut a connection that does no good."""
        log.info("a connection was dropped: %s", why)
        if self.transport is not None:
            self.transport.abort()

    def _stop_timers(self) -> None:
        for timer in (self._half, self._event_timer):
            if timer is not None:
                timer.cancel()
        self._half = self._event_timer = None

    # Requests

    def data_received(self, data: bytes) -> None:
        self.last_activity = time.time()
        if self.hap_crypto is not None:
            self.hap_crypto.receive_data(data)
            try:
                data = self.hap_crypto.decrypt()
            except InvalidTag:
                self.drop("it did not speak with its key")
                return
        if data:
            self.conn.receive_data(data)
            self._take_on()
        self._watch_half()

    def _next_request(self, rest: bytes = b"") -> None:
        self.conn = h11.Connection(h11.SERVER, HEAD if self.verified else STRANGER_HEAD)
        self.request, self.request_body, self._body = None, [], 0
        if rest:
            self.conn.receive_data(rest)

    def _take_on(self) -> None:
        """Start every request that is complete; a stranger's one at a time."""
        try:
            while self._may_take_on() and self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
        self._mind_the_flow()

    def _may_take_on(self) -> bool:
        most = MOST_WAITING if self.verified else 1
        return len(self._waiting) < most and not self._choked and not self.transport.is_closing()

    def _step(self) -> bool:
        """Process one event of the request that is coming in; False when there is none."""
        match self.conn.next_event():
            case h11.Request() as request:
                self.request = request
            case h11.Data(data=data):
                self._body += len(data)
                self.request_body.append(data)
                if self._body > (BODY if self.verified else STRANGER_BODY):
                    self._refuse(413)
                    return False
            case h11.EndOfMessage() if self.request is not None:
                self._start(self.request, b"".join(self.request_body))
            case _:
                return False
        return True

    def _start(self, request: h11.Request, body: bytes) -> None:
        http = self.conn
        rest, _ = http.trailing_data
        self._next_request(rest)
        self._cancel_half()
        answer = self.handler.dispatch(request, body)
        self._waiting.append(Exchange(http, answer))
        if answer.task is not None:
            answer.task.add_done_callback(self._made)
        self._send_answers()

    def _made(self, task: asyncio.Task[None]) -> None:
        self._send_answers()
        if not self.transport.is_closing():
            self._take_on()
            self._watch_half()

    def _send_answers(self) -> None:
        """Send what is ready, in the order of the requests."""
        while self._waiting and self._waiting[0].answer.ready:
            exchange = self._waiting.popleft()
            self._check(exchange.answer)
            try:
                if not self.transport.is_closing():
                    self.send_answer(exchange.http, exchange.answer)
            except h11.LocalProtocolError:
                self.drop("it asked for what cannot be answered")  # HEAD, which HomeKit does not have
            if exchange.answer.after is not None:
                exchange.answer.after()

    def _check(self, answer: Answer) -> None:
        task = answer.task
        if task is None or task.cancelled():
            return  # cancelled: the loop is being closed, and nobody reads an answer
        if error := task.exception():
            log.error("a request failed", exc_info=error)
            answer.refuse(Refusal(500, Status.UNABLE))

    def send_answer(self, http: h11.Connection, answer: Answer) -> None:
        headers = list(answer.headers)
        if answer.body:
            headers.append(("Content-Length", str(len(answer.body))))
        head = h11.Response(status_code=answer.status_code, reason=answer.reason, headers=headers)
        parts = [http.send(head), http.send(h11.Data(data=answer.body)), http.send(h11.EndOfMessage())]
        self.write(b"".join(part for part in parts if part))
        if answer.shared_key:
            self._upgrade(answer.shared_key)
        if http.our_state is h11.MUST_CLOSE:
            self.close()

    def _upgrade(self, shared_key: bytes) -> None:
        """From here on everything is encrypted, and so is what came already."""
        rest, _ = self.conn.trailing_data
        self.hap_crypto = Crypto(shared_key)
        self._next_request()
        self.server.verified(self)
        if rest:
            self.loop.call_soon(self.data_received, rest)

    def _refuse(self, http: int) -> None:
        """Answer what is no request, and hang up."""
        answer = Answer()
        answer.refuse(Refusal(http, Status.INVALID))
        log.info("a connection was dropped: it spoke no HomeKit (%d)", http)
        if not self._waiting and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer.headers.append(("Connection", "close"))
            self.send_answer(self.conn, answer)
        self.close()

    # Bounds

    def _watch_half(self) -> None:
        """A request that has begun has HALF seconds to end, and so has a stranger to begin one."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.verified and not self._unfinished():
            self._cancel_half()
        elif self._half is None and not self._waiting:
            self._half = self.loop.call_later(HALF, self.drop, "it did not end its request")

    def _unfinished(self) -> bool:
        begun = self.request is not None or bool(self.conn.trailing_data[0])
        return begun or bool(self.hap_crypto._crypt_in_buffer)

    def _cancel_half(self) -> None:
        if self._half is not None:
            self._half.cancel()
            self._half = None

    def pause_writing(self) -> None:
        self._choked = True
        self._mind_the_flow()

    def resume_writing(self) -> None:
        self._choked = False
        self._take_on()

    def _mind_the_flow(self) -> None:
        """Read no more from a controller than it fetches."""
        if self.transport.is_closing():
            return
        if self._may_take_on():
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    # Events

    def listens(self, aid: int, iid: int) -> bool:
        return self.peername in self.accessory_driver.topics.get(get_topic(aid, iid), ())

    def listen(self, aid: int, iid: int, wanted: bool) -> None:
        self.accessory_driver.async_subscribe_client_topic(self.peername, get_topic(aid, iid), wanted)

    def correct(self, face: Face) -> None:
        """After a failed write: say how it really stands."""
        self.told.pop((face.aid, face.shows_iid), None)
        if face.available and self.listens(face.aid, face.shows_iid):
            self.queue_event({"aid": face.aid, "iid": face.shows_iid, "value": face.shows.value}, False)

    def queue_event(self, data: dict[str, Any], immediate: bool) -> None:
        """Gather the news of a burst; one event says them all."""
        now = self.loop.time()
        if self._event_timer is None:
            self._burst_ends = now + LONGEST_BURST
        else:
            self._event_timer.cancel()
        self._event_queue[data["aid"], data["iid"]] = data
        self._event_timer = self.loop.call_at(min(now + QUIET, self._burst_ends), self._send_events)

    def _send_events(self) -> None:
        """Say what the controller listens to and does not know."""
        self._event_timer = None
        news = [
            event
            for event in self._event_queue_with_active_subscriptions()
            if self.told.get((event["aid"], event["iid"]), _NEVER) != event["value"]
        ]
        self._event_queue.clear()
        if not news or self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.drop("it fetches nothing")
            return
        self.told.update({(event["aid"], event["iid"]): event["value"] for event in news})
        self.write(create_hap_event(news))


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
