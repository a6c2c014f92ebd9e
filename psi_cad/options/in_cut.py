"""What the kinds of options have in common that guide the blade of a cut otherwise than a slot of the print does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from psi_cad.frames import rounded, unit
from psi_cad.promises.expected import Expected, ExpectedSlot
from psi_cad.readback.printed import Printed
from psi_cad.readback.reach import blade_needed
from psi_cad.units import Array, Mm
from psi_cad.verify.features.feature import Triple

__all__ = ["SIDES", "InCut", "blade_reach"]

SIDES: Final = {1: "the specimen's side", -1: "the side of the bone that stays"}  # of a cut, by the sign along its normal


@dataclass(frozen=True)
class InCut:
    """The cut `name`: `origin` and `normal` of the plane in which the middle of the blade runs, `out` its way out of the bone; guide frame, mm."""

    name: str
    origin: Triple
    normal: Triple
    out: Triple

    @property
    def axes(self) -> tuple[Array, Array, Array, Array]:
        """Origin, normal, the way along the cut, and the blade's."""
        normal, blade = unit(np.array(self.normal)), unit(np.array(self.out))
        return np.array(self.origin), normal, np.cross(blade, normal), blade


def blade_reach(one: InCut, slot: ExpectedSlot, printed: Printed, expected: Expected, *, low: Mm, high: Mm) -> dict[str, Any]:
    """How much blade a cut needs below its hub, and where: by the deepest line between `low` and `high` along it, and what stands beside `slot`."""
    _, _, along, blade = one.axes
    needed = blade_needed(printed, expected, slot, ((low, high),), (along, blade))
    if needed is None:
        return {}
    return {"reach_mm": needed[0], "reach_at": None if needed[1] is None else rounded(expected.frame.local(np.array(needed[1])))}
