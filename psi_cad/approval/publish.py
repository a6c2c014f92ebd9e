"""A case's output folder as a whole: the files of a finished build get their names there, and a guide or part may be taken out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psi_cad.approval.approve import approvals_said, chosen_made
from psi_cad.approval.record import standing_releases
from psi_cad.approval.release import alone_with, earlier_releases
from psi_cad.approval.sheet import SHEET
from psi_cad.builder.suggest import REFUSED_FILE
from psi_cad.errors import ApprovalError, BuildError, InputError
from psi_cad.files import alone, sha256_of, staged, write_json
from psi_cad.guides.registry import template_sha256
from psi_cad.outputs.naming import Making, Naming, name_for, recorded_making
from psi_cad.outputs.overrides import overrides_of
from psi_cad.outputs.software import build_software
from psi_cad.outputs.subject import (
    OVERRIDDEN,
    REPORT_FILE,
    case_folder,
    inputs_said,
    made_from,
    made_in,
    read_plan,
    read_report,
    section_of,
    stem_of,
)
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.report import BuildReport, Release
from psi_cad.records.shared import CaseSaid, Software

if TYPE_CHECKING:
    from psi_cad.intake.prepare import Job

__all__ = ["Before", "job_named", "publish", "remove_made"]

LOCK_FILE: Final = "report.lock"
KINDS: Final = ("step", "stl", "3mf", "png")


class Before:
    """What an output folder tells before a build: its report (None where there is none that can be read), and that file's hash."""

    def __init__(self, folder: Path) -> None:
        path = folder / REPORT_FILE
        self.digest = sha256_of(path) if path.is_file() else None
        self.report = _readable(folder)

    @property
    def guides(self) -> list[Guide]:
        """The guides that lie there; of those of an earlier version what was overridden of the whole case."""
        if self.report is None:
            return []
        changed = overrides_of(self.report.case.settings, "")
        return [guide if guide.settings is not None else guide.but(settings=list(changed)) for guide in self.report.guides]

    @property
    def parts(self) -> list[BodyPart]:
        """The parts that lie there."""
        return [] if self.report is None else list(self.report.parts)

    def naming(self, making: Making, *, name: str, blade: str, inputs: Mapping[str, str], wanted: str | None) -> Naming:
        """The name there of a guide that is made so from these inputs.

        Raises
        ------
        InputError
            Where a standing guide that was made otherwise holds the `wanted` variant's name.
        """
        report = self.report
        same = report is not None and _made_of(report) == _but_overrides(inputs)
        others = [guide for guide in self.guides if (guide.name, guide.blade) == (name, blade)]
        return name_for(making, [(guide, same and guide.status == "passed" and _same_template(guide)) for guide in others], wanted=wanted)


def _but_overrides(said: Mapping[str, str]) -> dict[str, str]:
    """What guides are made from, without what `--set` overrides: each guide tells that for itself."""
    return {label: value for label, value in said.items() if label != OVERRIDDEN}


def _made_of(report: BuildReport) -> dict[str, str]:
    """What all guides and parts of a report are made from, but what `--set` overrides."""
    return _but_overrides(inputs_said(report.case, report.inputs, report.software))


def _readable(folder: Path) -> BuildReport | None:
    """A report, unless another program or version wrote it: such a one is replaced, and not built upon."""
    try:
        return read_report(folder)
    except InputError:
        return None


