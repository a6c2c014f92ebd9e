"""Slots: their sides among the faces of a solid; width, plane, length, guided height, walls and free passage as measured; the checks of these."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import shapely

from psi_cad.findings import Check, Place, place_of
from psi_cad.frames import Frame
from psi_cad.promises.expected import Expected, ExpectedSlot
from psi_cad.readback.faces import Faces, Flat, Within
from psi_cad.readback.outline import outline_in
from psi_cad.readback.part import Part
from psi_cad.readback.printed import Printed
from psi_cad.readback.reach import blade_needed
from psi_cad.siting.about import blade_axes
from psi_cad.units import LIMITS, Array, Deg, Mm
from psi_cad.verify.held import held
from psi_cad.verify.slot_ends import end_check, guiding, past_ends, towards

__all__ = ["MeasuredSlot", "checks", "find", "measure"]

NEAR: Final = Within(away=1.5, turn=2.0, size=0.0)  # a face further off than this is not taken for the slot's side
SAMPLE_MM: Final[Mm] = 0.25
END_MM: Final[Mm] = 0.05  # the very end of a slot, where a sample would sit in its corner
WALL_COS: Final = float(np.cos(np.radians(15.0)))  # an outer face stands within this of parallel to the slot
WALL_SHARE: Final = 0.5  # of the rays have to find one
JOINT_MM: Final[Mm] = 0.6  # half a slot, and a little
INSIDE_MM: Final[Mm] = 0.1  # of what guides the blade, within which its sides are looked at on the triangles
LEAST_MM2: Final = 2.0  # a face smaller than this is no side of a slot
CORNER_MM: Final[Mm] = 4.0  # by a joint the wall turns the corner and is measured on the neighbour
SLOT_CHECKS: Final = (
    "slot_width",
    "slot_plane_offset",
    "slot_plane_angle",
    "slot_printed",
    "slot_wall",
    "slot_height",
    "slot_blocked",
    "slot_covers_bone",
    "slot_blade_room",
    "slot_bridge",
)


@dataclass(frozen=True)
class MeasuredSlot:
    """One slot as found in the file; `None` where its sides were not found. `windows`: (low, high) from the origin.

    `offset`: of its middle from where the blade is to run; `from_plan`: from the planned plane, along its normal; `past`: see `past_ends`.
    `printed_off`: how far a side lies in the STL from where it lies in the STEP, at most.
    `places`: for each kind of check the place that decided it, patient mm.
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
    past: Mm | None = None
    printed_off: Mm | None = None
    places: Mapping[str, Place | None] = field(default_factory=dict)

    @property
    def length(self) -> Mm | None:
        """From end to end, bridges included."""
        return None if self.low is None or self.high is None else self.high - self.low


