"""A scan's file to pixels: PNG, TIFF, JPEG and WebP by content, whatever the name says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyvips

from bridge.scans.arrays import Array
from bridge.scans.problem import ScanProblem

MOST_PIXELS = 400_000_000
LONGEST = 32_000
LEAST = 64
GLASS_MM = 297.0
USUAL_DPI = (75, 100, 150, 200, 240, 300, 400, 600, 800, 1200)
LOADERS = {"Png": b"\x89PNG\r\n\x1a\n", "Jpeg": b"\xff\xd8\xff", "Tiff": b"II*\0", "Webp": b"RIFF"}


@dataclass
class Page:
    """One page: H x W or H x W x bands, uint8 or uint16; `bits` 1 for a bitonal scan kept as 0 and 255.

    `dpi` is what to measure with; `tag` what the file says, or None. `profile` is its ICC profile.
    """

    number: int
    count: int
    pixels: Array
    bits: int
    alpha: bool
    dpi: float
    tag: float | None
    profile: bytes | None
    notes: list[str] = field(default_factory=list)

    def opaque(self) -> Array:
        """Grey or RGB, the transparent parts white."""
        if not self.alpha:
            return self.pixels
        top = np.iinfo(self.pixels.dtype).max
        cover = self.pixels[..., -1:].astype(np.float32) / top
        flat = self.pixels[..., :-1] * cover + top * (1 - cover)
        flat = flat.astype(self.pixels.dtype)
        return flat[..., 0] if flat.shape[2] == 1 else flat


def restrict() -> None:
    """Let libvips load the four formats and nothing else (it knows dozens, and programs to call)."""
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)


def pages(descriptor: int) -> Iterator[Page]:
    """Every page of the scan in a regular file. ScanProblem where it cannot be read."""
    try:
        _check_kind(descriptor)
        first = _load(descriptor, 0)
        count = int(first.get("n-pages")) if first.get_typeof("n-pages") else 1
        if first.get("vips-loader").startswith("webp"):
            count = 1
        for number in range(count):
            image = first if number == 0 else _load(descriptor, number)
            yield _page(image, number + 1, count)
    except pyvips.Error as error:
        raise ScanProblem(f"cannot be decoded: {_reason(error)}; scan it again or restore it") from None


def _check_kind(descriptor: int) -> None:
    head = os.pread(descriptor, 12, 0)
    known = any(head.startswith(magic) for magic in LOADERS.values()) or head.startswith(
        (b"MM\0*", b"II+\0", b"MM\0+")
    )
    if not known or (head.startswith(b"RIFF") and head[8:] != b"WEBP"):
        raise ScanProblem("is no PNG, TIFF, JPEG or WebP picture")


def _load(descriptor: int, page: int) -> pyvips.Image:
    os.lseek(descriptor, 0, os.SEEK_SET)
    source = pyvips.Source.new_from_descriptor(descriptor)
    options: dict[str, Any] = {"access": "sequential", "fail_on": "error"}
    if page:
        options["page"] = page
    image = pyvips.Image.new_from_source(source, "", **options)
    if image.width * image.height > MOST_PIXELS:
        raise ScanProblem(
            f"is {image.width} x {image.height} pixels; at most {MOST_PIXELS // 1_000_000} million are taken:"
            " scan at a lower resolution"
        )
    if max(image.width, image.height) > LONGEST:
        raise ScanProblem(
            f"is {image.width} x {image.height} pixels; at most {LONGEST} to a side are taken:"
            " scan at a lower resolution"
        )
    if min(image.width, image.height) < LEAST:
        raise ScanProblem(f"is {image.width} x {image.height} pixels, too small for a scan")
    return image


def _page(image: pyvips.Image, number: int, count: int) -> Page:
    notes: list[str] = []
    tag = _tagged_dpi(image)
    bits = int(image.get("bits-per-sample")) if image.get_typeof("bits-per-sample") else 0
    palette = bool(image.get_typeof("palette"))
    if image.get_typeof("orientation") and image.get("orientation") not in (0, 1):
        image = image.copy_memory().autorot()
        notes.append("turned as its EXIF orientation says")
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    image, profile = _plain(image, profile, notes)
    if palette and image.bands >= 3:
        notes.append("palette converted to RGB")
    pixels = np.asarray(image.numpy())
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    bitonal = bits == 1 and pixels.ndim == 2
    depth = 1 if bitonal else 8 * pixels.dtype.itemsize
    dpi = _measuring_dpi(tag, image.width, image.height, notes)
    return Page(number, count, pixels, depth, alpha, dpi, tag, bytes(profile) if profile else None, notes)


def _plain(image: pyvips.Image, profile: bytes | None, notes: list[str]) -> tuple[pyvips.Image, bytes | None]:
    """Grey or RGB, with or without alpha, 8 or 16 bit; everything else converted and noted."""
    if image.interpretation == "cmyk" or (
        image.bands >= 4 and image.interpretation not in ("srgb", "rgb16", "rgb")
    ):
        notes.append("CMYK converted to RGB" + ("" if profile else " without a profile"))
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=8), None
    if image.interpretation in ("lab", "labq", "labs", "xyz", "scrgb"):
        notes.append("Lab converted to RGB")
        return image.colourspace("srgb"), None
    if image.format not in ("uchar", "ushort"):
        notes.append(f"{image.format} samples converted to 16 bit")
        image = image.cast("float")
        scale = 65535.0 if image.max() <= 1.0 else 1.0
        image = (image * scale).cast("ushort")
    if image.bands > 4:
        notes.append("extra channels dropped")
        image = image.extract_band(0, n=3)
    return image, profile


def _tagged_dpi(image: pyvips.Image) -> float | None:
    """What the file says, in dots per inch; libvips says one pixel per millimetre where it says nothing."""
    dpi = float(image.xres) * 25.4
    return None if abs(image.xres - 1.0) < 1e-6 or not 20 <= dpi <= 10_000 else dpi


def _measuring_dpi(tag: float | None, width: int, height: int, notes: list[str]) -> float:
    """The tag where it is believable, else what makes the scan as long as common glass."""
    long = max(width, height)
    if tag is not None and 25 <= long / tag * 25.4 <= 600:
        return tag
    guess = long / GLASS_MM * 25.4
    near = min(USUAL_DPI, key=lambda dpi: abs(dpi / guess - 1))
    dpi = float(near) if abs(near / guess - 1) < 0.2 else max(guess, 50.0)
    said = "no resolution in the file" if tag is None else f"{tag:.0f} DPI in the file cannot be"
    notes.append(f"{said}; taken as {dpi:.0f} DPI")
    return dpi


def _reason(error: pyvips.Error) -> str:
    """The decoder's own words, on one line."""
    lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
    return (lines[-1] if lines else "damaged")[:160]
