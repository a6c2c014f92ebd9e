"""Cuts that are guided by one wall only: which can be, what that leaves to the hand, and what is not there of the guide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.brep import prism
from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.guides.ground import SiteCut
from psi_cad.guides.site import Site
from psi_cad.resection.depth import slot_depth
from psi_cad.units import Array, Deg, Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["BARS", "LEDGES", "ledge_caution", "open_side", "refuse_unfit", "side_of", "slot_tilt", "tip_moves"]

BARS: Final = {  # parameters that a ledge can't go with, each with the reason
    "open_end": "it has one wall, which is open at both ends",
    "depth_stop": "a hub that comes down on one wall tips the blade off it",
    "depth_scale": "its numbers are true only while the blade is held by two walls",
}
LEDGES: Final = {"": 0, "specimen": 1, "retained": -1}  # what a parameter may say, and the side that it means


def side_of(ledge: str) -> int:
    """On which side of its cuts a guide's one wall stands: 1 where the specimen is, -1 where bone stays, 0 where there are two."""
    return LEDGES[ledge]


def slot_tilt(clearance: Mm, height: Mm) -> Deg:
    """How far a blade can be turned in a slot about the slot's own axis.

    >>> round(slot_tilt(0.15, 10.0), 2)
    0.86
    """
    return math.degrees(math.atan2(clearance, height))


def tip_moves(length: Mm, turn: Deg = 1.0) -> Mm:
    """How far the tip of a blade moves that is turned by `turn` about the edge of a ledge, `length` above it.

    >>> round(tip_moves(50.0), 2)
    0.87
    """
    return length * math.tan(math.radians(turn))


def refuse_unfit(site: Site, side: int, footprint_side: int) -> None:
    """Refuse cuts that one wall can't guide.

    Raises
    ------
    DesignError
        It names the parameter.
    """
    asked = f"params.ledge = '{next(name for name, of in LEDGES.items() if of == side)}'"
    first = site.cuts[0]
    if footprint_side == -side:
        raise _refused(first, f"{asked}: the guide stands on that side of its cuts, and footprint_side = {footprint_side} asks for the other")
    if site.graft is not None:
        raise _refused(first, f"{asked}: the faces of a graft have to fit, and one wall leaves the blade's angle to the hand; leave ledge out")
    for cut in site.cuts:
        if cut.stops or not all(cut.free):
            raise _refused(
                cut, f"{asked}: cut '{cut.name}' ends on another cut, past which it is not to be sawn, and one wall stops no blade; leave ledge out"
            )
    if side < 0 and len(site.cuts) > 1:
        raise _refused(
            site.cuts[1], f"{asked}: nothing would join the walls of '{first.name}' and '{site.cuts[1].name}'; give each cut a guide of its own"
        )


def _refused(cut: SiteCut, said: str) -> DesignError:
    return DesignError(f"{said}.", where=cut.origin)


def ledge_caution(site: Site, cut: str, *, height: Mm, clearance: Mm) -> Caution:
    """What a surgeon has to know of such a cut; a slot beside it would have that clearance."""
    sawn = next(one for one in site.sawn if one.name == cut)
    deepest = slot_depth(sawn, site.axis.direction).deepest
    text = (
        f"cut {cut}: the blade is guided by one wall only, and only while it is pressed on it; each degree that it tips off moves its tip by "
        f"{tip_moves(height + deepest):.1f} mm at the deepest bone (a slot would let it tip by {slot_tilt(clearance, height):.1f}° at most)"
    )
    return Caution("one-wall", text)


def open_side(origin: Array, normal: Array, *, side: int, half_width: Mm) -> cq.Solid:
    """All that lies past the face of a ledge: nothing of the guide is there."""
    face = origin + side * half_width * normal
    return prism.half_space(face, -side * normal, np.asarray(face))
