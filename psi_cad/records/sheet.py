"""The processing sheet of a case: what a print shop and a sterile supply have to know of each instrument, and what is open."""

from __future__ import annotations

from pydantic import Field

from psi_cad.records.base import Flag, Record, lately

__all__ = ["InstrumentSheet", "Sheet", "SheetPart"]


class SheetPart(Record):
    """A part that comes beside a guide."""

    name: str = Field(description="as its files end")
    label: list[str] = Field(description="what is engraved; empty: it is known by its picture")
    picture: str | None = Field(description="its picture beside the sheet")
    printed: Flag = Field(description="false: it shows what is sawn of bone, and goes to no printer")


class InstrumentSheet(Record):
    """One guide or part; a field that nobody has entered is null, and open on the sheet."""

    instrument: str = Field(description="guide or part, and its name with blade or printer, as its section is called")
    template: str = Field(description="as in the case")
    job: str = Field(description="hash of everything it is made from")
    status: str = Field(description="passed, rejected, stale, or changed: a file is not the one that was built")
    approved: Flag = Field(description="in both roles, as it is now")
    released: Flag = Field(description="of the last build")
    sound: Flag = Field(description="the record of approvals and every release of its case hold")
    tool: str | None = Field(description="the blade or tool that it is for; null where there is none")
    printer: str = Field(description="the id of its printer")
    process: str | None = Field(description="of the printer")
    material: str | None = Field(description="of the printer")
    calibrated: Flag = Field(description="somebody has measured a print of a gauge on it")
    gauge: str = Field(description="which gauge is to be printed with it")
    label: list[str] = Field(description="what is engraved")
    stems: list[str] = Field(description="of a guide for stems: the bone round each, its cup's tooth and angles, a line each")
    parts: list[SheetPart] = Field(description="what comes beside a guide")
    options: list[str] = Field(description="what it has beyond slots, seat and wires; metal sleeves that are to be pressed in")
    orientation: str | None = Field(description="how it lies in the printer")
    post_processing: str | None = Field(description="supports, curing, edges")
    washing: str | None = Field(description="the cleaning programme")
    packing: str | None = Field(description="how it is packed")
    sterilisation: str | None = Field(description="the sterilisation programme")
    cautions: list[str] = Field(description="the kinds of caution that a release has to accept by name")
    other_cautions: list[str] = Field(description="the other kinds of caution of it")
    files: dict[str, str] = Field(description="SHA-256 of each file, by its name")
    not_printed: list[str] = Field(description="those of the files that show what is sawn of bone, and go to no printer")


class Sheet(Record):
    """All instruments of a case."""

    notice: str = Field(description="that this is no medical device")
    case: str = Field(description="the case's id")
    side: str = Field(description="as in the case file")
    case_sha256: str = lately("of the case file as it was built; the sheet does not look whether it has changed since", "")
    instruments: list[InstrumentSheet] = Field(description="every guide and part in the folder")
