"""The ground of a guide: its height field, the seat on it, what stands around it, and where its fences stand clear of bone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import shapely

from psi_cad.errors import DesignError, SeatError
from psi_cad.frames import Frame
from psi_cad.guides.seating import Seating
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.about import About
from psi_cad.siting.access import accessible_field, without_spots
from psi_cad.siting.seat import HeightField, Seat, fit_seat
from psi_cad.siting.spline import HeightSpline
from psi_cad.siting.standing import CLIMB, SURE, at_contact, eased, kept_off, towering
from psi_cad.surface.rays import RayCaster, first_hits_down
from psi_cad.surface.repair import Bone
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Bools, Mm

__all__ = ["NOT_EASED", "Ground", "SiteCut", "Surroundings", "followed", "ground", "levels", "rectangle_of", "rounded", "undercuts_walls"]

NOT_EASED: Final = "not-eased"
AROUND: Final[Mm] = 30.0  # a tag may reach so far past the field
ROUNDS: Final = 4
TRIMS: Final = 3
KEEP_OFF: Final[Mm] = 1.0  # from bone that stands up beside the end of a fence
ACROSS: Final = 3.0  # slope of a seat across a slot: a little steeper, and it is measured as the outer side of the wall
FENCE_HALF: Final[Mm] = 6.0  # half of a thick fence with its label, across the cut


@dataclass(frozen=True)
class SiteCut:
    """One cut in the guide frame (mm): plane (`origin`, `normal` towards the specimen), slot axis `along`, `blade` axis.

    `low`, `high`: the extent of the section along the slot, from the origin. `neighbours`: numbers of cuts in the
    site whose planes end this one, with +1 where they end it at `high`, -1 at `low`. `beside`: the same for cuts of other groups, in whose piece it
    would go on; `stops`: the ends where such a cut ends it that is in no slot of this guide.
    """

    name: str
    origin: Array
    normal: Array
    along: Array
    blade: Array
    low: Mm
    high: Mm
    neighbours: tuple[tuple[int, int], ...]
    beside: tuple[tuple[int, int], ...] = ()
    stops: tuple[int, ...] = ()

    @property
    def joined(self) -> tuple[int, ...]:
        """The cuts of the site into whose slots this one's opens."""
        return tuple(number for number, _ in (*self.neighbours, *self.beside))

    @property
    def free(self) -> tuple[bool, bool]:
        """Whether its slot ends by itself at `low` and at `high`, and not in another's."""
        ends = {end for _, end in (*self.neighbours, *self.beside)}
        return -1 not in ends, 1 not in ends

    @property
    def chord(self) -> Mm:
        """Length of bone along the slot."""
        return self.high - self.low


@dataclass(frozen=True)
class Surroundings:
    """What stands in and around the field: `points` (nx, ny, 2) 1 mm apart, and the first bone of any part met there, from above (nan: none)."""

    points: Array
    heights: Array


Ground: TypeAlias = tuple[HeightField, Seat, Surroundings, tuple[tuple[Mm, Mm], ...]]


def ground(
    bone: Bone,
    caster: RayCaster,
    frame: Frame,
    about: About,
    local: tuple[SiteCut, ...],
    *,
    first: HeightField,
    rectangle: tuple[Mm, Mm, Mm, Mm],
    room: tuple[tuple[Mm, Mm], ...],
    seating: Seating,
    gap: Mm,
    part: int,
    easing: bool = False,
) -> Ground:
    """The height field on `rectangle`, the seat on it, what stands around, and for each cut the stretch where its fence stands clear of bone.

    `local` are the cuts in the guide frame; none for a guide about points, whose sleeves stand clear of bone or are refused.

    `room` is that stretch as wished, and `first` the field for it.

    With `easing` the seat rises gently over bone that stands up like a cliff beside the contact, and gives up the contact at its foot;
    of bone too high for that the fence keeps clear, and so do the footplates.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    seat: Seat | None = None
    for number in range(ROUNDS):
        field = first
        if number:
            field = accessible_field(
                bone,
                caster,
                frame,
                about,
                rectangle=rectangle,
                reach=seating.reach,
                beyond=1.0,
                fences=room,
                slope_limit=seating.slope_limit,
                part=part,
            )
        if easing:
            gentler = eased(kept_off(field, towering(field, CLIMB)))
            if gentler is field:
                raise DesignError("No bone stands up that the seat could rise over more gently.", reason=NOT_EASED)
            field = gentler
            tall = towering(field, CLIMB) & field.fence
            smaller = _clear_room(tall, at_contact(field), field.heights, local, room, frame, about=about)
            if smaller != room:
                room, seat = smaller, None
                continue
        else:
            _no_cliff(field, frame)
        seat, field = followed(field, gap, frame)
        level = seat.patch(field.points)
        pierced = field.bone & (level + LIMITS.overlap / 2.0 * seat.patch.steepness(field.points) < np.nan_to_num(field.heights, nan=-np.inf))
        pierced = pierced if local else pierced & field.fence
        smaller = _clear_room(pierced, np.column_stack([field.points, level]), field.heights, local, room, frame, about=about)
        if smaller == room:
            break
        room = smaller
    if seat is None:  # bone stood up anew each time the fence was drawn back
        raise _in_the_way(frame.patient(local[0].origin), local[0])
    return field, seat, _surroundings(caster, frame, rectangle), room


def _surroundings(caster: RayCaster, frame: Frame, rectangle: tuple[Mm, Mm, Mm, Mm]) -> Surroundings:
    x_low, y_low, x_high, y_high = rectangle
    xs, ys = np.arange(x_low - AROUND, x_high + AROUND + 0.5), np.arange(y_low - AROUND, y_high + AROUND + 0.5)
    points = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1)
    hits = first_hits_down(caster, points.reshape(-1, 2), frame=frame)
    return Surroundings(points, hits.height.reshape(points.shape[:2]))


def followed(field: HeightField, gap: Mm, frame: Frame) -> tuple[Seat, HeightField]:
    """The seat, and the field without the spots of its contact that no seat could follow, or that this one stands off in the end.

    Raises
    ------
    SeatError
        Where the seat does not follow the bone and leaving the spot out would cost too much contact.
    """
    found: tuple[Seat, HeightField] | None = None
    for attempt in range(TRIMS + 1):
        try:
            seat = fit_seat(field, gap=gap, frame=frame)
        except SeatError as error:
            if found is not None:
                return found
            smaller = without_spots(field, error.spots) if attempt < TRIMS else None
            if smaller is None:
                raise
            field = smaller
            continue
        if found is None or len(seat.off) < len(found[0].off):
            found = seat, field
        smaller = without_spots(field, seat.off) if attempt < TRIMS else None
        if smaller is None:
            return found
        field = smaller
    raise AssertionError("unreachable")


def undercuts_walls(patch: HeightSpline, field: HeightField, cuts: Sequence[SiteCut]) -> bool:
    """Whether the seat is so steep across a slot that a fence's wall runs out to an edge on it."""
    points = np.column_stack([field.points, patch(field.points)])
    slopes = patch.gradient(field.points)
    for cut in cuts:
        under = field.fence & (np.abs((points - cut.origin) @ cut.normal) < FENCE_HALF)
        if under.any() and float(np.abs(slopes[under] @ cut.normal[:2]).max()) > ACROSS:
            return True
    return False


