"""The outlines of a saw guide's footplates."""

from __future__ import annotations

import shapely

from psi_cad.errors import DesignError
from psi_cad.guides.contract import Workshop
from psi_cad.guides.site import Site
from psi_cad.sawing.plan import SlotPlan
from psi_cad.siting.access import outlines

__all__ = ["footprints"]


def footprints(site: Site, plans: list[SlotPlan], workshop: Workshop, *, mend: str) -> list[shapely.Polygon]:
    """Outlines of the footplates: accessible bone that a fence stands on; `mend`: what may give some.

    Raises
    ------
    DesignError
        If there is none.
    """
    found = []
    for outline in workshop.made(outlines, site.field, site.field.contact, rounding=2.0 + 0.35 * site.attempt):
        if any(outline.intersection(plan.footprint(site.seat.patch)).area > 8.0 for plan in plans):
            found.append(outline)
    if not found:
        raise DesignError(
            f"No footplate reaches the fence: the bone at the cut is too narrow or too steep; {mend}.",
            where=plans[0].cut.origin,
            reason="contact",
        )
    return found
