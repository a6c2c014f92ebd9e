"""Hold every measured number of a guide against its limit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from psi_cad.errors import KernelError
from psi_cad.findings import Check, Place
from psi_cad.siting.pins import triangle_lever
from psi_cad.units import LIMITS, Array, Mm
from psi_cad.verify.bores import MeasuredBore, bore_checks, measure_bores
from psi_cad.verify.expected import Expected, ExpectedBore, ExpectedSlot
from psi_cad.verify.held import held, in_patient
from psi_cad.verify.holding import holding_json, lock_check
from psi_cad.verify.neighbours import Neighbour, measure_neighbours
from psi_cad.verify.part import Part
from psi_cad.verify.printed import Printed
from psi_cad.verify.seat import BoneProbe, MeasuredSeat, measure_seat
from psi_cad.verify.slots import MeasuredSlot, measure_slot

__all__ = ["Measured", "measure_files", "measure_part"]

BESIDE_BORE_MM: Final[Mm] = 0.35  # a wire's level is read beside its bore, and on a steep seat lies that much higher or lower than in the middle
BORE_MM: Final[Mm] = 0.02
SAME_HOLE_MM: Final[Mm] = 0.5  # from where a wire is planned to the axis of its bore
STL_PLACE_MM: Final[Mm] = 0.2
AXIS_COS: Final = np.cos(np.radians(0.05))


@dataclass(frozen=True)
class Measured:
    """All that was measured of one guide's files."""

    slots: tuple[MeasuredSlot, ...]
    seat: MeasuredSeat
    checks: tuple[Check, ...]
    volume: float
    holding: dict[str, Any]  # the seat's weakest slide, as the report holds it
    neighbours: tuple[Neighbour, ...] = ()  # how it lies to the other bones of the case
    bores: tuple[MeasuredBore, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The parts of a report that measurement gives: slots (and bores, where there are sleeves), seat, checks, status."""
        slots = [
            {
                "name": slot.name,
                "width_mm": _rounded(slot.width),
                "length_mm": _rounded(slot.length),
                "height_min_mm": _rounded(slot.height_min),
                "wall_min_mm": _rounded(slot.wall_min),
                "blade_direction": [round(float(v), 9) for v in slot.blade_direction],
                "plane_angle_deg": _rounded(slot.angle),
                "plane_offset_mm": _rounded(slot.offset),
                "blade_needed_mm": _rounded(slot.blade_needed),
                "from_plan_mm": _rounded(slot.from_plan),
                "windows_mm": [[_rounded(low), _rounded(high)] for low, high in slot.windows],
            }
            for slot in self.slots
        ]
        seat = {
            "rms_mm": _rounded(self.seat.rms),
            "max_mm": _rounded(self.seat.max),
            "gap_mm": _rounded(self.seat.gap),
            "overlap_max_mm": _rounded(self.seat.overlap),
            "contact_area_mm2": _rounded(self.seat.contact_area),
            **self.holding,
        }
        bores = {"bores": [bore.to_json() for bore in self.bores]} if self.bores else {}
        return {
            "slots": slots,
            **bores,
            "seat": seat,
            **({"other_bones": [one.to_json() for one in self.neighbours]} if self.neighbours else {}),
            "volume_mm3": _rounded(self.volume),
            "checks": [check.to_json() for check in self.checks],
            "status": "passed" if self.passed else "rejected",
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def measure_files(step: Path, stl: Path, expected: Expected, probe: BoneProbe, others: Sequence[BoneProbe] = ()) -> Measured:
    """Read both files back and measure them against the guide's bone, and the other bones of the case.

    Raises
    ------
    KernelError
        If the STEP cannot be read at all.
    InputError
        If the STL cannot.
    """
    return measure_part(Part(step, expected.frame), stl, expected, probe, others)


def measure_part(part: Part, stl: Path, expected: Expected, probe: BoneProbe, others: Sequence[BoneProbe] = ()) -> Measured:
    """Measure a guide of which the STEP was read already.

    Raises
    ------
    KernelError
        If the STEP holds no solid.
    InputError
        If the STL cannot be read.
    """
    printed = Printed(stl, expected.frame)
    checks = [
        held("step_schema_ap242", float("AP242" in part.header), "", "==", 1.0),
        held("step_solids", part.solid_count, "", "==", 1.0, where=in_patient(expected, part.extra_solid)),
    ]
    if part.solid_count == 0:
        raise KernelError(f"'{part.path.name}' holds no solid.")
    checks.append(held("step_valid", float(part.valid), "", "==", 1.0, where=None if part.valid else in_patient(expected, part.unsound)))
    slots = tuple(measure_slot(part, printed, expected, slot) for slot in expected.slots)
    for want, slot in zip(expected.slots, slots, strict=True):
        checks += _slot_checks(want, slot, expected)
    bores = measure_bores(part, printed, expected)
    checks += bore_checks(bores, part, printed, expected)
    checks += _pin_checks(part, printed, expected)
    seat = measure_seat(printed, expected, probe)
    checks += [
        held("seat_rms", seat.rms, "mm", "<=", LIMITS.seat_rms, where=seat.worst),
        held("seat_max", seat.max, "mm", "<=", LIMITS.seat_max, where=seat.worst),
        held("seat_overlap", seat.overlap, "mm", "<=", LIMITS.overlap, where=seat.deepest),
        held("contact_area", seat.contact_area, "mm²", ">=", LIMITS.contact_area, where=seat.missing),
        held(
            "contact_share",
            seat.contact_area / max(seat.footprint_area, 1e-9),
            "",
            ">=",
            0.6,
            "of the planned footprint; holes and the slot are not contact",
            where=seat.missing,
        ),
        lock_check(seat.holding, expected),
        held("pull_off", seat.catch, "mm", "<=", LIMITS.overlap, "bone in the way along the seating axis", where=seat.caught),
    ]
    neighbours = measure_neighbours(printed, expected.frame, others)
    checks += _neighbour_checks(neighbours)
    checks += _mesh_checks(printed, part, slots, bores, expected)
    return Measured(slots, seat, tuple(checks), part.volume, holding_json(seat.holding, expected), neighbours, bores)


def _neighbour_checks(neighbours: Sequence[Neighbour]) -> list[Check]:
    """That no other bone of the case reaches into the guide, or is met when it is pulled off; none where there is no other."""
    if not neighbours:
        return []
    deep, high = max(neighbours, key=lambda one: one.overlap), max(neighbours, key=lambda one: one.catch)
    gap = min(neighbours, key=lambda one: one.gap)
    note = f"into {deep.name}" if deep.overlap > 0.0 else f"the nearest other bone is {gap.name}, {gap.gap:.1f} mm away"
    caught = f"{high.name} in the way along the seating axis" if high.catch > 0.0 else "of the other bones along the seating axis"
    return [
        held("other_bone_overlap", deep.overlap, "mm", "<=", LIMITS.overlap, note, where=deep.deepest),
        held("other_bone_pull_off", high.catch, "mm", "<=", LIMITS.overlap, caught, where=high.caught),
    ]


def _slot_checks(want: Any, slot: MeasuredSlot, expected: Expected) -> list[Check]:
    at = f"[{slot.name}]"
    width_off = None if slot.width is None else abs(slot.width - want.width)
    clearance = None if slot.width is None else slot.width - want.compensation - want.thickness
    note = "clearance outside 0.10–0.20 mm by explicit override" if expected.clearance_overridden else ""
    place = slot.places.get
    wide, lines = f"difference from {want.width:.3f} mm (blade + clearance + printer)", "lines of the blade that meet material"
    least, most = (0.0 if note else 0.10) - LIMITS.slot_width, (want.clearance if note else 0.20) + LIMITS.slot_width
    checks = [
        held(f"slot_width{at}", width_off, "mm", "<=", LIMITS.slot_width, wide, where=place("slot_width")),
        held(f"slot_clearance_least{at}", clearance, "mm", ">=", least, note, where=place("slot_width")),
        held(f"slot_clearance_most{at}", clearance, "mm", "<=", most, note, where=place("slot_width")),
        held(f"slot_plane_angle{at}", slot.angle, "deg", "<=", LIMITS.plane_angle, where=place("slot_plane_angle")),
        held(f"slot_plane_offset{at}", slot.offset, "mm", "<=", LIMITS.plane_offset, _runs(want), where=place("slot_plane_offset")),
        held(f"slot_wall{at}", slot.wall_min, "mm", ">=", want.wall - (2.0 - LIMITS.wall), where=place("slot_wall")),
        held(f"slot_height{at}", slot.height_min, "mm", ">=", want.height - LIMITS.height_loss, where=place("slot_height")),
        held(f"slot_blocked{at}", float(slot.blocked) if slot.width is not None else None, "", "==", 0.0, lines, where=place("slot_blocked")),
    ]  # fmt: skip
    checks.append(_reach_check(want, slot))
    if slot.low is None or slot.high is None:
        return [*checks, held(f"slot_covers_bone{at}", None, "mm", ">=", 0.0, where=place("slot_covers_bone"))]
    beyond = [want.chord_low - slot.low] if want.free_low else []
    beyond += [slot.high - want.chord_high] if want.free_high else []
    ends = min(beyond, default=0.0)
    checks.append(held(f"slot_covers_bone{at}", ends, "mm", ">=", -0.01, "slot beyond the bone at the shorter end", where=place("slot_covers_bone")))
    shortest = min(high - low for low, high in slot.windows)
    if not want.joined:
        told = "shortest window; blade width and sweep"
        checks.append(held(f"slot_blade_room{at}", shortest, "mm", ">=", want.room - 0.01, told, where=place("slot_blade_room")))
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(slot.windows)]
    if gaps:
        checks.append(held(f"slot_bridge{at}", min(gaps), "mm", ">=", want.bridge - 0.01, where=place("slot_bridge")))
    return checks


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


def _pin_checks(part: Part, printed: Printed, expected: Expected) -> list[Check]:
    """Pins are the hollow cylinders of the bore along the seating axis; halves of one hole count once. A guide may be made to have none."""
    if not expected.pins:
        return []
    centres: list[tuple[float, float]] = []
    diameters = []
    for _, point, direction, radius in part.cylinders:
        if any(_along_bore(point, direction, expected, bore) for bore in expected.bores):
            continue
        is_bore = radius < 0.0 and abs(direction[2]) >= AXIS_COS and abs(-2.0 * radius - expected.bore) <= BORE_MM
        if is_bore and all(np.hypot(point[0] - x, point[1] - y) > 0.1 for x, y in centres):
            centres.append((float(point[0]), float(point[1])))
            diameters.append(-2.0 * radius)
    found = np.array(centres).reshape(-1, 2)

    def at(x: float, y: float, up: float = 0.0) -> Place | None:
        """A place on the axis of a wire, `up` above the seat."""
        return in_patient(expected, np.array([x, y, printed.level_beside(x, y, expected.bore) + up]))

    lacking = [(x, y) for x, y, _ in expected.wires if all(np.hypot(x - a, y - b) > SAME_HOLE_MM for a, b in centres)]
    missing = at(*lacking[0]) if lacking else None
    off = [abs(d - expected.bore) for d in diameters]
    middle = at(*found.mean(axis=0)) if len(found) else None
    checks = [
        held("pins", len(centres), "", ">=", max(3, expected.pins), "wire holes along the seating axis", where=missing),
        held("pin_lever", triangle_lever(found), "mm", ">=", LIMITS.pin_lever, "least height of the best triangle of pins", where=missing or middle),
        held("pin_bore", max(off, default=None), "mm", "<=", 0.01, where=at(*centres[int(np.argmax(off))]) if off else missing),
    ]
    if not expected.planes:  # nothing is cut in this case: what wires keep from are tools, see `tool_apart`
        return checks
    least, nearest = np.inf, missing
    for x, y in centres:
        depth = _depth_of(expected, x, y)
        for origin, normal in expected.planes:
            n = expected.frame.local_direction(np.array(normal))
            o = expected.frame.local(np.array(origin))
            ends = [float((np.array([x, y, printed.level_beside(x, y, expected.bore) + dz]) - o) @ n) for dz in (-depth, expected.wire_top)]
            crosses = ends[0] * ends[1] < 0
            away = 0.0 if crosses else min(abs(e) for e in ends) - expected.wire / 2.0
            if away < least:
                share = ends[0] / (ends[0] - ends[1]) if crosses else float(abs(ends[1]) < abs(ends[0]))
                least, nearest = away, at(x, y, -depth + share * (depth + expected.wire_top))
    rule = "wire to the nearest cut plane, over its depth"
    clear = held("pin_clearance", least if centres else None, "mm", ">=", expected.pin_clearance - BESIDE_BORE_MM, rule, where=nearest)
    return [*checks, clear]


def _along_bore(point: Array, direction: Array, expected: Expected, bore: ExpectedBore) -> bool:
    """Whether a hole is a trajectory's own, though it is as wide as a wire's and lies along the seating axis."""
    entry, out = expected.frame.local(np.array(bore.entry)), expected.frame.local_direction(np.array(bore.out))
    return bool(abs(float(direction @ out)) >= AXIS_COS and np.linalg.norm(np.cross(point - entry, out)) < SAME_HOLE_MM)


def _depth_of(expected: Expected, x: float, y: float) -> Mm:
    nearest = min(expected.wires, key=lambda wire: np.hypot(wire[0] - x, wire[1] - y), default=None)
    return expected.wire_depth if nearest is None else float(nearest[2])


def _mesh_checks(printed: Printed, part: Part, slots: tuple[MeasuredSlot, ...], bores: tuple[MeasuredBore, ...], expected: Expected) -> list[Check]:
    mesh = printed.mesh
    volume, centre = part.volume, part.centre
    if abs(float(mesh.volume) - volume) > LIMITS.stl_volume / 2.0 * volume:
        volume, centre = part.sliced  # before it is called wrong, it is measured with care
    drift = float(np.linalg.norm(np.asarray(mesh.center_mass) - centre)) if printed.closed else None
    share = abs(float(mesh.volume) - volume) / volume
    walls = [(slot.wall_min, slot.places.get("slot_wall")) for slot in slots if slot.wall_min is not None]
    walls += [(bore.wall_min, bore.places.get("sleeve_wall")) for bore in bores if bore.wall_min is not None]
    room, corner = _printer_room(printed, expected)
    wrong = share > LIMITS.stl_volume or (drift is not None and drift > STL_PLACE_MM)
    apart = in_patient(expected, part.differs_most(mesh)) if wrong else None  # slow, so only for what fails
    thin = min(walls, key=lambda wall: wall[0], default=None)
    opened = in_patient(expected, printed.open_edge)
    return [
        held("stl_watertight", float(printed.closed), "", "==", 1.0, where=opened),
        held("stl_bodies", printed.bodies, "", "==", 1.0, where=in_patient(expected, printed.least_body)),
        held("stl_volume", share, "", "<=", LIMITS.stl_volume, "share of the STEP volume", where=apart),
        held("stl_place", drift, "mm", "<=", STL_PLACE_MM, "centre of volume of STL against STEP", where=apart if drift is not None else opened),
        held("printer_room", room, "mm", "<=", 0.0, "beyond the build volume", where=in_patient(expected, corner)),
        held(
            "printer_wall",
            thin[0] if thin else None,
            "mm",
            ">=",
            expected.minimum_wall,
            f"least {'sleeve' if bores and not slots else 'slot'} wall against the printer's",
            where=thin[1] if thin else None,
        ),
    ]


def _printer_room(printed: Printed, expected: Expected) -> tuple[Mm, Array]:
    """By how much the guide is larger than the build volume, each sorted by size, and the point (3,) that sticks out farthest there."""
    size = np.ptp(printed.bounds, axis=0)
    order = np.argsort(size)
    beyond = size[order] - np.sort(np.array(expected.build_volume))
    axis = int(order[int(np.argmax(beyond))])
    along = np.asarray(printed.mesh.vertices)[:, axis]
    middle = float(np.median(printed.mesh.triangles_center[:, axis]))
    farthest = int(np.argmax(np.abs(along - middle)))
    return float(beyond.max()), np.asarray(printed.mesh.vertices)[farthest]
