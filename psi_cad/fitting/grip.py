"""Where a grip stands: on a footplate, clear of where the saw runs, of wires and of what drives them, and of bone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.frames import triple
from psi_cad.options.grip import Grip
from psi_cad.options.in_cut import SIDES
from psi_cad.readback.corridor import Corridor
from psi_cad.siting.access import grid_in
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Bools, Mm
from psi_cad.verify.features.feature import Triple

__all__ = ["place_grip"]

STEP_MM: Final[Mm] = 1.0  # between places that are tried
HEAD_MM: Final[Mm] = 4.0  # length of its head
WAIST: Final = 0.7  # of its diameter: that of the shaft below the head
LEAST_SHAFT_MM: Final[Mm] = 6.0
RIM_MM: Final[Mm] = 0.8  # of a footplate, where it is thinner
STEEPEST: Final = 1.5  # √(1 + slope²) of the seat below it
DRIVER_MM: Final[Mm] = 6.0  # round a wire, where it is driven
APART_MM: Final[Mm] = 0.5  # from a wire's sleeve
FINGER_MM: Final[Mm] = 8.0  # from a flap
OFF_BONE_MM: Final[Mm] = 1.0  # between its head and bone below that, along the way the guide is pulled off
ABOVE_MM: Final[Mm] = 40.0  # a sleeve, from where a wire is driven
TURNS: Final = 24


def place_grip(
    seat: HeightSpline,
    plates: Sequence[shapely.Polygon],
    bone: tuple[Array, Array],
    corridors: Sequence[Corridor],
    wires: Sequence[tuple[Triple, Triple]],
    off: Sequence[tuple[Mm, Mm]],
    *,
    side: int,
    height: Mm,
    diameter: Mm,
    clearance: Mm,
    sleeve: tuple[Mm, Mm],
    plate_thickness: Mm,
) -> Grip:
    """The grip at the place nearest to the middle of the wires, so that who presses on it does not tip the guide.

    Parameters
    ----------
    bone
        Points (nx, ny, 2) and the first bone met there from above (nan: none).
    wires
        Foot on the seat and direction out of the bone of each; `sleeve`: radius and height of their sleeves.
    off
        Points (x, y) of a flap.
    side : int
        1: where the specimen is, -1: where bone stays.

    Raises
    ------
    DesignError
        If there is no room; it names the parameter.
    """
    shaft, radius = max(WAIST * diameter, LEAST_SHAFT_MM), diameter / 2.0
    first = corridors[0]
    area = shapely.union_all(list(plates)).buffer(-(shaft / 2.0 + RIM_MM))
    points = grid_in(area, STEP_MM)
    turns = np.arange(TURNS) * 2.0 * np.pi / TURNS
    foot = np.vstack([np.zeros(2), shaft / 2.0 * np.column_stack([np.cos(turns), np.sin(turns)])])
    around = (points[:, None] + foot[None]).reshape(-1, 2)
    levels = (seat(around) + plate_thickness * seat.steepness(around)).reshape(len(points), -1).max(axis=1) if len(points) else np.zeros(0)
    fits = seat.steepness(points) <= STEEPEST if len(points) else np.zeros(0, dtype=bool)
    places = np.column_stack([points, levels])
    fits &= side * ((places - np.array(first.origin)) @ np.array(first.normal)) > 0.0
    tops = places + np.array([0.0, 0.0, height])
    for corridor in corridors:
        fits &= np.minimum(corridor.away(places), corridor.away(tops)) - radius >= clearance
    for start, out in wires:
        fits &= _beside(places, height, np.array(start), np.array(out), sleeve, radius, shaft)
    for x, y in off:
        fits &= np.hypot(*(points - (x, y)).T) >= radius + FINGER_MM
    under = height - HEAD_MM - (diameter - shaft) / 2.0
    clear = [_clear_of_bone(one, radius, level + under, bone) for one, level in zip(points[fits], levels[fits], strict=True)]
    fits[fits] = np.array(clear, dtype=bool)
    if not fits.any():
        raise DesignError(
            f"params.grip = {side}: on {SIDES[side]} the footplate has no room for a grip {diameter:g} mm wide, {clearance:g} mm off the saw's way "
            "and clear of wires; give the other side, lower grip_diameter, grip_clearance or pins, or raise footplate_reach.",
            where=np.array(first.origin),
            reason="contact",
        )
    middle = np.mean([start[:2] for start, _ in wires], axis=0)
    best = places[fits][int(np.argmin(np.linalg.norm(points[fits] - middle, axis=1)))]
    rows = tuple((*one.origin, *one.normal, *one.along, one.low, one.high) for one in corridors)
    ways = tuple((*start, *out) for start, out in wires)
    return Grip("grip", triple(best), diameter, shaft, HEAD_MM, height, clearance, DRIVER_MM, rows, ways)


def _beside(places: Array, height: Mm, start: Array, out: Array, sleeve: tuple[Mm, Mm], radius: Mm, shaft: Mm) -> Bools:
    """At which places (n, 3) a grip keeps off a wire's sleeve, and its head off what drives the wire."""
    found = np.ones(len(places), dtype=bool)
    for up in np.arange(0.0, sleeve[1] + ABOVE_MM, 2.0):  # along the wire
        at = start + up * out
        beside = np.hypot(*(places[:, :2] - at[:2]).T)
        level = at[2] < places[:, 2] + height + DRIVER_MM
        found &= ~level | (beside >= radius + DRIVER_MM)
        if up <= sleeve[1]:
            found &= beside >= shaft / 2.0 + sleeve[0] + APART_MM
    return found


def _clear_of_bone(point: Array, radius: Mm, level: Mm, bone: tuple[Array, Array]) -> bool:
    """Whether all bone within `radius` of a place (2,) lies below a level, so that nothing is caught when the guide is pulled off."""
    grid, heights = bone
    near = np.hypot(grid[..., 0] - point[0], grid[..., 1] - point[1]) <= radius + OFF_BONE_MM
    there = heights[near]
    return bool(np.all(np.isnan(there) | (there + OFF_BONE_MM < level)))
