"""The plan's report: numbers, checks with their limits, and what the surgeon should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.findings import Check, place_of
from psi_cad.planning.avoid import Structure, face_distance
from psi_cad.planning.cuts import PlannedCut
from psi_cad.planning.depth import SlotDepth
from psi_cad.planning.margins import SAME_MM, CutMargin, MarginClass
from psi_cad.planning.nearest import Nearest
from psi_cad.run.notice import NOT_A_DEVICE
from psi_cad.surface.trust import at
from psi_cad.surface.tumour import diameters
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    from psi_cad.run.planning import Evaluated, Patient, Slot

__all__ = ["report_of"]

REACH_WANTED: Final = 0.98  # of a cut face that the saw should get at; what is less is told
ORDER: Final[dict[MarginClass, int]] = {"R0": 0, "R1": 1, "R2": 2}
LEFT_MM3: Final = 1.0  # tumour left behind that is more than rounding


def report_of(patient: Patient, found: Evaluated) -> dict[str, Any]:
    """The report (schema 1) of an evaluated plan, ready for JSON."""
    from psi_cad.run.planning import run_out_of, software

    loaded, case = patient.loaded, patient.loaded.case
    wanted = case.tumour.margin if case.tumour is not None and patient.tumour is not None else None
    cuts = [_cut(patient, found, name, wanted) for name in found.cuts]
    avoided = [(s, {name: face_distance(cut, s, run_out=run_out_of(found.slots, name)) for name, cut in found.cuts.items()}) for s in patient.avoid]
    checks = [*_margin_checks(patient, found, wanted), *_tumour_checks(found), *_slot_checks(found), *_avoid_checks(avoided)]
    measured = [cut for cut in cuts if cut["margin_mm"] is not None]
    unplanned = [cut for cut in measured if not cut["planned_positive"]]
    retained = found.resection.retained
    return {
        "schema": 1,
        "kind": "plan",
        "software": software(),
        "notice": NOT_A_DEVICE,
        "case": {"id": case.id, "side": case.side, "file": loaded.path.name, "sha256": loaded.sha256, "settings": list(loaded.settings)},
        "inputs": patient.inputs,
        "bone": {**patient.bone_said, "volume_mm3": _r(patient.solid.volume())},
        "cuts": cuts,
        "margin_mm": min((cut["margin_mm"] for cut in measured), default=None),
        "margin_face_mm": min((cut["margin_face_mm"] for cut in measured), default=None),
        "margin_through_bone_mm": min((c["margin_through_bone_mm"] for c in measured if c["margin_through_bone_mm"] is not None), default=None),
        "class": _worst(measured),
        "class_without_planned_positive": _worst(unplanned),
        "margin_wanted_mm": wanted,
        "shortfall_mm": max((cut["shortfall_mm"] for cut in unplanned), default=None),
        "specimen": {
            "volume_mm3": _r(found.resection.specimen.volume()),
            "pieces": found.resection.pieces,
            "groups": sorted(found.resection.specimens),
            "cut_face_mm2": _r(sum(float(cut.section.area) for cut in found.cuts.values())),
        },
        "healthy_removed_mm3": _r(found.healthy_removed),
        "retained": {"volume_mm3": _r(sum(p.volume() for p in retained)), "pieces": len(retained), "pieces_mm3": [_r(p.volume()) for p in retained]},
        "tumour": _tumour(patient, found),
        "slots": [_slot(slot) for slot in found.slots],
        "avoid": [_avoid(structure, near) for structure, near in avoided],
        "checks": checks,
        "notes": _notes(patient, found),
        "status": "passed" if all(check["passed"] for check in checks) else "failed",
    }


def _r(value: Any, digits: int = 3) -> float:
    return round(float(value), digits) + 0.0


def _triple(values: Array, digits: int = 4) -> list[float]:
    return [_r(v, digits) for v in values]


def _worst(cuts: list[dict[str, Any]]) -> MarginClass | None:
    return max((cut["class"] for cut in cuts), key=lambda kind: ORDER[kind], default=None)


def _cut(patient: Patient, found: Evaluated, name: str, wanted: Mm | None) -> dict[str, Any]:
    cut, margin = found.cuts[name], found.margins.get(name)
    declared = next(c for c in patient.loaded.case.cut if c.name == name)
    slots = [slot for slot in found.slots if slot.cut == name]
    said: dict[str, Any] = {
        "name": name,
        "group": cut.group,
        "origin": _triple(cut.origin, 6),
        "normal": _triple(cut.normal, 9),
        "planned_positive": declared.planned_positive,
        **_margin(margin, found.through.get(name), wanted),
        "area_mm2": _r(cut.section.area),
        "depth_max_mm": _r(max(slot.profile.deepest for slot in slots)) if slots else None,
        "length_mm": _r(max(slot.profile.length for slot in slots) if slots else _longest(cut)),
        "reachable": _r(min(slot.reachable for slot in slots), 4) if slots else None,
        "cut_short_by": list(cut.neighbours),
        "other_bone_in_plane": [{"area_mm2": _r(part.area), "at": _triple(_middle(cut, part), 2)} for part in cut.others],
    }
    return said


def _margin(margin: CutMargin | None, through: Nearest | None, wanted: Mm | None) -> dict[str, Any]:
    if margin is None:
        keys = ("margin_mm", "class", "margin_at", "margin_face_mm", "margin_through_bone_mm", "shortfall_mm", "area_by_class_mm2")
        return dict.fromkeys(keys)
    return {
        "margin_mm": _r(margin.nearest.distance, 4),
        "class": margin.kind,
        "margin_at": {"tumour": _triple(margin.nearest.on_surface), "cut": _triple(margin.nearest.on_face)},
        "margin_face_mm": _r(margin.to_face.distance, 4),
        "margin_through_bone_mm": None if through is None else _r(through.distance, 4),
        "shortfall_mm": _r(max(0.0, (wanted or 0.0) - margin.nearest.distance), 4),
        "area_by_class_mm2": {kind: _r(area) for kind, area in margin.area_by_class.items()},
    }


def _longest(cut: PlannedCut) -> Mm:
    """The longer side of the smallest rectangle round a section: its length where no guide says which way the slot runs."""
    corners = shapely.get_coordinates(cut.section.minimum_rotated_rectangle)
    return float(np.linalg.norm(np.diff(corners, axis=0), axis=1).max())


def _middle(cut: PlannedCut, part: shapely.Polygon) -> Array:
    return np.asarray(cut.patient(np.array(part.representative_point().coords))[0])


def _tumour(patient: Patient, found: Evaluated) -> dict[str, Any] | None:
    if patient.tumour is None or found.tumour_in is None:
        return None
    return {
        **(patient.tumour_file or {}),
        "volume_mm3": _r(patient.tumour_solid.volume()),
        "diameters_mm": [_r(v) for v in diameters(patient.tumour.mesh)[0]],
        "in_bone_mm3": _r(found.tumour_in.bone),
        "left_in_retained_mm3": _r(found.tumour_in.retained),
    }


def _slot(slot: Slot) -> dict[str, Any]:
    near = {name: None if away is None else _r(away.distance) for name, away in slot.near.items()}
    profile = slot.profile
    every = np.linspace(profile.s[0], profile.s[-1], 13)
    return {
        "guide": slot.guide,
        "cut": slot.cut,
        "blade": slot.blade.id,
        "blade_entry": slot.blade.model_dump(mode="json"),
        "height_mm": slot.height,
        "direction": _triple(-profile.blade, 6),
        "depth_max_mm": _r(profile.deepest),
        "length_mm": _r(profile.length),
        "reach_mm": _r(slot.reach),
        "spare_mm": _r(slot.reach - profile.deepest),
        "reachable": _r(slot.reachable, 4),
        "over_travel_near_mm": near,
        "profile": [{"along_mm": _r(s), "depth_mm": _r(np.interp(s, profile.s, profile.depth))} for s in every],
    }


def _avoid(structure: Structure, near: Mapping[str, Nearest]) -> dict[str, Any]:
    return {
        "name": structure.name,
        "distance_wanted_mm": structure.distance,
        "cuts": [{"cut": name, "distance_mm": _r(away.distance), "at": _triple(away.on_surface, 2)} for name, away in near.items()],
    }


def _check(
    name: str, value: float, rule: str, limit: float, passed: bool, note: str = "", unit: str = "mm", *, where: Array | None = None
) -> dict[str, Any]:
    return Check(name, value, unit, rule, limit, bool(passed), note, None if where is None else place_of(where)).to_json()


def _margin_checks(patient: Patient, found: Evaluated, wanted: Mm | None) -> list[dict[str, Any]]:
    checks = []
    declared = {cut.name: cut.planned_positive for cut in patient.loaded.case.cut}
    for name, margin in found.margins.items():
        value, place = margin.nearest.distance, at(margin.nearest.on_face)
        if declared[name]:
            note = (
                f"declared positive: class {margin.kind} near {place}"
                if margin.kind == "R2"
                else f"declared positive, but the margin is {margin.kind}"
            )
            checks.append(_check(f"margin_{name}", _r(value, 4), "planned positive", 0.0, True, note, where=margin.nearest.on_face))
            continue
        assert wanted is not None
        note = f"class {margin.kind}, near {place}"
        if margin.kind == "R2":
            note += "; where that is meant, the cut is to be declared planned_positive"
        passed = value >= wanted - SAME_MM and margin.kind != "R2"
        checks.append(_check(f"margin_{name}", _r(value, 4), ">=", wanted, passed, note, where=margin.nearest.on_face))
    return checks


def _tumour_checks(found: Evaluated) -> list[dict[str, Any]]:
    """Tumour that stays in the patient, but for what a declared positive cut parts."""
    if found.tumour_in is None:
        return []
    checks = []
    left = [piece for piece in found.tumour_in.left if piece.parted_by is None]
    for name, pieces, note in (
        ("tumour_left_behind", left, "tumour in the bone that stays, and not parted by a declared positive cut"),
        ("tumour_beyond_cuts", found.tumour_in.beyond, "tumour on the side that stays of the cuts of every group; turn a normal round, or add a cut"),
    ):
        volume = sum(piece.volume for piece in pieces)
        largest = max(pieces, key=lambda piece: piece.volume).place if volume > LEFT_MM3 else None
        told = note if largest is None else f"{note}, near {at(largest)}"
        checks.append(_check(name, _r(volume), "<=", LEFT_MM3, volume <= LEFT_MM3, told, "mm³", where=largest))
    return checks


def _slot_checks(found: Evaluated) -> list[dict[str, Any]]:
    return [
        _check(
            f"blade_reach_{slot.guide}_{slot.cut}",
            _r(slot.reach),
            ">=",
            _r(slot.profile.deepest),
            slot.reach >= slot.profile.deepest,
            f"blade {slot.blade.id}: usable length {slot.blade.usable_length:g} less the guided height, against the deepest bone below the slot",
            where=_deepest(found.cuts[slot.cut], slot.profile),
        )
        for slot in found.slots
    ]


def _deepest(cut: PlannedCut, profile: SlotDepth) -> Array:
    s, a = profile.deepest_at
    return np.asarray(cut.origin + s * profile.along + a * profile.blade)


def _avoid_checks(avoided: Sequence[tuple[Structure, Mapping[str, Nearest]]]) -> list[dict[str, Any]]:
    return [
        _check(
            f"avoid_{structure.name}_{name}",
            _r(away.distance),
            ">=",
            structure.distance,
            away.distance >= structure.distance - SAME_MM and away.distance > SAME_MM,
            f"nearest at {at(away.on_surface)}",
            where=away.on_surface,
        )
        for structure, near in avoided
        for name, away in near.items()
    ]


def _notes(patient: Patient, found: Evaluated) -> list[str]:
    notes = [f"the case was overridden by {setting}" for setting in patient.loaded.settings]
    for name, cut in found.cuts.items():
        for part in cut.others:
            notes.append(f"the plane of cut {name} also meets other bone near {at(_middle(cut, part))} ({part.area:.0f} mm²); it is not cut")
        if name in found.margins and found.through.get(name) is None:
            notes.append(f"no way through bone was found from the tumour to the face of cut {name}, so it has no margin through bone")
    if found.tumour_in is not None and found.tumour_in.bone <= 0.0:
        notes.append("warning: the tumour touches no bone; check that it is where it should be")
    for slot in found.slots:
        where = f"slot {slot.cut} of {slot.guide}"
        if slot.from_approach:
            notes.append(f"{where}: no seat was found near the approach, so depth is measured along the approach itself")
        if slot.reachable < REACH_WANTED:
            notes.append(f"{where}: the saw gets at {100 * slot.reachable:.0f} % of the cut face from there; the rest is behind bone or too deep")
        for structure in patient.avoid:
            away = slot.near[structure.name]
            if away is not None and away.distance < structure.distance:
                notes.append(
                    f"warning: {where}: a blade pushed to its full length comes within {away.distance:.1f} mm of {structure.name} "
                    f"near {at(away.on_surface)}, where it has left the bone; use a stop or a shorter blade"
                )
        if slot.blade.nominal:
            notes.append(f"blade {slot.blade.id} is a nominal catalogue entry: measure your blade")
    if len(found.resection.retained) > 1:
        notes.append(f"the bone that stays falls into {len(found.resection.retained)} pieces")
    unguided = [name for name in found.cuts if all(slot.cut != name for slot in found.slots)]
    if unguided:
        notes.append(f"no guide takes {', '.join(unguided)}: depth and reach are not known there")
    return list(dict.fromkeys(notes))
