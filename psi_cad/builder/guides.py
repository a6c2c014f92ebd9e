"""Make every guide of a job: design, export, have the files measured, report. Runs in the build process."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import trimesh

from psi_cad.brep import checked
from psi_cad.builder.drawing import Drawing
from psi_cad.builder.entry import Made, expected_of, report_entry
from psi_cad.builder.export import exported, facts_of, title_of
from psi_cad.builder.folder import DONOR_FILE, bones_written, kept_files, sweep
from psi_cad.builder.grafts import with_graft
from psi_cad.builder.kept import Kept
from psi_cad.builder.tasks import Shown, Task
from psi_cad.drawing.artist import Artist
from psi_cad.drilling.ways import Drilling, drilling_of
from psi_cad.errors import EnvironmentProblem, KernelError, PsiCadError
from psi_cad.export.meshes import write_stl
from psi_cad.files import sha256_of
from psi_cad.findings import by_weight
from psi_cad.grafting.graft import contact_cautions, refuse_faceless
from psi_cad.guides.params import GuideParams
from psi_cad.guides.registry import load_template, told_as_ours
from psi_cad.guides.site import Site
from psi_cad.inspection.inspect import Inspection, Inspector
from psi_cad.intake.overrides import guide_overrides
from psi_cad.intake.prepare import GuideJob, Job, Progress, step_of
from psi_cad.intake.siting import Siting
from psi_cad.making.beside import kept_beside, parts_beside, with_beside
from psi_cad.making.bodies import build_bodies
from psi_cad.making.stems import refuse_stemless, retained_said, stem_cautions, with_stems
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.outputs.software import build_software
from psi_cad.processes.workers import PICTURE_STEP
from psi_cad.promises.expected import ExpectedAvoid
from psi_cad.reconstruction.drawn import draw_stems
from psi_cad.records.bones import BoneInReport
from psi_cad.records.guide import Guide, MeasuredFiles
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import CaseSaid, CheckSaid, Refused, Software, cautions_said
from psi_cad.remedies.mending import base_id, sentence
from psi_cad.sawing.kerfs import Sawing, sawings
from psi_cad.stages.told import IN_MEMORY, MADE, of_guide
from psi_cad.units import LIMITS

__all__ = ["build_case"]

AVOID_FILE: Final = "avoid_{name}.stl"
SEATS: Final = 3
UNSITED: Final = {"sliding_lock", "printer_room", "printer_wall", "slot_clearance_least", "slot_clearance_most"}  # another seat mends none of them
KERNEL_CHECKS: Final = {"step_solids", "step_valid", "stl_watertight", "stl_bodies", "stl_volume", "stl_faces", "stl_place"}


class _Bench:
    """Designs and exports the guides of one job, in one folder."""

    def __init__(self, job: Job, folder: Path, inspection: Inspection, progress: Progress, kept: Kept, artist: Artist, *, seats: int) -> None:
        self.job, self.folder, self.inspection, self.progress, self.seats, self.artist = job, folder, inspection, progress, seats, artist
        self._kept, self._workshop = kept, kept.workshop

    @cached_property
    def _siting(self) -> Siting:
        job, loaded = self.job, self.job.loaded
        cuts = {cut.name: cut for cut in job.cuts}
        return Siting(loaded, job.bones.scene, cuts, sawings(loaded), job.avoid, workshop=self._workshop, donor=job.read, stays=job.stays)

    def site(self, task: Task) -> Site:
        """Where a task's guide sits."""
        return task.elsewhere or self.job.guides[task.guide].sites[task.site]

    def elsewhere(self, task: Task, why: str) -> Task | None:
        """The same guide as it could sit otherwise, after it turned out bad; None where no way is left to try."""
        guide, site = self.job.guides[task.guide], self.site(task)
        slides = site.seating.lock is not None and site.seating.lock < LIMITS.sliding_lock  # then nothing better was found before
        if slides or task.stands or task.seats >= self.seats:
            return None
        self.told(guide, site)("find another seat")
        but = (*(trial for trial in site.seating.tried if not site.seating.like(trial)), site.seating.left(why))
        work = self._work(guide, site)
        try:
            return Task(task.guide, task.site, elsewhere=self._siting.site(work, but=but), seats=task.seats + 1)
        except PsiCadError:
            return None

    def _work(self, guide: GuideJob, site: Site) -> Sawing | Drilling:
        params = load_template(guide.request.template, where="guide.template").Params(**guide.params)
        if site.saw is None:
            return drilling_of(self.job.loaded, guide.request, params)
        assert isinstance(params, GuideParams)  # the registry has refused a template with cuts and others
        return Sawing(guide.request, params, site.saw, guide.given)

    @cached_property
    def _avoid(self) -> tuple[ExpectedAvoid, ...]:
        """What tools keep from, as it lies in files beside the guides."""
        found = []
        for one in self.job.avoid:
            name = AVOID_FILE.format(name=one.name)
            write_stl(self.folder / name, one.mesh, header=f"{self.job.loaded.case.id} {one.name} mm SPACE=LPS")
            found.append(ExpectedAvoid(one.name, one.distance, name, sha256_of(self.folder / name)))
        return tuple(found)

    @property
    def kept_away(self) -> list[str]:
        """The files of what tools keep from."""
        return [AVOID_FILE.format(name=one.name) for one in self.job.avoid]

    def show(self, task: Task) -> Shown:
        """Design one guide and write its files; where that fails it is made to sit otherwise, or its outlines are drawn a little otherwise.

        Raises
        ------
        PsiCadError
            Why the guide could not be made as it was to sit first.
        """
        first: PsiCadError | None = None
        trying: Task | None = task
        while trying is not None:
            try:
                return self._show_somehow(trying)
            except PsiCadError as error:
                error.about(*self._names(task))
                first = first or error
                trying = self.elsewhere(trying, str(error))
        assert first is not None
        if task.elsewhere is not None:  # what was built on the first seat stands
            return self._show_somehow(Task(task.guide, task.site, stands=True), steep_too=True)
        if first.reason == "steep":
            return self._show_somehow(dataclasses.replace(task, attempt=1), steep_too=True)
        raise first

    def _show_somehow(self, task: Task, *, steep_too: bool = False) -> Shown:
        """Design one guide as it is to sit, its outlines drawn a little otherwise where the kernel stumbles."""
        while True:
            try:
                return self._show(task)
            except KernelError as error:
                if task.final or (error.reason == "steep" and not steep_too):
                    error.reason = error.reason or "kernel"
                    error.about(*self._names(task))
                    raise
                task = dataclasses.replace(task, attempt=task.attempt + 1)

    def _names(self, task: Task) -> tuple[str, str]:
        return self.job.guides[task.guide].request.name, self.site(task).tool_id

    def _show(self, task: Task) -> Shown:
        loaded, guide = self.job.loaded, self.job.guides[task.guide]
        template = load_template(guide.request.template, where=f"{loaded.path.name}: guide[{task.guide}].template")
        params = template.Params(**guide.params)
        site: Site = dataclasses.replace(self.site(task), attempt=task.attempt)
        letters = guide.naming(task.site).letters  # before the version, which ends a label
        site = dataclasses.replace(site, label=(*site.label[:-1], *letters, site.label[-1]))
        told = self.told(guide, site)
        self._kept.stages.of = of_guide(guide.request.name, site.tool_id)
        told("design")  # a template that hangs before it says anything is known by this
        try:
            with told_as_ours(guide.request.template, site.frame), checked.listening(told):
                design = template.build(site, params, self._workshop)
            made = Made(guide.request, params, site, design, guide.naming(task.site), guide.hashes[task.site], loaded.settings)
        except PsiCadError as error:
            if self.job.read is not None:
                self.job.read.tells(error)
            raise
        case = loaded.case
        bone = case.bone_of(guide.request)
        cuts = [cut for cut in self.job.cuts if cut.bone == bone and site.stems is None]  # else they are sawn by then
        expected = expected_of(made, cuts, self._avoid)
        refuse_faceless(guide.request.template, site, design.further)
        refuse_stemless(guide.request.template, site, design.stems)
        facts, room = facts_of(made, case=case.id, side=self.job.side), site.printer.build_volume
        beside = parts_beside(design.further, site.frame, self.folder, stem=made.stem, case=case.id, metadata=facts, build_volume=room)
        self.inspection.on(bone)
        mesh = exported(made, expected, self.folder, case=case.id, side=self.job.side, inspection=self.inspection, told=told)
        drawn = [one.written.mesh for one in beside if site.graft is None and site.stems is None]  # else they lie in the bone
        whole = trimesh.util.concatenate([mesh, *drawn]) if drawn else mesh
        slim = dataclasses.replace(made, design=dataclasses.replace(made.design, solid=None, further=()))  # the solids are in their files now
        return Shown(task, slim, expected, whole, beside)

    def told(self, guide: GuideJob, site: Site) -> Progress:
        """Progress that says which guide it is about."""
        return lambda step: self.progress(step_of(guide.request, site.tool_id, step))

    def begun(self, shown: Shown) -> Drawing:
        """A guide's picture, drawn as far as needs no measuring."""
        self._about(shown, PICTURE_STEP)
        return Drawing(self.job, shown.made, shown.mesh, self._kept, self.artist)

    def measured(self, shown: Shown) -> MeasuredFiles:
        """What is measured of a guide's files."""
        self._about(shown, "measure the files")
        found = self.inspection.result()
        said = self.inspection.said
        self._kept.stages.tell("measure the files", said.parts, IN_MEMORY if said.found else MADE, said.seconds)
        return found

    def finish(self, shown: Shown, drawing: Drawing, measured: MeasuredFiles) -> None:
        """Write the picture of a guide; of a rejected one under a name that says so.

        Raises
        ------
        BuildError
            If it could not be drawn.
        """
        self._about(shown, PICTURE_STEP)
        drawing.saved(self.folder / f"{shown.made.stem}{'_REJECTED' if measured.failed else ''}.png", measured)

    def _about(self, shown: Shown, step: str) -> None:
        """Say that a step of a guide begins, of which files are there already."""
        guide, site = self.job.guides[shown.task.guide], shown.made.site
        self._kept.stages.of = of_guide(guide.request.name, site.tool_id)
        self.told(guide, site)(step)


