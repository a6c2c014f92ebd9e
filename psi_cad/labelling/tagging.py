"""Where a tag can lie: a flat plate above the seat that carries the label of a guide whose fences are too small for it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely
from scipy import fft, ndimage

from psi_cad.brep import label
from psi_cad.frames import Frame, unit
from psi_cad.guides.site import Surroundings
from psi_cad.labelling.fence import LEAST, LabelPatch, Words
from psi_cad.siting.spline import HeightSpline, inside
from psi_cad.units import Array, Bools, Mm

__all__ = ["BELOW_FACE", "BREAK", "CORNER", "THICK", "Tag", "place_tag"]

THICK: Final[Mm] = 2.5  # of the plate; 2 mm are left under the letters
BREAK: Final[Mm] = 0.4  # its upper edges are taken down by this
CORNER: Final[Mm] = 1.5
CONDENSED: Final = 0.85  # a little narrower than the font's own letters: the tag is smaller
MARGIN: Final[Mm] = 0.6  # of flat face around the letters
ABOVE_BONE: Final[Mm] = 1.0  # soft tissue and what of the bone is not known
ABOVE_PLATE: Final[Mm] = 0.3  # so that a footplate never comes through the flat face
OFF_SLEEVE: Final[Mm] = 0.7
OFF_FENCE: Final[Mm] = 1.5  # wide enough to be cleaned
INSIDE: Final[Mm] = 1.0  # a foot's sides stand back from the outlines of tag and footplate: no faces coincide
REACH: Final[Mm] = 6.0  # between a tag's edge and what its foot stands on
BELOW_FACE: Final[Mm] = 0.6  # a foot ends below the flat face, which it may stand beside
FOOT: Final = 70.0  # mm²: a foot as broad as most of a side holds the tag
FOOT_WIDTH: Final[Mm] = 6.0
STEEPEST: Final = 1.0  # slope of a tag against the seating axis
_CELL: Final[Mm] = 1.0
_GRID: Final[Mm] = 1e-3  # outlines are laid out on this: overlays of near-coincident sides fail otherwise
_SHELF: Final[Mm] = 10.0  # ground further below the footplate, or none, counts as so far below it
_STRIDE: Final = 2  # cells between places tried
_BLOCK: Final[Mm] = 20.0  # footplate in squares of this size says how a tag may lean
_LEANS: Final = 4
_TURN: Final = 45.0  # degrees between directions tried
# what is as bad as 1 mm² of tag that hangs over a footplate's edge, as mm²
_OFF_BONE: Final = 0.5  # ... and has no bone under it either
_LIFT: Final = 0.35  # 1 mm² of tag a millimetre higher above the ground
_BROKEN: Final = 10.0  # a word broken once
_ASKEW: Final = 1000.0  # letters neither along nor across the slot: only where nothing else has room
_REFINED: Final = 8  # places that hold a foot, looked at closely


@dataclass(frozen=True)
class Tag:
    """A tag: the label on its flat face (`patch`), and the outlines (guide xy) of the feet that carry it.

    `stands`: the part of each foot that goes down to the seat; the rest of a foot is as thick as the plate.
    """

    patch: LabelPatch
    foot: shapely.Polygon
    stands: tuple[shapely.Polygon, ...]


@dataclass(frozen=True)
class _Ground:
    """The field in cells of 1 mm, (nx, ny) each, for a tag that leans by `lean`.

    `level`: seat or bone with what is to be kept above it; `over`: what the flat face has to stand above.
    `sides`: for each side of the cut planes, cells free for letters, and cells where a foot may stand.
    """

    points: Array
    level: Array
    over: Array
    plate: Bools
    bone: Bools
    sides: tuple[tuple[Bools, Bools, Bools], ...]
    standing: tuple[shapely.Geometry, ...]  # where a foot may stand, of each side, as an outline
    planes: tuple[tuple[Array, Array], ...]
    off_plane: Mm


@dataclass(frozen=True)
class _Place:
    """A tag tried: its frame's axes, its centre (x, y), size with broken edges, lines, and the side it lies on."""

    cost: float
    axes: Array
    centre: Array
    edges: list[int]
    width: Mm
    height: Mm
    side: int

    def rectangle(self, grow: Mm) -> shapely.Polygon:
        """The plate seen along the seating axis, its underside included."""
        w, h = self.width / 2.0 + BREAK + grow, self.height / 2.0 + BREAK + grow
        corners = np.array([(x, y, z) for z in (0.0, -THICK) for x, y in ((-w, -h), (w, -h), (w, h), (-w, h))])
        return shapely.MultiPoint((corners @ self.axes)[:, :2] + self.centre).convex_hull


