"""The chain of approvals in `approvals.json`, read and held against what reports tell of it.

Every entry names the hash of the one before it and its own, so an entry that was edited or taken out shows. The file also
tells how many entries there are and the last one's hash, so that the last cannot be dropped unseen. It is a record, no
electronic signature: who may write the folder could write the whole record anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psi_cad.errors import InputError
from psi_cad.outputs.subject import hash_of, read_plan, read_report
from psi_cad.records.approvals import Approval, Approvals
from psi_cad.records.report import BuildReport, Release

__all__ = ["APPROVALS_FILE", "ROLES", "START", "Record", "last_word", "one_person", "read_record", "same_code", "standing_releases"]

APPROVALS_FILE: Final = "approvals.json"
ROLES: Final = ("surgeon", "engineer")
START: Final = "0" * 64  # the hash before the first entry


@dataclass(frozen=True)
class Record:
    """The approvals of a case, oldest first, and what is wrong with their chain (None: nothing)."""

    entries: tuple[Approval, ...] = ()
    broken: str | None = None


def read_record(folder: Path) -> Record:
    """The approvals in a case's output folder; one that is broken says how."""
    path, told = folder / APPROVALS_FILE, _told(folder)
    if not path.exists():
        return Record(broken=f"{APPROVALS_FILE} is gone, though a report tells of approvals" if told else None)
    try:
        data = json.loads(path.read_text("utf-8"))
        given = list(data["entries"])
        strange = next((number for number, entry in enumerate(given, start=1) if not _is_approval(entry)), None)
        if strange is not None:
            return Record(broken=f"entry {strange} is no approval")
        found = Approvals.model_validate(data)
    except (OSError, ValueError, KeyError, TypeError):  # a record that does not fit is a ValueError
        return Record(broken="it cannot be read as a record of approvals")
    broken = _break(found)
    if broken is None and told - {entry.hash for entry in found.entries}:
        broken = "an approval that a report tells of is not in it"
    return Record(tuple(found.entries), broken)


def _told(folder: Path) -> set[str]:
    """The approvals (their hashes) that the reports in the folder tell of: these must be in the record."""
    found: set[str] = set()
    try:
        plan = read_plan(folder)
        found |= {entry.hash for entry in (plan.approval.entries if plan is not None and plan.approval is not None else ())}
    except InputError:
        pass  # that such a file is no report is told where it is read for its own sake
    try:
        report = read_report(folder)
        found |= {entry.hash for entry in (report.approval.entries if report is not None and report.approval is not None else ())}
        found |= {entry.hash for release in standing_releases(report) for entry in release.approvals}
    except InputError:
        pass
    return found


def _is_approval(entry: Any) -> bool:
    try:
        Approval.model_validate(entry)
    except ValueError:
        return False
    return True


def _break(found: Approvals) -> str | None:
    """The first place where the chain does not hold."""
    before = START
    for number, entry in enumerate(found.entries, start=1):
        if hash_of({key: value for key, value in entry.to_json().items() if key != "hash"}) != entry.hash:
            return f"entry {number} was edited"
        if entry.previous != before or entry.sequence != number:
            return f"an entry before entry {number} was removed, added or moved"
        before = entry.hash
    if found.count != len(found.entries):
        return f"it tells of {found.count} entries and holds {len(found.entries)}"
    return "its last entry is not the one it tells of" if found.last != before else None


def last_word(record: Record, role: str, name: str) -> Approval | None:
    """The last word of a role on a section."""
    return next((entry for entry in reversed(record.entries) if entry.role == role and name in entry.what), None)


def same_code(one: str, two: str) -> bool:
    """Whether two name codes are one person's: S-17 and s017 are, S-17 and S-170 are not.

    >>> same_code("S-17", "s017"), same_code("S-17", "S-170"), same_code("S-107", "S-17")
    (True, False, False)
    """
    return _bare(one) == _bare(two)


def _bare(code: str) -> str:
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", code.replace("-", "").casefold())  # zeros before a number say nothing


def one_person(record: Record, name: str) -> tuple[str, bool] | None:
    """The code of the person whose word is the last of both roles on a section, and whether `--same-person` said so; None for two people."""
    words = [last_word(record, role, name) for role in ROLES]
    one, two = words
    if one is None or two is None or not same_code(one.name_code, two.name_code):
        return None
    later = max(one, two, key=lambda entry: entry.sequence)
    return later.name_code, later.same_person


def standing_releases(report: BuildReport | None) -> list[Release]:
    """The releases that a report tells of: that of its own run, and earlier ones of guides that lie there still."""
    release = None if report is None else report.release
    return [] if release is None else [*([release] if release.released else []), *release.earlier]
