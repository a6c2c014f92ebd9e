"""Parts in `report.json`: those beside a guide, and those made of a bone's body."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from psi_cad.records.base import Flag, Number, Record, at_times, lately
from psi_cad.records.shared import CautionSaid, CheckSaid, Entry

__all__ = ["BodyPart", "MadePart", "PartSaid"]


class PartSaid(Record):
    """What is said of any part."""

    name: str = Field(description="its files end with it; empty for the first or only one")
    kind: Literal["solid", "mesh"] = Field(description="a mesh has no STEP")
    no_step: str = at_times("why there is no STEP; only of a mesh", "")
    files: list[str] = Field(description="its STEP and STL; of a rejected one what is left")
    volume_mm3: Number = Field(description="of the STEP; of a mesh, of the STL")
    label: list[str] = Field(description="what is engraved")


class MadePart(PartSaid):
    """One part, and what was measured of its files."""

    features: list[dict[str, Any]] = Field(description="what was promised, and what was measured of it")
    status: Literal["passed", "rejected"] = Field(description="whether every check of it passed")
    printed: Flag = at_times("false: it is sawn of bone, and no printer has to hold it; only then", True)
    print_up: list[Number] = at_times("the way up in which the 3MF has it printed, in the frame of its files; only where it is turned", list)


class BodyPart(Record):
    """What a template made of a bone's body: one or several parts, all or none under clean names."""

    name: str = Field(description="as in the case")
    job: str = lately("hash of everything the part is made from", "")
    template: str = Field(description="as in the case")
    template_sha256: str | None = Field(description="hash of the template's file")
    printer: str = Field(description="the id of its printer")
    bone: str | None = at_times("the bone that it is made of; only with several bones")
    cuts: list[str] = Field(description="the planned cuts on that bone")
    params: dict[str, Any] = Field(description="every parameter of the template as used")
    printer_entry: Entry = Field(description="the printer's catalogue entry as it was used")
    files: dict[str, str] = Field(description="file names by kind: step, stl, 3mf, png, and step-NAME, stl-NAME of further parts")
    sha256: dict[str, str] = Field(description="hash of each of these files, by its name")
    parts: list[MadePart] = Field(description="each part")
    checks: list[CheckSaid] = Field(description="of all its parts")
    status: Literal["passed", "rejected", "stale"] = Field(description="stale: something it was made from has changed since")
    cautions: list[CautionSaid] = lately("of this part", list)
    notes: list[str] = lately("remarks of the template", list)
    accepted: list[str] = lately("cautions of this part, and of the case, that --accept named", list)
    kept: Flag = lately("an earlier build made it, and the last one left it as it was", False)
