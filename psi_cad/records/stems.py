"""Stems and cups in `report.json`, and the bones on which their guides sit."""

from __future__ import annotations

from pydantic import Field

from psi_cad.records.base import Count, Direction, Number, Pair, Point, Record, at_times
from psi_cad.records.shared import Entry

__all__ = ["CupSaid", "PlannedStem", "RetainedSaid", "SawnPlane", "StemSaid"]


class RetainedSaid(Record):
    """A bone as the cuts leave it: guides for stems sit on it, and are measured against it."""

    bone: str | None = at_times("its name; only with several bones")
    used: str = Field(description="its file beside the guides, patient mm")
    used_sha256: str = Field(description="that file's hash")


class SawnPlane(Record):
    """Where the bone was sawn."""

    point: Point = Field(description="a point of the sawn face, patient mm")
    normal: Direction = Field(description="out of the bone that stays")


class CupSaid(Record):
    """A cup on its stem; angles are radiographic, to the anterior pelvic plane, °."""

    index: Count | None = Field(
        description="its tooth, clockwise as one looks along the stem into the bone, from where it leans straight to the side; null: it turns freely"
    )
    axis: Direction = Field(description="out of its opening")
    centre: Point = Field(description="patient mm")
    inclination_deg: Number = Field(description="of the cup at that tooth")
    anteversion_deg: Number = Field(description="the same")
    wanted_inclination_deg: Number = Field(description="as asked for")
    wanted_anteversion_deg: Number = Field(description="the same")
    wanted_axis: Direction = Field(description="out of the opening of a cup with those angles")
    off_deg: Number = Field(description="between its axis and that of the wanted angles")
    off_limit_deg: Number = Field(description="as far as it may be")
    covered: Number = Field(description="share of its back with bone within 2 mm")
    in_bone_mm: Number = Field(description="how deep its back reaches into the bone that stays: so much has to be reamed")


class PlannedStem(Record):
    """A stem as planned, in the bone as the planned cuts leave it; `build` measures it again with the guide's own sleeve."""

    guide: str = Field(description="the guide for it")
    trajectory: str = Field(description="its name")
    implant: str = Field(description="its id in the catalogue")
    direction: Direction = Field(description="into the bone")
    depth_mm: Number = Field(description="of the reamed hole, below the sawn face")
    entry: Point | None = Field(description="where its axis leaves the sawn face, patient mm; null where it could not be measured")
    diameter_mm: Number | None = Field(description="of the hole; null likewise")
    in_bone_mm: Number | None = Field(description="how much of its axis lies in bone; null likewise")
    wall_mm: Number | None = Field(description="the least bone between the hole and the outside; below 0: broken through; null likewise")
    wall_wanted_mm: Number | None = Field(description="params.stem_wall: `build` refuses less; null likewise")
    wall_at: Point | None = Field(description="where the least is, patient mm; null likewise")
    why: str = Field(description="why it could not be measured; empty where it was")


class StemSaid(Record):
    """A stem in the bone that stays."""

    trajectory: str = Field(description="its name")
    implant: Entry = Field(description="the catalogue entry as it was used")
    entry: Point = Field(description="where its axis leaves the sawn face, patient mm")
    direction: Direction = Field(description="into the bone")
    hole_diameter_mm: Number = Field(description="of the wider of reamer and stem")
    hole_depth_mm: Number = Field(description="from the sawn face to the planned tip of the reamer")
    wall_mm: Number = Field(description="the least bone between the hole and the outside, less what the sleeve is astray; below 0: broken through")
    wall_wanted_mm: Number = Field(description="as much as is wanted")
    wall_at: Point = Field(description="where that is, patient mm")
    covered: Number = Field(description="share of the hole's wall that lies in bone")
    profile: list[Pair] = Field(description="depth below the sawn face, and the least bone round the hole there, mm")
    sawn: list[SawnPlane] = Field(description="where the bone was sawn: those faces are no outside")
    cup: CupSaid = Field(description="the cup")
    trial: str = Field(description="the part that shows the cup's place; empty: none")
    trial_in_bone_mm: Number | None = Field(description="how deep that part reaches into the bone that stays, measured from its STL; null without")
