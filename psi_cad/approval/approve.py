"""Who approved exactly what: an entry in the chain of approvals, held against what lies in the folder now."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from psi_cad.approval.acceptance import cautions_told, unaccepted, way_on
from psi_cad.approval.reasons import refusal
from psi_cad.approval.record import APPROVALS_FILE, ROLES, START, Record, last_word, read_record, same_code
from psi_cad.errors import ApprovalError, InputError
from psi_cad.files import alone, write_json
from psi_cad.outputs.subject import PLAIN, Subject, case_folder, hash_of, made_in, read_plan, read_report, section_of, stem_of, subject_of, unfit
from psi_cad.records.approvals import Approval, Approvals
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import ApprovalEntry, ApprovalSaid

__all__ = ["approvals_said", "approve_folder", "chosen_made", "lacking"]

LOCK_FILE: Final = "approvals.lock"
APPROVED: Final = "approved"
OTHER_VERSION: Final = "approved for another version"
# more than four letters together, or letters alone with a hyphen, are a name more often than a code
NAME_CODE: Final = re.compile(r"(?!.*[A-Za-z]{5})(?=.*[0-9]|[A-Za-z]{1,4}$)[A-Za-z0-9][A-Za-z0-9-]{0,23}", re.ASCII)
NOTE_LENGTH: Final = 500
MENTIONED: Final = 3  # changed things named in one clause


def approve_folder(
    path: Path, *, role: str, name_code: str, note: str = "", same_person: bool = False, guides: Sequence[str] = (), parts: Sequence[str] = ()
) -> dict[str, Any]:
    """Add an approval of everything that lies in a case's output folder, and return its entry.

    Parameters
    ----------
    same_person : bool
        Whether the one who approved in the other role may approve in this one too; the entry tells of it.
    guides, parts : sequence of str
        Only these guides ("NAME_BLADE" or "NAME_BLADE_VARIANT") and parts ("NAME_PRINTER"), and the plan, instead of everything.

    Returns
    -------
    dict
        The entry, and beside it `folder`, the `cautions` that are approved with it, the most serious first, the kinds
        of them that are `unaccepted` and keep a guide from being released, and the `stems` of each guide that is for some, by its section.

    Raises
    ------
    InputError
        Where the role, the code, the note, a guide or a part is none, or there is nothing to approve.
    BuildError
        Where another approval is being written and does not end.
    ApprovalError
        Where a plan or guide did not pass, a file is not the one that was reported, the record is broken, or one person
        would approve in both roles and nobody said so; it tells all of that at once.
    """
    _valid(role, name_code, note)
    folder = case_folder(path)
    with alone(folder / LOCK_FILE, what="an approval is being written"):  # what two write at once, one would lose
        plan, report = read_plan(folder), read_report(folder)
        if guides or parts:
            of_guides = [chosen_guide(report, wanted, option="--guide") for wanted in dict.fromkeys(guides)]
            of_parts = [chosen_part(report, wanted, option="--part") for wanted in dict.fromkeys(parts)]
            report = None if report is None else report.but(guides=of_guides, parts=of_parts)
        return _add(folder, plan, report, role=role, name_code=name_code, note=note, same_person=same_person)


def _add(
    folder: Path, plan: PlanReport | None, report: BuildReport | None, *, role: str, name_code: str, note: str, same_person: bool
) -> dict[str, Any]:
    if report is not None and not made_in(report):
        report = None
    about = report if report is not None else plan
    if about is None:
        raise InputError(f"{folder.name}: there is no plan and no guide here to approve; plan or build first.")
    subject = subject_of(folder, plan=plan, report=report)
    record, found = read_record(folder), made_in(report)
    both = [] if record.broken else _in_both_roles(record, subject, role=role, name_code=name_code)  # a broken record tells nothing of persons
    open_ = () if report is None else unaccepted(report, found, planned=plan is not None)
    wrong = unfit(folder, plan=plan, report=report)
    if record.broken:
        wrong.append(f"the record of approvals is broken: {record.broken}; put the true file back, or plan, build and approve in another folder")
    if both and not same_person:
        other = next(name for name in ROLES if name != role)
        wrong.append(
            f"{name_code} approved the {both[0]} as {other}, so the {role} must be somebody else; "
            "if one person stands for both roles, add --same-person, which is recorded and shown"
        )
    if wrong:
        raise refusal(ApprovalError, "", wrong, besides=f"For a release also {way_on(open_)}." if open_ else "")
    said = {
        "sequence": len(record.entries) + 1,
        "case": about.case.id,
        "role": role,
        "name_code": name_code,
        "same_person": bool(both),
        "note": note,
        "time": _now(),
        "what": subject,
        "previous": record.entries[-1].hash if record.entries else START,
    }
    entry = Approval.model_validate({**said, "hash": hash_of(said)})
    entries = [*record.entries, entry]
    write_json(folder / APPROVALS_FILE, Approvals(schema_=1, count=len(entries), last=entry.hash, entries=entries).to_json())
    told = cautions_told([*(() if plan is None else plan.cautions), *(() if report is None else report.cautions)], found)
    stems = {section_of(one): [stem.to_json() for stem in one.stems] for one in found if isinstance(one, Guide) and one.stems}
    cautions = [caution.to_json() for caution in told]
    return {**entry.to_json(), "folder": str(folder), "cautions": cautions, "unaccepted": list(open_), "stems": stems}


def chosen_guide(report: BuildReport | None, wanted: str, *, option: str) -> Guide:
    """The guide of a report that is called `wanted` (NAME_BLADE or NAME_BLADE_VARIANT).

    Raises
    ------
    InputError
        Where there is none; the nearest name is given.
    """
    return _chosen([] if report is None else report.guides, wanted, option=option, kind="guide")


def chosen_part(report: BuildReport | None, wanted: str, *, option: str) -> BodyPart:
    """The part of a report that is called `wanted` (NAME_PRINTER).

    Raises
    ------
    InputError
        As `chosen_guide`.
    """
    return _chosen([] if report is None else report.parts, wanted, option=option, kind="part")


def chosen_made(report: BuildReport | None, wanted: str, *, option: str) -> Guide | BodyPart:
    """The guide or part of a report that is called `wanted`.

    Raises
    ------
    InputError
        As `chosen_guide`.
    """
    return _chosen(made_in(report), wanted, option=option, kind="guide or part" if report is not None and report.parts else "guide")


M = TypeVar("M", bound=Guide | BodyPart)


def _chosen(among: Sequence[M], wanted: str, *, option: str, kind: str) -> M:
    known = {**{stem_of(made): made for made in among}, **{section_of(made): made for made in among}}
    if wanted not in known:
        stems = [stem_of(made) for made in among]
        near = difflib.get_close_matches(wanted.removeprefix("guide ").removeprefix("part "), stems, n=1, cutoff=0.4)
        kinds = " and ".join(f"{one}s" for one in kind.split(" or "))
        hint = f"did you mean '{near[0]}'?" if near else f"the {kinds} are {', '.join(stems)}." if stems else f"there is no {kind} in the folder."
        raise InputError(f"{option} {wanted}: there is no {kind} of that name; {hint}")
    return known[wanted]


def _in_both_roles(record: Record, subject: Subject, *, role: str, name_code: str) -> list[str]:
    """The sections whose last word in the other role is this person's."""
    other = next(name for name in ROLES if name != role)
    return [name for name in subject if (last := last_word(record, other, name)) is not None and same_code(last.name_code, name_code)]


