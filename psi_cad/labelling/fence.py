"""How a label is broken into lines, and where it fits on the outer sides of a guide's fences."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from psi_cad.brep import label
from psi_cad.brep.slab import Slab, rise_along
from psi_cad.frames import Frame
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Bools, Mm

__all__ = ["LEAST", "STEP", "LabelPatch", "Side", "Words", "place_label", "reserved", "sides_of"]

LARGEST: Final[Mm] = 3.2
MARGIN: Final[Mm] = 0.6
LEAST: Final[Mm] = 2.5  # an FDM bead is about 0.4 mm wide; letters below this run together
PIECE: Final = 14  # characters; a longer piece of an id is broken where it has no hyphen
STEP: Final[Mm] = 1.0  # between stations along a fence
OFF_SLEEVE: Final[Mm] = 0.4  # between a sleeve and the face beside it
LOWEST: Final[Mm] = 0.8  # of a window for text
AXIS_POINTS: Final = 11  # of a sleeve, looked at one by one


@dataclass(frozen=True)
class Words:
    """What a label says, in pieces that may stand on lines of their own; a piece that ends its word is followed by a space.

    `tokens` numbers the pieces that begin a token: the best places to break.
    """

    pieces: tuple[str, ...]
    ends: tuple[bool, ...]
    tokens: tuple[int, ...]

    @classmethod
    def of(cls, tokens: tuple[str, ...]) -> Words:
        """The words of `tokens`, which break at spaces, after hyphens, and where a piece would be longer than `PIECE`."""
        pieces: list[str] = []
        ends: list[bool] = []
        starts: list[int] = []
        for token in tokens:
            starts.append(len(pieces))
            for word in token.split():
                parts = [part[at : at + PIECE] for part in re.findall(r"[^-]*-|[^-]+", word) for at in range(0, len(part), PIECE)]
                pieces += parts
                ends += [False] * (len(parts) - 1) + [True]
        return cls(tuple(pieces), tuple(ends), tuple(starts))

    def said(self, low: int, high: int) -> str:
        """The pieces `low` to `high` as one line."""
        return "".join(piece + " " * end for piece, end in zip(self.pieces[low:high], self.ends[low:high], strict=True)).rstrip()

    def whole(self) -> list[list[int]]:
        """Every way to break between tokens, as the pieces at which lines begin and the number of pieces."""
        inner = self.tokens[1:]
        return [[0, *cuts, len(self.pieces)] for r in range(len(inner) + 1) for cuts in itertools.combinations(inner, r)]

    def wrapped(self) -> list[list[int]]:
        """Ways to fill lines up to some width and break anywhere between pieces, the fewest lines first."""
        n = len(self.pieces)
        widths = {label.text_width(self.said(a, b)) for a in range(n) for b in range(a + 1, n + 1)}
        longest = max(label.text_width(piece) for piece in self.pieces)
        found: dict[int, list[int]] = {}
        for width in sorted(w for w in widths if w >= longest - 1e-9):
            edges = [0]
            for piece in range(1, n + 1):
                if label.text_width(self.said(edges[-1], piece)) > width + 1e-9:
                    edges.append(piece - 1)
            found.setdefault(len(edges), [*edges, n])  # the narrowest that needs so many lines
        return [found[lines] for lines in sorted(found)]

    def narrowest(self) -> list[list[int]]:
        """For each number of lines the narrowest way to break, between tokens if that is hardly wider."""
        found: dict[int, tuple[float, list[int]]] = {}
        for allowance, ways in ((1.0, self.whole()), (1.15, self.wrapped())):
            for edges in ways:
                width = allowance * max(label.text_width(self.said(a, b)) for a, b in itertools.pairwise(edges))
                if len(edges) not in found or width < found[len(edges)][0]:
                    found[len(edges)] = width, edges
        return [found[count][1] for count in sorted(found)]


def reserved(tokens: tuple[str, ...], blade: str) -> tuple[str, ...]:
    """`tokens` with a wide character for every letter and digit of the one that names the blade.

    Room is made for these, so that blades whose ids are of one shape have pads of one size, and share a body.
    """
    return tuple(re.sub("[^-. ]", "0", token) if token.split(" ")[0] == blade else token for token in tokens)


@dataclass(frozen=True)
class Side:
    """One outer side of a fence: windows (length, height, s, u, slope) in which a straight text block fits.

    At stations `s`, a text starts above `lower` (footplate, seat), and the fence's own top is at `top`, along the blade; some of them are
    `bridged`: there the slot behind the side is none; others `pierced`: a sleeve would come through a face there.
    """

    slab: Slab
    sign: int
    windows: Array
    s: Array
    lower: Array
    top: Array
    bridged: Bools
    pierced: Bools

    def face(self, s: Mm, u: Mm, slope: float, pad: Mm) -> Frame:
        """The frame of a flat face on this side, `pad` proud of it, whose lines slope by `slope`: z out of it, y up."""
        normal, along, blade = self.slab.frame.axes * np.array([[self.sign], [self.sign], [1.0]])
        run = (along + self.sign * slope * blade) / np.hypot(1.0, slope)
        origin = self.slab.frame.patient(np.array([self.sign * (self.slab.half_width + pad), s, u]))
        return Frame(origin=origin, axes=np.stack([run, np.cross(normal, run), normal]))


@dataclass(frozen=True)
class LabelPatch:
    """Some lines of the label on one flat face: `frame` (z out of it, y up), the face's size and letter height (mm)."""

    frame: Frame
    lines: tuple[str, ...]
    letter_height: Mm
    condensed: float
    width: Mm
    height: Mm


