"""Osteotomy guide: a saw slot between two fences on footplates that follow the bone, pinned by K-wires.

Purpose
    Guides an oscillating saw along one or several planned planes. Every slot is as wide as the blade plus its
    clearance, as long as the bone under it plus run-out (or as the blade needs to swing), and guides the blade over
    `height` everywhere along it.
Datum
    The guide frame: z is the seating axis (the direction the guide is pulled off), x lies along the first slot, the
    origin amid the cuts. The bone side is the seat patch, raised by the seat gap.
Limits
    Cuts of one guide lie on one bone and can be sawn from one side. The guide is exact against the plan and the seat
    patch; how well the patch follows the bone is measured and reported. Not validated clinically.
Source
    Binding values (10 mm guided height, 2 mm walls, clearance 0.1-0.2 mm) from the series of pelvic resections that
    psi-cad follows; sleeve size from a published pelvic guide (outer 6 mm, bore 2.1 mm).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from psi_cad.brep import bodies, checked, label, relief
from psi_cad.errors import DesignError
from psi_cad.frames import Frame
from psi_cad.guides.contract import Design, Label, PinFeature, SlotFeature, Workshop
from psi_cad.guides.labelling import LabelPatch, place_label, sides_of
from psi_cad.guides.params import GuideParams, param
from psi_cad.guides.site import Site
from psi_cad.guides.slots import SlotPlan, plan_slots
from psi_cad.planning.access import outlines
from psi_cad.planning.pins import Pin, place_pins
from psi_cad.units import Mm

if TYPE_CHECKING:
    import cadquery as cq

PAD = 0.6  # how far the label's pad stands proud; letters are cut less deep, so the wall behind keeps its thickness
ENGRAVED = 0.5
BLADE_HERE = "\0"  # stands for the blade in a label whose place is shared by blades with ids of one length
STEP_UP = 0.5  # between the tops of fences that meet, so that no two curved faces coincide


@dataclass(frozen=True, kw_only=True)
class Params(GuideParams):
    """Parameters of the osteotomy guide; the defaults are the binding values."""

    clearance: float = param(0.15, unit="mm", low=0.10, high=0.20, help="added to the blade's thickness to give the slot's width")
    clearance_override: bool = param(False, unit="", help="allow a clearance outside 0.10–0.20; the report shows it")
    wall: float = param(2.0, unit="mm", low=2.0, high=5.0, help="least thickness of the fence on each side of the slot")
    height: float = param(10.0, unit="mm", low=10.0, high=20.0, help="length over which the blade is guided")
    end_wall: float = param(3.0, unit="mm", low=2.0, high=8.0, help="material that closes a slot's end")
    footplate_thickness: float = param(3.0, unit="mm", low=2.5, high=6.0, help="thickness along the bone's normal")
    edge_break: float = param(0.6, unit="mm", low=0.2, high=1.0, help="how far outer edges are taken down")
    pins: int = param(4, unit="", low=3, high=6, help="fixation wires wanted; at least three are placed")
    wire_diameter: float = param(2.0, unit="mm", low=1.0, high=4.0, help="K-wire")
    wire_clearance: float = param(0.1, unit="mm", low=0.05, high=0.3, help="added to the wire's diameter to give the bore")
    sleeve_wall: float = param(1.95, unit="mm", low=1.2, high=4.0, help="wall of a wire's sleeve")
    sleeve_height: float = param(10.0, unit="mm", low=6.0, high=20.0, help="height of a sleeve above the seat")
    wire_depth: float = param(
        40.0, unit="mm", low=10.0, high=80.0, help="greatest depth of a wire; over it, or to just past the bone, it clears the cuts"
    )
    pin_clearance: float = param(3.0, unit="mm", low=1.0, high=15.0, help="least distance from a wire's surface to any cut plane")
    bridge_over: float = param(80.0, unit="mm", low=30.0, high=200.0, help="a slot longer than this is crossed by a bridge")
    bridge_width: float = param(4.0, unit="mm", low=2.0, high=10.0, help="width of a bridge along the slot")

    @classmethod
    def override_key(cls) -> dict[str, str]:
        """Only the clearance may leave its range, and only when told so."""
        return {"clearance": "clearance_override"}


def build(site: Site, params: Params, workshop: Workshop) -> Design:
    """The guide: a body that blades of one class share, then slots and letters."""
    width = site.slot_width(params.clearance)
    if width <= 0.1:
        raise DesignError(f"The slot would be {width:.2f} mm wide; check the blade's thickness and the printer's slot_compensation.")
    plans = plan_slots(
        site,
        width=width,
        wall=params.wall,
        end_wall=params.end_wall,
        run_out=params.run_out,
        height=params.height,
        bridge_over=params.bridge_over,
        bridge_width=params.bridge_width,
    )
    plates = workshop.once("plates", lambda: _footprints(site, plans))
    pins = workshop.once("pins", lambda: _pins(site, params, plates))
    key = ("body", tuple((p.half_width, p.fence_low, p.fence_high) for p in plans), len(site.blade.id))
    body, patches = workshop.once(key, lambda: _body(site, params, plans, plates, pins))
    tools = [tool for plan in plans for tool in _slot_tools(site, plan)]
    tools += relief.corner_reliefs(plans, wall=params.wall)
    solid = checked.cut("slots", body, *tools)
    lines: list[str] = []
    texts = []
    for patch in patches:
        told = tuple(line.replace(BLADE_HERE, site.blade.id) for line in patch.lines)
        lines += told
        shape = label.text_shape(told, height=patch.letter_height, condensed=patch.condensed)
        texts.append((_proud(patch), shape))
    if texts:
        solid = label.engraved("label", solid, texts, depth=ENGRAVED)
    bore = params.wire_diameter + params.wire_clearance + site.printer.hole_compensation
    return Design(
        solid=solid,
        outlines=tuple(np.asarray(plate.exterior.coords) for plate in plates),
        slots=tuple(
            SlotFeature(plan.cut.name, width, params.height, params.wall, plan.windows, tuple(site.cuts[n].name for n, _ in plan.cut.neighbours))
            for plan in plans
        ),
        pins=tuple(PinFeature(f"pin {n}", pin.centre, bore, params.wire_diameter, pin.depth) for n, pin in enumerate(pins, start=1)),
        label=Label(
            tuple(lines),
            patches[0].letter_height if patches else 0.0,
            faces=tuple((_proud(patch), patch.width) for patch in patches),
        ),
        cautions=tuple(caution for plan in plans for caution in plan.cautions),
        overrides=("clearance",) if not 0.10 <= params.clearance <= 0.20 else (),
    )


def _footprints(site: Site, plans: list[SlotPlan]) -> list[shapely.Polygon]:
    """Outlines of the footplates: accessible bone that a fence stands on."""
    found = []
    for outline in outlines(site.field, site.field.contact, rounding=2.0 + 0.35 * site.attempt):
        if any(outline.intersection(plan.footprint(site)).area > 8.0 for plan in plans):
            found.append(outline)
    if not found:
        raise DesignError(
            "No footplate reaches the fence: the bone at the cut is too narrow or too steep; raise slope_limit or give another approach.",
            where=plans[0].cut.origin,
            reason="contact",
        )
    return found


def _pins(site: Site, params: Params, plates: list[shapely.Polygon]) -> list[Pin]:
    radius = params.wire_diameter / 2.0
    sleeve = (params.wire_diameter + params.wire_clearance) / 2.0 + params.sleeve_wall
    points = site.field.points
    return place_pins(
        site.field,
        site.seat.patch(points),
        site.seat.patch.steepness(points),
        shapely.union_all(plates),
        site.planes,
        wanted=params.pins,
        radius=radius,
        sleeve_radius=sleeve,
        keep_off=SlotPlan.outer_half(site.slot_width(params.clearance), params.wall) + sleeve + PAD + 0.2,
        clearance=params.pin_clearance,
        depth=params.wire_depth,
        top=params.sleeve_height,
    )


def _body(site: Site, params: Params, plans: list[SlotPlan], plates: list[shapely.Polygon], pins: list[Pin]) -> tuple[cq.Solid, list[LabelPatch]]:
    """Footplates, fences, sleeves and label pads as one solid on the seat, with the wires' holes; no slots yet."""
    seat = site.seat.patch
    shells = [
        bodies.footplate(seat, outline, thickness=params.footplate_thickness, edge_break=params.edge_break, step=f"footplate {n}")
        for n, outline in enumerate(plates, start=1)
    ]
    fences = []
    raised = _stepped_heights(site, plans, params.height)
    for plan, height in zip(plans, raised, strict=True):
        fences.append(
            bodies.fence(
                seat,
                plan.slab(corner=params.edge_break),
                height=height,
                inner=plan.half_width - params.wall,
                edge_break=params.edge_break,
                free_ends=plan.free_ends,
                step=f"fence {plan.cut.name}",
            )
        )
    sleeves, holes = [], []
    for pin in pins:
        level = float(seat(np.array([pin.centre]))[0])
        outer = params.wire_diameter + params.wire_clearance + 2.0 * params.sleeve_wall
        bore = params.wire_diameter + params.wire_clearance + site.printer.hole_compensation
        low = float(seat.poles.min()) - bodies.DEEP
        sleeves.append(
            bodies.sleeve(np.array(pin.centre), diameter=outer, bottom=low, top=level + params.sleeve_height, edge_break=params.edge_break)
        )
        holes.append(bodies.cylinder(np.array(pin.centre), diameter=bore, bottom=low - 5.0, top=level + params.sleeve_height + 5.0))
    whole = shapely.union_all(plates)
    sides = [
        side
        for plan, height in zip(plans, raised, strict=True)
        for side in sides_of(
            seat,
            plan.slab(corner=0.0),
            plate=whole,
            plate_thickness=params.footplate_thickness,
            height=height,
            edge_break=params.edge_break,
            pad=PAD,
            span=plan.label_span(),
        )
    ]
    blade = site.blade.id
    patches = place_label(
        sides,
        tuple(token.replace(blade, BLADE_HERE) for token in site.label),
        reserve=tuple(token.replace(blade, "0" * len(blade)) for token in site.label),
    )
    pads = [label.pad(_proud(patch), width=patch.width, height=patch.height, thickness=PAD, into=0.7, edge_break=0.3) for patch in patches]
    block = checked.fuse("bodies", shells[0], *shells[1:], *fences, *sleeves, *pads)
    return checked.cut("seat and holes", block, bodies.bone_side(seat, where=site.field.points[site.field.footprint]), *holes), patches


def _proud(patch: LabelPatch) -> Frame:
    """The frame of a label's pad: its flat face, `PAD` outside the wall."""
    return Frame(origin=patch.frame.origin + PAD * patch.frame.axes[2], axes=patch.frame.axes)


def _stepped_heights(site: Site, plans: list[SlotPlan], height: Mm) -> list[Mm]:
    """Guided heights of the fences; where two meet, the second stands a step higher."""
    heights: list[Mm] = []
    for number, plan in enumerate(plans):
        taken = [heights[other] for other in range(number) if plan.meets(plans[other], site)]
        height_here = height
        while any(abs(height_here - other) < STEP_UP - 1e-9 for other in taken):
            height_here += STEP_UP
        heights.append(height_here)
    return heights


def _slot_tools(site: Site, plan: SlotPlan) -> list[cq.Solid]:
    seat = site.seat.patch
    low, high = float(seat.poles.min()) - 2.0 * bodies.DEEP, float(seat.poles.max()) + 60.0
    return [slab.solid(bottom=low, top=high, step=f"slot {plan.cut.name}") for slab in plan.slot_slabs()]
