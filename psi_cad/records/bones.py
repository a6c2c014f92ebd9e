"""The bones of a case, as `report.json` and `plan.json` tell of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from psi_cad.records.base import KIND, Count, Flag, LabelId, Number, Point, Record, at_times, lately
from psi_cad.records.segmentation import CorrectionSaid, HoleSaid
from psi_cad.records.shared import CautionSaid

__all__ = [
    "AllBones",
    "AnatomySaid",
    "Bone",
    "BoneInPlan",
    "BoneInReport",
    "BonePieces",
    "FlatEndSaid",
    "InPlan",
    "InReport",
    "KeptClear",
    "RepairSaid",
    "Retained",
    "ScannedBody",
    "SideCheck",
    "TumourAtBone",
    "one_or_all",
]


class RepairSaid(Record):
    """What was mended in a surface."""

    kind: str = Field(description="what")
    count: Count = Field(description="how many")
    size_mm: Number = Field(description="how large; mm² of debris")
    where: Point | None = lately("where, patient mm")
    bone: str = at_times("which bone; only where several are told of together", "")


class KeptClear(Record):
    """A ball that no guide reaches into, because the surface there is not measured bone."""

    kind: str = Field(description="filled hole, closed flat end, non-manifold edge, flat cap …")
    centre: Point = Field(description="its middle, patient mm")
    radius: Number = Field(description="mm")
    bone: str = at_times("which bone; only where several are told of together", "")


class ScannedBody(Record):
    """The body in the bone's scan, and where the bone lies in it."""

    middle_x_mm: Number | None = Field(description="the body's middle, patient x")
    width_mm: Number | None = Field(description="the body's width")
    why: str | None = lately("why the scan does not tell")
    bone_x_mm: Number = at_times("the bone's middle, patient x; only in side_check")
    side: str | None = at_times("on which side it lies; only in side_check")


class SideCheck(Record):
    """The case's side held against the bone's shape."""

    verdict: Literal["agrees", "not verified", "against", "mirrored"] = Field(description="what came of it")
    bone: str | None = lately("hip or femur, where the shape tells")
    side: str | None = lately("the side, where hand and look agree")
    hand: str | None = lately("the side that a bone of this shape belongs to")
    looks_to: str | None = lately("the side that it looks to, in the patient frame")
    turned_deg: Number | None = lately("how far the bone lies turned from upright, °")
    margin: Number = lately("how clearly the shape tells its hand: 0 to 1 of a hip bone, radii of the head of a femur", 0.0)
    symmetric: Flag = lately("the bone is its own mirror image, as bones of the midline are", False)
    evidence: str = lately("what was seen", "")
    where: Point | None = lately("the place of that, patient mm")
    scan: ScannedBody | None = lately("where the bone lies in the scanned body")
    confirmed: Flag = lately("the case says side_confirmed", False)


class FlatEndSaid(Record):
    """A flat end, where the scan was cropped."""

    middle: list[Number] = Field(description="its middle, patient mm")
    area_mm2: Number = Field(description="its area")


class AnatomySaid(Record):
    """The bone's size, as the case names it and as it was measured."""

    anatomy: str = Field(description="which bone it is, as the case says")
    length_mm: Number = Field(description="its length")
    volume_cm3: Number = Field(description="its volume")
    ends: list[FlatEndSaid] = lately("flat ends where the scan was cropped", list)


class ScanSaid(Record):
    """The CT of a bone."""

    spacing_mm: list[Number] = Field(description="of its voxels, along x, y, z of the image")
    notes: list[str] = lately("what was seen when it was read", list)
    cautions: list[CautionSaid] = lately("of the scan", list)
    refuse_guide: str | None = lately("why it is too coarse for a guide")
    forced: Flag = lately("it was read although it is too coarse", False)


class MaskSaid(Record):
    """The label map of a bone."""

    spacing_mm: list[Number] = Field(description="of its voxels")
    notes: list[str] = lately("what was seen when it was read", list)
    cautions: list[CautionSaid] = lately("of the mask", list)


class SegmentationSaid(Record):
    """How the bone was segmented: from the case's CT, or as the report beside a surface tells."""

    uncertainty_mm: Number | None = Field(description="one standard deviation of the surface; null where none is known")
    within_mm: Number | None = lately("95 % of the surface lies within this")
    levels_hu: dict[str, Number] | None = at_times("levels of tissue, HU; only with bone.ct")
    corrections: list[CorrectionSaid] = at_times("what the case file corrected in the parting; only with bone.ct", list)
    holes: list[HoleSaid] = at_times("holes through the bone; only with bone.ct", list)
    body: ScannedBody | None = at_times("the scanned body; only with bone.ct")
    notes: list[str] = at_times("sentences; only with bone.ct", list)
    cautions: list[CautionSaid] = lately("of the segmentation", list)


