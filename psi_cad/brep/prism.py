"""Plane-sided prisms as solids."""

from __future__ import annotations

from collections.abc import Sequence

import cadquery as cq
import numpy as np

from psi_cad.brep.checked import common
from psi_cad.brep.patch import vector
from psi_cad.frames import Frame
from psi_cad.units import Array, Mm

__all__ = ["half_space", "outline_of", "prism"]


def prism(
    frame: Frame,
    *,
    half_width: Mm,
    low: Mm,
    high: Mm,
    bottom: Mm,
    top: Mm,
    corner: Mm,
    bounds: Sequence[tuple[Array, Array]],
    step: str,
) -> cq.Solid:
    """What of |d| <= half_width, low <= s <= high, bottom <= u <= top (`frame`) lies inward of `bounds`, vertical corners broken by `corner`."""
    flat = outline_of(half_width=half_width, low=low, high=high, corner=corner)
    corners = frame.patient(np.array([(d, s, bottom) for d, s in flat]))
    wire = cq.Wire.makePolygon([vector(corner) for corner in corners], close=True)
    solid = cq.Solid.extrudeLinear(wire, [], vector(frame.axes[2] * (top - bottom)))
    for point, inward in bounds:
        solid = common(step, solid, half_space(point, inward, frame.origin))
    return solid


def outline_of(*, half_width: Mm, low: Mm, high: Mm, corner: Mm) -> list[tuple[Mm, Mm]]:
    """The prism's outline in (d, s), against the clock."""
    w, c = half_width, corner
    if c > 0.0:
        return [(w - c, low), (w, low + c), (w, high - c), (w - c, high), (c - w, high), (-w, high - c), (-w, low + c), (c - w, low)]
    return [(w, low), (w, high), (-w, high), (-w, low)]


def half_space(point: Array, inward: Array, near: Array) -> cq.Solid:
    """A large box on the `inward` side of a plane, about the foot of `near` on it."""
    size = 600.0
    foot = near - float((near - point) @ inward) * inward
    plane = cq.Plane(origin=vector(foot), normal=vector(inward))
    return cq.Solid.makeBox(size, size, size / 2.0, cq.Vector(-size / 2.0, -size / 2.0, 0.0)).moved(cq.Location(plane))
