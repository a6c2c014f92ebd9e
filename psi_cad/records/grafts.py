"""Donors and grafts: in `report.json`, and as `psi-cad donors` tells them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from psi_cad.records.base import Count, Direction, Flag, Number, Point, Record, at_times
from psi_cad.records.bones import KeptClear, RepairSaid

__all__ = ["DonorFit", "DonorSaid", "DonorsRanked", "FaceMade", "FaceMet", "GraftSaid", "RankedDonor", "RefusedDonor"]


class DonorFit(Record):
    """How a donor's surface lies on the part of the patient's bone that the cuts are on."""

    start: Literal["landmarks", "axes"] = Field(description="what the fit started from")
    residual_mm: Number = Field(description="distance of that part from the donor, root mean square of its nearest 80 %")
    median_mm: Number = Field(description="of all of that part")
    p95_mm: Number = Field(description="95 % of that part lie within this")
    overlap: Number = Field(description="share of that part with the donor within 5 mm")
    uncertainty_mm: Number = Field(description="greatest distance, on that part, between fits that are about equally good")
    rival_share: Number = Field(description="misfit of the whole bones, as a share of that the other way round; 0 with landmarks")
    landmark_rms_mm: Number | None = Field(description="distance of the landmarks; null without")
    patient_from_donor: list[list[Number]] = Field(description="4 x 4 matrix, mm; with a mirror image in it where the donor is of the other side")


class DonorSaid(Record):
    """The donor of a case."""

    name: str = Field(description="as in the case")
    file: str = Field(description="its surface file")
    sha256: str = Field(description="that file's hash")
    side: str = Field(description="the side that it is of")
    bone: str | None = at_times("the patient's bone that it replaces; only with several bones")
    mirrored: Flag = Field(description="it is of the other side: its planes are carried over by a mirror image")
    fit: DonorFit = Field(description="how it lies on the patient's bone")
    triangles: Count = Field(description="of the surface after repair")
    extent_mm: list[Number] = Field(description="its size along x, y, z of its own frame")
    repairs: list[RepairSaid] = Field(description="what was mended")
    kept_clear_of: list[KeptClear] = Field(description="places where no guide may sit")
    used: str = at_times("the file of the repaired bone beside the guides, in the donor's frame", "")
    used_sha256: str = at_times("that file's hash", "")


class FaceMet(Record):
    """How graft and host meet at one cut, in the plane of the cut."""

    cut: str = Field(description="its name")
    covered: Number = Field(description="share of the host's face that the graft covers")
    overhang: Number = Field(description="share of the graft's face with no host behind it")
    step_median_mm: Number = Field(description="from the host's rim to the graft's, median")
    step_p95_mm: Number = Field(description="95 % of the host's rim lie within this of the graft's")
    step_max_mm: Number = Field(description="the greatest")
    step_rms_mm: Number = Field(description="root mean square")


class FaceMade(Record):
    """Where donor and graft are sawn for one cut: along its normal, from the planned plane, mm."""

    cut: str = Field(description="its name")
    origin: Point = Field(description="a point of the planned plane, patient mm")
    normal: Direction = Field(description="towards specimen and graft")
    kerf_side: Literal["centre", "specimen", "retained"] = Field(description="on which side of the plane the patient's kerf lies")
    patient_shift_mm: Number = Field(description="where the middle of the patient's kerf lies")
    fit_mm: Number = Field(description="how far the graft's face is to lie from the host's")
    patient_blade: str = Field(description="the blade that saws the patient there")
    patient_kerf_mm: Number = Field(description="how wide it cuts")
    donor_blade: str = Field(description="the blade that saws the donor there")
    donor_kerf_mm: Number = Field(description="how wide it cuts")
    shift_mm: Number = Field(description="where the donor is sawn: patient_shift_mm + fit_mm − (patient_kerf_mm + donor_kerf_mm) / 2")
    host_mm: Number = Field(description="where the host's face lies: patient_shift_mm − patient_kerf_mm / 2")
    face_mm: Number = Field(description="where the graft's face lies: shift_mm + donor_kerf_mm / 2")
    area_mm2: Number = Field(description="how large the graft's face is to be")
    met: FaceMet | None = Field(description="how the face in the graft's file meets the host's; null where the graft comes with another guide")


class GraftSaid(Record):
    """Of a guide on a donor's bone: the graft, and where it lies in the patient."""

    donor: str = Field(description="the donor's name")
    patient_from_donor: list[list[Number]] = Field(description="4 x 4 matrix, mm; this guide's files, planes and places are in the donor's frame")
    faces: list[FaceMade] = Field(description="each cut that bounds the graft")


class RankedDonor(Record):
    """One donor of a folder."""

    rank: Count = Field(description="1 is the best")
    file: str = Field(description="its file")
    side: str | None = Field(description="as its shape tells; null where that does not tell")
    mirrored: Flag = Field(description="it fits as a mirror image: it is of the other side")
    score_mm: Number = Field(description="step_rms_mm of all cuts, and half a millimetre for each percent of size_percent")
    step_rms_mm: Number = Field(description="from the host's rim to the donor's at the cuts, root mean square")
    size_percent: Number = Field(description="how much longer it is than the patient's bone, from the volumes")
    fit: DonorFit = Field(description="how it lies on the patient's bone")
    faces: list[FaceMet] = Field(description="each cut")


class RefusedDonor(Record):
    """A file that is no donor for this case."""

    file: str = Field(description="its name")
    reason: str = Field(description="why")


class DonorsRanked(Record):
    """What `psi-cad donors` tells."""

    case: str = Field(description="the case's id")
    bone: str | None = at_times("the patient's bone; only with several bones")
    donors: list[RankedDonor] = Field(description="the best first")
    refused: list[RefusedDonor] = Field(description="those that do not serve")
