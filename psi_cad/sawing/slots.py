"""How long each slot is, where it ends, and where neighbouring slots would collide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import shapely

from psi_cad.brep.slab import Slab, rise_along
from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.guides.site import Site, SiteCut, slot_room
from psi_cad.sawing.opening import OPEN_RIM, SHARE, joined_to, open_ends, refuse_parted
from psi_cad.sawing.plan import Joint, SlotPlan
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

__all__ = ["plan_slots", "refuse_off_seat", "stepped_heights"]

PAST_JOINT: Final[Mm] = 12.0  # how far a joined fence is drawn past its joint before the neighbour's plane cuts it
LEAST_RUN_OUT: Final[Mm] = 0.5
STEP_UP: Final[Mm] = 0.5  # between the tops of fences that meet, so that no two curved faces coincide
PAST_OPEN: Final[Mm] = 40.0  # how far an open slot is cut past its fence, through all that might close it


def plan_slots(
    site: Site,
    *,
    width: Mm,
    wall: Mm,
    end_wall: Mm,
    run_out: Mm,
    height: Mm,
    bridge_over: Mm,
    bridge_width: Mm,
    open_end: str = "",
    ledge: int = 0,
) -> list[SlotPlan]:
    """A slot for each cut of the site.

    A free end runs `run_out` past the bone, and the slot is never shorter than the blade needs to swing. An end that
    another cut bounds stops in that cut's own slot: the two open into each other along one clean mitre, and leave no
    wedge. A free end that would run into another fence is cut back, but never into the bone's chord.

    At an open end (`open_end`: a way in words) a slot runs out of its fence. Its other end, and those of slots that it opens into, are then closed
    by no less than a bridge, and half as long a stretch is left without one.

    With a `ledge` (a side, see `SlotFeature`) there is one wall, which ends as broken edges do, and no bridge.

    Raises
    ------
    DesignError
        Where two cuts lie too close for a wall between them; its `where` is in the guide frame.
    """
    room = slot_room(site.blade)
    half = SlotPlan.outer_half(width, wall)
    if ledge:
        end_wall, bridge_over = OPEN_RIM, math.inf
    plans = []
    opened = open_ends(site, open_end)
    for number, cut in enumerate(site.cuts):
        walls = _end_walls(site, opened, number, end_wall, bridge_width)
        joints = tuple(
            Joint(site.cuts[n].origin, side * site.cuts[n].normal, width / 2.0, side)
            for side, ends in ((1.0, cut.neighbours), (-1.0, cut.beside))
            for n, _ in ends
        )
        free = cut.free
        runs = (free[0] and -1 not in cut.stops, free[1] and 1 not in cut.stops)  # else into a piece that the blade is not to saw
        low, high = cut.low - (run_out if runs[0] else 0.0), cut.high + (run_out if runs[1] else 0.0)
        lacking = max(0.0, room - (high - low))
        share = lacking / max(1, sum(runs))
        low, high = low - (share if runs[0] else 0.0), high + (share if runs[1] else 0.0)
        low, high, told = _within_room(site, number, low, high, free, walls, room)
        plans.append(SlotPlan(cut, width, half, low, high, 0.0, 0.0, (), joints, free, told, opened[number], ledge))
    plans = [_kept_apart(site, number, plans, height) for number in range(len(plans))]
    plans = [
        _finished(site, plan, room, _end_walls(site, opened, number, end_wall, bridge_width), bridge_over, bridge_width)
        for number, plan in enumerate(plans)
    ]
    refuse_parted(site, opened, [len(plan.windows) > 1 for plan in plans])
    refuse_off_seat(site, plans, shapely.box(*site.seat.patch.bounds).buffer(-1.0))
    return plans


def refuse_off_seat(site: Site, plans: Sequence[SlotPlan], ground: shapely.Geometry) -> None:
    """Refuse fences that would not stand on the seat.

    Raises
    ------
    DesignError
    """
    for plan in plans:
        if not ground.contains(plan.footprint(site.seat.patch)):
            raise DesignError(
                f"guide.approach: the fence of cut '{plan.cut.name}' would leave the seat; give an approach closer to the cut's plane.",
                where=_on_seat(site, plan.cut, plan.fence_high if not _stands(site, plan, plan.fence_high) else plan.fence_low),
                reason="off-seat",
            )


def _on_seat(site: Site, cut: SiteCut, s: Mm) -> Array:
    """The point (3,) of the seat at `s` along a cut, guide frame."""
    slab = Slab(origin=cut.origin, normal=cut.normal, blade=cut.blade, half_width=1.0, low=cut.low, high=cut.high)
    rise = float(rise_along(site.seat.patch, slab, np.array([[0.0, s]]))[0])
    return np.asarray(cut.origin + s * cut.along + rise * cut.blade)


def _stands(site: Site, plan: SlotPlan, s: Mm) -> bool:
    """Whether a fence's end at `s` stands on the seat."""
    return bool(shapely.box(*site.seat.patch.bounds).buffer(-1.0).contains(shapely.Point(*_on_seat(site, plan.cut, s)[:2])))


