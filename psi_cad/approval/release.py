"""What is released: guides and parts whose cautions were accepted by name, and that surgeon and engineer approved exactly as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from psi_cad.approval.acceptance import NO_PLAN_SAID, accepted_ids, cautions_told, unaccepted, way_on
from psi_cad.approval.approve import approvals_said, lacking
from psi_cad.approval.reasons import refusal
from psi_cad.approval.record import ROLES, Record, last_word, one_person, read_record, standing_releases
from psi_cad.errors import ApprovalError
from psi_cad.outputs.subject import (
    PLAN,
    PLAN_FILE,
    Subject,
    case_folders,
    disagreement,
    made_in,
    read_plan,
    read_report,
    section_of,
    subject_of,
)
from psi_cad.records.check import CheckedCase
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport, Release, ReliedOn

__all__ = ["alone_with", "check_approvals", "earlier_releases", "in_the_way", "refuse_early", "release_said"]

NOT_PLANNED: Final = f"{NO_PLAN_SAID}; the approvals are of the guides and their inputs alone"


def check_approvals(path: Path) -> list[CheckedCase]:
    """The approvals of every case below `path` as its files are now; `sound` is whether the record and every release still hold.

    `accepted` names the cautions that were accepted, by guide; `releases` are the guides that are released.

    Raises
    ------
    InputError
    """
    found = []
    for folder in case_folders(path):
        plan, report = read_plan(folder), read_report(folder)
        said = approvals_said(folder, plan=plan, report=report)
        about, missing = report if report is not None else plan, said.missing
        assert about is not None  # one of the two made it the folder of a case
        releases = standing_releases(report)
        names = list(dict.fromkeys(name for release in releases for name in release.sections))
        if releases and report is not None and said.broken is None:  # they rest on what they name, as that lies here now
            subject, record = subject_of(folder, plan=plan, report=report), read_record(folder)
            missing = _wanting(record, {name: subject.get(name, {}) for name in names}, report, report.case.id)
            if any(not [name for name in release.sections if name != PLAN] for release in releases):
                missing.append("the report tells of a release and names no guide of it")
        found.append(
            CheckedCase(
                case=about.case.id,
                released=report is not None and report.release is not None and report.release.released,
                sound=not (said.broken or (releases and missing)),
                releases=[name for release in releases for name in release.sections if name != PLAN],
                release_notes=list(dict.fromkeys(note for release in releases for note in release.notes)),
                accepted={section_of(made): list(made.accepted) for made in made_in(report)},
                broken=said.broken,
                entries=said.entries,
                missing=missing,
            )
        )
    return found


def _wanting(record: Record, subject: Subject, report: BuildReport, case: str) -> list[str]:
    """All that stands between these sections and a release, one clause each."""
    found = [*lacking(record, subject, case), *_one_person_unsaid(record, subject)]
    for made in made_in(report):
        if section_of(made) in subject and (open_ := unaccepted(report, [made], planned=PLAN in subject)):
            found.append(f"{', '.join(open_)} not accepted for the {section_of(made)}")
    return found


def _one_person_unsaid(record: Record, subject: Subject) -> list[str]:
    """Sections that one person approved in both roles without saying so, one clause each."""
    both = {name: found for name in subject if (found := one_person(record, name)) is not None and not found[1]}
    return [f"one person ({code}) approved the {name} in both roles and nobody said --same-person" for name, (code, _) in both.items()]


def _silent(record: Record) -> list[str]:
    """The roles that have approved nothing at all."""
    return [role for role in ROLES if all(entry.role != role for entry in record.entries)]


def _broken(record: Record) -> str:
    return f"the record of approvals is broken: {record.broken}"


def _nothing_approved(silent: Sequence[str]) -> str:
    return f"the {' and the '.join(silent)} approved nothing in this folder; build without --release, then 'psi-cad approve'"


def _not_accepted(open_: Sequence[str], accepted: Iterable[str]) -> str:
    """What is not accepted, with the whole of what to paste."""
    what = f"{', '.join(open_)} {'is' if len(open_) == 1 else 'are'} not accepted"
    return f"{what}; {way_on(open_, accepted)}, let both roles approve it, and release it with the same options"


def refuse_early(folder: Path, case: str, *, accept: Sequence[str] = ()) -> None:
    """Refuse to release a case whose record is broken, or of which a role has approved nothing at all, before anything is built.

    Where it is refused, what the guides that lie in the folder lack besides is told with it.

    Raises
    ------
    ApprovalError
    """
    record, silent = read_record(folder), []
    found = [_broken(record)] if record.broken else []
    if not record.broken and (silent := _silent(record)):
        found.append(_nothing_approved(silent))
    if not found:
        return
    report = read_report(folder)
    if report is not None:
        wanted = accepted_ids(accept)
        passed = [made.but(accepted=list(wanted)) for made in made_in(report) if made.status == "passed"]
        open_ = unaccepted(report, passed, planned=(folder / PLAN_FILE).is_file())
        found += [_not_accepted(open_, wanted)] if open_ else []
    raise refusal(ApprovalError, _refused(case), found)


def _refused(case: str) -> str:
    return f"'{case}' is not released"


def in_the_way(folder: Path, staging: Path, report: BuildReport) -> list[str]:
    """All that stands between guides that were just built in `staging` and their release, one clause each."""
    case, record = report.case.id, read_record(folder)
    found = [f"{section_of(made)} is {made.status}" for made in made_in(report) if made.status != "passed"]
    found += [f"part '{one.part}' was not made" if one.part else f"guide '{one.guide}' for {one.blade} was not made" for one in report.refused]
    plan = read_plan(folder)
    open_ = unaccepted(report, made_in(report), planned=plan is not None)
    if open_:
        found.append(_not_accepted(open_, (name for made in made_in(report) for name in made.accepted)))
    if plan is not None and (other := disagreement(plan, report)):
        found.append(f"the guides are not built from the plan beside them: {other}, and have it approved")
    if record.broken:
        return [*found, _broken(record)]
    silent, subject = _silent(record), _subject(folder, staging, report)
    found += [_nothing_approved(silent)] if silent else []
    return [*found, *lacking(record, subject, case, roles=[role for role in ROLES if role not in silent]), *_one_person_unsaid(record, subject)]


def _subject(folder: Path, staging: Path, report: BuildReport) -> Subject:
    """What is to be released: the plan in `folder`, if there is one, and the guides in `staging`."""
    return {**subject_of(folder, plan=read_plan(folder), report=None), **subject_of(staging, plan=None, report=report)}


def release_said(folder: Path, staging: Path, report: BuildReport) -> Release:
    """The release of guides that were just built in `staging`, if both roles approved exactly these, as they lie in `folder`.

    Raises
    ------
    ApprovalError
        Naming all that is in the way.
    """
    missing = in_the_way(folder, staging, report)
    if missing:
        raise refusal(ApprovalError, _refused(report.case.id), missing)
    record, subject = read_record(folder), _subject(folder, staging, report)
    relied = {entry.sequence: entry for name in subject for role in ROLES if (entry := last_word(record, role, name)) is not None}
    valid = [
        ReliedOn(sequence=one.sequence, role=one.role, name_code=one.name_code, time=one.time, hash=one.hash, same_person=one.same_person)
        for one in (relied[number] for number in sorted(relied))
    ]
    notes = _of_the_plan(read_plan(folder), report)
    for code in dict.fromkeys(both[0] for name in subject if (both := one_person(record, name)) is not None):
        notes.append(f"one person ({code}) approved in both roles")
    accepted = {section_of(made): list(made.accepted) for made in made_in(report)}
    return Release(released=True, sections=list(subject), approvals=valid, accepted=accepted, notes=notes)


def _of_the_plan(plan: PlanReport | None, report: BuildReport) -> list[str]:
    """What the plan tells beside what the build does, so that it is said once more at the release."""
    if plan is None:
        return [NOT_PLANNED] if any(guide.cuts_bone for guide in report.guides) else []
    told = {caution.text for caution in cautions_told(report.cautions, made_in(report))}
    return [f"the plan says: {caution.text}" for caution in plan.cautions if caution.text not in told]


def earlier_releases(before: BuildReport | None, kept: Sequence[Guide | BodyPart]) -> list[Release]:
    """The releases that an earlier report tells of, as far as their guides and parts stay in the folder as they were."""
    names = {section_of(made) for made in kept if made.status == "passed"}
    found = []
    for release in standing_releases(before):
        sections = [name for name in release.sections if name == PLAN or name in names]
        if any(name != PLAN for name in sections):
            found.append(alone_with(release, sections))
    return found


def alone_with(release: Release, sections: Sequence[str]) -> Release:
    """A release of these sections, without the earlier ones that it tells of."""
    return Release.model_validate({**{key: value for key, value in release.to_json().items() if key != "earlier"}, "sections": list(sections)})
