"""`plan.json`: what the planned cuts do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from psi_cad.records.base import Count, Direction, Flag, LabelId, Number, Pair, Point, Record, at_times, lately
from psi_cad.records.bones import BoneInPlan, InPlan, Retained
from psi_cad.records.scans import TransformFrom
from psi_cad.records.shared import ApprovalSaid, CaseSaid, CautionSaid, CheckSaid, Entry, Software
from psi_cad.records.stems import PlannedStem

__all__ = [
    "AvoidSaid",
    "AwayAt",
    "CutSaid",
    "DepthAt",
    "MovedCut",
    "Optimised",
    "OtherBoneInPlane",
    "PlanReport",
    "SearchBounds",
    "SlotSaid",
    "SoftTumour",
    "Specimen",
    "StoppedCut",
    "TumourSaid",
]

Class = Literal["R0", "R1", "R2"]


class Closest(Record):
    """Where tumour and cut are closest."""

    tumour: Point = Field(description="on the tumour, patient mm")
    cut: Point = Field(description="on the cut, patient mm")


class OtherBoneInPlane(Record):
    """Bone in the plane of a cut that is not cut."""

    area_mm2: Number = Field(description="its section")
    at: Point = Field(description="a place in it, patient mm")


class CutSaid(Record):
    """One cut: the plane as planned, its kerf, its margins."""

    name: str = Field(description="as in the case")
    bone: str = at_times("the bone that it acts on; only with several bones", "")
    group: str = lately("cuts of a group together free one piece", "1")
    origin: Point = Field(description="patient mm")
    normal: Direction = Field(description="towards the specimen")
    specimen_side: str = lately("on which side of the cut the specimen lies, in words", "")
    planned_positive: Flag = lately("a declared R2 cut", False)
    kerf_side: Literal["centre", "specimen", "retained"] | None = lately("on which side of the plane the kerf lies")
    kerf_mm: Number | None = lately("the widest kerf")
    kerf_from_plane_mm: Pair | None = lately("where the kerf begins and ends, along the normal from the plane")
    kerf_blade: str | None = lately("the blade that saws it")
    kerf_measured: Flag | None = lately("whether its kerf is measured")
    margin_mm: Number | None = lately("from tumour to planned plane")
    margin_sawn_mm: Number | None = lately("from tumour to sawn face")
    class_: Class | None = lately("of the sawn face")
    margin_at: Closest | None = lately("the closest places, to the plane")
    margin_sawn_at: Closest | None = lately("the closest places, to the sawn face")
    margin_face_mm: Number | None = lately("from tumour to the cut's face")
    margin_through_bone_mm: Number | None = lately("the shortest way through bone")
    shortfall_mm: Number | None = lately("what it lacks of the wanted margin")
    area_by_class_mm2: dict[Class, Number] | None = lately("the sawn face, divided by class")
    area_mm2: Number = lately("section in the planned plane")
    sawn_area_mm2: Number = lately("face that the saw leaves on the specimen")
    depth_max_mm: Number | None = lately("deepest bone, for the worst of its slots")
    length_mm: Number = lately("of the cut")
    reachable: Number | None = lately("share of the face that a blade gets at, 0 to 1, for the worst of its slots")
    cut_short_by: list[str] = lately("cuts that it ends on", list)
    other_bone_in_plane: list[OtherBoneInPlane] = lately("bone in the same plane that is not cut", list)


class Specimen(Record):
    """What comes out."""

    volume_mm3: Number = Field(description="without the kerf")
    pieces: Count = Field(description="how many")
    groups: list[str] = lately("from which groups of cuts", list)
    cut_face_mm2: Number = lately("sections in the planned planes")
    sawn_face_mm2: Number = lately("faces that the saw leaves on the specimen")


class SoftTumour(Record):
    """Tumour in soft tissue beside bone that stays."""

    volume_mm3: Number = Field(description="its volume")
    at: Point = Field(description="a place in it, patient mm")


class TumourSaid(Record):
    """The tumour."""

    file: str = Field(description="its file; labels where it is made from a label map")
    sha256: str = Field(description="that file's hash")
    label: LabelId = at_times("which label; only with tumour.labels")
    volume_cm3: Number = at_times("of the surface; only with tumour.labels")
    mask_volume_cm3: Number = at_times("of the mask; only with tumour.labels")
    diameters_mm: Point | None = lately("greatest, and across that")
    registration: TransformFrom | None = at_times("where the transform comes from, as the registration's report has it; only with tumour.labels")
    segmentation: Entry | None = at_times("as the report of psi-cad segment beside the file tells")
    volume_mm3: Number = lately("its volume")
    in_bone_mm3: Number = lately("the part in bone")
    in_kerf_mm3: Number = lately("the part that the saw turns to dust")
    left_in_retained_mm3: Number = lately("the part in bone that stays")
    soft_beside_retained: list[SoftTumour] = lately("tumour in soft tissue beside bone that stays", list)


class DepthAt(Record):
    """The depth of bone at one place of a slot."""

    along_mm: Number = Field(description="along the slot from the cut's origin")
    depth_mm: Number = Field(description="bone below it")


class SlotSaid(Record):
    """One cut by one guide and blade."""

    guide: str = Field(description="the guide's name")
    cut: str = Field(description="the cut's name")
    blade: str = Field(description="the blade's id")
    blade_entry: Entry | None = lately("the blade as used")
    height_mm: Number | None = lately("guided height")
    kerf_mm: Number | None = lately("kerf")
    kerf_shift_mm: Number = lately("how far the slot is shifted along the normal", 0.0)
    direction: Direction | None = lately("of sawing: along the blade, into the bone")
    depth_max_mm: Number = lately("deepest bone below the slot")
    length_mm: Number = lately("of the bone along the slot")
    reach_mm: Number = lately("usable length less guided height and seat gap")
    spare_mm: Number = lately("reach_mm less depth_max_mm")
    reachable: Number = lately("share of the face that this blade gets at, 0 to 1")
    over_travel_near_mm: dict[str, Number | None] = lately("by structure: how near a blade pushed to its full length comes to it", dict)
    profile: list[DepthAt] = lately("the depth at 13 places", list)


class AwayAt(Record):
    """How near a cut's kerf comes to a structure."""

    cut: str = Field(description="which cut")
    distance_mm: Number = Field(description="how near")
    at: Point = Field(description="where on the structure, patient mm")


