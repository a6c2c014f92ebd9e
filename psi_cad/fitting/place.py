"""The options that a saw guide was asked for, each where it has room: what a template turns its parameters into, and the features that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from psi_cad.brep.slab import fence_level
from psi_cad.errors import DesignError
from psi_cad.fitting import leaning
from psi_cad.fitting.extras import Extras
from psi_cad.fitting.flap import place_flap
from psi_cad.fitting.grip import place_grip
from psi_cad.fitting.hanging import refuse_hanging
from psi_cad.fitting.inserts import place_inserts, refuse_shoulderless
from psi_cad.fitting.relief import OFF_SLEEVE_MM, OFF_WINDOW_MM, place_relief, refuse_sliding, refuse_thin, refuse_uneven
from psi_cad.fitting.stops import refuse_unfit
from psi_cad.fitting.windows import Keep, place_windows
from psi_cad.frames import triple
from psi_cad.guides.site import Site
from psi_cad.labelling import raising
from psi_cad.labelling.placed import PAD
from psi_cad.labelling.scaling import Scale
from psi_cad.options.flap import Flap
from psi_cad.options.grip import Grip
from psi_cad.options.insert import Insert
from psi_cad.options.opening import BESIDE_MM, Opening
from psi_cad.options.relief import Relief
from psi_cad.options.standing import Standing
from psi_cad.options.stop import Stop
from psi_cad.options.window import Window
from psi_cad.readback.corridor import Corridor
from psi_cad.resection.depth import slot_depth
from psi_cad.sawing.opening import joined_to
from psi_cad.sawing.plan import SlotPlan
from psi_cad.sawing.slots import stepped_heights
from psi_cad.siting.pins import Pin
from psi_cad.units import Array, Deg, Mm

__all__ = ["Asked", "FlapAsked", "GripAsked", "InsertAsked", "place_extras", "refuse_anywhere", "scale_of"]

OFF_JOINT_MM: Final[Mm] = 5.0  # by a joint the walls of two fences meet


@dataclass(frozen=True)
class FlapAsked:
    """A flap: see `place_flap`."""

    side: int
    height: Mm
    width: Mm
    thickness: Mm
    angle: Deg
    clearance: Mm


@dataclass(frozen=True)
class GripAsked:
    """A grip: see `place_grip`."""

    side: int
    height: Mm
    diameter: Mm
    clearance: Mm


@dataclass(frozen=True)
class InsertAsked:
    """Metal sleeves in the wires' holes: see `place_inserts`."""

    diameter: Mm
    length: Mm
    fit: Mm
    bore: Mm
    wall: Mm


@dataclass(frozen=True)
class Asked:
    """What a guide is to have, and the sizes of the guide itself that decide where it goes; mm. None, or 0: not asked for."""

    plate: Mm
    height: Mm
    wall: Mm
    edge_break: Mm
    sleeve: Mm  # radius of a wire's sleeve
    sleeve_height: Mm
    flap: FlapAsked | None = None
    grip: GripAsked | None = None
    insert: InsertAsked | None = None
    windows: int = 0
    window_size: Mm = 0.0
    depth_stop: Mm = 0.0
    stop_allowance: Mm = 0.0
    depth_scale: Mm = 0.0
    open_end: str = ""
    bridge: Mm = 0.0
    footprint_side: int = 0
    relief_depth: Mm = 0.0
    relief_width: Mm = 0.0
    may_slide: bool = False


def refuse_anywhere(asked: Asked) -> None:
    """Refuse what is asked for and goes together on no bone, before anything is laid out on this one.

    Raises
    ------
    DesignError
        It names the parameter.
    """
    if asked.insert is not None:
        one = asked.insert
        refuse_shoulderless(diameter=one.diameter, length=one.length, fit=one.fit, bore=one.bore, top=asked.sleeve_height)
    if asked.relief_depth:
        refuse_thin(asked.relief_depth, asked.plate)