def sides_of(
    seat: HeightSpline,
    slab: Slab,
    *,
    plate: shapely.Geometry,
    plate_thickness: Mm,
    height: Mm,
    edge_break: Mm,
    pad: Mm,
    span: tuple[Mm, Mm],
    bridges: Sequence[tuple[Mm, Mm]] = (),
    sleeves: Sequence[tuple[Array, Mm]] = (),
) -> list[Side]:
    """Both outer sides of a fence, between the footplate below and the broken top edge above, for s in `span`.

    `bridges` cross its slot; `sleeves`, the two ends of an axis (2, 3) and a radius each, may stand before it.
    """
    found = []
    s = np.arange(span[0] + 1.0, span[1] - 1.0, STEP)
    if len(s) < 4:
        return []
    bridged = np.zeros(len(s), dtype=bool)
    for low, high in bridges:
        bridged |= (s > low - STEP) & (s < high + STEP)
    for sign in (1, -1):
        wall = np.column_stack([np.full(len(s), sign * slab.half_width), s])
        proud = np.column_stack([np.full(len(s), sign * (slab.half_width + pad)), s])
        rise_wall, rise_proud = rise_along(seat, slab, wall), rise_along(seat, slab, proud)
        feet = slab.frame.patient(np.column_stack([proud, rise_proud]))
        plate_top = np.where(shapely.contains_xy(plate.buffer(0.5), feet[:, 0], feet[:, 1]), plate_thickness * seat.steepness(feet[:, :2]), 0.0)
        lower = np.maximum(rise_wall, rise_proud) + plate_top + 0.4
        top = rise_along(seat, slab, np.column_stack([np.zeros(len(s)), s])) + height
        upper = np.minimum(top - edge_break - 0.3, rise_wall + height - 0.2)
        pierced = _pierced(slab, sign * (slab.half_width + pad), s, sleeves)
        found.append(Side(slab, sign, _windows(s, lower, np.where(pierced, -np.inf, upper)), s, lower, top, bridged, pierced))
    return found


def _pierced(slab: Slab, face: Mm, s: Array, sleeves: Sequence[tuple[Array, Mm]]) -> Bools:
    """At which stations (n,) a sleeve comes through a flat face at `face` beside the slot: a fence may lean towards it."""
    found = np.zeros(len(s), dtype=bool)
    for ends, radius in sleeves:
        axis = slab.frame.local(np.linspace(ends[0], ends[1], AXIS_POINTS))
        near = np.abs(axis[:, 0] - face) < radius + OFF_SLEEVE
        found |= (np.abs(s[:, None] - axis[None, near, 1]) < radius + OFF_SLEEVE).any(axis=1)
    return found


