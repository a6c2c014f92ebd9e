"""Who approved exactly what: a chain of entries in `approvals.json`, held against what lies in the folder now.

Every entry names the hash of the one before it and its own, so an entry that was edited or taken out shows. The file also
tells how many entries there are and the last one's hash, so that the last cannot be dropped unseen. It is a record, no
electronic signature: who may write the folder could write the whole record anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from psi_cad.errors import ApprovalError, InputError
from psi_cad.export.safely import alone, write_json
from psi_cad.run.subject import (
    PLAN,
    PLAN_FILE,
    REPORT_FILE,
    Subject,
    case_folder,
    case_folders,
    disagreement,
    hash_of,
    read_json,
    section_of,
    subject_of,
    unfit,
)

__all__ = ["APPROVALS_FILE", "ROLES", "Record", "approvals_said", "approve_folder", "check_approvals", "read_record", "refuse_early", "release_said"]

APPROVALS_FILE: Final = "approvals.json"
LOCK_FILE: Final = "approvals.lock"
ROLES: Final = ("surgeon", "engineer")
APPROVED: Final = "approved"
OTHER_VERSION: Final = "approved for another version"
START: Final = "0" * 64  # the hash before the first entry
# letters alone, or with a hyphen, are a name more often than a code
NAME_CODE: Final = re.compile(r"(?=.*[0-9]|[A-Za-z]{1,4}$)[A-Za-z0-9][A-Za-z0-9-]{0,23}", re.ASCII)
NOTE_LENGTH: Final = 500
MENTIONED: Final = 3  # changed things named in a message


@dataclass(frozen=True)
class Record:
    """The approvals of a case, oldest first, and what is wrong with their chain (None: nothing)."""

    entries: tuple[dict[str, Any], ...] = ()
    broken: str | None = None


def approve_folder(path: Path, *, role: str, name_code: str, note: str = "") -> dict[str, Any]:
    """Add an approval of everything that lies in a case's output folder, and return its entry.

    Raises
    ------
    InputError
        Where the role, the code or the note is none, or there is nothing to approve.
    BuildError
        Where another approval is being written and does not end.
    ApprovalError
        Where a plan or guide did not pass, a file is not the one that was reported, or the record is broken.
    """
    _valid(role, name_code, note)
    folder = case_folder(path)
    with alone(folder / LOCK_FILE, what="an approval is being written"):  # what two write at once, one would lose
        return _add(folder, role=role, name_code=name_code, note=note)


def _add(folder: Path, *, role: str, name_code: str, note: str) -> dict[str, Any]:
    plan, report = read_json(folder / PLAN_FILE), read_json(folder / REPORT_FILE)
    subject = subject_of(folder, plan=plan, report=report)
    unfit(folder, plan=plan, report=report)
    record = read_record(folder)
    if record.broken:
        raise ApprovalError(
            f"the record of approvals is broken: {record.broken}; put the true file back, or plan, build and approve in another folder."
        )
    entry: dict[str, Any] = {
        "sequence": len(record.entries) + 1,
        "case": str((report or plan or {})["case"]["id"]),
        "role": role,
        "name_code": name_code,
        "note": note,
        "time": _now(),
        "what": subject,
        "previous": record.entries[-1]["hash"] if record.entries else START,
    }
    entry["hash"] = hash_of(entry)
    entries = [*record.entries, entry]
    write_json(folder / APPROVALS_FILE, {"schema": 1, "count": len(entries), "last": entry["hash"], "entries": entries})
    return {**entry, "folder": str(folder)}


def _valid(role: str, name_code: str, note: str) -> None:
    if role not in ROLES:
        raise InputError(f"--role {role}: must be {' or '.join(ROLES)}.")
    if not NAME_CODE.fullmatch(name_code):
        raise InputError(
            "--name-code: must be a pseudonymous code of letters, digits and '-', at most 24, that holds a digit or is at most 4 letters, "
            "such as S-17 or AB; never a name or an address."
        )
    if len(note) > NOTE_LENGTH or not note.isprintable():
        raise InputError(f"--note: must be one line of at most {NOTE_LENGTH} characters.")


def _now() -> str:
    """The time in UTC; SOURCE_DATE_EPOCH where it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), tz=UTC) if epoch.isdigit() else datetime.now(tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_record(folder: Path) -> Record:
    """The approvals in a case's output folder; one that is broken says how."""
    path, told = folder / APPROVALS_FILE, _told(folder)
    if not path.exists():
        return Record(broken=f"{APPROVALS_FILE} is gone, though a report tells of approvals" if told else None)
    try:
        data = json.loads(path.read_text("utf-8"))
        entries = tuple(dict(entry) for entry in data["entries"])
        broken = _break(entries, int(data["count"]), str(data["last"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Record(broken="it cannot be read as a record of approvals")
    if broken is None and told - {entry["hash"] for entry in entries}:
        broken = "an approval that a report tells of is not in it"
    return Record(entries, broken)


def _told(folder: Path) -> set[str]:
    """The approvals (their hashes) that the reports in the folder tell of: these must be in the record."""
    found: set[str] = set()
    for name in (PLAN_FILE, REPORT_FILE):
        try:
            report = read_json(folder / name) or {}
            found |= {
                str(entry["hash"]) for key, part in (("approval", "entries"), ("release", "approvals")) for entry in report.get(key, {}).get(part, ())
            }
        except (InputError, KeyError, TypeError, AttributeError):
            continue  # that such a file is no report is told where it is read for its own sake
    return found


def _break(entries: Sequence[dict[str, Any]], count: int, last: str) -> str | None:
    """The first place where the chain does not hold."""
    before = START
    for number, entry in enumerate(entries, start=1):
        if not _well_formed(entry):
            return f"entry {number} is no approval"
        if hash_of({key: value for key, value in entry.items() if key != "hash"}) != entry["hash"]:
            return f"entry {number} was edited"
        if entry["previous"] != before or entry["sequence"] != number:
            return f"an entry before entry {number} was removed, added or moved"
        before = entry["hash"]
    if count != len(entries) or last != before:
        return f"it tells of {count} entries and holds {len(entries)}" if count != len(entries) else "its last entry is not the one it tells of"
    return None


def _well_formed(entry: Mapping[str, Any]) -> bool:
    text = ("case", "role", "name_code", "note", "time", "previous", "hash")
    sections = entry.get("what")
    return all(isinstance(entry.get(key), str) for key in text) and isinstance(sections, dict) and all(isinstance(s, dict) for s in sections.values())


def _changed(section: Mapping[str, str], now: Mapping[str, str] | None) -> list[str]:
    """The labels of an approved section that are other now; all of them where the section is gone."""
    current = now or {}
    return sorted(label for label in section.keys() | current.keys() if section.get(label) != current.get(label))


def _entry_said(entry: Mapping[str, Any], subject: Subject, case: str) -> dict[str, Any]:
    changed = list(dict.fromkeys(label for name, section in entry["what"].items() for label in _changed(section, subject.get(name))))
    if entry["case"] != case:
        changed.insert(0, f"case: {entry['case']}")
    known = {key: entry[key] for key in ("sequence", "role", "name_code", "note", "time", "hash")}
    return {**known, "covers": list(entry["what"]), "status": OTHER_VERSION if changed else APPROVED, "changed": changed}


def _last(record: Record, role: str, name: str) -> dict[str, Any] | None:
    """The last word of a role on a section."""
    return next((entry for entry in reversed(record.entries) if entry["role"] == role and name in entry["what"]), None)


def _lacking(record: Record, subject: Subject, case: str) -> list[str]:
    """What stands between these sections and a release, one clause each."""
    found = []
    for role in ROLES:
        for name, section in subject.items():
            last = _last(record, role, name)
            if last is None:
                found.append(f"the {role} has not approved the {name}")
                continue
            changed = _changed(last["what"][name], section) if last["case"] == case else ["case"]
            if changed:
                more = f" and {len(changed) - MENTIONED} more" if len(changed) > MENTIONED else ""
                found.append(f"the {role} approved another version of the {name} (changed: {', '.join(changed[:MENTIONED])}{more})")
    return found


def approvals_said(folder: Path, *, plan: Mapping[str, Any] | None, report: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a report tells of the approvals beside it: each entry's status now, and what is missing for a release.

    Raises
    ------
    InputError
    """
    case = str((report or plan or {})["case"]["id"])
    subject, record = subject_of(folder, plan=plan, report=report), read_record(folder)
    if record.broken:
        return {"broken": record.broken, "entries": [], "missing": ["the record of approvals is broken"]}
    entries = [_entry_said(entry, subject, case) for entry in record.entries]
    return {"broken": None, "entries": entries, "missing": _lacking(record, subject, case)}


def check_approvals(path: Path) -> list[dict[str, Any]]:
    """The approvals of every case below `path` as its files are now; `sound` is whether the record and a release still hold.

    Raises
    ------
    InputError
    """
    found = []
    for folder in case_folders(path):
        plan, report = read_json(folder / PLAN_FILE), read_json(folder / REPORT_FILE)
        said = approvals_said(folder, plan=plan, report=report)
        release = (report or {}).get("release", {})
        released = bool(release.get("released"))
        case = str((report or plan or {})["case"]["id"])
        if released and said["broken"] is None:  # it rests on what it names, as that lies here now
            subject = subject_of(folder, plan=plan, report=report)
            said["missing"] = _lacking(read_record(folder), {str(name): subject.get(str(name), {}) for name in release.get("sections", ())}, case)
        found.append({"case": case, "released": released, "sound": not (said["broken"] or (released and said["missing"])), **said})
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
        raise ApprovalError(f"{refused} the {' and the '.join(silent)} approved nothing there; build without --release, then 'psi-cad approve'.")
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
    plan, record = read_json(folder / PLAN_FILE), refuse_early(folder, case)
    if plan is not None and (other := disagreement(plan, report)):
        raise ApprovalError(f"{refused} the guides are not built from the plan beside them: {other}; plan, build and approve again.")
    subject = {**subject_of(folder, plan=plan, report=None), **subject_of(staging, plan=None, report=report)}
    lacking = _lacking(record, subject, case)
    if lacking:
        more = [f"{len(lacking) - MENTIONED} more"] if len(lacking) > MENTIONED else []
        raise ApprovalError(f"{refused} {', '.join([*lacking[:MENTIONED], *more])}.")
    relied = {entry["sequence"]: entry for name in subject for role in ROLES if (entry := _last(record, role, name)) is not None}
    valid = [{key: relied[number][key] for key in ("sequence", "role", "name_code", "time", "hash")} for number in sorted(relied)]
    notes = [] if PLAN in subject else ["no plan.json lies beside the guides: the approvals are of the guides and their inputs alone"]
    if len({entry["name_code"] for entry in valid}) < len(ROLES):
        notes.append("one name code approved in both roles")
    return {"released": True, "sections": list(subject), "approvals": valid, "notes": notes}
