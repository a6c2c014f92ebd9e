"""Measure slots in a part read back from STEP: width, plane, length, guided height, walls, free passage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cadquery as cq
import numpy as np
import shapely

from psi_cad.planning.axis import blade_axes
from psi_cad.units import Array, Deg, Mm
from psi_cad.verify.expected import Expected, ExpectedSlot
from psi_cad.verify.part import Part

__all__ = ["MeasuredSlot", "measure_slot"]

PARALLEL_DEG: Final[Deg] = 2.0  # a face turned more than this from the plan is not taken for the slot's side
SEARCH_MM: Final[Mm] = 1.5
SAMPLE_MM: Final[Mm] = 0.25
END_MM: Final[Mm] = 0.05  # the very end of a slot, where a sample would sit in its corner
CORNER_MM: Final[Mm] = 2.5  # by a joint the wall turns the corner and is measured on the neighbour


@dataclass(frozen=True)
class MeasuredSlot:
    """One slot as found in the file; `None` where its sides were not found. `windows`: (low, high) from the origin."""

    name: str
    width: Mm | None
    angle: Deg | None
    offset: Mm | None
    low: Mm | None
    high: Mm | None
    windows: tuple[tuple[Mm, Mm], ...]
    height_min: Mm | None
    wall_min: Mm | None
    blocked: int
    blade_direction: Array

    @property
    def length(self) -> Mm | None:
        """From end to end, bridges included."""
        return None if self.low is None or self.high is None else self.high - self.low


def measure_slot(part: Part, expected: Expected, slot: ExpectedSlot) -> MeasuredSlot:
    """Find the sides of `slot` among the part's flat faces and measure it."""
    origin, normal = expected.plane_of(slot)
    along, blade = blade_axes(normal, np.array([0.0, 0.0, 1.0]))
    sides = [_side(part, origin, normal, along, blade, slot, sign) for sign in (1.0, -1.0)]
    patient_blade = expected.frame.patient_direction(blade)
    if sides[0] is None or sides[1] is None:
        return MeasuredSlot(slot.name, None, None, None, None, None, (), None, None, 0, patient_blade)
    (upper, upper_at, upper_turn), (lower, lower_at, lower_turn) = sides
    both = upper.intersection(lower)
    parts = sorted(shapely.get_parts(both), key=lambda p: p.bounds[0])
    windows = tuple((float(p.bounds[0]), float(p.bounds[2])) for p in parts if p.area > 1.0)
    if not windows:
        return MeasuredSlot(slot.name, None, None, None, None, None, (), None, None, 0, patient_blade)
    height = min(_least_height(both, low, high) for low, high in windows)
    wall = _least_wall(part, both, windows, origin, normal, along, blade, (upper_at, lower_at), slot, expected)
    blocked = _blocked(part, both, windows, origin, normal, along, blade, slot)
    return MeasuredSlot(
        name=slot.name,
        width=float(upper_at - lower_at),
        angle=float(max(upper_turn, lower_turn)),
        offset=float(abs(upper_at + lower_at) / 2.0),
        low=windows[0][0],
        high=windows[-1][1],
        windows=windows,
        height_min=height,
        wall_min=wall,
        blocked=blocked,
        blade_direction=patient_blade,
    )


def _side(
    part: Part, origin: Array, normal: Array, along: Array, blade: Array, slot: ExpectedSlot, sign: float
) -> tuple[shapely.Geometry, Mm, Deg] | None:
    """The faces that bound the slot on one side: outline in (s, u), distance from the planned plane, angle to it."""
    found = []
    for face, point, outward in part.planes:
        turn = float(np.degrees(np.arccos(np.clip(-sign * (outward @ normal), -1.0, 1.0))))
        if turn > PARALLEL_DEG:
            continue
        away = float((point - origin) @ normal) * sign
        if not -SEARCH_MM < away - slot.width / 2.0 < SEARCH_MM:
            continue
        foot = origin + float((point - origin) @ outward) / float(normal @ outward) * normal
        at_origin = float((foot - origin) @ normal)
        outline = _outline(face, origin, along, blade)
        if outline.area > 2.0:
            found.append((outline, at_origin, turn))
    if not found:
        return None
    main = max(found, key=lambda f: f[0].area)
    same = [f for f in found if abs(f[1] - main[1]) < 0.05 and abs(f[2] - main[2]) < 0.02]
    worst = max(same, key=lambda f: f[2])
    return shapely.union_all([f[0] for f in same]), main[1], worst[2]


