"""One guide of `report.json`: how it sits, what was measured of its files, and what was promised of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from psi_cad.records.base import Count, Direction, Flag, Number, Pair, Point, Record, at_times, lately
from psi_cad.records.grafts import GraftSaid
from psi_cad.records.parts import MadePart
from psi_cad.records.planned import PlannedGuide
from psi_cad.records.shared import CautionSaid, CheckSaid, Entry
from psi_cad.records.stems import StemSaid

__all__ = [
    "Guide",
    "LabelSaid",
    "MeasuredBore",
    "MeasuredFiles",
    "MeasuredSeat",
    "MeasuredSlot",
    "OtherBone",
    "PinSaid",
    "Remedy",
    "SeatingSaid",
    "TriedChange",
    "TriedSeat",
    "Way",
]

Hold = Literal["slide", "turn"]


class Way(Record):
    """A trajectory, as planned."""

    name: str = Field(description="as in the case")
    entry: Point = Field(description="where it meets the bone, patient mm")
    direction: Direction = Field(description="into the bone")
    depth_mm: Number = Field(description="of the planned tip below the entry")
    tool: Entry = Field(description="the catalogue entry as it was used")
    implant: Entry | None = at_times("the catalogue entry of the stem and cup that go there; only where it has one")


class TriedSeat(Record):
    """A way to sit that was tried."""

    footplate_reach_mm: Number = Field(description="how far the footplates reach")
    slope_limit_deg: Number = Field(description="how steep contact may be, °")
    sliding_lock: Number | None = Field(description="the lock it gave")
    left: str = Field(description="why it was left; empty where it was not")
    seating_axis: Direction | None = lately("its axis")


class SeatingSaid(Record):
    """How a guide sits."""

    tilt_from_approach_deg: Number = Field(description="between approach and seating axis, °")
    sliding_lock: Number | None = lately("how well the contact stops the guide from sliding, measured from the files; at least 0.12 is wanted")
    sliding_lock_planned: Number | None = lately("the same, as expected before the guide was built")
    weakest_kind: Hold | None = lately("slide or turn")
    weakest_direction: Direction | None = lately("the easiest slide, or the axis of the easiest turn")
    weakest_in_words: str = lately("the same in words", "")
    footplate_reach_mm: Number = lately("as built; more than the parameter where that locks the guide")
    slope_limit_deg: Number = lately("as built, °")
    tried: list[TriedSeat] = lately("the ways to sit that were tried, the one that was built among them; empty where the first was good", list)
    directions_searched: Count = lately("how many axes were tried", 0)
    fit_rms_mm: Number = lately("how closely the smooth seat follows the bone, root mean square")
    fit_max_mm: Number = lately("the same, at most")


class MeasuredSlot(Record):
    """What was measured of a slot; null where its sides were not found."""

    name: str = Field(description="the cut")
    width_mm: Number | None = lately("of the slot")
    length_mm: Number | None = lately("of the slot")
    height_min_mm: Number | None = lately("the least length over which both sides guide the blade")
    wall_min_mm: Number | None = lately("the thinnest wall beside it")
    blade_direction: Direction | None = lately("along the blade, out of the bone")
    plane_angle_deg: Number | None = lately("how far the slot is turned from where the blade is to run, °")
    plane_offset_mm: Number | None = lately("how far the slot lies from where the blade is to run")
    blade_needed_mm: Number | None = lately("from where the saw's hub stops to the far side of the bone")
    from_plan_mm: Number | None = lately("how far its middle lies from the planned plane, along the normal")
    windows_mm: list[Pair] = lately("where the slot is open: from, to, along the slot from the cut's origin", list)


class MeasuredBore(Record):
    """What was measured of a sleeve; null where the bore was not found."""

    name: str = Field(description="the trajectory")
    diameter_mm: Number | None = Field(description="of the bore")
    angle_deg: Number | None = Field(description="how far its axis is turned from the plan, °")
    entry_offset_mm: Number | None = Field(description="how far its axis passes the planned entry")
    guided_mm: Number | None = Field(description="length of bore that is whole all round")
    stop_mm: Number | None = Field(description="from the stop face to the planned tip")
    wall_min_mm: Number | None = lately("the thinnest wall there")


class MeasuredSeat(Record):
    """What was measured of the seat; null where it could not be."""

    rms_mm: Number | None = lately("distance from seat to bone less the gap, root mean square")
    max_mm: Number | None = lately("the same, greatest")
    gap_mm: Number | None = lately("mean distance from seat to bone")
    overlap_max_mm: Number | None = lately("how deep the guide reaches into bone")
    contact_area_mm2: Number | None = lately("of the part that rests on bone")
    sliding_lock: Number | None = lately("as in seating")
    weakest_kind: Hold | None = lately("as in seating")
    weakest_direction: Direction | None = lately("as in seating")
    weakest_in_words: str = lately("as in seating", "")
    contact_middle_mm: list[Number] = lately("the middle of the contact, patient mm", list)


class OtherBone(Record):
    """How a guide lies to a bone that it is not on, measured from the STL."""

    bone: str = Field(description="which")
    overlap_mm: Number = Field(description="how deep they reach into each other")
    pull_off_mm: Number = Field(description="how far the bone stands in the way along the seating axis")
    gap_mm: Number = Field(description="the least distance")
    closest: Point | None = Field(description="the place on the guide, patient mm")


class MeasuredFiles(Record):
    """All that was measured of one guide's files."""

    slots: list[MeasuredSlot] = Field(description="of its slots")
    bores: list[MeasuredBore] = at_times("of its sleeves; only of a guide with sleeves", list)
    features: list[dict[str, Any]] = at_times("of what else the template promised; only where it did", list)
    seat: MeasuredSeat = Field(description="of the seat")
    other_bones: list[OtherBone] = at_times("how it lies to each of the others; only with several bones", list)
    volume_mm3: Number | None = Field(description="of the solid in the STEP file")
    checks: list[CheckSaid] = Field(description="against their limits")
    status: Literal["passed", "rejected"] = Field(description="whether every check passed")

    @property
    def failed(self) -> list[CheckSaid]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]


