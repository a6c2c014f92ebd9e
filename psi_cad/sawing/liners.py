"""Slots in a metal sleeve: where the sleeve of a user's catalogue goes in the fence of each cut, flush with a flat top, and its pocket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.brep import pocket as pockets
from psi_cad.brep.slab import Slab, rise_along
from psi_cad.case.sleeves import SlotSleeve
from psi_cad.errors import DesignError
from psi_cad.frames import Frame
from psi_cad.guides.ground import SiteCut
from psi_cad.guides.site import Site, slot_room
from psi_cad.options.liner import FLOOR_MM
from psi_cad.units import Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["SHOULDER_MM", "TALLEST_MM", "UNDER_MM", "Lined", "Place", "lined_places", "pocket"]

SHOULDER_MM: Final[Mm] = 0.8  # of print, all round the slot below it, on which a sleeve stands
UNDER_MM: Final[Mm] = 0.4  # to each side: what is printed below a sleeve keeps so far from its slot, and guides nothing
TALLEST_MM: Final[Mm] = 45.0  # of a fence: a higher one breaks in the hand
SAME_MM: Final[Mm] = 0.005
PAST_BONE_MM: Final[Mm] = 0.5  # of a sleeve's slot, at each end
ABOVE_MM: Final[Mm] = 30.0  # the fence, to where a pocket is cut
WIDEST_MM: Final[Mm] = 6.5  # half of a fence, for which a seat is laid out


@dataclass(frozen=True)
class Lined:
    """The pocket for a sleeve: its size across the blade, the radius of its upright edges, and its floor and the fence's top along the blade."""

    length: Mm
    width: Mm
    corner: Mm
    floor: Mm
    top: Mm


@dataclass(frozen=True)
class Place:
    """Where one cut's sleeve goes: its slot between `low` and `high` along the cut, the fence between `fence_low` and `fence_high`."""

    lined: Lined
    low: Mm
    high: Mm
    fence_low: Mm
    fence_high: Mm
    half_width: Mm
    under: Mm  # width of the printed slot below it


def lined_places(site: Site, *, sleeve: SlotSleeve, clearance: Mm, height: Mm, wall: Mm, end_wall: Mm, fit: Mm) -> list[Place]:
    """For each cut of the site where its sleeve goes; `fit` is what a pocket is larger by.

    Raises
    ------
    DesignError
        Where the sleeve suits neither blade, cut nor print; it names the key.
    """
    _refuse_unfit(site, sleeve, clearance, height)
    more = fit + site.printer.slot_compensation
    length, width, under = sleeve.length + more, sleeve.width + more, sleeve.slot_width + 2.0 * UNDER_MM
    half = width / 2.0 + wall
    if half > WIDEST_MM:
        raise _refused(
            site.cuts[0], sleeve, f"with its walls it would be {2.0 * half:.1f} mm wide, and {2.0 * WIDEST_MM:g} is the most; take a narrower one"
        )
    found = []
    for number, cut in enumerate(site.cuts):
        if cut.stops or not all(cut.free):
            raise _refused(cut, sleeve, f"cut '{cut.name}' ends on another cut, where a sleeve has no room; leave slot_sleeve out")
        need = cut.chord + 2.0 * PAST_BONE_MM
        if sleeve.slot_length < need:
            raise _refused(cut, sleeve, f"its slot of {sleeve.slot_length:g} mm is shorter than cut '{cut.name}'; take one of {need:.0f} mm at least")
        reach, clear = length / 2.0 + end_wall, site.room[number]
        least = max(clear[0] + reach, cut.high + PAST_BONE_MM - sleeve.slot_length / 2.0)
        most = min(clear[1] - reach, cut.low - PAST_BONE_MM + sleeve.slot_length / 2.0)
        if least > most:
            raise _refused(cut, sleeve, f"bone stands up beside cut '{cut.name}', where it would lie; take a shorter one, or another approach")
        amid = min(max((cut.low + cut.high) / 2.0, least), most)
        low, high = amid - reach, amid + reach
        slab = Slab(origin=cut.origin, normal=cut.normal, blade=cut.blade, half_width=half, low=low, high=high)
        level = rise_along(site.seat.patch, slab, slab.grid(margin=0.0, step_d=0.5, step_s=0.5))
        floor = float(level.max()) + FLOOR_MM
        if (tall := floor + sleeve.height - float(level.min())) > TALLEST_MM:
            raise _refused(
                cut, sleeve, f"the fence of '{cut.name}' would stand {tall:.0f} mm high, and {TALLEST_MM:g} is the most; take a lower or shorter one"
            )
        lined = Lined(length, width, sleeve.corner, floor, floor + sleeve.height)
        found.append(Place(lined, amid - sleeve.slot_length / 2.0, amid + sleeve.slot_length / 2.0, low, high, half, under))
    return found


def _refuse_unfit(site: Site, sleeve: SlotSleeve, clearance: Mm, height: Mm) -> None:
    """Refuse a sleeve that no cut of this guide could use."""
    first, left = site.cuts[0], sleeve.slot_width - site.blade.thickness
    if abs(left - clearance) > SAME_MM:
        raise _refused(
            first,
            sleeve,
            f"its slot of {sleeve.slot_width:g} mm leaves blade '{site.blade.id}' {left:.2f} mm, and params.clearance = {clearance:g}; "
            "set clearance to what the sleeve leaves, or take another sleeve",
        )
    if sleeve.height < height:
        raise _refused(first, sleeve, f"it guides the blade over {sleeve.height:g} mm, and params.height = {height:g}; take a higher one")
    if sleeve.slot_length < slot_room(site.blade):
        raise _refused(
            first,
            sleeve,
            f"its slot is {sleeve.slot_length:g} mm long, and blade '{site.blade.id}' needs {slot_room(site.blade):.0f} mm to swing",
        )
    stands = min(sleeve.width - sleeve.slot_width, sleeve.length - sleeve.slot_length) / 2.0
    if stands < SHOULDER_MM + UNDER_MM:
        raise _refused(
            first,
            sleeve,
            f"only {stands:.2f} mm of it lie round its slot to stand on, and {SHOULDER_MM + UNDER_MM:g} is the least; take another",
        )


def _refused(cut: SiteCut, sleeve: SlotSleeve, said: str) -> DesignError:
    return DesignError(f"guide.slot_sleeve '{sleeve.id}': {said}.", where=cut.origin)


def pocket(lined: Lined, cut: SiteCut, *, amid: Mm) -> cq.Solid:
    """What is cut out for a sleeve: from its floor up, past the fence's top."""
    frame = Frame(origin=cut.origin + amid * cut.along + lined.floor * cut.blade, axes=np.stack([cut.normal, cut.along, cut.blade]))
    size = {"width": lined.width, "length": lined.length, "corner": lined.corner}
    return pockets.pocket(frame, **size, depth=lined.top - lined.floor + ABOVE_MM)
