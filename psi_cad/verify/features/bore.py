"""A round hole: its faces among those of a solid, its diameter, the check of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import ring, unit
from psi_cad.units import Mm
from psi_cad.verify.features.feature import Triple, kept, place, way

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Bore", "checks", "find", "measure"]

PARALLEL: Final = 1.0 - 1e-9  # cosine
BORE_MM: Final[Mm] = 0.01
MESH_MM: Final[Mm] = 0.06  # a triangulated bore is that much narrower or wider
TURNS: Final = 24  # rays all round


@dataclass(frozen=True)
class Bore:
    """A round hole: a point on its axis, the axis' direction, and its diameter, in the part's frame, mm."""

    name: str
    point: Triple
    direction: Triple
    diameter: Mm


def find(bore: Bore, faces: Faces) -> list[Round]:
    """The hollow cylinders about its axis, however wide."""
    direction, point = unit(np.array(bore.direction)), np.array(bore.point)
    return [
        one
        for one in faces.cylinders
        if one[3] < 0.0 and abs(float(one[2] @ direction)) > PARALLEL and np.linalg.norm(np.cross(one[1] - point, direction)) < BORE_MM
    ]


def measure(bore: Bore, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Its diameter on the STEP; of a part without one, the widest and the narrowest on the triangles, at its point."""
    if part is not None:
        found = find(bore, part.faces)
        return {"diameter_mm": -2.0 * found[-1][3] if found else None}
    out, point = unit(np.array(bore.direction)), np.array(bore.point)
    away = way(printed, np.tile(point, (TURNS, 1)), ring(out, TURNS))
    worst = float(away[int(np.argmax(np.abs(2.0 * away - bore.diameter)))])
    return {"diameter_mm": 2.0 * worst if np.isfinite(worst) else None, "of_triangles": True}


def checks(bore: Bore, values: dict[str, Any]) -> list[Check]:
    """Its diameter against its limit."""
    found = values["diameter_mm"]
    off = None if found is None else abs(found - bore.diameter)
    return [kept(f"bore[{bore.name}]", off, "mm", "<=", MESH_MM if values.get("of_triangles") else BORE_MM, place(bore.point))]
