"""`plan` as a whole: read, evaluate, optimise, and write surfaces, pictures, markups and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad.approval.approve import approvals_said
from psi_cad.approval.sheet import renew_sheet
from psi_cad.case.load import LoadedCase
from psi_cad.case.write import case_with_planes, cuts_as_toml, write_case
from psi_cad.errors import CaseError
from psi_cad.export.surfaces import write_stl
from psi_cad.files import sha256_of, staged, write_json
from psi_cad.findings import Caution, by_weight
from psi_cad.frames import unit
from psi_cad.intake.bones import read_bones
from psi_cad.intake.prepare import Progress, planned_cuts
from psi_cad.making.stem_sites import planned_stems
from psi_cad.outputs.subject import PLAN_FILE, read_report
from psi_cad.plans.evaluated import Evaluated
from psi_cad.plans.folder import keep_safe, move_all, start_safe
from psi_cad.plans.measured import evaluate
from psi_cad.plans.patient import Patient, read_patient
from psi_cad.records.plan import CutSaid, PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import cautions_said
from psi_cad.report.draw_plan import draw_plan
from psi_cad.report.plan_pictures import Closest, DepthPicture, write_face_maps
from psi_cad.resection.margins import FaceMap, face_map
from psi_cad.resection.types import REGIONS, regions_of, start_cuts
from psi_cad.scene.markups import write_planes
from psi_cad.surface.solids import joined, mesh_of, stays_closed

__all__ = ["plan_case", "start_plan"]

PLANES: Final = "plan.mrk.json"
PROPOSED_PLANES: Final = "proposal.mrk.json"
PROPOSAL: Final = "proposal.toml"
PROPOSED: Final = """A proposal of 'psi-cad plan --optimise', for the surgeon to judge; the original case is unchanged.
It holds paths of your own folders, and their names may tell of a patient: don't pass it on."""
PATHS_IN_IT: Final = f"{PROPOSAL} holds paths of your own folders, and their names may tell of a patient: don't pass it on"


def plan_case(
    loaded: LoadedCase, out: Path | None, *, optimise: bool, max_angle: float, max_shift: float, blades: Sequence[str] = (), progress: Progress
) -> dict[str, Any]:
    """Evaluate the plan of a case, and with `optimise` a proposal; write everything below `out`/<case id>/ where it is given.

    `blades` (ids) stand for its guides' own.

    Raises
    ------
    PsiCadError
    """
    _refuse_optimise(loaded, optimise=optimise)
    built = _ready(loaded, out / loaded.case.id, optimise=optimise) if out is not None else None
    patient = read_patient(loaded, blades=blades, progress=progress)
    found = evaluate(patient, progress=progress)
    report = found.report.but()
    if stems := planned_stems(loaded, patient.bones.scene, planned_cuts(loaded, patient.bones.scene)):
        report.stems = stems
    better: Evaluated | None = None
    if optimise:
        from psi_cad.plans.optimising import propose

        better, said = propose(patient, found, max_angle=max_angle, max_shift=max_shift, progress=progress)
        report.optimised = said
        if better is not None:
            report.proposal = better.report
        else:
            add_cautions(report, [Caution("look", f"no better planes are proposed: {said.why}")])
    if out is None:
        return report.to_json()
    folder = out / loaded.case.id
    with staged(out) as staging:  # files get their names only when all are whole
        files, told = _files(patient, found, better, staging, folder, progress)
        report.sha256, report.files = {path.name: sha256_of(path) for path in files.values()}, {kind: path.name for kind, path in files.items()}
        add_cautions(report, told)
        move_all(staging, folder, loaded)
    report.approval = approvals_said(folder, plan=report, report=built)
    write_json(folder / PLAN_FILE, report.to_json())
    renew_sheet(folder)
    paths = {kind: str(folder / name) for kind, name in report.files.items()}
    return report.but(files={**paths, "report": str(folder / PLAN_FILE)}).to_json()


def _refuse_optimise(loaded: LoadedCase, *, optimise: bool) -> None:
    if optimise and len(loaded.case.bones) > 1:
        raise CaseError(f"{loaded.path.name}: --optimise searches planes on one bone, and the case has several ([[bone]]); leave it out.")


def _ready(loaded: LoadedCase, folder: Path, *, optimise: bool) -> BuildReport | None:
    """The report of guides that lie where the plan goes, if the plan may go there; told before anything slow begins.

    Raises
    ------
    InputError
    """
    built = read_report(folder)
    keep_safe(folder, loaded, names=[PLANES, *((PROPOSED_PLANES, PROPOSAL) if optimise else ())])
    return built


