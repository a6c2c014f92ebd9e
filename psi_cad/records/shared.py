"""What `report.json` and `plan.json` share: the case, its bones, checks, cautions, and who approved what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from psi_cad.findings import Caution
from psi_cad.records.base import Count, Flag, Number, Point, Record, at_times, lately

__all__ = ["ApprovalEntry", "ApprovalSaid", "CaseSaid", "CautionSaid", "CheckSaid", "Refused", "Software", "cautions_said"]

Role = Literal["surgeon", "engineer"]


class Software(Record):
    """What made a file; which of these there are depends on what was made."""

    psi_cad: str = lately("psi-cad's version", "not told")
    cadquery: str = at_times("version of the CAD library; only in report.json", "not told")
    kernel: str = at_times("version of the geometry kernel; only in report.json", "not told")
    python: str = at_times("Python's version; only in report.json", "not told")
    manifold3d: str = at_times("version of a mesh library; only in plan.json", "not told")
    trimesh: str = at_times("version of a mesh library; only in plan.json", "not told")


class CaseSaid(Record):
    """The case file."""

    id: str = Field(description="as in the case file")
    side: str = Field(description="left, right or midline, as in the case file")
    file: str = lately("the case file's name", "")
    sha256: str = Field(description="the case file's hash")
    settings: list[str] = lately("what --set changed, as given", list)


class CheckSaid(Record):
    """One number held against a limit."""

    id: str = Field(description="the check; where it is of one cut or trajectory, its name stands in […] or after _")
    value: Number = Field(description="what was measured; 1e9 or -1e9 where it could not be")
    unit: str = Field(description="the unit of value and limit")
    rule: Literal[">=", "<=", "==", "planned positive"] = Field(description="how value is to lie to limit; planned positive: there is no limit")
    limit: Number = Field(description="what is wanted")
    passed: Flag = Field(description="the result")
    note: str = lately("more, in words; may be empty", "")
    where: Point | None = lately("the place that decided, patient mm")


class CautionSaid(Record):
    """One thing that a person must know."""

    id: str = Field(description="the kind of caution")
    text: str = Field(description="one sentence")
    where: Point | None = lately("the place, patient mm")
    blocks_release: Flag = lately("a release must accept it by name", False)
    reason: str = at_times("why a segmentation is doubted; only of such a doubt", "")


def cautions_said(cautions: Iterable[Caution]) -> list[CautionSaid]:
    """Cautions as a report holds them, in this order."""
    return [CautionSaid.model_validate(caution.to_json()) for caution in cautions]


class Refused(Record):
    """A guide or part that was not made, and why."""

    error: str = Field(description="the kind of error")
    message: str = Field(description="one sentence")
    where: list[Number] | None = lately("the place, patient mm")
    remedies: list[str] = lately("settings of --set that mend it", list)
    errors: list[dict[str, str]] = lately("single mistakes, each with key and message", list)
    reason: str = lately("the kind of refusal; may be empty", "")
    guide: str = lately("the guide's name", "")
    blade: str = lately("the id of its blade or tool", "")
    part: str = at_times("the part's name; only of a part of a bone's body", "")


class ApprovalEntry(Record):
    """An approval as it stands to what lies in the folder now."""

    sequence: Count = Field(description="its number in approvals.json")
    role: Role = Field(description="who approved")
    name_code: str = Field(description="a pseudonymous code of the person")
    note: str = Field(description="one line; may be empty")
    time: str = Field(description="when, UTC")
    hash: str = Field(description="the entry's hash in approvals.json")
    same_person: Flag = lately("one person approved in both roles, and said so", False)
    covers: list[str] = lately("what was approved: plan, guide NAME_BLADE, part NAME_PRINTER", list)
    gone: list[str] = lately("what of that lies in the folder no more", list)
    status: Literal["approved", "approved for another version"] = Field(description="whether it is for what lies there now")
    changed: list[str] = lately("what has changed since", list)


class ApprovalSaid(Record):
    """Who approved what lies in the folder."""

    broken: str | None = lately("what is wrong with the record of approvals")
    entries: list[ApprovalEntry] = lately("the approvals, oldest first", list)
    missing: list[str] = lately("what a release still lacks", list)


Entry = dict[str, Any]
"""A catalogue's entry as it was used, with the keys of a catalogue: of a blade, a tool or a printer."""
