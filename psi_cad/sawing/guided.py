"""How each cut of a guide is guided: in a slot of the print, on one wall, or in a metal sleeve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import shapely

from psi_cad.errors import DesignError
from psi_cad.guides.site import Site
from psi_cad.sawing.ledges import ledge_caution, refuse_unfit, side_of
from psi_cad.sawing.liners import lined_places
from psi_cad.sawing.plan import SlotPlan
from psi_cad.sawing.slots import plan_slots, refuse_off_seat
from psi_cad.units import Mm

__all__ = ["guided_cuts"]

APART_MM: Final[Mm] = 0.5  # between two fences with sleeves
BARRED: Final[Mapping[str, str]] = {  # parameters that no metal sleeve goes with
    "ledge": "a sleeve needs a pocket of two walls",
    "open_end": "a sleeve is closed at both ends",
    "depth_stop": "the sleeve's top is flat, so a hub does not come down where the bone's depth asks",
    "depth_scale": "its numbers count from a fence that follows the bone, and the sleeve's top is flat",
}


def guided_cuts(
    site: Site,
    *,
    clearance: Mm,
    wall: Mm,
    end_wall: Mm,
    run_out: Mm,
    height: Mm,
    bridge_over: Mm,
    bridge_width: Mm,
    open_end: str,
    ledge: str,
    footprint_side: int,
    sleeve_fit: Mm,
    others: Mapping[str, Any],
) -> list[SlotPlan]:
    """A plan for each cut of the site; with a `ledge` or with the site's metal sleeve no slot of the print guides it.

    `others`: values of further parameters by name, which a sleeve may not go with.

    Raises
    ------
    DesignError
        Where there is no room, or things do not go together; it names the parameter or key.
    """
    if site.slot_sleeve is not None:
        asked: Mapping[str, Any] = {**others, "ledge": ledge, "open_end": open_end}
        for name, why in BARRED.items():
            if asked.get(name):
                raise DesignError(
                    f"guide.slot_sleeve '{site.slot_sleeve.id}' can't go with params.{name}: {why}; leave one of the two out.",
                    where=site.cuts[0].origin,
                )
        return _lined(site, clearance, height, wall, end_wall, sleeve_fit)
    side = side_of(ledge)
    width = site.slot_width(0.0 if side else clearance)
    if width <= 0.1:
        raise DesignError(f"The slot would be {width:.2f} mm wide; check the blade's thickness and the printer's slot_compensation.")
    if side:
        refuse_unfit(site, side, footprint_side)
    plans = plan_slots(
        site,
        width=width,
        wall=wall,
        end_wall=end_wall,
        run_out=run_out,
        height=height,
        bridge_over=bridge_over,
        bridge_width=bridge_width,
        open_end=open_end,
        ledge=side,
    )
    if not side:
        return plans
    told = [ledge_caution(site, plan.cut.name, height=height, clearance=clearance) for plan in plans]
    return [replace(plan, cautions=(*plan.cautions, caution)) for plan, caution in zip(plans, told, strict=True)]


def _lined(site: Site, clearance: Mm, height: Mm, wall: Mm, end_wall: Mm, fit: Mm) -> list[SlotPlan]:
    """Each cut in a metal sleeve; the slot that is printed below it is wider, and guides nothing."""
    sleeve = site.slot_sleeve
    assert sleeve is not None
    places = lined_places(site, sleeve=sleeve, clearance=clearance, height=height, wall=wall, end_wall=end_wall, fit=fit)
    plans: list[SlotPlan] = []
    for cut, at in zip(site.cuts, places, strict=True):
        beside = (at.under - sleeve.slot_width) / 2.0
        windows = ((at.low - beside, at.high + beside),)
        plan = SlotPlan(cut, at.under, at.half_width, at.low, at.high, at.fence_low, at.fence_high, windows, (), (True, True), lined=at.lined)
        if any(plan.footprint(site.seat.patch).distance(other.footprint(site.seat.patch)) < APART_MM for other in plans):
            raise DesignError(
                f"guide.slot_sleeve '{sleeve.id}': the sleeves of '{cut.name}' and another cut would meet; put the cuts in separate guides.",
                where=cut.origin,
            )
        plans.append(plan)
    refuse_off_seat(site, plans, shapely.box(*site.seat.patch.bounds).buffer(-1.0))
    return plans
