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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import shapely

from psi_cad.brep import bodies, checked, label, relief
from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.frames import Frame
from psi_cad.guides.contract import Design, Label, PinFeature, SlotFeature, Wires, Workshop
from psi_cad.guides.params import GuideParams, param
from psi_cad.guides.site import Site
from psi_cad.guides.slots import SlotPlan, plan_slots
from psi_cad.labelling import raising
from psi_cad.labelling.fence import LEAST, LabelPatch, Side, Words, place_label, reserved, sides_of
from psi_cad.labelling.tagging import BELOW_FACE, BREAK, CORNER, THICK, place_tag
from psi_cad.options import leaning
from psi_cad.resection.depth import slot_depth
from psi_cad.siting.access import outlines
from psi_cad.siting.pins import Pin, place_pins
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import cadquery as cq

SERIES = "binding; the series of pelvic resections with printed guides that psi-cad follows"
SLEEVE = "a published pelvic guide: outer 6 mm, bore 2.1 mm for wires of 2 mm"
PAD = 0.6  # how far the label's pad stands proud; letters are cut less deep, so the wall behind keeps its thickness
ENGRAVED = 0.5
Pad: TypeAlias = tuple[Frame, Mm, Mm, bool]  # flat face of a label's pad, its width and height, and whether it is a wall raised to carry it
TagShape: TypeAlias = tuple[
    Frame, Mm, Mm, shapely.Polygon, tuple[shapely.Polygon, ...]
]  # flat face of a tag, its width and height, its foot, where that stands
SPARE = 0.5  # of the blade's length, which differs a little on the files
RAISED_ATTEMPTS = 1  # where the kernel stumbled so often, the label stands on a tag, and not on raised walls
TAG_ATTEMPTS = 2  # ... and after that on neither: small letters, and a caution
STEP_UP = 0.5  # between the tops of fences that meet, so that no two curved faces coincide


class Params(GuideParams):
    """Parameters of the osteotomy guide; the defaults are the binding values."""

    clearance: float = param(0.15, unit="mm", low=0.10, high=0.20, help="added to the blade's thickness to give the slot's width", reference=SERIES)
    clearance_override: bool = param(False, unit="", help="allow a clearance outside 0.10–0.20; the report shows it")
    wall: float = param(2.0, unit="mm", low=2.0, high=5.0, help="least thickness of the fence on each side of the slot", reference=SERIES)
    height: float = param(10.0, unit="mm", low=10.0, high=20.0, help="length over which the blade is guided", reference=SERIES)
    end_wall: float = param(3.0, unit="mm", low=2.0, high=8.0, help="material that closes a slot's end")
    footplate_thickness: float = param(3.0, unit="mm", low=2.5, high=6.0, help="thickness along the bone's normal")
    edge_break: float = param(0.6, unit="mm", low=0.2, high=1.0, help="how far outer edges are taken down")
    pins: int = param(4, unit="", low=3, high=6, help="fixation wires wanted; at least three are placed")
    wire_diameter: float = param(2.0, unit="mm", low=1.0, high=4.0, help="K-wire")
    wire_clearance: float = param(0.1, unit="mm", low=0.05, high=0.3, help="added to the wire's diameter to give the bore", reference=SLEEVE)
    sleeve_wall: float = param(1.95, unit="mm", low=1.2, high=4.0, help="wall of a wire's sleeve", reference=SLEEVE)
    sleeve_height: float = param(10.0, unit="mm", low=6.0, high=20.0, help="height of a sleeve above the seat")
    wire_depth: float = param(
        40.0, unit="mm", low=10.0, high=80.0, help="greatest depth of a wire; over it, or to just past the bone, it clears the cuts"
    )
    pin_clearance: float = param(3.0, unit="mm", low=1.0, high=15.0, help="least distance from a wire's surface to any cut plane")
    pin_divergence: float = param(
        0.0,
        unit="deg",
        low=0.0,
        high=20.0,
        help="lean of each wire from the seating axis, away from the others, so that the guide cannot lift off; 0: none",
    )
    bridge_over: float = param(80.0, unit="mm", low=30.0, high=200.0, help="a slot longer than this is crossed by a bridge")
    bridge_width: float = param(4.0, unit="mm", low=2.0, high=10.0, help="width of a bridge along the slot")

    @classmethod
    def override_key(cls) -> dict[str, str]:
        """Only the clearance may leave its range, and only when told so."""
        return {"clearance": "clearance_override"}

    @property
    def wires_lean(self) -> bool:
        """See `GuideParams`."""
        return self.pin_divergence > 0.0


