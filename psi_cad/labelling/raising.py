"""Where a wall of a fence, raised to a straight upper edge, carries a label that the fence's own curved sides are too low for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.brep import label
from psi_cad.labelling.fence import LEAST, STEP, LabelPatch, Side, Words
from psi_cad.units import Array, Bools, Mm

__all__ = ["BEHIND", "BREAK", "CORNER", "RISE", "SKIRT", "place_raised"]

RISE: Final[Mm] = 5.5  # over the fence's own top: the saw's hub stops so much higher there, which the blade's reach is held against
BREAK: Final[Mm] = 0.3  # of the outer edges
CORNER: Final[Mm] = 0.4  # no more, so that no letter of the outer lines is touched
BEHIND: Final[Mm] = 0.15  # a raised wall reaches so far into the slot's width, which is cut afterwards: no faces coincide
SKIRT: Final[Mm] = 0.6  # below its flat face, so that no crevice is left over the footplate
READABLE: Final = 0.85  # width of the letters; narrower only where that has no room
ACROSS: Final[Mm] = 0.6  # of flat face beside the letters
ABOVE: Final[Mm] = 0.36  # ... and above and below them
STEEPEST: Final = 0.6  # slope of the lines along the fence
BEFORE: Final[Mm] = 4.0  # a sleeve nearer to a wall hides what stands there
BACKED: Final = 1.0  # of a raised wall's length has the fence behind its lower edge: a free end would hover over the slot
HOLD: Final[Mm] = 1.0  # ... so much of the fence's height
# what is as bad as 1 mm of rise, as mm
_BROKEN: Final = 0.5  # a word broken once
_PARTED: Final = 0.3  # a label on both sides of its fence
_HIDDEN: Final = 2.0  # sleeves stand before all of it
_LEANING: Final = 0.5  # lines that slope by 1


@dataclass(frozen=True)
class _Wall:
    """A raised wall tried: what it costs, and its middle along the fence, the level of its middle, and its slope."""

    cost: float
    s: Mm
    u: Mm
    slope: float


def place_raised(
    sides: Sequence[Side],
    words: Words,
    *,
    reserve: Words,
    pad: Mm,
    most: Mm = RISE,
    sleeves: Sequence[tuple[Array, Mm]] = (),
) -> list[LabelPatch]:
    """The label in letters `LEAST` high on a raised wall, or on both walls of one fence; empty where it would rise too far.

    Parameters
    ----------
    reserve : Words
        What room is made for; see `place_label`.
    pad : float
        How far the flat face stands proud of the fence's side.
    most : float
        How far a wall may rise over the highest part of its fence beside it.
    sleeves : sequence of ((3,), radius)
        A point on the axis of each sleeve, about as high as the label, guide frame.
    """
    ways = {tuple(edges): edges for edges in (*reserve.whole(), *reserve.wrapped())}
    for condensed in (READABLE, label.NARROWEST):
        known: dict[tuple[int, int, int], _Wall | None] = {}
        best: tuple[float, list[tuple[int, list[int], _Wall]]] | None = None
        for edges in ways.values():
            broken = _BROKEN * len(set(edges[1:-1]) - set(reserve.tokens))
            for parts in _parted(edges, sides):
                walls = []
                for number, lines in parts:
                    width, height = _size(reserve, lines, condensed)
                    key = number, round(100.0 * width), len(lines)
                    if key not in known:
                        known[key] = _lowest(sides[number], width, height, most, pad, sleeves)
                    wall = known[key]
                    if wall is None:
                        break
                    walls.append((number, lines, wall))
                if len(walls) < len(parts):
                    continue
                cost = round(broken + _PARTED * (len(parts) - 1) + max(wall.cost for _, _, wall in walls), 3)
                if best is None or cost < best[0]:
                    best = cost, walls
        if best is not None:
            return [_patch(sides[number], lines, wall, words, reserve, condensed, pad) for number, lines, wall in best[1]]
    return []


def _parted(edges: list[int], sides: Sequence[Side]) -> Iterator[list[tuple[int, list[int]]]]:
    """All lines on one side, or the upper ones on one side of a fence and the lower ones on its other."""
    for number in range(len(sides)):
        yield [(number, edges)]
    for number, (one, two) in enumerate(itertools.pairwise(sides)):
        if one.slab is two.slab:
            for split in range(1, len(edges) - 1):
                yield [(number, edges[: split + 1]), (number + 1, edges[split:])]


def _size(reserve: Words, edges: list[int], condensed: float) -> tuple[Mm, Mm]:
    """Width and height of the flat face for lines between `edges`."""
    widest = max(label.text_width(reserve.said(a, b)) for a, b in itertools.pairwise(edges))
    return widest * LEAST * condensed + 2.0 * ACROSS, ((len(edges) - 2) * label.LINE_PITCH + 1.2) * LEAST + 2.0 * ABOVE


def _lowest(side: Side, width: Mm, height: Mm, most: Mm, pad: Mm, sleeves: Sequence[tuple[Array, Mm]]) -> _Wall | None:
    """The flat face of this size that costs least: above the footplate, no more than `most` above the fence beside it."""
    hidden = _hidden(side, pad, sleeves)
    best: _Wall | None = None
    for slope in np.linspace(-STEEPEST, STEEPEST, 13):
        cosine = 1.0 / float(np.hypot(1.0, slope))
        count = int(np.ceil((width * cosine + height * abs(slope) * cosine + 2.0 * BREAK) / STEP)) + 1
        if count > len(side.s):
            continue
        tilt = slope * side.s
        level = _windows(side.lower - tilt, count).max(axis=1)  # of the lower edge, at s = 0
        top, middles = _windows(side.top, count), _windows(side.s, count).mean(axis=1)
        upper = level + slope * middles + abs(slope) * (count - 1) * STEP / 2.0 + height / cosine + BREAK
        rise = np.maximum(upper - top.max(axis=1), 0.0)
        backed = (top > level[:, None] + _windows(tilt, count) + HOLD).mean(axis=1)
        cost = rise + _HIDDEN * _windows(hidden, count).mean(axis=1) + _LEANING * abs(slope)
        # over a bridge no slot is cut, which would take off what reaches behind
        barred = _windows(side.bridged | side.pierced, count).any(axis=1)
        cost = np.where((rise <= most) & (backed >= BACKED) & ~barred, np.round(cost, 3), np.inf)
        at = int(np.argmin(cost))
        if np.isfinite(cost[at]) and (best is None or cost[at] < best.cost):
            middle = float(middles[at])
            best = _Wall(float(cost[at]), middle, float(level[at] + slope * middle + height / (2.0 * cosine)), float(slope))
    return best


def _windows(values: Array | Bools, count: int) -> Array:
    """Each stretch of `count` values (n - count + 1, count), as a view: numpy's own takes ten times as long to say so."""
    plain = np.ascontiguousarray(values)
    return np.ndarray((len(plain) - count + 1, count), plain.dtype, plain.data, strides=(plain.itemsize, plain.itemsize))


def _hidden(side: Side, pad: Mm, sleeves: Sequence[tuple[Array, Mm]]) -> Array:
    """Which stations of a side (n,) have a sleeve close before them."""
    found = np.zeros(len(side.s), dtype=bool)
    for point, radius in sleeves:
        d, s, _ = side.slab.frame.local(point[None, :])[0]
        before = side.sign * float(d) - side.slab.half_width - pad - radius
        if -radius < before < BEFORE:
            found |= np.abs(side.s - s) < radius
    return found


def _patch(side: Side, edges: list[int], wall: _Wall, words: Words, reserve: Words, condensed: float, pad: Mm) -> LabelPatch:
    width, height = _size(reserve, edges, condensed)
    lines = tuple(words.said(a, b) for a, b in itertools.pairwise(edges))
    return LabelPatch(side.face(wall.s, wall.u, wall.slope, pad), lines, LEAST, condensed, width, height)
