"""The site of a guide: everything a template needs to know of the bone, the cuts, the blade and the printer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from psi_cad.case.model import Blade, Printer
from psi_cad.errors import DesignError, PsiCadError, SeatError
from psi_cad.frames import Frame, unit
from psi_cad.guides.ground import NOT_EASED, Ground, SiteCut, Surroundings, followed, ground, levels, rectangle_of, rounded, undercuts_walls
from psi_cad.guides.params import GuideParams
from psi_cad.guides.parts import one_part
from psi_cad.guides.seating import Sat, Seating, Tried, contact_sliding, settled
from psi_cad.guides.sharing import Workshop
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.access import accessible_field
from psi_cad.siting.axis import SeatingAxis, blade_axes, seating_axes, site_frame, tilt_of, ways_aside
from psi_cad.siting.cliffs import cliff_of
from psi_cad.siting.seat import HeightField, Seat
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Deg, Mm

__all__ = ["Site", "SiteCut", "Surroundings", "blade_origin", "make_site", "seating_for", "slot_room"]

FENCE_MARGIN: Final[Mm] = 9.0  # slot end wall, outer faces and a rim around the fence on the patch
RIM_MM: Final[Mm] = 4.0  # of the patch past the footplates' reach
EASED: Final = ("steep", "bone-in-way", "seat")  # reasons for which the ground is eased
ROOM_STEP: Final[Mm] = 5.0


@dataclass(frozen=True)
class Site:
    """Where a guide goes. All geometry is in `frame` (the guide frame: z the seating axis), mm.

    The cuts lie where the blade runs, in the middle of its kerf: `shifts` tells how far from each planned plane that is, for every
    cut of the case and along its normal, and `sawn` are the guide's own cuts there, patient mm.
    """

    frame: Frame
    seating: Seating
    cuts: tuple[SiteCut, ...]
    planes: tuple[tuple[Array, Array], ...]  # of every cut of the case: pins keep clear of all
    field: HeightField
    seat: Seat
    around: Surroundings
    room: tuple[tuple[Mm, Mm], ...]  # for each cut, the stretch along its slot where a fence stands clear of bone
    blade: Blade
    printer: Printer
    label: tuple[str, ...]
    sawn: tuple[PlannedCut, ...] = ()
    shifts: tuple[Mm, ...] = ()
    attempt: int = 0  # raised where a Boolean failed, for a template to draw its outlines a little otherwise

    @property
    def axis(self) -> SeatingAxis:
        """The seating axis, patient frame."""
        return self.seating.axis

    def slot_width(self, clearance: Mm) -> Mm:
        """Blade thickness, the clearance, and what the printer closes up."""
        return self.blade.thickness + clearance + self.printer.slot_compensation


class _Laid(NamedTuple):
    """What a way to sit asks for: its frame, the cuts in it, the rectangle (guide frame, mm) a guide can cover, the stretch of each fence."""

    frame: Frame
    cuts: tuple[SiteCut, ...]
    rectangle: tuple[Mm, Mm, Mm, Mm]
    room: tuple[tuple[Mm, Mm], ...]


def slot_room(blade: Blade) -> Mm:
    """Least slot length for a blade and its sweep, in steps of 5 mm so that similar blades share a body."""
    return float(np.ceil(blade.room / ROOM_STEP - 1e-9) * ROOM_STEP)


def make_site(
    bone: Bone,
    caster: RayCaster,
    cuts: Sequence[PlannedCut],
    every_cut: Sequence[PlannedCut],
    *,
    approach: Array,
    params: GuideParams,
    blade: Blade,
    printer: Printer,
    label: tuple[str, ...],
    shifts: Mapping[str, Mm],
    workshop: Workshop,
    laid_out: Callable[[Site], object] | None = None,
    short: Callable[[SeatingAxis, Mm], str] | None = None,
    but: Sequence[Tried] = (),
) -> Site:
    """Choose how the guide sits, find the contact, fit the seat.

    `cuts` lie where the blade runs, `every_cut` as planned; `shifts` (mm, along the normals) lead from these to those.
    What several blades have in common is made once in `workshop`. `laid_out` raises where slots, footplates or wires
    find no room at a site; `short` tells in what a blade is too short along an axis, its guide some mm off the bone ("": in
    nothing); `but` are ways to sit that turned out bad. See `seating.settled`.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    part = one_part(bone, cuts)

    def laid(seating: Seating) -> _Laid:
        frame = site_frame(cuts, seating.axis.direction)
        local = tuple(_site_cut(frame, cut, cuts) for cut in cuts)
        beyond = max(max(params.run_out, (slot_room(blade) - cut.chord) / 2.0) for cut in local) + FENCE_MARGIN
        beyond = float(np.ceil(beyond / 10.0) * 10.0)
        rectangle = rounded(rectangle_of(local, [levels(frame, cut) for cut in cuts], reach=seating.reach + RIM_MM, beyond=beyond))
        room = tuple((cut.low - beyond + 1.0, cut.high + beyond - 1.0) for cut in local)
        return _Laid(frame, local, rectangle, room)

    def field_of(seating: Seating) -> HeightField:
        at = laid(seating)
        return workshop.made(
            accessible_field,
            bone,
            caster,
            at.frame,
            cuts,
            rectangle=at.rectangle,
            reach=seating.reach,
            beyond=1.0,
            fences=at.room,
            slope_limit=seating.slope_limit,
            part=part,
        )

    def hold(seating: Seating) -> float:
        return workshop.made(contact_sliding, field_of(seating)).lock

    def sit(seating: Seating) -> Sat[Site]:
        frame, local, rectangle, stretch = laid(seating)
        first = field_of(seating)

        def make(easing: bool) -> Ground:
            return workshop.made(
                ground,
                bone,
                caster,
                frame,
                cuts,
                local,
                first=first,
                rectangle=rectangle,
                room=stretch,
                seating=seating,
                gap=params.seat_gap,
                part=part,
                easing=easing,
            )

        field, seat, around, room = _gentle_ground(make, frame, local)
        planes = tuple((frame.local(blade_origin(cut, shifts[cut.name])), frame.local_direction(cut.normal)) for cut in every_cut)
        away = tuple(shifts[cut.name] for cut in every_cut)
        site = Site(frame, seating, local, planes, field, seat, around, room, blade, printer, label, tuple(cuts), away)
        if laid_out is not None:
            laid_out(site)
        lock = None if params.allow_sliding else workshop.made(contact_sliding, site.field).lock
        return Sat(site, lock, ahead(site.axis, site.seat.gap))

    def ahead(axis: SeatingAxis, gap: Mm = params.seat_gap) -> str:
        return short(axis, gap) if short is not None else ""

    def look_about(way: Array, reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        return workshop.made(_looked, bone, caster, cuts, approach=way, cone=params.axis_search, reach=reach, slope_limit=slope_limit, part=part)

    def look(reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        return look_about(approach, reach, slope_limit)

    def aside(reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        found = []
        for way in ways_aside(cuts, approach) if params.axis_search > 0.0 else ():
            try:
                best = look_about(way, reach, slope_limit)[0]
            except DesignError:  # no bone is met from there; that is no reason to refuse the approach as asked
                continue
            found.append(replace(best, tilt=tilt_of(best.direction, unit(approach))))
        return found

    asked = params.footplate_reach, params.slope_limit
    seating, site = settled(*asked, look, sit, aside=aside, ahead=ahead, hold=hold, may_slide=params.allow_sliding, but=but)
    return replace(site, seating=seating)


def _gentle_ground(make: Callable[[bool], Ground], frame: Frame, cuts: tuple[SiteCut, ...]) -> Ground:
    """The ground as it is, or eased where its seat is too steep to build on, or does not follow it, or not rise over bone under the fence.

    `make` gives the ground, eased or not.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    plain, why = _without_cliff(make, frame, easing=False)
    if plain is not None and not undercuts_walls(plain[1].patch, plain[0], cuts):
        return plain
    if why is not None and why.reason not in EASED:
        raise why
    gentle, why_not = _without_cliff(make, frame, easing=True)
    if gentle is not None:
        return gentle
    if plain is not None:  # its walls may do all the same
        return plain
    assert why is not None and why_not is not None
    raise why if why_not.reason == NOT_EASED else why_not


def _without_cliff(make: Callable[[bool], Ground], frame: Frame, *, easing: bool) -> tuple[Ground, None] | tuple[None, PsiCadError]:
    try:
        found = make(easing)
    except (DesignError, SeatError) as error:
        return None, error
    field, seat = found[:2]
    cliff = cliff_of(seat.patch, field.points[field.footprint], name="seat")
    return (found, None) if cliff is None else (None, DesignError(cliff.said, where=frame.patient(cliff.place), reason="steep"))


def blade_origin(cut: PlannedCut, shift: Mm) -> Array:
    """A cut's origin (3,) moved to where the blade runs; where that is the plane itself, the very same numbers."""
    return cut.origin + shift * cut.normal if shift else cut.origin


def seating_for(bone: Bone, caster: RayCaster, cuts: Sequence[PlannedCut], *, approach: Array, params: GuideParams) -> Seating:
    """How a guide over `cuts` would sit, whatever its blade is: as `make_site` finds it unless a blade or a seat asks for another way.

    Raises
    ------
    DesignError
        Where the cuts lie on separate bones, or no direction gives enough contact.
    """
    part = one_part(bone, cuts)

    def look(reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        return _looked(bone, caster, cuts, approach=approach, cone=params.axis_search, reach=reach, slope_limit=slope_limit, part=part)

    def sit(seating: Seating) -> Sat[None]:
        frame = site_frame(cuts, seating.axis.direction)
        local = tuple(_site_cut(frame, cut, cuts) for cut in cuts)
        beyond = params.run_out + FENCE_MARGIN
        rectangle = rounded(rectangle_of(local, [levels(frame, cut) for cut in cuts], reach=seating.reach + RIM_MM, beyond=beyond))
        fences = tuple((cut.low, cut.high) for cut in local)
        steepest = seating.slope_limit
        field = accessible_field(
            bone, caster, frame, cuts, rectangle=rectangle, reach=seating.reach, beyond=1.0, fences=fences, slope_limit=steepest, part=part
        )
        found = contact_sliding(field)
        if (seating.reach, steepest) != (params.footplate_reach, params.slope_limit) and found.lock >= LIMITS.sliding_lock:
            _, trimmed = followed(field, params.seat_gap, frame)  # further out the bone may be too rough to sit on
            found = found if trimmed is field else contact_sliding(trimmed)
        return Sat(None, found.lock)

    if params.allow_sliding:
        return Seating(look(params.footplate_reach, params.slope_limit)[0], params.footplate_reach, params.slope_limit)
    return settled(params.footplate_reach, params.slope_limit, look, sit)[0]


def _looked(
    bone: Bone, caster: RayCaster, cuts: Sequence[PlannedCut], *, approach: Array, cone: Deg, reach: Mm, slope_limit: Deg, part: int
) -> list[SeatingAxis]:
    return seating_axes(caster, bone.part_of_face, cuts, approach=approach, cone=cone, reach=reach, slope_limit=slope_limit, part=part)


def _site_cut(frame: Frame, cut: PlannedCut, cuts: Sequence[PlannedCut]) -> SiteCut:
    along, blade = blade_axes(cut.normal, frame.axes[2])
    low, high = cut.extent_along(along)
    neighbours = []
    for number, other in enumerate(cuts):
        if other.name in cut.neighbours:
            neighbours.append((number, -1 if float(along @ other.normal) > 0.0 else 1))
    missing = [name for name in cut.neighbours if name not in {other.name for other in cuts}]
    if missing:
        raise DesignError(
            f"guide.cuts: cut '{cut.name}' ends on cut '{missing[0]}' near {at(cut.origin)}, so both belong in one guide; add '{missing[0]}'.",
            where=cut.origin,
        )
    return SiteCut(
        name=cut.name,
        origin=frame.local(cut.origin),
        normal=frame.local_direction(cut.normal),
        along=frame.local_direction(along),
        blade=frame.local_direction(blade),
        low=low,
        high=high,
        neighbours=tuple(neighbours),
    )
