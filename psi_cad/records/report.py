"""`report.json`: what `build` made."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from psi_cad.records.base import Count, Flag, Record, at_times, lately
from psi_cad.records.bones import BoneInReport, InReport
from psi_cad.records.grafts import DonorSaid
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.shared import ApprovalSaid, CaseSaid, CautionSaid, Refused, Role, Software
from psi_cad.records.stems import RetainedSaid

__all__ = ["BuildReport", "Release", "ReliedOn"]


class ReliedOn(Record):
    """An approval that a release rests on."""

    sequence: Count = Field(description="its number in approvals.json")
    role: Role = Field(description="who approved")
    name_code: str = Field(description="a pseudonymous code of the person")
    time: str = Field(description="when, UTC")
    hash: str = Field(description="the entry's hash in approvals.json")
    same_person: Flag = lately("one person approved in both roles, and said so", False)


class Release(Record):
    """What is released."""

    released: Flag = Field(description="of the last build")
    sections: list[str] = at_times("what is released: plan, guide NAME_BLADE, part NAME_PRINTER; only where something is", list)
    approvals: list[ReliedOn] = at_times("the approvals that it rests on; only where something is released", list)
    accepted: dict[str, list[str]] = at_times("accepted cautions by guide and part; only where something is released", dict)
    notes: list[str] = at_times("such as: one person in both roles; only where something is released", list)
    earlier: list[Release] = at_times("releases of earlier builds that still stand; only where there are some", list)


class BuildReport(Record):
    """Every guide and part in a case's output folder, also those of earlier builds."""

    schema_: Literal[1] = Field(description="rises if the meaning of a key changes")
    software: Software | None = lately("what made the file")
    notice: str = lately("that this is no medical device", "")
    case: CaseSaid = Field(description="the case file")
    inputs: dict[str, str] = lately("SHA-256 of each file that the case names, by the key that names it", dict)
    bone: InReport = Field(description="the bone, or of several what is told of all together")
    bones: list[BoneInReport] = at_times("each bone; only with several", list)
    cautions: list[CautionSaid] = lately("of the case and its bone", list)
    donor: DonorSaid | None = at_times("the donor's bone; only where a guide on it was asked for")
    retained: list[RetainedSaid] = at_times("the bones as the cuts leave them; only where a guide on them was asked for", list)
    guides: list[Guide] = Field(description="every guide in the folder")
    parts: list[BodyPart] = at_times("every part of a bone's body in the folder; only where there is one", list)
    refused: list[Refused] = lately("guides that were not made, beside others that were", list)
    status: Literal["passed", "rejected"] = lately("of the last build", "rejected")
    accepted: list[str] = lately("cautions of the case that --accept named", list)
    unaccepted: list[str] = lately("cautions that still block a release", list)
    release: Release | None = lately("what is released")
    approval: ApprovalSaid | None = lately("who approved what lies in the folder")