def place_extras(site: Site, asked: Asked, plans: list[SlotPlan], plates: list[shapely.Polygon], pins: list[Pin]) -> Extras:
    """Every option that was asked for; what comes first takes its room first.

    Raises
    ------
    DesignError
        Where one has no room; it names the parameter.
    """
    standing = leaning.as_upright([pin.stands(site.seat.patch, asked.sleeve_height) for pin in pins])
    flap = _flap(site, asked, plans, plates, standing)
    grip = _grip(site, asked, plans, plates, pins, flap)
    windows = _windows(site, asked, plans, plates, standing, flap, grip)
    heights = stepped_heights(site.seat.patch, plans, asked.height) if asked.depth_stop else []
    stops = tuple(_stop(site, asked, plan, height) for plan, height in zip(plans, heights, strict=bool(heights)))
    for plan in plans:
        if plan.ledge or any(plan.open_ends):
            refuse_hanging(plan, plates, site.seat.patch, wall=asked.wall, open_end=asked.open_end)
    openings = tuple(_opening(site, asked, plans, plan) for plan in plans if any(plan.open_ends))
    relief = _relief(site, asked, plans, plates, standing, windows)
    return Extras(flap, windows, stops, grip, openings, _standing(site, asked, plans), relief, _inserts(site, asked, pins))


def _standing(site: Site, asked: Asked, plans: list[SlotPlan]) -> Standing | None:
    if not asked.footprint_side:
        return None
    if len({cut.group for cut in site.sawn}) > 1:
        raise DesignError(
            f"params.footprint_side = {asked.footprint_side}: the cuts of this guide free several pieces, so it has no one side to stand on; "
            "leave footprint_side out, or give each piece a guide of its own.",
            where=plans[0].cut.origin,
        ).on_any_seat()
    past = max(plan.half_width for plan in plans) + PAD + raising.BREAK
    return Standing("footprint", asked.footprint_side, tuple((*triple(cut.origin), *triple(cut.normal)) for cut in site.cuts), past)


def _opening(site: Site, asked: Asked, plans: list[SlotPlan], plan: SlotPlan) -> Opening:
    """The open end of a slot, and what closes it, or those that it opens into, elsewhere."""
    cut, end = plan.cut, 1 if plan.open_ends[1] else -1
    start, opens = (plan.windows[-1][0], plan.high) if end > 0 else (plan.windows[0][1], plan.low)
    if not plan.free_ends[0 if end > 0 else 1] and len(plan.windows) == 1:  # beside the slot that it opens into
        start = plan.low + OFF_JOINT_MM if end > 0 else plan.high - OFF_JOINT_MM
    closed = []
    for other in (plans[number] for number in joined_to(site.cuts, plans.index(plan))):
        axes = (*triple(other.cut.origin), *triple(other.cut.normal), *triple(other.cut.blade))
        for low, high in other.bridges():
            closed.append((*axes, low - BESIDE_MM, 1.0) if end < 0 else (*axes, high + BESIDE_MM, -1.0))
        for side, free, away in zip((-1, 1), other.free_ends, other.open_ends, strict=True):
            if free and not away:
                closed.append((*axes, (other.high if side > 0 else other.low) - side * BESIDE_MM, float(side)))
    shape = (asked.wall, asked.height, asked.bridge)
    sizes = (float(start), float(opens), plan.width, site.blade.thickness, *shape)
    return Opening(cut.name, triple(cut.origin), triple(cut.normal), triple(cut.blade), end, *sizes, tuple(closed), asked.open_end)


def _corridors(plans: Sequence[SlotPlan]) -> list[Corridor]:
    return [Corridor(triple(plan.cut.origin), triple(plan.cut.normal), triple(plan.cut.along), plan.low, plan.high) for plan in plans]


def _flap(site: Site, asked: Asked, plans: list[SlotPlan], plates: list[shapely.Polygon], standing: Sequence[tuple[Mm, Mm]]) -> Flap | None:
    wanted = asked.flap
    if wanted is None:
        return None
    return place_flap(
        site.seat.patch,
        plates,
        (site.around.points, site.around.heights),
        _corridors(plans),
        standing,
        side=wanted.side,
        height=wanted.height,
        width=wanted.width,
        thickness=wanted.thickness,
        angle=wanted.angle,
        clearance=wanted.clearance,
        sleeve=asked.sleeve,
        plate_thickness=asked.plate,
    )


