"""A hole of a plate that a wire goes into first: whether the wire's bore lies on the axis that the case gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import angle_between, unit
from psi_cad.units import Deg, Mm
from psi_cad.verify.features.feature import Triple, kept, place

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Plated", "checks", "find", "measure", "said"]

NEAR_MM: Final[Mm] = 2.0  # a bore further off is not taken for the hole's
NEAR_DEG: Final[Deg] = 5.0
NEAR_SIZE: Final[Mm] = 0.02
AXIS_MM: Final[Mm] = 0.05
ANGLE_DEG: Final[Deg] = 0.05


@dataclass(frozen=True)
class Plated:
    """One hole as the case gives it: a `point` of its axis, its direction `out` of the bone; guide frame, mm. `bore`: of the wire's hole there."""

    name: str
    point: Triple
    out: Triple
    bore: Mm


def find(plated: Plated, faces: Faces) -> list[Round]:
    """The hollow cylinders as wide that lie near its axis."""
    point, out = np.array(plated.point), unit(np.array(plated.out))
    return [
        one
        for one in faces.cylinders
        if one[3] < 0.0
        and abs(-2.0 * one[3] - plated.bore) <= NEAR_SIZE
        and min(angle_between(one[2], out), angle_between(-one[2], out)) <= NEAR_DEG
        and float(np.linalg.norm(np.cross(point - one[1], one[2]))) <= NEAR_MM
    ]


def measure(plated: Plated, part: Part | None, printed: Printed) -> dict[str, Any]:
    """How far the bore's axis on the STEP passes the given point, and how far it is turned from the given direction."""
    del printed
    found = [] if part is None else find(plated, part.faces)
    point, out = np.array(plated.point), unit(np.array(plated.out))
    offs = [float(np.linalg.norm(np.cross(point - one[1], one[2]))) for one in found]
    turns = [min(angle_between(one[2], out), angle_between(-one[2], out)) for one in found]
    return {"off_mm": max(offs, default=None), "turn_deg": max(turns, default=None)}


def checks(plated: Plated, values: dict[str, Any]) -> list[Check]:
    """Whether a wire through the guide meets the hole."""
    at, point = f"[{plated.name}]", place(plated.point)
    return [
        kept(f"plated_axis{at}", values.get("off_mm"), "mm", "<=", AXIS_MM, point),
        kept(f"plated_turn{at}", values.get("turn_deg"), "deg", "<=", ANGLE_DEG, point),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    return [f"wires go into the holes of a plate: {', '.join(str(one['name']) for one in found)}"]
