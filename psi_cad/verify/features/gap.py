"""A gap between two parallel faces: its sides among the faces of a solid, its width and whether it is open, the checks of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.units import LIMITS, Array, Mm
from psi_cad.verify.features.feature import Triple, kept, place, way

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Gap", "checks", "find", "measure"]

PARALLEL: Final = 1.0 - 1e-9  # cosine
SAME_MM: Final[Mm] = 0.02  # between a face of the STEP and the triangle met on the STL
SHARES: Final = (-0.4, 0.0, 0.4)  # of its extent, from its middle, where it is looked at


@dataclass(frozen=True)
class Gap:
    """Two parallel faces `width` apart that look at each other, in the part's frame, mm.

    `point`: amid them; `normal`: across; `through`: the way in which the gap is open from side to side; `length`, `depth`: its extent
    along the third direction, and along `through`.
    """

    name: str
    point: Triple
    normal: Triple
    through: Triple
    width: Mm
    length: Mm
    depth: Mm


def find(gap: Gap, faces: Faces, *, away: tuple[Mm, Mm] | None = None) -> list[Flat]:
    """The flat faces that look at each other across the gap, one of each side; fewer where there is no such face.

    `away`: how far from its middle they are looked for, ahead and back along `normal`; where they were promised if not told.
    """
    normal, middle, found = np.array(gap.normal), np.array(gap.point), []
    for sign, near in zip((1.0, -1.0), away or (gap.width / 2.0, gap.width / 2.0), strict=True):
        facing = [flat for flat in faces.planes_along(normal, least=PARALLEL) if sign * float(flat[2] @ normal) < -PARALLEL]
        off = [abs(sign * float((point - middle) @ normal) - near) for _, point, _ in facing]
        if off and min(off) <= SAME_MM:
            found.append(facing[int(np.argmin(off))])
    return found


def measure(gap: Gap, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Its width between the flat faces of the STEP that the STL shows to stand beside it, and on the STL; how many lines through it meet material.

    Of a part without a STEP both widths are those of the STL.
    """
    normal, through = np.array(gap.normal), np.array(gap.through)
    along, middle = np.cross(through, normal), np.array(gap.point)
    places = np.array([middle + a * gap.length * along + d * gap.depth * through for a in SHARES for d in SHARES])
    wide = np.array([way(printed, places, sign * normal) for sign in (1.0, -1.0)])
    ahead, back = (float(np.median(found)) for found in wide)
    least = float((wide[0] + wide[1]).min())
    width: Mm | None = least if np.isfinite(least) else None
    if part is not None:
        sides = find(gap, part.faces, away=(ahead, back))
        width = float(sum(abs(float((point - middle) @ normal)) for _, point, _ in sides)) if len(sides) == 2 else None
    entries: Array = np.array([middle + a * gap.length * along - (gap.depth / 2.0 + 0.5) * through for a in SHARES])
    blocked = int((way(printed, entries, through) < gap.depth + 1.0).sum())
    return {"width_mm": width, "stl_width_mm": least if np.isfinite(least) else None, "blocked_lines": blocked}


def checks(gap: Gap, values: dict[str, Any]) -> list[Check]:
    """Its numbers against their limits."""
    at, wide, printed = place(gap.point), values["width_mm"], values["stl_width_mm"]
    return [
        kept(f"gap_width[{gap.name}]", None if wide is None else abs(wide - gap.width), "mm", "<=", LIMITS.slot_width, at),
        kept(f"gap_open[{gap.name}]", float(values["blocked_lines"]), "", "==", 0.0, at),
        kept(f"gap_printed[{gap.name}]", None if printed is None else abs(printed - gap.width), "mm", "<=", SAME_MM, at),
    ]
