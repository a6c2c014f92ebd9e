"""Better planes near the surgeon's: least healthy bone removed, the margin kept, structures and bounds respected.

For given directions of the planes the best shift is known: a plane moved towards the tumour always saves bone, so it goes
as far as the margin, the structures to avoid and its bound allow. What is left to search is two tilts for each cut. The
search runs on a grid of points in the bone, with the rim of each cell counted in proportion; it is deterministic. Its
result is a candidate: margins and volumes are then measured exactly on the surfaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from scipy import ndimage
from scipy.optimize import minimize

from psi_cad.frames import unit
from psi_cad.resection.avoid import Structure
from psi_cad.resection.grid import inner_grid
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.scene.nearest import Face, Surface
from psi_cad.surface.rays import RayCaster
from psi_cad.units import Array, Bools, Deg, Ints, Mm

__all__ = ["CELL_MM", "Bounds", "PlaneSearch", "tilted"]

CELL_MM: Final[Mm] = 1.75
RINGS: Final = (0.25, 0.5, 0.75, 1.0)  # of the greatest angle, for the coarse look round
SPOKES: Final = 12
SWEEPS: Final = 3
FINE: Final = {"xatol": 0.02, "fatol": 1.0, "maxfev": 400}  # degrees; mm³; evaluations
LEAN_COST: Final = 1e7  # mm³ for each degree a plane leans from the approach too far: more than any bone
INFEASIBLE: Final = 1e9


@dataclass(frozen=True)
class Bounds:
    """How far planes may go from the given ones, and the margin they keep."""

    angle: Deg
    shift: Mm
    margin: Mm
    lean: Deg


def tilted(cut: PlannedCut, tilt: Array) -> Array:
    """The normal (3,) of a cut turned by `tilt` (2,) degrees about its in-plane axes s and u."""
    angle = float(np.radians(np.linalg.norm(tilt)))
    if angle < 1e-12:
        return cut.normal
    about = unit(tilt[0] * cut.axes[0] + tilt[1] * cut.axes[1])
    return unit(np.cos(angle) * cut.normal + np.sin(angle) * np.cross(about, cut.normal))


class PlaneSearch:
    """The search on one bone and plan.

    Parameters
    ----------
    cuts : mapping of name to PlannedCut
        The surgeon's cuts.
    moving : sequence of str
        Those that may move; a declared positive cut stays.
    specimens : mapping of group to Surface
        What each group frees now: far from every cut that does not change.
    approaches : mapping of cut name to directions
        From which the cuts are sawn.
    run_out : mm
        How far the saw runs past the bone: the margin holds there too.
    kerfs : mapping of cut name to Kerf
        The margin is kept to the face that is left on the specimen, and bone counts as lost from the face that stays on.
    """

    def __init__(
        self,
        bone: Surface,
        tumour: Surface,
        cuts: Mapping[str, PlannedCut],
        *,
        moving: Sequence[str],
        specimens: Mapping[str, Surface],
        avoid: Sequence[Structure],
        approaches: Mapping[str, Sequence[Array]],
        bounds: Bounds,
        run_out: Mm,
        kerfs: Mapping[str, Kerf],
    ) -> None:
        self._kerfs = dict(kerfs)
        self.cuts, self.moving, self.bounds, self.approaches = dict(cuts), list(moving), bounds, approaches
        grid = inner_grid(bone.mesh, step=CELL_MM)
        self._points = grid.points
        inside_tumour = _inside(tumour, self._points)
        self._weight = np.where(inside_tumour, 0.0, CELL_MM**3)
        rim = np.asarray(bone.vertices)
        normals = np.asarray(bone.mesh.vertex_normals)
        around = np.vstack([self._points, rim, rim + 0.5 * run_out * normals, rim + run_out * normals])
        owner = np.concatenate([np.arange(len(self._points)), np.tile(_nearest_cell(self._points, rim), 3)])
        zones = {name: self._zone(grid.mask, grid.index, cut) for name, cut in self.cuts.items()}
        self._zones = zones
        close = _within(tumour, around, bounds.margin)
        self._keep = {name: around[close & zones[name][owner]] for name in self.moving}
        bad = np.zeros(len(around), dtype=bool)
        for structure in avoid:
            bad |= _within(structure.surface, around, structure.distance)
        self._shun = {name: around[bad & zones[name][owner]] for name in self.moving}
        self._groups = {group: _inside(surface, self._points) for group, surface in specimens.items()}
        used = {name: self._counts_where(name) for name in self.cuts}
        active = np.any(list(used.values()), axis=0)
        settled = np.any(list(self._groups.values()), axis=0) & ~active
        self._settled = float(self._weight[settled].sum())  # removed whatever the planes do
        self._points, self._weight = self._points[active], self._weight[active]
        self._groups = {group: frozen[active] for group, frozen in self._groups.items()}
        self._used = {name: np.flatnonzero(where[active]) for name, where in used.items()}
        self._memory: dict[tuple[float, ...], float] = {}

    def _zone(self, mask: Bools, index: Ints, cut: PlannedCut) -> Bools:
        """The bone (n,) that the cut could divide within its bounds: joined to its section in a slab about its plane."""
        local = Face(cut.origin, cut.axes, cut.section).local(self._points)
        radius = float(np.linalg.norm(shapely.get_coordinates(cut.section), axis=1).max())
        half = self.bounds.shift + np.tan(np.radians(self.bounds.angle)) * radius + CELL_MM
        slab = np.abs(local[:, 2]) <= half
        block = np.zeros(mask.shape, dtype=bool)
        block[tuple(index[slab].T)] = True
        labels, _ = ndimage.label(block, structure=np.ones((3, 3, 3)))
        label = np.asarray(labels)[tuple(index.T)]
        low = np.flatnonzero(slab & (np.abs(local[:, 2]) <= CELL_MM))
        seeds = low[shapely.dwithin(cut.section, shapely.points(local[low, :2]), CELL_MM / 2.0)]
        return np.asarray(np.isin(label, np.unique(label[seeds])) & slab)

    def _counts_where(self, name: str) -> Bools:
        """Where a cut decides which side a point is on: in its own zone, and in those of cuts it crosses."""
        cut = self.cuts[name]
        found = self._zones[name].copy()
        for other in self.cuts.values():
            if other.group == cut.group and (other.name in cut.neighbours or name in other.neighbours):
                found |= self._zones[other.name]
        return found

    def shift(self, name: str, normal: Array) -> Mm | None:
        """How far (mm, along `normal`) a plane of that direction can go from the cut's origin; None where it cannot stay in bounds."""
        origin, most = self.cuts[name].origin, self.bounds.shift
        keep = self._keep[name]
        most = min(most, float(((keep - origin) @ normal).min()) - self._kerfs[name].high) if len(keep) else most
        shun = np.sort((self._shun[name] - origin) @ normal)[::-1]
        for height in shun[shun <= most + CELL_MM]:
            if height < most - CELL_MM:
                break
            most = min(most, float(height) - CELL_MM)
        return most if most >= -self.bounds.shift else None

    def cost(self, tilts: Array) -> float:
        """Healthy bone removed (mm³, on the grid) with the moving cuts tilted by `tilts` (2k,) degrees, each shifted as far as it can."""
        key = tuple(np.round(tilts, 6))
        if key not in self._memory:
            self._memory[key] = self._cost(np.asarray(tilts, dtype=np.float64))
        return self._memory[key]

    def shunned(self, name: str) -> bool:
        """Whether structures to avoid lie where a cut could go."""
        return len(self._shun[name]) > 0

    def forget(self) -> None:
        """Forget the costs that were worked out, so that the next search does all its work again."""
        self._memory.clear()

    def _cost(self, tilts: Array) -> float:
        extra, planes = 0.0, {name: (cut.origin, cut.normal) for name, cut in self.cuts.items()}
        for number, name in enumerate(self.moving):
            tilt = tilts[2 * number : 2 * number + 2]
            over = float(np.linalg.norm(tilt)) - self.bounds.angle
            if over > 1e-9:  # beyond the bound: as on the bound
                tilt = tilt * (self.bounds.angle / np.linalg.norm(tilt))
                extra += over  # a little dearer, so that the search comes back
            normal = tilted(self.cuts[name], tilt)
            for approach in self.approaches.get(name, ()):
                lean = float(np.degrees(np.arcsin(min(1.0, abs(float(normal @ approach))))))
                extra += LEAN_COST * max(0.0, lean - self.bounds.lean)
            shift = self.shift(name, normal)
            if shift is None:
                return INFEASIBLE + extra
            planes[name] = (self.cuts[name].origin + shift * normal, normal)
        return self._removed(planes) + extra

    def _removed(self, planes: Mapping[str, tuple[Array, Array]]) -> float:
        share = np.zeros(len(self._points))
        for group, frozen in self._groups.items():
            mine = [name for name, cut in self.cuts.items() if cut.group == group]
            decided = np.zeros(len(frozen), dtype=bool)
            part = np.ones(len(frozen))
            for name in mine:
                used = self._used[name]
                origin, normal = planes[name]
                height = (self._points[used] - origin) @ normal - self._kerfs[name].low
                part[used] = np.minimum(part[used], np.clip(0.5 + height / CELL_MM, 0.0, 1.0))
                decided[used] = True
            share = np.maximum(share, np.where(decided, part, frozen))
        return self._settled + float(share @ self._weight)

    def search(self, start: Array | None = None) -> Array:
        """The best tilts (2k,) in degrees that were found, from `start` (the surgeon's planes by default)."""
        best = np.zeros(2 * len(self.moving)) if start is None else np.asarray(start, dtype=np.float64)
        for _ in range(SWEEPS):
            before = self.cost(best)
            for number in range(len(self.moving)):
                best = self._look_round(best, number)
                best = self._polished(best, number)
            if before - self.cost(best) < 1.0:
                break
        return self._within_bounds(best)

    def _look_round(self, tilts: Array, number: int) -> Array:
        here = slice(2 * number, 2 * number + 2)
        best = tilts
        for ring in RINGS:
            for turn in np.arange(SPOKES) * 2.0 * np.pi / SPOKES:
                trial = tilts.copy()
                trial[here] = ring * self.bounds.angle * np.array([np.cos(turn), np.sin(turn)])
                if self.cost(trial) < self.cost(best):
                    best = trial
        return best

    def _polished(self, tilts: Array, number: int) -> Array:
        here = slice(2 * number, 2 * number + 2)
        size = max(0.05, 0.15 * self.bounds.angle)
        simplex = tilts[here] + np.array([[0.0, 0.0], [size, 0.0], [0.0, size]])

        def cost(pair: Array) -> float:
            trial = tilts.copy()
            trial[here] = pair
            return self.cost(trial)

        found = minimize(cost, tilts[here], method="Nelder-Mead", options={**FINE, "initial_simplex": simplex})
        if found.fun >= self.cost(tilts):
            return tilts
        better = tilts.copy()
        better[here] = found.x
        return self._within_bounds(better)

    def _within_bounds(self, tilts: Array) -> Array:
        tilts = tilts.copy()
        for number in range(len(self.moving)):
            pair = tilts[2 * number : 2 * number + 2]
            length = float(np.linalg.norm(pair))
            if length > self.bounds.angle:
                tilts[2 * number : 2 * number + 2] = pair * (self.bounds.angle / length)
        return tilts

    def planes(self, tilts: Array) -> dict[str, tuple[Array, Array, Mm]]:
        """(origin, normal, shift) of the moving cuts at `tilts`; the origin is the cut's own, moved by the shift."""
        found = {}
        for number, name in enumerate(self.moving):
            normal = tilted(self.cuts[name], tilts[2 * number : 2 * number + 2])
            shift = self.shift(name, normal)
            if shift is not None:
                found[name] = (self.cuts[name].origin + shift * normal, normal, shift)
        return found


def _inside(surface: Surface, points: Array) -> Bools:
    caster = RayCaster(surface.mesh)
    found = np.zeros(len(points), dtype=bool)
    low, high = np.asarray(surface.mesh.bounds)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    if len(near):
        found[near] = caster.inside(caster.frame.local(points[near]))
    return found


def _within(surface: Surface, points: Array, distance: Mm) -> Bools:
    """Which points (n, 3) lie in a closed surface or no further than `distance` from it."""
    found = _inside(surface, points)
    longest = float(surface.mesh.edges_unique_length.max())
    near, _ = surface.tree.query(points, distance_upper_bound=distance + longest)
    certain = near <= distance
    ask = np.flatnonzero(np.isfinite(near) & ~certain & ~found)
    found |= certain
    if len(ask):
        found[ask] = surface.closest(points[ask])[0] <= distance
    return found


def _nearest_cell(cells: Array, points: Array) -> Array:
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(cells).query(points)[1])
