"""A plan evaluated: margins, resection, depth, reach and structures to avoid, as one report and the geometry behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad import __version__
from psi_cad.case.load import LoadedCase
from psi_cad.errors import CaseError
from psi_cad.findings import Caution
from psi_cad.frames import distance_to_box, patient_from_ras
from psi_cad.planning.avoid import Structure
from psi_cad.planning.cuts import PlannedCut, plan_cuts
from psi_cad.planning.dust import without_dust
from psi_cad.planning.kerf import Kerf, specimen_faces
from psi_cad.planning.margins import CutMargin, cut_margin
from psi_cad.planning.nearest import Nearest, Surface
from psi_cad.planning.resection import Resection, resect
from psi_cad.planning.throughbone import InBone, through_bone
from psi_cad.run.anatomy import cut_cautions
from psi_cad.run.cautions import case_cautions
from psi_cad.run.kerfs import Sawing, kerfs_of, sawings
from psi_cad.run.loading import resolved_guides
from psi_cad.run.plan import Progress, planes_of, read_bone
from psi_cad.run.plan_slots import Slot, run_out_of, slots_of
from psi_cad.run.sources import avoid_source, inputs_of, tumour_source
from psi_cad.run.tumour_in import TumourIn, tumour_in
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.surface.solids import closed_surface, mesh_of, solid_of
from psi_cad.units import Array, Mm

__all__ = ["Evaluated", "Patient", "evaluate", "read_patient", "software"]

APART_MM: Final[Mm] = 20.0  # from the box round the bone: a tumour this far away is not of this bone


@dataclass(frozen=True)
class Patient:
    """What the planes are held against: bone, tumour and structures, in patient mm, as surfaces and solids."""

    loaded: LoadedCase
    bone: Bone
    bone_said: dict[str, Any]
    inputs: dict[str, str]
    solid: Any
    caster: RayCaster
    in_bone: InBone
    tumour: Surface | None
    tumour_solid: Any
    tumour_file: dict[str, Any] | None
    avoid: tuple[Structure, ...]
    sawings: tuple[Sawing, ...]

    @cached_property
    def kerfs(self) -> dict[str, Kerf]:
        """The kerf of every cut, by name."""
        return kerfs_of(self.loaded.case, self.sawings)


@dataclass(frozen=True)
class Evaluated:
    """A plan with everything that was found of it; `report` is its JSON.

    `faces`: the cuts as the faces that the saw leaves on the specimen. `healthy_removed`: healthy bone (mm³) that the patient loses,
    in the specimen and as dust.
    """

    cuts: dict[str, PlannedCut]
    faces: dict[str, PlannedCut]
    margins: dict[str, CutMargin]
    through: dict[str, Nearest | None]
    slots: tuple[Slot, ...]
    resection: Resection
    specimen: trimesh.Trimesh
    retained: trimesh.Trimesh
    healthy_removed: float
    tumour_in: TumourIn | None
    report: dict[str, Any]
    cautions: tuple[Caution, ...] = ()


def read_patient(loaded: LoadedCase, *, blades: Sequence[str] = (), progress: Progress) -> Patient:
    """Read and check what a case names; `blades` (ids) stand for its guides' own.

    Raises
    ------
    InputError
    """
    sawn_by = tuple(sawings(loaded, blades))  # mistakes in guides are told before the bone is read
    resolved_guides(loaded)  # mistakes in parameters are told before the bone is read
    progress("read the bone")
    bone, said = read_bone(loaded, progress=progress)
    solid = solid_of(bone.mesh, name=bone.name, key="bone.surface")
    tumour, tumour_solid, file = None, None, None
    found = tumour_source(loaded, progress=progress)
    if found is not None:
        mesh = closed_surface(found.mesh, name=found.name, key="tumour")
        tumour, tumour_solid = Surface(mesh), solid_of(mesh, name=found.name, key="tumour")
        file = found.said
        _refuse_apart(tumour, bone, name=found.name)
    avoid = []
    for number, entry in enumerate(loaded.case.avoid):
        structure = avoid_source(loaded, entry, number=number, progress=progress)
        mesh = closed_surface(structure.mesh, name=structure.name, key=f"avoid[{number}]")
        avoid.append(Structure(entry.name, Surface(mesh), entry.distance))
    caster = RayCaster(bone.mesh)
    in_bone = InBone(Surface(bone.mesh), caster)
    return Patient(loaded, bone, said, inputs_of(loaded), solid, caster, in_bone, tumour, tumour_solid, file, tuple(avoid), sawn_by)


def _refuse_apart(tumour: Surface, bone: Bone, *, name: str) -> None:
    """Refuse a tumour that lies nowhere near the bone: it was read in another frame, or belongs to another scan."""
    low, high = np.asarray(bone.mesh.bounds)

    apart = float(distance_to_box(tumour.vertices, low, high).min())
    if apart <= APART_MM:
        return
    turned = distance_to_box(patient_from_ras(tumour.vertices), low, high).min() <= APART_MM
    hint = "the other coordinates (LPS or RAS) would bring it there: check tumour.coordinates" if turned else "check its frame and units"
    raise CaseError(f"tumour: '{name}' lies {apart:.0f} mm from the bone; {hint}.")


def evaluate(patient: Patient, *, planes: dict[str, tuple[Array, Array]] | None = None, progress: Progress) -> Evaluated:
    """Everything that the planes of the case, or `planes` (origin, normal) in their stead, do.

    Raises
    ------
    CaseError
        Where a cut meets no bone, or the cuts do not free the specimen.
    """
    case = patient.loaded.case
    given = planes is None  # planes that are tried are judged, not refused
    planes = planes if planes is not None else planes_of(patient.loaded)
    progress("plan the cuts")
    cuts = plan_cuts(patient.bone, [(c.name, *planes[c.name], c.extent) for c in case.cut], groups={c.name: c.group for c in case.cut})
    cautions = (*case_cautions(patient.loaded, patient.bone_said), *cut_cautions(patient.loaded, patient.bone, cuts.values(), refuse=given))
    faces = specimen_faces(patient.bone, cuts, patient.kerfs)
    progress("measure depth and reach")
    slots = slots_of(patient, cuts)
    run_outs = {name: run_out_of(slots, name) for name in cuts}
    progress("resect")
    resection = without_dust(resect(patient.solid, patient.bone.mesh, cuts), cuts, patient.kerfs, run_outs)
    specimen, kept = resection.specimen, [mesh_of(piece) for piece in resection.retained]
    margins: dict[str, CutMargin] = {}
    through: dict[str, Nearest | None] = {}
    if patient.tumour is not None:
        progress("measure margins")
        for name, cut in cuts.items():
            margins[name] = cut_margin(cut, patient.tumour, run_out=run_outs[name], kerf=patient.kerfs[name], face=faces[name])
            through[name] = through_bone(patient.in_bone, patient.tumour, cut, margins[name].to_face)
    within = None
    if patient.tumour_solid is not None:
        within = tumour_in(patient.tumour_solid, patient.solid, resection, case, cuts, patient.kerfs, run_outs)
    healthy = float(specimen.volume()) + resection.kerf - (within.specimen + within.dust if within is not None else 0.0)
    retained = trimesh.util.concatenate(kept) if kept else trimesh.Trimesh()
    found = Evaluated(cuts, faces, margins, through, slots, resection, mesh_of(specimen), retained, healthy, within, {}, cautions)
    from psi_cad.run.plan_report import report_of

    return dataclasses.replace(found, report=report_of(patient, found))


def software() -> dict[str, str]:
    """What made the report."""
    import manifold3d

    return {"psi-cad": __version__, "manifold3d": str(getattr(manifold3d, "__version__", "")), "trimesh": trimesh.__version__}