def job_named(job: Job, before: Before, *, variant: str | None) -> Job:
    """`job` with a name for each guide and blade, so that no guide that stands is replaced by one made otherwise.

    Raises
    ------
    InputError
        Where a standing guide that was made otherwise holds the wanted `variant`.
    """
    case, named = job.loaded.case, []
    said = CaseSaid(id=case.id, side=case.side, file=job.loaded.path.name, sha256=job.loaded.sha256, settings=list(job.loaded.settings))
    inputs = inputs_said(said, job.inputs, Software.model_validate(build_software()))
    for guide in job.guides:
        names = tuple(
            replace(
                before.naming(guide.making(site, job.loaded.settings), name=guide.request.name, blade=site.tool_id, inputs=inputs, wanted=variant),
                mark=guide.naming(number).mark,
            )
            for number, site in enumerate(guide.sites)
        )
        named.append(replace(guide, namings=names))
    donor = None if job.donor is None else job_named(job.donor, before, variant=variant)
    rest = None if job.rest is None else job_named(job.rest, before, variant=variant)
    return replace(job, guides=tuple(named), donor=donor, rest=rest)


def _still_named(before: Before, report: BuildReport) -> bool:
    """Whether the guides of a finished build would be named as they are, by what lies in the folder now."""
    inputs = inputs_said(report.case, report.inputs, report.software)
    for guide in report.guides:
        making, wanted = recorded_making(guide), guide.variant if guide.variant_given else None
        try:
            found = before.naming(making or {}, name=guide.name, blade=guide.blade, inputs=inputs, wanted=wanted)
        except InputError:
            return False
        if found.variant != guide.variant:
            return False
    return True


def _same_template(made: Guide | BodyPart) -> bool:
    """Whether a guide or part was made with its template's file as that is now."""
    return made.template_sha256 is not None and made.template_sha256 == template_sha256(made.template)


def publish(staging: Path, final: Path, report: BuildReport, before: Before) -> None:
    """Move the files of a finished build to their names, and write the report last; guides and parts of earlier builds stay in it.

    Raises
    ------
    BuildError
        Where another run has written into the folder since `before` was read, and a name is no longer free; where a file would
        replace one of another guide or part; where a part that is released would be replaced by one that is made otherwise.
    """
    final.mkdir(parents=True, exist_ok=True)
    with alone(final / LOCK_FILE, what="guides are being written"):
        now = Before(final)
        if now.digest != before.digest and not _still_named(now, report):
            raise BuildError(f"another run has written guides of the same names into '{final.name}' meanwhile, so nothing was written; build again.")
        before = now
        spared = _spared(before, report)
        earlier, parts = _kept_guides(before, report), _kept_parts(before, report)
        _refuse_shared([*earlier, *parts, *made_in(report)])
        released = earlier_releases(before.report, [*earlier, *parts, *spared])
        if released:
            assert report.release is not None  # the build has said by now whether it is one
            report.release.earlier = released
        for guide in report.guides:
            stem, marked = stem_of(guide), [f"{stem_of(guide)}_REJECTED.{kind}" for kind in KINDS]
            for name in (*(f"{stem}.{kind}" for kind in KINDS), *marked, f"{stem}_{REFUSED_FILE}"):
                (final / name).unlink(missing_ok=True)  # never a clean name beside a rejection, nor the other way round
        again = {section_of(made) for made in made_in(report)}
        for name in (name for made in made_in(before.report) if section_of(made) in again for name in made.files.values()):
            if Path(name).name == name:  # a name that leads out of the folder is no file of psi-cad
                (final / name).unlink(missing_ok=True)
        (final / SHEET).unlink(missing_ok=True)  # it tells of what lay there
        for path in sorted(staging.iterdir()):
            path.replace(final / path.name)
        for made in made_in(report):
            made.kept = False
        report.guides += earlier
        if parts:
            report.parts = [*report.parts, *parts]
        report.approval = approvals_said(final, plan=read_plan(final), report=report)
        write_json(final / REPORT_FILE, report.to_json())


def _other(before: Before, report: BuildReport, made: Guide | BodyPart) -> list[str]:
    """What a guide or part of an earlier build is made from that has changed since; what `--set` overrides for one guide changes no other."""
    earlier = before.report
    one, two = {} if earlier is None else made_from(earlier, made), made_from(report, made)
    if isinstance(made, Guide):
        one, two = _but_overrides(one), _but_overrides(two)
    return sorted(label for label in one.keys() | two.keys() if one.get(label) != two.get(label))


