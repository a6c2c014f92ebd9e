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
Files
    `NAME_BLADE.step`, `.stl`, `.3mf` and `.png`, in the patient frame.
Source
    Binding values (10 mm guided height, 2 mm walls, clearance 0.1-0.2 mm) from the series of pelvic resections that
    psi-cad follows; sleeve size from a published pelvic guide (outer 6 mm, bore 2.1 mm).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from psi_cad.brep import bodies, checked, label, relief
from psi_cad.errors import either
from psi_cad.findings import Caution
from psi_cad.fitting import leaning, solids
from psi_cad.fitting.extras import Extras
from psi_cad.fitting.footprints import footprints
from psi_cad.fitting.place import Asked, FlapAsked, GripAsked, InsertAsked, place_extras, refuse_anywhere, scale_of
from psi_cad.fitting.walls import fences, shells
from psi_cad.fitting.wires import WiresAsked, place_wires
from psi_cad.frames import triple
from psi_cad.guides.contract import Design, Needs, PinFeature, SlotFeature, Wires, Workshop
from psi_cad.guides.params import GuideParams, param, possible, value_of
from psi_cad.guides.site import Site
from psi_cad.labelling.placed import ENGRAVED, PAD, Labels, Pad, TagShape, label_solids, labelled
from psi_cad.options.plated import Plated
from psi_cad.sawing.guided import guided_cuts
from psi_cad.sawing.ledges import BARS, LEDGES, side_of
from psi_cad.sawing.plan import SlotPlan
from psi_cad.sawing.slots import stepped_heights
from psi_cad.siting.pins import Pin
from psi_cad.siting.sliding import WAYS
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import cadquery as cq