def build(site: Site, params: Params, workshop: Workshop) -> Design:
    """The guide: a body with slots, which blades of one class share, then letters."""
    width = site.slot_width(params.clearance)
    plans = _slots(site, params)
    seat = site.seat.patch
    plates = _footprints(site, plans, workshop)
    pins = _pins(site, params, plates, width, workshop)
    labels = _labelled(site, params, plans, plates, pins, workshop)
    ground = site.field.points[site.field.footprint]
    solid = workshop.made(_body, seat, ground, _Making.of(params, site.printer.hole_compensation), plans, plates, pins, labels.pads, labels.tag)
    texts = [(patch.frame, label.text_shape(patch.lines, height=patch.letter_height, condensed=patch.condensed)) for patch in labels.patches]
    if texts:
        solid = label.engraved("label", solid, texts, depth=ENGRAVED)
    bore = params.wire_diameter + params.wire_clearance + site.printer.hole_compensation
    return Design(
        solid=solid,
        outlines=tuple(np.asarray(plate.exterior.coords) for plate in plates),
        slots=tuple(
            SlotFeature(
                plan.cut.name,
                width,
                params.height,
                params.wall,
                plan.windows,
                tuple(site.cuts[n].name for n, _ in plan.cut.neighbours),
                clearance=params.clearance,
                bridge=params.bridge_width,
            )
            for plan in plans
        ),
        pins=tuple(PinFeature(f"pin {n}", pin.centre, bore, params.wire_diameter, pin.depth, pin.out) for n, pin in enumerate(pins, start=1)),
        label=labels.told(),
        cautions=tuple(caution for plan in plans for caution in plan.cautions),
        overrides=("clearance",) if not 0.10 <= params.clearance <= 0.20 else (),
        wires=Wires(params.wire_depth, params.sleeve_height, params.pin_clearance),
        edge_break=params.edge_break,
    )


def lay_out(site: Site, params: Params, workshop: Workshop) -> tuple[Caution, ...]:
    """Where slots, footplates and wires go, without any solid: raises what `build` would, and tells what it would."""
    plans = _slots(site, params)
    _pins(site, params, _footprints(site, plans, workshop), site.slot_width(params.clearance), workshop)
    return tuple(caution for plan in plans for caution in plan.cautions)


def _slots(site: Site, params: Params) -> list[SlotPlan]:
    width = site.slot_width(params.clearance)
    if width <= 0.1:
        raise DesignError(f"The slot would be {width:.2f} mm wide; check the blade's thickness and the printer's slot_compensation.")
    return plan_slots(
        site,
        width=width,
        wall=params.wall,
        end_wall=params.end_wall,
        run_out=params.run_out,
        height=params.height,
        bridge_over=params.bridge_over,
        bridge_width=params.bridge_width,
    )


def _footprints(site: Site, plans: list[SlotPlan], workshop: Workshop) -> list[shapely.Polygon]:
    """Outlines of the footplates: accessible bone that a fence stands on."""
    found = []
    for outline in workshop.made(outlines, site.field, site.field.contact, rounding=2.0 + 0.35 * site.attempt):
        if any(outline.intersection(plan.footprint(site.seat.patch)).area > 8.0 for plan in plans):
            found.append(outline)
    if not found:
        raise DesignError(
            "No footplate reaches the fence: the bone at the cut is too narrow or too steep; raise slope_limit or give another approach.",
            where=plans[0].cut.origin,
            reason="contact",
        )
    return found


def _pins(site: Site, params: Params, plates: list[shapely.Polygon], width: Mm, workshop: Workshop) -> list[Pin]:
    radius, area = params.wire_diameter / 2.0, shapely.union_all(plates)
    sleeve = _sleeve_radius(params)
    points = site.field.points
    lean: dict[str, Any] = {}
    if params.wires_lean:
        middle = np.asarray(area.centroid.coords)[0]
        lean = {
            "leans": leaning.ways_out(points, middle, params.pin_divergence),
            "avoid": site.avoid,
            "mend": "lower pin_divergence, pin_clearance or wire_depth, or raise footplate_reach",
        }
    pins = workshop.made(
        place_pins,
        site.field,
        site.seat.patch(points),
        site.seat.patch.steepness(points),
        area,
        site.planes,
        wanted=params.pins,
        radius=radius,
        sleeve_radius=sleeve,
        keep_off=SlotPlan.outer_half(width, params.wall) + sleeve + PAD + 0.2,
        clearance=params.pin_clearance,
        depth=params.wire_depth,
        top=params.sleeve_height,
        **lean,
    )
    if params.wires_lean:
        leaning.refuse_loose(pins, site.seat.patch, params.sleeve_height, params.wire_clearance, params.pin_divergence)
    return pins