def _files(
    patient: Patient, found: Evaluated, better: Evaluated | None, staging: Path, folder: Path, progress: Progress
) -> tuple[dict[str, Path], list[Caution]]:
    """Write the files of a plan into `staging`, from where they go to `folder`; they, by what they are, and the cautions of them."""
    told: list[Caution] = []
    files = _written(patient, found, staging, "plan", told, progress)
    if better is not None:
        files.update(_written(patient, better, staging, "proposal", told, progress))
        planes = {name: (cut.origin, cut.normal) for name, cut in better.cuts.items()}
        files["proposal case"] = staging / PROPOSAL
        write_case(files["proposal case"], case_with_planes(patient.loaded, planes, folder=folder), comment=PROPOSED)
        told.append(Caution("private-paths", PATHS_IN_IT))
    return files, told


def add_cautions(report: PlanReport, more: Sequence[Caution]) -> None:
    """Add cautions to a report, among those it holds, and their sentences to its notes."""
    every = by_weight([*(Caution.from_json(one.to_json()) for one in report.cautions), *more])
    report.cautions = cautions_said(every)
    report.notes = list(dict.fromkeys([*report.notes, *(caution.text for caution in more)]))


def _written(patient: Patient, found: Evaluated, folder: Path, stem: str, told: list[Caution], progress: Progress) -> dict[str, Path]:
    case = patient.loaded.case
    progress(f"{stem}: write surfaces")
    files = {f"{stem} {kind}": folder / f"{stem}-{kind}.stl" for kind in ("specimen", "retained")}
    specimen, retained = stays_closed([found.resection.specimen]), stays_closed(found.resection.retained)
    write_stl(files[f"{stem} specimen"], specimen, header=f"{case.id} specimen, mm, SPACE=LPS")
    if len(retained.faces):
        write_stl(files[f"{stem} retained"], retained, header=f"{case.id} retained bone, mm, SPACE=LPS")
    else:
        del files[f"{stem} retained"]
    files[f"{stem} planes"] = folder / f"{stem}.mrk.json"
    write_planes(files[f"{stem} planes"], {name: (cut.origin, cut.normal) for name, cut in found.cuts.items()})
    progress(f"{stem}: colour the cut faces")
    faces = {name: face_map(face, patient.tumour, depth=patient.kerfs[name].width or 0.0) for name, face in found.faces.items()}
    files[f"{stem} cut faces"] = folder / f"{stem}-cut-faces.vtp"
    write_face_maps(files[f"{stem} cut faces"], faces)
    progress(f"{stem}: draw")
    pictures: dict[str, tuple[Path, dict[str, Any]]] = {
        "margins": (folder / f"{stem}-margins.png", _margins_picture(patient, found, faces, stem)),
        "pieces": (folder / f"{stem}-pieces.png", _pieces_picture(patient, found, stem)),
    }
    if found.slots:
        slots = [DepthPicture(f"cut {s.cut}, guide {s.guide}, blade {s.blade.id}", s.profile, s.reach) for s in found.slots]
        pictures["depths"] = (folder / f"{stem}-depths.png", {"slots": slots, "title": f"{_whose(patient, stem)}: depth below each slot"})
    failed = draw_plan(pictures)
    if failed:
        told.append(Caution("look", f"the pictures of {', '.join(failed)} could not be drawn; off-screen OpenGL is missing or broken"))
    files.update({f"{stem} {kind}": path for kind, (path, _) in pictures.items() if kind not in failed})
    return files


def _whose(patient: Patient, stem: str) -> str:
    return f"{patient.loaded.case.id}, {patient.loaded.case.side}, {stem}"


def _margins_picture(patient: Patient, found: Evaluated, faces: dict[str, FaceMap], stem: str) -> dict[str, Any]:
    tumour = patient.loaded.case.tumour
    nearest = {name: margin.sawn for name, margin in found.margins.items()}
    return {
        "title": f"{_whose(patient, stem)}: distance of the cut faces from the tumour",
        "wanted": tumour.margin if tumour is not None else None,
        "closest": {name: Closest(near.on_face, near.on_surface, near.distance) for name, near in nearest.items()},
        "faces": faces,
        "titles": {cut.name: _title(cut) for cut in found.report.cuts},
        "normals": {name: cut.normal for name, cut in found.cuts.items()},
        "retained": found.retained,
        "tumour": patient.tumour.mesh if patient.tumour is not None else None,
        "avoid": [structure.surface.mesh for structure in patient.avoid],
    }


