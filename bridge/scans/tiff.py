"""What libvips does not tell about a TIFF's pages, and does not let one leave out (TIFF 6.0, BigTIFF)."""

from __future__ import annotations

import os
import struct

SUBFILE_TYPE, PHOTOMETRIC, EXTRA_SAMPLES = 254, 262, 338
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
REDUCED, PALETTE, UNSPECIFIED, NO_UNIT = 1, 3, 0, 1
MOST_PAGES = 500
MOST_TAGS = 4096


def page_tags(descriptor: int) -> list[dict[int, int]]:
    """The tags of each page that are one number (of several the first); of no TIFF, or a broken one, as
    far as it goes, MOST_PAGES + 1 at most.
    """
    head = os.pread(descriptor, 16, 0)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return []
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    [offset] = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])
    found: list[dict[int, int]] = []
    seen: set[int] = set()
    while 0 < offset < 1 << 62 and offset not in seen and len(found) <= MOST_PAGES:
        seen.add(offset)
        try:
            tags, offset = _directory(descriptor, offset, order, big)
        except struct.error:  # the file ends here
            break
        found.append(tags)
    return found


def _directory(descriptor: int, offset: int, order: str, big: bool) -> tuple[dict[int, int], int]:
    # A BigTIFF's entries are tag 2, type 2, count 8, value 8 bytes; others' 2, 2, 4, 4.
    counter, entry, value, link = ("Q", 20, 12, "Q") if big else ("H", 12, 8, "I")
    counter, link = order + counter, order + link
    width = struct.calcsize(counter)
    [count] = struct.unpack(counter, os.pread(descriptor, width, offset))
    count = min(count, MOST_TAGS)
    rows = os.pread(descriptor, count * entry + struct.calcsize(link), offset + width)
    tags = {}
    for at in range(0, count * entry, entry):
        tag, kind = struct.unpack_from(order + "HH", rows, at)
        if kind in (3, 4):  # SHORT and LONG: one lies in the entry itself
            [tags[tag]] = struct.unpack_from(order + ("H" if kind == 3 else "I"), rows, at + value)
    [following] = struct.unpack_from(link, rows, count * entry)
    return tags, following


def without_resolution(content: bytes) -> bytes:
    """A classic little-endian TIFF of one page that says nothing about its size on paper."""
    file = bytearray(content)
    [offset] = struct.unpack_from("<I", file, 4)
    [count] = struct.unpack_from("<H", file, offset)
    for at in range(offset + 2, offset + 2 + 12 * count, 12):
        [tag] = struct.unpack_from("<H", file, at)
        if tag == RESOLUTION_UNIT:
            struct.pack_into("<H", file, at + 8, NO_UNIT)
        if tag in (X_RESOLUTION, Y_RESOLUTION):
            struct.pack_into("<II", file, struct.unpack_from("<I", file, at + 8)[0], 1, 1)
    return bytes(file)
