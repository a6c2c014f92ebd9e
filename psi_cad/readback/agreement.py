"""The faces of a solid, looked for again on the triangles that will be printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cadquery as cq
import numpy as np
import trimesh
from OCP.Bnd import Bnd_Box
from OCP.BRepBndLib import BRepBndLib
from OCP.BRepMesh import BRepMesh_IncrementalMesh

from psi_cad.errors import KernelError
from psi_cad.readback.printed import Printed
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.triangles import triangles_of
from psi_cad.units import LIMITS, Array, Mm

__all__ = ["OFF_MM", "off_on_triangles", "places_on"]

CHORD_MM: Final[Mm] = 0.004  # the places that are looked at lie that near to their face
OFF_MM: Final[Mm] = LIMITS.stl_chord + 0.005  # triangles lie LIMITS.stl_chord from a round face at most
LEAST_MM: Final[Mm] = 3.0  # smaller faces are those of letters and of broken edges
APART_MM: Final[Mm] = 2.5
FINE: Final = 0.5  # radians
BEFORE_MM: Final[Mm] = 0.3  # a ray starts that far inside a face
SURE_MM: Final[Mm] = 0.01
SLIVER_MM2: Final = 5e-5


def places_on(faces: Sequence[cq.Face]) -> tuple[Array, Array]:
    """Places (n, 3) all over the larger of some faces, and which way these look there (n, 3)."""
    large = [face for face in faces if _across(face) >= LEAST_MM]
    if not large:
        return np.zeros((0, 3)), np.zeros((0, 3))
    BRepMesh_IncrementalMesh(cq.Compound.makeCompound(large).wrapped, CHORD_MM, False, FINE, False)
    every = [_places(face) for face in large]
    return np.vstack([places for places, _ in every]), np.vstack([looks for _, looks in every])


def off_on_triangles(places: Array, looks: Array, printed: Printed) -> tuple[Mm, Array] | None:
    """How far the triangles lie from places of a solid's faces (see `places_on`) at most, and where (3,); None without places. Both in one frame."""
    if len(places) == 0:
        return None
    met, _ = printed.caster.first(places - BEFORE_MM * looks, looks)
    off = np.abs(met - BEFORE_MM)
    unsure = ~(off <= SURE_MM)  # beside an edge a ray may meet the next face; the distance never errs, and takes a hundred times as long
    off[unsure] = SignedDistance(printed.mesh, caster=printed.caster).away(places[unsure])
    most = int(np.argmax(off))
    return float(off[most]), places[most]


def _places(face: cq.Face) -> tuple[Array, Array]:
    """Places (n, 3) all over a face that has been triangulated, none on its edges, and which way it looks there (n, 3).

    Raises
    ------
    KernelError
    """
    made = triangles_of(face)
    if made is None:
        raise KernelError("A face of the STEP cannot be triangulated, so it is not known whether the STL agrees with it; build it again.")
    corners, triangles = trimesh.remesh.subdivide_to_size(*made, max_edge=APART_MM, max_iter=20)
    one, two, three = (corners[corner] for corner in triangles.T)
    across = np.cross(two - one, three - one)
    double = np.linalg.norm(across, axis=1)
    kept = double > 2.0 * SLIVER_MM2
    return (one + two + three)[kept] / 3.0, across[kept] / double[kept, None]


def _across(face: cq.Face) -> Mm:
    """The diagonal of its box, which may be somewhat too large."""
    box = Bnd_Box()
    BRepBndLib.Add_s(face.wrapped, box, False)
    return float(np.sqrt(box.SquareExtent()))