NEEDS = Needs(holes=True, slot_sleeve=True)
SERIES = "binding; the series of pelvic resections with printed guides that psi-cad follows"
SLEEVE = "a published pelvic guide: outer 6 mm, bore 2.1 mm for wires of 2 mm"


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
    insert_diameter: float = param(
        0.0, unit="mm", low=0.0, high=12.0, help="outer diameter of a metal sleeve that is pressed into each wire's hole from above; 0: none"
    )
    insert_length: float = param(6.0, unit="mm", low=3.0, high=18.0, help="length of that metal sleeve", switch="insert_diameter")
    insert_fit: float = param(
        0.0, unit="mm", low=-0.1, high=0.2, help="added to its diameter to give its seat; below 0 it is pressed harder", switch="insert_diameter"
    )

    slot_sleeve_fit: float = param(
        0.0, unit="mm", low=-0.1, high=0.2, help="added to the metal sleeve of a slot (`slot_sleeve` of the guide) to give its pocket"
    )

    bridge_over: float = param(80.0, unit="mm", low=30.0, high=200.0, help="a slot longer than this is crossed by a bridge")
    bridge_width: float = param(4.0, unit="mm", low=2.0, high=10.0, help="width of a bridge along the slot")

    footprint_side: int = param(
        0, unit="", low=-1, high=1, help="the guide stands on one side of its cuts only: 1 the specimen's, -1 that of the bone that stays; 0: on both"
    )
    open_end: str = param(
        "",
        unit="",
        choices=("", *WAYS),
        bars={"footprint_side": "the wall on the other side would have no footplate, and hang on one end"},
        help="the end of a slot that is open, so that the blade is put in from the side: head, feet, front, back, left or right; empty: none",
    )

    ledge: str = param(
        "",
        unit="",
        choices=(*LEDGES,),
        bars=BARS,
        help="one wall instead of a slot, on that side of each cut: the blade is guided only while it is pressed on it; empty: none",
    )

    flap_side: int = param(
        0, unit="", low=-1, high=1, help="a flap that holds soft tissue back: 1 on the specimen's side of the first cut, -1 on the other; 0: none"
    )
    flap_height: float = param(15.0, unit="mm", low=5.0, high=40.0, help="height of the flap above the footplate, along the flap", switch="flap_side")
    flap_width: float = param(20.0, unit="mm", low=12.0, high=60.0, help="width of the flap along the cut", switch="flap_side")
    flap_angle: float = param(
        15.0, unit="deg", low=0.0, high=45.0, help="lean of the flap from the seating axis, away from the cut", switch="flap_side"
    )
    flap_thickness: float = param(
        2.5, unit="mm", low=2.0, high=5.0, help="thickness of the flap; its rim is rounded by 0.45 of it", switch="flap_side"
    )
    flap_clearance: float = param(10.0, unit="mm", low=8.0, high=20.0, help="least distance of the flap from where the saw runs", switch="flap_side")

    grip: int = param(
        0, unit="", low=-1, high=1, help="a knob to hold the guide by: 1 on the specimen's side of the first cut, -1 on the other; 0: none"
    )
    grip_height: float = param(12.0, unit="mm", low=10.0, high=30.0, help="height of the grip above the footplate", switch="grip")
    grip_diameter: float = param(10.0, unit="mm", low=8.0, high=20.0, help="of the grip's head; its shaft has 0.7 of it", switch="grip")
    grip_clearance: float = param(8.0, unit="mm", low=5.0, high=25.0, help="least distance of the grip from where the saw runs", switch="grip")

    relief_depth: float = param(0.0, unit="mm", low=0.0, high=1.5, help="more gap along the rim of the footplates, for periosteum; 0: none")
    relief_width: float = param(4.0, unit="mm", low=2.0, high=12.0, help="width of that rim", switch="relief_depth")

    windows: int = param(0, unit="", low=0, high=4, help="round windows through the footplates, to see that they lie on bone; 0: none")
    window_size: float = param(8.0, unit="mm", low=5.0, high=20.0, help="diameter of a window", switch="windows")

    depth_stop: float = param(
        0.0, unit="mm", low=0.0, high=120.0, help="from a blade's tip to the hub or collar that rests on the fence when the bone is sawn; 0: no stop"
    )
    stop_allowance: float = param(
        1.0, unit="mm", low=0.5, high=5.0, help="how far past the far side of the bone the tip goes, with its hub on the stop", switch="depth_stop"
    )

    depth_scale: float = param(
        0.0, unit="mm", low=0.0, high=40.0, help="numbers on the fence, about so far apart: blade from its top to the bone's far side; 0: none"
    )

    cut_order: bool = param(False, unit="", help="the number of each cut, in the order of the case, engraved on its fence")

    @classmethod
    def override_key(cls) -> dict[str, str]:
        """Only the clearance may leave its range, and only when told so."""
        return {"clearance": "clearance_override"}

    @property
    def one_wall(self) -> bool:
        """See `GuideParams`."""
        return bool(self.ledge)

    @property
    def stands_on(self) -> int:
        """See `GuideParams`."""
        return side_of(self.ledge) or self.footprint_side

    @property
    def wires_lean(self) -> bool:
        """See `GuideParams`."""
        return self.pin_divergence > 0.0

    def refuse(self) -> None:
        """See `Parameters`."""
        refuse_anywhere(_asked(self))


def build(site: Site, params: Params, workshop: Workshop) -> Design:
    """The guide: a body with slots, which blades of one class share, then letters."""
    plans = _slots(site, params)
    seat = site.seat.patch
    plates = footprints(site, plans, workshop, mend=either([*possible(params, "raise slope_limit"), "give another approach"]))
    pins = _pins(site, params, plans, plates, workshop)
    extras = place_extras(site, _asked(params), plans, plates, pins)
    labels = _labelled(site, params, plans, plates, pins, extras, workshop)
    ground = site.field.points[site.field.footprint]
    making = _Making.of(params, site.printer.hole_compensation)
    solid = workshop.assembled(_body, seat, ground, making, plans, plates, pins, labels.pads, labels.tag, extras)
    texts = [(one.frame, label.text_shape(one.lines, height=one.letter_height, condensed=one.condensed)) for one in labels.engraved]
    if texts:
        solid = label.engraved("label", solid, texts, depth=ENGRAVED)
    bore = params.wire_diameter + params.wire_clearance + site.printer.hole_compensation
    return Design(
        solid=solid,
        outlines=tuple(np.asarray(plate.exterior.coords) for plate in plates),
        slots=tuple(
            SlotFeature(
                plan.cut.name,
                plan.width,
                params.height,
                params.wall,
                plan.windows,
                tuple(site.cuts[n].name for n in plan.cut.joined),
                plan.opens,
                plan.ledge,
                None if site.slot_sleeve is None else (site.slot_sleeve.id, params.slot_sleeve_fit, params.end_wall),
                clearance=params.clearance,
                bridge=params.bridge_width,
            )
            for plan in plans
        ),
        pins=tuple(PinFeature(f"pin {n}", pin.centre, bore, params.wire_diameter, pin.depth, pin.out) for n, pin in enumerate(pins, start=1)),
        label=labels.told(),
        cautions=tuple(caution for plan in plans for caution in plan.cautions),
        overrides=("clearance",) if not (params.ledge or 0.10 <= params.clearance <= 0.20) else (),
        wires=Wires(params.wire_depth, params.sleeve_height, params.pin_clearance, _metal(params)),
        edge_break=params.edge_break,
        features=(*extras.features, *labels.marks, *(Plated(name, triple(point), triple(out), bore) for name, point, out in site.holes)),
    )


