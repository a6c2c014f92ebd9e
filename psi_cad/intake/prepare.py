"""Everything of a build that needs no kernel: the bone, the cuts, the sites. It runs while the build process starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade, GuideRequest
from psi_cad.case.named import refuse_changed, stamps_of
from psi_cad.drilling.ways import Drilling, drilling_of
from psi_cad.errors import CaseError, PsiCadError
from psi_cad.findings import Caution
from psi_cad.grafting.donor import DonorRead, read_donor
from psi_cad.guides.contract import Needs
from psi_cad.guides.params import GuideParams, SeatParams
from psi_cad.guides.registry import load_template, needs_of
from psi_cad.guides.site import Avoided, Site
from psi_cad.intake.approaches import across_refused
from psi_cad.intake.bones import BonesRead, cautions_at_cuts, read_bones
from psi_cad.intake.cautions import case_cautions
from psi_cad.intake.jobs import job_facts, job_hash, part_facts
from psi_cad.intake.loading import resolved_guides
from psi_cad.intake.named import inputs_of
from psi_cad.intake.overrides import part_overrides
from psi_cad.intake.siting import Siting, step_of
from psi_cad.intake.sources import avoid_source, tumour_source
from psi_cad.making.asked import part_jobs
from psi_cad.making.cautions import sawn_cautions
from psi_cad.outputs.naming import Making, Naming, making_of, name_at_first
from psi_cad.outputs.overrides import overrides_of
from psi_cad.parts.contract import PartJob
from psi_cad.reconstruction.retained import Retained, retained
from psi_cad.sawing.kerfs import Sawing, differing, kerfs_of, run_outs_of, sawings
from psi_cad.scene.apart import refuse_apart, refuse_behind
from psi_cad.scene.bodies import Asked, Scene
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.markups import read_planes
from psi_cad.stages.workshop import Workshop
from psi_cad.surface.repair import Bone
from psi_cad.surface.solids import closed_surface
from psi_cad.units import Array

__all__ = ["GuideJob", "Job", "Progress", "asked_cuts", "inputs_of", "plan_job", "planes_of", "planned_cuts", "step_of", "works_of"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class GuideJob:
    """One guide to make: its resolved parameters (by name), a site for each blade, and the name each is to have (none yet: plain ones)."""

    request: GuideRequest
    params: dict[str, Any]
    sites: tuple[Site, ...]
    namings: tuple[Naming, ...] = ()
    hashes: tuple[str, ...] = ()  # of what each is made from
    given: bool = False  # --blade named the blades

    def named(self, settings: Sequence[str]) -> GuideJob:
        """The same with the names of guides beside which nothing lies."""
        changed = overrides_of(settings, self.request.name)
        return dataclasses.replace(self, namings=tuple(name_at_first(self.making(site, settings), changed) for site in self.sites))

    def making(self, site: Site, settings: Sequence[str]) -> Making:
        """How the guide at one of the sites is to be made."""
        changed = overrides_of(settings, self.request.name)
        return making_of(self.request, self.params, site.saw, site.printer, ways=site.planned_ways(), overrides=changed)

    def naming(self, site: int) -> Naming:
        """The name of the guide at one of the sites."""
        return self.namings[site] if self.namings else Naming()


@dataclass(frozen=True)
class Job:
    """What the build process is given."""

    loaded: LoadedCase
    bones: BonesRead
    inputs: dict[str, str]
    tumour: trimesh.Trimesh | None
    cuts: tuple[PlannedCut, ...]
    guides: tuple[GuideJob, ...]
    cautions: tuple[Caution, ...] = ()  # of the case and its bone, whatever the guide
    refused: tuple[dict[str, Any], ...] = ()  # guides and blades that are not made, as errors tell it
    avoid: tuple[Avoided, ...] = ()  # what the tools of trajectories, and wires that lean, keep from
    parts: tuple[PartJob, ...] = ()  # of bones' bodies
    donor: Job | None = None  # the same for guides on the donor's bone: all of it lies in the donor's frame
    read: DonorRead | None = None  # of that job: the donor
    rest: Job | None = None  # the same for guides on the bones that the cuts leave
    stays: Retained | None = None  # of that job: these bones

    @property
    def every_guide(self) -> tuple[GuideJob, ...]:
        """Those on the patient's bones, those on the donor's, and those on the bones that the cuts leave."""
        return (*self.guides, *(guide for other in (self.donor, self.rest) if other is not None for guide in other.guides))

    @property
    def side(self) -> str:
        """Of the bone that its guides sit on: a donor's own, else the case's."""
        return self.loaded.case.side if self.read is None else self.read.source.side


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


def asked_cuts(loaded: LoadedCase, planes: Mapping[str, tuple[Array, Array]]) -> list[Asked]:
    """The cuts of a case as it asks for them, with these `planes` (origin, normal; patient mm) by name."""
    case = loaded.case
    return [Asked(cut.name, case.bone_of(cut), *planes[cut.name], cut.extent, cut.group) for cut in case.cut]


def planned_cuts(loaded: LoadedCase, scene: Scene) -> dict[str, PlannedCut]:
    """The cuts of a case on its bones, by name.

    Raises
    ------
    CaseError, SurfaceError
    """
    return scene.planned(asked_cuts(loaded, planes_of(loaded)))


def plan_job(
    loaded: LoadedCase,
    *,
    blades: list[str],
    progress: Progress,
    read: Callable[[LoadedCase, Progress], BonesRead] | None = None,
    workshop: Workshop | None = None,
    suggest: bool = True,
    only: str | None = None,
    only_part: str | None = None,
) -> Job:
    """Read and check the bones, plan the cuts, and find a site for every guide and blade.

    A guide that cannot sit is `refused`, and the others go on.

    Parameters
    ----------
    blades : list of str
        Blade ids instead of the case's own; several give several variants of each guide.
    progress : callable
        Told each step before it begins.
    read : optional
        Gives the bones of a case, as `read_bones` does.
    workshop : optional
        Where pieces of sites are made, and kept.
    suggest : bool
        Of an approach that looks across its cut, try others, and tell one that has a seat.
    only, only_part : str, optional
        The one guide to make, and no part; or the one part, and no guide. Cuts, kerfs and cautions are those of the whole case all the same.

    Raises
    ------
    PsiCadError
        What is about one guide names it; where none can sit, why the first cannot. `BuildError` where an input was changed meanwhile.
    """
    workshop = workshop if workshop is not None else Workshop()
    templates = resolved_guides(loaded)  # mistakes in parameters are told before the bone is read
    own = sawings(loaded)
    if blades and not own:
        raise CaseError(f"--blade {blades[0]}: no guide of this case takes a saw blade; leave the option out.")
    progress("read the bone")
    stamps = stamps_of(loaded)
    bones = read(loaded, progress) if read is not None else read_bones(loaded, progress=progress)
    tumour = tumour_source(loaded, progress=progress)
    progress("plan the cuts")
    cuts = planned_cuts(loaded, bones.scene)
    cautions = (*case_cautions(loaded, bones), *cautions_at_cuts(loaded, bones.scene, cuts))
    avoid = _avoided(loaded, templates, progress=progress)
    siting = Siting(loaded, bones.scene, cuts, own, avoid, workshop=workshop, progress=progress)
    tumour_mesh = None
    if tumour is not None:
        tumour_mesh = tumour.mesh
        corners = np.asarray(tumour.mesh.vertices)
        refuse_apart(corners, [body.bone for body in bones.scene.bodies], name=tumour.name)
        refuse_behind(corners, cuts, name=tumour.name)
    donor: DonorRead | None = None
    if only_part is None and any(one.on_donor and only in (None, one.request.name) for one in own):
        progress("fit the donor")
        donor = read_donor(loaded, bones.scene, cuts, tumour_mesh)
    on_donor = None if donor is None else Siting(loaded, donor.scene, donor.cuts, own, workshop=workshop, donor=donor, progress=progress)
    kerfs, run_outs = kerfs_of(loaded.case, own), run_outs_of(loaded.case, own)
    stays: Retained | None = None
    if only_part is None and any(_takes(request).stem and only in (None, request.name) for request in loaded.case.guide):
        progress("saw the bone")
        stays = retained(bones.scene, cuts, kerfs, run_outs)
    on_rest = None if stays is None else Siting(loaded, stays.scene, cuts, own, avoid, workshop=workshop, stays=stays, progress=progress)
    planes, inputs = planes_of(loaded), inputs_of(loaded)
    refuse_changed(loaded, stamps)
    guides, grafts, stems = list[GuideJob](), list[GuideJob](), list[GuideJob]()
    refused: list[PsiCadError] = []
    for number, (request, params) in enumerate(zip(loaded.case.guide, templates, strict=True)):
        sites: list[Site] = []
        hashes: list[str] = []
        needs = _takes(request)
        for work in works_of(loaded, number, params, blades) if only_part is None and only in (None, request.name) else ():
            progress(step_of(request, work.tool_id, "find the seat"))
            workshop.shelf.stages.of = f"{request.name} {work.tool_id}"
            try:
                if donor is not None and on_donor is not None and isinstance(work, Sawing) and work.on_donor:
                    sites.append(on_donor.site(dataclasses.replace(work, request=donor.carried(request))))
                else:
                    sites.append((on_rest if on_rest is not None and needs.stem else siting).site(work))
                hashes.append(job_hash(job_facts(loaded, work, own, planes=planes, inputs=inputs)))
            except PsiCadError as error:
                if error.reason == "across" and isinstance(work, Sawing) and not work.on_donor:
                    bone = bones.scene.body(loaded.case.bone_of(request)).bone
                    error = _across(work, [cuts[name] for name in request.cuts], bone, siting if suggest else None)
                if donor is not None and isinstance(work, Sawing) and work.on_donor:
                    donor.tells(error)
                error.about(request.name, work.tool_id)
                refused.append(error)
        graft = donor is not None and needs.donor
        carried = donor.carried(request) if graft and donor is not None else request
        made = GuideJob(carried, params.model_dump(), tuple(sites), hashes=tuple(hashes), given=bool(blades)).named(loaded.settings)
        (grafts if graft else stems if needs.stem else guides).append(made)
    if refused and not any(guide.sites for guide in (*guides, *grafts, *stems)) and not loaded.case.part:
        raise refused[0]
    told = tuple(error.to_json() for error in refused)
    other = differing(kerfs, sawings(loaded, blades)) if blades else ()
    asked = part_jobs(loaded, bones.scene, cuts, kerfs=kerfs, run_outs=run_outs, tumour=tumour_mesh, other_blades=other) if only is None else ()
    wanted = (one for one in asked if only_part in (None, one.request.name))
    parts = tuple(_hashed(one, loaded, own, planes=planes, inputs=inputs) for one in wanted)
    graft_job = None
    if donor is not None:
        graft_job = Job(loaded, BonesRead(donor.scene, ()), inputs, None, tuple(donor.cuts.values()), tuple(grafts), donor.cautions, read=donor)
    rest = None
    if stays is not None:
        sawn = sawn_cautions(cuts, kerfs, other)
        rest = Job(loaded, BonesRead(stays.scene, ()), inputs, None, tuple(cuts.values()), tuple(stems), sawn, avoid=avoid, stays=stays)
    return Job(loaded, bones, inputs, tumour_mesh, tuple(cuts.values()), tuple(guides), cautions, told, avoid, parts, graft_job, rest=rest)


def _takes(request: GuideRequest) -> Needs:
    """What the template of a guide takes."""
    return needs_of(load_template(request.template, where=f"guide '{request.name}'.template"))


def _hashed(part: PartJob, loaded: LoadedCase, own: list[Sawing], *, planes: Mapping[str, tuple[Array, Array]], inputs: Mapping[str, str]) -> PartJob:
    """A part to make with the hash of all that it is made from, and how its entry in the case was run."""
    facts = part_facts(loaded, part.request, part.params, own, planes=planes, inputs=inputs)
    return dataclasses.replace(part, job=job_hash(facts), cautions=part_overrides(loaded, part.request.name))


def _avoided(loaded: LoadedCase, templates: Sequence[SeatParams], *, progress: Progress) -> tuple[Avoided, ...]:
    """The structures of a case that has trajectories or plate holes in its guides, or wires that lean; none where it has not.

    Raises
    ------
    PsiCadError
    """
    leaning = any(isinstance(params, GuideParams) and params.wires_lean for params in templates)
    if not leaning and not any(guide.trajectories or guide.hole for guide in loaded.case.guide):
        return ()
    found = []
    for number, entry in enumerate(loaded.case.avoid):
        source = avoid_source(loaded, entry, number=number, progress=progress)
        found.append(Avoided(entry.name, entry.distance, closed_surface(source.mesh, name=source.name, key=f"avoid[{number}]")))
    return tuple(found)


def works_of(loaded: LoadedCase, number: int, params: SeatParams, blades: Sequence[str]) -> Sequence[Sawing | Drilling]:
    """A guide of the case with each of `blades`, or its own; one without cuts as it is, whatever blades are named."""
    request = loaded.case.guide[number]
    if request.blade is None:
        return [drilling_of(loaded, request, params)]
    wanted: list[str | Blade] = [*blades] or [request.blade]
    where = "--blade" if blades else f"{loaded.path.name}: guide[{number}].blade"
    assert isinstance(params, GuideParams)  # the registry has refused a template with cuts and others
    return [Sawing(request, params, loaded.blade(one, where=where), bool(blades)) for one in wanted]


def _across(sawing: Sawing, cuts: Sequence[PlannedCut], bone: Bone, siting: Siting | None) -> PsiCadError:
    """The refusal of an approach that looks across its cut; where `siting` finds a site, with one that has a seat."""

    def finds_seat(way: list[float]) -> Site | None:
        turned = dataclasses.replace(sawing, request=sawing.request.model_copy(update={"approach": tuple(way)}))
        return None if siting is None else siting.site(turned)

    request = sawing.request
    return across_refused(request.name, np.array(request.approach), cuts, bone.mesh, None if siting is None else finds_seat)
