"""The plan's report: numbers, checks with their limits, and what the surgeon should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.case.catalogue import Catalogue
from psi_cad.extraction.tumour import diameters
from psi_cad.findings import Caution, Check, by_weight, place_of
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.outputs.software import plan_software
from psi_cad.plans.bones import bone_said, bones_cautions
from psi_cad.plans.said import least, least_sawn, retained_said, rounded, triple, worst
from psi_cad.plans.slots import Slot, run_out_of
from psi_cad.plans.tumour_in import LEFT_MM3
from psi_cad.records.plan import (
    AvoidSaid,
    AwayAt,
    CutSaid,
    DepthAt,
    OtherBoneInPlane,
    PlanReport,
    SlotSaid,
    SoftTumour,
    Specimen,
    TumourSaid,
)
from psi_cad.records.shared import CaseSaid, CheckSaid, Software, cautions_said
from psi_cad.resection.avoid import Structure, face_distance
from psi_cad.resection.depth import SlotDepth
from psi_cad.resection.margins import SAME_MM, CutMargin
from psi_cad.sawing.blades import length_said
from psi_cad.sawing.kerfs import kerf_caution, widest
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.nearest import Nearest
from psi_cad.siting.sliding import side_in_words
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    from psi_cad.plans.evaluated import Evaluated
    from psi_cad.plans.patient import Patient

__all__ = ["report_of"]

REACH_WANTED: Final = 0.98  # of a cut face that the saw should get at; what is less is told


def report_of(patient: Patient, found: Evaluated) -> PlanReport:
    """The report (schema 1) of an evaluated plan."""
    loaded, case = patient.loaded, patient.loaded.case
    wanted = case.tumour.margin if case.tumour is not None and patient.tumour is not None else None
    cuts = [_cut(patient, found, name, wanted) for name in found.cuts]
    avoided = [(structure, _away(patient, found, structure)) for structure in patient.avoid]
    checks = [
        *_margin_checks(patient, found, wanted),
        *_tumour_checks(found),
        *_slot_checks(found, patient.loaded.catalogue),
        *_avoid_checks(avoided),
    ]
    measured = [cut for cut in cuts if cut.margin_mm is not None]
    unplanned = [cut for cut in measured if not cut.planned_positive]
    cautions = _cautions(patient, found)
    return PlanReport(
        schema_=1,
        kind="plan",
        software=Software.model_validate(plan_software()),
        notice=NOT_A_DEVICE,
        case=CaseSaid(id=case.id, side=case.side, file=loaded.path.name, sha256=loaded.sha256, settings=list(loaded.settings)),
        inputs=patient.inputs,
        **patient.bones.report([bone_said(patient, said, share, cuts) for said, share in zip(patient.bones.said, found.shares, strict=True)]),
        cuts=cuts,
        margin_mm=least(cut.margin_mm for cut in measured),
        margin_sawn_mm=least_sawn(measured),
        margin_face_mm=least(cut.margin_face_mm for cut in measured),
        margin_through_bone_mm=least(cut.margin_through_bone_mm for cut in measured),
        class_=worst(measured),
        class_without_planned_positive=worst(unplanned),
        margin_wanted_mm=wanted,
        shortfall_mm=max((cut.shortfall_mm for cut in unplanned if cut.shortfall_mm is not None), default=None),
        specimen=Specimen(
            volume_mm3=rounded(found.resection.specimen.volume()),
            pieces=found.resection.pieces,
            groups=sorted(found.resection.specimens),
            cut_face_mm2=rounded(sum(float(cut.section.area) for cut in found.cuts.values())),
            sawn_face_mm2=rounded(sum(float(face.section.area) for face in found.faces.values())),
        ),
        kerf_mm3=rounded(found.resection.kerf),
        healthy_removed_mm3=rounded(found.healthy_removed),
        healthy_in_specimen_mm3=rounded(found.resection.specimen.volume() - (found.tumour_in.specimen if found.tumour_in is not None else 0.0)),
        retained=retained_said(found.resection),
        tumour=_tumour(patient, found),
        slots=[_slot(slot) for slot in found.slots],
        avoid=[_avoid(structure, near) for structure, near in avoided],
        checks=checks,
        cautions=cautions_said(cautions),
        notes=[caution.text for caution in cautions],
        status="passed" if all(check.passed for check in checks) else "failed",
    )


def _cut(patient: Patient, found: Evaluated, name: str, wanted: Mm | None) -> CutSaid:
    cut, margin = found.cuts[name], found.margins.get(name)
    declared = next(c for c in patient.loaded.case.cut if c.name == name)
    slots = [slot for slot in found.slots if slot.cut == name]
    of_bone: dict[str, Any] = {"bone": cut.bone} if patient.bones.scene.several else {}
    return CutSaid(
        name=name,
        **of_bone,
        group=cut.group,
        origin=triple(cut.origin, 6),
        normal=triple(cut.normal, 9),
        specimen_side=side_in_words(cut.normal),
        planned_positive=declared.planned_positive,
        **_kerf(patient, name),
        **_margin(margin, found.through.get(name), wanted, known=patient.kerfs[name].width is not None),
        area_mm2=rounded(cut.section.area),
        sawn_area_mm2=rounded(found.faces[name].section.area),
        depth_max_mm=rounded(max(slot.profile.deepest for slot in slots)) if slots else None,
        length_mm=rounded(max(slot.profile.length for slot in slots) if slots else _longest(cut)),
        reachable=rounded(min(slot.reachable for slot in slots), 4) if slots else None,
        cut_short_by=list(cut.neighbours),
        other_bone_in_plane=[OtherBoneInPlane(area_mm2=rounded(part.area), at=triple(_middle(cut, part), 2)) for part in cut.others],
    )


def _away(patient: Patient, found: Evaluated, structure: Structure) -> dict[str, Nearest]:
    """How near the saw comes to a structure at each cut."""
    return {
        name: face_distance(cut, structure, run_out=run_out_of(found.slots, name), kerf=patient.kerfs[name], face=found.faces[name])
        for name, cut in found.cuts.items()
    }


def _kerf(patient: Patient, name: str) -> dict[str, Any]:
    """What the saw removes at a cut: between which heights along the normal, by which blade, and whether that was measured."""
    kerf, sawing = patient.kerfs[name], widest(name, patient.sawings)
    return {
        "kerf_side": kerf.side,
        "kerf_mm": None if kerf.width is None else rounded(kerf.width, 4),
        "kerf_from_plane_mm": None if kerf.width is None else [rounded(kerf.low, 4), rounded(kerf.high, 4)],
        "kerf_blade": None if sawing is None else sawing.blade.id,
        "kerf_measured": None if sawing is None else sawing.measured,
    }


def _margin(margin: CutMargin | None, through: Nearest | None, wanted: Mm | None, *, known: bool) -> dict[str, Any]:
    """The margins of a cut: to its plane, and where the kerf is known to what the saw leaves, which then gives class and areas."""
    if margin is None:
        keys = ("margin_mm", "margin_sawn_mm", "class_", "margin_at", "margin_sawn_at", "margin_face_mm", "margin_through_bone_mm")
        return dict.fromkeys((*keys, "shortfall_mm", "area_by_class_mm2"))
    return {
        "margin_mm": rounded(margin.nearest.distance, 4),
        "margin_sawn_mm": rounded(margin.sawn.distance, 4) if known else None,
        "class_": margin.kind,
        "margin_at": {"tumour": triple(margin.nearest.on_surface), "cut": triple(margin.nearest.on_face)},
        "margin_sawn_at": {"tumour": triple(margin.sawn.on_surface), "cut": triple(margin.sawn.on_face)} if known else None,
        "margin_face_mm": rounded(margin.to_face.distance, 4),
        "margin_through_bone_mm": None if through is None else rounded(through.distance, 4),
        "shortfall_mm": rounded(max(0.0, (wanted or 0.0) - margin.sawn.distance), 4),
        "area_by_class_mm2": {kind: rounded(area) for kind, area in margin.area_by_class.items()},
    }


def _longest(cut: PlannedCut) -> Mm:
    """The longer side of the smallest rectangle round a section: its length where no guide says which way the slot runs."""
    corners = shapely.get_coordinates(cut.section.minimum_rotated_rectangle)
    return float(np.linalg.norm(np.diff(corners, axis=0), axis=1).max())


def _middle(cut: PlannedCut, part: shapely.Polygon) -> Array:
    return np.asarray(cut.patient(np.array(part.representative_point().coords))[0])


def _tumour(patient: Patient, found: Evaluated) -> TumourSaid | None:
    if patient.tumour is None or found.tumour_in is None:
        return None
    measured = {
        "volume_mm3": rounded(patient.tumour_solid.volume()),
        "diameters_mm": [rounded(v) for v in diameters(patient.tumour.mesh)[0]],
        "in_bone_mm3": rounded(found.tumour_in.bone),
        "in_kerf_mm3": rounded(found.tumour_in.dust),
        "left_in_retained_mm3": rounded(found.tumour_in.retained),
        "soft_beside_retained": [SoftTumour(volume_mm3=rounded(piece.volume), at=triple(piece.place, 2)) for piece in found.tumour_in.beside],
    }
    return TumourSaid.model_validate({**(patient.tumour_file or {}), **measured})


def _slot(slot: Slot) -> SlotSaid:
    near = {name: None if away is None else rounded(away.distance) for name, away in slot.near.items()}
    profile = slot.profile
    every = np.linspace(profile.s[0], profile.s[-1], 13)
    return SlotSaid(
        guide=slot.guide,
        cut=slot.cut,
        blade=slot.blade.id,
        blade_entry=slot.blade.model_dump(mode="json"),
        height_mm=slot.height,
        kerf_mm=rounded(slot.kerf, 4),
        kerf_shift_mm=rounded(slot.shift, 4),
        direction=triple(-profile.blade, 6),
        depth_max_mm=rounded(profile.deepest),
        length_mm=rounded(profile.length),
        reach_mm=rounded(slot.reach),
        spare_mm=rounded(slot.reach - profile.deepest),
        reachable=rounded(slot.reachable, 4),
        over_travel_near_mm=near,
        profile=[DepthAt(along_mm=rounded(s), depth_mm=rounded(np.interp(s, profile.s, profile.depth))) for s in every],
    )


def _avoid(structure: Structure, near: Mapping[str, Nearest]) -> AvoidSaid:
    return AvoidSaid(
        name=structure.name,
        distance_wanted_mm=structure.distance,
        cuts=[AwayAt(cut=name, distance_mm=rounded(away.distance), at=triple(away.on_surface, 2)) for name, away in near.items()],
    )


def _check(
    name: str, value: float, rule: str, limit: float, passed: bool, note: str = "", unit: str = "mm", *, where: Array | None = None
) -> CheckSaid:
    held = Check(name, value, unit, rule, limit, bool(passed), note, None if where is None else place_of(where))
    return CheckSaid.model_validate(held.to_json())


def _margin_checks(patient: Patient, found: Evaluated, wanted: Mm | None) -> list[CheckSaid]:
    checks = []
    declared = {cut.name: cut.planned_positive for cut in patient.loaded.case.cut}
    for name, margin in found.margins.items():
        value, place = margin.sawn.distance, at(margin.sawn.on_face)
        to_plane = f"; {margin.nearest.distance:.2f} mm to the plane"
        known = f"to the face the saw leaves{to_plane}" if patient.kerfs[name].width is not None else "to the plane, as the kerf is unknown"
        if declared[name]:
            note = (
                f"declared positive: class {margin.kind} near {place}"
                if margin.kind == "R2"
                else f"declared positive, but the margin is {margin.kind}"
            )
            checks.append(_check(f"margin_{name}", rounded(value, 4), "planned positive", 0.0, True, f"{note}; {known}", where=margin.sawn.on_face))
            continue
        assert wanted is not None
        note = f"class {margin.kind}, near {place}; {known}"
        if margin.kind == "R2":
            note += "; if that is meant, declare the cut planned_positive"
        passed = value >= wanted - SAME_MM and margin.kind != "R2"
        checks.append(_check(f"margin_{name}", rounded(value, 4), ">=", wanted, passed, note, where=margin.sawn.on_face))
    return checks


def _tumour_checks(found: Evaluated) -> list[CheckSaid]:
    """Tumour that stays in the patient, but for what a declared positive cut parts."""
    if found.tumour_in is None:
        return []
    checks = []
    left = [piece for piece in found.tumour_in.left if piece.parted_by is None]
    for name, pieces, note in (
        ("tumour_left_behind", left, "tumour in the bone that stays, and not parted by a declared positive cut"),
        ("tumour_beyond_cuts", found.tumour_in.beyond, "tumour that no group of cuts removes; turn a normal round, or add a cut"),
    ):
        volume = sum(piece.volume for piece in pieces)
        largest = max(pieces, key=lambda piece: piece.volume).place if volume > LEFT_MM3 else None
        told = note if largest is None else f"{note}, near {at(largest)}"
        checks.append(_check(name, rounded(volume), "<=", LEFT_MM3, volume <= LEFT_MM3, told, "mm³", where=largest))
    return checks


def _slot_checks(found: Evaluated, catalogue: Catalogue) -> list[CheckSaid]:
    """Whether each blade is long enough; where a guide is planned for several, the check's id names the blade."""
    checks = []
    for slot in found.slots:
        several = len({other.blade.id for other in found.slots if other.guide == slot.guide}) > 1
        name = f"blade_reach_{slot.guide}_{slot.cut}" + (f"_{slot.blade.id}" if several else "")
        note = f"blade {slot.blade.id}: usable length {slot.blade.usable_length:g} less the guided height, against the deepest bone below the slot"
        note += "; the fence follows the bone and stands some millimetres higher in places, which only a build can measure"
        deepest = slot.profile.deepest
        if slot.reach < deepest:
            note += f"; {length_said(catalogue, slot.blade, slot.blade.usable_length + deepest - slot.reach)}"
        checks.append(
            _check(name, rounded(slot.reach), ">=", rounded(deepest), slot.reach >= deepest, note, where=_deepest(found.cuts[slot.cut], slot.profile))
        )
    return checks


