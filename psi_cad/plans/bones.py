"""What a plan does to each of several bones: its pieces and margins, the tumour in it, and what no cut of it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.findings import Caution, place_of
from psi_cad.plans.said import least, least_sawn, retained_said, rounded, triple, worst
from psi_cad.plans.shares import Share
from psi_cad.plans.tumour_in import LEFT_MM3
from psi_cad.records.bones import Bone, BoneInPlan, BonePieces, TumourAtBone
from psi_cad.records.plan import CutSaid
from psi_cad.resection.depth import beyond
from psi_cad.scene.bodies import on
from psi_cad.surface.section import section_parts
from psi_cad.surface.solids import joined, mesh_of
from psi_cad.surface.trust import at
from psi_cad.units import Mm

if TYPE_CHECKING:
    from psi_cad.plans.evaluated import Evaluated
    from psi_cad.plans.patient import Patient

__all__ = ["bone_said", "bones_cautions"]

SAME_MM: Final[Mm] = 0.01  # distances from triangles that differ by less are one
NOTCH_MM2: Final = 1.0  # of another bone under the saw's run-out


def bone_said(patient: Patient, read: Bone, share: Share, cuts: list[CutSaid]) -> BoneInPlan:
    """One bone as it was read, with its volume, and of several what the cuts on it do."""
    said = read.more(BoneInPlan, volume_mm3=rounded(patient.model(share.name).solid.volume()))
    if not patient.bones.scene.several:
        return said
    mine = [cut for cut in cuts if cut.bone == share.name]
    measured = [cut for cut in mine if cut.margin_mm is not None]
    found = share.resection
    said.cuts = [cut.name for cut in mine]
    said.margin_mm = least(cut.margin_mm for cut in measured)
    said.margin_sawn_mm = least_sawn(measured)
    said.margin_face_mm = least(cut.margin_face_mm for cut in measured)
    said.class_ = worst(measured)
    volume = rounded(found.specimen.volume() if found.specimens else 0.0)
    said.specimen = BonePieces(volume_mm3=volume, pieces=found.pieces, groups=sorted(found.specimens))
    said.kerf_mm3 = rounded(found.kerf)
    said.retained = retained_said(found)
    said.tumour = None
    if patient.tumour is not None:
        said.tumour = TumourAtBone(
            in_bone_mm3=rounded(share.in_bone),
            left_in_retained_mm3=rounded(share.left),
            to_retained_mm=None if share.to_retained is None else rounded(share.to_retained),
            to_retained_at=None if share.nearest is None else triple(share.nearest),
        )
    return said


def bones_cautions(patient: Patient, found: Evaluated) -> list[Caution]:
    """What the surgeon must know of several bones that no cut by itself tells; nothing of one."""
    if not patient.bones.scene.several:
        return []
    told = []
    wanted = patient.loaded.case.tumour.margin if patient.loaded.case.tumour is not None else None
    for share in found.shares:
        if wanted is None or share.to_retained is None or share.nearest is None or share.to_retained >= wanted:
            continue
        sawn = [found.margins[name].sawn.distance for name in on(share.name, found.cuts)]
        where, near = at(share.nearest), f"the tumour comes within {share.to_retained:.1f} mm of"
        if share.left > LEFT_MM3:
            text = f"the tumour lies in {share.name}, near {where}, in bone that stays ({share.left / 1000.0:.2f} cm³)"
            text += "" if sawn else ": no cut takes that bone; add one on it"
        elif not sawn:
            text = f"{near} {share.name}, near {where}, and no cut takes that bone: its margin is that gap"
        elif share.to_retained < min(sawn) - SAME_MM:
            text = f"{near} what stays of {share.name}, near {where}: nearer than any cut on that bone"
        else:
            continue
        told.append(Caution("uncut-bone-near", text, place_of(share.nearest)))
    return [*told, *_notched(found), *_over_travel(patient, found)]


def _notched(found: Evaluated) -> list[Caution]:
    """Cuts whose saw, where it runs out past its own bone, would go into another one that stays."""
    told = []
    for share in found.shares:
        if not share.resection.retained:
            continue
        mesh = mesh_of(joined(share.resection.retained))
        for name, cut in found.cuts.items():
            if cut.bone == share.name:
                continue
            region = cut.sawn(found.run_outs[name])
            met = [part.intersection(region) for part in section_parts(mesh, origin=cut.origin, axes=cut.axes)]
            met = [part for part in met if part.area > NOTCH_MM2]
            if met:
                largest = max(met, key=lambda part: part.area)
                place = cut.patient(np.array(largest.representative_point().coords))[0]
                area = sum(part.area for part in met)
                text = f"where the saw runs past {cut.bone} at cut {name}, it goes into {share.name} near {at(place)} ({area:.0f} mm²)"
                text += ": no cut takes that bone there"
                told.append(Caution("other-bone-in-plane", text, place_of(place)))
    return told


def _over_travel(patient: Patient, found: Evaluated) -> list[Caution]:
    """Slots whose blade, pushed to its full length, would go into another bone beyond its own."""
    told = []
    for slot in found.slots:
        cut = found.cuts[slot.cut]
        face = beyond(cut, slot.profile, reach=slot.reach, run_out=slot.run_out)
        for body in patient.bones.scene.others(cut.bone) if face is not None else ():
            assert face is not None
            met = [part.intersection(face.region) for part in section_parts(body.bone.mesh, origin=face.origin, axes=face.axes)]
            largest = max(met, key=lambda part: part.area, default=None)
            if largest is not None and largest.area > NOTCH_MM2:
                place = face.patient(np.array(largest.representative_point().coords))[0]
                text = f"slot {slot.cut} of {slot.guide}: a blade pushed to its full length goes into {body.name} near {at(place)}, beyond {cut.bone}"
                told.append(Caution("structure-near", f"{text}; use a stop or a shorter blade", place_of(place)))
    return told
