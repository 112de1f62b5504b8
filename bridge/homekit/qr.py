"""The setup code as something to point a phone at, for a terminal."""

from itertools import zip_longest

import pyqrcode

QUIET_ZONE = 2  # modules of light around it; phones need no more on a dark terminal
HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}  # (upper, lower): light is drawn


def qr(text: str) -> str:
    """A QR code of `text` in half blocks, two modules a character; light on a dark terminal."""
    rows = pyqrcode.create(text, error="Q").code
    blank = [[0] * (len(rows) + 2 * QUIET_ZONE)] * QUIET_ZONE
    side = [0] * QUIET_ZONE
    rows = [*blank, *([*side, *row, *side] for row in rows), *blank]
    pairs = zip_longest(rows[::2], rows[1::2], fillvalue=blank[0])
    return "\n".join("".join(HALVES[pair] for pair in zip(*two, strict=True)) for two in pairs)


def invitation(code: str, uri: str) -> str:
    """What to show somebody who wants to pair: the QR code and the setup code."""
    return f"{qr(uri)}\n\n  Setup code: {code}\n"
