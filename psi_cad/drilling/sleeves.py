"""Where each sleeve begins to guide its tool all round, where it stops it, and where sleeves and tools would be in each other's way."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError, either
from psi_cad.frames import Frame
from psi_cad.guides.params import SleeveParams, possible
from psi_cad.guides.site import Site, Way
from psi_cad.siting.about import tilt_of
from psi_cad.siting.spline import HeightSpline, inside
from psi_cad.surface.lines import segments_apart
from psi_cad.units import LIMITS, Array, Mm

__all__ = ["OPEN_MM", "SleevePlan", "plan_sleeves", "refuse_crossing"]

TURNS: Final = 48  # generators of a sleeve that are followed down to the seat
STEP_MM: Final[Mm] = 0.05
LOWEST_MM: Final[Mm] = 25.0  # below the entry, where a sleeve's lowest generator is looked for
FREE_MM: Final[Mm] = 0.1  # above the seat's highest point round a sleeve, before its guided length counts
BELOW_MM: Final[Mm] = 2.5  # a sleeve is drawn so far below its lowest point on the seat, which cuts it
STOP_STEP: Final[Mm] = 1.0  # a stop is a whole number of mm, so that a collar can be set to it
RAISE_MOST_MM: Final[Mm] = 10.0  # that a sleeve is raised for its stop face to be free of another
OPEN_MM: Final[Mm] = 40.0  # above a stop face nothing of the guide stands in the way of the chuck that comes down on it
FLUSH_MM: Final[Mm] = 0.1  # below a stop face: what is higher there may touch the chuck
EDGE_MM: Final[Mm] = 1.0  # of seat left round a sleeve


@dataclass(frozen=True)
class SleevePlan:
    """One sleeve; lengths along its axis above the entry, mm: `bottom` below the seat, `low` to `high` where it guides; `high` is its stop face."""

    way: Way
    bore: Mm
    radius: Mm
    bottom: Mm
    low: Mm
    high: Mm
    stop: Mm

    @property
    def frame(self) -> Frame:
        """At the entry, z along the axis."""
        return Frame.from_z(origin=self.way.entry, z=self.way.out, x_near=np.eye(3)[int(np.argmin(np.abs(self.way.out)))])

    def at(self, up: Mm) -> Array:
        """The point (3,) of the axis so far above the entry."""
        return np.asarray(self.way.entry + up * self.way.out)

    def seen(self, top: Mm, *, grow: Mm = 0.0) -> shapely.Polygon:
        """The sleeve up to `top` as seen along the seating axis."""
        return shapely.LineString([self.at(self.bottom + BELOW_MM)[:2], self.at(top)[:2]]).buffer(self.radius + grow)

    def foot(self) -> shapely.Polygon:
        """Where it stands on the seat."""
        return self.seen(max(self.low, 0.0))


def plan_sleeves(site: Site, params: SleeveParams) -> list[SleevePlan]:
    """A sleeve for each trajectory of the site.

    Raises
    ------
    DesignError
        Where one leans too far, its tool is too short, or it is in another's way; its `where` is in the guide frame.
    """
    plans = _raised([_planned(site, way, params) for way in site.ways], params)
    ground = shapely.box(*site.seat.patch.bounds).buffer(-EDGE_MM)
    for plan in plans:
        if not ground.contains(plan.seen(plan.high)):
            raise DesignError(
                f"trajectory '{plan.way.name}': its sleeve would leave the seat, because it leans {_leans(plan.way):.0f}° from the seating axis; "
                f"{either(['give an approach nearer to it', *possible(params, 'lower params.guided')])}.",
                where=plan.way.entry,
                reason="lean",
            )
    for one, two in itertools.combinations(plans, 2):
        spans = (one.bottom, one.high), (two.bottom, two.high)
        refuse_crossing((one.way, two.way), spans, params, more=site.printer.hole_compensation)
    return plans


def _raised(plans: list[SleevePlan], params: SleeveParams) -> list[SleevePlan]:
    """`plans`, a sleeve raised by some whole mm where another would stand before its stop face.

    Raises
    ------
    DesignError
        Where that frees it not, or its tool is too short for it.
    """
    raised = list(plans)
    while True:
        blocked = next(((i, j) for i, j in itertools.permutations(range(len(plans)), 2) if _before_stop(raised[i], raised[j])), None)
        if blocked is None:
            return raised
        one, two = (raised[number] for number in blocked)
        higher = replace(one, high=one.high + STOP_STEP, stop=one.stop + STOP_STEP)
        if higher.stop > one.way.tool.usable_length or higher.high > plans[blocked[0]].high + RAISE_MOST_MM:
            raise DesignError(
                f"trajectories '{one.way.name}' and '{two.way.name}': the sleeve of '{two.way.name}' would stand before the stop face of "
                f"'{one.way.name}'; {either(['move the entries apart', *possible(params, 'lower params.sleeve_wall'), 'make a guide for each'])}.",
                where=one.at(one.high),
            )
        raised[blocked[0]] = higher


def _leans(way: Way) -> float:
    return tilt_of(way.out, np.array([0.0, 0.0, 1.0]))


def _planned(site: Site, way: Way, params: SleeveParams) -> SleevePlan:
    if _leans(way) > params.lean_limit:
        raise DesignError(
            f"trajectory '{way.name}' leans {_leans(way):.0f}° from the seating axis, and a sleeve may lean {params.lean_limit:g}°; "
            f"{either(['give an approach nearer to it', *possible(params, 'raise params.lean_limit')])}.",
            where=way.entry,
            reason="lean",
        )
    bore = way.tool.diameter + params.bore_clearance + site.printer.hole_compensation
    if bore <= params.bore_clearance / 2.0:
        raise DesignError(f"The bore of '{way.name}' would be {bore:.2f} mm wide; check the tool's diameter and the printer's hole_compensation.")
    radius = bore / 2.0 + params.sleeve_wall + LIMITS.stl_chord  # so that a wall of triangles is as thick, too
    least, most = _seat_round(site.seat.patch, way, radius, params.most_rise(way.tool.diameter))
    low = most + FREE_MM
    stop = math.ceil((low + params.guided + way.depth) / STOP_STEP - 1e-9) * STOP_STEP
    if stop - way.depth > params.most_rise(way.tool.diameter):
        raise DesignError(
            f"trajectory '{way.name}' meets the bone so slantingly that its sleeve is whole only {low:.1f} mm above the entry; "
            f"{either(['give a direction nearer to the outward one of the bone', *possible(params, 'lower params.sleeve_wall')])}.",
            where=way.entry,
        )
    if stop > way.tool.usable_length:
        raise DesignError(
            f"trajectory '{way.name}': {stop:g} mm lie between its stop face and the planned tip, and {way.tool.kind} {way.tool.id} has "
            f"{way.tool.usable_length:g} mm of usable length; "
            f"{either(['take a longer tool', *possible(params, 'lower params.guided'), 'lower the depth of the trajectory'])}.",
            where=way.entry,
        )
    return SleevePlan(way, bore, radius, least - BELOW_MM, low, stop - way.depth, stop)


def _seat_round(seat: HeightSpline, way: Way, radius: Mm, highest: Mm) -> tuple[Mm, Mm]:
    """The least and the greatest height above the entry at which a line of the sleeve's outside leaves the seat for good.

    Raises
    ------
    DesignError
    """
    frame = Frame.from_z(origin=way.entry, z=way.out, x_near=np.eye(3)[int(np.argmin(np.abs(way.out)))])
    turns = np.arange(TURNS) * 2.0 * np.pi / TURNS
    ups = np.arange(-LOWEST_MM, highest, STEP_MM)
    ring = np.column_stack([radius * np.cos(turns), radius * np.sin(turns)])
    flat = np.column_stack([np.repeat(ring, len(ups), axis=0), np.tile(ups, TURNS)])
    points = frame.patient(flat)
    on = inside(seat, points[:, :2])
    below = np.zeros(len(points), dtype=bool)
    below[on] = points[on][:, 2] <= seat(points[on][:, :2])
    under = below.reshape(TURNS, -1)
    if not under.any(axis=1).all() or under[:, -1].any():
        raise DesignError(
            f"trajectory '{way.name}': its sleeve would leave the seat, because it leans {_leans(way):.0f}° from the seating axis; "
            "give an approach nearer to it.",
            where=way.entry,
            reason="lean",
        )
    last = ups[len(ups) - 1 - np.argmax(under[:, ::-1], axis=1)] + STEP_MM
    return float(last.min()), float(last.max())


def refuse_crossing(ways: tuple[Way, Way], spans: tuple[tuple[Mm, Mm], tuple[Mm, Mm]], params: SleeveParams, *, more: Mm = 0.0) -> None:
    """Refuse two bores with less than a wall between them, and tools that come too near to each other.

    `spans`: of each sleeve, above the entry; `more`: what the printer adds to a bore.

    Raises
    ------
    DesignError
    """
    names, wall = f"trajectories '{ways[0].name}' and '{ways[1].name}'", params.sleeve_wall
    bores = [(way.entry + low * way.out, way.entry + high * way.out) for way, (low, high) in zip(ways, spans, strict=True)]
    away, place = segments_apart(bores[0], bores[1])
    between = away - sum(way.tool.diameter + params.bore_clearance + more for way in ways) / 2.0
    if between < wall:
        raise DesignError(
            f"{names}: {max(between, 0.0):.1f} mm would be left between their bores, and a wall of {wall:g} mm belongs there; "
            f"{either(['move the entries apart', *possible(params, 'lower params.sleeve_wall'), 'make a guide for each'])}.",
            where=place,
        )
    tools = [(way.entry - way.depth * way.out, way.entry + high * way.out) for way, (_, high) in zip(ways, spans, strict=True)]
    away, place = segments_apart(tools[0], tools[1])
    between = away - (ways[0].tool.diameter + ways[1].tool.diameter) / 2.0
    if between < params.tool_clearance:
        met = f"come within {between:.1f} mm of each other" if between > 0.0 else "cross"
        raise DesignError(
            f"{names}: their tools {met}, and params.tool_clearance asks for {params.tool_clearance:g} mm; "
            f"{either(['move a trajectory', *possible(params, 'lower tool_clearance')])}.",
            where=place,
        )


def _before_stop(one: SleevePlan, two: SleevePlan) -> bool:
    """Whether the second sleeve stands above the first's stop face, where its chuck comes down."""
    turns = np.arange(TURNS) * 2.0 * np.pi / TURNS
    ups = np.append(np.arange(two.bottom, two.high, 0.5), two.high)
    ring = np.column_stack([two.radius * np.cos(turns), two.radius * np.sin(turns)])
    flat = np.vstack([np.column_stack([np.repeat(scale * ring, len(ups), axis=0), np.tile(ups, TURNS)]) for scale in (0.0, 0.5, 1.0)])
    there = one.frame.local(two.frame.patient(flat))
    above = (there[:, 2] > one.high - FLUSH_MM) & (there[:, 2] < one.high + OPEN_MM) & (np.hypot(there[:, 0], there[:, 1]) < one.radius)
    return bool(above.any())
