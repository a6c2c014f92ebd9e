"""A plan evaluated: margins, resection, depth, reach and structures to avoid."""

from __future__ import annotations

import dataclasses

import trimesh

from psi_cad.intake.bones import cautions_at_cuts
from psi_cad.intake.cautions import case_cautions
from psi_cad.intake.prepare import Progress, asked_cuts, planes_of
from psi_cad.plans.evaluated import Evaluated
from psi_cad.plans.patient import Patient
from psi_cad.plans.report import report_of
from psi_cad.plans.shares import share_of
from psi_cad.plans.slots import run_out_of, slots_of
from psi_cad.plans.tumour_in import tumour_in
from psi_cad.records.plan import PlanReport
from psi_cad.resection.dust import resected
from psi_cad.resection.margins import CutMargin, cut_margin
from psi_cad.resection.pieces import together
from psi_cad.resection.throughbone import through_bone
from psi_cad.scene.bodies import on
from psi_cad.scene.nearest import Nearest
from psi_cad.surface.solids import mesh_of
from psi_cad.units import Array

__all__ = ["evaluate"]

NOTHING = PlanReport.model_construct()  # until all is found that the report tells


def evaluate(patient: Patient, *, planes: dict[str, tuple[Array, Array]] | None = None, progress: Progress) -> Evaluated:
    """Everything that the planes of the case, or `planes` (origin, normal) in their stead, do.

    Raises
    ------
    CaseError
        Where a cut meets no bone, or the cuts do not free the specimen.
    """
    case = patient.loaded.case
    planes = planes if planes is not None else planes_of(patient.loaded)
    progress("plan the cuts")
    scene = patient.bones.scene
    cuts = scene.planned(asked_cuts(patient.loaded, planes))
    cautions = (*case_cautions(patient.loaded, patient.bones), *cautions_at_cuts(patient.loaded, scene, cuts))
    faces = scene.faces(cuts, patient.kerfs)
    progress("measure depth and reach")
    slots = slots_of(patient, cuts)
    run_outs = {name: run_out_of(slots, name) for name in cuts}
    progress("resect")
    each = {model.name: resected(model.solid, model.bone.mesh, on(model.name, cuts), patient.kerfs, run_outs) for model in patient.models}
    resection = together(each)
    specimen, kept = resection.specimen, [mesh_of(piece) for piece in resection.retained]
    margins: dict[str, CutMargin] = {}
    through: dict[str, Nearest | None] = {}
    if patient.tumour is not None:
        progress("measure margins")
        for name, cut in cuts.items():
            margins[name] = cut_margin(cut, patient.tumour, run_out=run_outs[name], kerf=patient.kerfs[name], face=faces[name])
            through[name] = through_bone(patient.model(cut.bone).in_bone, patient.tumour, cut, margins[name].to_face)
    tumour = (patient.tumour, patient.tumour_solid) if scene.several else (None, None)  # of one bone the whole plan tells it
    within = None
    if patient.tumour_solid is not None:
        within = tumour_in(patient.tumour_solid, patient.solid, resection, case, cuts, patient.kerfs, run_outs)
    healthy = float(specimen.volume()) + resection.kerf - (within.specimen + within.dust if within is not None else 0.0)
    retained = trimesh.util.concatenate(kept) if kept else trimesh.Trimesh()
    shares = tuple(share_of(name, part, patient.model(name).solid, *tumour) for name, part in each.items())
    mesh = mesh_of(specimen)
    found = Evaluated(cuts, faces, margins, through, slots, resection, mesh, retained, healthy, within, NOTHING, cautions, shares, run_outs)
    return dataclasses.replace(found, report=report_of(patient, found))
