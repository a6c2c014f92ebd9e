"""The triangulation that the kernel keeps with a face."""

from __future__ import annotations

import cadquery as cq
import numpy as np
from OCP.BRep import BRep_Tool
from OCP.TopAbs import TopAbs_REVERSED
from OCP.TopLoc import TopLoc_Location

from psi_cad.units import Array, Ints

__all__ = ["triangles_of"]


def triangles_of(face: cq.Face) -> tuple[Array, Ints] | None:
    """Corners (n, 3) and triangles (m, 3) of a face of a solid, which look outward; None where the kernel made none."""
    location = TopLoc_Location()
    mesh = BRep_Tool.Triangulation_s(face.wrapped, location)
    if mesh is None:
        return None
    corners = [mesh.Node(i) for i in range(1, mesh.NbNodes() + 1)]
    if not location.IsIdentity():
        corners = [corner.Transformed(location.Transformation()) for corner in corners]
    triangles = np.array([mesh.Triangle(i).Get() for i in range(1, mesh.NbTriangles() + 1)], dtype=np.int64) - 1
    return np.array([corner.Coord() for corner in corners]), triangles[:, ::-1] if face.wrapped.Orientation() == TopAbs_REVERSED else triangles