def _end_walls(site: Site, opened: Sequence[tuple[bool, bool]], number: int, end_wall: Mm, bridge_width: Mm) -> tuple[Mm, Mm]:
    """How far a fence goes past its slot at each free end."""
    closed = max(end_wall, bridge_width) if any(any(opened[one]) for one in joined_to(site.cuts, number)) else end_wall
    low, high = (OPEN_RIM if one else closed for one in opened[number])
    return low, high


def _within_room(
    site: Site, number: int, low: Mm, high: Mm, free: tuple[bool, bool], walls: tuple[Mm, Mm], room: Mm
) -> tuple[Mm, Mm, tuple[Caution, ...]]:
    """A slot's ends drawn back to where its fence stands clear of bone, made up for at the other end where it can be."""
    cut, clear = site.cuts[number], site.room[number]
    least, most = clear[0] + walls[0], clear[1] - walls[1]
    told = []
    if free[0] and low < least:
        told.append(
            Caution("short-run-out", f"the slot of {cut.name} runs only {cut.low - least:.1f} mm past the bone at one end: bone stands beside it")
        )
        high = min(high + max(0.0, room - (high - least)), most) if free[1] else high
        low = least
    if free[1] and high > most:
        told.append(
            Caution("short-run-out", f"the slot of {cut.name} runs only {most - cut.high:.1f} mm past the bone at one end: bone stands beside it")
        )
        low = max(low - max(0.0, room - (most - low)), least) if free[0] else low
        high = most
    spare = tuple(0.0 if end in cut.stops else LEAST_RUN_OUT for end in (-1, 1))
    if (free[0] and low > cut.low - spare[0] + 1e-9) or (free[1] and high < cut.high + spare[1] - 1e-9):
        raise DesignError(
            f"guide.approach: bone stands up beside the end of cut '{cut.name}', so its slot cannot reach past the cut; "
            "give another approach, or a smaller end_wall.",
            where=_on_seat(site, cut, cut.low if free[0] and low > cut.low - spare[0] + 1e-9 else cut.high),
            reason="beside-end",
        )
    return low, high, tuple(told)


def _kept_apart(site: Site, number: int, plans: Sequence[SlotPlan], height: Mm) -> SlotPlan:
    """`plans[number]` with its free ends drawn back from the slots of cuts it is not joined to."""
    plan = plans[number]
    joined = set(plan.cut.joined)
    for other_number, other in enumerate(plans):
        if other_number == number or other_number in joined:
            continue
        gap = (plan.width + other.width) / 2.0 + (plan.half_width - plan.width / 2.0)
        s = np.arange(plan.low, plan.high + 0.25, 0.25)
        flat = np.column_stack([np.zeros(len(s)), s])
        slab = plan.slab(corner=0.0)
        rise = rise_along(site.seat.patch, slab, flat)
        clash = np.zeros(len(s), dtype=bool)
        for up in (0.0, height / 2.0, height):
            off = slab.frame.patient(np.column_stack([flat, rise + up])) - other.cut.origin
            along = off @ other.cut.along
            clash |= (np.abs(off @ other.cut.normal) < gap) & (along > other.low - gap) & (along < other.high + gap)
        if not clash.any():
            continue
        in_bone = clash & (s > plan.cut.low) & (s < plan.cut.high)
        if in_bone.any():
            raise DesignError(
                f"guide.cuts: the slots of '{plan.cut.name}' and '{other.cut.name}' leave less than a wall of "
                f"{plan.half_width - plan.width / 2.0:.1f} mm between them beside the bone; put the cuts in separate guides.",
                where=_on_seat(site, plan.cut, float(s[in_bone].mean())),
            )
        below = s[clash & (s <= plan.cut.low)]
        above = s[clash & (s >= plan.cut.high)]
        low = min(float(below.max()) + 0.25, plan.cut.low) if len(below) else plan.low
        high = max(float(above.min()) - 0.25, plan.cut.high) if len(above) else plan.high
        if (plan.cut.low - low < LEAST_RUN_OUT - 1e-9 and len(below)) or (high - plan.cut.high < LEAST_RUN_OUT - 1e-9 and len(above)):
            raise DesignError(
                f"guide.cuts: the slot of '{plan.cut.name}' has no room past the bone beside '{other.cut.name}'; put the cuts in separate guides.",
                where=_on_seat(site, plan.cut, float(s[clash].mean())),
            )
        short = Caution("short-run-out", f"the slot of {plan.cut.name} runs less far past the bone than asked, beside the slot of {other.cut.name}")
        plan = replace(plan, low=low, high=high, cautions=(*plan.cautions, short))
    return plan


