"""A PNG writer for photographs: every row as its difference from the one above, deflated by ISA-L.

Several times as fast as the common encoders at the same size. The format is RFC 2083 (PNG 1.2) and its
extensions; proved against other decoders in tests/unit/scans/test_png.py.
"""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
from isal import isal_zlib

from bridge.scans.arrays import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
UP = 2
LEVEL = 1
MOST_CHUNKS = 1000


def encode(pixels: Array, bits: int, dpi: float | None, profile: bytes | None) -> bytes:
    """H x W or H x W x 1..4, uint8 or uint16 (`bits` 8 or 16), or uint8 0 and 255 with `bits` 1."""
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPES[bands], 0, 0, 0)
    parts = [SIGNATURE, _chunk(b"IHDR", header)]
    if profile:
        parts.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if dpi:
        per_metre = round(dpi / 0.0254)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)))
    packed = isal_zlib.compress(_filtered(_rows(pixels, bits)), LEVEL)
    for start in range(0, len(packed), 1 << 30):
        parts.append(_chunk(b"IDAT", packed[start : start + (1 << 30)]))
    return b"".join([*parts, _chunk(b"IEND", b"")])


def density(descriptor: int) -> tuple[float, float] | None:
    """Pixels per metre across and down as a PNG file's pHYs says; None where it says nothing of the kind."""
    at = len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        head = os.pread(descriptor, 17, at)
        if len(head) < 17 or head[4:8] == b"IDAT":
            return None
        length, kind = struct.unpack(">I4s", head[:8])
        if kind == b"pHYs":
            x, y = struct.unpack(">II", head[8:16])
            return (x, y) if head[16] == 1 else None
        at += 12 + length  # that, its kind and its checksum are 4 bytes each
    return None


def _rows(pixels: Array, bits: int) -> Array:
    """The bytes of every row, most significant first."""
    height = pixels.shape[0]
    if bits == 1:
        return np.packbits(pixels > 127, axis=1)
    if bits == 16:
        pixels = pixels.astype(">u2")
    return np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)


def _filtered(rows: Array) -> memoryview:
    height, width = rows.shape
    out = np.empty((height, width + 1), np.uint8)
    out[:, 0] = UP
    out[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=out[1:, 1:])
    return memoryview(out.data).cast("B")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(kind)))
    )
