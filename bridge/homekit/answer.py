"""What a request is answered with."""

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import orjson
from pyhap.hap_handler import HAPResponse

PAIRING = "application/pairing+tlv8"
JSON = "application/hap+json"
CONNECTION_AUTHORIZATION_REQUIRED = 470  # HAP's own HTTP status


class Status:
    """HAP's status codes; HAP-python knows them only as far as -70411."""

    OK = 0
    PRIVILEGES = -70401
    UNABLE = -70402
    READ_ONLY = -70404
    WRITE_ONLY = -70405
    NO_NOTIFICATION = -70406
    TIMED_OUT = -70408
    NOT_EXISTING = -70409
    INVALID = -70410
    NOT_IN_THIS_STATE = -70412


class Refusal(Exception):
    """The whole request is refused."""

    def __init__(self, http: int, status: int) -> None:
        super().__init__(http, status)
        self.http = http
        self.status = status


class Answer(HAPResponse):  # type: ignore[misc]
    """An answer that may still be in the making; `after` is called once it was sent.

    task  what makes it, if that takes a while
    """

    after: Callable[[], None] | None = None

    def make(self, work: Coroutine[Any, Any, None]) -> None:
        self.task: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(work)

    @property
    def ready(self) -> bool:
        return self.task is None or self.task.done()

    def empty(self) -> None:
        self._fill(HTTPStatus.NO_CONTENT, None, b"")

    def json(self, content: Any, http: int = HTTPStatus.OK) -> None:
        self._fill(http, JSON, orjson.dumps(content))

    def refuse(self, refusal: Refusal) -> None:
        self.json({"status": refusal.status}, refusal.http)

    def tlv(self, content: bytes) -> None:
        self._fill(HTTPStatus.OK, PAIRING, content)

    def _fill(self, http: int, content_type: str | None, body: bytes) -> None:
        self.status_code = int(http)
        self.reason = (
            "Connection Authorization Required"
            if http == CONNECTION_AUTHORIZATION_REQUIRED
            else HTTPStatus(http).phrase
        )
        self.headers = [("Content-Type", content_type)] if content_type else []
        self.body = body
