"""What the files of a guide would fail by is told before there is a solid: where its footplate would stand off the bone that it spans."""

from __future__ import annotations

from typing import Final

import numpy as np
import shapely

from psi_cad.errors import SeatError, either
from psi_cad.frames import Frame
from psi_cad.guides.params import SeatParams, possible
from psi_cad.siting.access import RIM_MM, outlines, voids
from psi_cad.siting.seat import HeightField, Seat
from psi_cad.surface.rays import RayCaster, SignedDistance
from psi_cad.surface.repair import Bone
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Mm

__all__ = ["refuse_missed", "stands_off"]

SURE: Final = 1.1  # of the limit: the files are measured at more points, and closer to it they decide
ROUNDING_MM: Final[Mm] = 2.0  # of a footplate's corners


def stands_off(bone: Bone, caster: RayCaster, frame: Frame, field: HeightField, seat: Seat) -> tuple[Mm, Array] | None:
    """How far a seat under the largest footplate misses its gap to the bone at most, mm, and where (patient frame); None where it does nowhere.

    Where the footplate spans bone that falls away over a width counts for nothing, as in the files (`voids`).
    """
    plates = outlines(field, field.contact, rounding=ROUNDING_MM)
    if not plates:
        return None
    plate = plates[0]
    spanned = shapely.union_all(voids(field, seat.bone_patch, [np.asarray(plate.exterior.coords)]))
    x, y = field.points.T
    levels, steep = seat.patch(field.points), seat.patch.steepness(field.points)
    near = np.nan_to_num(np.abs((levels - field.met) / steep - seat.gap), nan=np.inf) > LIMITS.seat_max  # along z, which a ridge makes too much
    looked = near & shapely.contains_xy(plate.buffer(-RIM_MM), x, y) & ~shapely.contains_xy(spanned, x, y)
    if not looked.any():
        return None
    places = frame.patient(np.column_stack([field.points, levels])[looked])
    missed = np.abs(SignedDistance(bone.mesh, caster=caster)(places) - seat.gap)
    worst = int(np.argmax(missed))
    return float(missed[worst]), places[worst]


def refuse_missed(bone: Bone, caster: RayCaster, frame: Frame, field: HeightField, seat: Seat, params: SeatParams) -> None:
    """Refuse a seat of which it is known that its files would fail `seat_max`.

    Raises
    ------
    SeatError
    """
    found = stands_off(bone, caster, frame, field, seat)
    if found is None or found[0] <= SURE * LIMITS.seat_max:
        return
    ways = either([*possible(params, "lower seat_gap", "lower slope_limit", "lower footplate_reach"), "give another approach"])
    raise SeatError(
        f"params.seat_gap = {params.seat_gap:g}: the footplate would span bone near {at(found[1])} that it misses by {found[0]:.2f} mm, and "
        f"{LIMITS.seat_max:g} is the most; {ways}.",
        where=found[1],
        reason="seat",
    )