class Bone(Record):
    """One bone of a case."""

    name: str | None = at_times("as in the case; only with several bones")
    file: str = Field(description="the surface file; ct or labels where the bone is made from them")
    sha256: str = Field(description="hash of the surface file, or of what the bone is made from")
    label: LabelId = at_times("which label; only with bone.labels")
    mask: MaskSaid | None = at_times("the label map; only with bone.labels")
    scan: ScanSaid | None = at_times("the scan; only with bone.ct")
    forced_spacing: Flag = at_times("a guide is built although slices are more than 2.5 mm apart; only with bone.ct", False)
    segmentation: SegmentationSaid | None = at_times("only with bone.ct, or beside the report of psi-cad segment")
    side_check: SideCheck | None = lately("the case's side held against the shape")
    anatomy: AnatomySaid | None = lately("null where the case names no anatomy")
    cautions: list[CautionSaid] = lately("of side, anatomy and surface", list)
    triangles: Count = lately("of the surface after repair", 0)
    extent_mm: Point | None = lately("its size along x, y, z")
    repairs: list[RepairSaid] = lately("what was mended", list)
    kept_clear_of: list[KeptClear] = lately("places where no guide may sit", list)


class BoneInReport(Bone):
    """One bone, as a build used it."""

    used: str = Field(description="the file of the repaired bone beside the guides")
    used_sha256: str = Field(description="that file's hash")


class AllBones(Record):
    """Several bones of a case together."""

    names: list[str] = Field(description="their names")
    triangles: Count = Field(description="of all")
    repairs: list[RepairSaid] = lately("what was mended", list)
    kept_clear_of: list[KeptClear] = lately("places where no guide may sit", list)
    volume_mm3: Number = at_times("of all; only in plan.json")


class BonePieces(Record):
    """What of one bone comes out."""

    volume_mm3: Number = Field(description="without the kerf")
    pieces: Count = Field(description="how many")
    groups: list[str] = Field(description="from which groups of cuts")


class Retained(Record):
    """The bone that stays."""

    volume_mm3: Number = Field(description="without the kerf")
    pieces: Count = Field(description="how many")
    pieces_mm3: list[Number] = Field(description="the volume of each")


class TumourAtBone(Record):
    """The tumour, as it lies to one of several bones."""

    in_bone_mm3: Number = Field(description="tumour in the whole bone")
    left_in_retained_mm3: Number = Field(description="tumour in what stays of it")
    to_retained_mm: Number | None = Field(description="from the tumour to what stays of it, 0 if it lies in that")
    to_retained_at: Point | None = Field(description="the place on the bone, patient mm")


class BoneInPlan(Bone):
    """One bone, and what the cuts on it do where there are several."""

    volume_mm3: Number = lately("of the bone")
    cuts: list[str] = at_times("the cuts on it; only with several bones", list)
    margin_mm: Number | None = at_times("the least of its cuts, to the plane; only with several bones")
    margin_sawn_mm: Number | None = at_times("the least of its cuts, to the sawn face; only with several bones")
    margin_face_mm: Number | None = at_times("the least of its cuts, to the face; only with several bones")
    class_: Literal["R0", "R1", "R2"] | None = at_times("the worst of its cuts; only with several bones")
    specimen: BonePieces | None = at_times("what comes out of it; only with several bones")
    kerf_mm3: Number = at_times("of it that becomes dust; only with several bones")
    retained: Retained | None = at_times("what stays of it; only with several bones")
    tumour: TumourAtBone | None = at_times("the tumour as it lies to it; only with several bones")


def one_or_all(data: Any) -> str:
    """Whether a bone tells of one or of several together."""
    several = "names" in data if isinstance(data, dict) else isinstance(data, AllBones)
    return f"{KIND}all" if several else f"{KIND}one"


InReport = Annotated[Annotated[BoneInReport, Tag(f"{KIND}one")] | Annotated[AllBones, Tag(f"{KIND}all")], Discriminator(one_or_all)]
"""`bone` of report.json: the only bone, or of several what is told of all together."""
InPlan = Annotated[Annotated[BoneInPlan, Tag(f"{KIND}one")] | Annotated[AllBones, Tag(f"{KIND}all")], Discriminator(one_or_all)]
"""`bone` of plan.json."""
