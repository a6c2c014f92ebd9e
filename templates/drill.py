"""Drill guide: angled sleeves for drills, wires or reamers on a footplate that follows the bone, pinned by K-wires; no saw cuts.

Purpose
    Guides a tool along each planned trajectory, and stops it at its planned depth: the top of a sleeve lies square to its axis, a
    whole number of millimetres from the planned tip. A collar or chuck that is set to that number comes down on it.
Datum
    The guide frame: z is the seating axis (the direction the guide is pulled off, once the tools are drawn out), x lies along the
    entries, the origin amid them. The bone side is the seat patch, raised by the seat gap. Lengths of a sleeve count from the entry.
Limits
    Trajectories of one guide begin on one piece of bone and lean less from the seating axis than `lean_limit`. A slanting drill may
    skid before it bites. The guide is exact against the plan and the seat patch; how well the patch follows the bone is measured and
    reported. Not validated clinically.
Files
    `NAME_TOOL.step`, `.stl`, `.3mf` and `.png`, in the patient frame.
Source
    Wall, seat and wires as in the osteotomy template; guided length of 15 mm as of common drill sleeves, not from a standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import shapely

from psi_cad.brep import bodies, checked, label
from psi_cad.drilling.sleeves import OPEN_MM, SleevePlan, plan_sleeves
from psi_cad.errors import DesignError, either
from psi_cad.findings import Caution
from psi_cad.fitting.leaning import as_upright
from psi_cad.guides.contract import Design, Label, Needs, PinFeature, SleeveFeature, Wires, Workshop
from psi_cad.guides.params import SleeveParams, param, possible
from psi_cad.guides.site import Site
from psi_cad.labelling.fence import Words
from psi_cad.labelling.tagging import BELOW_FACE, BREAK, CORNER, THICK, Tag, place_tag
from psi_cad.siting.access import outlines
from psi_cad.siting.pins import Pin, place_pins

if TYPE_CHECKING:
    from collections.abc import Sequence

    import cadquery as cq

    from psi_cad.units import Array, Mm

NEEDS: Final = Needs(cuts=(0, 0), trajectories=(1, 8))
ENGRAVED: Final = 0.5
STANDS: Final = 0.5  # of a sleeve's foot that has to stand on the footplate
BESIDE: Final = 0.5  # mm between a wire's sleeve and a trajectory's
TAG_ATTEMPTS: Final = 2  # where the kernel stumbled so often, the guide has no tag, and a caution


class Params(SleeveParams):
    """Parameters of the drill guide."""

    footplate_thickness: float = param(3.0, unit="mm", low=2.5, high=6.0, help="thickness along the bone's normal")
    edge_break: float = param(0.6, unit="mm", low=0.2, high=1.0, help="how far outer edges are taken down")
    pins: int = param(3, unit="", low=0, high=6, help="fixation wires wanted; 0: none, else at least three are placed")
    wire_diameter: float = param(2.0, unit="mm", low=1.0, high=4.0, help="K-wire for fixation")
    wire_clearance: float = param(0.1, unit="mm", low=0.05, high=0.3, help="added to the wire's diameter to give the bore")
    wire_wall: float = param(1.95, unit="mm", low=1.2, high=4.0, help="wall of a wire's sleeve")
    sleeve_height: float = param(10.0, unit="mm", low=6.0, high=20.0, help="height of a wire's sleeve above the seat")
    wire_depth: float = param(40.0, unit="mm", low=10.0, high=80.0, help="greatest depth of a wire")
    pin_clearance: float = param(3.0, unit="mm", low=1.0, high=15.0, help="least distance from a wire's surface to any cut plane of the case")


@dataclass(frozen=True)
class _Laid:
    """Where everything goes, without any solid."""

    plans: list[SleevePlan]
    plate: shapely.Polygon
    pins: list[Pin]


def build(site: Site, params: Params, workshop: Workshop) -> Design:
    """Footplate, sleeves and tag fused, cut by the seat and the bores, then letters."""
    laid = _laid(site, params, workshop)
    words = (*site.label[:-1], *(f"{plan.way.name}={plan.way.tool.diameter:g}x{plan.stop:g}" for plan in laid.plans), site.label[-1])
    tag = _tag(site, params, laid, words) if site.attempt < TAG_ATTEMPTS else None
    solid = _solid(site, params, laid, tag)
    solid = solid if tag is None else _lettered(solid, tag)
    bore = _wire_bore(site, params)
    return Design(
        solid=solid,
        outlines=(np.asarray(laid.plate.exterior.coords),),
        slots=(),
        pins=tuple(PinFeature(f"pin {n}", pin.centre, bore, params.wire_diameter, pin.depth) for n, pin in enumerate(laid.pins, start=1)),
        label=_told(tag),
        cautions=() if tag is not None else (Caution("no-label", "no room for a tag was found, so the guide carries no label: mark it by hand"),),
        sleeves=tuple(
            SleeveFeature(plan.way.name, plan.bore, params.sleeve_wall, params.guided, plan.low, plan.high, plan.stop) for plan in laid.plans
        ),
        wires=Wires(params.wire_depth, params.sleeve_height, params.pin_clearance),
        edge_break=params.edge_break,
    )


def lay_out(site: Site, params: Params, workshop: Workshop) -> tuple[Caution, ...]:
    """Where sleeves, footplate and wires go, without any solid: raises what `build` would."""
    _laid(site, params, workshop)
    return ()


def _laid(site: Site, params: Params, workshop: Workshop) -> _Laid:
    plans = plan_sleeves(site, params)
    plate = _plate(site, params, plans, workshop)
    return _Laid(plans, plate, _pins(site, params, plans, plate, workshop) if params.pins else [])


def _plate(site: Site, params: Params, plans: list[SleevePlan], workshop: Workshop) -> shapely.Polygon:
    """The one piece of accessible bone that all sleeves stand on."""
    found = workshop.made(outlines, site.field, site.field.contact, rounding=2.0 + 0.35 * site.attempt)
    feet = [plan.foot() for plan in plans]
    plate = max(found, key=lambda outline: (sum(outline.intersects(foot) for foot in feet), outline.area), default=shapely.Polygon())
    for plan, foot in zip(plans, feet, strict=True):
        share = plate.intersection(foot).area / foot.area
        if share < STANDS:
            others = len(plans) > 1 and any(outline.intersection(foot).area >= STANDS * foot.area for outline in found)
            why = "stands on another piece of bone than the others" if others else f"has bone to rest on under only {share:.0%} of its foot"
            raise DesignError(
                f"The sleeve of trajectory '{plan.way.name}' {why}; "
                f"{either([*possible(params, 'raise slope_limit', 'raise footplate_reach'), 'give another approach', 'make a guide for each'])}.",
                where=plan.way.entry,
                reason="contact",
            )
    return plate


def _pins(site: Site, params: Params, plans: list[SleevePlan], plate: shapely.Polygon, workshop: Workshop) -> list[Pin]:
    radius, sleeve = params.wire_diameter / 2.0, _wire_radius(params)
    lines = []
    for plan in plans:
        tool = plan.way.tool.diameter / 2.0
        lines.append((plan.at(-plan.way.depth), plan.at(plan.high), tool + radius + params.tool_clearance))
        lines.append((plan.at(plan.bottom), plan.at(plan.high + OPEN_MM), plan.radius + sleeve + BESIDE))
    points = site.field.points
    return workshop.made(
        place_pins,
        site.field,
        site.seat.patch(points),
        site.seat.patch.steepness(points),
        plate,
        site.planes,
        wanted=params.pins,
        radius=radius,
        sleeve_radius=sleeve,
        keep_off=0.0,
        clearance=params.pin_clearance,
        depth=params.wire_depth,
        top=params.sleeve_height,
        lines=tuple(lines),
        mend=either([*possible(params, "raise footplate_reach", "lower wire_diameter", "lower wire_wall", "lower wire_depth"), "set pins = 0"]),
    )


def _wire_radius(params: Params) -> Mm:
    return (params.wire_diameter + params.wire_clearance) / 2.0 + params.wire_wall


def _wire_bore(site: Site, params: Params) -> Mm:
    return params.wire_diameter + params.wire_clearance + site.printer.hole_compensation


def _lettered(solid: cq.Solid, tag: Tag) -> cq.Solid:
    """`solid`, which has the tag, with its letters."""
    patch = tag.patch
    text = label.text_shape(patch.lines, height=patch.letter_height, condensed=patch.condensed)
    return label.engraved("label", solid, [(patch.frame, text)], depth=ENGRAVED)


def _tag(site: Site, params: Params, laid: _Laid, words: tuple[str, ...], clear: Sequence[tuple[Mm, Mm]] = ()) -> Tag | None:
    """The tag that carries the label, clear of all sleeves and of the places `clear`; what comes down on them comes from further above."""
    radius = max([_wire_radius(params), *(plan.radius for plan in laid.plans)])
    centres: list[tuple[float, float]] = [*(pin.centre for pin in laid.pins), *clear]
    centres += as_upright([np.stack([plan.at(plan.bottom), plan.at(plan.high)]) for plan in laid.plans])
    said = Words.of(words)
    return place_tag(
        site.around,
        site.seat.patch,
        [laid.plate],
        (),
        said,
        reserve=said,
        along=np.array([1.0, 0.0, 0.0]),
        plate_thickness=params.footplate_thickness,
        off_plane=0.0,
        sleeves=centres,
        sleeve_radius=radius,
    )


def _told(tag: Tag | None) -> Label:
    if tag is None:
        return Label((), 0.0)
    patch = tag.patch
    return Label(tuple(patch.lines), patch.letter_height, ((patch.frame, patch.width, patch.height),), "tag")


def _solid(site: Site, params: Params, laid: _Laid, tag: Tag | None, more: tuple[cq.Solid, ...] = ()) -> cq.Solid:
    """Everything but the letters; `more` of it that the seat cuts, too."""
    seat = site.seat.patch
    ground: Array = site.field.points[site.field.footprint]
    low = float(seat.poles.min()) - bodies.DEEP
    parts = [bodies.footplate(seat, laid.plate, thickness=params.footplate_thickness, edge_break=params.edge_break, step="footplate"), *more]
    holes = []
    for plan in laid.plans:
        upright = bodies.sleeve(np.zeros(2), diameter=2.0 * plan.radius, bottom=plan.bottom, top=plan.high, edge_break=params.edge_break)
        parts.append(bodies.placed(upright, plan.frame))
        hole = bodies.cylinder(np.zeros(2), diameter=plan.bore, bottom=plan.bottom - 3.0, top=plan.high + 3.0)
        holes.append(bodies.placed(hole, plan.frame))
    for pin in laid.pins:
        centre, level = np.array(pin.centre), float(seat(np.array([pin.centre]))[0]) + params.sleeve_height
        parts.append(bodies.sleeve(centre, diameter=2.0 * _wire_radius(params), bottom=low, top=level, edge_break=params.edge_break))
        holes.append(bodies.cylinder(centre, diameter=_wire_bore(site, params), bottom=low - 5.0, top=level + 5.0))
    if tag is not None:
        face, patch = tag.patch.frame, tag.patch
        parts.append(label.tag(face, width=patch.width, height=patch.height, thickness=THICK, corner=CORNER, edge_break=BREAK))
        parts.append(bodies.leaning(tag.foot, face, top=-BELOW_FACE, thickness=THICK - BELOW_FACE - 0.2))
        parts += [bodies.leaning(leg, face, top=-THICK / 2.0, bottom=low) for leg in tag.stands]
    body = checked.fuse("bodies", parts[0], *parts[1:])
    return bodies.on_seat("seat and bores", body, seat, where=ground, holes=holes)
