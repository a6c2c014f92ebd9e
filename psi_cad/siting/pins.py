"""Where fixation wires can go: on contact, clear of every cut, far apart and not in a line."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
import trimesh
from scipy import ndimage

from psi_cad.errors import DesignError
from psi_cad.findings import inmost
from psi_cad.frames import triple
from psi_cad.siting.seat import HeightField
from psi_cad.siting.spline import HeightSpline
from psi_cad.surface.lines import segments_apart
from psi_cad.surface.rays import SignedDistance, nearest_along
from psi_cad.units import LIMITS, Array, Bools, Deg, Ints, Mm

__all__ = ["HOLDS_MM", "PAST_BONE_MM", "UP", "WIRES_APART_MM", "Pin", "axis_clearance", "bone_below", "place_pins", "triangle_lever"]

STEP_MM: Final[Mm] = 1.5
STEEPEST: Final[Deg] = 45.0  # a wire skids on steeper bone
PAIRS: Final = 14
PAST_BONE_MM: Final[Mm] = 5.0  # a wire's tip past the far cortex
HOLDS_MM: Final[Mm] = 6.0  # a wire in less bone than this does not hold
DRIVER_MM: Final[Mm] = 40.0  # above a sleeve, where a wire is driven from
WIRES_APART_MM: Final[Mm] = 1.0  # between the surfaces of two wires that lean
UP: Final = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Pin:
    """A wire at `centre` (x, y; guide frame), its distance to the nearest cut, its depth (mm) along it, and its direction `out` of the bone."""

    centre: tuple[Mm, Mm]
    clearance: Mm
    depth: Mm
    out: tuple[float, float, float] = UP

    def stands(self, seat: HeightSpline, height: Mm) -> Array:
        """Foot on the seat and top (2, 3) of its sleeve."""
        foot = np.array([*self.centre, float(seat(np.array([self.centre]))[0])])
        return np.stack([foot, foot + height * np.array(self.out)])


def triangle_lever(points: Array) -> Mm:
    """The largest, over all triples of `points` (n, 2), of the least height of their triangle: 0 when in a line."""
    best = 0.0
    for one, two, three in itertools.combinations(np.asarray(points), 3):
        sides = [float(np.linalg.norm(a - b)) for a, b in ((one, two), (two, three), (three, one))]
        u, v = two - one, three - one
        best = max(best, abs(float(u[0] * v[1] - u[1] * v[0])) / max(*sides, 1e-9))
    return best


def place_pins(
    field: HeightField,
    heights: Array,
    steepness: Array,
    area: shapely.Geometry,
    planes: Sequence[tuple[Array, Array]],
    *,
    wanted: int,
    radius: Mm,
    sleeve_radius: Mm,
    keep_off: Mm,
    clearance: Mm,
    depth: Mm,
    top: Mm,
    lines: Sequence[tuple[Array, Array, Mm]] = (),
    leans: Sequence[Array] = (),
    avoid: Sequence[tuple[trimesh.Trimesh, Mm]] = (),
    mend: str = "raise footplate_reach, or lower pin_clearance, wire_diameter or sleeve_wall",
) -> list[Pin]:
    """Up to `wanted` pins, on every piece of bone that has room; at least three, not in a line.

    Parameters
    ----------
    heights, steepness : (n,)
        Of the seat at the field's points.
    area : shapely geometry
        The footplates' outline.
    planes : sequence of (point, normal)
        Of every cut of the case, guide frame.
    keep_off : float
        Least distance from a cut plane to a pin's axis at the seat, so that a sleeve stands beside the fence.
    clearance : float
        Least distance from the wire's surface to a cut plane over its whole length: through the bone and a little past
        it, at most `depth`, and `top` above the seat.
    lines : sequence of (low, high, away)
        Tools and sleeves that stand there (ends (3,), guide frame), and how far from each the axis of a wire keeps over its whole length,
        and over what drives it.
    leans : sequence of (n, 3)
        For each point, the unit direction out of the bone in which its wire may lean; the first that fits is taken. None: along the seating axis.
    avoid : sequence of (mesh, distance)
        What a wire that leans keeps from, guide frame.
    mend : str
        What a guide without room may change.

    Raises
    ------
    DesignError
        If there is no room for three; its `where` is in the guide frame.
    """
    stride = max(1, round(STEP_MM / field.step))
    grid = np.zeros(field.shape, dtype=bool)
    grid[::stride, ::stride] = True
    inner = area.buffer(-(sleeve_radius - 0.8))
    here = field.contact & shapely.contains_xy(inner, field.points[:, 0], field.points[:, 1])
    here &= steepness <= 1.0 / np.cos(np.radians(STEEPEST))
    deep = np.minimum(bone_below(field, leans, depth) + PAST_BONE_MM, depth)
    seat = np.column_stack([field.points, heights])
    here &= field.thickness >= HOLDS_MM
    outs, away = np.tile(np.array(UP), (len(seat), 1)), np.full(len(seat), -np.inf)
    for ways in leans or (outs.copy(),):  # where none fits a point has no wire
        far = axis_clearance(seat, ways, planes, depth=deep, top=top)
        beside = axis_clearance(seat, ways, planes, depth=np.zeros(len(seat)), top=top if leans else 0.0)
        fits = here & (away == -np.inf) & (far - radius >= clearance) & (beside >= keep_off)
        fits &= _keeps_off(avoid, seat, ways, deep, top, radius, fits & grid.ravel())
        outs[fits], away[fits] = ways[fits], far[fits]
    here &= away > -np.inf
    if lines:
        here &= _clear_of(lines, seat, deep, top, here & grid.ravel())
    pieces = _pieces(field, seat, planes, here)
    spots: list[Ints] = [np.flatnonzero(here & grid.ravel() & (pieces == piece)) for piece in range(1, int(pieces.max(initial=0)) + 1)]
    spots = sorted((s for s in spots if len(s)), key=lambda s: -len(s))[:3]
    wires = {}
    if leans:
        wires = {int(i): (seat[i] - deep[i] * outs[i], seat[i], seat[i] + top * outs[i]) for spot in spots for i in spot}
    apart = Apart(2.0 * sleeve_radius + 0.5, 2.0 * radius + WIRES_APART_MM, wires)
    chosen = _best(field.points, spots, wanted, apart=apart)
    if len(chosen) < 3 or triangle_lever(field.points[chosen]) < LIMITS.pin_lever:
        room = str(len(chosen)) if len(chosen) < 3 else "wires in a line alone"
        raise DesignError(
            f"A guide needs three fixation wires, clear of the {'trajectories' if lines else 'cuts'} and not in a line, "
            f"but its footplates have room for {room}; {mend}.",
            where=_amid(seat, field.contact),
            reason="pins",
        )
    return [Pin((float(x), float(y)), float(away[i] - radius), float(deep[i]), triple(outs[i])) for i in chosen for x, y in [field.points[i]]]


class Apart:
    """Which wires stand too near to each other: sleeves nearer than `sleeves`, or, of those that lean, wires nearer than `wires` below or above."""

    def __init__(self, sleeves: Mm, wires: Mm, ends: dict[int, tuple[Array, Array, Array]]) -> None:
        self.sleeves, self.wires, self.ends = sleeves, wires, ends
        self._known: dict[tuple[int, int], bool] = {}

    def refuses(self, points: Array, group: Sequence[int]) -> bool:
        """Whether any two of a group stand too near."""
        pairs = list(itertools.combinations(group, 2))
        if pairs and min(float(np.linalg.norm(points[a] - points[b])) for a, b in pairs) < self.sleeves:
            return True
        return bool(self.ends) and any(self._cross(a, b) for a, b in pairs)

    def _cross(self, a: int, b: int) -> bool:
        if (a, b) not in self._known:
            (low, foot, high), (low_b, foot_b, high_b) = self.ends[a], self.ends[b]
            wires, sleeves = segments_apart((low, high), (low_b, high_b))[0], segments_apart((foot, high), (foot_b, high_b))[0]
            self._known[a, b] = wires < self.wires or sleeves < self.sleeves
        return self._known[a, b]


def bone_below(field: HeightField, leans: Sequence[Array], depth: Mm) -> Array:
    """How much bone (n,) a wire meets at each point: of one that leans, the most that it can."""
    if not leans:
        return field.thickness
    upright = float(np.min([ways[:, 2].min() for ways in leans]))
    reach = int(np.ceil(depth * np.sqrt(max(0.0, 1.0 - upright**2)) / field.step))
    thick = ndimage.maximum_filter(np.nan_to_num(field.thickness).reshape(field.shape), size=2 * reach + 1)
    return np.asarray(thick.ravel() / upright)


def _keeps_off(avoid: Sequence[tuple[trimesh.Trimesh, Mm]], seat: Array, outs: Array, deep: Array, top: Mm, radius: Mm, asked: Bools) -> Bools:
    """Which (n,) of the cells `asked` about have a wire that keeps off every structure; the others count as if they had."""
    found = np.ones(len(seat), dtype=bool)
    for mesh, away in avoid:
        distance = SignedDistance(mesh)
        for cell in np.flatnonzero(asked):
            least, _ = nearest_along(distance, seat[cell] - deep[cell] * outs[cell], seat[cell] + top * outs[cell])
            found[cell] &= least - radius >= away
    return found


def _clear_of(lines: Sequence[tuple[Array, Array, Mm]], seat: Array, deep: Array, top: Mm, asked: Bools) -> Bools:
    """Which of the cells `asked` about have a wire that keeps off all lines; the others have none."""
    found = np.zeros(len(seat), dtype=bool)
    up = np.array([0.0, 0.0, 1.0])
    for cell in np.flatnonzero(asked):
        wire = (seat[cell] - deep[cell] * up, seat[cell] + (top + DRIVER_MM) * up)
        found[cell] = all(segments_apart(wire, (low, high))[0] >= away for low, high, away in lines)
    return found


def _amid(seat: Array, contact: Bools) -> Array | None:
    """The point (3,) of the contact nearest to its middle, guide frame."""
    resting = seat[contact]
    return inmost(resting) if len(resting) else None


def axis_clearance(seat: Array, outs: Array, planes: Sequence[tuple[Array, Array]], *, depth: Array, top: Mm) -> Array:
    """Least distance (n,) from the axis of a wire along `outs` (n, 3), between `depth` (n,) below and `top` above the seat (n, 3), to any plane."""
    least = np.full(len(seat), np.inf)
    for point, normal in planes:
        ends = [(seat + dz * outs - point) @ normal for dz in (-depth[:, None], top)]
        crosses = np.sign(ends[0]) != np.sign(ends[1])
        least = np.minimum(least, np.where(crosses, 0.0, np.minimum(np.abs(ends[0]), np.abs(ends[1]))))
    return least


def _pieces(field: HeightField, seat: Array, planes: Sequence[tuple[Array, Array]], here: Bools) -> Ints:
    """A number (n,) for each piece of bone the cuts leave: same side of every plane, and joined."""
    code = np.zeros(len(seat), dtype=np.int64)
    for number, (point, normal) in enumerate(planes):
        code |= ((seat - point) @ normal > 0.0).astype(np.int64) << number
    pieces = np.zeros(len(seat), dtype=np.int64)
    count = 0
    for value in np.unique(code[here]):
        labels, found = ndimage.label((field.contact & (code == value)).reshape(field.shape))
        pieces = np.where(labels.ravel() > 0, labels.ravel() + count, pieces)
        count += found
    return pieces


def _best(points: Array, spots: Sequence[Ints], wanted: int, *, apart: Apart) -> list[int]:
    """The set with pins on every piece, as wide apart as can be, by the lever of its best triangle."""
    if not spots:
        return []
    share = [wanted // len(spots) + (1 if i < wanted % len(spots) else 0) for i in range(len(spots))]
    options: list[list[tuple[int, ...]]] = [
        _groups(points, spot, max(count, 3 if len(spots) == 1 else 1), apart) for spot, count in zip(spots, share, strict=True)
    ]
    best: list[int] = []
    best_score = -1.0
    for combination in itertools.product(*options):
        chosen = [i for group in combination for i in group]
        if apart.refuses(points, chosen):
            continue
        gaps = [float(np.linalg.norm(points[a] - points[b])) for a, b in itertools.combinations(chosen, 2)]
        score = len(chosen) * 1000.0 + 4.0 * triangle_lever(points[chosen]) + 0.05 * sum(gaps)
        if score > best_score + 1e-9:
            best, best_score = chosen, score
    return best


def _groups(points: Array, spot: Ints, count: int, apart: Apart) -> list[tuple[int, ...]]:
    """Promising sets of up to `count` (at most 3) pins on one piece of bone, the most and the widest apart first."""
    few = [int(i) for i in spot[:: max(1, len(spot) // (30 if count > 2 else 60))]]
    for size in range(min(count, 3), 0, -1):
        found = []
        for group in itertools.combinations(few, size):
            if apart.refuses(points, group):
                continue
            gaps = [float(np.linalg.norm(points[a] - points[b])) for a, b in itertools.combinations(group, 2)]
            found.append((-(3.0 * triangle_lever(points[list(group)]) if size == 3 else sum(gaps)), group))
        if found:
            found.sort()
            spread = found[:: max(1, len(found) // (4 * PAIRS))][: PAIRS // 2]
            return [group for _, group in (spread + found[:PAIRS])][: 2 * PAIRS]
    return []
