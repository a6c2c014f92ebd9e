"""Everything of a build that needs no kernel: the bone, the cuts, the sites. It runs while the build process starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from psi_cad import __version__
from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade, GuideRequest
from psi_cad.errors import BuildError, CaseError, PsiCadError
from psi_cad.findings import Caution
from psi_cad.guides.params import GuideParams, resolve_params
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import Site, make_site
from psi_cad.planning.cuts import PlannedCut, plan_cuts
from psi_cad.planning.markups import read_planes
from psi_cad.run.naming import Naming
from psi_cad.run.sources import bone_source, inputs_of, tumour_source
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone, checked_bone
from psi_cad.units import Array

__all__ = ["GuideJob", "Job", "Progress", "case_cautions", "inputs_of", "plan_job", "planes_of", "planned_cuts", "read_bone", "validate_case"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class GuideJob:
    """One guide to make: its resolved parameters (by name), a site for each blade, and the name each is to have (none yet: plain ones)."""

    request: GuideRequest
    params: dict[str, Any]
    sites: tuple[Site, ...]
    namings: tuple[Naming, ...] = ()

    def naming(self, site: int) -> Naming:
        """The name of the guide at one of the sites."""
        return self.namings[site] if self.namings else Naming()


@dataclass(frozen=True)
class Job:
    """What the build process is given."""

    loaded: LoadedCase
    bone: Bone
    bone_said: dict[str, Any]
    inputs: dict[str, str]
    tumour: trimesh.Trimesh | None
    cuts: tuple[PlannedCut, ...]
    guides: tuple[GuideJob, ...]
    cautions: tuple[Caution, ...] = ()  # of the case and its bone, whatever the guide


def read_bone(loaded: LoadedCase, *, progress: Progress) -> tuple[Bone, dict[str, Any]]:
    """The checked bone of a case, and what the report says of it.

    Raises
    ------
    PsiCadError
    """
    found = bone_source(loaded, progress=progress)
    bone = checked_bone(found.mesh, name=found.name, units=found.units)
    said = {
        **found.said,
        "triangles": len(bone.mesh.faces),
        "extent_mm": [round(float(v), 3) for v in bone.mesh.extents],
        "repairs": [dataclasses.asdict(repair) for repair in bone.repairs],
        "kept_clear_of": [dataclasses.asdict(defect) for defect in bone.defects],
    }
    return bone, said


def validate_case(loaded: LoadedCase, *, picture: Path | None = None, progress: Progress) -> dict[str, Any]:
    """Everything that can be known of a case without building: its bone, its cuts, its guides' parameters.

    Parameters
    ----------
    picture : Path, optional
        Where a PNG of the bone with the cuts and approaches goes.

    Raises
    ------
    PsiCadError
    """
    bone, said = read_bone(loaded, progress=progress)
    tumour = tumour_source(loaded, progress=progress)
    cuts = planned_cuts(loaded, bone)
    for number, guide in enumerate(loaded.case.guide):
        template = load_template(guide.template, where=f"{loaded.path.name}: guide[{number}].template")
        resolve_params(template.Params, guide.params, where=f"{loaded.path.name}: guide[{number}].params")
    if picture is not None:
        progress("draw the picture")
        _draw_case(picture, loaded, bone, cuts, None if tumour is None else tumour.mesh)
    return {
        "case": loaded.case.id,
        "picture": None if picture is None else str(picture),
        "bone": said,
        "cuts": [
            {
                "name": cut.name,
                "section_area_mm2": round(float(cut.section.area), 3),
                "cut_short_by": list(cut.neighbours),
                "other_bone_in_plane": len(cut.others),
            }
            for cut in cuts.values()
        ],
        "guides": [guide.name for guide in loaded.case.guide],
    }


def _draw_case(picture: Path, loaded: LoadedCase, bone: Bone, cuts: dict[str, PlannedCut], tumour: trimesh.Trimesh | None) -> None:
    from psi_cad.report.draw_plan import draw_plan
    from psi_cad.report.pictures import Arrow

    case = loaded.case
    arrows = []
    for guide in case.guide:
        x, y, z = np.mean([cuts[name].origin for name in guide.cuts], axis=0)
        arrows.append(Arrow((float(x), float(y), float(z)), guide.approach, f"approach of {guide.name}"))
    approaches = {name: np.array(guide.approach) for guide in case.guide for name in guide.cuts}
    title = f"{case.id}, {case.side}: the case"
    arguments = {"bone": bone.mesh, "cuts": list(cuts.values()), "approaches": approaches, "tumour": tumour, "arrows": arrows, "title": title}
    picture.unlink(missing_ok=True)
    if draw_plan({"case": (picture, arguments)}):
        raise BuildError(f"The picture '{picture.name}' could not be drawn; off-screen OpenGL is missing or broken.")


def planes_of(loaded: LoadedCase) -> dict[str, tuple[Array, Array]]:
    """(origin, unit normal) of every cut by name, patient mm; from the case, or from the markups file it names.

    Raises
    ------
    CaseError
    """
    files: dict[str, dict[str, tuple[Array, Array]]] = {}
    found = {}
    for number, cut in enumerate(loaded.case.cut):
        if cut.markups is None:
            found[cut.name] = cut.plane
            continue
        where = f"{loaded.path.name}: cut[{number}].markups"
        if cut.markups not in files:
            files[cut.markups] = read_planes(loaded.resolve(cut.markups), key=where)
        planes = files[cut.markups]
        if cut.name not in planes:
            raise CaseError(f"{where}: '{cut.markups}' holds no plane called '{cut.name}'; its planes are {', '.join(sorted(planes)) or 'none'}.")
        origin, normal = planes[cut.name]
        found[cut.name] = (origin, -normal if cut.flip else normal)
    return found


def planned_cuts(loaded: LoadedCase, bone: Bone) -> dict[str, PlannedCut]:
    """The cuts of a case on its bone, by name.

    Raises
    ------
    CaseError, SurfaceError
    """
    cuts, planes = loaded.case.cut, planes_of(loaded)
    return plan_cuts(bone, [(cut.name, *planes[cut.name], cut.extent) for cut in cuts], groups={cut.name: cut.group for cut in cuts})


def plan_job(loaded: LoadedCase, *, blades: list[str], progress: Progress, read: tuple[Bone, dict[str, Any]] | None = None) -> Job:
    """Read and check the bone, plan the cuts, and find a site for every guide and blade.

    Parameters
    ----------
    blades : list of str
        Blade ids instead of the case's own; several give several variants of each guide.
    progress : callable
        Told each step before it begins.
    read : optional
        What `read_bone` gave of this case before; read where it is not given.

    Raises
    ------
    PsiCadError
        What is about one guide names it.
    """
    templates = []
    for number, request in enumerate(loaded.case.guide):  # mistakes in parameters are told before the bone is read
        where = f"{loaded.path.name}: guide[{number}]"
        template = load_template(request.template, where=f"{where}.template")
        templates.append(resolve_params(template.Params, request.params, where=f"{where}.params"))
    progress("read the bone")
    bone, bone_said = read if read is not None else read_bone(loaded, progress=progress)
    tumour = tumour_source(loaded, progress=progress)
    progress("plan the cuts")
    cuts = planned_cuts(loaded, bone)
    caster = RayCaster(bone.mesh)
    guides = []
    for number, (request, params) in enumerate(zip(loaded.case.guide, templates, strict=True)):
        sites: list[Site] = []
        wanted_blades: list[str | Blade] = [*blades] or [request.blade]
        for wanted in wanted_blades:
            blade = loaded.blade(wanted, where="--blade" if blades else f"{loaded.path.name}: guide[{number}].blade")
            progress(f"{request.name} {blade.id}: find the seat")
            try:
                sites.append(_site(loaded, request, params, blade, bone, caster, cuts, sites[-1] if sites else None))
            except PsiCadError as error:
                error.about(request.name, blade.id)
                raise
        guides.append(GuideJob(request, dataclasses.asdict(params), tuple(sites)))
    tumour_mesh = tumour.mesh if tumour is not None else None
    return Job(loaded, bone, bone_said, inputs_of(loaded), tumour_mesh, tuple(cuts.values()), tuple(guides), case_cautions(loaded))


def case_cautions(loaded: LoadedCase) -> tuple[Caution, ...]:
    """What a person must know of how a case was run."""
    return tuple(Caution("case-overridden", f"the case file was overridden by --set {setting}") for setting in loaded.settings)


def _site(
    loaded: LoadedCase,
    request: GuideRequest,
    params: GuideParams,
    blade: Blade,
    bone: Bone,
    caster: RayCaster,
    cuts: dict[str, PlannedCut],
    before: Site | None,
) -> Site:
    """Where a guide goes; what an earlier blade's site shares is taken over."""
    case = loaded.case
    return make_site(
        bone,
        caster,
        [cuts[name] for name in request.cuts],
        list(cuts.values()),
        approach=np.array(request.approach),
        params=params,
        blade=blade,
        printer=loaded.printer(request.printer, where="guide.printer"),
        label=(f"{case.id} {case.side[0].upper()}", request.name, blade.id, f"v{__version__}"),
        reuse=before,
    )
