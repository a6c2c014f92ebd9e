"""Everything that can be known of a case without the kernel: its bone, its cuts, a seat for every guide, the blade's reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.case.catalogue import Catalogue
from psi_cad.case.load import LoadedCase
from psi_cad.errors import BuildError
from psi_cad.findings import Caution, Check, by_weight
from psi_cad.guides.params import SeatParams
from psi_cad.guides.registry import lay_out, load_template, told_as_ours
from psi_cad.guides.site import Site
from psi_cad.intake.bones import read_bones
from psi_cad.intake.cautions import guide_cautions
from psi_cad.intake.prepare import GuideJob, Progress, plan_job, planned_cuts
from psi_cad.intake.siting import blade_reach
from psi_cad.intake.sources import tumour_source
from psi_cad.records.case_check import CaseCheck, CutMet, SeatFound
from psi_cad.records.shared import CheckSaid, Refused, cautions_said
from psi_cad.sawing.blades import length_said
from psi_cad.scene.bodies import Scene
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.sliding import side_in_words
from psi_cad.stages.workshop import Workshop
from psi_cad.units import Mm

__all__ = ["validate_case"]

BEFORE_ENTRY_MM: Final[Mm] = 30.0  # where the arrow of a trajectory begins


def validate_case(loaded: LoadedCase, *, blades: Sequence[str] = (), picture: Path | None = None, progress: Progress) -> CaseCheck:
    """What can be known of a case before it is built; whatever `build` refuses before its first solid is refused here too.

    Parameters
    ----------
    blades : sequence of str
        Blade ids instead of the case's own.
    picture : Path, optional
        Where a PNG of the bone with the cuts and approaches goes; drawn first, since it shows why a guide is refused.

    Raises
    ------
    PsiCadError
    """
    if picture is not None:
        scene = read_bones(loaded, progress=progress).scene
        tumour = tumour_source(loaded, progress=progress)
        cuts = planned_cuts(loaded, scene)
        progress("draw the picture")
        _draw_case(picture, loaded, scene, cuts, None if tumour is None else tumour.mesh)
    job = plan_job(loaded, blades=list(blades), progress=progress)
    of_donor = () if job.donor is None else job.donor.cautions
    seats = [
        _seat(loaded, number, guide, site, progress, of_donor if site.graft is not None else ())
        for number, guide in enumerate(job.every_guide)
        for site in guide.sites
    ]
    reached = all(check.passed for seat in seats for check in seat.checks)
    found = CaseCheck(
        case=loaded.case.id,
        picture=None if picture is None else str(picture),
        **job.bones.report(job.bones.said),
        cuts=[_met(cut, several=job.bones.scene.several) for cut in job.cuts],
        guides=[guide.name for guide in loaded.case.guide],
        seats=seats,
        refused=[Refused.model_validate(one) for one in job.refused],
        cautions=cautions_said(by_weight(job.cautions)),
        status="passed" if reached and not job.refused else "failed",
    )
    if loaded.case.part:
        found.parts = [part.name for part in loaded.case.part]
    return found


def _met(cut: PlannedCut, *, several: bool) -> CutMet:
    return CutMet(
        name=cut.name,
        **({"bone": str(cut.bone)} if several else {}),
        specimen_side=side_in_words(cut.normal),
        section_area_mm2=round(float(cut.section.area), 3),
        cut_short_by=list(cut.neighbours),
        other_bone_in_plane=len(cut.others),
    )


def _draw_case(picture: Path, loaded: LoadedCase, scene: Scene, cuts: dict[str, PlannedCut], tumour: trimesh.Trimesh | None) -> None:
    from psi_cad.report.draw_plan import draw_plan
    from psi_cad.report.pictures import Arrow

    case = loaded.case
    arrows = []
    for guide in case.guide:
        places = [*(cuts[name].origin for name in guide.cuts), *(np.array(case.trajectory_named(name).entry) for name in guide.trajectories)]
        x, y, z = np.mean(places, axis=0)
        arrows.append(Arrow((float(x), float(y), float(z)), guide.approach, f"approach of {guide.name}"))
    for trajectory in case.trajectory:
        entry, into = trajectory.line
        x, y, z = entry - BEFORE_ENTRY_MM * into
        arrows.append(Arrow((float(x), float(y), float(z)), trajectory.direction, f"trajectory {trajectory.name}"))
    approaches = {name: np.array(guide.approach) for guide in case.guide for name in (*guide.cuts, *guide.trajectories)}
    title = f"{case.id}, {case.side}: the case"
    arguments = {"bone": scene.mesh, "cuts": list(cuts.values()), "approaches": approaches, "tumour": tumour, "arrows": arrows, "title": title}
    picture.unlink(missing_ok=True)
    if draw_plan({"case": (picture, arguments)}):
        raise BuildError(f"The picture '{picture.name}' could not be drawn; off-screen OpenGL is missing or broken.")


def _seat(loaded: LoadedCase, number: int, guide: GuideJob, site: Site, progress: Progress, more: Sequence[Caution]) -> SeatFound:
    """One guide for one blade, as far as it is known without a solid; `more` is what a person must know of it besides.

    Raises
    ------
    PsiCadError
        Where its slots, footplates or wires have no room.
    """
    template = load_template(guide.request.template, where=f"{loaded.path.name}: guide[{number}].template")
    params = template.Params(**guide.params)
    told = [*more, *guide_cautions(params, site)]
    progress(f"{guide.request.name} {site.tool_id}: lay out {'slots' if site.saw is not None else 'sleeves'}, footplates and wires")
    with told_as_ours(guide.request.template, site.frame):
        told += lay_out(template, site, params, Workshop())
    return SeatFound(
        name=guide.request.name,
        blade=site.tool_id,
        printer=site.printer.id,
        seating_axis=[round(float(v), 9) for v in site.axis.direction],
        contact_area_mm2=round(site.axis.contact_area, 1),
        tilt_from_approach_deg=round(site.axis.tilt, 3),
        sliding_lock=round(site.axis.sliding_lock, 4),
        fit_rms_mm=round(site.seat.rms, 5),
        fit_max_mm=round(site.seat.max, 5),
        gap_mm=round(site.seat.gap, 3),
        checks=[CheckSaid.model_validate(_reach(params, site, planned, loaded.catalogue).to_json()) for planned in site.sawn],
        cautions=cautions_said(by_weight(told)),
    )


def _reach(params: SeatParams, site: Site, cut: PlannedCut, catalogue: Catalogue) -> Check:
    """Whether the blade gets through the bone below its slot, and if not, how long it would have to be."""
    check = blade_reach(params, site.blade, cut, site.axis, site.seat.gap)
    if check.passed:
        return check
    needed = length_said(catalogue, site.blade, site.blade.usable_length + check.limit - check.value)
    return dataclasses.replace(check, note=f"{check.note}; {needed}")
