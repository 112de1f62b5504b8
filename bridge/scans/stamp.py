"""Writes date and album into a photo's bytes, as EXIF and XMP; the pixels stay as they are.

Sources: Exif 2.32 (4.6), XMP part 1 and 3 (Adobe, 2016/2020), PNG (eXIf, iTXt), TIFF 6.0.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from html import escape

XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
EXIF_NAME = b"Exif\0\0"
ASCII, BYTE, LONG, UNDEFINED = 2, 1, 4, 7
EXIF_IFD, XMP_TAG, DATE_TIME_ORIGINAL, EXIF_VERSION = 0x8769, 700, 0x9003, 0x9000


@dataclass(frozen=True)
class Stamp:
    """`exif` "1987:01:01 00:00:00", `known` as much of it as is known ("1987"); `album` may be empty."""

    exif: str = ""
    known: str = ""
    album: str = ""

    def __bool__(self) -> bool:
        return bool(self.exif or self.album)


def stamped(photo: bytes, stamp: Stamp, format: str) -> bytes:
    """The file with the stamp in it; `format` is png, jpeg or tiff."""
    if not stamp:
        return photo
    return {"png": _png, "jpeg": _jpeg, "tiff": _tiff}[format](photo, stamp)


def xmp(stamp: Stamp) -> bytes:
    """The packet. XMP dates may stop at the year or the month, which is how precision is kept."""
    parts = []
    if stamp.known:
        parts.append(f"<exif:DateTimeOriginal>{stamp.known}</exif:DateTimeOriginal>")
        parts.append(f"<photoshop:DateCreated>{stamp.known}</photoshop:DateCreated>")
    if stamp.album:
        album = stamp.album.encode("utf-8", "replace").decode()
        parts.append(
            f"<xmpDM:album>{escape(''.join(c for c in album if c.isprintable()), quote=False)}</xmpDM:album>"
        )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
        ' xmlns:xmpDM="http://ns.adobe.com/xmp/1.0/DynamicMedia/">'
        f'{"".join(parts)}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def exif(stamp: Stamp) -> bytes:
    """A little-endian TIFF block with the date in its Exif IFD."""
    first = 8
    second = first + 2 + 12 + 4
    head = b"II*\0" + struct.pack("<I", first)
    pointer = struct.pack("<HHHII", 1, EXIF_IFD, LONG, 1, second) + bytes(4)
    return head + pointer + _exif_ifd("<", second, stamp)


def _exif_ifd(order: str, at: int, stamp: Stamp) -> bytes:
    """The Exif IFD as it lies at `at`, with the date behind it."""
    date = stamp.exif.encode() + b"\0"
    count = 2
    behind = at + 2 + 12 * count + 4
    version = struct.pack(order + "HHI4s", EXIF_VERSION, UNDEFINED, 4, b"0232")
    original = struct.pack(order + "HHII", DATE_TIME_ORIGINAL, ASCII, len(date), behind)
    return struct.pack(order + "H", count) + version + original + bytes(4) + date


def _png(photo: bytes, stamp: Stamp) -> bytes:
    after_header = 8 + 25
    chunks = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(stamp))
    if stamp.exif:
        chunks += _chunk(b"eXIf", exif(stamp))
    return photo[:after_header] + chunks + photo[after_header:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _jpeg(photo: bytes, stamp: Stamp) -> bytes:
    """Behind the JFIF segment, which has to be the first."""
    at = 2
    if photo[2:4] == b"\xff\xe0":
        at += 2 + int.from_bytes(photo[4:6], "big")
    bodies = [XMP_NAME + xmp(stamp)]
    if stamp.exif:
        bodies.insert(0, EXIF_NAME + exif(stamp))
    segments = (b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in bodies)
    return photo[:at] + b"".join(segments) + photo[at:]


def _tiff(photo: bytes, stamp: Stamp) -> bytes:
    """The first directory once more at the file's end, with two entries more."""
    order = "<" if photo[:2] == b"II" else ">"
    (version, first) = struct.unpack_from(order + "HI", photo, 2)
    if version != 42:  # a BigTIFF: over 4 GB
        return photo
    (count,) = struct.unpack_from(order + "H", photo, first)
    tags = {
        struct.unpack_from(order + "H", photo, first + 2 + 12 * n)[0]: photo[first + 2 + 12 * n :][:12]
        for n in range(count)
    }
    following = photo[first + 2 + 12 * count :][:4]
    added = bytearray(photo + b"\0" * (len(photo) % 2))
    packet = xmp(stamp)
    tags[XMP_TAG] = struct.pack(order + "HHII", XMP_TAG, BYTE, len(packet), len(added))
    added += packet + b"\0" * (len(packet) % 2)
    if stamp.exif:
        tags[EXIF_IFD] = struct.pack(order + "HHII", EXIF_IFD, LONG, 1, len(added))
        block = _exif_ifd(order, len(added), stamp)
        added += block + b"\0" * (len(block) % 2)
    struct.pack_into(order + "I", added, 4, len(added))
    added += struct.pack(order + "H", len(tags)) + b"".join(tags[n] for n in sorted(tags)) + following
    return bytes(added)
