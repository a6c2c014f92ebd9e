"""A thin wall: its sides among the faces of a solid, its thickness, the check of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.units import LIMITS, Mm
from psi_cad.verify.features.feature import Triple, kept, place, way

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Web", "checks", "find", "measure"]

PARALLEL: Final = 1.0 - 1e-9  # cosine
SAME_MM: Final[Mm] = 0.02  # between a face of the STEP and the triangle met on the STL
OUTSIDE_MM: Final[Mm] = 0.5  # beside it, from where it is looked at: the next wall may stand a slot away


@dataclass(frozen=True)
class Web:
    """A thin wall: a point amid it, the direction across it, and its thickness, in the part's frame, mm."""

    name: str
    point: Triple
    normal: Triple
    thickness: Mm


def find(web: Web, faces: Faces, *, thick: Mm | None = None) -> list[Flat]:
    """The flat faces on both of its sides, those ahead along `normal` first; `thick` is what it was promised if not told."""
    normal, middle, half = np.array(web.normal), np.array(web.point), (web.thickness if thick is None else thick) / 2.0
    return [
        flat
        for sign in (1.0, -1.0)
        for flat in faces.planes_along(normal, least=PARALLEL)
        if sign * float(flat[2] @ normal) > PARALLEL and abs(sign * float((flat[1] - middle) @ normal) - half) <= SAME_MM
    ]


def measure(web: Web, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Its thickness between the flat faces of the STEP that the STL shows; of a part without one, on the STL."""
    normal, middle = np.array(web.normal), np.array(web.point)
    outside = web.thickness / 2.0 + OUTSIDE_MM
    inward = [way(printed, (middle + sign * outside * normal)[None], -sign * normal)[0] for sign in (1.0, -1.0)]
    thick = 2.0 * outside - float(sum(inward))
    if part is None:
        return {"thickness_mm": thick if np.isfinite(thick) else None}
    found = find(web, part.faces, thick=thick)
    away = [float((point - middle) @ normal) for _, point, _ in found]
    return {"thickness_mm": away[0] - away[-1] if len(found) >= 2 else None}


def checks(web: Web, values: dict[str, Any]) -> list[Check]:
    """Its thickness against its limit."""
    found = values["thickness_mm"]
    off = None if found is None else abs(found - web.thickness)
    return [kept(f"web[{web.name}]", off, "mm", "<=", LIMITS.slot_width, place(web.point))]
