"""`report.json` of a segmentation: what `segment` writes beside the surfaces of bones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from psi_cad.records.base import Count, Flag, Number, Point, Record, lately
from psi_cad.records.shared import CautionSaid

__all__ = ["CorrectionSaid", "FitSaid", "HoleSaid", "LoosePart", "MetalSaid", "SegmentationReport", "SegmentedSaid", "SegmentedScan"]


class HoleSaid(Record):
    """A hole through a bone."""

    number: Count = Field(description="as in pictures and on the surface")
    centre_mm: Point = Field(description="its middle")
    diameter_mm: Number = Field(description="greatest distance across")
    width_mm: Number = lately("across that")
    ball_mm: Number = lately("diameter of the largest ball that goes through")
    bone_around_mm: Number | None = lately("how thick the bone around it is; null where it is too thin to measure")
    thin_bone: Flag = lately("it lies in thin bone, which the scan may have torn", False)
    closed: Flag = lately("it was closed on request: no bone was measured there", False)


class CorrectionSaid(Record):
    """What a person corrected in the parting of bones."""

    kind: str = Field(description="cut-here, confirmed, join or keep-in")
    at_mm: Point = Field(description="where, as it was given; of a mask a place in it")
    bones: list[str] = lately("between which parts", list)
    area_mm2: Number = lately("of bone that was cut through, or of the seam that was joined")
    volumes_mm3: list[Number] = lately("of the parts on both sides, or of what was kept", list)
    text: str = lately("the same as a sentence", "")


class SegmentedScan(Record):
    """The scan that was segmented."""

    size: list[Count] = Field(description="of the image, in voxels")
    spacing_mm: list[Number] = Field(description="of its voxels")
    refuse_guide: str | None = Field(description="why it is too coarse for a guide")
    too_coarse: str | None = Field(description="why no surface of it has a known accuracy")


class FitSaid(Record):
    """How a surface was fitted to the scan."""

    blur_in_plane_mm: Number = Field(description="of the scan")
    own_blur_in_plane_mm: Number = Field(description="as this surface shows it")
    blur_along_k_mm: Number = Field(description="across the slices")
    cortex_hu: Number = Field(description="of dense cortex")
    half_way_hu: Number = Field(description="where an edge of thick bone is taken")
    thin_cortex_shift_median_mm: Number = Field(description="by which thin cortex was corrected")
    thin_cortex_shift_95_mm: Number = Field(description="the same, 95 %")
    noise_mm: Number = Field(description="of the surface, from the noise of the scan")
    scatter_mm: Number = Field(description="of single points about the surface")
    without_edge: Number = Field(description="share of the surface that shows no clear edge")
    unfolded_points: Count = Field(description="points that had folded over")


class SegmentedSaid(Record):
    """One bone of a scan."""

    name: str = Field(description="as it was asked for")
    label: Count = Field(description="its number in labels.nii.gz")
    volume_mm3: Number = Field(description="of the surface")
    area_mm2: Number = Field(description="of the surface")
    closed: Flag = Field(description="the surface has no open edge")
    triangles: Count = Field(description="of the surface")
    low_mm: Point = Field(description="least corner of its box")
    high_mm: Point = Field(description="greatest corner of its box")
    uncertainty_mm: Number | None = Field(description="one standard deviation of the surface; null where none is known")
    within_mm: Number | None = Field(description="95 % of the surface lies within this")
    no_accuracy: str | None = Field(description="why no accuracy is known")
    surface: FitSaid | None = Field(description="how it was fitted; null for a ready mask")
    holes: list[HoleSaid] = Field(description="through it")
    patched_faces: Count = Field(description="triangles that cover closed holes")
    rejected: Flag = Field(description="it is not to be used")
    cautions: list[CautionSaid] = Field(description="of this bone")
    notes: list[str] = Field(description="the cautions' sentences")


class MetalSaid(Record):
    """A piece of metal in the scan."""

    volume_mm3: Number = Field(description="its volume")
    centre_mm: Point = Field(description="its middle")
    low_mm: Point = Field(description="least corner of its box")
    high_mm: Point = Field(description="greatest corner of its box")


class LoosePart(Record):
    """A part of bone without a seed."""

    number: Count = Field(description="as in the picture of parts")
    point_mm: Point = Field(description="a place in it")
    cortex_mm3: Number = Field(description="of its dense bone")


class SegmentationReport(Record):
    """The bones of a scan."""

    psi_cad_segmentation: Literal[1] = Field(description="rises if the meaning of a key changes")
    version: str = Field(description="psi-cad's version")
    scan: SegmentedScan = Field(description="the scan")
    levels_hu: dict[str, Number] | None = Field(description="levels of tissue, HU; null for ready masks")
    bones: list[SegmentedSaid] = Field(description="one for each bone")
    metal: list[MetalSaid] = Field(description="in the scan")
    cautions: list[CautionSaid] = Field(description="of the whole scan")
    rejected: Flag = Field(description="the whole, or a bone of it, is not to be used")
    corrections: list[CorrectionSaid] = Field(description="what a person corrected in the parting")
    unnamed_parts: list[LoosePart] = Field(description="parts of bone without a seed")
    notes: list[str] = Field(description="sentences of the whole scan")
    files: dict[str, str] = Field(description="SHA-256 of each file beside it, by its name")
