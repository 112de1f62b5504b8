"""Composed flatbed scans with exact truth: real photographs laid on a made-up glass, seeded.

Coordinates are scan pixels in the pixel-edge convention; lengths are millimetres until `px` turns them over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.scans import photographs

Rng = np.random.Generator
Float = NDArray[Any]
Quad = NDArray[np.float64]

CATEGORIES = (
    "standard",
    "edge_bar",
    "joined_by_bar",
    "touching",
    "overedge",
    "bright_border",
    "dark_lid",
    "white_border_prints",
    "lowcontrast_bw",
    "many_small",
    "single_full_bleed",
    "empty_scan",
    "not_photos",
)
GLASS = (210.0, 297.0)
SIZES = ((90, 130), (89, 127), (100, 150), (102, 152), (130, 180), (89, 89), (76, 102), (60, 90), (105, 148))
SMALL = ((35, 45), (25, 35), (40, 60), (60, 60), (45, 60), (50, 75), (54, 86), (35, 50))
DEEPEST_FOOT = 0.3  # of an instant print's height: there is a picture above it


@dataclass
class Placed:
    """A print on the glass: centre, size and angle in mm and degrees, and what it looks like."""

    x: float
    y: float
    w: float
    h: float
    angle: float
    border: float = 0.0
    foot: float = 0.0
    corner: float = 0.0
    deckle: float = 0.0
    fade: float = 0.0
    grey: bool = False
    contrast: float = 1.0
    bow: tuple[float, float] = (0.0, 0.0)
    yellow: float = 0.0

    def quad(self) -> Quad:
        a = math.radians(self.angle)
        axes = np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [self.w / 2, self.h / 2]
        return np.asarray(corners @ axes + [self.x, self.y])


@dataclass
class Composed:
    category: str
    seed: int
    dpi: int
    pixels: NDArray[Any]
    quads: list[Quad]
    bars: NDArray[np.bool_]
    document: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


def compose(category: str, seed: int, dpi: int = 300) -> Composed:
    """One scan; the same category, seed and DPI give the same pixels."""
    rng = np.random.default_rng([CATEGORIES.index(category), seed])
    return _Glass(category, seed, dpi, rng).scan()


class _Glass:
    def __init__(self, category: str, seed: int, dpi: int, rng: Rng) -> None:
        self.category, self.seed, self.dpi, self.rng = category, seed, dpi, rng
        self.more = np.random.default_rng([CATEGORIES.index(category), seed, 1])
        self.mm = dpi / 25.4
        self.size = (round(GLASS[0] * self.mm), round(GLASS[1] * self.mm))
        if category == "single_full_bleed" and rng.random() < 0.7:
            w, h = SIZES[int(rng.integers(len(SIZES)))]
            w, h = (h, w) if rng.random() < 0.5 else (w, h)
            self.size = (round(w * self.mm), round(h * self.mm))
        self.bars = np.zeros(self.size[::-1], bool)
        self.bar_blur = 1.0
        self.notes: dict[str, Any] = {}

    def scan(self) -> Composed:
        prints = self.lay()
        self.age(prints)
        lid = self.worn(self.lid())
        alphas = [self.alpha(p) for p in prints]
        canvas = self.shade(lid, alphas)
        for p, alpha in zip(prints, alphas, strict=True):
            canvas = self.paint(canvas, p, alpha)
        quads = [p.quad() * self.mm for p in prints]
        if self.category == "single_full_bleed":
            canvas = self.texture(self.size, Placed(0, 0, 0, 0, 0))
            quads = [_frame(self.size)]
        document = self.category == "not_photos"
        if document:
            canvas, quad = self.letter(canvas)
            quads = [quad]
        self.soil(canvas)
        if self.category in ("joined_by_bar", "edge_bar") or (
            self.category in ("dark_lid", "empty_scan") and self.rng.random() < 0.3
        ):
            self.draw_bars(canvas, prints)
        pixels = self.digitise(canvas)
        return Composed(self.category, self.seed, self.dpi, pixels, quads, self.bars, document, self.notes)

    # -- where the prints lie -------------------------------------------------------------------------

    def lay(self) -> list[Placed]:
        rng, c = self.rng, self.category
        if c in ("single_full_bleed", "empty_scan", "not_photos"):
            return []
        if c == "touching":
            return self.lay_touching()
        if c == "joined_by_bar":
            return self.lay_joined()
        many = c == "many_small"
        sizes = SMALL if many else SIZES
        count = int(rng.integers(5, 13)) if many else int(rng.integers(1, 5))
        gap = 2.0 if many else 4.0
        margin = 2.5
        out: list[Placed] = []
        for n in range(count):
            over = c == "overedge" and (n == 0 or rng.random() < 0.4)
            for _ in range(60):
                p = self.dress(self.random_print(sizes))
                x0, y0 = p.quad().min(axis=0)
                x1, y1 = p.quad().max(axis=0)
                half_w, half_h = (x1 - x0) / 2, (y1 - y0) / 2
                lo_x, hi_x = margin + half_w, GLASS[0] - margin - half_w
                lo_y, hi_y = margin + half_h, GLASS[1] - margin - half_h
                if lo_x > hi_x or lo_y > hi_y:
                    continue
                p.x, p.y = rng.uniform(lo_x, hi_x), rng.uniform(lo_y, hi_y)
                if over:
                    side = int(rng.integers(4))
                    past = float(rng.choice([0.0, rng.uniform(0, 3), rng.uniform(0, 15)]))
                    if past == 0.0:
                        p.angle = 0.0
                        half_w, half_h = p.w / 2, p.h / 2
                    if side == 0:
                        p.x = half_w - past
                    elif side == 1:
                        p.x = GLASS[0] - half_w + past
                    elif side == 2:
                        p.y = half_h - past
                    else:
                        p.y = GLASS[1] - half_h + past
                if all(_apart(p.quad(), q.quad(), gap) for q in out):
                    out.append(p)
                    break
        return out

    def age(self, prints: list[Placed]) -> None:
        """Prints that bow a little, yellowed paper, and, where they touch, one a hair askew."""
        more = self.more
        for n, p in enumerate(prints):
            if more.random() < 0.25:
                p.bow = (more.uniform(-0.12, 0.12), more.uniform(-0.12, 0.12))
            if more.random() < 0.3:
                p.yellow = more.uniform(4, 30)
            if self.category == "touching" and n == 0 and more.random() < 0.2:
                p.angle += more.uniform(-0.15, 0.15)

    def random_print(self, sizes: tuple[tuple[int, int], ...]) -> Placed:
        rng = self.rng
        w, h = sizes[int(rng.integers(len(sizes)))]
        if rng.random() < 0.5:
            w, h = h, w
        angle = float(rng.choice([0.0, rng.uniform(-2, 2), rng.uniform(-12, 12)], p=[0.1, 0.5, 0.4]))
        return Placed(0, 0, w + rng.normal(0, 0.3), h + rng.normal(0, 0.3), angle)

    def dress(self, p: Placed) -> Placed:
        rng, c = self.rng, self.category
        bordered = c == "white_border_prints" or (c in ("standard", "many_small") and rng.random() < 0.25)
        if bordered:
            p.border = rng.uniform(2.5, 6)
            style = rng.random()
            if style < 0.25:
                p.foot = min(rng.uniform(8, 20), DEEPEST_FOOT * p.h)
            elif style < 0.5:
                p.deckle = rng.uniform(0.3, 0.7)
            elif style < 0.7:
                p.corner = rng.uniform(1, 4)
        if c == "bright_border":
            p.fade = rng.uniform(2, 15)
        if c == "lowcontrast_bw":
            p.grey, p.contrast = True, rng.uniform(0.2, 0.6)
        elif rng.random() < 0.15:
            p.grey = True
        return p

    def lay_touching(self) -> list[Placed]:
        """Rows and columns of prints with gap 0, turned together; ends flush or not."""
        rng = self.rng
        while True:
            angle = float(rng.choice([0.0, rng.uniform(-3, 3), rng.uniform(-12, 12)]))
            count = int(rng.integers(2, 5))
            same = rng.random() < 0.5
            w, h = SIZES[int(rng.integers(len(SIZES)))]
            if rng.random() < 0.5:
                w, h = h, w
            grid = count == 4 and rng.random() < 0.6
            cells: list[tuple[float, float, float, float]] = []
            down = rng.random() < 0.5
            at = 0.0
            for n in range(count):
                if grid:
                    cells.append((n % 2 * w, n // 2 * h, w, h))
                    continue
                cw, ch = (w, h) if same else SIZES[int(rng.integers(len(SIZES)))]
                slip = 0.0 if rng.random() < 0.4 else rng.uniform(-8, 8)
                if down:
                    cells.append((slip, at, cw, ch))
                    at += ch
                else:
                    cells.append((at, slip, cw, ch))
                    at += cw
            out = []
            a = math.radians(angle)
            for left, top, width, height in cells:
                mx, my = left + width / 2, top + height / 2
                out.append(
                    self.dress(
                        Placed(
                            mx * math.cos(a) - my * math.sin(a),
                            mx * math.sin(a) + my * math.cos(a),
                            width,
                            height,
                            angle,
                        )
                    )
                )
            all_corners = np.vstack([p.quad() for p in out])
            lo, hi = all_corners.min(axis=0), all_corners.max(axis=0)
            room = np.array(GLASS) - 6 - (hi - lo)
            if (room < 0).any():
                continue
            shift = 3 - lo + room * rng.random(2)
            for p in out:
                p.x += shift[0]
                p.y += shift[1]
            return out

    def lay_joined(self) -> list[Placed]:
        """Prints against one side (a bar along it joins them), or in a row with a dark strip between them."""
        rng = self.rng
        if rng.random() < 0.35:
            out = self.lay_touching()
            strip = rng.uniform(3, 12) / 300 * 25.4
            order = sorted(out, key=lambda p: (round(p.y), p.x))
            a = math.radians(out[0].angle)
            axis = np.array([math.cos(a), math.sin(a)])
            ortho = np.array([-math.sin(a), math.cos(a)])
            first = order[0]
            for p in order:
                d = np.array([p.x - first.x, p.y - first.y])
                p.x, p.y = (
                    np.array([p.x, p.y])
                    + axis * strip * np.sign(round(float(d @ axis) / 20))
                    + ortho * strip * np.sign(round(float(d @ ortho) / 20))
                )
            self.notes["strip"] = strip
            return out
        side = int(rng.integers(4))
        along, across = (GLASS[1], GLASS[0]) if side < 2 else GLASS
        at, out = rng.uniform(2, 12), []
        while True:
            p = self.dress(self.random_print(SIZES))
            p.angle = float(rng.choice([0.0, rng.uniform(-0.4, 0.4)]))
            long, deep = (p.h, p.w) if side < 2 else (p.w, p.h)
            if at + long > along - 2 or deep > across - 5 or len(out) == 3:
                break
            mid = deep / 2 + rng.uniform(-0.2, 0.2)
            if side < 2:
                p.y, p.x = at + long / 2, mid if side == 0 else GLASS[0] - mid
            else:
                p.x, p.y = at + long / 2, mid if side == 2 else GLASS[1] - mid
            out.append(p)
            at += long + rng.uniform(3, 12)
        self.notes["bar_side"] = side
        return out

    # -- what lies there ------------------------------------------------------------------------------

    def lid(self) -> Float:
        rng = self.rng
        w, h = self.size
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
        if self.category == "dark_lid":
            a, b = sorted(rng.uniform(5, 190, 2))
            turn = rng.uniform(0, 2 * math.pi)
            ramp = (x * math.cos(turn) + y * math.sin(turn)) / 2.8 + 0.5
            level = a + (b - a) * np.clip(ramp, 0, 1) ** rng.uniform(0.6, 1.8)
        else:
            level = rng.uniform(228, 250) - rng.uniform(0, 8) * (x * x + y * y) / 2
            level += rng.uniform(-3, 3) * x + rng.uniform(-3, 3) * y
        cast = rng.normal(0, 2, 3).astype(np.float32)
        lid = level[:, :, None] * (1 + cast / 200)
        lid += cv2.resize(
            rng.normal(0, 0.4, (40, 30, 3)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC
        )
        return np.asarray(lid, np.float32)

    def worn(self, lid: Float) -> Float:
        """Some lids have a grain, faint stripes, or are smudged."""
        more, (w, h) = self.more, self.size
        if more.random() < 0.25:
            cell = more.uniform(0.4, 1.5) * self.mm
            grain = more.normal(0, more.uniform(0.2, 0.8), (max(2, int(h / cell)), max(2, int(w / cell))))
            lid += cv2.resize(grain.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)[:, :, None]
        if more.random() < 0.2:
            stripes = cv2.GaussianBlur(more.normal(0, 1, (1, w)).astype(np.float32), (0, 0), 0.3 * self.mm)
            lid += (stripes / stripes.std() * more.uniform(0.1, 0.4))[:, :, None]
        for _ in range(int(more.integers(0, 4)) if more.random() < 0.3 else 0):
            smudge = np.zeros((h // 8 + 1, w // 8 + 1), np.float32)
            at = int(more.integers(smudge.shape[1])), int(more.integers(smudge.shape[0]))
            size = int(more.uniform(4, 25) * self.mm / 8) + 1, int(more.uniform(4, 25) * self.mm / 8) + 1
            cv2.ellipse(smudge, at, size, more.uniform(0, 180), 0, 360, 1.0, -1)
            soft = cv2.GaussianBlur(smudge, (0, 0), more.uniform(2, 6) * self.mm / 8)
            lid -= cv2.resize(soft, (w, h))[:, :, None] * more.uniform(0.5, 3)
        return lid

    def about(self, p: Placed) -> tuple[slice, slice]:
        """The rows and columns in which a print lies, bowed or not."""
        w, h = self.size
        x0, y0 = (np.floor(p.quad().min(axis=0) * self.mm) - self.mm).astype(int)
        x1, y1 = (np.ceil(p.quad().max(axis=0) * self.mm) + self.mm).astype(int)
        return slice(max(0, y0), min(h, y1)), slice(max(0, x0), min(w, x1))

    def alpha(self, p: Placed) -> Float:
        cover = np.zeros(self.size[::-1], np.float32)
        cover[self.about(p)] = self.cover(p)
        return cover

    def cover(self, p: Placed) -> Float:
        """How much of every pixel about a print it covers."""
        y, x = np.mgrid[self.about(p)].astype(np.float32)
        a = math.radians(p.angle)
        dx, dy = x + 0.5 - p.x * self.mm, y + 0.5 - p.y * self.mm
        u = dx * math.cos(a) + dy * math.sin(a)
        v = -dx * math.sin(a) + dy * math.cos(a)
        bu, bv = p.w / 2 * self.mm, p.h / 2 * self.mm
        if p.corner:
            r = p.corner * self.mm
            qu, qv = np.abs(u) - bu + r, np.abs(v) - bv + r
            inside = np.minimum(np.maximum(qu, qv), 0) + np.hypot(np.maximum(qu, 0), np.maximum(qv, 0)) - r
            return np.asarray(np.clip(0.5 - inside, 0, 1), np.float32)
        if any(p.bow):
            bu, bv = (
                bu - p.bow[0] * self.mm * (1 - (v / bv) ** 2),
                bv - p.bow[1] * self.mm * (1 - (u / bu) ** 2),
            )
        if p.deckle:
            d, period = p.deckle * self.mm, 2.6 * self.mm
            bu = bu - d * (0.5 + 0.5 * np.sin(2 * math.pi * v / period))
            bv = bv - d * (0.5 + 0.5 * np.sin(2 * math.pi * u / period))
        cover = np.clip(0.5 + bu - np.abs(u), 0, 1) * np.clip(0.5 + bv - np.abs(v), 0, 1)
        return np.asarray(cover, np.float32)

    def shade(self, lid: Float, alphas: list[Float]) -> Float:
        rng = self.rng
        if not alphas:
            return lid
        covered = np.maximum.reduce(alphas)
        out = lid.copy()
        if rng.random() < 0.8:
            out *= 1 - rng.uniform(0.03, 0.25) * self.spread(covered, rng.uniform(0.2, 1.2))[:, :, None]
        if rng.random() < 0.3:
            out += rng.uniform(2, 14) * self.spread(covered, rng.uniform(0.3, 2.0))[:, :, None]
        return np.asarray(np.clip(out, 0, 255), np.float32)

    def spread(self, covered: Float, reach: float) -> Float:
        """The prints' outline moved and blurred by up to `reach` mm: a lamp's shadow, or glare."""
        rng = self.rng
        sx, sy = rng.uniform(-reach, reach, 2) * self.mm
        moved = cv2.warpAffine(covered, np.array([[1, 0, sx], [0, 1, sy]], np.float32), self.size)
        return np.asarray(cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.3, 1) * reach * self.mm), np.float32)

    def texture(self, size: tuple[int, int], p: Placed) -> Float:
        rng = self.rng
        photo = photographs.pick(rng)
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        w, h = size
        have_h, have_w = photo.shape[:2]
        k = min(have_w / w, have_h / h) * rng.uniform(0.6, 1)
        cw, ch = max(8, int(w * k)), max(8, int(h * k))
        x, y = int(rng.integers(have_w - cw + 1)), int(rng.integers(have_h - ch + 1))
        cut = photo[y : y + ch, x : x + cw]
        how = cv2.INTER_AREA if k > 1 else cv2.INTER_CUBIC
        out: Float = np.clip(cv2.resize(cut, (w, h), interpolation=how).astype(np.float32), 0, 255) / 255
        if p.grey:
            out = np.repeat(out.mean(axis=2, keepdims=True), 3, axis=2)
        black, white = rng.uniform(8, 30), rng.uniform(225, 250)
        mid = rng.uniform(0.4, 0.7)
        out = (out ** rng.uniform(0.8, 1.3) - mid) * p.contrast + mid
        return np.asarray(black + (white - black) * out, np.float32)

    def paint(self, canvas: Float, p: Placed, alpha: Float) -> Float:
        rng = self.rng
        w, h = max(8, round(p.w * self.mm)), max(8, round(p.h * self.mm))
        face = self.texture((w, h), p)
        paper = np.asarray(rng.uniform(228, 252) + rng.normal(0, 2, 3), np.float32)
        paper = paper - np.asarray([0.15, 0.4, 1.0], np.float32) * p.yellow
        if p.fade:
            y, x = np.mgrid[0:h, 0:w].astype(np.float32)
            sides = [x, w - 1 - x, y, h - 1 - y]
            near = np.minimum.reduce([s for s in sides if rng.random() < 0.6] or sides[2:3])
            keep = np.clip(near / (p.fade * self.mm), 0, 1)[:, :, None] ** 0.7
            face = face * keep + paper * (1 - keep)
        if p.border:
            b, foot = round(p.border * self.mm), round((p.foot or p.border) * self.mm)
            framed = np.empty_like(face)
            framed[:] = paper
            inner = cv2.resize(face, (max(4, w - 2 * b), max(4, h - b - foot)), interpolation=cv2.INTER_AREA)
            framed[b : b + inner.shape[0], b : b + inner.shape[1]] = inner
            face = framed
        a = math.radians(p.angle)
        c, s = math.cos(a), math.sin(a)
        kx, ky = p.w * self.mm / w, p.h * self.mm / h
        move = np.array([[c * kx, -s * ky], [s * kx, c * ky]])
        # Pixel centres lie at +0.5 on both sides; cv2 counts them as whole numbers.
        shift = np.array([p.x, p.y]) * self.mm - move @ [w / 2, h / 2] + move @ [0.5, 0.5] - 0.5
        warp = np.hstack([move, shift[:, None]])
        here = self.about(p)
        warp[:, 2] -= here[1].start, here[0].start
        size = here[1].stop - here[1].start, here[0].stop - here[0].start
        laid = cv2.warpAffine(face, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        canvas[here] += (laid - canvas[here]) * alpha[here][:, :, None]
        return canvas

    def letter(self, canvas: Float) -> tuple[Float, Quad]:
        """A typed page, from a note to a full sheet, perhaps askew, perhaps with a ruled box."""
        rng = self.rng
        w, h = self.size
        full = rng.random() < 0.5
        pw, ph = GLASS if full else (float(rng.uniform(100, 200)), float(rng.uniform(120, 285)))
        angle = 0.0 if full else float(rng.uniform(-3, 3))
        p = Placed(GLASS[0] / 2, GLASS[1] / 2, pw, ph, angle)
        page = np.full((h, w, 3), int(rng.integers(236, 254)), np.uint8)
        ink = int(rng.integers(10, 90))
        size = rng.uniform(2.2, 4.5) * self.mm
        left, top = (GLASS[0] - pw) / 2 * self.mm + 15 * self.mm, (GLASS[1] - ph) / 2 * self.mm + 18 * self.mm
        right, foot = w - left, h - top
        words = [
            "Dear",
            "Mother",
            "the",
            "garden",
            "is",
            "in",
            "full",
            "bloom",
            "and",
            "we",
            "thought",
            "of",
            "you",
        ]
        y = top
        font = int(
            rng.choice([cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX])
        )
        while y < foot:
            if rng.random() < 0.12:
                y += size * 2
            x = left
            stop = right if rng.random() < 0.85 else left + (right - left) * rng.random()
            while x < stop:
                word = str(rng.choice(words))
                scale = size / 30
                thick = max(1, round(size / 12))
                (tw, _), _ = cv2.getTextSize(word, font, scale, thick)
                if x + tw > right:
                    break
                cv2.putText(page, word, (int(x), int(y)), font, scale, (ink, ink, ink), thick, cv2.LINE_AA)
                x += tw + size * 0.6
            y += size * 1.7
        if rng.random() < 0.3:
            box = np.array([left, top - 10 * self.mm, right, top - 4 * self.mm]).astype(int)
            cv2.rectangle(page, (box[0], box[1]), (box[2], box[3]), (ink, ink, ink), max(1, int(self.mm / 3)))
        sheet = page.astype(np.float32)
        if full:
            return sheet, _frame(self.size)
        alpha = self.alpha(p)[:, :, None]
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), -angle, 1)
        turned = cv2.warpAffine(sheet, turn, self.size, borderMode=cv2.BORDER_REPLICATE)
        canvas = self.shade(canvas, [alpha[:, :, 0]])
        return np.asarray(canvas + (turned - canvas) * alpha, np.float32), p.quad() * self.mm

    # -- what the machine adds ------------------------------------------------------------------------

    def soil(self, canvas: Float) -> None:
        rng = self.rng
        w, h = self.size
        for _ in range(int(rng.integers(0, 40))):
            at = (int(rng.integers(w)), int(rng.integers(h)))
            tone = float(rng.uniform(60, 255))
            cv2.circle(
                canvas, at, int(rng.integers(1, max(2, int(self.mm / 4)))), (tone,) * 3, -1, cv2.LINE_AA
            )
        for _ in range(int(rng.integers(0, 4))):
            start = rng.random(2) * [w, h]
            steps = np.cumsum(rng.normal(0, 1, (30, 2)), axis=0)
            hair = start + np.cumsum(steps, axis=0) * self.mm * 0.03
            tone = float(rng.uniform(30, 140))
            cv2.polylines(
                canvas, [hair.astype(np.int32)], False, (tone,) * 3, max(1, int(self.mm / 12)), cv2.LINE_AA
            )
        for _ in range(int(rng.integers(0, 3))):
            a, b = (rng.random((2, 2)) * [w, h]).astype(int)
            b = a + np.clip(b - a, -300, 300)
            cv2.line(canvas, tuple(map(int, a)), tuple(map(int, b)), (250.0,) * 3, 1, cv2.LINE_AA)

    def draw_bars(self, canvas: Float, prints: list[Placed]) -> None:
        rng = self.rng
        self.bar_blur = float(self.more.uniform(1, 3) * max(1.0, self.dpi / 300))
        if "strip" in self.notes:
            self.draw_strip(canvas, prints)
            return
        sides = [self.notes["bar_side"]] if "bar_side" in self.notes else []
        sides += (
            [s for s in range(4) if s not in sides and rng.random() < 0.35]
            if self.category != "joined_by_bar"
            else []
        )
        for side in sides or [int(rng.integers(4))]:
            length = self.size[1] if side < 2 else self.size[0]
            deep = rng.uniform(3, 12) / 300 * self.dpi
            wave = np.interp(np.arange(length), np.linspace(0, length, 5), rng.uniform(-1, 1, 5))
            depth = deep + wave * (rng.uniform(0, 2) if rng.random() < 0.5 else 0)
            if self.category != "joined_by_bar" and rng.random() < 0.4:
                a, b = sorted(rng.integers(0, length, 2))
                depth[:a] = 0
                depth[b:] = 0
            level = rng.uniform(0, 110) + rng.normal(0, 2, length)
            self.bar(canvas, side, np.maximum(depth, 0), level)

    def bar(self, canvas: Float, side: int, depth: NDArray[Any], level: NDArray[Any]) -> None:
        view, mask = canvas, self.bars
        if side == 1:
            view, mask = canvas[:, ::-1], mask[:, ::-1]
        elif side == 2:
            view, mask = canvas.transpose(1, 0, 2), mask.T
        elif side == 3:
            view, mask = canvas[::-1].transpose(1, 0, 2), mask[::-1].T
        reach = min(view.shape[1], int(np.ceil(depth.max())) + 1)
        soft = self.bar_blur
        cover = np.clip((depth[:, None] - np.arange(reach)[None, :]) / soft, 0, 1)[:, :, None]
        view[:, :reach] += (level[:, None, None] - view[:, :reach]) * cover
        mask[:, :reach] |= cover[:, :, 0] > 0.5

    def draw_strip(self, canvas: Float, prints: list[Placed]) -> None:
        """The dark gap between two neighbours, filled along the length that they share."""
        rng = self.rng
        level = float(rng.uniform(0, 70))
        strip = float(self.notes["strip"])
        for i, p in enumerate(prints):
            for q in prints[i + 1 :]:
                a = math.radians(p.angle)
                axis, ortho = np.array([math.cos(a), math.sin(a)]), np.array([-math.sin(a), math.cos(a)])
                d = np.array([q.x - p.x, q.y - p.y])
                du, dv = float(d @ axis), float(d @ ortho)
                gap_u, gap_v = abs(du) - (p.w + q.w) / 2, abs(dv) - (p.h + q.h) / 2
                if abs(gap_u - strip) < 0.3 and gap_v < -5:
                    lo, hi = max(-p.h / 2, dv - q.h / 2), min(p.h / 2, dv + q.h / 2)
                    mid = math.copysign(p.w / 2 + strip / 2, du)
                    box = Placed(0, 0, strip, hi - lo, p.angle)
                    at = np.array([p.x, p.y]) + axis * mid + ortho * (lo + hi) / 2
                elif abs(gap_v - strip) < 0.3 and gap_u < -5:
                    lo, hi = max(-p.w / 2, du - q.w / 2), min(p.w / 2, du + q.w / 2)
                    mid = math.copysign(p.h / 2 + strip / 2, dv)
                    box = Placed(0, 0, hi - lo, strip, p.angle)
                    at = np.array([p.x, p.y]) + ortho * mid + axis * (lo + hi) / 2
                else:
                    continue
                box.x, box.y = float(at[0]), float(at[1])
                alpha = self.alpha(box)
                canvas += (level - canvas) * alpha[:, :, None]
                self.bars |= alpha > 0.5

    def digitise(self, canvas: Float) -> NDArray[Any]:
        rng = self.rng
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.45, 0.9) * max(1.0, self.dpi / 300))
        canvas = canvas + rng.normal(0, 1, canvas.shape).astype(np.float32) * np.float32(
            rng.uniform(0.4, 2.5)
        )
        deep = rng.random() < 0.08
        if rng.random() < 0.12:
            canvas = canvas @ np.array([0.299, 0.587, 0.114], np.float32)
        if deep:
            return np.asarray(np.clip(canvas * 257, 0, 65535).astype(np.uint16))
        out = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
        if rng.random() < 0.5:
            quality = int(rng.integers(78, 96))
            self.notes["jpeg"] = quality
            _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
            return np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED))
        return np.asarray(out)


def _frame(size: tuple[int, int]) -> Quad:
    w, h = size
    return np.array([[0, 0], [w, 0], [w, h], [0, h]], float)


def _apart(a: Quad, b: Quad, gap: float) -> bool:
    """Whether two convex quads keep `gap` mm between them, along one of their sides' normals."""
    for quad in (a, b):
        for n in range(4):
            edge = quad[(n + 1) % 4] - quad[n]
            normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
            pa, pb = a @ normal, b @ normal
            if pa.max() + gap <= pb.min() or pb.max() + gap <= pa.min():
                return True
    return False
