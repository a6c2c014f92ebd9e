"""The site of a guide: everything a template needs to know of the bone, the cuts, the blade and the printer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely

from psi_cad.case.model import Blade, Printer
from psi_cad.errors import DesignError, SeatError, SurfaceError
from psi_cad.frames import Frame
from psi_cad.guides.locking import Seating, Tried, contact_sliding, locked
from psi_cad.guides.params import GuideParams
from psi_cad.guides.parts import one_part
from psi_cad.guides.sharing import Workshop
from psi_cad.planning.access import accessible_field, without_spots
from psi_cad.planning.axis import SeatingAxis, blade_axes, find_seating_axis, site_frame
from psi_cad.planning.cuts import PlannedCut
from psi_cad.planning.sliding import Sliding
from psi_cad.surface.rays import RayCaster, first_hits_down
from psi_cad.surface.repair import Bone
from psi_cad.surface.seat import HeightField, Seat, fit_seat
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Deg, Mm

__all__ = ["Site", "SiteCut", "Surroundings", "blade_origin", "make_site", "seating_for", "slot_room"]

FENCE_MARGIN: Final[Mm] = 9.0  # slot end wall, outer faces and a rim around the fence on the patch
RIM_MM: Final[Mm] = 4.0  # of the patch past the footplates' reach
AROUND: Final[Mm] = 30.0  # a tag may reach so far past the field
ROOM_STEP: Final[Mm] = 5.0
ROUNDS: Final = 4
TRIMS: Final = 3
KEEP_OFF: Final[Mm] = 1.0  # from bone that stands up beside the end of a fence
FENCE_HALF: Final[Mm] = 6.0  # half of a thick fence with its label, across the cut


@dataclass(frozen=True)
class SiteCut:
    """One cut in the guide frame (mm): plane (`origin`, `normal` towards the specimen), slot axis `along`, `blade` axis.

    `low`, `high`: the extent of the section along the slot, from the origin. `neighbours`: numbers of cuts in the
    site whose planes end this one, with +1 where they end it at `high`, -1 at `low`.
    """

    name: str
    origin: Array
    normal: Array
    along: Array
    blade: Array
    low: Mm
    high: Mm
    neighbours: tuple[tuple[int, int], ...]

    @property
    def chord(self) -> Mm:
        """Length of bone along the slot."""
        return self.high - self.low


@dataclass(frozen=True)
class Surroundings:
    """What stands in and around the field: `points` (nx, ny, 2) 1 mm apart, and the first bone of any part met there, from above (nan: none)."""

    points: Array
    heights: Array


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
) -> Site:
    """Choose how the guide sits, find the contact, fit the seat.

    `cuts` lie where the blade runs, `every_cut` as planned; `shifts` (mm, along the normals) lead from these to those.
    What several blades have in common is made once in `workshop`.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    part = one_part(bone, cuts)

    def sited(seating: Seating) -> Site:
        return _site_on(
            seating,
            bone,
            caster,
            cuts,
            every_cut,
            params=params,
            blade=blade,
            printer=printer,
            label=label,
            shifts=shifts,
            part=part,
            workshop=workshop,
        )

    seating = workshop.made(seating_for, bone, caster, cuts, approach=approach, params=params)
    try:
        return sited(seating)
    except (DesignError, SeatError, SurfaceError) as error:
        if (seating.reach, seating.slope_limit) == (params.footplate_reach, params.slope_limit):
            raise
        asked = workshop.made(seating_for, bone, caster, cuts, approach=approach, params=params, widen=False)
        left = Tried(seating.reach, seating.slope_limit, seating.lock, str(error))
        return sited(replace(asked, tried=(*seating.tried, left)))


