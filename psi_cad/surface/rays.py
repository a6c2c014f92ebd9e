"""Rays and closest points on a triangle surface, in the frame and units of the surface."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import trimesh
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from psi_cad.frames import Frame
from psi_cad.surface.polydata import poly_data
from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["Hits", "RayCaster", "SignedDistance", "first_hits_down", "nearest_along"]

ALONG_MM: Final[Mm] = 0.25  # between the points of a segment that are held against a surface

_VOTES: Final = np.array([np.array(v) / np.linalg.norm(v) for v in ((0.31, 0.47, 0.83), (-0.77, 0.21, 0.6), (0.13, -0.9, 0.41))])
_MOST_CROSSINGS: Final = 64


class RayCaster:
    """First hits of rays on a fixed set of triangles.

    Embree works in single precision, so triangles are moved to `frame` (or to their own middle) first: a scanner's
    frame can lie metres away, where single precision is no better than 0.1 mm.
    """

    def __init__(self, mesh: trimesh.Trimesh, *, frame: Frame | None = None) -> None:
        middle = np.asarray(mesh.bounds).mean(axis=0)
        self.frame = frame if frame is not None else Frame(origin=middle, axes=np.eye(3))
        self.vertices, self.faces = vertices, faces = self.frame.local(np.asarray(mesh.vertices)), np.asarray(mesh.faces)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        self.corners = np.array(list(itertools.product(*zip(low, high, strict=True))))  # of a box around all triangles
        self._scene = rtcore_scene.EmbreeScene()
        TriangleMesh(self._scene, np.ascontiguousarray(vertices, dtype=np.float32), np.ascontiguousarray(faces, dtype=np.int32))

    def normals(self, faces: Ints) -> Array:
        """Unit normals (n, 3) of some of its faces: of a million of them, few are ever asked for."""
        one, two, three = (self.vertices[corner] for corner in self.faces[faces].T)
        normals = np.cross(two - one, three - one)
        return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))

    def first(self, starts: Array, directions: Array) -> tuple[Array, Ints]:
        """Distance (n,) to the first face hit and its number (n,), for unit rays in this caster's frame.

        Nothing hit: distance `inf`, face -1. The distance is computed in double precision on the plane of the face.
        """
        directions = np.broadcast_to(directions, starts.shape)
        faces = np.asarray(
            self._scene.run(np.ascontiguousarray(starts, dtype=np.float32), np.ascontiguousarray(directions, dtype=np.float32)),
            dtype=np.int64,
        )
        distance = np.full(len(starts), np.inf)
        met = faces >= 0
        normals = self.normals(faces[met])
        fall = np.einsum("ij,ij->i", directions[met], normals)
        height = np.einsum("ij,ij->i", self.vertices[self.faces[faces[met], 0]] - starts[met], normals)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance[met] = height / fall
        lost = ~np.isfinite(distance) | (distance < -1e-3)
        faces[lost] = -1
        distance[lost] = np.inf
        return distance, faces

    def inside(self, points: Array) -> Bools:
        """Which points (n, 3), in this caster's frame, lie inside the closed surface: two of three rays cross it oddly."""
        one, two = self._odd(np.concatenate([points, points]), np.repeat(_VOTES[:2], len(points), axis=0)).reshape(2, -1)
        unsure = np.flatnonzero(one != two)
        if len(unsure):
            one[unsure] = self._odd(points[unsure], np.repeat(_VOTES[2:], len(unsure), axis=0))
        return one

    def _odd(self, starts: Array, directions: Array) -> Bools:
        """Whether each ray (n, 3) crosses the surface an odd number of times."""
        odd = np.zeros(len(starts), dtype=bool)
        going = np.arange(len(starts))
        for _ in range(_MOST_CROSSINGS):
            distance, face = self.first(starts, directions)
            met = face >= 0
            if not met.any():
                break
            going, directions = going[met], directions[met]
            odd[going] ^= True
            starts = starts[met] + (np.maximum(distance[met], 0.0) + 1e-3)[:, None] * directions
        return odd


@dataclass(frozen=True)
class Hits:
    """What a fall of parallel rays met: `height` (nan: nothing), `face` (-1), `slope_cos` = face normal · up."""

    height: Array
    face: Ints
    slope_cos: Array

    @property
    def met(self) -> Bools:
        """Where bone was met."""
        return self.face >= 0


def first_hits_down(caster: RayCaster, points: Array, *, frame: Frame | None = None) -> Hits:
    """Drop rays along -z of `frame` (the caster's own by default) at `points` (n, 2) of it; the first bone met.

    Heights are in `frame`.
    """
    if frame is None:
        to_caster, shift = np.eye(3), np.zeros(3)
    else:
        to_caster = frame.axes @ caster.frame.axes.T
        shift = caster.frame.local(frame.origin)
    top = float(((caster.corners - shift) @ to_caster[2]).max()) + 5.0
    starts = np.column_stack([points, np.full(len(points), top)]) @ to_caster + shift
    distance, face = caster.first(starts, -to_caster[2])
    height = np.where(face >= 0, top - distance, np.nan)
    normals = caster.normals(face)
    slope = np.where(face >= 0, normals @ to_caster[2], np.nan)
    return Hits(height=height, face=face, slope_cos=slope)


class SignedDistance:
    """Distance to a closed surface, negative inside.

    The distance is VTK's, the sign is voted by rays: VTK takes it from the normals around the nearest point, and on a
    mesh with slivers, as marching cubes makes them, that went wrong by millimetres. A `caster` of the same mesh may be there already.
    """

    def __init__(self, mesh: trimesh.Trimesh, *, caster: RayCaster | None = None) -> None:
        from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

        self._function = vtkImplicitPolyDataDistance()
        self._function.SetInput(poly_data(mesh))
        self._caster = caster if caster is not None else RayCaster(mesh)

    def __call__(self, points: Array) -> Array:
        """Signed distance (n,) in mm at `points` (n, 3)."""
        return self.where(points, np.ones(len(points), dtype=bool))

    def where(self, points: Array, wanted: Bools) -> Array:
        """The same at those `points` that are `wanted`, or inside; infinite elsewhere, which saves most of the time."""
        inside = self._caster.inside(self._caster.frame.local(points)) if len(points) else np.zeros(0, dtype=bool)
        found, asked = np.full(len(points), np.inf), inside | wanted
        found[asked] = self.away(points[asked])
        found[inside] *= -1.0
        return found

    def away(self, points: Array) -> Array:
        """Distance (n,) without a sign, which is quicker."""
        from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkDoubleArray

        if len(points) == 0:
            return np.zeros(0)
        given = numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64), deep=True)
        found = vtkDoubleArray()
        self._function.FunctionValue(given, found)
        return np.abs(np.array(vtk_to_numpy(found), dtype=np.float64))


def nearest_along(distance: SignedDistance, low: Array, high: Array) -> tuple[Mm, Array]:
    """The least distance (mm, negative inside) of a segment from a closed surface, and the point (3,) of the segment where that is."""
    points = np.linspace(low, high, int(np.ceil(np.linalg.norm(high - low) / ALONG_MM)) + 1)
    away = distance(points)
    nearest = int(np.argmin(away))
    return float(away[nearest]), points[nearest]