def build_case(
    job: Job,
    folder: Path,
    *,
    inspection: Inspection | None = None,
    progress: Progress,
    pictures: bool = True,
    seats: int = SEATS,
    kept: Kept | None = None,
) -> BuildReport:
    """Make every guide of a job in `folder`, and return the report.

    Parameters
    ----------
    folder : Path
        An empty folder; a guide that fails a check leaves only `…_REJECTED.step` and `.png` there.
    inspection : Inspection, optional
        Measures the files while the next guide is made; by default they are measured here, in between.
    progress : callable
        Told each step before it begins.
    pictures : bool
        Without them no guide has a picture: a try needs none.
    seats : int
        In how many ways a guide is made to sit, where what was built on the first fails.
    kept : optional
        What this process has kept of earlier builds.

    Raises
    ------
    PsiCadError
        Where no guide could be made: why the first could not. Others are told in `refused`.
    """
    loaded, case = job.loaded, job.loaded.case
    inspection = inspection if inspection is not None else Inspector()
    folder.mkdir(parents=True, exist_ok=True)
    kept = kept if kept is not None else Kept()
    first = _made(job, folder, inspection, progress, kept, pictures=pictures, seats=seats)
    second = None if job.donor is None else _made(job.donor, folder, inspection, progress, kept, pictures=pictures, seats=seats)
    third = None if job.rest is None else _made(job.rest, folder, inspection, progress, kept, pictures=pictures, seats=seats)
    every_made = [one for one in (first, second, third) if one is not None]
    refused, guides = [error for one in every_made for error in one.refused], [entry for one in every_made for entry in one.entries]
    bodies, lacking = build_bodies(job.parts, case, folder, progress=progress)
    every = [*(one.files for one in guides), *(body.files for body in bodies)]
    sweep(folder, {*(name for one in every_made for name in one.kept), *(name for files in every for name in files.values())})
    if refused and not guides and not bodies:
        raise refused[0]
    told_there = {caution for guide in case.guide for caution in guide_overrides(loaded, guide.name)}
    told_there |= {caution for part in job.parts for caution in part.cautions}
    used = first.kept[: len(job.bones.scene.bodies)]
    used_bones = [said.more(BoneInReport, used=name, used_sha256=sha256_of(folder / name)) for said, name in zip(job.bones.said, used, strict=True)]
    lacked = [*job.refused, *(error.to_json() for error in refused)]
    parts_said: dict[str, Any] = {"parts": bodies} if job.parts else {}
    aside_said: dict[str, Any] = {}
    if job.donor is not None and job.donor.read is not None:
        aside_said = {"donor": job.donor.read.said.but(used=DONOR_FILE, used_sha256=sha256_of(folder / DONOR_FILE))}
    if job.rest is not None and third is not None:
        aside_said["retained"] = retained_said(job.rest.bones.scene, folder, third.kept)
    return BuildReport(
        schema_=1,
        software=Software.model_validate(build_software()),
        notice=NOT_A_DEVICE,
        case=CaseSaid(id=case.id, side=case.side, file=loaded.path.name, sha256=loaded.sha256, settings=list(loaded.settings)),
        inputs=job.inputs,
        **job.bones.report(used_bones),
        cautions=cautions_said(by_weight(caution for caution in job.cautions if caution not in told_there)),
        guides=guides,
        **aside_said,
        **parts_said,
        refused=[*(Refused.model_validate(one) for one in lacked), *lacking],
        status="passed" if {*(one.status for one in guides), *(body.status for body in bodies)} <= {"passed"} else "rejected",
    )


