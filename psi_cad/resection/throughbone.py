"""The margin through bone: the shortest way from the tumour to a cut face that never leaves the bone.

Where the straight line stays in bone that is the answer. Else a path is found on a grid inside the bone (Dijkstra), and
then drawn tight: every point moves to the middle of its neighbours and back into the bone, the ends slide on the tumour
and on the face. That is done with few points first and then with more; a path that has slipped through a gap of the bone
is dropped. The result is the length of a path on bone: right to some micrometres on curved surfaces and to about 0.1 mm
round sharp edges; gaps thinner than `GAP_MM` may be stepped over.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
import shapely.ops
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from psi_cad.frames import distance_to_box
from psi_cad.resection.grid import Grid, inner_grid
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.nearest import Face, Nearest, Surface
from psi_cad.surface.rays import RayCaster
from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["InBone", "through_bone"]

CELLS_MM: Final[tuple[Mm, ...]] = (1.5, 0.75)  # the second where the first finds no way: bone may be thinner than a cell
NEAR_MM: Final[Mm] = 10.0  # beyond half as far again as the straight way, cells are first looked for no farther
TOUCH_MM: Final[Mm] = 0.02  # a point this near the bone's surface counts as in bone
CLEAR_OF_MM: Final[Mm] = 0.1  # a tumour farther than this from the bone does not touch it
LOOK_MM: Final[Mm] = 0.2  # spacing at which a straight line is looked at
FINE_MM: Final[Mm] = 0.5  # the last spacing of points
COARSE: Final = 8  # points to begin with, then twice as many each time
MOST: Final = 512
GAP_MM: Final[Mm] = 1.0  # two neighbours on a path that part by more have slipped through a gap
ROUNDS: Final = 400
ENDS: Final = 4  # rounds after which the ends follow
LOOKS: Final = 20  # rounds between two looks at the length; it is drawn tight where that changes less than this
STILL_MM: Final[Mm] = 2e-4


def _shifts() -> Ints:
    """Steps to neighbours up to two cells away, each direction once: with them a way over cells is at most 2 % too long."""
    every = np.array([o for o in np.ndindex(5, 5, 5) if o > (2, 2, 2)])[:, ::-1] - 2  # cells are numbered by z, y, x
    return np.asarray(every[np.gcd.reduce(every, axis=1) == 1])


_SHIFTS: Final = _shifts()
_MIDDLES: Final = tuple(
    np.where(np.abs(_SHIFTS).max(axis=1, keepdims=True) > 1, way(_SHIFTS / 2.0).astype(np.int64), 0) for way in (np.floor, np.ceil)
)


class InBone:
    """A bone that can be asked what lies inside it."""

    def __init__(self, surface: Surface, caster: RayCaster) -> None:
        self.surface = surface
        self._caster = caster
        self._grids: dict[Mm, Grid] = {}

    def inside(self, points: Array) -> Bools:
        """Which patient points (n, 3) lie in bone or touch it."""
        found = self._caster.inside(self._caster.frame.local(points))
        outside = np.flatnonzero(~found)
        if len(outside):
            found[outside] = self.surface.closest(points[outside])[0] <= TOUCH_MM
        return found

    def straight(self, start: Array, end: Array) -> bool:
        """Whether the straight line between two points stays in bone."""
        count = max(3, int(np.ceil(np.linalg.norm(end - start) / LOOK_MM)) + 1)
        return bool(self.inside(start + np.linspace(0.0, 1.0, count)[:, None] * (end - start)).all())

    def back_in(self, points: Array) -> Array:
        """Points outside the bone moved to its surface."""
        points = points.copy()
        outside = np.flatnonzero(~self._caster.inside(self._caster.frame.local(points)))
        if len(outside):
            points[outside] = self.surface.closest(points[outside])[1]
        return points

    def grid(self, cell: Mm) -> Grid:
        """Cells of edge `cell` mm inside the bone, made once."""
        if cell not in self._grids:
            self._grids[cell] = inner_grid(self.surface.mesh, step=cell)
        return self._grids[cell]


def _steps(index: Ints, shape: tuple[int, int, int], cell: Mm) -> Any:
    """Lengths of the steps from each cell (n, 3) of a block to its neighbours of higher number, as a matrix (n, n)."""
    number = np.full(shape, -1, dtype=np.int32)
    number[tuple(index.T)] = np.arange(len(index), dtype=np.int32)
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    here, flat = (index @ stride)[:, None], number.ravel()
    there = flat.take(here + _SHIFTS @ stride, mode="wrap")  # the block has a rim of empty cells
    for middle in _MIDDLES:  # a step of two cells stays within cells
        there[flat.take(here + middle @ stride, mode="wrap") < 0] = -1
    met = there >= 0
    lengths = np.broadcast_to(cell * np.linalg.norm(_SHIFTS, axis=1), there.shape)[met]
    ends = np.concatenate([[0], np.cumsum(met.sum(axis=1))])
    return csr_array((lengths, there[met], ends), shape=(len(there), len(there)))


def through_bone(bone: InBone, tumour: Surface, cut: PlannedCut, to_face: Nearest) -> Nearest | None:
    """The least way through bone from tumour to face, and its ends; None where no bone joins them.

    Parameters
    ----------
    to_face : Nearest
        The straight least distance to the section of bone.
    """
    if to_face.distance <= 0.0 or bone.straight(to_face.on_surface, to_face.on_face):
        return to_face
    for cell in CELLS_MM:
        path = _shortest(bone, tumour, cut, to_face, cell)
        if path is not None:
            return _tight(bone, tumour, cut, path)
        if not bone.inside(tumour.vertices).any():
            break
    return None


def _shortest(bone: InBone, tumour: Surface, cut: PlannedCut, to_face: Nearest, cell: Mm) -> Array | None:
    for within in (1.5 * to_face.distance + NEAR_MM, np.inf):  # most ways are near the straight one; a longer one is looked for in all of the bone
        path, length = _on_grid(bone, tumour, cut, within, cell)
        if length <= within:
            break
    return path


def _on_grid(bone: InBone, tumour: Surface, cut: PlannedCut, within: Mm, cell: Mm) -> tuple[Array | None, Mm]:
    """The least way (n, 3) over cells, and its length (inf: none), among the cells that a way no longer than `within` can pass."""
    grid = bone.grid(cell)
    face = Face(cut.origin, cut.axes, cut.section)
    points = grid.points
    x_low, y_low, x_high, y_high = face.region.bounds
    least = distance_to_box(points, *np.asarray(tumour.mesh.bounds)) + distance_to_box(
        face.local(points), np.array([x_low, y_low, 0.0]), np.array([x_high, y_high, 0.0])
    )
    cells = np.flatnonzero(least <= within + 4.0 * cell)
    index, points = grid.index[cells], points[cells]
    reach = cell * 1.5
    longest = float(tumour.mesh.edges_unique_length.max())
    near, _ = tumour.tree.query(points, distance_upper_bound=reach + longest)
    starts = np.flatnonzero(np.isfinite(near))
    starts = starts[tumour.closest(points[starts])[0] <= reach]
    local = face.local(points)
    low = np.flatnonzero(np.abs(local[:, 2]) <= cell)
    ends = low[shapely.dwithin(cut.section, shapely.points(local[low, :2]), cell)]
    if len(starts) == 0 or len(ends) == 0:
        return None, np.inf
    length, before, _ = dijkstra(_steps(index, grid.shape, cell), directed=False, indices=starts, min_only=True, return_predecessors=True)
    end = int(ends[np.argmin(length[ends])])
    if not np.isfinite(length[end]):
        return None, np.inf
    steps = [end]
    while before[steps[-1]] >= 0:
        steps.append(int(before[steps[-1]]))
    return np.asarray(points[steps[::-1]]), float(length[end])


def _tight(bone: InBone, tumour: Surface, cut: PlannedCut, path: Array) -> Nearest | None:
    """The way drawn tight; None where the tumour only comes near the bone and does not touch it."""
    path, count = _shortened(bone, path), COARSE
    while True:
        drawn = _drawn(bone, tumour, cut, _resampled(path, count))
        if _holds(bone, drawn):
            path = drawn
        if _length(path) <= (count - 1) * FINE_MM or count >= MOST:
            break
        count *= 2
    path = np.array([_onto_tumour(bone, tumour, path[1]), *path[1:-1], _onto_face(cut, path[-2])])
    if tumour.closest(path[:1])[0][0] > CLEAR_OF_MM:
        return None
    return Nearest(_length(_dense(bone, path)), path[0], path[-1])


def _drawn(bone: InBone, tumour: Surface, cut: PlannedCut, path: Array) -> Array:
    """A path (n, 3) drawn tight, its points held in bone."""
    before = np.inf
    for turn in range(ROUNDS):
        if turn % ENDS == 0:
            path[0] = _onto_tumour(bone, tumour, path[1])
            path[-1] = _onto_face(cut, path[-2])
        path[1:-1] = bone.back_in((path[:-2] + path[2:]) / 2.0)
        if turn % LOOKS == LOOKS - 1:
            if before - _length(path) < STILL_MM:
                break
            before = _length(path)
    return path


def _holds(bone: InBone, path: Array) -> bool:
    """Whether a path lies on bone all along: moved into the bone, no two points next to each other part."""
    return bool(np.linalg.norm(np.diff(_dense(bone, path), axis=0), axis=1).max() <= GAP_MM)


def _dense(bone: InBone, path: Array) -> Array:
    """Many points (m, 3) along a path, moved into the bone: round corners that its own points cut."""
    return bone.back_in(_resampled(path, int(np.ceil(_length(path) / LOOK_MM)) + 2))


def _shortened(bone: InBone, path: Array) -> Array:
    """A path over some of its own points, where the straight line between them stays in bone."""
    kept, last = [0], len(path) - 1
    while kept[-1] < last:
        here, step, ahead = kept[-1], 1, 1
        while step >= 1:  # twice as far each time, and from the first miss on half as far
            if here + ahead + step <= last and bone.straight(path[here], path[here + ahead + step]):
                ahead, step = ahead + step, step * 2
            else:
                step //= 2
        kept.append(here + ahead)
    return path[kept]


def _length(path: Array) -> Mm:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def _resampled(path: Array, count: int) -> Array:
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    wanted = np.linspace(0.0, at[-1], count)
    return np.stack([np.interp(wanted, at, path[:, k]) for k in range(3)], axis=1)


def _onto_tumour(bone: InBone, tumour: Surface, point: Array) -> Array:
    """The tumour's surface near `point`, in bone: projected from one to the other in turn."""
    for _ in range(20):
        found = tumour.closest(point[None])[1]
        point = bone.back_in(found)[0]
        if np.linalg.norm(point - found[0]) < TOUCH_MM / 10.0:
            break
    return point


def _onto_face(cut: PlannedCut, point: Array) -> Array:
    flat = (cut.axes[:2] @ (point - cut.origin))[None]
    place = shapely.Point(flat[0])
    if not cut.section.contains(place):
        flat = np.array(shapely.ops.nearest_points(cut.section, place)[0].coords)
    return np.asarray(cut.patient(flat)[0])
