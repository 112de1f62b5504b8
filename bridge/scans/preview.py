"""A picture of the scan with every photo outlined, numbered and given its confidence."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from bridge.scans.arrays import Array
from bridge.scans.detect import Photo

LONGEST = 1600
THUMB = 260
SURE, UNSURE = (40, 170, 40), (30, 90, 240)


def preview(pixels: Array, photos: Sequence[Photo]) -> bytes:
    """A JPEG, at most LONGEST pixels to a side; green above a confidence of 0.9, orange below."""
    scale = min(1.0, LONGEST / max(pixels.shape[:2]))
    picture = _small(pixels, scale)
    for n, photo in enumerate(photos, 1):
        colour = SURE if photo.confidence > 0.9 else UNSURE
        corners = np.round(photo.quad * scale * 16 - 8).astype(np.int32)
        cv2.polylines(picture, [corners], True, colour, 3, cv2.LINE_AA, 4)
        _label(picture, f"{n}: {photo.confidence:.2f}", photo.quad.mean(axis=0) * scale, colour)
    return _jpeg(picture)


def thumbnail(pixels: Array) -> bytes:
    """A JPEG of a photo for a contact sheet, THUMB pixels to its longer side."""
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return _jpeg(_small(pixels, min(1.0, THUMB / max(pixels.shape[:2]))))


def _small(pixels: Array, scale: float) -> Array:
    """8 bit and in OpenCV's order of colours."""
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    small: Array = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    return cv2.cvtColor(small, cv2.COLOR_GRAY2BGR if small.ndim == 2 else cv2.COLOR_RGB2BGR)


def _jpeg(picture: Array) -> bytes:
    done, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return content.tobytes()


def _label(picture: Array, text: str, at: Array, colour: tuple[int, int, int]) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.9
    (w, h), _ = cv2.getTextSize(text, font, size, 2)
    x, y = int(at[0] - w / 2), int(at[1] + h / 2)
    cv2.rectangle(picture, (x - 8, y - h - 8), (x + w + 8, y + 10), colour, cv2.FILLED)
    cv2.putText(picture, text, (x, y), font, size, (255, 255, 255), 2, cv2.LINE_AA)
