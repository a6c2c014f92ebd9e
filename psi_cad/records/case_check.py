"""What `check CASE --json` tells: what can be known of a case before it is built."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from psi_cad.records.base import KIND, Count, Direction, Number, Record, at_times
from psi_cad.records.bones import AllBones, Bone, one_or_all
from psi_cad.records.shared import CautionSaid, CheckSaid, Refused

__all__ = ["CaseCheck", "CutMet", "SeatFound"]

InCase = Annotated[Annotated[Bone, Tag(f"{KIND}one")] | Annotated[AllBones, Tag(f"{KIND}all")], Discriminator(one_or_all)]
"""`bone` of a checked case: the only bone, or of several what is told of all together."""


class CutMet(Record):
    """A planned cut as it meets its bone."""

    name: str = Field(description="as in the case")
    bone: str = at_times("the bone that it acts on; only with several bones", "")
    specimen_side: str = Field(description="on which side of the cut the specimen lies, in words")
    section_area_mm2: Number = Field(description="of the bone in its plane")
    cut_short_by: list[str] = Field(description="cuts that it ends on")
    other_bone_in_plane: Count = Field(description="how many other sections of bone lie in its plane")


class SeatFound(Record):
    """A guide for one blade, as far as it is known without a solid."""

    name: str = Field(description="the guide, as in the case")
    blade: str = Field(description="the id of its blade; of a guide without cuts, of its first trajectory's tool")
    printer: str = Field(description="the id of its printer")
    seating_axis: Direction = Field(description="the guide is put on against it and comes off along it")
    contact_area_mm2: Number = Field(description="of bone in reach")
    tilt_from_approach_deg: Number = Field(description="between approach and seating axis, °")
    sliding_lock: Number = Field(description="how well the contact is expected to stop the guide from sliding")
    fit_rms_mm: Number = Field(description="how closely the smooth seat follows the bone, root mean square")
    fit_max_mm: Number = Field(description="the same, at most")
    gap_mm: Number = Field(description="seat gap as it would be built")
    checks: list[CheckSaid] = Field(description="whether the blade gets through the bone, for each cut")
    cautions: list[CautionSaid] = Field(description="of this guide")


class CaseCheck(Record):
    """A case, checked without building."""

    case: str = Field(description="the case's id")
    picture: str | None = Field(description="the picture that --picture asked for")
    bone: InCase = Field(description="the bone, or of several what is told of all together")
    bones: list[Bone] = at_times("each bone; only with several", list)
    cuts: list[CutMet] = Field(description="one for each cut")
    guides: list[str] = Field(description="the names of all guides")
    parts: list[str] = at_times("the names of all parts of bones' bodies; only where the case asks for some", list)
    seats: list[SeatFound] = Field(description="one for each guide and blade that can sit")
    refused: list[Refused] = Field(description="guides that cannot sit, beside others that can")
    cautions: list[CautionSaid] = Field(description="of the case and its bone")
    status: Literal["passed", "failed"] = Field(description="whether every guide can sit and every blade reaches")
