"""Where a flap stands: on the outermost line of a footplate's edge that has room for it, clear of where the saw runs, of wires and of bone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.frames import Frame, triple, unit
from psi_cad.options.flap import Flap
from psi_cad.options.in_cut import SIDES
from psi_cad.readback.corridor import Corridor
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Bools, Deg, Mm

__all__ = ["place_flap"]

STEP_MM: Final[Mm] = 1.0  # between lines that a flap may stand on, and along them
INSIDE_MM: Final[Mm] = 0.8  # from the footplate's outline: its rim is thinned there
ROOT_MM: Final[Mm] = 5.0  # how far below the lowest seat it begins
DEEPEST_MM: Final[Mm] = 20.0  # how far the seat may fall below its base
STEEPEST: Final = 0.7  # slope along the edge that it still follows
OFF_BONE_MM: Final[Mm] = 1.0  # between its outside and bone beside the footplate
DRIVER_MM: Final[Mm] = 6.0  # round a wire, where it is driven
RIM_SHARE: Final = 0.45  # of the thickness: the radius of its rim, nearly a full round


def place_flap(
    seat: HeightSpline,
    plates: Sequence[shapely.Polygon],
    bone: tuple[Array, Array],
    corridors: Sequence[Corridor],
    pins: Sequence[tuple[Mm, Mm]],
    *,
    side: int,
    height: Mm,
    width: Mm,
    thickness: Mm,
    angle: Deg,
    clearance: Mm,
    sleeve: Mm,
    plate_thickness: Mm,
) -> Flap:
    """The flap on the outermost line along the first cut that has room for it.

    Parameters
    ----------
    bone
        Points (nx, ny, 2) and the first bone met there from above (nan: none).
    pins
        Centres of sleeves (x, y), leaning ones as rows, and `sleeve`, their radius.
    side : int
        1: where the specimen is, -1: where bone stays.

    Raises
    ------
    DesignError
        If there is no room; it names the parameter.
    """
    first = corridors[0]
    along, outward = unit(np.array([*first.along[:2], 0.0])), unit(side * np.array([*first.normal[:2], 0.0]))
    outward = unit(outward - float(outward @ along) * along)
    origin = np.array(first.origin)
    plate = shapely.union_all(list(plates)).buffer(-INSIDE_MM)
    lines = _lines(plate, origin[:2], along[:2], outward[:2])
    longest = 0.0
    for off, stations in lines:
        points = origin[:2] + off * outward[:2] + stations[:, None] * along[:2]
        fits = shapely.contains_xy(plate, *(points + thickness / 2.0 * outward[:2]).T)
        fits &= shapely.contains_xy(plate, *(points - thickness / 2.0 * outward[:2]).T)
        if not fits.any():
            continue
        reach = height * np.sin(np.radians(angle))
        for x, y in pins:
            apart = np.array([x, y]) - points
            beside, beyond = np.abs(apart @ along[:2]), apart @ outward[:2]
            fits &= ~((beside < sleeve + DRIVER_MM) & (beyond > -sleeve - DRIVER_MM) & (beyond < reach + sleeve + DRIVER_MM))
        for low, high in _runs(fits):
            room = float(stations[high] - stations[low])
            longest = max(longest, room)
            if room < width:
                continue
            found = _standing(seat, points[low : high + 1], bone, corridors, along, outward, width, height, thickness,
                              angle, clearance, plate_thickness)  # fmt: skip
            if found is not None:
                return found
    if longest < width:
        raise DesignError(
            f"params.flap_width = {width:g}: the footplate's edge on {SIDES[side]} has room for a flap {longest:.0f} mm wide beside its wires; "
            "lower flap_width, give the other flap_side, or raise footplate_reach.",
            where=origin,
            reason="contact",
        )
    raise DesignError(
        f"params.flap_side = {side}: on {SIDES[side]} no flap stands clear of bone and {clearance:g} mm off the saw's way; "
        "give the other flap_side, lower flap_clearance, flap_angle or flap_width, or raise footplate_reach.",
        where=origin,
        reason="contact",
    )


def _lines(plate: shapely.Geometry, origin: Array, along: Array, outward: Array) -> list[tuple[Mm, Array]]:
    """Lines along the cut over a footplate, the outermost first: how far outward each lies, and stations along it."""
    corners = shapely.get_coordinates(plate) - origin
    off, s = corners @ outward, corners @ along
    stations = np.arange(s.min(), s.max() + STEP_MM, STEP_MM)
    return [(float(at), stations) for at in np.arange(off.max(), 0.0, -STEP_MM)]


def _runs(fits: Bools) -> list[tuple[int, int]]:
    """Stretches of stations that fit, (first, last), the longest first."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], fits.astype(int), [0]])))
    runs = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return sorted(runs, key=lambda run: run[0] - run[1])


