"""From a rough rectangle to the print's own: every side found, and the four brought to agree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bridge.scans import edges, paper
from bridge.scans.arrays import Array
from bridge.scans.band import Scene
from bridge.scans.bars import Bars
from bridge.scans.boxes import OWN
from bridge.scans.edges import Side
from bridge.scans.geometry import Points, Quad, meet, tilt
from bridge.scans.line import Line
from bridge.scans.rim import rim
from bridge.scans.seams import Leaf
from bridge.scans.teeth import teeth

AGREE = math.radians(0.3)
BAR_WEDGE_MM = 1.05
BORDER_MM = 1.5
FOOT_MM = 26.0
UNSURE = 0.75
DOUBT = 0.8
PERHAPS_MORE = "may be more than one photo"
CLEAR = 0.6
ALIKE_MM = 2.0
CONTRAST, STRAIGHT = 3.0, 0.5
PLAIN = 10.0
GLARES_MM = 0.9, 1.7
SHADED_MM = tuple(0.8 * n for n in range(2, 11))


@dataclass
class Found:
    """A print: `bounded` when it was clearly seen to end against the lid; `reach` is by how many millimetres
    a side lies outside its rough place."""

    quad: Quad
    confidence: float
    bounded: bool
    reach: float
    notes: list[str] = field(default_factory=list)


def settle(scene: Scene, blocked: Array, leaf: Leaf, bars: Bars) -> Found:
    lines = [_line(scene, blocked, leaf, bars, n) for n in range(4)]
    if not _leave_lid(scene, blocked, leaf, lines):
        _look_for_borders(scene, blocked, leaf, lines)
    differ = _share_borders(scene, blocked, leaf, lines)
    quad = _agree(lines, leaf.quad, BAR_WEDGE_MM * scene.mm)
    facing = [line.side for line, edge in zip(lines, leaf.edges, strict=True) if line.side and edge == "own"]
    bounded = _is_bounded(facing, quad)
    confidence = _confidence(lines, leaf)
    if differ:
        confidence = min(confidence, UNSURE)
    notes = []
    if leaf.doubt > DOUBT:
        confidence = min(confidence, UNSURE)
        notes.append(PERHAPS_MORE)
    reach = max(line.outward(leaf.quad, n) for n, line in enumerate(lines)) / scene.mm
    return Found(quad, confidence, bounded, reach, notes)


def _is_bounded(facing: list[Side], quad: Quad) -> bool:
    """Whether these sides are a print's: two of them clear, or one, where the print fills the rest of the
    glass and hence lies straight. A roof against the sky is a side, too."""
    clear = [side for side in facing if side.support > CLEAR or side.straight > 0.8]
    if len(facing) == 1:
        return len(clear) == 1 and clear[0].support > 0.85 and abs(tilt(quad)) < 3.0
    return len(clear) >= 2


def _line(scene: Scene, blocked: Array, leaf: Leaf, bars: Bars, n: int) -> Line:
    a, b = leaf.quad[n], leaf.quad[(n + 1) % 4]
    along = (b - a) / np.hypot(*(b - a))
    hidden = _bar_line(scene, bars, a, b)
    if hidden is not None:
        return hidden
    if leaf.edges[n] == "strip":
        return Line((a + b) / 2, along, 0.0, bar=True)
    own = leaf.edges[n] == "own"
    side = edges.find_side(scene, blocked, a, b, (8.0, 6.0) if own else (1.6, 1.6), clearest=not own)
    if side is None:
        return Line((a + b) / 2, along, 0.0, off=not _on_scan(scene, (a + b) / 2))
    return Line.of(side) if side.support > 0.2 else Line(side.point, side.along, 0.0, side=side)


def _look_for_borders(scene: Scene, blocked: Array, leaf: Leaf, lines: list[Line]) -> None:
    """Where a side turned out to have a border hardly told from the lid, look harder for the others."""
    out = [line.outward(leaf.quad, n) / scene.mm for n, line in enumerate(lines)]
    if max(out) <= BORDER_MM:
        return
    for n, line in enumerate(lines):
        if out[n] > BORDER_MM or leaf.edges[n] != "own" or line.bar or line.off:
            continue
        a, b = leaf.quad[n], leaf.quad[(n + 1) % 4]
        side = edges.find_side(scene, blocked, a, b, (FOOT_MM, 0.5), least=0.25)
        if side is not None and side.support > 0.25:
            found = Line.of(side)
            if found.outward(leaf.quad, n) > BORDER_MM * scene.mm:
                lines[n] = found


def _free(leaf: Leaf, lines: list[Line]) -> list[int]:
    """The sides that lie against the lid, on the scan, clear of bars."""
    return [n for n, line in enumerate(lines) if leaf.edges[n] == "own" and not line.bar and not line.off]


def _share_borders(scene: Scene, blocked: Array, leaf: Leaf, lines: list[Line]) -> bool:
    """Where some sides have a border, find or lend it to those that lie at the picture's own edge.

    True where that leaves a doubt: a border that was lent unseen, or that a side does not have.
    """
    free = _free(leaf, lines)
    ends = {n: lines[n].ends(leaf.quad, n) for n in free}
    borders = [paper.border_inside(scene, *ends[n]) for n in free]
    common = paper.same(borders) or paper.all_round(scene, blocked, list(ends.values()))
    if common is None:
        return _follow_rim(scene, blocked, leaf, lines)
    _follow_paper(scene, blocked, leaf, lines, dict(zip(free, borders, strict=True)), common)
    ends = {n: lines[n].ends(leaf.quad, n) for n in free}
    doubt, several = False, sum(border is not None for border in borders) > 1
    seen = [lines[n].side for n, border in zip(free, borders, strict=True) if border is not None]
    clear = any(
        side is not None and max(side.contrast / CONTRAST, side.straight / STRAIGHT) > 1 for side in seen
    )
    for n, border in zip(free, borders, strict=True):
        if border is not None or paper.is_inside(scene, *ends[n], common.tone):
            continue
        width = paper.width_outside(scene, blocked, *ends[n], common.tone)
        doubt |= width is None or (several and width < paper.LEAST_MM)
        if width is None and (several or clear):
            lines[n] = lines[n].guessed(common.width * scene.mm)
        elif width is not None and width >= paper.LEAST_MM:
            lines[n] = lines[n].guessed(width * scene.mm)
            a, b = lines[n].ends(leaf.quad, n)
            side = edges.find_side(scene, blocked, a, b, (1.0, 1.0), least=0.2)
            if side is not None and side.support > 0:
                lines[n] = Line.of(side)
            else:
                doubt = True
                if abs(width - common.width) < ALIKE_MM:
                    lines[n] = lines[n].guessed((common.width - width) * scene.mm)
    return doubt


def _follow_rim(scene: Scene, blocked: Array, leaf: Leaf, lines: list[Line]) -> bool:
    """Where all sides are a picture's own: out to the rim of a border of the lid's tone, if there is one."""
    found = ((n, _to_picture(scene, blocked, leaf, lines[n], n)) for n in _free(leaf, lines))
    own = {n: line for n, line in found if line is not None}
    if len(own) < 4:
        return False
    rims = rim(scene, blocked, [line.ends(leaf.quad, n) for n, line in own.items()])
    for (n, line), out in zip(own.items(), rims, strict=False):
        lines[n] = line.outwards(out * scene.mm)
    return bool(rims)


def _leave_lid(scene: Scene, blocked: Array, leaf: Leaf, lines: list[Line]) -> bool:
    """Bring a side that is hardly seen in to the picture's own edge, where all the others have no border.

    What lies between is glare, or lid behind a stripe on the glass: no print has a border on one side.
    """
    free = _free(leaf, lines)
    faint = [n for n in free if lines[n].side is not None and lines[n].contrast < CONTRAST]
    plain = [n for n in free if lines[n].contrast > PLAIN]
    if len(faint) != 1 or len(plain) < 2:
        return False
    (n,) = faint
    border, *others = [paper.border_inside(scene, *lines[k].ends(leaf.quad, k)) for k in faint + plain]
    if any(others):
        return False
    depths: tuple[float, ...] = ()
    if border is None and lines[n].weight == 0:
        depths = GLARES_MM
    elif border is not None and paper.is_lid(scene, *lines[n].ends(leaf.quad, n), border):
        depths = (border.width,)
    picture = _picture_within(scene, blocked, leaf, lines[n], n, depths)
    if picture is not None:
        lines[n] = picture
    return picture is not None


def _to_picture(scene: Scene, blocked: Array, leaf: Leaf, line: Line, n: int) -> Line | None:
    """A side that is a picture's own edge, or that edge further in where the side is where a shadow ends."""
    if line.contrast > PLAIN:
        return line
    return None if line.weight > 0 else _picture_within(scene, blocked, leaf, line, n, SHADED_MM)


