"""A plan evaluated: margins, resection, depth, reach and structures to avoid, as one report and the geometry behind it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad import __version__
from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade, GuideRequest
from psi_cad.errors import CaseError, DesignError
from psi_cad.frames import distance_to_box, patient_from_ras, unit
from psi_cad.guides.params import GuideParams, resolve_params
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import axis_for
from psi_cad.planning.avoid import Structure, over_travel_distance
from psi_cad.planning.cuts import PlannedCut, plan_cuts
from psi_cad.planning.depth import SlotDepth, obstacles_in_plane, reachable, slot_depth
from psi_cad.planning.margins import CutMargin, cut_margin
from psi_cad.planning.nearest import Face, Nearest, Surface, nearest
from psi_cad.planning.resection import Resection, resect
from psi_cad.planning.throughbone import InBone, through_bone
from psi_cad.run.plan import Progress, planes_of, read_bone
from psi_cad.run.sources import avoid_source, inputs_of, tumour_source
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.surface.solids import closed_surface, mesh_of, pieces_of, solid_of
from psi_cad.units import Array, Mm

__all__ = ["Evaluated", "Patient", "Slot", "TumourIn", "evaluate", "read_patient"]

GUIDED_MM: Final[Mm] = 10.0  # the binding height of a guide, where its template has no such parameter
ACROSS: Final = 0.17  # an approach that leans more than 80° from a cut's plane says nothing of the way along it
APART_MM: Final[Mm] = 20.0  # from the box round the bone: a tumour this far away is not of this bone
TOUCH_MM: Final[Mm] = 0.01  # tumour this near the face of a cut was parted by it


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


@dataclass(frozen=True)
class Slot:
    """One cut as one guide would saw it: its profile, how far the blade reaches, and what it comes near."""

    guide: str
    cut: str
    blade: Blade
    height: Mm
    reach: Mm
    run_out: Mm
    profile: SlotDepth
    reachable: float
    near: dict[str, Nearest | None]
    from_approach: bool


@dataclass(frozen=True)
class Left:
    """A piece of tumour that stays in the patient: its solid, volume (mm³), a place of it, and the declared cut that parted it, if one did."""

    solid: Any
    volume: float
    place: Array
    parted_by: str | None


@dataclass(frozen=True)
class TumourIn:
    """How much of the tumour (mm³) lies in the specimen's bone and in bone at all, what stays in bone, and bodies beyond all cuts."""

    specimen: float
    bone: float
    left: tuple[Left, ...]
    beyond: tuple[Left, ...]

    @property
    def retained(self) -> float:
        """Tumour in the bone that stays, mm³."""
        return sum(piece.volume for piece in self.left)


@dataclass(frozen=True)
class Evaluated:
    """A plan with everything that was found of it; `report` is its JSON."""

    cuts: dict[str, PlannedCut]
    margins: dict[str, CutMargin]
    through: dict[str, Nearest | None]
    slots: tuple[Slot, ...]
    resection: Resection
    specimen: trimesh.Trimesh
    retained: trimesh.Trimesh
    healthy_removed: float
    tumour_in: TumourIn | None
    report: dict[str, Any]


def read_patient(loaded: LoadedCase, *, progress: Progress) -> Patient:
    """Read and check what a case names.

    Raises
    ------
    InputError
    """
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
    return Patient(loaded, bone, said, inputs_of(loaded), solid, caster, in_bone, tumour, tumour_solid, file, tuple(avoid))


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
    planes = planes if planes is not None else planes_of(patient.loaded)
    progress("plan the cuts")
    cuts = plan_cuts(patient.bone, [(c.name, *planes[c.name], c.extent) for c in case.cut], groups={c.name: c.group for c in case.cut})
    progress("resect")
    resection = resect(patient.solid, patient.bone.mesh, cuts)
    specimen, kept = resection.specimen, [mesh_of(piece) for piece in resection.retained]
    progress("measure depth and reach")
    slots = tuple(slot for guide in case.guide for slot in _slots(patient, guide, cuts))
    margins: dict[str, CutMargin] = {}
    through: dict[str, Nearest | None] = {}
    if patient.tumour is not None:
        progress("measure margins")
        for name, cut in cuts.items():
            margins[name] = cut_margin(cut, patient.tumour, run_out=run_out_of(slots, name))
            through[name] = through_bone(patient.in_bone, patient.tumour, cut, margins[name].to_face)
    within = _tumour_in(patient, resection, specimen, cuts) if patient.tumour_solid is not None else None
    healthy = float(specimen.volume()) - (within.specimen if within is not None else 0.0)
    retained = trimesh.util.concatenate(kept) if kept else trimesh.Trimesh()
    found = Evaluated(cuts, margins, through, slots, resection, mesh_of(specimen), retained, healthy, within, {})
    from psi_cad.run.plan_report import report_of

    return dataclasses.replace(found, report=report_of(patient, found))