def _pieces_picture(patient: Patient, found: Evaluated, stem: str) -> dict[str, Any]:
    volumes = f"specimen {found.specimen.volume / 1000.0:.1f} cm³, sawn to dust {found.resection.kerf / 1000.0:.2f}, "
    volumes += f"healthy bone lost {found.healthy_removed / 1000.0:.1f}"
    normals = [cut.normal for cut in found.cuts.values()]
    goes, stays = _tumour_parts(patient, found)
    if stays is not None:
        volumes += f", tumour that stays {stays.volume / 1000.0:.1f} cm³"
    title = f"{_whose(patient, stem)}: {volumes}"
    return {"specimen": found.specimen, "retained": found.retained, "tumour": goes, "left": stays, "normals": normals, "title": title}


def _tumour_parts(patient: Patient, found: Evaluated) -> tuple[trimesh.Trimesh | None, trimesh.Trimesh | None]:
    """The tumour that goes with the specimen, and what stays in the patient."""
    if patient.tumour is None or found.tumour_in is None:
        return None, None
    left = [piece.solid for piece in (*found.tumour_in.left, *found.tumour_in.beyond)]
    if not left:
        return patient.tumour.mesh, None
    stays = joined(left)
    goes = patient.tumour_solid - stays
    return (None if goes.is_empty() else mesh_of(goes)), mesh_of(stays)


def _title(cut: CutSaid) -> str:
    if cut.margin_mm is None:
        return f"cut {cut.name}: {cut.area_mm2:.0f} mm²"
    planned = ", declared positive" if cut.planned_positive else ""
    areas = ", ".join(f"{kind} {area:.0f} mm²" for kind, area in (cut.area_by_class_mm2 or {}).items() if area > 0.0)
    margin = f"margin {cut.margin_mm:.2f} mm to the plane, kerf unknown"
    if cut.margin_sawn_mm is not None:
        margin = f"margin {cut.margin_sawn_mm:.2f} mm to the sawn face ({cut.margin_mm:.2f} to the plane)"
    return f"cut {cut.name}: {margin}\nclass {cut.class_}{planned}; face {areas}"


def _hip_of(loaded: LoadedCase) -> int:
    """The number of the bone that a starting plan is laid on.

    Raises
    ------
    CaseError
    """
    bones = loaded.case.bones
    hips = [number for number, bone in enumerate(bones) if len(bones) == 1 or bone.anatomy == "hip"]
    if len(hips) != 1:
        raise CaseError(f'{loaded.path.name}: a starting plan is for one hip bone; write anatomy = "hip" under that one of the [[bone]].')
    return hips[0]


def start_plan(loaded: LoadedCase, kind: str, out: Path | None, *, progress: Progress) -> dict[str, Any]:
    """Starting planes of an Enneking and Dunham type, as [[cut]] entries and a markups file; the case is not changed.

    Raises
    ------
    PsiCadError
    """
    number = _hip_of(loaded)
    bones = read_bones(loaded, progress=progress)
    body, said = bones.scene.bodies[number], bones.said[number]
    landmarks = {name: np.array(point) for name, point in loaded.case.landmarks.items()}
    cuts = start_cuts(kind, landmarks, body.bone)
    entries: list[dict[str, Any]] = []
    for cut in cuts:
        entries.append(
            {"name": cut.name, "origin": [round(float(v), 3) for v in cut.origin], "normal": [round(float(v), 6) for v in unit(cut.normal)]}
        )
        if len({other.group for other in cuts}) > 1:
            entries[-1]["group"] = cut.group
        if bones.scene.several:
            entries[-1]["bone"] = body.name
    text = f"# starting plan of type {kind}: edit it, it decides nothing\n" + cuts_as_toml(entries)
    files: dict[str, Path] = {}
    if out is not None:
        folder = out / loaded.case.id
        stem = "start-" + "-".join(sorted(regions_of(kind))).lower()
        files = {"cuts": folder / f"{stem}.toml", "planes": folder / f"{stem}.mrk.json"}
        with staged(out) as staging:
            with (staging / f"{stem}.toml").open("w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
            write_planes(staging / f"{stem}.mrk.json", {cut.name: (cut.origin, cut.normal) for cut in cuts})
            start_safe(staging, folder)
    notes = [f"{cut.name}: {cut.why}" for cut in cuts]
    if "IV" in regions_of(kind):
        notes.append("type IV: the cut through the sacral ala lies on the sacrum, which is another bone; plan it there")
    return {
        "schema": 1,
        "kind": "starting plan",
        "case": {"id": loaded.case.id},
        "type": "+".join(region for region in REGIONS if region in regions_of(kind)),
        "cuts": entries,
        "cautions": [caution.to_json() for caution in said.cautions],
        "notes": [*notes, "a plan to edit, not a decision"],
        "toml": text,
        "files": {key: str(path) for key, path in files.items()},
    }