def place_tag(
    around: Surroundings,
    seat: HeightSpline,
    plates: Sequence[shapely.Polygon],
    planes: Sequence[tuple[Array, Array]],
    words: Words,
    *,
    reserve: Words,
    along: Array,
    plate_thickness: Mm,
    off_plane: Mm,
    sleeves: Sequence[tuple[Mm, Mm]],
    sleeve_radius: Mm,
) -> Tag | None:
    """The tag that hangs over and stands up least, in letters `LEAST` high, or None where there is no room for one.

    The plate leans as the footplate under it and stands above all bone along the seating axis, so it never hinders
    pulling off; it stays on one side of every cut plane, out of the blade's way; no sleeve comes through its letters.

    Parameters
    ----------
    planes : sequence of (point, normal)
        Of the guide's own cuts, guide frame.
    along : (3,)
        The direction of the first slot: letters lie along or across it where that costs little.
    off_plane : float
        Least distance from a cut plane: half a fence.
    sleeves : sequence of (x, y)
        Centres of sleeves.
    """
    whole = shapely.union_all(list(plates))
    ground = _ground(around, seat, whole, planes, plate_thickness, off_plane, sleeves, sleeve_radius)
    first = float(np.degrees(np.arctan2(along[1], along[0])))
    found: list[_Place] = []
    for edges in reserve.narrowest():
        lines = [reserve.said(a, b) for a, b in itertools.pairwise(edges)]
        width = max(label.text_width(line) for line in lines) * LEAST * CONDENSED + 2.0 * MARGIN
        height = ((len(lines) - 1) * label.LINE_PITCH + 1.2) * LEAST + 2.0 * MARGIN
        broken = _BROKEN * len(set(edges[1:-1]) - set(reserve.tokens))
        for lean, turn in itertools.product(_leans(ground), np.arange(0.0, 180.0, _TURN)):
            place = _least(ground, _axes(lean, (first + turn + 90.0) % 180.0 - 90.0), edges, width, height)
            if place is not None:
                found.append(replace(place, cost=round(place.cost + broken + (_ASKEW if turn % 90.0 else 0.0), 3)))
    tags: list[tuple[float, Tag]] = []
    for place in sorted(found, key=lambda place: place.cost):
        tags += _refined(ground, place, whole, words)
        if len(tags) == _REFINED:
            break
    return min(tags, key=lambda option: option[0])[1] if tags else None


def _leans(ground: _Ground) -> list[Array]:
    """Slopes (2,) a tag may have: none, and those of the footplate in its larger squares."""
    found = [np.zeros(2)]
    blocks = np.floor(ground.points / _BLOCK).astype(int)
    numbers, counts = np.unique(blocks[ground.plate], axis=0, return_counts=True)
    for block in numbers[np.argsort(-counts, kind="stable")]:
        here = ground.plate & (blocks == block).all(axis=2)
        if here.sum() * _CELL**2 < _BLOCK**2 / 3.0:
            continue
        lean = np.linalg.lstsq(np.column_stack([ground.points[here], np.ones(int(here.sum()))]), ground.over[here], rcond=None)[0][:2]
        lean = np.round(lean * min(1.0, STEEPEST / max(float(np.linalg.norm(lean)), 1e-9)) / 0.15) * 0.15
        if all(np.abs(lean - other).max() > 0.2 for other in found) and len(found) <= _LEANS:
            found.append(lean)
    return found


def _axes(lean: Array, turn: float) -> Array:
    """Rows x (along the letters), y, z of a tag that leans by the slope `lean`, its letters `turn` degrees about the seating axis."""
    z = unit(np.array([-lean[0], -lean[1], 1.0]))
    flat = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])
    x = unit(np.array([*flat, flat @ lean]))
    return np.stack([x, np.cross(z, x), z])


