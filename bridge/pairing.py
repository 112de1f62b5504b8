"""What a person needs to pair a phone: the QR code and the setup code, for a terminal."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import pyqrcode

QUIET_ZONE = 2  # modules of light around it; phones need no more on a dark terminal
HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}  # (upper, lower): light is drawn


def qr(text: str) -> str:
    """A QR code of `text` in half blocks, two modules a character; for a dark terminal."""
    rows = pyqrcode.create(text, error="M").code
    side = [0] * QUIET_ZONE
    blank = [0] * (len(rows[0]) + 2 * QUIET_ZONE)
    lines = [blank] * QUIET_ZONE + [[*side, *row, *side] for row in rows] + [blank] * QUIET_ZONE
    pairs = zip_longest(lines[::2], lines[1::2], fillvalue=blank)
    return "\n".join("".join(HALVES[pair] for pair in zip(*two, strict=True)) for two in pairs)


def invitation(code: str, uri: str) -> str:
    """The setup code and its QR code, to be scanned with the Home app."""
    return (
        f"{qr(uri)}\n\n"
        f"Home app: +, Add Accessory, scan this or type the setup code {code}\n"
        "It says that the accessory is not certified: Add Anyway.\n"
    )


def describe(answer: Mapping[str, Any]) -> str:
    """What `bellpull pair` prints of the bridge's answer: code, uri, paired, locked, pairings."""
    if answer["locked"]:
        return (
            "Pairing is locked: 100 attempts with a wrong code. If they were not yours, somebody in your\n"
            "network is guessing. `bellpull pair --unlock` allows pairing again."
        )
    text = invitation(answer["code"], answer["uri"])
    if not answer["paired"]:
        return text
    pairings = [
        f"  {pairing['who']}  {pairing['id']}  {'admin' if pairing['admin'] else 'guest'}"
        for pairing in answer["pairings"]
    ]
    return "\n".join(
        [
            "Paired; another phone joins by the Home app of one that is in the home already:",
            *pairings,
            "",
            "The setup code works again after `bellpull pair --reset`, or when the home removes the bridge:",
            text,
        ]
    )