def lay_out(site: Site, params: Params, workshop: Workshop) -> tuple[Caution, ...]:
    """Where slots, footplates and wires go, without any solid: raises what `build` would, and tells what it would."""
    plans = _slots(site, params)
    plates = footprints(site, plans, workshop, mend=either([*possible(params, "raise slope_limit"), "give another approach"]))
    pins = _pins(site, params, plans, plates, workshop)
    extras = place_extras(site, _asked(params), plans, plates, pins)
    if params.depth_scale or params.cut_order:
        _labelled(site, params, plans, plates, pins, extras, workshop)
    return tuple(caution for plan in plans for caution in plan.cautions)


def _slots(site: Site, params: Params) -> list[SlotPlan]:
    p = params
    return guided_cuts(
        site,
        clearance=p.clearance,
        wall=p.wall,
        end_wall=p.end_wall,
        run_out=p.run_out,
        height=p.height,
        bridge_over=p.bridge_over,
        bridge_width=p.bridge_width,
        open_end=p.open_end,
        ledge=p.ledge,
        footprint_side=p.footprint_side,
        sleeve_fit=p.slot_sleeve_fit,
        others={"depth_stop": p.depth_stop, "depth_scale": p.depth_scale},
    )


def _pins(site: Site, params: Params, plans: list[SlotPlan], plates: list[shapely.Polygon], workshop: Workshop) -> list[Pin]:
    sleeve = _sleeve_radius(params)
    ways = ("pin_divergence", "pin_clearance", "wire_depth") if params.wires_lean else ("pin_clearance", "wire_diameter", "sleeve_wall")
    mend = possible(params, "raise footplate_reach", *(f"lower {name}" for name in ways))
    mend += [*(f"change {name}" for name in ("insert_diameter", "footprint_side", "ledge") if value_of(params, name)), "give another approach"]
    asked = WiresAsked(
        params.pins,
        params.wire_diameter,
        params.wire_clearance,
        sleeve,
        params.sleeve_height,
        params.wire_depth,
        params.pin_clearance,
        max(plan.half_width for plan in plans) + sleeve + PAD + 0.2,
        params.pin_divergence,
        _metal(params),
        mend=either(mend),
    )
    return place_wires(site, asked, shapely.union_all(plates), workshop)


def _asked(params: Params) -> Asked:
    """The options that are asked for, and what of the guide's sizes they need."""
    p = params
    metal = InsertAsked(p.insert_diameter, p.insert_length, p.insert_fit, p.wire_diameter + p.wire_clearance, p.sleeve_wall)
    return Asked(
        plate=p.footplate_thickness,
        height=p.height,
        wall=p.wall,
        edge_break=p.edge_break,
        sleeve=_sleeve_radius(p),
        sleeve_height=p.sleeve_height,
        flap=FlapAsked(p.flap_side, p.flap_height, p.flap_width, p.flap_thickness, p.flap_angle, p.flap_clearance) if p.flap_side else None,
        grip=GripAsked(p.grip, p.grip_height, p.grip_diameter, p.grip_clearance) if p.grip else None,
        insert=metal if p.insert_diameter else None,
        windows=p.windows,
        window_size=p.window_size,
        depth_stop=p.depth_stop,
        stop_allowance=p.stop_allowance,
        depth_scale=p.depth_scale,
        open_end=p.open_end,
        bridge=p.bridge_width,
        footprint_side=p.footprint_side,
        relief_depth=p.relief_depth,
        relief_width=p.relief_width,
        may_slide=p.allow_sliding,
    )