def _standing(
    seat: HeightSpline,
    points: Array,
    bone: tuple[Array, Array],
    corridors: Sequence[Corridor],
    level_along: Array,
    outward: Array,
    width: Mm,
    height: Mm,
    thickness: Mm,
    angle: Deg,
    clearance: Mm,
    plate_thickness: Mm,
) -> Flap | None:
    """The flap on one stretch of a line, in its middle or beside it; None where bone, or the saw's way, is nearer than it may be."""
    count = round(width / STEP_MM)
    starts = sorted(range(len(points) - count), key=lambda start: abs(start - (len(points) - count) / 2.0))
    for start in starts[:: max(1, len(starts) // 12)]:
        own = points[start : start + count + 1]
        s = np.arange(count + 1) * STEP_MM - count * STEP_MM / 2.0
        heights = seat(own)
        rise = float(np.clip((s @ heights) / (s @ s), -STEEPEST, STEEPEST))  # it follows the bone along the edge
        lies = np.arctan(rise)
        if np.sin(np.radians(angle)) > 0.95 * np.cos(lies):
            continue
        along = np.cos(lies) * level_along + np.array([0.0, 0.0, np.sin(lies)])
        square = np.cos(lies) * np.array([0.0, 0.0, 1.0]) - np.sin(lies) * level_along
        lean = np.arcsin(np.sin(np.radians(angle)) / np.cos(lies))
        up = np.cos(lean) * square + np.sin(lean) * outward
        level = float((heights - rise * s).max()) + plate_thickness * float(seat.steepness(own).max())
        base = np.array([*((own[0] + own[-1]) / 2.0), level])
        frame = Frame(origin=base, axes=np.stack([along, np.cross(up, along), up]))
        xs, ys, zs = np.linspace(-width / 2.0, width / 2.0, len(own)), (-thickness / 2.0, thickness / 2.0), np.arange(-DEEPEST_MM, height + 0.5)
        flat = np.array([(x, y, z) for x in xs for y in ys for z in zs])
        whole = frame.patient(flat)
        above = whole[:, 2] > seat(whole[:, :2])
        over = above | (flat[:, 2] > 0.0)
        deepest = -float(flat[above][:, 2].min())
        if deepest > DEEPEST_MM - 1.0 or min(float(one.away(whole[over]).min()) for one in corridors) < clearance:
            continue
        if not _clear_of_bone(whole[flat[:, 2] > 0.0], bone):
            continue
        rows = tuple((*one.origin, *one.normal, *one.along, one.low, one.high) for one in corridors)
        low = -(deepest + ROOT_MM)
        rim = RIM_SHARE * thickness
        return Flap("flap", triple(base), triple(along), triple(up), width, height, thickness, angle, rim, low, clearance, rows)
    return None


def _clear_of_bone(points: Array, bone: tuple[Array, Array]) -> bool:
    """Whether all points (n, 3) lie above the first bone met there, so that nothing is caught when the guide is pulled off."""
    grid, heights = bone
    step = grid[1, 0, 0] - grid[0, 0, 0]
    cells = np.round((points[:, :2] - grid[0, 0]) / step).astype(int)
    inside = ((cells >= 0) & (cells < heights.shape)).all(axis=1)
    there = heights[cells[inside, 0], cells[inside, 1]]
    return bool(np.all(np.isnan(there) | (points[inside][:, 2] > there + OFF_BONE_MM)))