def _grip(site: Site, asked: Asked, plans: list[SlotPlan], plates: list[shapely.Polygon], pins: list[Pin], flap: Flap | None) -> Grip | None:
    wanted = asked.grip
    if wanted is None:
        return None
    return place_grip(
        site.seat.patch,
        plates,
        (site.around.points, site.around.heights),
        _corridors(plans),
        [(triple(pin.stands(site.seat.patch, 0.0)[0]), pin.out) for pin in pins],
        flap.over() if flap is not None else [],
        side=wanted.side,
        height=wanted.height,
        diameter=wanted.diameter,
        clearance=wanted.clearance,
        sleeve=(asked.sleeve, asked.sleeve_height),
        plate_thickness=asked.plate,
    )


def _windows(
    site: Site,
    asked: Asked,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    standing: Sequence[tuple[Mm, Mm]],
    flap: Flap | None,
    grip: Grip | None,
) -> tuple[Window, ...]:
    if not asked.windows:
        return ()
    seat = site.seat.patch
    keep: list[Keep] = [(x, y, asked.sleeve) for x, y in standing]
    keep += [(x, y, flap.thickness) for x, y in flap.over()] if flap is not None else []
    keep += [(*grip.foot[:2], grip.diameter / 2.0)] if grip is not None else []
    fences = shapely.union_all([plan.footprint(seat) for plan in plans])
    return place_windows(seat, plates, fences, keep, count=asked.windows, size=asked.window_size, plate_thickness=asked.plate)


def _relief(
    site: Site,
    asked: Asked,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    standing: Sequence[tuple[Mm, Mm]],
    windows: Sequence[Window],
) -> Relief | None:
    if not asked.relief_depth:
        return None
    keep = [(x, y, asked.sleeve + OFF_SLEEVE_MM) for x, y in standing]
    keep += [(*one.middle[:2], one.diameter / 2.0 + OFF_WINDOW_MM) for one in windows]
    fences = shapely.union_all([plan.footprint(site.seat.patch) for plan in plans])
    relief = place_relief(plates, fences, keep, depth=asked.relief_depth, width=asked.relief_width, plate_thickness=asked.plate)
    if not asked.may_slide:
        refuse_sliding(relief, plates, site.field)
    refuse_uneven(site, relief, plates)
    return relief


def _inserts(site: Site, asked: Asked, pins: Sequence[Pin]) -> tuple[Insert, ...]:
    wanted = asked.insert
    if wanted is None:
        return ()
    return place_inserts(
        pins,
        site.seat.patch,
        diameter=wanted.diameter,
        length=wanted.length,
        fit=wanted.fit,
        compensation=site.printer.hole_compensation,
        bore=wanted.bore,
        wall=wanted.wall,
        top=asked.sleeve_height,
    )


def scale_of(site: Site, asked: Asked, plans: list[SlotPlan], extras: Extras) -> Scale:
    """The numbers of a depth scale, as far as they are known before there is room for them."""
    tops = []
    for plan, height in zip(plans, stepped_heights(site.seat.patch, plans, asked.height), strict=True):
        tops.append(extras.stop(plan.cut.name) or _level(site, asked, plan, height))
    return Scale(asked.depth_scale, tuple(tops), tuple(_far(site, plan) for plan in plans), asked.wall)


def _level(site: Site, asked: Asked, plan: SlotPlan, height: Mm) -> tuple[Array, Array]:
    """The top of a fence: stations along it, and how high it stands there."""
    _, stations, level = fence_level(site.seat.patch, plan.slab(corner=asked.edge_break), height=height, inner=plan.half_width - asked.wall)
    return np.asarray(stations), np.asarray(level)


def _far(site: Site, plan: SlotPlan) -> tuple[tuple[Mm, Mm], ...]:
    """Lines across a cut: where along the slot, and the far side of the bone."""
    return slot_depth(next(one for one in site.sawn if one.name == plan.cut.name), site.axis.direction).deepest_lines()


def _stop(site: Site, asked: Asked, plan: SlotPlan, height: Mm) -> Stop:
    cut, blade, far = plan.cut, site.blade, _far(site, plan)
    axes = triple(cut.origin), triple(cut.normal), triple(cut.blade)
    stop = Stop(cut.name, *axes, plan.width, asked.wall, blade.cutting_width / 2.0, plan.windows, far, asked.depth_stop, asked.stop_allowance)
    refuse_unfit(stop, _level(site, asked, plan, height), height=height, usable=blade.usable_length, blade=blade.id)
    return stop