def measure(part: Part, printed: Printed, expected: Expected, slot: ExpectedSlot) -> MeasuredSlot:
    """Find the sides of `slot` among the part's flat faces (STEP) and measure it; on the triangles its sides again, walls and passage."""
    origin, normal = expected.plane_of(slot)
    along, blade = blade_axes(normal, np.array([0.0, 0.0, 1.0]))
    found = find(slot, part.faces, expected, within=NEAR)
    one, two = (_sides(found[sign], origin, normal, along, blade, sign) for sign in (1.0, -1.0))
    ways = _Ways(expected.frame, origin, normal, along, blade)
    if not one or not two:
        return _lost(printed, slot, ways)
    both = guiding(shapely.union_all([piece.outline for piece in one]).intersection(shapely.union_all([piece.outline for piece in two])), slot)
    spans = [shapely.LineString([(p.bounds[0], 0.0), (p.bounds[2], 0.0)]) for p in shapely.get_parts(both) if p.area > 1.0]
    merged = sorted(shapely.get_parts(shapely.line_merge(shapely.union_all(spans))), key=lambda p: p.bounds[0])
    windows = tuple((float(p.bounds[0]), float(p.bounds[2])) for p in merged if not p.is_empty)
    if not windows:
        return _lost(printed, slot, ways)
    amid_it = (slot.chord_low + slot.chord_high) / 2.0 * along
    joints = [towards(amid_it, origin, *expected.plane_of(other)) for other in expected.slots if other.name in slot.joined]
    stations = _stations(both, windows, joints, along, blade)
    if len(stations) == 0:
        return _lost(printed, slot, ways)
    guided = stations[:, 2] - stations[:, 1]
    lowest = int(np.argmin(guided))
    sides = (one[0].at, two[0].at)
    wall, thinnest = _least_wall(printed, stations, joints, origin, normal, along, blade, sides, slot.wall, expected)
    printed_off, off_on_it = _off_on_triangles(printed, stations, both, ways, sides)
    needed = blade_needed(printed, expected, slot, windows, (along, blade))
    blocked, first = _blocked(printed, stations, origin, normal, along, blade, slot)
    width, off, wide_at, off_at = _worst_pair(one, two, slot.width)
    turned = max([*one, *two], key=lambda piece: piece.turn)

    def amid(s: Mm) -> Place | None:
        """Half-way up the guided stretch nearest to `s`."""
        _, low, high, _ = stations[int(np.argmin(np.abs(stations[:, 0] - s)))]
        return ways.at(s, (low + high) / 2.0)

    beyond = [(slot.chord_low - windows[0][0], windows[0][0])] if slot.free_low else []
    beyond += [(windows[-1][1] - slot.chord_high, windows[-1][1])] if slot.free_high else []
    shortest = min(windows, key=lambda window: window[1] - window[0])
    gaps = sorted((b[0] - a[1], (a[1] + b[0]) / 2.0) for a, b in itertools.pairwise(windows))
    places = {
        "slot_width": ways.at(*wide_at),
        "slot_plane_offset": ways.at(*off_at),
        "slot_plane_angle": ways.at(*_far_end(turned)),
        "slot_printed": None if off_on_it is None else ways.at(*off_on_it),
        "slot_wall": None if thinnest is None else place_of(expected.frame.patient(thinnest)),
        "slot_height": ways.at(stations[lowest, 0], stations[lowest, 2] if np.isnan(stations[lowest, 3]) else stations[lowest, 3]),
        "slot_blocked": None if first is None else place_of(expected.frame.patient(first)),
        "slot_covers_bone": amid(min(beyond)[1]) if beyond else None,
        "slot_blade_room": amid(sum(shortest) / 2.0),
        "slot_bridge": amid(gaps[0][1]) if gaps else None,
    }
    return MeasuredSlot(
        name=slot.name,
        width=width,
        angle=turned.turn,
        offset=off,
        low=windows[0][0],
        high=windows[-1][1],
        windows=windows,
        height_min=float(guided[lowest]),
        wall_min=wall,
        blocked=blocked,
        blade_direction=expected.frame.patient_direction(blade),
        blade_needed=None if needed is None else needed[0],
        blade_needed_at=None if needed is None else needed[1],
        from_plan=slot.shift + (one[0].at + two[0].at) / 2.0,
        past=past_ends(both, slot, expected, along, blade),
        printed_off=printed_off,
        places=places,
    )


@dataclass(frozen=True)
class _Ways:
    """The axes of one slot (guide frame), and how its own coordinates become patient places."""

    frame: Frame
    origin: Array
    normal: Array
    along: Array
    blade: Array

    def at(self, s: Mm, u: Mm) -> Place | None:
        """The place `s` along the slot and `u` up the blade, in the plane in which the blade runs."""
        return place_of(self.frame.patient(self.origin + s * self.along + u * self.blade))


@dataclass(frozen=True)
class _Side:
    """Part of one side of a slot: outline in (s, u), distance from the plane of the blade at the origin, angle to it."""

    outline: shapely.Geometry
    at: Mm
    turn: Deg