def _site_on(
    seating: Seating,
    bone: Bone,
    caster: RayCaster,
    cuts: Sequence[PlannedCut],
    every_cut: Sequence[PlannedCut],
    *,
    params: GuideParams,
    blade: Blade,
    printer: Printer,
    label: tuple[str, ...],
    shifts: Mapping[str, Mm],
    part: int,
    workshop: Workshop,
) -> Site:
    """The site of a guide that sits in a given way.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    reach, axis = seating.reach, seating.axis
    frame = site_frame(cuts, axis.direction)
    local = tuple(_site_cut(frame, cut, cuts) for cut in cuts)
    beyond = max(max(params.run_out, (slot_room(blade) - cut.chord) / 2.0) for cut in local) + FENCE_MARGIN
    beyond = float(np.ceil(beyond / 10.0) * 10.0)
    rectangle = _rectangle(local, [_levels(frame, cut) for cut in cuts], reach=reach + RIM_MM, beyond=beyond)
    field, seat, around, room = workshop.made(
        _ground, bone, caster, frame, cuts, local, rectangle=_rounded(rectangle), beyond=beyond, seating=seating, gap=params.seat_gap, part=part
    )
    planes = tuple((frame.local(blade_origin(cut, shifts[cut.name])), frame.local_direction(cut.normal)) for cut in every_cut)
    away = tuple(shifts[cut.name] for cut in every_cut)
    return Site(frame, seating, local, planes, field, seat, around, room, blade, printer, label, tuple(cuts), away)


def blade_origin(cut: PlannedCut, shift: Mm) -> Array:
    """A cut's origin (3,) moved to where the blade runs; where that is the plane itself, the very same numbers."""
    return cut.origin + shift * cut.normal if shift else cut.origin