def _windows(s: Array, lower: Array, upper: Array) -> Array:
    """Every stretch between every other station in which a text could stand, all at once: see `Side`."""
    blocked = np.isneginf(upper)
    start, end = (column.ravel() for column in np.meshgrid(np.arange(0, len(s) - 3, 2), np.arange(4, len(s) + 1, 2), indexing="ij"))
    keep = end - start >= 4
    start, end = start[keep], end[keep]
    within = (np.arange(len(s)) >= start[:, None]) & (np.arange(len(s)) < end[:, None])
    free = ~(within & blocked).any(axis=1)
    start, end, within = start[free], end[free], within[free]
    share = within / within.sum(axis=1, keepdims=True)
    middle = np.where(blocked, 0.0, (lower + upper) / 2.0)
    away, off = s - s.mean(), middle - middle.mean()
    mean_s = share @ away
    slope = (share @ (away * off) - mean_s * (share @ off)) / (share @ away**2 - mean_s**2)  # of the line that fits the middles best
    tilt = slope[:, None] * (away - mean_s[:, None])
    low, high = np.where(within, lower - tilt, -np.inf).max(axis=1), np.where(within, upper - tilt, np.inf).min(axis=1)
    cosine = 1.0 / np.hypot(1.0, slope)
    rows = np.column_stack(
        [
            (s[end - 1] - s[start]) / cosine - np.abs(slope) * (high - low),
            (high - low) * cosine,
            mean_s + s.mean(),
            (low + high) / 2.0,
            slope,
        ]
    )
    return np.asarray(rows[high - low > LOWEST])


def _best(side: Side, lines: Sequence[str]) -> tuple[Mm, int]:
    """(letter height, window number) of the largest letters for `lines` on `side`."""
    if len(side.windows) == 0:
        return 0.0, -1
    width = max(label.text_width(line) for line in lines)
    tall = (len(lines) - 1) * label.LINE_PITCH + 1.2
    heights = np.minimum((side.windows[:, 0] - 2 * MARGIN) / (width * label.NARROWEST), (side.windows[:, 1] - 2 * MARGIN * 0.6) / tall)
    best = int(np.argmax(np.round(heights, 3) - 1e-4 * np.abs(side.windows[:, 4])))
    return float(min(heights[best], LARGEST)), best


def place_label(sides: Sequence[Side], words: Words, *, reserve: Words, pad: Mm) -> list[LabelPatch]:
    """The label on pads, `pad` thick, on one side of a fence, or shared by both sides where only then letters are high enough.

    `reserve` is what room is made for: the words of the longest blade id that shares the body.
    """
    best: tuple[float, list[tuple[Side, list[int], int]]] = (0.0, [])
    for arrangements in (reserve.whole(), reserve.wrapped()):
        if best[0] >= LEAST:
            break
        for edges in arrangements:
            lines = [reserve.said(a, b) for a, b in itertools.pairwise(edges)]
            for side in sides:
                size, window = _best(side, lines)
                if size > best[0] * 1.001:
                    best = (size, [(side, edges, window)])
        if best[0] >= LEAST:
            break
        for one, two in itertools.pairwise(sides):
            if one.slab is not two.slab:
                continue
            for edges in arrangements:
                lines = [reserve.said(a, b) for a, b in itertools.pairwise(edges)]
                for split in range(1, len(lines)):
                    (size_1, window_1), (size_2, window_2) = _best(one, lines[:split]), _best(two, lines[split:])
                    if min(size_1, size_2) > best[0] * 1.1:
                        best = (min(size_1, size_2), [(one, edges[: split + 1], window_1), (two, edges[split:], window_2)])
    size = float(np.floor(best[0] * 20.0) / 20.0)
    if size <= 0.0:
        return []
    return [_patch(side, edges, window, size, words, reserve, pad) for side, edges, window in best[1]]


def _patch(side: Side, edges: list[int], window: int, size: Mm, words: Words, reserve: Words, pad: Mm) -> LabelPatch:
    length, _, s, u, slope = (float(value) for value in side.windows[window])
    frame = side.face(s, u, slope, pad)
    spans = list(itertools.pairwise(edges))
    lines = tuple(words.said(a, b) for a, b in spans)
    widest = max(label.text_width(reserve.said(a, b)) for a, b in spans)
    condensed = float(np.clip((length - 2 * MARGIN) / (widest * size), label.NARROWEST, 1.0))
    width = widest * size * condensed + 2 * MARGIN
    height = ((len(lines) - 1) * label.LINE_PITCH + 1.2) * size + 2 * MARGIN * 0.6
    return LabelPatch(frame=frame, lines=lines, letter_height=size, condensed=condensed, width=width, height=height)
