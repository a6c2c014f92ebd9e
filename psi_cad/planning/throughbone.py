"""The margin through bone: the shortest way from the tumour to a cut face that never leaves the bone.

Where the straight line stays in bone that is the answer. Else a path is found on a grid inside the bone (Dijkstra), and
then drawn tight: every point moves to the middle of its neighbours and back into the bone, the ends slide on the tumour
and on the face. The result is the length of a real path, so it is never too short by more than the chords that span the
bone's curved surface (a few micrometres at the spacing used).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
import shapely.ops
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from psi_cad.planning.cuts import PlannedCut
from psi_cad.planning.grid import Grid, inner_grid
from psi_cad.planning.nearest import Face, Nearest, Surface
from psi_cad.surface.rays import RayCaster
from psi_cad.units import Array, Bools, Mm

__all__ = ["InBone", "through_bone"]

CELL_MM: Final[Mm] = 1.5
TOUCH_MM: Final[Mm] = 0.02  # a point this near the bone's surface counts as in bone
LOOK_MM: Final[Mm] = 0.2  # spacing at which a straight line is looked at
POINTS: Final = (8, 16, 32, 64)
ROUNDS: Final = 400
LOOKS: Final = 20  # rounds between two looks at the length; it is drawn tight where that changes less than this
STILL_MM: Final[Mm] = 2e-4


class InBone:
    """A bone that can be asked what lies inside it."""

    def __init__(self, surface: Surface, caster: RayCaster) -> None:
        self.surface = surface
        self._caster = caster
        self._grid: Grid | None = None
        self._graph: Any = None

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

    def grid(self) -> tuple[Grid, Any]:
        """Cells inside the bone and the graph of steps between neighbours, made once."""
        if self._grid is None:
            self._grid = inner_grid(self.surface.mesh, step=CELL_MM)
            self._graph = _steps(self._grid)
        return self._grid, self._graph


def _steps(grid: Grid) -> Any:
    number = np.full(grid.shape, -1, dtype=np.int64)
    number[tuple(grid.index.T)] = np.arange(len(grid.index))
    rows, columns, lengths = [], [], []
    for offset in [np.array(o) for o in np.ndindex(3, 3, 3) if o > (1, 1, 1)]:
        shift = offset - 1
        there = number[tuple((grid.index + shift).T)]
        met = there >= 0
        rows.append(np.flatnonzero(met))
        columns.append(there[met])
        lengths.append(np.full(int(met.sum()), CELL_MM * float(np.linalg.norm(shift))))
    size = len(grid.index)
    return coo_array((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)).tocsr()


def through_bone(bone: InBone, tumour: Surface, cut: PlannedCut, to_face: Nearest) -> Nearest | None:
    """The least way through bone from tumour to face, and its ends; None where no bone joins them.

    Parameters
    ----------
    to_face : Nearest
        The straight least distance to the section of bone.
    """
    if to_face.distance <= 0.0 or bone.straight(to_face.on_surface, to_face.on_face):
        return to_face
    path = _on_grid(bone, tumour, cut)
    return None if path is None else _tight(bone, tumour, cut, path)


def _on_grid(bone: InBone, tumour: Surface, cut: PlannedCut) -> Array | None:
    grid, graph = bone.grid()
    points = grid.points
    reach = CELL_MM * 1.5
    longest = float(tumour.mesh.edges_unique_length.max())
    near, _ = tumour.tree.query(points, distance_upper_bound=reach + longest)
    starts = np.flatnonzero(np.isfinite(near))
    starts = starts[tumour.closest(points[starts])[0] <= reach]
    local = Face(cut.origin, cut.axes, cut.section).local(points)
    low = np.flatnonzero(np.abs(local[:, 2]) <= CELL_MM)
    ends = low[shapely.dwithin(cut.section, shapely.points(local[low, :2]), CELL_MM)]
    if len(starts) == 0 or len(ends) == 0:
        return None
    length, before, _ = dijkstra(graph, directed=False, indices=starts, min_only=True, return_predecessors=True)
    end = int(ends[np.argmin(length[ends])])
    if not np.isfinite(length[end]):
        return None
    steps = [end]
    while before[steps[-1]] >= 0:
        steps.append(int(before[steps[-1]]))
    return np.asarray(points[steps[::-1]])


def _tight(bone: InBone, tumour: Surface, cut: PlannedCut, path: Array) -> Nearest:
    for count in POINTS:
        path = _resampled(path, count)
        before = np.inf
        for turn in range(ROUNDS):
            path[0] = _onto_tumour(bone, tumour, path[1])
            path[-1] = _onto_face(cut, path[-2])
            path[1:-1] = bone.back_in((path[:-2] + path[2:]) / 2.0)
            if turn % LOOKS == LOOKS - 1:
                if before - _length(path) < STILL_MM:
                    break
                before = _length(path)
        if _length(path) < CELL_MM / 2.0:
            break
    return Nearest(_length(path), path[0], path[-1])


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