def _sleeve_radius(params: Params) -> Mm:
    return _hole(params) / 2.0 + params.sleeve_wall


def _metal(params: Params) -> Mm:
    return params.insert_length if params.insert_diameter else 0.0


def _hole(params: Params) -> Mm:
    """Diameter of the widest hole in a wire's sleeve."""
    return params.insert_diameter + params.insert_fit if params.insert_diameter else params.wire_diameter + params.wire_clearance


def _labelled(
    site: Site, params: Params, plans: list[SlotPlan], plates: list[shapely.Polygon], pins: list[Pin], extras: Extras, workshop: Workshop
) -> Labels:
    seat = site.seat.patch
    standing = [pin.stands(seat, params.sleeve_height) for pin in pins]
    if extras.stops:  # with a collar set otherwise the tip would end elsewhere
        site = replace(site, label=(*site.label[:-1], f"stop {params.depth_stop:g}", site.label[-1]))
    return labelled(
        site,
        plans,
        plates,
        heights=stepped_heights(seat, plans, params.height),
        sleeves=[(ends, _sleeve_radius(params)) for ends in standing],
        uprights=[*leaning.as_upright(standing), *extras.over()],
        plate_thickness=params.footplate_thickness,
        edge_break=params.edge_break,
        may_raise=not (extras.stops or params.ledge or site.slot_sleeve),
        one_side=side_of(params.ledge),
        scale=scale_of(site, _asked(params), plans, extras) if params.depth_scale else None,
        order=[site.order.index(cut.name) + 1 for cut in site.cuts] if params.cut_order else (),
        workshop=workshop,
    )


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
        return cls(
            plate=params.footplate_thickness,
            edge_break=params.edge_break,
            height=params.height,
            wall=params.wall,
            sleeve=_hole(params) + 2.0 * params.sleeve_wall,
            sleeve_height=params.sleeve_height,
            bore=params.wire_diameter + params.wire_clearance + hole_compensation,
        )


def _body(
    workshop: Workshop,
    seat: HeightSpline,
    ground: Array,
    making: _Making,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    pins: list[Pin],
    pads: tuple[Pad, ...],
    tag: TagShape | None,
    extras: Extras,
) -> cq.Solid:
    """Footplates, fences, sleeves and label pads as one solid on the seat, with the wires' holes and the slots; no letters yet."""
    plated = workshop.made(shells, seat, plates, thickness=making.plate, edge_break=making.edge_break)
    stops = [extras.stop(plan.cut.name) for plan in plans]
    walls = workshop.made(fences, seat, plans, stops, height=making.height, wall=making.wall, edge_break=making.edge_break)
    sleeves, holes = [], []
    low = float(seat.poles.min()) - bodies.DEEP
    for pin in pins:
        foot = pin.stands(seat, 0.0)[0]
        sleeve, hole = bodies.sleeve_and_hole(
            foot, pin.out, diameter=making.sleeve, bore=making.bore, bottom=low, top=making.sleeve_height, edge_break=making.edge_break
        )
        sleeves.append(sleeve)
        holes.append(hole)
    named = label_solids(pads, tag, wall=making.wall, low=low)
    named += solids.upright(extras, low=low, edge_break=making.edge_break)
    holes += solids.holes(extras, low=low - 5.0)
    block = checked.fuse("bodies", plated[0], *plated[1:], *walls, *sleeves, *named)
    slots = [tool for plan in plans for tool in plan.slot_tools(seat)] + relief.corner_reliefs(plans, wall=making.wall)
    body = bodies.on_seat("seat, holes and slots", block, seat, where=ground, holes=holes, slots=slots)
    return solids.relieved(extras, body, seat)
