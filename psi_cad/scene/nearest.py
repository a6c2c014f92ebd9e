"""The least distance from a triangle surface to a flat face, exactly, and where it is.

The least distance between triangles and a flat region is met at a vertex over the region, at a corner of the region, or
between an edge of the surface and an edge of the region; all three are searched, with bounds that leave few pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import shapely
import shapely.ops
import trimesh
from scipy.spatial import cKDTree

from psi_cad.surface.polydata import poly_data
from psi_cad.surface.section import section_parts
from psi_cad.surface.solids import solid_of
from psi_cad.units import Array, Ints, Mm

__all__ = ["Face", "Nearest", "Surface", "nearest"]

CHUNK: Final = 400_000  # pairs of edges at a time


@dataclass(frozen=True)
class Face:
    """A flat region: polygon(s) in (s, u) mm of the plane through `origin` with rows `axes` = s, u, normal."""

    origin: Array
    axes: Array
    region: shapely.Geometry

    def patient(self, flat: Array) -> Array:
        """Points (n, 2) of the plane, in the patient frame."""
        return np.asarray(self.origin + flat @ self.axes[:2])

    def local(self, points: Array) -> Array:
        """Patient points (n, 3) as (s, u, height above the plane)."""
        return np.asarray((points - self.origin) @ self.axes.T)


@dataclass(frozen=True)
class Nearest:
    """A least distance in mm and the points (3,), patient mm, between which it lies; 0 where they meet."""

    distance: Mm
    on_surface: Array
    on_face: Array


class Surface:
    """A triangle surface prepared for many queries of nearest points."""

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        self.mesh = mesh
        self.vertices = np.asarray(mesh.vertices, dtype=np.float64)

    @cached_property
    def solid(self) -> Any:
        """What the surface encloses, as Manifold holds it.

        Raises
        ------
        SurfaceError
            If it is not closed.
        """
        return solid_of(self.mesh, name="a surface", key="tumour or avoid")

    @cached_property
    def tree(self) -> Any:
        """The vertices, to be looked up by place."""
        return cKDTree(self.vertices)

    @cached_property
    def edges(self) -> Ints:
        """Every edge once, as two vertex numbers (n, 2)."""
        return np.asarray(self.mesh.edges_unique, dtype=np.int64)

    @cached_property
    def edge_tree(self) -> Any:
        """The middles of `edges`, to be looked up by place."""
        return cKDTree((self.vertices[self.edges[:, 0]] + self.vertices[self.edges[:, 1]]) / 2.0)

    @cached_property
    def _locator(self) -> Any:
        from vtkmodules.vtkCommonDataModel import vtkStaticCellLocator

        locator = vtkStaticCellLocator()
        locator.SetDataSet(poly_data(self.mesh))
        locator.BuildLocator()
        return locator

    def closest(self, points: Array) -> tuple[Array, Array]:
        """(distances (n,), nearest points (n, 3)) of the surface to `points` (n, 3)."""
        from vtkmodules.vtkCommonCore import mutable

        cell, sub, square = mutable(0), mutable(0), mutable(0.0)
        found, out = np.empty((len(points), 3)), [0.0, 0.0, 0.0]
        find: Any = self._locator.FindClosestPoint
        for number, point in enumerate(np.asarray(points, dtype=np.float64)):
            find(point, out, cell, sub, square)
            found[number] = out
        return np.asarray(np.linalg.norm(points - found, axis=1)), found


def nearest(surface: Surface, face: Face) -> Nearest:
    """The least distance between a surface and a face; 0 where the surface, or the solid inside it, meets the face."""
    local = face.local(surface.vertices)
    met = _meeting(surface.mesh, face, local)
    if met is not None:
        return Nearest(0.0, met, met)
    best = _vertices_over(face, local, surface.vertices)
    corners = shapely.get_coordinates(face.region)
    places = face.patient(corners)
    near, _ = surface.tree.query(places)
    longest = float(surface.mesh.edges_unique_length.max())
    could = near - longest <= best.distance  # no point of a triangle is further from its nearest vertex than its longest edge
    if could.any():
        away, found = surface.closest(places[could])
        least = int(np.argmin(away))
        if away[least] < best.distance:
            best = Nearest(float(away[least]), found[least], places[could][least])
    return _edges(surface, face, best)


def _meeting(mesh: trimesh.Trimesh, face: Face, local: Array) -> Array | None:
    """A point (3,) where the surface or its inside meets the face, or None."""
    if local[:, 2].min() > 0.0 or local[:, 2].max() < 0.0:
        return None
    parts = section_parts(mesh, origin=face.origin, axes=face.axes)
    shared = shapely.union_all(parts).intersection(face.region) if parts else shapely.Polygon()
    if shared.is_empty:
        return None
    return np.asarray(face.patient(np.array(shared.representative_point().coords))[0])


def _vertices_over(face: Face, local: Array, vertices: Array) -> Nearest:
    """The nearest vertex to the face, looked for in order of height: that bounds the distance from below."""
    shapely.prepare(face.region)
    order = np.argsort(np.abs(local[:, 2]), kind="stable")
    best, winner = np.inf, 0
    for start in range(0, len(order), 2000):
        some = order[start : start + 2000]
        if abs(local[some[0], 2]) >= best:
            break
        flat = shapely.distance(face.region, shapely.points(local[some, :2]))
        away = np.hypot(flat, local[some, 2])
        least = int(np.argmin(away))
        if away[least] < best:
            best, winner = float(away[least]), int(some[least])
    foot = shapely.ops.nearest_points(face.region, shapely.Point(local[winner, :2]))[0]
    return Nearest(best, vertices[winner], face.patient(np.array(foot.coords))[0])


def _edges(surface: Surface, face: Face, best: Nearest) -> Nearest:
    """`best`, or the nearest approach of an edge of the surface to an edge of the region where that is nearer."""
    starts, ends = _rim(face)
    middles, half = (starts + ends) / 2.0, np.linalg.norm(ends - starts, axis=1) / 2.0
    a, b = surface.vertices[surface.edges[:, 0]], surface.vertices[surface.edges[:, 1]]
    edge_half = np.linalg.norm(b - a, axis=1) / 2.0
    widest = float(edge_half.max())
    near, _ = surface.tree.query(middles)
    could = np.flatnonzero(near - half - 2.0 * widest < best.distance)
    if len(could) == 0:
        return best
    for some in np.array_split(could, max(1, len(could) // 64)):
        around = surface.edge_tree.query_ball_point(middles[some], best.distance + half[some] + widest)
        rim = np.repeat(some, [len(found) for found in around])
        edge = np.fromiter((n for found in around for n in found), dtype=np.int64, count=len(rim))
        for low in range(0, len(rim), CHUNK):
            r, e = rim[low : low + CHUNK], edge[low : low + CHUNK]
            away, on_edge, on_rim = _between(a[e], b[e], starts[r], ends[r])
            least = int(np.argmin(away))
            if away[least] < best.distance:
                best = Nearest(float(away[least]), on_edge[least], on_rim[least])
    return best


def _rim(face: Face) -> tuple[Array, Array]:
    """The region's edges as starts and ends (n, 3), patient mm."""
    starts, ends = [], []
    for part in shapely.get_parts(face.region):
        if not isinstance(part, shapely.Polygon):
            continue
        for ring in (part.exterior, *part.interiors):
            points = face.patient(np.asarray(ring.coords)[:, :2])
            starts.append(points[:-1])
            ends.append(points[1:])
    return np.vstack(starts), np.vstack(ends)


def _between(p: Array, q: Array, r: Array, s: Array) -> tuple[Array, Array, Array]:
    """Least distances (n,) of segments p–q and r–s, and the points on each (after Ericson, Real-Time Collision Detection, 5.1.9)."""
    d, e, w = q - p, s - r, p - r
    a, b, c = (d * d).sum(axis=1), (d * e).sum(axis=1), (e * e).sum(axis=1)
    f, g = (d * w).sum(axis=1), (e * w).sum(axis=1)
    spread = a * c - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(spread > 1e-12 * a * c, np.clip((b * g - c * f) / spread, 0.0, 1.0), 0.0)
        y = np.where(c > 0.0, (b * x + g) / c, 0.0)
        held = np.clip(y, 0.0, 1.0)
        x = np.where(y != held, np.clip(np.where(a > 0.0, (b * held - f) / a, 0.0), 0.0, 1.0), x)
    one, two = p + x[:, None] * d, r + held[:, None] * e
    return np.asarray(np.linalg.norm(one - two, axis=1)), one, two