def _sleeve_radius(params: Params) -> Mm:
    return (params.wire_diameter + params.wire_clearance) / 2.0 + params.sleeve_wall


@dataclass(frozen=True)
class _Labels:
    """Where the label is: on pads of a fence's sides, or on a tag."""

    pads: tuple[Pad, ...]
    tag: TagShape | None
    patches: tuple[LabelPatch, ...]

    def told(self) -> Label:
        """As the design tells it."""
        lines = tuple(line for patch in self.patches for line in patch.lines)
        on = "tag" if self.tag is not None else "fence" if self.pads else ""
        faces = tuple((patch.frame, patch.width, patch.height) for patch in self.patches)
        return Label(lines, self.patches[0].letter_height if self.patches else 0.0, faces, on)


def _labelled(site: Site, params: Params, plans: list[SlotPlan], plates: list[shapely.Polygon], pins: list[Pin], workshop: Workshop) -> _Labels:
    """The label on a fence's own sides where its letters are high enough there, else on raised walls of it, else on a tag.

    Where none of that holds it, its letters are as large as the fence lets them be.
    """
    seat = site.seat.patch
    words = Words.of(site.label)
    reserve = Words.of(reserved(site.label, site.blade.id))
    standing = [pin.stands(seat, params.sleeve_height) for pin in pins]
    sleeves = [(ends, _sleeve_radius(params)) for ends in standing]
    sides = workshop.made(_label_sides, seat, plans, plates, sleeves, plate_thickness=params.footplate_thickness, height=params.height,
                          edge_break=params.edge_break)  # fmt: skip
    patches = place_label(sides, words, reserve=reserve, pad=PAD)
    if patches and patches[0].letter_height >= LEAST:
        return _Labels(_pads(patches, raised=False), None, tuple(patches))
    if site.attempt < RAISED_ATTEMPTS:
        most = min(raising.RISE, *(_spare(site, plan, sides) for plan in plans))
        high = raising.place_raised(
            sides, words, reserve=reserve, pad=PAD, most=most, sleeves=[(ends.mean(axis=0), _sleeve_radius(params)) for ends in standing]
        )
        if high:
            return _Labels(_pads(high, raised=True), None, tuple(high))
    if site.attempt < TAG_ATTEMPTS:
        tag = place_tag(
            site.around,
            seat,
            plates,
            [(cut.origin, cut.normal) for cut in site.cuts],
            words,
            reserve=reserve,
            along=plans[0].cut.along,
            plate_thickness=params.footplate_thickness,
            off_plane=plans[0].half_width,
            sleeves=leaning.as_upright(standing),
            sleeve_radius=_sleeve_radius(params),
        )
        if tag is not None:
            return _Labels((), (tag.patch.frame, tag.patch.width, tag.patch.height, tag.foot, tag.stands), (tag.patch,))
    return _Labels(_pads(patches, raised=False), None, tuple(patches))


def _pads(patches: list[LabelPatch], *, raised: bool) -> tuple[Pad, ...]:
    return tuple((patch.frame, patch.width, patch.height, raised) for patch in patches)


def _spare(site: Site, plan: SlotPlan, sides: list[Side]) -> Mm:
    """How much higher the saw's hub may stop on a fence before its blade is too short for the cut."""
    sawn = next(cut for cut in site.sawn if cut.name == plan.cut.name)
    highest = max((float(side.top.max()) for side in sides if np.array_equal(side.slab.frame.origin, plan.cut.origin)), default=0.0)
    return site.blade.usable_length - (highest - float(slot_depth(sawn, site.axis.direction).far.min())) - SPARE


def _label_sides(
    seat: HeightSpline,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    sleeves: list[tuple[Array, Mm]],
    *,
    plate_thickness: Mm,
    height: Mm,
    edge_break: Mm,
) -> list[Side]:
    whole = shapely.union_all(plates)
    return [
        side
        for plan, above in zip(plans, _stepped_heights(seat, plans, height), strict=True)
        for side in sides_of(
            seat,
            plan.slab(corner=0.0),
            plate=whole,
            plate_thickness=plate_thickness,
            height=above,
            edge_break=edge_break,
            pad=PAD,
            span=plan.label_span(),
            bridges=plan.bridges(),
            sleeves=sleeves,
        )
    ]


