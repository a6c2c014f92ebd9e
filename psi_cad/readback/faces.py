"""The faces of a solid by the surface they lie on, and how near to its promise a face has to lie to be taken for a feature's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import cadquery as cq
import numpy as np
import shapely
from OCP.BRepAdaptor import BRepAdaptor_Surface
from OCP.gp import gp_Ax3, gp_Dir, gp_Pnt, gp_Trsf
from OCP.TopAbs import TopAbs_REVERSED
from OCP.TopLoc import TopLoc_Location

from psi_cad.frames import Frame
from psi_cad.readback.outline import outline_in
from psi_cad.units import Array, Deg, Mm

__all__ = ["AS_DRAWN", "Faces", "Flat", "Round", "Within", "moved_into", "outward"]

Flat: TypeAlias = tuple[cq.Face, Array, Array]  # a flat face, a point of it, and its outward normal
Round: TypeAlias = tuple[cq.Face, Array, Array, float]  # a cylinder, a point and the direction of its axis, its radius (negative for a hole)


@dataclass(frozen=True)
class Within:
    """How far a face may lie from where it was promised: `away` from its place, `turn` from its direction, `size` from its diameter."""

    away: Mm
    turn: Deg
    size: Mm

    @property
    def cosine(self) -> float:
        """Of the largest turn."""
        return float(np.cos(np.radians(self.turn)))


AS_DRAWN: Final = Within(away=1e-6, turn=float(np.degrees(np.arccos(1.0 - 1e-9))), size=1e-6)  # a face that was drawn just now, which gets its name


class Faces:
    """The faces of one solid, in the frame of the solid."""

    def __init__(self, solid: cq.Solid) -> None:
        self.solid = solid
        self._middles: dict[int, Array] = {}

    @cached_property
    def all(self) -> list[cq.Face]:
        """Every face, in the solid's own order."""
        return list(self.solid.Faces())

    def _of_kind(self, kind: str) -> list[cq.Face]:
        return [face for face, own in zip(self.all, self._kinds, strict=True) if own == kind]

    @cached_property
    def _kinds(self) -> list[str]:
        return [face.geomType() for face in self.all]

    @cached_property
    def planes(self) -> list[Flat]:
        """Flat faces."""
        return [self._flat(number) for number in range(len(self._flats))]

    def planes_along(self, direction: Array, *, least: float) -> list[Flat]:
        """Flat faces that look along the unit vector `direction` (3,), or against it: the cosine is `least` or hardly less.

        A guide has a thousand flat faces, most of them of letters, and their middles take as long as all else that is measured of them.
        """
        return [self._flat(number) for number in np.flatnonzero(np.abs(self.looks @ direction) >= least - 1e-9).tolist()]

    @cached_property
    def _flats(self) -> list[cq.Face]:
        return self._of_kind("PLANE")

    @cached_property
    def looks(self) -> Array:
        """The outward normals (n, 3) of the flat faces."""
        return np.array([outward(face) for face in self._flats]).reshape(-1, 3)

    def _flat(self, number: int) -> Flat:
        face = self._flats[number]
        if number not in self._middles:
            self._middles[number] = np.array(face.Center().toTuple())
        return face, self._middles[number], self.looks[number]

    def outline(self, face: cq.Face, origin: Array, along: Array, up: Array) -> shapely.Geometry:
        """See `outline_in`; for files that load no kernel."""
        return outline_in(face, origin, along, up)

    @cached_property
    def splines(self) -> list[tuple[cq.Face, Array]]:
        """Faces that lie on a B-spline, with the outward normal in their middle."""
        return [(face, np.array(face.normalAt().toTuple())) for face in self._of_kind("BSPLINE")]

    @property
    def sized(self) -> list[cq.Face]:
        """Every face but those that lie on a B-spline: what has a size, a radius or a place."""
        return [face for face, kind in zip(self.all, self._kinds, strict=True) if kind != "BSPLINE"]

    @cached_property
    def cylinders(self) -> list[Round]:
        """Cylindrical faces."""
        found = []
        for face in self._of_kind("CYLINDER"):
            surface = BRepAdaptor_Surface(face.wrapped).Cylinder()
            point, direction = surface.Axis().Location(), surface.Axis().Direction()
            hollow = (face.wrapped.Orientation() == TopAbs_REVERSED) == surface.Direct()
            radius = float(surface.Radius())
            on_axis, way = np.array([point.X(), point.Y(), point.Z()]), np.array([direction.X(), direction.Y(), direction.Z()])
            found.append((face, on_axis, way, -radius if hollow else radius))
        return found


def outward(face: cq.Face) -> Array:
    """The normal (3,) of a flat face of a solid, outward; from its plane, which takes a tenth of the time of its middle's."""
    plane = BRepAdaptor_Surface(face.wrapped, False).Plane()
    normal = np.array(plane.Axis().Direction().Coord())
    return -normal if (face.wrapped.Orientation() == TopAbs_REVERSED) == plane.Direct() else normal


def moved_into(solid: cq.Solid, frame: Frame) -> cq.Solid:
    """A solid of the patient frame, in `frame`; its faces keep their order."""
    origin, x, z = frame.origin, frame.axes[0], frame.axes[2]
    move = gp_Trsf()
    move.SetTransformation(
        gp_Ax3(gp_Pnt(0, 0, 0), gp_Dir(0, 0, 1), gp_Dir(1, 0, 0)),
        gp_Ax3(gp_Pnt(*origin), gp_Dir(*z), gp_Dir(*x)),
    )
    return cq.Solid(solid.wrapped.Moved(TopLoc_Location(move)))