def _ground(
    bone: Bone,
    caster: RayCaster,
    frame: Frame,
    cuts: Sequence[PlannedCut],
    local: tuple[SiteCut, ...],
    *,
    rectangle: tuple[Mm, Mm, Mm, Mm],
    beyond: Mm,
    seating: Seating,
    gap: Mm,
    part: int,
) -> tuple[HeightField, Seat, Surroundings, tuple[tuple[Mm, Mm], ...]]:
    """The height field on `rectangle`, the seat on it, what stands around, and for each cut the stretch where its fence stands clear of bone.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    room = tuple((cut.low - beyond + 1.0, cut.high + beyond - 1.0) for cut in local)
    for _ in range(ROUNDS):
        field = accessible_field(
            bone,
            caster,
            frame,
            cuts,
            rectangle=rectangle,
            reach=seating.reach,
            beyond=1.0,
            fences=room,
            slope_limit=seating.slope_limit,
            part=part,
        )
        seat, field = _followed(field, gap, frame)
        smaller = _clear_room(field, seat, local, room, frame)
        if smaller == room:
            break
        room = smaller
    return field, seat, _surroundings(caster, frame, rectangle), room


def _surroundings(caster: RayCaster, frame: Frame, rectangle: tuple[Mm, Mm, Mm, Mm]) -> Surroundings:
    x_low, y_low, x_high, y_high = rectangle
    xs, ys = np.arange(x_low - AROUND, x_high + AROUND + 0.5), np.arange(y_low - AROUND, y_high + AROUND + 0.5)
    points = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1)
    hits = first_hits_down(caster, points.reshape(-1, 2), frame=frame)
    return Surroundings(points, hits.height.reshape(points.shape[:2]))


def _followed(field: HeightField, gap: Mm, frame: Frame) -> tuple[Seat, HeightField]:
    """The seat, and the field without the spots at the rim of its contact that no seat could follow.

    Raises
    ------
    SeatError
        Where the seat does not follow the bone and leaving the spot out would cost too much contact.
    """
    for attempt in range(TRIMS + 1):
        try:
            return fit_seat(field, gap=gap, frame=frame), field
        except SeatError as error:
            smaller = without_spots(field, error.spots) if attempt < TRIMS else None
            if smaller is None:
                raise
            field = smaller
    raise AssertionError("unreachable")


def _clear_room(field: HeightField, seat: Seat, cuts: Sequence[SiteCut], room: tuple[tuple[Mm, Mm], ...], frame: Frame) -> tuple[tuple[Mm, Mm], ...]:
    """`room` drawn back from bone that stands higher than the seat can rise beside the end of a cut.

    Raises
    ------
    DesignError
        If such bone stands within the cut itself.
    """
    steep = seat.patch.steepness(field.points)
    pierced = field.bone & (seat.patch(field.points) + LIMITS.overlap / 2.0 * steep < np.nan_to_num(field.heights, nan=-np.inf))
    if not pierced.any():
        return room
    points = np.column_stack([field.points, seat.patch(field.points)])[pierced]
    standing = field.heights[pierced] - points[:, 2]
    found = []
    for cut, (low, high) in zip(cuts, room, strict=True):
        offset = points - cut.origin
        s = offset @ cut.along
        s = s[(np.abs(offset @ cut.normal) < FENCE_HALF) & (s > low) & (s < high)]
        within = (s > cut.low) & (s < cut.high)
        if within.any():
            inside = (offset @ cut.along > cut.low) & (offset @ cut.along < cut.high)
            high_up = np.where(inside & (np.abs(offset @ cut.normal) < FENCE_HALF), standing, -np.inf)
            place = frame.patient(points[int(np.argmax(high_up))])
            raise DesignError(
                f"guide.approach: bone near {at(place)} stands in the way of the fence of cut '{cut.name}'; give an approach that looks past it.",
                where=place,
                reason="bone-in-way",
            )
        below, above = s[s <= cut.low], s[s >= cut.high]
        low = max(low, float(below.max()) + KEEP_OFF) if len(below) else low
        high = min(high, float(above.min()) - KEEP_OFF) if len(above) else high
        found.append((low, high))
    return tuple(found)


def seating_for(bone: Bone, caster: RayCaster, cuts: Sequence[PlannedCut], *, approach: Array, params: GuideParams, widen: bool = True) -> Seating:
    """How a guide over `cuts` sits: its axis near `approach`, and, where it would slide, further reach or wrap that lock it.

    It does not depend on the blade. A guide that may slide sits as asked, and so does one with `widen` false.

    Raises
    ------
    DesignError
        Where the cuts lie on separate bones, or no direction gives enough contact.
    """
    part = one_part(bone, cuts)

    def look(reach: Mm, slope_limit: Deg) -> SeatingAxis:
        return find_seating_axis(
            caster,
            bone.part_of_face,
            cuts,
            approach=approach,
            cone=params.axis_search,
            reach=reach,
            slope_limit=slope_limit,
            part=part,
        )

    def sit(axis: SeatingAxis, reach: Mm, slope_limit: Deg) -> Sliding:
        frame = site_frame(cuts, axis.direction)
        local = tuple(_site_cut(frame, cut, cuts) for cut in cuts)
        beyond = params.run_out + FENCE_MARGIN
        rectangle = _rounded(_rectangle(local, [_levels(frame, cut) for cut in cuts], reach=reach + RIM_MM, beyond=beyond))
        fences = tuple((cut.low, cut.high) for cut in local)
        field = accessible_field(
            bone, caster, frame, cuts, rectangle=rectangle, reach=reach, beyond=1.0, fences=fences, slope_limit=slope_limit, part=part
        )
        found = contact_sliding(field)
        if (reach, slope_limit) != (params.footplate_reach, params.slope_limit) and found.lock >= LIMITS.sliding_lock:
            _, followed = _followed(field, params.seat_gap, frame)  # further out the bone may be too rough to sit on
            found = found if followed is field else contact_sliding(followed)
        return found

    if params.allow_sliding or not widen:
        axis = look(params.footplate_reach, params.slope_limit)
        return Seating(axis, params.footplate_reach, params.slope_limit, None, ())
    return locked(params.footplate_reach, params.slope_limit, look, sit)


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


def _rectangle(cuts: Sequence[SiteCut], levels: Sequence[tuple[Mm, Mm]], *, reach: Mm, beyond: Mm) -> tuple[Mm, Mm, Mm, Mm]:
    """The part of the guide's xy plane that a guide can cover: a leaning cut moves sideways with height."""
    corners = []
    for cut, heights in zip(cuts, levels, strict=True):
        for s in (cut.low - beyond, cut.high + beyond):
            for d in (-reach, reach):
                point = cut.origin + s * cut.along + d * cut.normal
                corners += [(point + (z - point[2]) / cut.blade[2] * cut.blade)[:2] for z in heights]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _levels(frame: Frame, cut: PlannedCut) -> tuple[Mm, Mm]:
    """Least and greatest height (guide frame) of bone one can meet from above at a cut: the upper half of its section."""
    z = frame.local(cut.patient(shapely.get_coordinates(cut.section)))[:, 2]
    return float(z.min() + z.max()) / 2.0, float(z.max()) + 3.0


def _rounded(rectangle: tuple[Mm, Mm, Mm, Mm]) -> tuple[Mm, Mm, Mm, Mm]:
    """Whole millimetres outward, an even number of them, so that the field's grid ends on the borders."""
    x_low, y_low, x_high, y_high = rectangle
    return float(np.floor(x_low)), float(np.floor(y_low)), float(np.ceil(x_high)), float(np.ceil(y_high))
