"""Where a guide would slide: reach further along the bone and wrap further round it, until the contact locks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy import ndimage

from psi_cad.errors import DesignError, SeatError, SurfaceError
from psi_cad.planning.axis import SeatingAxis
from psi_cad.planning.sliding import Sliding, sliding, smoothed_normals
from psi_cad.surface.seat import HeightField
from psi_cad.surface.spline import fit, uniform_knots
from psi_cad.units import LIMITS, Deg, Mm

__all__ = ["Seating", "Tried", "contact_sliding", "locked"]

AIM: Final = 1.05  # of the limit: what is measured on the files differs by some per cent from what is planned
RIM_MM: Final[Mm] = 1.0  # of the contact, which the rounded outline of a footplate leaves out
REACH_STEP: Final[Mm] = 6.0
REACH_MOST: Final[Mm] = 40.0  # as far as the parameter goes
WRAP_MOST: Final[Deg] = 65.0
KNOTS_MM: Final[Mm] = 3.0
PROMISING: Final = 0.95  # of the limit, seen from the coarse look at all directions


@dataclass(frozen=True)
class Tried:
    """One way to lock a guide: how far it reached (mm) and wrapped (deg), the lock that gave, and why it was left if it was."""

    reach: Mm
    slope_limit: Deg
    lock: float | None
    left: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        lock = None if self.lock is None else round(self.lock, 4)
        return {"footplate_reach_mm": self.reach, "slope_limit_deg": self.slope_limit, "sliding_lock": lock, "left": self.left}


@dataclass(frozen=True)
class Seating:
    """How a guide sits: its axis, how far it reaches and wraps, the lock that is expected of it, and what was tried for that."""

    axis: SeatingAxis
    reach: Mm
    slope_limit: Deg
    lock: float | None
    tried: tuple[Tried, ...]


def contact_sliding(field: HeightField) -> Sliding:
    """The weakest slide of the contact of `field`, less a rim, on the smooth sheet through it; guide frame."""
    here = field.points[field.contact]
    low, high = field.points.min(axis=0), field.points.max(axis=0)
    sheet = fit(
        here,
        field.heights[field.contact],
        weights=np.ones(len(here)),
        x_knots=uniform_knots(low[0], high[0], KNOTS_MM),
        y_knots=uniform_knots(low[1], high[1], KNOTS_MM),
        cell_area=field.step**2,
        smoothing=0.05,
    )
    up = np.column_stack([-sheet.gradient(field.points), np.ones(len(field.points))])
    steep = np.linalg.norm(up, axis=1)
    on = ndimage.binary_erosion(field.contact.reshape(field.shape), iterations=round(RIM_MM / field.step)).ravel()
    normals = smoothed_normals(up / steep[:, None], on, field.shape, field.step)
    inner = field.points[on]
    return sliding(np.column_stack([inner, sheet(inner)]), normals[on], steep[on] * field.step**2)


def locked(
    reach: Mm,
    slope_limit: Deg,
    look: Callable[[Mm, Deg], SeatingAxis],
    sit: Callable[[SeatingAxis, Mm, Deg], Sliding],
) -> Seating:
    """The seating as asked if that holds, else the nearest to it that surely does, or the best that may; else as asked again.

    Parameters
    ----------
    look : callable
        The best axis for a reach and a slope limit, by a coarse look at its contact.
    sit : callable
        The weakest slide of the contact that a guide would really have there.

    Raises
    ------
    DesignError
        Where the guide cannot sit as asked at all.
    """
    limit = LIMITS.sliding_lock
    tried: list[Tried] = []

    def seated(axis: SeatingAxis, far: Mm, steep: Deg) -> Seating:
        try:
            lock = sit(axis, far, steep).lock
        except (DesignError, SeatError, SurfaceError) as error:
            tried.append(Tried(far, steep, None, str(error)))
            return Seating(axis, far, steep, None, ())
        tried.append(Tried(far, steep, lock, "" if lock >= AIM * limit else "slides"))
        return Seating(axis, far, steep, lock, ())

    asked = seated(look(reach, slope_limit), reach, slope_limit)
    if asked.lock is None or asked.lock >= AIM * limit:  # where it cannot sit, that is told when it is made
        return asked
    best = asked
    for far, steep in _further(reach, slope_limit):
        try:
            axis = look(far, steep)
        except DesignError as error:
            tried.append(Tried(far, steep, None, str(error)))
            continue
        if axis.sliding_lock < PROMISING * limit:
            tried.append(Tried(far, steep, axis.sliding_lock, "slides"))
            continue
        found = seated(axis, far, steep)
        if found.lock is not None and found.lock > (best.lock or 0.0):
            best = found
        if best.lock is not None and best.lock >= AIM * limit:
            break
    chosen = best if best.lock is not None and best.lock >= limit else asked  # a longer guide that slides is no better
    return replace(chosen, tried=tuple(tried))


def _further(reach: Mm, slope_limit: Deg) -> list[tuple[Mm, Deg]]:
    """Reaches and slope limits to try after those asked for, the nearest first."""
    reaches = [reach, *np.arange(reach + REACH_STEP, REACH_MOST, REACH_STEP).tolist(), REACH_MOST]
    slopes = sorted({slope_limit, max(slope_limit, WRAP_MOST)})
    pairs = [(float(far), steep) for far in dict.fromkeys(max(reach, far) for far in reaches) for steep in slopes]
    return pairs[1:]
