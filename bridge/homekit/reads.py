"""GET: what HomeKit asks of the accessories. Nothing here waits for anything."""

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pyhap.characteristic import Characteristic

from bridge.homekit.answer import Refusal, Status
from bridge.homekit.faces import Face

if TYPE_CHECKING:
    from bridge.homekit.handler import Handler

ID = re.compile(r"(\d{1,18})\.(\d{1,18})", re.ASCII)
ABOUT_VALUE = {"maxValue", "minValue", "minStep", "unit", "format", "maxLen", "valid-values"}


def accessories(handler: "Handler") -> None:
    """All of them with their values; one that does not respond stands as it was last seen."""
    handler.answer.json(handler.driver.get_accessories())
    for face in handler.driver.faces.values():
        handler.connection.told[face.aid, face.shows_iid] = face.shows.value


def characteristics(handler: "Handler") -> None:
    """Those asked for: 200 with values, or 207 with a status each when one cannot be read."""
    asked = ",".join(handler.query.get("id", [])).split(",")
    found = [ID.fullmatch(item) for item in asked]
    if None in found:
        raise Refusal(HTTPStatus.BAD_REQUEST, Status.INVALID)
    extras = {name for name in ("meta", "perms", "type", "ev") if handler.query.get(name) == ["1"]}
    items = [_read(handler, int(match[1]), int(match[2]), extras) for match in found if match]
    http = HTTPStatus.MULTI_STATUS if any(item["status"] for item in items) else HTTPStatus.OK
    if http == HTTPStatus.OK:
        for item in items:
            del item["status"]
    handler.answer.json({"characteristics": items}, http)


def _read(handler: "Handler", aid: int, iid: int, extras: set[str]) -> dict[str, Any]:
    item: dict[str, Any] = {"aid": aid, "iid": iid}
    accessory, characteristic = handler.driver.find(aid, iid)
    item["status"] = _readable(accessory, characteristic)
    if item["status"] == Status.OK:
        item["value"] = handler.connection.told[aid, iid] = characteristic.value
    if extras and characteristic is not None:
        subscribed = handler.connection.listens(aid, iid)
        item |= _extras(characteristic.to_HAP(include_value=False), extras, subscribed)
    return item


def _readable(accessory: Any, characteristic: Characteristic | None) -> int:
    if characteristic is None:
        return Status.NOT_EXISTING
    if "pr" not in characteristic.properties["Permissions"]:
        return Status.WRITE_ONLY
    if isinstance(accessory, Face) and characteristic is accessory.shows and not accessory.available:
        return Status.UNABLE
    return Status.OK


def _extras(described: dict[str, Any], extras: set[str], subscribed: bool) -> dict[str, Any]:
    wanted: set[str] = {name for name in ("perms", "type") if name in extras}
    if "meta" in extras:
        wanted |= ABOUT_VALUE
    chosen = {name: value for name, value in described.items() if name in wanted}
    return chosen | {"ev": subscribed} if "ev" in extras else chosen