@dataclass(frozen=True)
class _Made:
    """What became of the guides in one frame: entries, why others were not made, and files beside them, bones first."""

    entries: list[Guide]
    refused: list[PsiCadError]
    kept: list[str]


def _made(job: Job, folder: Path, inspection: Inspection, progress: Progress, kept: Kept, *, pictures: bool, seats: int) -> _Made:
    """Make the guides of one job, whatever bones they sit on."""
    used = bones_written(job, folder, inspection)
    with Artist(job.bones.scene.mesh, job.tumour) as artist:
        if pictures and not kept.drawn([one for guide in job.guides for one in guide.hashes]):
            artist.start()
        return _made_on(_Bench(job, folder, inspection, progress, kept, artist, seats=seats), used, pictures=pictures)


def _made_on(bench: _Bench, used: list[str], *, pictures: bool) -> _Made:
    job, folder, loaded = bench.job, bench.folder, bench.job.loaded
    tasks = [Task(number, site) for number, guide in enumerate(job.guides) for site in range(len(guide.sites))]
    entries: dict[tuple[int, int], Guide] = {}
    refused: list[PsiCadError] = []
    while tasks:
        shown = []
        for task in tasks:
            try:
                shown.append(bench.show(task))
            except EnvironmentProblem:
                raise
            except PsiCadError as error:  # of this guide; the others go on
                refused.append(error)
        tasks = []
        for one in shown:
            picture = bench.begun(one) if pictures else None  # the files are being measured meanwhile
            own = bench.measured(one)
            again = _again(bench, one.task, own.failed)  # no other seat mends a part that comes beside it
            if again is not None:
                tasks.append(again)
                continue
            measured, graft = with_graft(with_beside(own, one.beside), one.made.site.graft, one.beside, folder)
            own_bone = used[[body.name for body in job.bones.scene.bodies].index(loaded.case.bone_of(one.made.request))]
            measured, stems = with_stems(measured, one.made.site, one.made.design.stems, one.beside, folder, own_bone)
            passed, grafted = not measured.failed, () if graft is None else contact_cautions(graft)
            if picture is not None:
                bench.finish(one, picture, measured)
            files = kept_files(folder, one.made.stem, passed=passed, pictures=pictures)
            title = title_of(one.made, case=loaded.case.id, side=job.side)
            more, parts = kept_beside(one.beside, folder, passed=passed, pictured="" if picture is None or job.read else title)
            if picture is not None and stems:
                more |= draw_stems(stems, job.bones.scene.mesh, folder, stem=one.made.stem, title=title, passed=passed)
            request = one.made.request
            entries[one.task.key] = report_entry(
                one.made,
                measured,
                one.expected,
                files | more,
                folder,
                cautions=(*guide_overrides(loaded, request.name), *(job.cautions if job.read or job.stays else ()), *grafted, *stem_cautions(stems)),
                parts=parts,
                bone=request.bone if len(loaded.case.bones) > 1 else None,
                graft=graft,
                stems=stems,
            )
    return _Made([entries[key] for key in sorted(entries)], refused, [*used, *bench.kept_away])


def _again(bench: _Bench, task: Task, failed: Sequence[CheckSaid]) -> Task | None:
    """How a guide is made once more after its files were measured; None where it stands as it is."""
    ids = {base_id(check.id) for check in failed}
    if ids and ids <= KERNEL_CHECKS and not task.final:  # only the kernel's own soundness
        return dataclasses.replace(task, attempt=task.attempt + 1)
    passed_over = UNSITED if task.final else KERNEL_CHECKS | UNSITED
    told = [sentence(check.to_json()) for check in failed if base_id(check.id) not in passed_over]
    return bench.elsewhere(task, "; ".join(told)) if told else None
