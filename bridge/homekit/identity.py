"""What identifies the bridge and its accessories: made once, stored, never derived from order."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.homekit.store import Keys, Place
from bridge.rules import MOST_ACCESSORIES, is_setup_code

UNSUPPORTED_AID = 7  # HAP-python's issue 61: Home never shows accessory 7
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class TooMany(Exception):
    """More accessories than HomeKit takes; one line that says what to do."""


def new_setup_code() -> str:
    while True:
        digits = f"{secrets.randbelow(10**8):08}"
        code = f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"
        if is_setup_code(code):
            return code


def new_device_id() -> str:
    """Six bytes in the form of a MAC address, as HomeKit tells accessories apart."""
    return secrets.token_bytes(6).hex(":").upper()


def new_private_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes_raw()


def new_keys() -> Keys:
    return Keys(
        device_id=new_device_id(),
        private_key=new_private_key(),
        setup_code=new_setup_code(),
        setup_id="".join(secrets.choice(LETTERS) for _ in range(4)),
    )


def seat(keys: Keys, wanted: Mapping[str, tuple[str, str]]) -> Keys:
    """Give every wanted accessory its place; `wanted` maps a key to (face, name).

    Who has a place keeps it, and its name on the phone as long as the configuration's stays.
    Another face under the same key is another accessory to HomeKit, so it gets a new id. Who
    is not wanted any more keeps the place too, until it is forgotten. Raises TooMany.
    """
    places = dict(keys.places)
    next_aid = keys.next_aid
    for key, (face, name) in wanted.items():
        place = places.get(key)
        if place is not None and place.face == face:
            places[key] = place if place.name == name else replace(place, name=name, called="")
            continue
        if next_aid == UNSUPPORTED_AID:
            next_aid += 1
        places[key] = Place(next_aid, face, name)
        next_aid += 1
    if len(places) > MOST_ACCESSORIES:
        raise TooMany(_too_many(places, wanted))
    return replace(keys, places=places, next_aid=next_aid)


def _too_many(places: Mapping[str, Place], wanted: Mapping[str, tuple[str, str]]) -> str:
    gone = [key for key in places if key not in wanted]
    advice = (
        f"`bellpull forget KEY` frees the places of those that are gone: {', '.join(gone)}"
        if gone
        else "take some out of the configuration, companions count as well"
    )
    return f"{len(places)} accessories, but HomeKit takes {MOST_ACCESSORIES} behind a bridge; {advice}"


def firmware_revision(version: str) -> str:
    """The x.y.z that HomeKit takes, of a version that may say more ("0.3.0.dev1")."""
    found = re.match(r"\d+(\.\d+){0,2}", version)
    return found.group() if found else "0"