def _outline(face: cq.Face, origin: Array, along: Array, blade: Array) -> shapely.Geometry:
    rings = []
    for wire in [face.outerWire(), *face.innerWires()]:
        points = []
        for edge in _in_order(wire):
            count = 2 if edge.geomType() == "LINE" else max(8, int(edge.Length() / 0.1))
            where = np.linspace(0.0, 1.0, count)
            run = np.array([point.toTuple() for point in edge.positions(where.tolist())])
            if points and np.linalg.norm(points[-1][-1] - run[0]) > np.linalg.norm(points[-1][-1] - run[-1]):
                run = run[::-1]
            elif not points:
                run = run if edge.wrapped.Orientation().value == 0 else run[::-1]
            points.append(run)
        flat = np.vstack(points) - origin
        rings.append(shapely.Polygon(np.column_stack([flat @ along, flat @ blade])).buffer(0))
    return shapely.difference(rings[0], shapely.union_all(rings[1:])) if len(rings) > 1 else rings[0]


def _in_order(wire: cq.Wire) -> list[cq.Edge]:
    from OCP.BRepTools import BRepTools_WireExplorer

    explorer = BRepTools_WireExplorer(wire.wrapped)
    found = []
    while explorer.More():
        found.append(cq.Edge(explorer.Current()))
        explorer.Next()
    return found


def _samples(low: Mm, high: Mm) -> Array:
    count = max(8, int((high - low) / SAMPLE_MM))
    return np.linspace(low + END_MM, high - END_MM, count)


def _least_height(both: shapely.Geometry, low: Mm, high: Mm) -> Mm:
    """The least length, over the window, along which the blade has a wall on both sides."""
    lengths = [both.intersection(shapely.LineString([(s, -1e3), (s, 1e3)])).length for s in _samples(low, high)]
    return float(min(lengths))


def _inner_points(both: shapely.Geometry, windows: tuple[tuple[Mm, Mm], ...], *, top: Mm, bottom: Mm, step: Mm) -> Array:
    """Points (n, 2) in (s, u) spread over the guided faces, `top` and `bottom` away from their edges."""
    rows = []
    for low, high in windows:
        for s in np.arange(low + 0.3, high - 0.3, step):
            line = both.intersection(shapely.LineString([(s, -1e3), (s, 1e3)]))
            if line.is_empty:
                continue
            _, u_low, _, u_high = line.bounds
            rows += [(s, u) for u in np.linspace(u_low + bottom, u_high - top, 5)]
    return np.array(rows).reshape(-1, 2)


def _least_wall(
    part: Part,
    both: shapely.Geometry,
    windows: tuple[tuple[Mm, Mm], ...],
    origin: Array,
    normal: Array,
    along: Array,
    blade: Array,
    sides: tuple[Mm, Mm],
    slot: ExpectedSlot,
    expected: Expected,
) -> Mm:
    """The least thickness behind the guided faces, below the broken edge, across the cutting plane."""
    flat = _inner_points(both, windows, top=expected.edge_break + 0.6, bottom=0.3, step=1.0)
    if slot.joined:
        low, high = windows[0][0], windows[-1][1]
        others = [other for other in expected.slots if other.name in slot.joined]
        points = origin + flat[:, :1] * along + flat[:, 1:] * blade
        for other in others:
            point, across = expected.plane_of(other)
            flat = flat[np.abs((points - point) @ across) > CORNER_MM]
            points = origin + flat[:, :1] * along + flat[:, 1:] * blade
        flat = flat[(flat[:, 0] > low) & (flat[:, 0] < high)]
    least = np.inf
    for sign, at in ((1.0, sides[0]), (-1.0, sides[1])):
        starts = origin + flat[:, :1] * along + flat[:, 1:] * blade + (at + sign * 1e-3) * normal
        distance, _ = part.caster.first(starts, sign * normal)
        least = min(least, float(np.min(distance, initial=np.inf)) + 1e-3)
    return least


def _blocked(
    part: Part,
    both: shapely.Geometry,
    windows: tuple[tuple[Mm, Mm], ...],
    origin: Array,
    normal: Array,
    along: Array,
    blade: Array,
    slot: ExpectedSlot,
) -> int:
    """How many of the blade's lines through the slot meet material, from far outside to far into the bone."""
    count = 0
    for low, high in windows:
        s = _samples(low, high)
        for off in (0.0, 0.49 * slot.thickness, -0.49 * slot.thickness):
            starts = origin + s[:, None] * along - 80.0 * blade + off * normal
            distance, _ = part.caster.first(starts, blade)
            count += int(np.isfinite(distance).sum())
    return count