class LabelSaid(Record):
    """The engraved letters."""

    lines: list[str] = Field(description="what is engraved")
    letter_height_mm: Number | None = Field(description="how high")
    on: str = lately("fence or tag: what the letters stand on", "")


class PinSaid(Record):
    """A hole for a K-wire."""

    name: str = Field(description="its name")
    centre_mm: Pair = Field(description="x, y in the guide frame")
    diameter_mm: Number = Field(description="of the hole")
    depth_mm: Number = lately("how far its lower end lies below the guide frame's origin")
    out: Direction = at_times("its direction out of the bone, guide frame; only of one that leans", list)


class TriedChange(Record):
    """A change that psi-cad tried for a rejected guide."""

    set_: list[str] = Field(description="arguments of --set")
    passed: Flag = Field(description="the result")
    why: str = Field(description="why it was tried")
    failed: str = lately("what still failed", "")


class Remedy(Record):
    """A change that passes."""

    set_: list[str] = Field(description="arguments of --set")
    passed: Flag = Field(description="true")
    why: str = Field(description="why it was tried")


class Guide(Record):
    """One guide for one blade."""

    name: str = Field(description="as in the case")
    job: str = lately("hash of everything the guide is made from", "")
    template: str = Field(description="as in the case")
    template_sha256: str | None = lately("hash of the template's file")
    blade: str = Field(description="the id of its blade; of a guide without cuts, of its first trajectory's tool")
    printer: str = lately("the id of its printer", "")
    variant: str | None = lately("the variant's name; null for the plain guide")
    variant_given: Flag = lately("--variant gave that name", False)
    settings: list[str] | None = lately("what --set changed of all that it is made from, in one spelling")
    differs: list[str] = lately("what differs from the plain guide", list)
    cuts: list[str] | None = lately("as in the case")
    trajectories: list[Way] = at_times("its trajectories, as planned; only of a guide with sleeves", list)
    slot_sleeve: dict[str, Any] | None = at_times("the metal sleeve for its slots, as the catalogue has it; only where there is one")
    holes: list[dict[str, Any]] = at_times("holes of a plate that its wires go into, as in the case; only where it has some", list)
    approach: list[Number] | None = lately("as in the case")
    seating_axis: Direction | None = lately("the guide is put on against it and comes off along it")
    print_up: Direction | None = lately("the way up in which the 3MF has it printed: the seat looks up, so that nothing stands on it")
    seating: SeatingSaid | None = lately("how it sits")
    files: dict[str, str] = Field(
        description="file names by kind: step, stl, 3mf, png; of a part beside it with -PART; a rejected guide has only step and png"
    )
    sha256: dict[str, str] = Field(description="hash of each of these files, by its name")
    slots: list[MeasuredSlot] = lately("what was measured of its slots", list)
    bores: list[MeasuredBore] = at_times("what was measured of its sleeves; only of a guide with sleeves", list)
    seat: MeasuredSeat | None = lately("what was measured of the seat")
    other_bones: list[OtherBone] = at_times("how it lies to each of the others; only with several bones", list)
    volume_mm3: Number | None = lately("of the solid in the STEP file")
    features: list[dict[str, Any]] = at_times("what else the template promised, and what was measured of it; only where it did", list)
    checks: list[CheckSaid] = Field(description="of this guide")
    status: Literal["passed", "rejected", "stale"] = Field(description="stale: something it was made from has changed since")
    label: LabelSaid | None = lately("the engraved letters")
    pins: list[PinSaid] = lately("holes for K-wires", list)
    params: dict[str, Any] | None = lately("every parameter of the template as used")
    blade_entry: Entry | None = lately("the blade's catalogue entry as it was used; null for a guide without cuts")
    printer_entry: Entry | None = lately("the printer's catalogue entry as it was used")
    cautions: list[CautionSaid] = lately("of this guide", list)
    notes: list[str] = lately("the cautions' sentences, and remarks of the template", list)
    overrides: list[str] = lately("binding parameters that were overridden", list)
    plan: PlannedGuide = Field(description="what it is measured against")
    parts: list[MadePart] = at_times("parts that come beside it; only where its template delivers some", list)
    bone: str | None = at_times("the bone that it is on; only with several bones")
    stems: list[StemSaid] = at_times("the stems, and the cups on them; only of a guide on the bone that the cuts leave", list)
    graft: GraftSaid | None = at_times("the graft, and where it lies in the patient; only of a guide on a donor's bone, whose frame is the donor's")
    tried: list[TriedChange] = at_times("changes that psi-cad tried; only for a rejected guide", list)
    remedies: list[Remedy] = at_times("those of tried that pass; only for a rejected guide", list)
    accepted: list[str] = lately("cautions of this guide, and of the case, that --accept named", list)
    kept: Flag = lately("an earlier build made it, and the last one left it as it was", False)

    @property
    def cuts_bone(self) -> bool:
        """Whether bone is cut through it; a guide of an earlier version, which did not tell, is one for cuts."""
        return self.cuts is None or bool(self.cuts)
