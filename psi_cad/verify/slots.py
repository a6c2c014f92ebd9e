"""Measure slots in a part read back from STEP: width, plane, length, guided height, walls, free passage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cadquery as cq
import numpy as np
import shapely
from OCP.BRepAdaptor import BRepAdaptor_Curve
from OCP.BRepTools import BRepTools_WireExplorer
from OCP.GeomAbs import GeomAbs_CurveType

from psi_cad.findings import Place
from psi_cad.planning.axis import blade_axes
from psi_cad.units import Array, Deg, Mm
from psi_cad.verify.expected import Expected, ExpectedSlot
from psi_cad.verify.part import Part
from psi_cad.verify.printed import Printed
from psi_cad.verify.reach import blade_needed

__all__ = ["MeasuredSlot", "measure_slot"]

PARALLEL_DEG: Final[Deg] = 2.0  # a face turned more than this from the plan is not taken for the slot's side
SEARCH_MM: Final[Mm] = 1.5
SAMPLE_MM: Final[Mm] = 0.25
END_MM: Final[Mm] = 0.05  # the very end of a slot, where a sample would sit in its corner
WALL_COS: Final = float(np.cos(np.radians(15.0)))  # an outer face stands within this of parallel to the slot
WALL_SHARE: Final = 0.5  # of the rays have to find one
JOINT_MM: Final[Mm] = 0.6  # half a slot, and a little
CORNER_MM: Final[Mm] = 4.0  # by a joint the wall turns the corner and is measured on the neighbour


@dataclass(frozen=True)
class MeasuredSlot:
    """One slot as found in the file; `None` where its sides were not found. `windows`: (low, high) from the origin.

    `offset`: of its middle from where the blade is to run; `from_plan`: from the planned plane, along its normal.
    """

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
    blade_needed: Mm | None = None  # below the hub, for the deepest line; with the far point that decides
    blade_needed_at: Place | None = None
    from_plan: Mm | None = None

    @property
    def length(self) -> Mm | None:
        """From end to end, bridges included."""
        return None if self.low is None or self.high is None else self.high - self.low


def measure_slot(part: Part, printed: Printed, expected: Expected, slot: ExpectedSlot) -> MeasuredSlot:
    """Find the sides of `slot` among the part's flat faces (STEP) and measure it; walls and passage on the triangles."""
    origin, normal = expected.plane_of(slot)
    along, blade = blade_axes(normal, np.array([0.0, 0.0, 1.0]))
    one = _side(part, origin, normal, along, blade, slot, 1.0)
    two = _side(part, origin, normal, along, blade, slot, -1.0)
    patient_blade = expected.frame.patient_direction(blade)
    if one is None or two is None:
        return MeasuredSlot(slot.name, None, None, None, None, None, (), None, None, 0, patient_blade)
    upper, upper_at, upper_turn = one
    lower, lower_at, lower_turn = two
    both = upper.intersection(lower)
    spans = [shapely.LineString([(p.bounds[0], 0.0), (p.bounds[2], 0.0)]) for p in shapely.get_parts(both) if p.area > 1.0]
    merged = sorted(shapely.get_parts(shapely.line_merge(shapely.union_all(spans))), key=lambda p: p.bounds[0])
    windows = tuple((float(p.bounds[0]), float(p.bounds[2])) for p in merged if not p.is_empty)
    if not windows:
        return MeasuredSlot(slot.name, None, None, None, None, None, (), None, None, 0, patient_blade)
    joints = [(point - origin, across) for other in expected.slots if other.name in slot.joined for point, across in [expected.plane_of(other)]]
    stations = _stations(both, windows, joints, along, blade)
    if len(stations) == 0:
        return MeasuredSlot(slot.name, None, None, None, None, None, (), None, None, 0, patient_blade)
    height = float(min(stations[:, 2] - stations[:, 1]))
    wall = _least_wall(printed, stations, joints, origin, normal, along, blade, (upper_at, lower_at), slot.wall, expected)
    needed = blade_needed(printed, expected, slot, windows, (along, blade))
    blocked = _blocked(printed, stations, origin, normal, along, blade, slot)
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
        blade_needed=None if needed is None else needed[0],
        blade_needed_at=None if needed is None else needed[1],
        from_plan=slot.shift + float(upper_at + lower_at) / 2.0,
    )


