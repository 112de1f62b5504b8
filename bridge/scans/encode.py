"""A crop to a file's bytes, with the scan's depth, resolution and profile where the format can hold them."""

from __future__ import annotations

import struct

import numpy as np
import pyvips

from bridge.scans import png, tiff
from bridge.scans.arrays import Array
from bridge.scans.decode import Page

SUFFIXES = {"png": "png", "tiff": "tif", "jpeg": "jpg"}


def encode(page: Page, pixels: Array, turned: bool, format: str, quality: int) -> tuple[bytes, list[str]]:
    """The file, and what had to be converted."""
    notes: list[str] = []
    bits = page.bits
    if bits == 1 and (turned or format == "jpeg"):
        bits = 8
        notes.append("1 bit converted to grey")
    if format == "png":
        return png.encode(pixels, bits, page.tag, page.profile), notes
    if format == "jpeg" and page.alpha:
        pixels = _flatten(pixels)
        notes.append("transparency made white")
    if format == "jpeg" and pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
        notes.append("16 bit converted to 8")
    image = _image(page, pixels)
    if format == "jpeg":
        content = image.jpegsave_buffer(Q=quality, optimize_coding=True, keep="icc")
        return _with_density(content, page.tag), notes
    options = (
        {"bitdepth": 1, "compression": "deflate", "predictor": "none"}
        if bits == 1
        else {"compression": "deflate", "predictor": "horizontal"}
    )
    content = image.tiffsave_buffer(resunit="inch", **options)
    return content if page.tag else tiff.without_resolution(content), notes


def _image(page: Page, pixels: Array) -> pyvips.Image:
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    deep = pixels.dtype == np.uint16
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).data, width, height, bands, "ushort" if deep else "uchar"
    )
    grey = bands < 3
    space = ("grey16" if deep else "b-w") if grey else ("rgb16" if deep else "srgb")
    density = page.tag / 25.4 if page.tag else 1.0
    image = image.copy(interpretation=space, xres=density, yres=density)
    if page.profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", page.profile)
    return image


def _with_density(jpeg: bytes, dpi: float | None) -> bytes:
    """With the JFIF header (ITU-T T.871) that libvips leaves out, and most programs take the size from."""
    unit, density = (1, min(round(dpi), 65535)) if dpi else (0, 1)
    header = struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x0102, unit, density, density, 0, 0)
    return jpeg[:2] + header + jpeg[2:]


def _flatten(pixels: Array) -> Array:
    top = np.iinfo(pixels.dtype).max
    cover = pixels[..., -1:].astype(np.float32) / top
    flat = (pixels[..., :-1] * cover + top * (1 - cover)).astype(pixels.dtype)
    return flat[..., 0] if flat.shape[2] == 1 else flat
