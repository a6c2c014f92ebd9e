"""The footplates and walls of a saw guide as solids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from psi_cad.brep import bodies, pocket
from psi_cad.brep.slab import rise_along
from psi_cad.sawing.plan import SlotPlan
from psi_cad.sawing.slots import stepped_heights
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["fences", "shells"]


def shells(seat: HeightSpline, plates: list[shapely.Polygon], *, thickness: Mm, edge_break: Mm) -> list[cq.Solid]:
    """The footplates over their outlines."""
    return [
        bodies.footplate(seat, plate, thickness=thickness, edge_break=edge_break, step=f"footplate {n}") for n, plate in enumerate(plates, start=1)
    ]


def fences(
    seat: HeightSpline, plans: list[SlotPlan], stops: list[tuple[Array, Array] | None], *, height: Mm, wall: Mm, edge_break: Mm
) -> list[cq.Solid]:
    """The walls beside each cut, without slots; `stops`: where a top follows what a saw stops on. That of a metal sleeve is flat."""
    found = []
    for plan, above, stop in zip(plans, stepped_heights(seat, plans, height), stops, strict=True):
        slab, step = plan.slab(corner=edge_break), f"fence {plan.cut.name}"
        if plan.lined is not None:
            ends = np.array([(d, s) for d in (-slab.half_width, slab.half_width) for s in np.linspace(slab.low, slab.high, 40)])
            low = float(rise_along(seat, slab, ends).min()) - bodies.DEEP
            found.append(pocket.flat_fence(slab, bottom=low, top=plan.lined.top, edge_break=edge_break, step=step))
            continue
        inner = plan.half_width - wall
        found.append(bodies.fence(seat, slab, height=above, inner=inner, edge_break=edge_break, free_ends=plan.free_ends, step=step, stop=stop))
    return found