def _side(
    part: Part, origin: Array, normal: Array, along: Array, blade: Array, slot: ExpectedSlot, sign: float
) -> tuple[shapely.Geometry, Mm, Deg] | None:
    """The faces that bound the slot on one side: outline in (s, u), distance from the plane of the blade, angle to it."""
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
        points: list[Array] = []
        for edge in _in_order(wire):
            run = _along(edge)
            if points and np.linalg.norm(points[-1][-1] - run[0]) > np.linalg.norm(points[-1][-1] - run[-1]):
                run = run[::-1]
            elif not points:
                run = run if edge.wrapped.Orientation().value == 0 else run[::-1]
            points.append(run)
        flat = np.vstack(points) - origin
        rings.append(shapely.Polygon(np.column_stack([flat @ along, flat @ blade])).buffer(0))
    return shapely.difference(rings[0], shapely.union_all(rings[1:])) if len(rings) > 1 else rings[0]


def _along(edge: cq.Edge) -> Array:
    """Points (n, 3) along an edge, close enough for its shape; two for a straight one."""
    curve = BRepAdaptor_Curve(edge.wrapped)
    straight = curve.GetType() == GeomAbs_CurveType.GeomAbs_Line
    count = 2 if straight else max(8, int(edge.Length() / 0.1))
    values = [curve.Value(float(t)) for t in np.linspace(curve.FirstParameter(), curve.LastParameter(), count)]
    return np.array([(point.X(), point.Y(), point.Z()) for point in values])


def _in_order(wire: cq.Wire) -> list[cq.Edge]:
    explorer = BRepTools_WireExplorer(wire.wrapped)
    found = []
    while explorer.More():
        found.append(cq.Edge(explorer.Current()))
        explorer.Next()
    return found


def _stations(both: shapely.Geometry, windows: tuple[tuple[Mm, Mm], ...], joints: list[tuple[Array, Array]], along: Array, blade: Array) -> Array:
    """Rows (s, u low, u high): where, along the slot, the blade has a wall on both sides, and over which stretch.

    By a joint a slot goes over into its neighbour along a line that may lean; stations end where that line begins.
    """
    rows = []
    for low, high in windows:
        for s in np.linspace(low + END_MM, high - END_MM, max(8, int((high - low) / SAMPLE_MM))):
            line = both.intersection(shapely.LineString([(s, -1e3), (s, 1e3)]))
            if line.is_empty:
                continue
            _, u_low, _, u_high = line.bounds
            beyond = [float((s * along + u * blade - point) @ across) for point, across in joints for u in (u_low, u_high, u_high + 1.0)]
            if all(value > JOINT_MM for value in beyond):
                rows.append((s, u_high - line.length, u_high))  # any hole in between counts against the height
    return np.array(rows).reshape(-1, 3)


def _least_wall(
    part: Printed,
    stations: Array,
    joints: list[tuple[Array, Array]],
    origin: Array,
    normal: Array,
    along: Array,
    blade: Array,
    sides: tuple[Mm, Mm],
    wall: Mm,
    expected: Expected,
) -> Mm:
    """The least thickness behind the guided faces, below the broken edge, across the cutting plane."""
    inner = stations[:: max(1, int(1.0 / SAMPLE_MM))]
    flat = np.array([(s, u) for s, low, high in inner for u in np.linspace(low + 0.3, high - expected.edge_break - 0.6, 5)]).reshape(-1, 2)
    offsets = flat[:, :1] * along + flat[:, 1:] * blade
    for point, across in joints:
        keep = np.abs((offsets - point) @ across) > CORNER_MM
        flat, offsets = flat[keep], offsets[keep]
    least = np.inf
    for sign, at in ((1.0, sides[0]), (-1.0, sides[1])):
        starts = origin + offsets + (at + sign * 1e-3) * normal
        distance, faces = part.caster.first(starts, sign * normal)
        # a ray that leaves through the top or the seat, near their edges, has not crossed the wall
        facing = part.caster.normals[faces] @ (sign * normal)
        outer = (faces >= 0) & (facing > WALL_COS)
        backed = outer | ((faces >= 0) & (facing > 0.0) & (distance >= wall))  # by a thick footplate, say
        if not outer.any() or backed.mean() < WALL_SHARE:
            return 0.0
        least = min(least, float(distance[outer].min()) + 1e-3)
    return least


def _blocked(part: Printed, stations: Array, origin: Array, normal: Array, along: Array, blade: Array, slot: ExpectedSlot) -> int:
    """How many of the blade's lines through the slot meet material, from far outside to far into the bone."""
    count = 0
    for off in (0.0, 0.49 * slot.thickness, -0.49 * slot.thickness):
        starts = origin + stations[:, :1] * along - 80.0 * blade + off * normal
        distance, _ = part.caster.first(starts, blade)
        count += int(np.isfinite(distance).sum())
    return count