def _picture_within(
    scene: Scene, blocked: Array, leaf: Leaf, line: Line, n: int, depths: tuple[float, ...]
) -> Line | None:
    for deep in depths:
        inner = line.guessed(-deep * scene.mm)
        side = edges.find_side(scene, blocked, *inner.ends(leaf.quad, n), (0.6, 0.6), clearest=True)
        if side is not None and side.support > CLEAR and side.contrast > PLAIN:
            return Line.of(side)
    return None


def _follow_paper(
    scene: Scene,
    blocked: Array,
    leaf: Leaf,
    lines: list[Line],
    borders: dict[int, paper.Border | None],
    common: paper.Border,
) -> None:
    """A side that is only where the lid ends may be where a shadow or glare does; the paper tells."""
    have = [
        border or paper.is_inside(scene, *lines[n].ends(leaf.quad, n), common.tone)
        for n, border in borders.items()
    ]
    if sum(map(bool, have)) < 2:
        return
    for n, border in borders.items():
        if lines[n].weight > 0:
            continue
        deep = paper.begins(scene, blocked, *lines[n].ends(leaf.quad, n), border or common)
        if deep is None:
            continue
        line = lines[n].guessed(-deep * scene.mm)
        ends = line.ends(leaf.quad, n)
        side = edges.find_side(scene, blocked, *ends, (0.6, 0.6), clearest=True)
        if side is not None and side.support > 0.3:
            line = Line.of(side)
        lines[n] = line.outwards(teeth(scene, blocked, *line.ends(leaf.quad, n)))


