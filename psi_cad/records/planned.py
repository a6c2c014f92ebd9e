"""What a guide's files are measured against: the planned numbers in its entry of `report.json`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from psi_cad.records.base import Count, Direction, Flag, Number, Pair, Point, Record, at_times, lately

__all__ = ["PlannedGuide", "PlannedSlot"]


class PlannedSlot(Record):
    """One slot: the planned plane, and what was promised."""

    name: str = Field(description="the cut")
    origin: Point = Field(description="of the planned plane, patient mm")
    normal: Direction = Field(description="of the planned plane, towards the specimen")
    thickness: Number = lately("of the blade, mm")
    clearance: Number = lately("play, mm; thickness, clearance and compensation make the slot's width")
    compensation: Number = lately("of the printer, mm")
    height: Number = Field(description="the blade is guided over it, mm")
    wall: Number = lately("mm")
    chord_low: Number = lately("where bone begins, mm along the slot from the cut's origin")
    chord_high: Number = lately("where bone ends, mm along the slot from the cut's origin")
    run_out: Number = lately("how far the slot runs past the bone, mm")
    joined: list[str] = lately("slots that it opens into", list)
    free_low: Flag = lately("the low end is free, not joined to another slot", True)
    stops: list[Count] = at_times("free ends (-1 low, 1 high) at another guide's cut, past which nothing is to be sawn; only where there are", list)
    opens: list[Pair] = at_times("ends (-1 low, 1 high) that are open, and how far along the slot it guides there; only where one is", list)
    ledge: Count = at_times("side of a cut's only wall, where it has no slot: 1 specimen, -1 bone that stays; only then", int)
    lined: str = at_times("id of the metal sleeve whose slot guides the blade; only where there is one", str)
    free_high: Flag = lately("the high end is free, not joined to another slot", True)
    room: Number = lately("the window that the swinging blade needs, mm")
    bridge: Number = lately("width of a bridge, mm")
    blade_length: Number = lately("usable length of the blade, mm")
    depth: Number = lately("deepest bone below the slot, mm")
    blade_width: Number = lately("mm")
    far: list[Pair] = lately("along the slot, and the far side of the bone along the blade, mm from the cut's origin", list)
    kerf: Number | None = lately("how wide the blade cuts, mm")
    shift: Number = lately("how far the slot is shifted from the planned plane, mm along its normal", 0.0)


class PlannedBore(Record):
    """One sleeve: the planned trajectory, its tool, and what was promised."""

    name: str = Field(description="the trajectory")
    entry: Point = Field(description="where it meets the bone, patient mm")
    out: Direction = Field(description="its direction out of the bone")
    depth: Number = Field(description="of the planned tip below the entry, mm")
    tool: str = Field(description="its id")
    tool_diameter: Number = Field(description="mm")
    tool_length: Number = Field(description="how much of the tool can stick out of its chuck, mm")
    clearance: Number = Field(description="mm; with compensation and the tool's diameter it makes the bore's")
    compensation: Number = Field(description="of the printer, mm")
    wall: Number = Field(description="of the sleeve, mm")
    guided: Number = Field(description="least length of bore that is whole all round, mm")
    stop: Number = Field(description="from the stop face to the planned tip, mm")


class PlannedAvoid(Record):
    """A structure that tools keep from."""

    name: str = Field(description="as in the case")
    distance: Number = Field(description="how far, mm")
    file: str = Field(description="its surface, beside the guide")
    sha256: str = Field(description="that file's hash")


class PlannedGuide(Record):
    """One guide as planned. `psi-cad check` reads these numbers again; they are promises, not measurements."""

    origin: Point = lately("of the guide frame, patient mm")
    axes: list[Direction] = lately("x, y and z axis of the guide frame, one a row", list)
    slots: list[PlannedSlot] = Field(description="one for each slot")
    planes: list[list[Point]] = lately("every cut of its bone where its blade runs: a point and a direction", list)
    outlines: list[list[Pair]] = lately("the footplates' outlines, mm, guide frame", list)
    gap: Number = lately("seat gap as built, mm")
    wire: Number = lately("diameter of the wires, mm")
    bore: Number = lately("diameter of their holes, mm")
    wire_depth: Number = lately("how far wires go into the bone, mm")
    wires: list[Point] = lately("x, y, depth of each wire, mm, guide frame", list)
    wire_top: Number = lately("height of a wire's sleeve, mm")
    pins: Count = lately("how many wires", 0)
    pin_clearance: Number = lately("distance kept from the cut planes, mm")
    edge_break: Number = lately("how much of an edge is broken, mm")
    build_volume: list[Number] = lately("of the printer, mm along x, y, z", list)
    minimum_wall: Number = lately("of the printer, mm")
    slope_limit: Number = lately("how steep contact may be, °")
    clearance_overridden: Flag = lately("as the case says", False)
    allow_sliding: Flag = lately("as the case says", False)
    voids: list[list[Pair]] = lately("where the footplates span bone that falls away, and do not rest, mm, guide frame", list)
    bores: list[PlannedBore] = at_times("one for each sleeve; only of a guide with sleeves", list)
    avoid: list[PlannedAvoid] = at_times("structures that tools or leaning wires keep from; only of a guide with these", list)
    tool_clearance: Number = at_times("between tools, and from tools to wires, mm; only of a guide with sleeves", 0.0)
    features: list[dict[str, Any]] = at_times("what else the template promised, guide frame; only where it did", list)
