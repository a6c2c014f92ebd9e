"""A flat plate with rounded corners and a rounded rim, such as holds tissue back."""

from __future__ import annotations

from typing import Final

import cadquery as cq
from OCP.Standard import Standard_Failure

from psi_cad.brep.bodies import placed
from psi_cad.brep.checked import one_solid, say
from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.units import Mm

__all__ = ["rounded_plate"]

BOTTOM_MM: Final[Mm] = 1e-3


def rounded_plate(frame: Frame, *, width: Mm, low: Mm, high: Mm, thickness: Mm, corner: Mm, rim: Mm, step: str) -> cq.Solid:
    """The plate |x| <= width / 2, |y| <= thickness / 2, low <= z <= high of `frame`; its upper corners and all edges but the lower are rounded.

    Raises
    ------
    KernelError
    """
    say(step)
    half = width / 2.0
    drawn = (
        cq.Workplane("XZ", origin=(0.0, thickness / 2.0, 0.0))
        .moveTo(-half, low)
        .lineTo(half, low)
        .lineTo(half, high - corner)
        .radiusArc((half - corner, high), -corner)
        .lineTo(corner - half, high)
        .radiusArc((-half, high - corner), -corner)
        .close()
        .extrude(thickness)
    )
    solid = one_solid(step, drawn.val())
    edges = [edge for edge in solid.Edges() if abs(edge.Center().y) > thickness / 2.0 - BOTTOM_MM and edge.Center().z > low + BOTTOM_MM]
    try:
        rounded = solid.fillet(rim, edges)
    except (Standard_Failure, ValueError) as failure:
        raise KernelError(f"The step '{step}' failed in the kernel ({type(failure).__name__}); give another flap_height.") from failure
    return placed(one_solid(step, rounded), frame)
