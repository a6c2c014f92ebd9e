"""The solid that shows where a cup will lie: its bowl, on a footplate of the guide's own seat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.brep import bodies, checked
from psi_cad.frames import Frame, across, triple
from psi_cad.units import Array, Mm
from psi_cad.verify.features.flat import Flat

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["bowl", "emptied", "neck", "rim", "shadow"]

WALL: Final[Mm] = 3.0  # of the bowl
OFF_BONE: Final[Mm] = 0.5  # of the bowl from a sawn face that its cup reaches into
FURTHER: Final[Mm] = 120.0  # before the opening nothing of the trial stands
LEAST: Final[Mm] = 1.0  # of a neck
SHARES: Final = (0.25, 0.5, 0.75, 1.0)  # of a cup's radius, at which its shadow is told
BEFORE: Final[tuple[Mm, ...]] = (0.0, 15.0, 30.0, 45.0, 60.0)  # the opening, where nothing of the trial stands


def _frame(centre: Array, axis: Array) -> Frame:
    return Frame.from_z(origin=centre, z=axis, x_near=across(axis))


def bowl(centre: Array, axis: Array, diameter: Mm, sawn: tuple[Array, Array]) -> cq.Solid:
    """The back half of a cup's outside as a shell, opening along `axis`; what would lie below the `sawn` face (point, normal) is left out.

    Raises
    ------
    KernelError
    """
    import cadquery as cq

    outer, inner, slant = diameter / 2.0, diameter / 2.0 - WALL, np.sqrt(0.5)
    profile = (
        cq.Workplane("XZ")
        .moveTo(inner, 0.0)
        .lineTo(outer, 0.0)
        .threePointArc((outer * slant, -outer * slant), (0.0, -outer))
        .lineTo(0.0, -inner)
        .threePointArc((inner * slant, -inner * slant), (inner, 0.0))
        .close()
    )
    shell = bodies.placed(cq.Solid(profile.revolve(360.0, (0, 0, 0), (0, 1, 0)).val().wrapped), _frame(centre, axis))
    point, normal = sawn
    face = point + OFF_BONE * normal
    if float((centre - face) @ normal) > outer:
        return shell
    foot = centre - float((centre - face) @ normal) * normal
    block = cq.Solid.makeBox(4.0 * diameter, 4.0 * diameter, 2.0 * diameter, cq.Vector(-2.0 * diameter, -2.0 * diameter, -2.0 * diameter))
    return checked.cut("cup at the sawn face", shell, bodies.placed(block, _frame(foot, normal)))


def neck(entry: Array, out: Array, *, bottom: Mm, offset: Mm, diameter: Mm, radius: Mm) -> cq.Solid | None:
    """What carries the bowl: a cylinder on the stem's axis, from below the seat into the bowl's wall; None where the bowl lies on the footplate."""
    top = offset - diameter / 2.0 + WALL / 2.0
    if top < LEAST:
        return None
    upright = bodies.sleeve(np.zeros(2), diameter=2.0 * radius, bottom=bottom, top=top, edge_break=0.0)
    return bodies.placed(upright, _frame(entry, out))


def emptied(body: cq.Solid, centre: Array, axis: Array, diameter: Mm) -> cq.Solid:
    """A body without what stands in the bowl or before its opening.

    Raises
    ------
    KernelError
    """
    import cadquery as cq

    inner, slant = diameter / 2.0 - WALL, np.sqrt(0.5)
    profile = (
        cq.Workplane("XZ")
        .moveTo(0.0, -inner)
        .threePointArc((inner * slant, -inner * slant), (inner, 0.0))
        .lineTo(inner, FURTHER)
        .lineTo(0.0, FURTHER)
        .close()
    )
    inside = cq.Solid(profile.revolve(360.0, (0, 0, 0), (0, 1, 0)).val().wrapped)
    return checked.cut("inside of the cup", body, bodies.placed(inside, _frame(centre, axis)))


def shadow(centre: Array, axis: Array, diameter: Mm, entry: Array) -> list[tuple[Mm, Mm]]:
    """Places (guide xy) on what the bowl, what lies before its opening and its neck hide as one looks along the seating axis."""
    turns, outer = np.linspace(0.0, 2.0 * np.pi, 36, endpoint=False), diameter / 2.0
    across_, along = np.cross(axis, across(axis)), across(axis)
    ring = np.outer(np.cos(turns), along) + np.outer(np.sin(turns), across_)
    seen = [share * outer * ring[:, :2] + centre[:2] + reach * axis[:2] for share in SHARES for reach in (-outer * (1.0 - share), *BEFORE)]
    spine = np.linspace(entry[:2], centre[:2], 8)
    ball = [share * outer * np.column_stack([np.cos(turns), np.sin(turns)]) + centre[:2] for share in SHARES]
    return [(float(x), float(y)) for x, y in np.vstack([*seen, *ball, spine])]


def rim(centre: Array, axis: Array, diameter: Mm) -> Flat:
    """The rim of the bowl, to be found again in the file: it tells the cup's place and angles."""
    outer = diameter / 2.0
    at = centre + (outer - WALL / 2.0) * across(axis)
    return Flat("rim", triple(at), triple(axis), float(np.pi * (outer**2 - (outer - WALL) ** 2)))
