"""PUT: the wishes of a request start together, and each is answered with what came of it."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from pyhap.characteristic import Characteristic

from bridge.contract import Outcome, Verdict
from bridge.homekit.answer import Answer, Refusal, Status
from bridge.homekit.faces import Face, SwitchFace
from bridge.homekit.store import Keys, StoreError

if TYPE_CHECKING:
    from bridge.homekit.handler import Handler

log = logging.getLogger("bridge.homekit.network")

PATIENCE = 3.0  # seconds an answer waits for its wishes; a phone gives up after 10
FEW = 2  # accessories that one request may turn off before it counts as "turn everything off"
LONGEST_NAME = 64  # bytes

STATUS = {
    Outcome.MET: Status.OK,
    Outcome.FAILED: Status.UNABLE,
    Outcome.REFUSED: Status.NOT_IN_THIS_STATE,
    Outcome.DENIED: Status.PRIVILEGES,
    Outcome.UNAVAILABLE: Status.UNABLE,
    Outcome.LATE: Status.TIMED_OUT,
    # It was taken on, and then somebody wanted something else: no failure, and none to show.
    Outcome.SUPERSEDED: Status.OK,
    Outcome.DROPPED: Status.UNABLE,
}


@dataclass(slots=True)
class Write:
    """One item of a request and what becomes of it; `pending` gives a Verdict or a status."""

    aid: int
    iid: int
    item: dict[str, Any]
    accessory: Any = None
    characteristic: Characteristic | None = None
    status: int = Status.OK
    pending: asyncio.Future[Any] | None = None

    @property
    def is_wish(self) -> bool:
        return (
            isinstance(self.accessory, SwitchFace)
            and self.characteristic is self.accessory.shows
            and "value" in self.item
        )

    @property
    def turns_off(self) -> bool:
        return self.is_wish and not self.item["value"]

    def settle(self) -> None:
        """Take over the outcome; what is still on its way is accepted."""
        if self.pending is None or not self.pending.done():
            return
        result = self.pending.result()
        self.status = STATUS[result.outcome] if isinstance(result, Verdict) else result


def characteristics(handler: "Handler") -> None:
    """Carry out a PUT: 204 when all went well, else 207 with a status for each item."""
    content = orjson.loads(handler.request_body)
    writes = [_item(handler, item) for item in _items(content)]
    if "pid" in content and not handler.redeem(content["pid"]):
        for write in writes:
            write.status = Status.INVALID
    else:
        many = len({write.aid for write in writes if write.turns_off}) > FEW
        for write in writes:
            _begin(handler, write, bulk=many and write.turns_off)
    if any(write.pending for write in writes):
        handler.answer.make(_wait(handler, handler.answer, writes, handler.arrived + PATIENCE))
    else:
        _finish(handler, handler.answer, writes)


def _items(content: Any) -> list[Any]:
    items = content.get("characteristics") if isinstance(content, dict) else None
    if not isinstance(items, list) or not items:
        raise Refusal(HTTPStatus.BAD_REQUEST, Status.INVALID)
    return items


def _item(handler: "Handler", item: Any) -> Write:
    match item:
        case {"aid": int(aid), "iid": int(iid)}:
            return Write(aid, iid, item, *handler.driver.find(aid, iid))
    raise Refusal(HTTPStatus.BAD_REQUEST, Status.INVALID)


def _begin(handler: "Handler", write: Write, *, bulk: bool) -> None:
    """Check the item, then start what it asks for."""
    write.status = _subscribe(handler, write)
    if write.status == Status.OK and "value" in write.item:
        write.status = _check(write.characteristic, write.item["value"])
        if write.status == Status.OK:
            try:
                _start(handler, write, bulk=bulk)
            except Exception:
                log.exception("writing to accessory %d failed", write.aid)
                write.status = Status.UNABLE


def _subscribe(handler: "Handler", write: Write) -> int:
    if write.characteristic is None:
        return Status.NOT_EXISTING
    if "ev" not in write.item:
        return Status.OK
    if not isinstance(write.item["ev"], bool | int):
        return Status.INVALID
    if "ev" not in write.characteristic.properties["Permissions"]:
        return Status.NO_NOTIFICATION
    handler.connection.listen(write.aid, write.iid, bool(write.item["ev"]))
    return Status.OK


def _check(characteristic: Characteristic | None, value: object) -> int:
    """Whether the value may be written: HAP-python writes to anything and takes "banana" for on."""
    assert characteristic is not None
    if "pw" not in characteristic.properties["Permissions"]:
        return Status.READ_ONLY
    match characteristic.properties["Format"]:
        case "bool":
            fits = isinstance(value, bool) or (isinstance(value, int) and value in (0, 1))
        case "string":
            fits = isinstance(value, str) and 0 < len(value.encode()) <= LONGEST_NAME
        case _:
            fits = False
    return Status.OK if fits else Status.INVALID


def _start(handler: "Handler", write: Write, *, bulk: bool) -> None:
    face, value = write.accessory, write.item["value"]
    if not isinstance(face, Face) or write.characteristic not in (face.shows, face.named):
        handler.driver.identified(handler.driver.key_of(face.aid), handler.who)  # the only other writable one
        return
    if write.characteristic is face.named:
        write.pending = asyncio.ensure_future(_call(handler, face, value))
    elif isinstance(face, SwitchFace) and face.tile is not None:
        handler.connection.told[write.aid, write.iid] = bool(value)
        write.pending = face.tile.wish(bool(value), handler.who, bulk=bulk).verdict
    else:
        write.status = Status.UNABLE


async def _call(handler: "Handler", face: Face, name: str) -> int:
    """Keep the name a phone gives, before it is answered."""
    key = handler.driver.key_of(face.aid)

    def step(keys: Keys) -> Keys:
        return replace(keys, places={**keys.places, key: replace(keys.places[key], called=name)})

    try:
        await handler.driver.store.change(step)
    except StoreError as error:
        log.error("the name %r is not kept: %s", name, error)
        return Status.UNABLE
    handler.connection.told[face.aid, face.named_iid] = name
    face.named.value = name
    face.named.notify()
    return Status.OK


async def _wait(handler: "Handler", answer: Answer, writes: list[Write], until: float) -> None:
    # asyncio.wait() and not wait_for(): a wish goes on when its answer does not wait for it.
    await asyncio.wait(
        [write.pending for write in writes if write.pending],
        timeout=max(0.0, until - time.monotonic()),
    )
    for write in writes:
        write.settle()
    _finish(handler, answer, writes)


def _finish(handler: "Handler", answer: Answer, writes: list[Write]) -> None:
    for write in writes:
        if write.status != Status.OK and write.is_wish:
            handler.connection.correct(write.accessory)
    if all(write.status == Status.OK for write in writes):
        answer.empty()
        return
    statuses = [{"aid": write.aid, "iid": write.iid, "status": write.status} for write in writes]
    answer.json({"characteristics": statuses}, HTTPStatus.MULTI_STATUS)
