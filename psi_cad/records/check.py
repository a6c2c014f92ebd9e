"""What `check OUT --json` tells: an output folder measured again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from psi_cad.records.base import Flag, Record, at_times, lately
from psi_cad.records.guide import MeasuredSeat, MeasuredSlot, OtherBone
from psi_cad.records.shared import ApprovalEntry, CautionSaid, CheckSaid, Refused
from psi_cad.records.stems import StemSaid

__all__ = ["CheckedCase", "CheckedFolder", "CheckedGuide", "CheckedPart", "ToldGuide", "ToldPart", "ToldReport"]


class CheckedGuide(Record):
    """One guide, measured again from its files."""

    case: str = Field(description="the case's id")
    name: str = Field(description="as in the report")
    blade: str = Field(description="as in the report")
    variant: str | None = Field(description="as in the report")
    changed_files: list[str] = Field(description="files that are missing, or not those that were built")
    slots: list[MeasuredSlot] = at_times("as in report.json; only where it could be measured", list)
    seat: MeasuredSeat | None = at_times("as in report.json; only where it could be measured")
    stems: list[StemSaid] = at_times("as in report.json, measured again; only of a guide for stems, where it could be measured", list)
    features: list[dict[str, Any]] = at_times("as in report.json; only where something else was promised, and could be measured", list)
    other_bones: list[OtherBone] = at_times("as in report.json; only with several bones, where it could be measured", list)
    checks: list[CheckSaid] = Field(description="what was measured, against its limits")
    status: Literal["passed", "failed", "rejected", "stale"] = Field(description="rejected, stale: as the report says, and not measured")
    why: str = at_times("why it was not measured; only then", "")


class CheckedPart(Record):
    """One part of a bone's body, measured again from its files."""

    case: str = Field(description="the case's id")
    name: str = Field(description="as in the report")
    printer: str = Field(description="as in the report")
    changed_files: list[str] = Field(description="files that are missing, or not those that were built")
    checks: list[CheckSaid] = Field(description="what was measured, against its limits")
    status: Literal["passed", "failed", "rejected", "stale"] = Field(description="rejected, stale: as the report says, and not measured")
    why: str = at_times("why it was not measured; only then", "")


class ToldGuide(Record):
    """What a report tells of one guide's cautions."""

    name: str = Field(description="as in the report")
    blade: str = Field(description="as in the report")
    variant: str | None = Field(description="as in the report")
    cautions: list[CautionSaid] = Field(description="of this guide")


class ToldPart(Record):
    """What a report tells of one part's cautions."""

    name: str = Field(description="as in the report")
    printer: str = Field(description="as in the report")
    cautions: list[CautionSaid] = Field(description="of this part")


class ToldReport(Record):
    """What a report was written with."""

    case: str = Field(description="the case's id")
    cautions: list[CautionSaid] = Field(description="of the case and its bone")
    guides: list[ToldGuide] = Field(description="one for each guide of the report")
    parts: list[ToldPart] = at_times("one for each part of a bone's body; only where there is one", list)
    refused: list[Refused] = Field(description="guides that were not made")


class CheckedCase(Record):
    """Who approved what of a case, and whether that still holds."""

    case: str = Field(description="the case's id")
    released: Flag = Field(description="of the last build")
    sound: Flag = Field(description="the record of approvals and every release hold")
    releases: list[str] = Field(description="the guides and parts that are released, as their sections are called")
    release_notes: list[str] = Field(description="what was noted of the releases")
    accepted: dict[str, list[str]] = Field(description="accepted cautions by guide and part")
    broken: str | None = Field(description="what is wrong with the record of approvals")
    entries: list[ApprovalEntry] = Field(description="the approvals, oldest first")
    missing: list[str] = Field(description="what a release still lacks")


class CheckedFolder(Record):
    """An output folder, measured again."""

    guides: list[CheckedGuide] = Field(description="every guide of every case")
    parts: list[CheckedPart] = at_times("every part of a bone's body; only where there is one", list)
    reports: list[ToldReport] = Field(description="what each report was written with")
    status: Literal["passed", "failed"] = Field(description="whether every guide passed and every release holds")
    approvals: list[CheckedCase] = Field(description="one for each case")
    case_file: Literal["not looked at"] = lately(
        "a folder does not tell where its case lies, so a change of the case file does not show here", "not looked at"
    )
