"""The footplates and walls of a saw guide as solids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely

from psi_cad.brep import bodies
from psi_cad.sawing.slots import SlotPlan, stepped_heights
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
    """The walls beside each cut, without slots; `stops`: where a top follows what a saw stops on."""
    return [
        bodies.fence(
            seat,
            plan.slab(corner=edge_break),
            height=above,
            inner=plan.half_width - wall,
            edge_break=edge_break,
            free_ends=plan.free_ends,
            step=f"fence {plan.cut.name}",
            stop=stop,
        )
        for plan, above, stop in zip(plans, stepped_heights(seat, plans, height), stops, strict=True)
    ]