class AvoidSaid(Record):
    """A structure to avoid."""

    name: str = Field(description="as in the case")
    distance_wanted_mm: Number = Field(description="as in the case")
    cuts: list[AwayAt] = Field(description="one for each cut")


class SearchBounds(Record):
    """How far planes may go."""

    angle_deg: Number = Field(description="--max-angle, °")
    shift_mm: Number = Field(description="--max-shift")


class MovedCut(Record):
    """How a cut of a proposal was moved, and what that costs."""

    cut: str = Field(description="which")
    turned_deg: Number = Field(description="°")
    shifted_mm: Number = Field(description="along its new normal")
    stopped_by: str = Field(description="what stopped it")
    why: str = Field(description="the same in a sentence")
    length_change_mm: Number = Field(description="of the cut's length")
    area_change_mm2: Number = Field(description="of its section")


class StoppedCut(Record):
    """What stops a given plane."""

    cut: str = Field(description="which")
    stopped_by: str = Field(description="what")
    why: str = Field(description="the same in a sentence")


class Optimised(Record):
    """The search for better planes."""

    bounds: SearchBounds = Field(description="how far planes may go")
    margin_kept_mm: Number = at_times("what is kept to the sawn face")
    why: str = at_times("why there is no proposal; only without one", "")
    stopped: list[StoppedCut] = at_times("what stops the given planes; only without a proposal", list)
    moved: list[MovedCut] = at_times("how each cut was moved; only with a proposal", list)
    saved_mm3: Number = at_times("healthy bone saved; only with a proposal")
    saved_percent: Number = at_times("healthy bone saved, %; only with a proposal")


class PlanReport(Record):
    """What the planned cuts of a case do."""

    schema_: Literal[1] = Field(description="rises if the meaning of a key changes")
    kind: Literal["plan"] = lately("plan", "plan")
    software: Software | None = lately("what made the file")
    notice: str = lately("that this is no medical device", "")
    case: CaseSaid = Field(description="the case file")
    inputs: dict[str, str] = lately("SHA-256 of each file that the case names, by the key that names it", dict)
    bone: InPlan = Field(description="the bone, or of several what is told of all together")
    bones: list[BoneInPlan] = at_times("each bone; only with several", list)
    cuts: list[CutSaid] = Field(description="one for each cut")
    margin_mm: Number | None = lately("the least of all cuts, to the planes")
    margin_sawn_mm: Number | None = lately("the least of all cuts, to the sawn faces")
    margin_face_mm: Number | None = lately("the least of all cuts, to the cuts' faces")
    margin_through_bone_mm: Number | None = lately("the least of all cuts, through bone")
    class_: Class | None = lately("the worst class of all cuts")
    class_without_planned_positive: Class | None = lately("the same, without cuts that are declared positive")
    margin_wanted_mm: Number | None = lately("tumour.margin of the case")
    shortfall_mm: Number | None = lately("the most that a cut lacks of it, of the cuts that are not declared positive")
    specimen: Specimen = Field(description="what comes out")
    kerf_mm3: Number = lately("bone that becomes dust")
    healthy_removed_mm3: Number = lately("healthy bone lost: specimen and dust without the tumour in them")
    healthy_in_specimen_mm3: Number = lately("the specimen without the tumour in it")
    retained: Retained = Field(description="what stays")
    tumour: TumourSaid | None = lately("null without a tumour")
    slots: list[SlotSaid] = Field(description="one for each cut, guide and blade")
    avoid: list[AvoidSaid] = lately("structures to avoid", list)
    stems: list[PlannedStem] = at_times("each stem in the bone that stays; only where a guide is for one", list)
    checks: list[CheckSaid] = Field(description="of the plan")
    cautions: list[CautionSaid] = lately("of the case, its bone and the plan", list)
    notes: list[str] = lately("the cautions' sentences", list)
    status: Literal["passed", "failed"] = Field(description="whether all checks passed")
    optimised: Optimised | None = at_times("the search for better planes; only with --optimise")
    proposal: PlanReport | None = at_times("a plan of its own, of the better planes; only with --optimise")
    sha256: dict[str, str] = at_times("hashes by file name; only with -o", dict)
    files: dict[str, str] = at_times("files by what they are; only with -o", dict)
    approval: ApprovalSaid | None = at_times("who approved what lies in the folder; only with -o")