def _lost(printed: Printed, slot: ExpectedSlot, ways: _Ways) -> MeasuredSlot:
    """A slot whose sides were not found: every number of it was decided where it should be, at its middle, half the guided height down."""
    s = (slot.chord_low + slot.chord_high) / 2.0
    above = (ways.origin + s * ways.along + 200.0 * ways.blade)[None, :]
    down, _ = printed.caster.first(above, -ways.blade)
    place = ways.at(s, 200.0 - float(down[0]) - slot.height / 2.0 if np.isfinite(down[0]) else 0.0)
    return MeasuredSlot(
        slot.name, None, None, None, None, None, (), None, None, 0, ways.frame.patient_direction(ways.blade), places=dict.fromkeys(SLOT_CHECKS, place)
    )


def _worst_pair(one: list[_Side], two: list[_Side], wanted: Mm) -> tuple[Mm, Mm, tuple[Mm, Mm], tuple[Mm, Mm]]:
    """(width, offset) where each is worst, and where that is (s, u): a side of several faces is measured on each."""
    pairs = [
        (a.at - b.at, abs(a.at + b.at) / 2.0, common) for a in one for b in two if (common := a.outline.intersection(b.outline)).area > LEAST_MM2
    ]
    if not pairs:
        pairs = [(one[0].at - two[0].at, abs(one[0].at + two[0].at) / 2.0, one[0].outline)]
    wide = max(pairs, key=lambda pair: abs(pair[0] - wanted))
    off = max(pairs, key=lambda pair: pair[1])
    return float(wide[0]), float(off[1]), _middle_of(wide[2]), _middle_of(off[2])


def _middle_of(shape: shapely.Geometry) -> tuple[Mm, Mm]:
    """A point inside, half-way along."""
    largest = max(shapely.get_parts(shape), key=lambda part: part.area)
    point = largest.centroid if largest.contains(largest.centroid) else largest.representative_point()
    return float(point.x), float(point.y)


def _far_end(side: _Side) -> tuple[Mm, Mm]:
    """The corner of a side that is farthest from the slot's origin, where an angle makes the most."""
    corners = shapely.get_coordinates(side.outline)
    s, u = corners[int(np.argmax(np.hypot(corners[:, 0], corners[:, 1])))]
    return float(s), float(u)


def find(slot: ExpectedSlot, faces: Faces, expected: Expected, *, within: Within) -> dict[float, list[Flat]]:
    """The flat faces that bound a slot on the side of the specimen (1.0) and on that of the bone that stays (-1.0), in the guide frame."""
    origin, normal = expected.plane_of(slot)
    found: dict[float, list[Flat]] = {1.0: [], -1.0: []}
    for flat in faces.planes_along(normal, least=within.cosine):
        _, point, outward = flat
        for sign, side in found.items():
            turn = float(np.degrees(np.arccos(np.clip(-sign * (outward @ normal), -1.0, 1.0))))
            away = float((point - origin) @ normal) * sign
            if turn <= within.turn and -within.away < away - slot.width / 2.0 < within.away:
                side.append(flat)
    return found


def _sides(found: list[Flat], origin: Array, normal: Array, along: Array, blade: Array, sign: float) -> list[_Side]:
    """What was found of one side of a slot, the largest face first; without what is too small to guide a blade."""
    sides = []
    for face, point, outward in found:
        turn = float(np.degrees(np.arccos(np.clip(-sign * (outward @ normal), -1.0, 1.0))))
        foot = origin + float((point - origin) @ outward) / float(normal @ outward) * normal
        outline = outline_in(face, origin, along, blade)
        if outline.area > LEAST_MM2:
            sides.append(_Side(outline, float((foot - origin) @ normal), turn))
    return sorted(sides, key=lambda side: -side.outline.area)


