"""The reports that `register` and `tumour` write beside a transform and a tumour's surface."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from psi_cad.records.base import KIND, Count, Flag, Number, Point, Record
from psi_cad.records.shared import CautionSaid

__all__ = ["RegistrationChecks", "RegistrationReport", "RegistrationSaid", "TransformFrom", "TumourReport"]


class RegistrationChecks(Record):
    """What was measured of a registration."""

    starts: Count = Field(description="how many starts were climbed from")
    agreeing: Count = Field(description="how many of them ended at the result")
    spread_mm: Number = Field(description="greatest distance between those at a corner of the body's box")
    inverse_mm: Number = Field(description="greatest distance of a corner from itself after a registration there and an independent one back")
    rival_share: Number = Field(description="evidence of the best other place, as a share of that at the result; 0 where there is none")
    evidence_at_start: Number = Field(description="normalised mutual information, less 1, at the start")
    evidence: Number = Field(description="the same at the result")
    landmark_rms_mm: Number | None = Field(description="distance of the landmarks at the result")
    bone_edges_mm: Number | None = Field(description="how far blocks of the CT's bone lie off their place, median; null where it was not judged")
    bone_blocks: Count = Field(description="how many blocks were looked for")
    uncertainty_mm: Number = Field(description="what these leave open at the corners of the body's box")


class RegistrationSaid(Record):
    """Where one scan lies in the frame of another."""

    moving_from_fixed: list[list[Number]] = Field(description="4 x 4: takes points of the fixed scan to the moving one")
    frame: str = Field(description="LPS mm")
    centre_mm: Point = Field(description="the middle of the body on the fixed scan")
    moved_mm: Number = Field(description="from the start to the result, at that middle")
    turned_deg: Number = Field(description="from the start to the result, °")
    checks: RegistrationChecks = Field(description="what was measured")
    limits: dict[str, Number] = Field(description="what is refused, by the key of the check")
    notes: list[str] = Field(description="what a person must know")


class RegistrationReport(RegistrationSaid):
    """What `register` writes beside the transform."""

    schema_: Literal[1] = Field(description="rises if the meaning of a key changes")


class TransformFile(Record):
    """Where a transform from CT to MRI was read from."""

    file: str = Field(description="its name")
    sha256: str = Field(description="its hash")


def _from(data: Any) -> str:
    read = "file" in data if isinstance(data, dict) else isinstance(data, TransformFile)
    return f"{KIND}file" if read else f"{KIND}found"


TransformFrom = Annotated[Annotated[TransformFile, Tag(f"{KIND}file")] | Annotated[RegistrationSaid, Tag(f"{KIND}found")], Discriminator(_from)]
"""Where a transform comes from: a file, or a registration."""


class TumourReport(Record):
    """What `tumour` writes beside the surface."""

    schema_: Literal[1] = Field(description="rises if the meaning of a key changes")
    proposal: Flag = Field(description="no person has drawn the outline")
    frame: str = Field(description="which frame the surface lies in")
    volume_cm3: Number = Field(description="of the surface")
    mask_volume_cm3: Number = Field(description="of the mask")
    diameters_mm: Point = Field(description="greatest, and across that")
    diameter_axes: list[list[Number]] = Field(description="their directions, one a row")
    parts: Count = Field(description="how many separate pieces the surface has")
    level_mm: Number = Field(description="how far the surface was moved outward so that it holds the mask's volume")
    margin_mm: Number | None = Field(description="by which a second surface was grown")
    cautions: list[CautionSaid] = Field(description="of the outline")
    notes: list[str] = Field(description="the same as sentences")
