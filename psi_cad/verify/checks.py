"""Hold every measured number of a guide against its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from psi_cad.errors import KernelError
from psi_cad.findings import Check, Place
from psi_cad.promises.expected import Expected
from psi_cad.readback.agreement import OFF_MM, off_on_triangles
from psi_cad.readback.part import Part
from psi_cad.readback.printed import Printed
from psi_cad.units import LIMITS, Array, Mm
from psi_cad.verify.features import pin, seat, sleeve, slot
from psi_cad.verify.features.feature import feature_from_json, measured, told, told_of
from psi_cad.verify.features.seat import BoneProbe, MeasuredSeat
from psi_cad.verify.features.sleeve import MeasuredBore
from psi_cad.verify.features.slot import MeasuredSlot
from psi_cad.verify.held import held, in_patient
from psi_cad.verify.holding import holding_json
from psi_cad.verify.neighbours import Neighbour, measure_neighbours

__all__ = ["Measured", "measure_files", "measure_part"]

STL_PLACE_MM: Final[Mm] = 0.2


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
    features: tuple[dict[str, Any], ...] = ()  # what else was promised, guide frame, and what was measured of it

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
            **({"features": list(self.features)} if self.features else {}),
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
    """Measure a guide of which the STEP was read already, whether or not its solid was found sound by then.

    Raises
    ------
    KernelError
        If the STEP holds no solid.
    InputError
        If the STL cannot be read.
    """
    found = _measured(part, stl, expected, probe, others)
    if not part.settle():
        found = _measured(part, stl, expected, probe, others)
    sound = held("step_valid", float(part.valid), "", "==", 1.0, where=None if part.valid else in_patient(expected, part.unsound))
    return replace(found, checks=(*found.checks[:2], sound, *found.checks[2:]))


def _measured(part: Part, stl: Path, expected: Expected, probe: BoneProbe, others: Sequence[BoneProbe]) -> Measured:
    """All but whether the solid is sound; that check belongs after the first two."""
    printed = Printed(stl, expected.frame)
    checks = [
        held("step_schema_ap242", float("AP242" in part.header), "", "==", 1.0),
        held("step_solids", part.solid_count, "", "==", 1.0, where=in_patient(expected, part.extra_solid)),
    ]
    if part.solid_count == 0:
        raise KernelError(f"'{part.path.name}' holds no solid.")
    wanted = [want for want in expected.slots if want.printed]  # what one wall or a metal sleeve guides is measured as the feature that it is
    slots = tuple(slot.measure(part, printed, expected, want) for want in wanted)
    for want, one in zip(wanted, slots, strict=True):
        checks += slot.checks(want, one, expected)
    bores = sleeve.measure(part, printed, expected)
    checks += sleeve.checks(bores, part, printed, expected)
    checks += pin.checks(part, printed, expected)
    sits = seat.measure(printed, expected, probe)
    checks += seat.checks(sits, expected)
    features = measured(tuple(feature_from_json(one) for one in expected.features), part, printed, on=(expected, probe))
    for _, _, found in features:
        checks += [replace(check, where=in_patient(expected, np.array(check.where))) for check in found]
    neighbours = measure_neighbours(printed, expected.frame, others)
    checks += _neighbour_checks(neighbours)
    alone = [(values.get("wall_mm"), values.get("wall_at")) for one, values, _ in features if told(one)["kind"] in ("ledge", "liner")]
    walls = [(thick, in_patient(expected, np.array(at)) if at else None) for thick, at in alone if thick is not None]
    checks += _mesh_checks(printed, part, slots, bores, expected, walls)
    return Measured(slots, sits, tuple(checks), part.volume, holding_json(sits.holding, expected), neighbours, bores, told_of(features))


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


def _mesh_checks(
    printed: Printed,
    part: Part,
    slots: tuple[MeasuredSlot, ...],
    bores: tuple[MeasuredBore, ...],
    expected: Expected,
    ledges: Sequence[tuple[Mm, Place | None]],
) -> list[Check]:
    mesh = printed.mesh
    volume, centre = part.volume, part.centre
    if abs(float(mesh.volume) - volume) > LIMITS.stl_volume / 2.0 * volume:
        volume, centre = part.sliced  # before it is called wrong, it is measured with care
    drift = float(np.linalg.norm(np.asarray(mesh.center_mass) - centre)) if printed.closed else None
    share = abs(float(mesh.volume) - volume) / volume
    walls = list(ledges) + [(slot.wall_min, slot.places.get("slot_wall")) for slot in slots if slot.wall_min is not None]
    walls += [(bore.wall_min, bore.places.get("sleeve_wall")) for bore in bores if bore.wall_min is not None]
    room, corner = _printer_room(printed, expected)
    wrong = share > LIMITS.stl_volume or (drift is not None and drift > STL_PLACE_MM)
    apart = in_patient(expected, part.differs_most(mesh)) if wrong else None  # slow, so only for what fails
    thin = min(walls, key=lambda wall: wall[0], default=None)
    opened = in_patient(expected, printed.open_edge)
    off, off_at = off_on_triangles(*part.places, printed) or (None, None)
    return [
        held("stl_watertight", float(printed.closed), "", "==", 1.0, where=opened),
        held("stl_bodies", printed.bodies, "", "==", 1.0, where=in_patient(expected, printed.least_body)),
        held("stl_volume", share, "", "<=", LIMITS.stl_volume, "share of the STEP volume", where=apart),
        held("stl_faces", off, "mm", "<=", OFF_MM, "of a flat or round face, STL against STEP", where=in_patient(expected, off_at)),
        held("stl_place", drift, "mm", "<=", STL_PLACE_MM, "centre of volume of STL against STEP", where=apart if drift is not None else opened),
        held("printer_room", room, "mm", "<=", 0.0, "beyond the build volume", where=in_patient(expected, corner)),
        held(
            "printer_wall",
            thin[0] if thin else None,
            "mm",
            ">=",
            expected.minimum_wall,
            f"least {'ledge or pocket' if ledges else 'sleeve' if bores and not slots else 'slot'} wall against the printer's",
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