def _ground(
    around: Surroundings,
    seat: HeightSpline,
    plates: shapely.Geometry,
    planes: Sequence[tuple[Array, Array]],
    plate_thickness: Mm,
    off_plane: Mm,
    sleeves: Sequence[tuple[Mm, Mm]],
    sleeve_radius: Mm,
) -> _Ground:
    points = around.points
    flat, shape = points.reshape(-1, 2), points.shape[:2]
    steep = seat.steepness(flat)
    met = np.isfinite(around.heights)
    bone = ndimage.maximum_filter(np.where(met, around.heights, -np.inf), size=3).ravel()  # between the rays, too
    plate = shapely.contains_xy(plates.buffer(0.7), flat[:, 0], flat[:, 1])
    level = np.maximum(np.where(inside(seat, flat), seat(flat) + 0.3, -np.inf), bone + ABOVE_BONE)
    level = np.maximum(level, level[plate].min() - _SHELF)
    over = np.where(plate, seat(flat) + plate_thickness * steep + ABOVE_PLATE, level)
    over = ndimage.maximum_filter(over.reshape(shape), size=3).ravel()  # steep sides rise between the cells
    beside = (flat > flat.min(axis=0) + 1.5).all(axis=1) & (flat < flat.max(axis=0) - 1.5).all(axis=1)
    sides = np.zeros(len(flat), dtype=np.int64)
    for number, (point, normal) in enumerate(planes):
        away = [(np.column_stack([flat, up]) - point) @ normal for up in (level - 1.0, level + THICK + 6.0)]
        beside &= (np.min(np.abs(away), axis=0) >= off_plane + OFF_FENCE) & (away[0] * away[1] > 0.0)
        sides |= (away[0] > 0.0).astype(np.int64) << number
    clear = beside.copy()
    for centre in sleeves:
        clear &= np.linalg.norm(flat - np.asarray(centre), axis=1) > sleeve_radius + OFF_SLEEVE
    inner = beside & shapely.contains_xy(plates.buffer(-INSIDE), flat[:, 0], flat[:, 1])
    parted = tuple(tuple((mask & (sides == side)).reshape(shape) for mask in (clear, inner, beside)) for side in np.unique(sides[inner]))
    half = _CELL / 2.0
    standing = tuple(
        shapely.intersection(
            shapely.union_all(shapely.box(*(points[mask] - half).T, *(points[mask] + half).T)), plates.buffer(-INSIDE), grid_size=_GRID
        )
        for _, mask, _ in parted
    )
    return _Ground(points, level.reshape(shape), over.reshape(shape), plate.reshape(shape), met, parted, standing, tuple(planes), off_plane)


def _least(ground: _Ground, axes: Array, edges: list[int], width: Mm, height: Mm) -> _Place | None:
    """The best place for a plate with these axes."""
    reach = int(np.ceil((np.hypot(width, height) / 2.0 + REACH) / _CELL)) + 1
    steps = np.arange(-reach, reach + 1) * _CELL
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    trial = _Place(0.0, axes, np.zeros(2), edges, width, height, 0)
    near, grown = (_within(trial.rectangle(grow), offsets, len(steps)) for grow in (_CELL / 2.0, REACH))
    lean = -axes[2, :2] / axes[2, 2]
    level = np.maximum(ground.level + THICK / axes[2, 2], ground.over) - ground.points @ lean
    away = np.argwhere(near) - reach
    best: _Place | None = None
    for side, (clear, inner, _) in enumerate(ground.sides):
        fits = _sum(~clear, near, outside=1.0) < 0.5
        fits &= _sum(inner, grown, outside=0.0) * _CELL**2 >= 1.3 * FOOT
        rows, columns = (_STRIDE * index for index in np.nonzero(fits[::_STRIDE, ::_STRIDE]))
        if len(rows) == 0:
            continue
        cells = (rows[:, None] + away[:, 0], columns[:, None] + away[:, 1])  # (places, cells of the plate)
        under = level[cells]
        over_edge, off_bone = ~ground.plate[cells], ~(ground.bone | ground.plate)[cells]
        cost = _CELL**2 * (over_edge + _OFF_BONE * off_bone + _LIFT * (under.max(axis=1, keepdims=True) - under)).sum(axis=1)
        at = int(np.argmin(cost))
        if best is None or cost[at] < best.cost:
            best = replace(trial, cost=float(cost[at]), centre=ground.points[rows[at], columns[at]], side=side)
    return best


