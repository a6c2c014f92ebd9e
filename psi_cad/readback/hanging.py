"""How far a wall beside a slot stands alone at an end, without a footplate that holds it."""

from __future__ import annotations

from typing import Final

import numpy as np

from psi_cad.readback.printed import Printed
from psi_cad.units import Array, Mm

__all__ = ["HANGS", "hangs"]

HANGS: Final = 6.0  # times its thickness a wall of 10 mm may stand alone: 5 N at its end bend it by 0.2 mm, a slot's whole clearance (2,500 N/mm²)
STEP_MM: Final[Mm] = 0.5
BELOW_MM: Final[Mm] = 150.0  # any fence, along the blade
FIRST_MM: Final[Mm] = 1.0  # inside the end, where its edges are broken
BESIDE_MM: Final[Mm] = 2.0  # of a wall: a footplate that is there holds it
SLANT_MM: Final[Mm] = 7.0  # between the undersides of both: what hangs higher is a tag


def hangs(printed: Printed, axes: tuple[Array, Array, Array, Array], *, face: Mm, wall: Mm, end: tuple[Mm, Mm]) -> tuple[Mm, Array]:
    """For how many mm a wall has no footplate behind it, from an end inward, and where it begins to have one.

    `axes`: origin, normal, the ways along the slot and the blade. `face`: of the wall, along the normal. `end`: where along the slot it ends, and how
    far it is looked at, inward. The wall is `wall` thick.
    """
    origin, normal, along, blade = axes
    inward, out = float(np.sign(end[1] - end[0])), float(np.sign(face))
    s = end[0] + inward * np.arange(FIRST_MM, max(abs(end[1] - end[0]), FIRST_MM + STEP_MM), STEP_MM)
    line = origin + s[:, None] * along - BELOW_MM * blade
    wall_foot, _ = printed.caster.first(line + (face + out * wall / 2.0) * normal, blade)
    plate_foot, _ = printed.caster.first(line + (face + out * (wall + BESIDE_MM)) * normal, blade)
    with np.errstate(invalid="ignore"):
        backed = np.isfinite(wall_foot) & np.isfinite(plate_foot) & (np.abs(wall_foot - plate_foot) < SLANT_MM)
    first = int(np.argmax(backed)) if backed.any() else len(s) - 1
    return float(abs(s[first] - end[0])), np.asarray(line[first] + BELOW_MM * blade)