def _deepest(cut: PlannedCut, profile: SlotDepth) -> Array:
    s, a = profile.deepest_at
    return np.asarray(cut.origin + s * profile.along + a * profile.blade)


def _avoid_checks(avoided: Sequence[tuple[Structure, Mapping[str, Nearest]]]) -> list[CheckSaid]:
    return [
        _check(
            f"avoid_{structure.name}_{name}",
            rounded(away.distance),
            ">=",
            structure.distance,
            away.distance >= structure.distance - SAME_MM and away.distance > SAME_MM,
            f"nearest at {at(away.on_surface)}",
            where=away.on_surface,
        )
        for structure, near in avoided
        for name, away in near.items()
    ]


def _cautions(patient: Patient, found: Evaluated) -> list[Caution]:
    """What the surgeon must know of a plan, the most serious first."""
    told = list(found.cautions)
    if patient.tumour is None:
        told.append(Caution("no-tumour", "no tumour is given: no margin is measured, and nothing confirms which piece is the specimen"))
    for piece in found.tumour_in.beside if found.tumour_in is not None else ():
        text = (
            f"{piece.volume / 1000.0:.2f} cm³ of tumour lies in soft tissue beside bone that stays, near {at(piece.place)}: "
            "no cut removes it; plan how it is removed, or move the cut"
        )
        told.append(Caution("soft-tumour-stays", text, place_of(piece.place)))
    for sawing in patient.sawings:
        unmeasured = kerf_caution(sawing.blade, sawing.clearance)
        told += [unmeasured] if unmeasured is not None else []
    for name, kerf in patient.kerfs.items():
        if kerf.width is None:
            text = f"no guide takes cut {name}, so its kerf is unknown: its margin, its class and all volumes are those of the plane"
            told.append(Caution("kerf-unknown", text, place_of(found.cuts[name].origin)))
    declared = {cut.name for cut in patient.loaded.case.cut if cut.planned_positive}
    for name, cut in found.cuts.items():
        for part in cut.others:
            middle = _middle(cut, part)
            text = f"the plane of cut {name} also meets other bone near {at(middle)} ({part.area:.0f} mm²); it is not cut"
            told.append(Caution("other-bone-in-plane", text, place_of(middle)))
        margin = found.margins.get(name)
        if margin is None:
            continue
        if name in declared and margin.kind == "R2":
            text = f"cut {name} goes through the tumour, as the case declares (planned_positive): tumour stays at that face"
            told.append(Caution("planned-positive", text, place_of(margin.nearest.on_face)))
        if found.through.get(name) is None:
            text = f"there is no path through bone from the tumour to the face of cut {name}, so it has no margin through bone"
            told.append(Caution("margin-through-bone", text))
    if found.tumour_in is not None and found.tumour_in.bone <= 0.0:
        told.append(Caution("tumour-off-bone", "the tumour touches no bone: check its frame, its transform and its mask"))
    for slot in found.slots:
        told += _slot_cautions(slot, patient.avoid)
    for share in found.shares:
        if len(share.resection.retained) > 1:
            text = patient.bones.of(share.name, f"the bone that stays falls into {len(share.resection.retained)} pieces")
            told.append(Caution("retained-in-pieces", text))
    told += bones_cautions(patient, found)
    unguided = [name for name in found.cuts if all(slot.cut != name for slot in found.slots)]
    if unguided:
        told.append(Caution("cut-without-guide", f"no guide takes {', '.join(unguided)}: its depth and reach are not known"))
    return by_weight(told)


def _slot_cautions(slot: Slot, avoid: Sequence[Structure]) -> list[Caution]:
    where, told = f"slot {slot.cut} of {slot.guide}", []
    if slot.from_approach:
        text = f"{where}: no seat was found near the approach, so depth is measured along the approach itself; 'psi-cad check' says why"
        told.append(Caution("no-seat", text))
    if slot.reachable < REACH_WANTED:
        text = f"{where}: the saw reaches only {100 * slot.reachable:.0f} % of the cut face; the rest lies behind bone or too deep"
        told.append(Caution("not-reached", text))
    for structure in avoid:
        away = slot.near[structure.name]
        if away is not None and away.distance < structure.distance:
            text = (
                f"{where}: a blade pushed to its full length comes within {away.distance:.1f} mm of {structure.name} "
                f"near {at(away.on_surface)}, where it has left the bone; use a stop or a shorter blade"
            )
            told.append(Caution("structure-near", text, place_of(away.on_surface)))
    if slot.blade.nominal:
        told.append(Caution("nominal-blade", f"blade {slot.blade.id} is a nominal catalogue entry: measure your blade"))
    return told