def _tumour_in(patient: Patient, resection: Resection, specimen: Any, cuts: dict[str, PlannedCut]) -> TumourIn:
    """Each piece of bone met with the tumour once: together they are all of the bone."""
    tumour = patient.tumour_solid
    declared = [cuts[cut.name] for cut in patient.loaded.case.cut if cut.planned_positive]
    removed = float((specimen ^ tumour).volume())
    left = [_left(part, declared) for piece in resection.retained for part in pieces_of(piece ^ tumour)]
    crumbs = sum(float((crumb ^ tumour).volume()) for crumb in resection.crumbs)
    beyond = [_left(body, []) for body in pieces_of(tumour) if _is_beyond(body, cuts) and float((specimen ^ body).volume()) <= 0.0]
    return TumourIn(removed, removed + sum(piece.volume for piece in left) + crumbs, tuple(left), tuple(beyond))


def _left(part: Any, declared: list[PlannedCut]) -> Left:
    mesh = mesh_of(part)
    surface = Surface(mesh)
    parted = (cut.name for cut in declared if nearest(surface, Face(cut.origin, cut.axes, cut.section)).distance <= TOUCH_MM)
    return Left(part, float(part.volume()), np.asarray(mesh.vertices).mean(axis=0), next(parted, None))


def _is_beyond(body: Any, cuts: dict[str, PlannedCut]) -> bool:
    """Whether a body of tumour has no point on the specimen's side of all cuts of any group: no cut can take it along."""
    points = np.asarray(mesh_of(body).vertices)
    for group in {cut.group for cut in cuts.values()}:
        heights = [(points - cut.origin) @ cut.normal for cut in cuts.values() if cut.group == group]
        if (np.min(heights, axis=0) > 0.0).any():
            return False
    return True


def run_out_of(slots: tuple[Slot, ...], cut: str) -> Mm:
    """How far the saw runs past the bone at a cut: as its guides say, else the templates' default."""
    found = [slot.run_out for slot in slots if slot.cut == cut]
    return max(found, default=GuideParams().run_out)


def _slots(patient: Patient, guide: GuideRequest, cuts: dict[str, PlannedCut]) -> list[Slot]:
    loaded = patient.loaded
    where = f"{loaded.path.name}: guide '{guide.name}'"
    template = load_template(guide.template, where=f"{where}.template")
    params = resolve_params(template.Params, guide.params, where=f"{where}.params")
    height = float(getattr(params, "height", GUIDED_MM))
    blade = loaded.blade(guide.blade, where=f"{where}.blade")
    mine = [cuts[name] for name in guide.cuts]
    axis, searched = _axis(patient, guide, mine, params)
    slots = []
    for cut in mine:
        profile = slot_depth(cut, axis)
        reach = blade.usable_length - height - params.seat_gap
        blocked = obstacles_in_plane(cut, profile, [s.surface.mesh for s in patient.avoid])
        near = {s.name: over_travel_distance(cut, profile, s, reach=reach, run_out=params.run_out) for s in patient.avoid}
        shown = reachable(profile, blocked, reach=reach)
        slots.append(Slot(guide.name, cut.name, blade, height, reach, params.run_out, profile, shown, near, not searched))
    return slots


def _axis(patient: Patient, guide: GuideRequest, cuts: list[PlannedCut], params: GuideParams) -> tuple[Array, bool]:
    """The axis along which the guide will come off, as the build finds it; the approach where none is found."""
    approach = unit(np.array(guide.approach))
    for cut in cuts:
        if np.linalg.norm(np.cross(approach, cut.normal)) < ACROSS:
            raise CaseError(
                f"guide '{guide.name}': its approach looks straight at the plane of cut '{cut.name}', and the saw enters along the plane; "
                "give the direction from the bone towards the surgeon, within 50° of the plane.",
                where=cut.origin,
            )
    try:
        found = axis_for(patient.bone, patient.caster, cuts, approach=approach, params=params)
    except DesignError:
        return approach, False
    return found.direction, True


def software() -> dict[str, str]:
    """What made the report."""
    import manifold3d

    return {"psi-cad": __version__, "manifold3d": str(getattr(manifold3d, "__version__", "")), "trimesh": trimesh.__version__}
