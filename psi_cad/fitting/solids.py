"""The solids of a guide's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.brep import bodies, hollow, knob, plate
from psi_cad.fitting.extras import Extras
from psi_cad.frames import Frame
from psi_cad.options.flap import CORNER_MM
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Mm

if TYPE_CHECKING:
    import cadquery as cq

ABOVE_MM: Final[Mm] = 5.0  # a sleeve, as its wire's hole
__all__ = ["holes", "relieved", "upright"]


def upright(extras: Extras, *, low: Mm, edge_break: Mm) -> list[cq.Solid]:
    """What stands on footplates, down to the level `low`: the seat cuts it to the bone."""
    found = []
    if (flap := extras.flap) is not None:
        size = {"width": flap.width, "low": flap.low, "high": flap.height, "thickness": flap.thickness}
        found.append(plate.rounded_plate(flap.frame, **size, corner=CORNER_MM, rim=flap.rim, step="flap"))
    if (grip := extras.grip) is not None:
        size = {"shaft": grip.shaft, "diameter": grip.diameter, "head": grip.head, "height": grip.height}
        found.append(knob.knob(np.array(grip.foot), **size, bottom=low, edge_break=edge_break, step="grip"))
    return found


def holes(extras: Extras, *, low: Mm) -> list[cq.Solid]:
    """What is cut through footplates, from the level `low`, and the seats of metal sleeves."""
    found = [bodies.cylinder(np.array(one.middle[:2]), diameter=one.diameter, bottom=low, top=one.top) for one in extras.windows]
    for one in extras.inserts:
        frame = Frame.from_z(origin=np.array(one.top), z=np.array(one.out), x_near=np.array([1.0, 0.0, 0.0]))
        found.append(bodies.placed(bodies.cylinder(np.zeros(2), diameter=one.seat, bottom=-one.length, top=ABOVE_MM), frame))
    return found


def relieved(extras: Extras, body: cq.Solid, seat: HeightSpline) -> cq.Solid:
    """A body on its seat, without what keeps off the bone."""
    if extras.relief is None:
        return body
    return hollow.hollowed("relief", body, seat, extras.relief.polygons(), depth=extras.relief.depth)
