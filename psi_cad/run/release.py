"""What is released: guides whose cautions were accepted by name, and that surgeon and engineer approved exactly as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psi_cad.errors import ApprovalError
from psi_cad.run.acceptance import accept_options, ordered, unaccepted
from psi_cad.run.approval import MENTIONED, approvals_said, lacking
from psi_cad.run.record import ROLES, Record, last_word, one_person, read_record, standing_releases
from psi_cad.run.subject import PLAN, PLAN_FILE, REPORT_FILE, Subject, case_folders, disagreement, read_json, section_of, subject_of

__all__ = ["check_approvals", "earlier_releases", "refuse_early", "release_said"]


def check_approvals(path: Path) -> list[dict[str, Any]]:
    """The approvals of every case below `path` as its files are now; `sound` is whether the record and every release still hold.

    `accepted` names the cautions that were accepted, by guide; `releases` are the guides that are released.

    Raises
    ------
    InputError
    """
    found = []
    for folder in case_folders(path):
        plan, report = read_json(folder / PLAN_FILE), read_json(folder / REPORT_FILE)
        said = approvals_said(folder, plan=plan, report=report)
        case = str((report or plan or {})["case"]["id"])
        releases = standing_releases(report)
        if releases and said["broken"] is None:  # they rest on what they name, as that lies here now
            subject, record = subject_of(folder, plan=plan, report=report), read_record(folder)
            names = dict.fromkeys(str(name) for release in releases for name in release.get("sections", ()))
            said["missing"] = _wanting(record, {name: subject.get(name, {}) for name in names}, report or {}, case)
            if any(not [name for name in release.get("sections", ()) if name != PLAN] for release in releases):
                said["missing"].append("the report tells of a release and names no guide of it")
        found.append(
            {
                "case": case,
                "released": bool((report or {}).get("release", {}).get("released")),
                "sound": not (said["broken"] or (releases and said["missing"])),
                "releases": [name for release in releases for name in release.get("sections", ()) if name != PLAN],
                "release_notes": list(dict.fromkeys(str(note) for release in releases for note in release.get("notes", ()))),
                "accepted": {section_of(guide): list(guide.get("accepted", ())) for guide in (report or {}).get("guides", ())},
                **said,
            }
        )
    return found


def _wanting(record: Record, subject: Subject, report: Mapping[str, Any], case: str) -> list[str]:
    """All that stands between these sections and a release, one clause each."""
    found = lacking(record, subject, case)
    for name in subject:
        both = one_person(record, name)
        if both is not None and not both[1]:
            found.append(f"one person ({both[0]}) approved the {name} in both roles and nobody said --same-person")
    for guide in report.get("guides", ()):
        if section_of(guide) in subject and (open_ := unaccepted(report, [guide])):
            found.append(f"{', '.join(open_)} not accepted for the {section_of(guide)}")
    return found


def refuse_early(folder: Path, case: str) -> Record:
    """The record of a case that is to be released, unless it is broken or a role has approved nothing at all.

    Raises
    ------
    ApprovalError
    """
    record, refused = read_record(folder), f"'{case}' is not released:"
    if record.broken:
        raise ApprovalError(f"{refused} the record of approvals is broken: {record.broken}.")
    silent = [role for role in ROLES if all(entry["role"] != role for entry in record.entries)]
    if silent:
        raise ApprovalError(
            f"{refused} the {' and the '.join(silent)} approved nothing in this folder; build without --release, then 'psi-cad approve'."
        )
    return record


def release_said(folder: Path, staging: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """The release of guides that were just built in `staging`, if both roles approved exactly these, as they lie in `folder`.

    Raises
    ------
    ApprovalError
        Naming what is missing.
    """
    case = str(report["case"]["id"])
    refused = f"'{case}' is not released:"
    for guide in report["guides"]:
        if guide["status"] != "passed":
            raise ApprovalError(f"{refused} {section_of(guide)} is {guide['status']}.")
    open_ = unaccepted(report, report["guides"])
    if open_:
        whole = {*open_, *(str(name) for guide in report["guides"] for name in guide.get("accepted", ()))}  # to paste as it stands
        raise ApprovalError(
            f"{refused} {', '.join(open_)} {'is' if len(open_) == 1 else 'are'} not accepted; build with {accept_options(ordered(whole))}, "
            "let both roles approve it, and release it with the same options."
        )
    plan, record = read_json(folder / PLAN_FILE), refuse_early(folder, case)
    if plan is not None and (other := disagreement(plan, report)):
        raise ApprovalError(f"{refused} the guides are not built from the plan beside them: {other}, and have it approved.")
    subject = {**subject_of(folder, plan=plan, report=None), **subject_of(staging, plan=None, report=report)}
    missing = _wanting(record, subject, report, case)
    if missing:
        more = [f"{len(missing) - MENTIONED} more"] if len(missing) > MENTIONED else []
        raise ApprovalError(f"{refused} {', '.join([*missing[:MENTIONED], *more])}.")
    relied = {entry["sequence"]: entry for name in subject for role in ROLES if (entry := last_word(record, role, name)) is not None}
    keys = ("sequence", "role", "name_code", "time", "hash")
    valid = [{**{key: relied[number][key] for key in keys}, "same_person": relied[number].get("same_person") is True} for number in sorted(relied)]
    notes = [] if PLAN in subject else ["no plan.json lies beside the guides: the approvals are of the guides and their inputs alone"]
    for code in dict.fromkeys(both[0] for name in subject if (both := one_person(record, name)) is not None):
        notes.append(f"one person ({code}) approved in both roles")
    accepted = {section_of(guide): list(guide.get("accepted", ())) for guide in report["guides"]}
    return {"released": True, "sections": list(subject), "approvals": valid, "accepted": accepted, "notes": notes}


def earlier_releases(before: Mapping[str, Any] | None, kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The releases that an earlier report tells of, as far as their guides stay in the folder as they were."""
    names = {section_of(guide) for guide in kept if guide["status"] == "passed"}
    found = []
    for release in standing_releases(before):
        sections = [name for name in release.get("sections", ()) if name == PLAN or name in names]
        if any(name != PLAN for name in sections):
            found.append({**{key: value for key, value in release.items() if key != "earlier"}, "sections": sections})
    return found
