"""A knob that a guide is held by: a shaft with a wider head, which needs no support when it is printed upright."""

from __future__ import annotations

import cadquery as cq

from psi_cad.brep.checked import one_solid, say
from psi_cad.units import Array, Mm

__all__ = ["knob"]


def knob(foot: Array, *, shaft: Mm, diameter: Mm, head: Mm, height: Mm, bottom: Mm, edge_break: Mm, step: str) -> cq.Solid:
    """About the seating axis through `foot` (3,): from the level `bottom` to `height` above the foot, its head widening at 45°."""
    say(step)
    x, y, z = (float(value) for value in foot)
    wide, narrow, e = diameter / 2.0, shaft / 2.0, edge_break
    top = z + height
    profile = [
        (0.0, bottom),
        (narrow, bottom),
        (narrow, top - head - (wide - narrow)),
        (wide, top - head),
        (wide, top - e),
        (wide - e, top),
        (0.0, top),
    ]
    wire = cq.Wire.makePolygon([cq.Vector(x + radius, y, level) for radius, level in profile], close=True)
    return one_solid(step, cq.Solid.revolve(wire, [], 360.0, cq.Vector(x, y, bottom), cq.Vector(x, y, top)))