def _stations(both: shapely.Geometry, windows: tuple[tuple[Mm, Mm], ...], joints: list[tuple[Array, Array]], along: Array, blade: Array) -> Array:
    """Rows (s, u low, u high, u of a hole): where, along the slot, the blade has a wall on both sides, and over which stretch.

    The fourth is the middle of the largest hole in between; nan where there is none.

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
                parts = sorted(part.bounds for part in shapely.get_parts(line))
                holes = [(b[1] - a[3], (a[3] + b[1]) / 2.0) for a, b in itertools.pairwise(parts)]
                rows.append((s, u_high - line.length, u_high, max(holes)[1] if holes else np.nan))  # any hole counts against the height
    return np.array(rows).reshape(-1, 4)


def _off_on_triangles(
    part: Printed, stations: Array, both: shapely.Geometry, ways: _Ways, sides: tuple[Mm, Mm]
) -> tuple[Mm | None, tuple[Mm, Mm] | None]:
    """How far a side lies on the triangles from where it lies in the STEP, at most, and where that is (s, u)."""
    flat = np.array([(s, u) for s, low, high, _ in stations[:: max(1, int(1.0 / SAMPLE_MM))] for u in np.linspace(low, high, 7)])
    flat = flat[shapely.contains_xy(both.buffer(-INSIDE_MM), *flat.T)]
    if not len(flat):
        return None, None
    starts = ways.origin + flat[:, :1] * ways.along + flat[:, 1:] * ways.blade
    met = (sign * part.caster.first(starts, sign * ways.normal)[0] - at for sign, at in zip((1.0, -1.0), sides, strict=True))
    off = np.max(np.abs(list(met)), axis=0)
    worst = int(np.argmax(off))
    return float(off[worst]), (float(flat[worst, 0]), float(flat[worst, 1]))


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
) -> tuple[Mm, Array | None]:
    """The least thickness behind the guided faces, below the broken edge, across the cutting plane; and its middle (guide frame)."""
    inner = stations[:: max(1, int(1.0 / SAMPLE_MM))]
    flat = np.array([(s, u) for s, low, high, _ in inner for u in np.linspace(low + 0.3, high - expected.edge_break - 0.6, 5)]).reshape(-1, 2)
    offsets = flat[:, :1] * along + flat[:, 1:] * blade
    for point, across in joints:
        keep = np.abs((offsets - point) @ across) > CORNER_MM
        flat, offsets = flat[keep], offsets[keep]
    least, place = np.inf, None
    for sign, at in ((1.0, sides[0]), (-1.0, sides[1])):
        starts = origin + offsets + (at + sign * 1e-3) * normal
        distance, faces = part.caster.first(starts, sign * normal)
        # a ray that leaves through the top or the seat, near their edges, has not crossed the wall
        facing = part.caster.normals(faces) @ (sign * normal)
        outer = (faces >= 0) & (facing > WALL_COS)
        backed = outer | ((faces >= 0) & (facing > 0.0) & (distance >= wall))  # by a thick footplate, say
        if not outer.any() or backed.mean() < WALL_SHARE:
            bare = ~backed
            return 0.0, starts[bare].mean(axis=0) if bare.any() else None
        thin = int(np.argmin(np.where(outer, distance, np.inf)))
        if distance[thin] + 1e-3 < least:
            least, place = float(distance[thin]) + 1e-3, starts[thin] + sign * distance[thin] / 2.0 * normal
    return least, place


def _blocked(
    part: Printed, stations: Array, origin: Array, normal: Array, along: Array, blade: Array, slot: ExpectedSlot
) -> tuple[int, Array | None]:
    """How many of the blade's lines through the slot meet material, from far outside to far into the bone; and where the first does."""
    count, place = 0, None
    for off in (0.0, 0.49 * slot.thickness, -0.49 * slot.thickness):
        starts = origin + stations[:, :1] * along - 80.0 * blade + off * normal
        distance, _ = part.caster.first(starts, blade)
        met = np.flatnonzero(np.isfinite(distance))
        count += len(met)
        if place is None and len(met):
            place = starts[met[0]] + distance[met[0]] * blade
    return count, place


