"""Whether the walls of a slot that is open at one end, or the one wall of a ledge, have footplates that hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from psi_cad.brep.slab import rise_along
from psi_cad.errors import DesignError
from psi_cad.readback.hanging import HANGS
from psi_cad.sawing.plan import SlotPlan
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Mm

__all__ = ["refuse_hanging"]

STEP_MM: Final[Mm] = 0.5
BESIDE_MM: Final[Mm] = 2.0  # of a wall, a footplate that holds it is looked for: its rim is thinner


def refuse_hanging(plan: SlotPlan, plates: Sequence[shapely.Polygon], seat: HeightSpline, *, wall: Mm, open_end: str) -> None:
    """Refuse a wall that would stand alone too far: it bends, and then the slot is not as wide as it was made, or the ledge not where it was.

    Raises
    ------
    DesignError
        It names the parameter.
    """
    whole, slab = shapely.union_all(list(plates)), plan.slab(corner=0.0)
    ends = [1, -1] if plan.ledge else [end for end, one in ((-1, plan.open_ends[0]), (1, plan.open_ends[1])) if one]
    for end in ends:
        last, first = (plan.high, plan.low) if end > 0 else (plan.low, plan.high)
        s = np.arange(0.0, abs(last - first), STEP_MM) * -end + last
        for side in (plan.ledge,) if plan.ledge else (1, -1):
            flat = np.column_stack([np.full(len(s), side * (plan.half_width + BESIDE_MM)), s])
            points = slab.frame.patient(np.column_stack([flat, rise_along(seat, slab, flat)]))
            held = shapely.contains_xy(whole, points[:, 0], points[:, 1])
            long = float(abs(s[int(np.argmax(held))] - last)) if held.any() else abs(last - first)
            if long > HANGS * wall:
                name = f"params.open_end = '{open_end}'" if open_end else "params.ledge"
                wider = math.ceil(long / HANGS * 2.0) / 2.0
                raise DesignError(
                    f"{name}: a wall of cut '{plan.cut.name}' would stand alone over {long:.0f} mm at its end, and {HANGS * wall:g} is the most for "
                    f"a wall of {wall:g} mm; raise wall to {wider:g}, raise footplate_reach, lower run_out, or leave it out.",
                    where=points[0],
                    reason="contact",
                )