def _spared(before: Before, report: BuildReport) -> list[BodyPart]:
    """Released parts that came out again to the byte: their entries, which take the place of the new ones, so that they stay released.

    A part has no variants. What the case or a file that it names has changed of since is stale, and no longer spared; nor is what
    this build releases itself.

    Raises
    ------
    BuildError
        Where a released part that still stands would be replaced by another, or could not be made so.
    """
    if before.report is None or _made_of(before.report) != _made_of(report):
        return []
    own = report.release.sections if report.release is not None and report.release.released else []
    standing = {name for release in standing_releases(before.report) for name in release.sections} - {*own}
    fresh, refused = {section_of(part): part for part in report.parts}, {one.part for one in report.refused}
    same, lost = list[BodyPart](), list[BodyPart]()
    for part in before.parts:
        if section_of(part) not in standing or part.status != "passed" or not _same_template(part):
            continue
        made, other = fresh.get(section_of(part)), _other(before, report, part)
        if other or part.name in refused or (made is not None and not _same_files(part, made)):
            lost.append(part)
        elif made is not None:  # a picture is drawn anew, and nobody signs it
            same.append(part.but(kept=False, sha256=dict(made.sha256)))
    if lost:
        one, names = len(lost) == 1, " and ".join(f"'{part.name}'" for part in lost)
        which = f"part {names} is released, and would be another" if one else f"parts {names} are released, and would be others"
        removed = ", ".join(f"'psi-cad remove OUT {stem_of(part)} --force'" for part in lost)
        raise BuildError(
            f"{which} by this build, so nothing was written; build into another folder with -o, or take out what is released: {removed}."
        )
    again = {section_of(part): part for part in same}
    report.parts = [again.get(section_of(part), part) for part in report.parts]
    return same


def _same_files(one: BodyPart, two: BodyPart) -> bool:
    """Whether two parts have the same files to the byte, but for pictures."""
    first, second = ({name: part.sha256.get(name) for kind, name in part.files.items() if kind.split("-")[0] != "png"} for part in (one, two))
    return first == second


def _refuse_shared(made: Sequence[Guide | BodyPart]) -> None:
    """Refuse a build of which a file is called as one of another guide or part: a variant's name may end as a part's does.

    Raises
    ------
    BuildError
    """
    owners: dict[str, str] = {}
    for one in made:
        kind, _, stem = section_of(one).partition(" ")
        owner = f"{kind} '{stem}'"
        for name in one.files.values():
            if name in owners:
                raise BuildError(f"'{name}' would be a file of {owners[name]} and of {owner}, so nothing was written; name one of them otherwise.")
            owners[name] = owner


def _kept_guides(before: Before, report: BuildReport) -> list[Guide]:
    """Guides that lie there and that this build did not make (`kept`); marked where what they were made from has changed since."""
    now = {stem_of(guide) for guide in report.guides}
    refused = {(one.guide, one.blade) for one in report.refused}
    kept = [guide.but(kept=True) for guide in before.guides if stem_of(guide) not in now]
    for guide in kept:
        alike = guide.settings == list(overrides_of(report.case.settings, guide.name))  # else another guide was refused
        if alike and guide.variant is None and (guide.name, guide.blade) in refused and guide.status == "passed":
            guide.status = "stale"
            guide.notes = [*guide.notes, "the case as it was built last refuses this guide: see 'refused'"]
        changed = [*_other(before, report, guide), *([] if _same_template(guide) else ["the template's file"])]
        if changed and guide.status != "stale":
            guide.status = "stale"
            guide.notes = [*guide.notes, f"this has changed since it was built: {', '.join(changed)}; build it again"]
    return kept


def _kept_parts(before: Before, report: BuildReport) -> list[BodyPart]:
    """The same of parts."""
    now = {stem_of(part) for part in report.parts}
    refused = {one.part for one in report.refused if one.part}
    kept = [part.but(kept=True) for part in before.parts if stem_of(part) not in now]
    for part in kept:
        if _other(before, report, part) or part.name in refused or not _same_template(part):
            part.status = "stale"
    return kept