def checks(want: ExpectedSlot, slot: MeasuredSlot, expected: Expected) -> list[Check]:
    """Every number of one slot against its limit."""
    at = f"[{slot.name}]"
    width_off = None if slot.width is None else abs(slot.width - want.width)
    clearance = None if slot.width is None else slot.width - want.compensation - want.thickness
    note = "clearance outside 0.10–0.20 mm by explicit override" if expected.clearance_overridden else ""
    place = slot.places.get
    wide, lines = f"difference from {want.width:.3f} mm (blade + clearance + printer)", "lines of the blade that meet material"
    least, most = (0.0 if note else 0.10) - LIMITS.slot_width, (want.clearance if note else 0.20) + LIMITS.slot_width
    found = [
        held(f"slot_width{at}", width_off, "mm", "<=", LIMITS.slot_width, wide, where=place("slot_width")),
        held(f"slot_clearance_least{at}", clearance, "mm", ">=", least, note, where=place("slot_width")),
        held(f"slot_clearance_most{at}", clearance, "mm", "<=", most, note, where=place("slot_width")),
        held(f"slot_plane_angle{at}", slot.angle, "deg", "<=", LIMITS.plane_angle, where=place("slot_plane_angle")),
        held(f"slot_plane_offset{at}", slot.offset, "mm", "<=", LIMITS.plane_offset, _runs(want), where=place("slot_plane_offset")),
        held(f"slot_printed{at}", slot.printed_off, "mm", "<=", LIMITS.slot_width, "of a side, STL against STEP", where=place("slot_printed")),
        held(f"slot_wall{at}", slot.wall_min, "mm", ">=", want.wall - (2.0 - LIMITS.wall), where=place("slot_wall")),
        held(f"slot_height{at}", slot.height_min, "mm", ">=", want.height - LIMITS.height_loss, where=place("slot_height")),
        held(f"slot_blocked{at}", float(slot.blocked) if slot.width is not None else None, "", "==", 0.0, lines, where=place("slot_blocked")),
    ]  # fmt: skip
    found += [*end_check(want, slot.past, place("slot_covers_bone")), _reach_check(want, slot)]
    if slot.low is None or slot.high is None:
        return [*found, held(f"slot_covers_bone{at}", None, "mm", ">=", 0.0, where=place("slot_covers_bone"))]
    beyond = [want.chord_low - slot.low] if want.free_low else []
    beyond += [slot.high - want.chord_high] if want.free_high else []
    ends = min(beyond, default=0.0)
    found.append(held(f"slot_covers_bone{at}", ends, "mm", ">=", -0.01, "slot beyond the bone at the shorter end", where=place("slot_covers_bone")))
    shortest = min(high - low for low, high in slot.windows)
    if not want.joined:
        told = "shortest window; blade width and sweep"
        found.append(held(f"slot_blade_room{at}", shortest, "mm", ">=", want.room - 0.01, told, where=place("slot_blade_room")))
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(slot.windows)]
    if gaps:
        found.append(held(f"slot_bridge{at}", min(gaps), "mm", ">=", want.bridge - 0.01, where=place("slot_bridge")))
    return found


def _reach_check(want: ExpectedSlot, slot: MeasuredSlot) -> Check:
    """The blade's usable length against what its deepest line needs, from the fence as built."""
    length = want.blade_length if slot.blade_needed is not None else None
    needed = round(slot.blade_needed, 3) if slot.blade_needed is not None else want.depth + want.height
    note = "usable length, against the way from the highest fence under the saw's hub to the far side of the bone"
    return held(f"blade_reach[{slot.name}]", length, "mm", ">=", needed, note, where=slot.blade_needed_at)


def _runs(want: ExpectedSlot) -> str:
    """Where a blade is to run, where that is not the planned plane."""
    if not want.shift:
        return ""
    side = "specimen" if want.shift > 0.0 else "bone that stays"
    return f"from where the blade is to run, {abs(want.shift):.3f} mm from the plan on the side of the {side}"