def _finished(site: Site, plan: SlotPlan, room: Mm, walls: tuple[Mm, Mm], bridge_over: Mm, bridge_width: Mm) -> SlotPlan:
    length = plan.high - plan.low
    cautions = list(plan.cautions)
    if length < room - 1e-6 and all(plan.free_ends):
        raise DesignError(
            f"guide.blade: the slot of '{plan.cut.name}' can be only {length:.0f} mm long, "
            f"the blade needs {room:.0f} mm to swing; take a narrower blade.",
            where=_on_seat(site, plan.cut, (plan.low + plan.high) / 2.0),
            reason="blade-room",
        )
    windows = _windows(plan, room, bridge_over, bridge_width)
    longest = bridge_over * (SHARE if any(plan.open_ends) else 1.0)
    if len(windows) == 1 and length > longest:
        stays = "is open at one end" if any(plan.open_ends) else f"is {length:.0f} mm long"
        told = (
            f"the slot of {plan.cut.name} {stays} and has no bridge, because the blade needs {room:.0f} mm in each window; "
            "handle the guide with care, or take a narrower blade"
        )
        cautions.append(Caution("slot-without-bridge", told))
    fence_low = plan.low - (walls[0] if plan.free_ends[0] else PAST_JOINT)
    fence_high = plan.high + (walls[1] if plan.free_ends[1] else PAST_JOINT)
    if not plan.free_ends[0]:
        windows[0][0] -= PAST_JOINT  # its neighbour's plane ends it
    if not plan.free_ends[1]:
        windows[-1][1] += PAST_JOINT
    if plan.open_ends[0]:
        windows[0][0] = fence_low - PAST_OPEN
    if plan.open_ends[1]:
        windows[-1][1] = fence_high + PAST_OPEN
    return replace(
        plan,
        fence_low=fence_low,
        fence_high=fence_high,
        windows=tuple((float(low), float(high)) for low, high in windows),
        cautions=tuple(cautions),
    )


def _windows(plan: SlotPlan, room: Mm, bridge_over: Mm, bridge_width: Mm) -> list[list[Mm]]:
    """Where a slot is open between its ends: as many bridges as a long one needs, and the blade has room between."""
    low, high = plan.low, plan.high
    if any(plan.open_ends):
        free = max(room, SHARE * bridge_over)  # the stretch that hangs on one bridge alone
        rest = high - low - free - bridge_width
        if high - low <= SHARE * bridge_over or rest < room:
            return [[low, high]]
        whole = _shared(low + free + bridge_width, high, room, bridge_over, bridge_width)
        last = [low, low + free]
        if plan.open_ends[0]:
            return [last, *whole]
        return [[low + high - b, low + high - a] for a, b in reversed([last, *whole])]
    return _shared(low, high, room, bridge_over, bridge_width)


def _shared(low: Mm, high: Mm, room: Mm, bridge_over: Mm, bridge_width: Mm) -> list[list[Mm]]:
    """A stretch in windows of one length."""
    length = high - low
    count = max(1, math.ceil(length / bridge_over))
    while count > 1 and (length - (count - 1) * bridge_width) / count < room:
        count -= 1
    window = (length - (count - 1) * bridge_width) / count
    starts = [low + number * (window + bridge_width) for number in range(count)]
    return [[start, start + window] for start in starts]


def stepped_heights(seat: HeightSpline, plans: list[SlotPlan], height: Mm) -> list[Mm]:
    """Guided heights of the fences; where two meet, the second stands a step higher."""
    heights: list[Mm] = []
    for number, plan in enumerate(plans):
        taken = [heights[other] for other in range(number) if plan.meets(plans[other], seat)]
        height_here = height
        while any(abs(height_here - other) < STEP_UP - 1e-9 for other in taken):
            height_here += STEP_UP
        heights.append(height_here)
    return heights