def remove_made(path: Path, name: str, *, force: bool = False) -> dict[str, str | list[str]]:
    """Take a guide (NAME_BLADE or NAME_BLADE_VARIANT) or part (NAME_PRINTER) out of a case's output folder: files, and entry in the report.

    Returns
    -------
    dict
        `guide` or `part`, `folder`, the `files` that went, those that were `missing`, and the guides and parts that are `left`.

    Raises
    ------
    InputError
        Where no guide and no part is called so.
    ApprovalError
        Where it is released, or a file is not the one that the report tells of; `force` removes it nevertheless.
    """
    folder = case_folder(path)
    with alone(folder / LOCK_FILE, what="guides are being written"):
        report = read_report(folder)
        made = chosen_made(report, name, option="remove")
        assert report is not None  # it was found in it
        section = section_of(made)
        if not force and any(section in release.sections for release in standing_releases(report)):
            raise ApprovalError(f"the {section} is released, so it is not removed; add --force to remove it all the same.")
        files = _own_files(folder, made, made_in(report))
        there = [path for path in files if path.is_file()]
        changed = [path.name for path in there if sha256_of(path) != made.sha256.get(path.name)]
        if changed and not force:
            raise ApprovalError(
                f"'{changed[0]}' was changed since it was built, so nothing is removed; copy it elsewhere, or add --force to delete it."
            )
        report.guides = [other for other in report.guides if section_of(other) != section]
        if report.parts:
            report.parts = [other for other in report.parts if section_of(other) != section]
        _without(report, section)
        _swap(folder, there, report)
    return {
        section.partition(" ")[0]: stem_of(made),
        "folder": str(folder),
        "files": [path.name for path in there],
        "missing": [path.name for path in files if path not in there],
        "left": [stem_of(other) for other in made_in(report)],
    }


def _own_files(folder: Path, made: Guide | BodyPart, every: Sequence[Guide | BodyPart]) -> list[Path]:
    """The files that a report names for one guide or part and for no other; a name that leads out of the folder is no file of it.

    Raises
    ------
    InputError
    """
    others = {name for other in every if section_of(other) != section_of(made) for name in other.files.values()}
    names = list(made.files.values())
    strange = [name for name in names if Path(name).name != name or not name.startswith(stem_of(made))]
    if strange:
        raise InputError(f"'{REPORT_FILE}' names '{strange[0]}' as a file of {stem_of(made)}, which psi-cad does not write; delete it by hand.")
    return [folder / name for name in names if name not in others]


def _without(report: BuildReport, section: str) -> None:
    """Take a section out of the releases that a report tells of, and judge what is left."""
    release = report.release
    parts = [alone_with(one, [name for name in one.sections if name != section]) for one in standing_releases(report)]
    parts = [one for one in parts if any(name != "plan" for name in one.sections)]
    own = release is not None and release.released and parts and parts[0].approvals == release.approvals
    report.release = parts.pop(0) if own else Release(released=False)
    if parts:
        report.release.earlier = parts
    report.status = "passed" if all(made.status in ("passed", "stale") for made in made_in(report)) else "rejected"


def _swap(folder: Path, files: Sequence[Path], report: BuildReport) -> None:
    """Write a report and take files away, both or neither: they wait in a hidden folder until the report is written."""
    report.approval = approvals_said(folder, plan=read_plan(folder), report=report)
    moved: list[tuple[Path, Path]] = []
    with staged(folder) as waiting:
        try:
            for path in files:
                path.replace(waiting / path.name)
                moved.append((waiting / path.name, path))
            write_json(folder / REPORT_FILE, report.to_json())
            (folder / SHEET).unlink(missing_ok=True)
        except BaseException:
            for there, back in moved:
                there.replace(back)
            raise