def _valid(role: str, name_code: str, note: str) -> None:
    if role not in ROLES:
        raise InputError(f"--role {role}: must be {' or '.join(ROLES)}.")
    if not NAME_CODE.fullmatch(name_code):
        raise InputError(
            "--name-code: must be a pseudonymous code of letters, digits and '-', at most 24, no more than 4 letters together, "
            "that holds a digit or is at most 4 letters, such as S-17 or AB; never a name or an address."
        )
    if len(note) > NOTE_LENGTH or not note.isprintable():
        raise InputError(f"--note: must be one line of at most {NOTE_LENGTH} characters.")


def _now() -> str:
    """The time in UTC; SOURCE_DATE_EPOCH where it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), tz=UTC) if epoch.isdigit() else datetime.now(tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _changed(section: Mapping[str, str], now: Mapping[str, str] | None) -> list[str]:
    """The labels of an approved section that are other now; all of them where the section is gone."""
    current = now or {}
    return sorted(label for label in section.keys() | current.keys() if section.get(label) != current.get(label))


def _entry_said(entry: Approval, subject: Subject, case: str) -> ApprovalEntry:
    here = {name: section for name, section in entry.what.items() if name in subject}
    changed = list(dict.fromkeys(label for name, section in here.items() for label in _changed(section, subject[name])))
    if entry.case != case:
        changed.insert(0, f"case: {entry.case}")
    return ApprovalEntry(
        sequence=entry.sequence,
        role=entry.role,
        name_code=entry.name_code,
        note=entry.note,
        time=entry.time,
        hash=entry.hash,
        same_person=entry.same_person,
        covers=list(entry.what),
        gone=[name for name in entry.what if name not in subject],
        status=OTHER_VERSION if changed or not here else APPROVED,
        changed=changed,
    )


def _change_said(label: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """One changed thing; where its label holds words, what it was and is."""
    return f"{label}: was {old.get(label, 'not told')}, is {new.get(label, 'not told')}" if label in PLAIN else label


def lacking(record: Record, subject: Subject, case: str, *, roles: Sequence[str] = ROLES) -> list[str]:
    """What the roles have not approved of these sections as they are now, one clause each."""
    found = []
    for role in roles:
        for name, section in subject.items():
            last = last_word(record, role, name)
            if last is None:
                found.append(f"the {role} has not approved the {name}")
                continue
            old = last.what[name]
            changed = _changed(old, section) if last.case == case else ["case"]
            if changed:
                first = sorted(changed, key=lambda label: label not in PLAIN)[:MENTIONED]  # what can be told in words
                more = f" and {len(changed) - MENTIONED} more" if len(changed) > MENTIONED else ""
                said = ", ".join(_change_said(label, old, section) for label in first)
                found.append(f"the {role} approved another version of the {name} (changed: {said}{more})")
    return found


def approvals_said(folder: Path, *, plan: PlanReport | None, report: BuildReport | None) -> ApprovalSaid:
    """What a report tells of the approvals beside it: each entry's status now, and what is missing for a release."""
    about = report if report is not None else plan
    case = "" if about is None else about.case.id
    subject, record = subject_of(folder, plan=plan, report=report), read_record(folder)
    if record.broken:
        return ApprovalSaid(broken=record.broken, entries=[], missing=["the record of approvals is broken"])
    entries = [_entry_said(entry, subject, case) for entry in record.entries]
    return ApprovalSaid(broken=None, entries=entries, missing=lacking(record, subject, case))
