"""Where a slot ends on the plane of another cut, beyond which lies bone that its blade is not to saw: how far it goes on."""

from __future__ import annotations

from typing import Final

import numpy as np
import shapely

from psi_cad.findings import Check, Place
from psi_cad.promises.expected import Expected, ExpectedSlot
from psi_cad.units import Array, Mm
from psi_cad.verify.held import held

__all__ = ["end_check", "guiding", "past_ends", "towards"]

PAST_MM: Final[Mm] = 0.05
FAR_MM: Final[Mm] = 1e4  # beyond any slot


def towards(place: Array, origin: Array, point: Array, normal: Array) -> tuple[Array, Array]:
    """Another slot's plane, seen from `origin`, its normal turned to the side on which `place` (3,) lies."""
    return point - origin, normal if float((place + origin - point) @ normal) >= 0.0 else -normal


def guiding(both: shapely.Geometry, slot: ExpectedSlot) -> shapely.Geometry:
    """Of a slot's two sides (their common outline, in (s, u)) what guides: at an open end not the rim, where the fence's edges are broken."""
    for end, s in slot.opens:
        low, high = (-FAR_MM, s) if end > 0 else (s, FAR_MM)
        both = both.intersection(shapely.box(low, -FAR_MM, high, FAR_MM))
    return both


def past_ends(both: shapely.Geometry, slot: ExpectedSlot, expected: Expected, along: Array, blade: Array) -> Mm | None:
    """How far a slot's two sides (their common outline, in (s, u)) go past the slots that they open into, or past the bone at its `stops`.

    None for a slot that ends by itself at both ends.
    """
    corners = shapely.get_coordinates(both)
    offsets, middle = corners[:, :1] * along + corners[:, 1:] * blade, (slot.chord_low + slot.chord_high) / 2.0 * along
    origin, _ = expected.plane_of(slot)
    found = []
    for other in expected.slots:
        if other.name in slot.joined:
            point, inward = towards(middle, origin, *expected.plane_of(other))
            found.append(-float(((offsets - point) @ inward).min()) - other.width / 2.0)
    found += [slot.chord_low - float(corners[:, 0].min())] if -1 in slot.stops else []
    found += [float(corners[:, 0].max()) - slot.chord_high] if 1 in slot.stops else []
    return float(np.max(found)) if found else None


def end_check(want: ExpectedSlot, past: Mm | None, where: Place | None) -> list[Check]:
    """Whether a slot goes no further than it may; nothing where none of its ends lies at another cut."""
    if not want.joined and not want.stops:
        return []
    note = "how far the slot goes on past the cut that it ends on"
    return [held(f"slot_past[{want.name}]", past, "mm", "<=", PAST_MM, note, where=where)]