def _within(shape: shapely.Polygon, points: Array, count: int) -> Bools:
    return np.asarray(shapely.contains_xy(shape, points[:, 0], points[:, 1])).reshape(count, -1)


def _sum(cells: Bools, kernel: Bools, *, outside: float) -> Array:
    """How many of `cells` lie under `kernel`, laid on each cell; those outside the field count as `outside`."""
    half = kernel.shape[0] // 2
    padded = np.pad(cells.astype(np.float64), half, constant_values=outside)
    size = [fft.next_fast_len(n, real=True) for n in padded.shape]  # what wraps around lies outside the part that is taken
    moved = fft.irfft2(fft.rfft2(padded, size) * fft.rfft2(kernel[::-1, ::-1].astype(np.float64), size), size)
    return np.asarray(moved[2 * half : padded.shape[0], 2 * half : padded.shape[1]])


def _areas(shape: shapely.Geometry) -> shapely.Geometry:
    """The areas of a shape without the lines and points that an overlay may leave: no overlay takes both."""
    return shapely.union_all([part for part in shapely.get_parts(shape) if isinstance(part, shapely.Polygon)])


def _refined(ground: _Ground, place: _Place, plates: shapely.Geometry, words: Words) -> list[tuple[float, Tag]]:
    """The tag of a place with its foot, and what it costs; none where no foot holds it."""
    plate = place.rectangle(0.0)
    cells = ground.points.reshape(-1, 2)
    beside = ground.sides[place.side][2]
    whole = ground.standing[place.side]
    parts: list[shapely.Polygon] = []
    for reach in (-INSIDE, 1.0, 2.5, 4.0, REACH):  # no further than it takes
        usable = _areas(shapely.intersection(whole, plate.buffer(reach, join_style="mitre"), grid_size=_GRID))
        firm = shapely.intersection(usable.buffer(-FOOT_WIDTH / 2.0).buffer(FOOT_WIDTH / 2.0), usable, grid_size=_GRID)
        parts = [part for part in shapely.get_parts(firm) if part.area >= FOOT]
        if parts:
            break
    else:
        return []
    ground_part = max(parts, key=lambda part: part.area)
    held = plate.buffer(-INSIDE, join_style="mitre").intersection(ground_part.buffer(REACH + INSIDE))
    foot = shapely.union_all([ground_part, held]).convex_hull.buffer(-0.2).simplify(0.2)
    under = shapely.contains_xy(foot.buffer(_CELL), cells[:, 0], cells[:, 1])
    if foot.is_empty or not beside.ravel()[under].all():
        return []
    stands = foot.intersection(plates.buffer(-INSIDE)).buffer(-0.3, join_style="mitre").simplify(0.2)
    stood = tuple(shapely.Polygon(part.exterior) for part in shapely.get_parts(stands) if part.area >= FOOT / 2.0)
    if not stood:
        return []
    under |= shapely.contains_xy(place.rectangle(_CELL / 2.0), cells[:, 0], cells[:, 1])
    lean = -place.axes[2, :2] / place.axes[2, 2]
    least = np.maximum(ground.level.ravel() + THICK / place.axes[2, 2], ground.over.ravel() + BELOW_FACE) - cells @ lean
    top = float(least[under].max())
    low = float(np.mean(least[under]))
    origin = np.array([place.centre[0], place.centre[1], top + float(place.centre @ lean)])
    rim = np.vstack([np.asarray(outline.exterior.coords) for outline in (plate, foot)])
    face = top + rim @ lean
    for point, normal in ground.planes:  # as it lies now, all of it stands beside the blade
        away = np.concatenate([(np.column_stack([rim, face - down]) - point) @ normal for down in (0.0, THICK / place.axes[2, 2])])
        if np.abs(away).min() < ground.off_plane + OFF_FENCE / 2.0 or away.min() * away.max() < 0.0:
            return []
    lines = tuple(words.said(a, b) for a, b in itertools.pairwise(place.edges))
    patch = LabelPatch(Frame(origin=origin, axes=place.axes), lines, LEAST, CONDENSED, place.width, place.height)
    return [(place.cost + _LIFT * plate.area * (top - low), Tag(patch, foot, stood))]
