"""A plain saw block: one slot in one fence, on a footplate, with wires. Copy this file to start a template of your own.

Purpose
    The smallest guide that passes every check; a start for new templates, not meant for use.
Datum
    The guide frame: z is the seating axis, x lies along the first slot, the origin amid the cuts; the bone side is
    the seat patch, raised by the seat gap.
Limits
    Cuts that do not cross. No label. Not validated clinically.
Files
    `NAME_BLADE.step`, `.stl`, `.3mf` and `.png`, in the patient frame.
Source
    Binding values of the osteotomy template.

A template is one file: this docstring, `Params` whose fields carry unit, range, default, help and reference, and
`build(site, params, workshop)`, which returns a `Design`. No files, no globals. The command line, the docs and the
tests are made from `Params`. A file whose name starts with '_' is not listed.
"""

from __future__ import annotations

import numpy as np
import shapely

from psi_cad.brep import bodies, checked
from psi_cad.guides.contract import Design, Label, PinFeature, SlotFeature, Wires, Workshop
from psi_cad.guides.params import GuideParams, param
from psi_cad.guides.site import Site
from psi_cad.sawing.plan import SlotPlan
from psi_cad.sawing.slots import plan_slots
from psi_cad.siting.access import outlines
from psi_cad.siting.pins import place_pins


class Params(GuideParams):
    """Parameters of the plain saw block."""

    clearance: float = param(0.15, unit="mm", low=0.10, high=0.20, help="added to the blade's thickness to give the slot's width")
    wall: float = param(2.0, unit="mm", low=2.0, high=5.0, help="least thickness of the fence on each side of the slot")
    height: float = param(10.0, unit="mm", low=10.0, high=20.0, help="length over which the blade is guided")
    thickness: float = param(3.0, unit="mm", low=2.5, high=6.0, help="of the footplate, along the bone's normal")
    edge_break: float = param(0.6, unit="mm", low=0.2, high=1.0, help="how far outer edges are taken down")
    bridge_width: float = param(4.0, unit="mm", low=2.0, high=10.0, help="width of a bridge along the slot")
    sleeve_height: float = param(10.0, unit="mm", low=6.0, high=20.0, help="height of a wire's sleeve above the seat")
    wire_depth: float = param(40.0, unit="mm", low=10.0, high=80.0, help="greatest depth of a wire")
    pin_clearance: float = param(3.0, unit="mm", low=1.0, high=15.0, help="least distance from a wire's surface to any cut plane")


def build(site: Site, params: Params, workshop: Workshop) -> Design:  # noqa: ARG001  (nothing here is worth sharing)
    """Footplates and fences fused, cut by the seat, then slots and holes."""
    seat, width = site.seat.patch, site.slot_width(params.clearance)
    plans = plan_slots(
        site,
        width=width,
        wall=params.wall,
        end_wall=3.0,
        run_out=params.run_out,
        height=params.height,
        bridge_over=80.0,
        bridge_width=params.bridge_width,
    )
    plates = [o for o in outlines(site.field, site.field.contact, rounding=2.0) if any(o.intersects(p.footprint(seat)) for p in plans)]
    pins = place_pins(
        site.field,
        seat(site.field.points),
        seat.steepness(site.field.points),
        shapely.union_all(plates),
        site.planes,
        wanted=4,
        radius=1.0,
        sleeve_radius=3.0,
        keep_off=SlotPlan.outer_half(width, params.wall) + 3.5,
        clearance=params.pin_clearance,
        depth=params.wire_depth,
        top=params.sleeve_height,
    )
    parts = [bodies.footplate(seat, o, thickness=params.thickness, edge_break=params.edge_break, step="footplate") for o in plates]
    parts += [
        bodies.fence(
            seat,
            plan.slab(corner=params.edge_break),
            height=params.height,
            inner=width / 2.0,
            edge_break=params.edge_break,
            free_ends=plan.free_ends,
            step=f"fence {plan.cut.name}",
        )
        for plan in plans
    ]
    low = float(seat.poles.min()) - bodies.DEEP
    for pin in pins:
        top = float(seat(np.array([pin.centre]))[0]) + params.sleeve_height
        parts.append(bodies.sleeve(np.array(pin.centre), diameter=6.0, bottom=low, top=top, edge_break=params.edge_break))
    body = checked.fuse("bodies", parts[0], *parts[1:])
    bore = 2.1 + site.printer.hole_compensation
    holes = [bodies.cylinder(np.array(pin.centre), diameter=bore, bottom=low - 5.0, top=low + 200.0) for pin in pins]
    body = checked.cut("seat and holes", body, bodies.bone_side(seat, where=site.field.points[site.field.footprint]), *holes)
    slots = [slab.solid(bottom=low - 20.0, top=low + 200.0, step=f"slot {plan.cut.name}") for plan in plans for slab in plan.slot_slabs()]
    return Design(
        solid=checked.cut("slots", body, *slots),
        outlines=tuple(np.asarray(plate.exterior.coords) for plate in plates),
        slots=tuple(
            SlotFeature(p.cut.name, width, params.height, params.wall, p.windows, clearance=params.clearance, bridge=params.bridge_width)
            for p in plans
        ),
        pins=tuple(PinFeature(f"pin {n}", pin.centre, bore, 2.0, pin.depth) for n, pin in enumerate(pins, start=1)),
        label=Label((), 0.0),
        wires=Wires(params.wire_depth, params.sleeve_height, params.pin_clearance),
        edge_break=params.edge_break,
    )
