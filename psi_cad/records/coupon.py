"""`coupon.json`: the report of a part that sits on no bone, such as the gauge coupon."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from psi_cad.records.base import Number, Record, at_times
from psi_cad.records.parts import PartSaid
from psi_cad.records.shared import CautionSaid, CheckSaid, Entry, Software

__all__ = ["CouponLabel", "CouponReport", "FreePart"]


class CouponLabel(Record):
    """The engraved letters."""

    lines: list[str] = Field(description="what is engraved")
    letter_height_mm: Number = Field(description="how high")


class FreePart(PartSaid):
    """One of the parts."""

    features: list[str] = Field(description="the names of its features")
    status: Literal["passed", "rejected"] = Field(description="whether every check of it passed")


class CouponReport(Record):
    """What `coupon` writes beside the part, and `calibrate` reads."""

    schema_: Literal[1] = Field(description="rises if the meaning of a key changes")
    software: Software = Field(description="what made the file")
    notice: str = Field(description="that this is no medical device")
    template: str = Field(description="its name")
    template_sha256: str | None = Field(description="hash of the template's file")
    params: dict[str, Any] = Field(description="every parameter of the template as used")
    blade_entry: Entry = Field(description="the blade's catalogue entry as it was used")
    printer_entry: Entry = Field(description="the printer's catalogue entry as it was used")
    label: CouponLabel = Field(description="of the first part")
    features: list[dict[str, Any]] = Field(description="what was promised of the first part, and what was measured of it")
    volume_mm3: Number = Field(description="of the first part")
    checks: list[CheckSaid] = Field(description="of all parts")
    status: Literal["passed", "rejected"] = Field(description="whether every check passed")
    parts: list[FreePart] = Field(description="each part")
    files: dict[str, str] = Field(description="file names by kind: step, stl, 3mf, png, sheet, and step-NAME, stl-NAME of further parts")
    sha256: dict[str, str] = Field(description="hash of each of these files, by its name")
    cautions: list[CautionSaid] = at_times("what its template tells; only where it tells something", list)
    folder: str = at_times("where it lies; only as psi-cad coupon --json prints it", "")