@dataclass(frozen=True)
class _Making:
    """The parameters that a body without letters depends on (mm): with equal ones it is the same body, whatever else is asked for."""

    plate: Mm
    edge_break: Mm
    height: Mm
    wall: Mm
    sleeve: Mm  # its outer diameter
    sleeve_height: Mm
    bore: Mm

    @classmethod
    def of(cls, params: Params, hole_compensation: Mm) -> _Making:
        bore = params.wire_diameter + params.wire_clearance
        return cls(
            plate=params.footplate_thickness,
            edge_break=params.edge_break,
            height=params.height,
            wall=params.wall,
            sleeve=bore + 2.0 * params.sleeve_wall,
            sleeve_height=params.sleeve_height,
            bore=bore + hole_compensation,
        )


def _body(
    seat: HeightSpline,
    ground: Array,
    making: _Making,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    pins: list[Pin],
    pads: tuple[Pad, ...],
    tag: TagShape | None,
) -> cq.Solid:
    """Footplates, fences, sleeves and label pads as one solid on the seat, with the wires' holes and the slots; no letters yet."""
    shells = [
        bodies.footplate(seat, outline, thickness=making.plate, edge_break=making.edge_break, step=f"footplate {n}")
        for n, outline in enumerate(plates, start=1)
    ]
    fences = []
    raised = _stepped_heights(seat, plans, making.height)
    for plan, height in zip(plans, raised, strict=True):
        fences.append(
            bodies.fence(
                seat,
                plan.slab(corner=making.edge_break),
                height=height,
                inner=plan.half_width - making.wall,
                edge_break=making.edge_break,
                free_ends=plan.free_ends,
                step=f"fence {plan.cut.name}",
            )
        )
    sleeves, holes = [], []
    low = float(seat.poles.min()) - bodies.DEEP
    for pin in pins:
        foot = pin.stands(seat, 0.0)[0]
        sleeve, hole = bodies.sleeve_and_hole(
            foot, pin.out, diameter=making.sleeve, bore=making.bore, bottom=low, top=making.sleeve_height, edge_break=making.edge_break
        )
        sleeves.append(sleeve)
        holes.append(hole)
    named = [_pad_solid(pad, making.wall) for pad in pads]
    named += _tag_solids(tag, low) if tag is not None else []
    block = checked.fuse("bodies", shells[0], *shells[1:], *fences, *sleeves, *named)
    slots = [tool for plan in plans for tool in _slot_tools(seat, plan)]
    slots += relief.corner_reliefs(plans, wall=making.wall)
    return bodies.on_seat("seat, holes and slots", block, seat, where=ground, holes=holes, slots=slots)


def _pad_solid(pad: Pad, wall: Mm) -> cq.Solid:
    """A pad on a fence's side, or the wall of the fence raised to it."""
    frame, width, height, raised = pad
    if not raised:
        return label.pad(frame, width=width, height=height, thickness=PAD, into=0.7, edge_break=0.3)
    thickness = PAD + wall + raising.BEHIND
    return label.tag(frame, width=width, height=height, thickness=thickness, corner=raising.CORNER, edge_break=raising.BREAK, skirt=raising.SKIRT)


def _tag_solids(tag: TagShape, low: Mm) -> list[cq.Solid]:
    """The tag's plate, the foot it lies on, and what the foot stands on, down to `low`; the seat cuts that to the bone."""
    frame, width, height, foot, stands = tag
    plate = label.tag(frame, width=width, height=height, thickness=THICK, corner=CORNER, edge_break=BREAK)
    arm = bodies.leaning(foot, frame, top=-BELOW_FACE, thickness=THICK - BELOW_FACE - 0.2)
    # a leg ends inside the arm, below the least of its upper face
    legs = [bodies.leaning(leg, frame, top=-THICK / 2.0, bottom=low) for leg in stands]
    return [plate, arm, *legs]


def _stepped_heights(seat: HeightSpline, plans: list[SlotPlan], height: Mm) -> list[Mm]:
    """Guided heights of the fences; where two meet, the second stands a step higher."""
    heights: list[Mm] = []
    for number, plan in enumerate(plans):
        taken = [heights[other] for other in range(number) if plan.meets(plans[other], seat)]
        height_here = height
        while any(abs(height_here - other) < STEP_UP - 1e-9 for other in taken):
            height_here += STEP_UP
        heights.append(height_here)
    return heights


def _slot_tools(seat: HeightSpline, plan: SlotPlan) -> list[cq.Solid]:
    low, high = float(seat.poles.min()) - 2.0 * bodies.DEEP, float(seat.poles.max()) + 60.0
    return [slab.solid(bottom=low, top=high, step=f"slot {plan.cut.name}") for slab in plan.slot_slabs()]
