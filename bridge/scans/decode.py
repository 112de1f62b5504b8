"""A scan's file to pixels: PNG, TIFF, JPEG and WebP by content, whatever the name says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pyvips

from bridge.scans import png, tiff
from bridge.scans.arrays import Array
from bridge.scans.problem import ScanProblem

MOST_PIXELS = 400_000_000
LONGEST = 32_000
LEAST = 64
MOST_UNEVEN = 4.0
GLASS_MM = 297.0
USUAL_DPI = (75, 100, 150, 200, 240, 300, 400, 600, 800, 1200)
LOADERS = {"Png": b"\x89PNG\r\n\x1a\n", "Jpeg": b"\xff\xd8\xff", "Tiff": b"II*\0", "Webp": b"RIFF"}


@dataclass
class Page:
    """One page: H x W or H x W x bands, uint8 or uint16; `bits` 1 for a bitonal scan kept as 0 and 255.

    `dpi` is what to measure with; `tag` what the file says, or None. `profile` is its ICC profile.
    `scale` is how much wider and higher the pixels were made than they are in the file.
    """

    number: int
    count: int
    pixels: Array
    bits: int
    alpha: bool
    dpi: float
    tag: float | None
    profile: bytes | None
    scale: tuple[float, float] = (1.0, 1.0)
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
    _check_kind(descriptor)
    tags = tiff.page_tags(descriptor) or [{}]
    if len(tags) > tiff.MOST_PAGES:
        raise ScanProblem(f"has more than {tiff.MOST_PAGES} pages; split it into several files")
    shown = [n for n, page in enumerate(tags) if not page.get(tiff.SUBFILE_TYPE, 0) & tiff.REDUCED]
    try:
        for number, n in enumerate(shown or [0], 1):
            yield _page(_load(descriptor, n), tags[n], descriptor, number, len(shown or [0]))
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
    _check_size(image.width, image.height)
    return image


def _check_size(width: int, height: int) -> None:
    is_ = f"is {width} x {height} pixels"
    if width * height > MOST_PIXELS:
        most = f"{MOST_PIXELS // 1_000_000} million"
        raise ScanProblem(f"{is_}; at most {most} are taken: scan at a lower resolution")
    if max(width, height) > LONGEST:
        raise ScanProblem(f"{is_}; at most {LONGEST} to a side are taken: scan at a lower resolution")
    if min(width, height) < LEAST:
        raise ScanProblem(f"{is_}, too small for a scan")


def _page(image: pyvips.Image, tags: dict[int, int], descriptor: int, number: int, count: int) -> Page:
    notes: list[str] = []
    across, down = _tagged_dpi(image, descriptor) or (None, None)
    bits = int(image.get("bits-per-sample")) if image.get_typeof("bits-per-sample") else 0
    palette = bool(image.get_typeof("palette")) or tags.get(tiff.PHOTOMETRIC) == tiff.PALETTE
    orientation = int(image.get("orientation")) if image.get_typeof("orientation") else 1
    if 2 <= orientation <= 8:
        image = image.copy_memory().autorot()
        notes.append("turned as its EXIF orientation says")
        across, down = (down, across) if orientation >= 5 else (across, down)
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    if tags.get(tiff.EXTRA_SAMPLES) == tiff.UNSPECIFIED and image.interpretation != "cmyk":
        image = image.extract_band(0, n=3 if image.bands > 3 else 1)
        notes.append("extra channels dropped")
    image, profile = _plain(image, profile, notes)
    if palette and image.bands >= 3:
        notes.append("palette converted to RGB")
    pixels = np.asarray(image.numpy())
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    pixels, scale = _square(pixels, across, down, notes)
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    bitonal = bits == 1 and pixels.ndim == 2 and scale == (1.0, 1.0)
    depth = 1 if bitonal else 8 * pixels.dtype.itemsize
    tag = None if across is None or down is None else max(across, down)
    dpi = _measuring_dpi(tag, pixels.shape[1], pixels.shape[0], notes)
    return Page(
        number, count, pixels, depth, alpha, dpi, tag, bytes(profile) if profile else None, scale, notes
    )


def _square(
    pixels: Array, across: float | None, down: float | None, notes: list[str]
) -> tuple[Array, tuple[float, float]]:
    """Pixels as wide as high: a print that is askew has right angles only then. And the factors."""
    if across is None or down is None or not 1.01 < max(across, down) / min(across, down) <= MOST_UNEVEN:
        return pixels, (1.0, 1.0)
    height, width = pixels.shape[:2]
    size = round(width * max(1, down / across)), round(height * max(1, across / down))
    _check_size(*size)
    notes.append(f"{across:.0f} x {down:.0f} DPI made {max(across, down):.0f} both ways")
    squared: Array = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
    return squared, (size[0] / width, size[1] / height)


def _plain(image: pyvips.Image, profile: bytes | None, notes: list[str]) -> tuple[pyvips.Image, bytes | None]:
    """Grey or RGB, with or without alpha, 8 or 16 bit; everything else converted and noted."""
    if image.interpretation == "cmyk" or (
        image.bands >= 4 and image.interpretation not in ("srgb", "rgb16", "rgb", "scrgb")
    ):
        notes.append("CMYK converted to RGB" + ("" if profile else " without a profile"))
        depth = 16 if image.format == "ushort" else 8
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth), None
    if image.interpretation in ("lab", "labq", "labs", "xyz"):
        notes.append("Lab converted to RGB")
        return image.colourspace("srgb"), None
    if image.format not in ("uchar", "ushort"):
        notes.append(f"{image.format} samples converted to 16 bit")
        image = _sixteen_bits(image)
    if image.bands > 4:
        notes.append("extra channels dropped")
        image = image.extract_band(0, n=3)
    return image, profile


def _sixteen_bits(image: pyvips.Image) -> pyvips.Image:
    """From numbers of another kind, whose white is the least usual one that is bright enough."""
    image = image.copy_memory()
    if image.interpretation == "scrgb":  # linear light, as libvips reads three floats
        return image.colourspace("rgb16")
    brightest = image.max()
    white = next((top for top in (1.0, 255.0, 65535.0) if brightest <= top), 2.0**32 - 1)
    return (image.cast("double") * (65535.0 / white)).cast("ushort")


def _tagged_dpi(image: pyvips.Image, descriptor: int) -> tuple[float, float] | None:
    """What the file says, in dots per inch across and down; None where it says nothing believable."""
    loader = str(image.get("vips-loader"))
    if loader.startswith("png"):
        found = png.density(descriptor)
        across, down = (per_metre * 0.0254 for per_metre in found) if found else (0.0, 0.0)
    elif image.xres == image.yres == 1.0 or (
        loader.startswith("tiff") and not image.get_typeof("resolution-unit")
    ):
        return None  # libvips' own words for nothing
    else:
        across, down = image.xres * 25.4, image.yres * 25.4
    return (across, down) if all(20 <= dpi <= 10_000 for dpi in (across, down)) else None


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
