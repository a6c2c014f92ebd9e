"""The pocket that a block of metal is pressed into, and the fence with a flat top that has one."""

from __future__ import annotations

from typing import Final

import cadquery as cq
import numpy as np

from psi_cad.brep.bodies import placed
from psi_cad.brep.checked import one_solid
from psi_cad.brep.slab import Slab
from psi_cad.frames import Frame
from psi_cad.units import Mm

__all__ = ["flat_fence", "pocket"]

LEAST_FLAT_MM: Final[Mm] = 1e-4  # of a side between two rounded edges


def pocket(frame: Frame, *, width: Mm, length: Mm, corner: Mm, depth: Mm) -> cq.Solid:
    """What is cut out: from z = 0 of `frame` up by `depth`, `width` along its x and `length` along its y, upright edges rounded by `corner`."""
    box = cq.Workplane("XY").box(width, length, depth, centered=(True, True, False))
    if corner > 0.0:
        box = box.edges("|Z").fillet(min(corner, width / 2.0 - LEAST_FLAT_MM))
    return placed(cq.Solid(box.solids().vals()[0].wrapped), frame)


def flat_fence(slab: Slab, *, bottom: Mm, top: Mm, edge_break: Mm, step: str) -> cq.Solid:
    """A fence from `bottom` to the flat `top` along the blade, that one's edges broken; not yet cut by the seat."""
    solid = slab.solid(bottom=bottom, top=top, step=step)
    if edge_break <= 0.0:
        return solid
    up = slab.frame.axes[2]
    highest = max(solid.Faces(), key=lambda face: float(np.array(face.Center().toTuple()) @ up))
    return one_solid(step, solid.chamfer(edge_break, None, highest.Edges()))