def _no_cliff(field: HeightField, frame: Frame) -> None:
    """Refuse ground that no seat can be gentle on, which is seen without fitting any."""
    tall = towering(field, SURE)
    if not tall.any():
        return
    level = at_contact(field)[:, 2]
    worst = int(np.argmax(np.where(tall, field.heights - level, -np.inf)))
    place = frame.patient(np.append(field.points[worst], level[worst]))
    raise DesignError(
        f"The bone near {at(place)} is a cliff of {field.heights[worst] - level[worst]:.0f} mm, too steep for a seat; "
        "give another approach, or lower slope_limit or run_out.",
        where=place,
        reason="steep",
    )


def _clear_room(
    pierced: Bools, points: Array, heights: Array, cuts: Sequence[SiteCut], room: tuple[tuple[Mm, Mm], ...], frame: Frame, *, about: About
) -> tuple[tuple[Mm, Mm], ...]:
    """`room` drawn back from the bone in `pierced` that stands higher than the seat can rise beside the end of a cut.

    `points` (n, 3) lie at the level of the seat, `heights` (n,) at that of the bone.

    Raises
    ------
    DesignError
        If such bone stands within the cut itself, or under a sleeve.
    """
    if not pierced.any():
        return room
    points = points[pierced]
    standing = heights[pierced] - points[:, 2]
    if not cuts:
        raise about.in_the_way(frame.patient(points[int(np.argmax(standing))]))
    found = []
    for cut, (low, high) in zip(cuts, room, strict=True):
        offset = points - cut.origin
        s = offset @ cut.along
        under = (np.abs(offset @ cut.normal) < FENCE_HALF) & (s > low) & (s < high)
        within = under & (s > cut.low) & (s < cut.high)
        if within.any():
            raise _in_the_way(frame.patient(points[int(np.argmax(np.where(within, standing, -np.inf)))]), cut)
        below, above = s[under & (s <= cut.low)], s[under & (s >= cut.high)]
        low = max(low, float(below.max()) + KEEP_OFF) if len(below) else low
        high = min(high, float(above.min()) - KEEP_OFF) if len(above) else high
        found.append((low, high))
    return tuple(found)


def _in_the_way(place: Array, cut: SiteCut) -> DesignError:
    return DesignError(
        f"guide.approach: bone near {at(place)} stands in the way of the fence of cut '{cut.name}'; give an approach that looks past it.",
        where=place,
        reason="bone-in-way",
    )


def rectangle_of(cuts: Sequence[SiteCut], levels: Sequence[tuple[Mm, Mm]], *, reach: Mm, beyond: Mm) -> tuple[Mm, Mm, Mm, Mm]:
    """The part of the guide's xy plane that a guide can cover: a leaning cut moves sideways with height."""
    corners = []
    for cut, heights in zip(cuts, levels, strict=True):
        for s in (cut.low - beyond, cut.high + beyond):
            for d in (-reach, reach):
                point = cut.origin + s * cut.along + d * cut.normal
                corners += [(point + (z - point[2]) / cut.blade[2] * cut.blade)[:2] for z in heights]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def levels(frame: Frame, cut: PlannedCut) -> tuple[Mm, Mm]:
    """Least and greatest height (guide frame) of bone one can meet from above at a cut: the upper half of its section."""
    z = frame.local(cut.patient(shapely.get_coordinates(cut.section)))[:, 2]
    return float(z.min() + z.max()) / 2.0, float(z.max()) + 3.0


def rounded(rectangle: tuple[Mm, Mm, Mm, Mm]) -> tuple[Mm, Mm, Mm, Mm]:
    """Whole millimetres outward, an even number of them, so that the field's grid ends on the borders."""
    x_low, y_low, x_high, y_high = rectangle
    return float(np.floor(x_low)), float(np.floor(y_low)), float(np.ceil(x_high)), float(np.ceil(y_high))
