"""The site of a guide: everything a template needs to know of the bone, the cuts, the blade and the printer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from psi_cad.case.model import Blade, Printer
from psi_cad.errors import DesignError, SeatError
from psi_cad.frames import Frame
from psi_cad.guides.params import GuideParams
from psi_cad.planning.access import accessible_field, without_spots
from psi_cad.planning.axis import SeatingAxis, blade_axes, find_seating_axis, site_frame
from psi_cad.planning.cuts import PlannedCut
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.surface.seat import HeightField, Seat, fit_seat
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Mm

__all__ = ["Site", "SiteCut", "axis_for", "make_site"]

FENCE_MARGIN: Final[Mm] = 9.0  # slot end wall, outer faces and a rim around the fence on the patch
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
class Site:
    """Where a guide goes. All geometry is in `frame` (the guide frame: z the seating axis), mm."""

    frame: Frame
    axis: SeatingAxis
    cuts: tuple[SiteCut, ...]
    planes: tuple[tuple[Array, Array], ...]  # of every cut of the case: pins keep clear of all
    field: HeightField
    seat: Seat
    room: tuple[tuple[Mm, Mm], ...]  # for each cut, the stretch along its slot where a fence stands clear of bone
    blade: Blade
    printer: Printer
    label: tuple[str, ...]
    attempt: int = 0  # raised where a Boolean failed, for a template to draw its outlines a little otherwise

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
    reuse: Site | None = None,
) -> Site:
    """Choose the seating axis, find the contact, fit the seat.

    What does not depend on the blade is taken from `reuse`, a site of the same guide, where it still fits.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    part = _one_part(bone, cuts)
    axis = reuse.axis if reuse is not None else axis_for(bone, caster, cuts, approach=approach, params=params)
    frame = site_frame(cuts, axis.direction)
    local = tuple(_site_cut(frame, cut, cuts) for cut in cuts)
    beyond = max(max(params.run_out, (slot_room(blade) - cut.chord) / 2.0) for cut in local) + FENCE_MARGIN
    beyond = float(np.ceil(beyond / 10.0) * 10.0)
    rectangle = _rectangle(local, [_levels(frame, cut) for cut in cuts], reach=params.footplate_reach + 4.0, beyond=beyond)
    if reuse is not None and np.allclose(reuse.seat.patch.bounds, _rounded(rectangle)):
        field, seat, room = reuse.field, reuse.seat, reuse.room
    else:
        room = tuple((cut.low - beyond + 1.0, cut.high + beyond - 1.0) for cut in local)
        for _ in range(ROUNDS):
            field = accessible_field(
                bone,
                caster,
                frame,
                cuts,
                rectangle=_rounded(rectangle),
                reach=params.footplate_reach,
                beyond=1.0,
                fences=room,
                slope_limit=params.slope_limit,
                part=part,
            )
            seat, field = _followed(field, params.seat_gap, frame)
            smaller = _clear_room(field, seat, local, room, frame)
            if smaller == room:
                break
            room = smaller
    planes = tuple((frame.local(cut.origin), frame.local_direction(cut.normal)) for cut in every_cut)
    return Site(frame, axis, local, planes, field, seat, room, blade, printer, label)


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


def axis_for(bone: Bone, caster: RayCaster, cuts: Sequence[PlannedCut], *, approach: Array, params: GuideParams) -> SeatingAxis:
    """The axis along which a guide over `cuts` comes off, searched near `approach`.

    Raises
    ------
    DesignError
        Where the cuts lie on separate bones, or no direction gives enough contact.
    """
    return find_seating_axis(
        caster,
        bone.part_of_face,
        cuts,
        approach=approach,
        cone=params.axis_search,
        reach=params.footplate_reach,
        slope_limit=params.slope_limit,
        part=_one_part(bone, cuts),
    )


def _one_part(bone: Bone, cuts: Sequence[PlannedCut]) -> int:
    parts = {part_at(bone, cut) for cut in cuts}
    if len(parts) > 1:
        raise DesignError("guide.cuts: the cuts lie on separate bones; make one guide for each bone.", where=cuts[-1].origin)
    return parts.pop()


def part_at(bone: Bone, cut: PlannedCut) -> int:
    """The number of the connected part of the bone that a cut divides."""
    ring = cut.patient(np.asarray(cut.whole.exterior.coords)[:1])
    centres = np.asarray(bone.mesh.triangles_center)
    nearest = int(np.argmin(((centres - ring[0]) ** 2).sum(axis=1)))
    return int(bone.part_of_face[nearest])


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