def _on_scan(scene: Scene, point: Points) -> bool:
    h, w = scene.pixels.shape[:2]
    near = 0.5 * scene.mm
    return bool(near < point[0] < w - near and near < point[1] < h - near)


def _bar_line(scene: Scene, bars: Bars, a: Points, b: Points) -> Line | None:
    """The inner edge of a bar that this side runs along, if it does."""
    h, w = scene.pixels.shape[:2]
    mid, along = (a + b) / 2, (b - a) / np.hypot(*(b - a))
    near = 2.0 * scene.mm
    upright = abs(along[1]) > abs(along[0])
    if abs(along[0] if upright else along[1]) > 0.05:
        return None
    borders = (
        ((bars.left, 0.0, 1.0), (bars.right, float(w), -1.0))
        if upright
        else (
            (bars.top, 0.0, 1.0),
            (bars.bottom, float(h), -1.0),
        )
    )
    axis = 1 if upright else 0
    for depth, border, inward in borders:
        lo, hi = sorted((int(a[axis]), int(b[axis])))
        here = depth[max(0, lo) : max(1, hi)]
        if not here.size or (here > 0).mean() < 0.3:
            continue
        deepest = float(here.max()) + 0.5
        place = border + inward * deepest
        if abs(mid[1 - axis] - place) < near:
            point = mid.copy()
            point[1 - axis] = place
            straight = np.zeros(2)
            straight[axis] = math.copysign(1, along[axis])
            return Line(point, straight, 0.0, bar=True)
    return None


def _agree(lines: list[Line], rough: Quad, most: float) -> Quad:
    """A rectangle where the sides that were seen are square to each other; else the quad that they make."""
    turns = [math.atan2(line.along[1], line.along[0]) - n * math.pi / 2 for n, line in enumerate(lines)]
    turns = [(turn + math.pi) % (2 * math.pi) - math.pi for turn in turns]
    known = [(turn, line.weight) for turn, line in zip(turns, lines, strict=True) if line.weight > 0]
    if known:
        best = max(known, key=lambda k: sum(w for t, w in known if abs(t - k[0]) < AGREE))[0]
        close = [(t, w) for t, w in known if abs(t - best) < AGREE]
        turn = sum(t * w for t, w in close) / sum(w for _, w in close)
    else:
        edge = rough[1] - rough[0]
        turn = math.atan2(edge[1], edge[0])
    skew = [
        abs(t - turn) > AGREE and line.weight > 0 and (line.side is not None and line.side.support > 0.6)
        for t, line in zip(turns, lines, strict=True)
    ]
    directions = []
    for n, line in enumerate(lines):
        ahead = turn + n * math.pi / 2
        directions.append(line.along if skew[n] else np.array([math.cos(ahead), math.sin(ahead)]))
    points = [_clear_of_bar(lines[n], directions[n], rough, n, most) for n in range(4)]
    return np.array([meet(points[n - 1], directions[n - 1], points[n], directions[n]) for n in range(4)])


def _clear_of_bar(line: Line, direction: Points, rough: Quad, n: int, most: float) -> Points:
    """A point to run through.

    Where a bar hides the side: the one that leaves all of the bar outside, unless the print is so askew that
    it would lose more than `most` pixels; then all of the print is kept.
    """
    if not line.bar:
        return line.point
    half = np.hypot(*(rough[(n + 1) % 4] - rough[n])) / 2
    inward = np.array([-direction[1], direction[0]])
    ends = sorted((line.point + line.along * s for s in (-half, half)), key=lambda p: float(p @ inward))
    wedge = float((ends[1] - ends[0]) @ inward)
    return np.asarray(ends[1] if wedge <= most else ends[0])


def _confidence(lines: list[Line], leaf: Leaf) -> float:
    """How sure each side is, the least sure counting most."""
    scores = []
    for line in lines:
        if line.bar or line.off:
            scores.append(0.9)
        elif line.side is None:
            scores.append(0.5)
        else:
            scores.append(0.6 + 0.4 * min(1.0, line.side.support / 0.7))
    return round(float(min(scores) * 0.7 + np.mean(scores) * 0.3) * (0.9 if leaf.edges != OWN else 1.0), 3)
