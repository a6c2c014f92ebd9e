"""A flat face: where it lies, how large it is, the checks of that, on the triangles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import unit
from psi_cad.units import Mm
from psi_cad.verify.features.feature import Triple, kept, place

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces
    from psi_cad.readback.faces import Flat as FlatFace
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Flat", "checks", "find", "measure"]

PARALLEL: Final = 1.0 - 1e-9  # cosine, of faces of a STEP
TURNED: Final = float(np.cos(np.radians(0.1)))  # of triangles, whose corners an STL rounds
AWAY_MM: Final[Mm] = 1.0  # as far a face is looked for
BIN_MM: Final[Mm] = 0.005  # triangles at one height are one face
PLACE_MM: Final[Mm] = 0.02
SHARE: Final = 0.5  # of the promised area that must be found: letters and holes are taken out of it


@dataclass(frozen=True)
class Flat:
    """A flat face: a point in it, its normal (out of the part), and its area in mm²; in the part's frame, mm."""

    name: str
    point: Triple
    normal: Triple
    area: float


def find(flat: Flat, faces: Faces) -> list[FlatFace]:
    """The flat faces of a solid that lie there."""
    normal, point = unit(np.array(flat.normal)), np.array(flat.point)
    there = faces.planes_along(normal, least=PARALLEL)
    return [one for one in there if float(one[2] @ normal) > PARALLEL and abs(float((one[1] - point) @ normal)) <= PLACE_MM]


def measure(flat: Flat, part: Part | None, printed: Printed) -> dict[str, Any]:  # noqa: ARG001  (both files show it; what is printed counts)
    """How far it lies off its place, along its normal, and its area; nothing where no such face is found within a millimetre."""
    normal, point = unit(np.array(flat.normal)), np.array(flat.point)
    mesh = printed.mesh
    offs = (np.asarray(mesh.triangles_center) - point) @ normal
    there = (np.asarray(mesh.face_normals) @ normal > TURNED) & (np.abs(offs) < AWAY_MM)
    if not there.any():
        return {"offset_mm": None, "area_mm2": 0.0}
    offs, areas = offs[there], np.asarray(mesh.area_faces)[there]
    bins = np.rint((offs + AWAY_MM) / BIN_MM).astype(int)
    heights = np.convolve(np.bincount(bins, weights=areas, minlength=int(2 * AWAY_MM / BIN_MM) + 1), [1.0, 1.0, 1.0], mode="same")
    mine = np.abs(bins - int(np.argmax(heights))) <= 1  # the largest face among those at different heights
    area = float(areas[mine].sum())
    found = area >= SHARE * flat.area
    return {"offset_mm": float((offs[mine] * areas[mine]).sum() / area) if found else None, "area_mm2": area}


def checks(flat: Flat, values: dict[str, Any]) -> list[Check]:
    """Its place against its limit."""
    found = values["offset_mm"]
    return [kept(f"flat[{flat.name}]", None if found is None else abs(found), "mm", "<=", PLACE_MM, place(flat.point))]
