"""A grip to hold a guide by while it is pinned: a knob on a footplate; where it stands, its size as printed, how clear of saw and wires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.findings import Check
from psi_cad.frames import ring, triple, unit
from psi_cad.options.flap import Corridor, corridor_from
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Bools, Mm
from psi_cad.verify.features.feature import Triple, kept, place, way
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Grip", "checks", "find", "measure", "place_grip", "said"]

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
FAR_MM: Final[Mm] = 150.0
SIZE_MM: Final[Mm] = 0.02
MESH_MM: Final[Mm] = 0.1  # of the triangles
NEAR_MM: Final[Mm] = 0.5
BOSS_MM: Final[Mm] = 2.0  # what stands out of its sides is looked at as far as this
TURNS: Final = 24
ALIKE: Final = 1.0 - 1e-6


@dataclass(frozen=True)
class Grip:
    """A knob along the seating axis: `foot`, its axis at the level of the footplate; guide frame, mm.

    `diameter`: of its head, which is `head` long; `shaft`: of what is below; `height`: above the footplate. `clearance`: how far it keeps from every
    corridor of the saw, and `driver` from every one of the `wires` (foot, direction out of the bone).
    """

    name: str
    foot: Triple
    diameter: Mm
    shaft: Mm
    head: Mm
    height: Mm
    clearance: Mm
    driver: Mm
    corridors: tuple[tuple[float, ...], ...]  # origin, normal, along, low, high of each
    wires: tuple[tuple[float, ...], ...]

    @property
    def below(self) -> Mm:
        """Height of the shaft above the footplate, to where it widens towards the head."""
        return self.height - self.head - (self.diameter - self.shaft) / 2.0

    def over(self) -> list[tuple[Mm, Mm]]:
        """Points (x, y) that it stands over."""
        x, y, _ = self.foot
        turns = np.arange(8) * np.pi / 4.0
        return [(x, y), *((float(x + self.diameter / 2.0 * np.cos(turn)), float(y + self.diameter / 2.0 * np.sin(turn))) for turn in turns)]


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
    points = np.zeros((0, 2))
    if not area.is_empty:
        x_low, y_low, x_high, y_high = area.bounds
        grid = np.stack(np.meshgrid(np.arange(x_low, x_high, STEP_MM), np.arange(y_low, y_high, STEP_MM), indexing="ij"), axis=-1).reshape(-1, 2)
        points = grid[shapely.contains_xy(area, grid[:, 0], grid[:, 1])]
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
        where = "on the specimen's side" if side > 0 else "on the side of the bone that stays"
        raise DesignError(
            f"params.grip = {side}: {where} the footplate has no room for a grip {diameter:g} mm wide, {clearance:g} mm off the saw's way and "
            "clear of wires; give the other side, lower grip_diameter, grip_clearance or pins, or raise footplate_reach.",
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


def find(grip: Grip, faces: Faces) -> list[Round]:
    """The round side of its head."""
    x, y, _ = grip.foot
    return [
        one
        for one in faces.cylinders
        if one[3] > 0.0
        and abs(one[2][2]) >= ALIKE
        and np.hypot(one[1][0] - x, one[1][1] - y) <= NEAR_MM
        and abs(2.0 * one[3] - grip.diameter) <= NEAR_MM
        and one[0].Center().z > grip.foot[2] + grip.below
    ]


def measure(grip: Grip, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Its head on the STEP; its shaft, its height, and how near it comes to saw and wires on the STL."""
    values: dict[str, Any] = {}
    foot = np.array(grip.foot)
    if part is not None:
        found = find(grip, part.faces)
        values["diameter_mm"] = max((2.0 * one[3] for one in found), key=lambda size: abs(size - grip.diameter), default=None)
    up = np.array([0.0, 0.0, 1.0])
    levels = np.linspace(0.3, grip.below - 0.3, 5)
    starts = np.repeat(foot + levels[:, None] * up, TURNS, axis=0)
    ways = np.tile(ring(up, TURNS), (len(levels), 1))
    out = way(printed, starts, ways)
    thin = int(np.argmin(out))
    values["shaft_mm"] = 2.0 * float(out[thin]) if np.isfinite(out[thin]) else None
    values["shaft_at"] = [round(float(v), 3) for v in starts[thin] + min(float(out[thin]), FAR_MM) * ways[thin]]
    above = foot + FAR_MM * up + np.vstack([np.zeros(3), 0.6 * (grip.diameter / 2.0) * ring(up, TURNS)])
    top = FAR_MM - way(printed, above, -up)
    values["height_mm"] = float(top.min()) if np.isfinite(top).all() else None
    vertices = np.asarray(printed.mesh.vertices)
    off = vertices - foot
    own = vertices[(np.hypot(off[:, 0], off[:, 1]) <= grip.diameter / 2.0 + BOSS_MM) & (off[:, 2] > 1.0) & (off[:, 2] <= grip.height + BOSS_MM)]
    if len(own):
        away = np.min([corridor_from(row).away(own) for row in grip.corridors], axis=0)
        nearest = int(np.argmin(away))
        values["clear_mm"], values["clear_at"] = float(away[nearest]), [round(float(v), 3) for v in own[nearest]]
        lines = [(np.array(row[:3]), unit(np.array(row[3:]))) for row in grip.wires]
        beside = np.min([np.linalg.norm(np.cross(own - start, along), axis=1) for start, along in lines], axis=0)
        nearest = int(np.argmin(beside))
        values["wire_mm"], values["wire_at"] = float(beside[nearest]), [round(float(v), 3) for v in own[nearest]]
    return values


def checks(grip: Grip, values: dict[str, Any]) -> list[Check]:
    """Every number of the grip against its limit."""
    foot = place(grip.foot)
    top = (foot[0], foot[1], foot[2] + grip.height)
    thin, near, beside = (place(values.get(key) or foot) for key in ("shaft_at", "clear_at", "wire_at"))
    wide, high = values.get("diameter_mm"), values.get("height_mm")
    return [
        kept("grip_size", None if wide is None else abs(wide - grip.diameter), "mm", "<=", SIZE_MM, top),
        held("grip_shaft", values.get("shaft_mm"), "mm", ">=", grip.shaft - MESH_MM, "thinnest of its shaft", where=thin),
        kept("grip_height", None if high is None else abs(high - grip.height), "mm", "<=", MESH_MM, top),
        held("grip_clear", values.get("clear_mm"), "mm", ">=", grip.clearance - SIZE_MM, "from where the saw runs", where=near),
        held("grip_wire", values.get("wire_mm"), "mm", ">=", grip.driver - SIZE_MM, "from the nearest wire, which is driven beside it", where=beside),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    one = found[0]
    clear = one.get("clear_mm")
    return [f"grip: {one['diameter']:g} mm wide, {one['height']:g} high" + (f", {clear:.1f} mm from where the saw runs" if clear else "")]
