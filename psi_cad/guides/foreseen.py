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

STEP_MM: Final[Mm] = 0.25  # beside the edge of a coarse mesh, what is missed doubles over so much
ROUNDING_MM: Final[Mm] = 2.0  # of a footplate's corners


def stands_off(bone: Bone, caster: RayCaster, frame: Frame, field: HeightField, seat: Seat) -> tuple[Mm, Array] | None:
    """How far a seat under the largest footplate misses its gap to the bone at most, mm, and where (patient frame); None without one.

    Where the footplate spans bone that falls away over a width counts for nothing, as in the files (`voids`).
    """
    plates = outlines(field, field.contact, rounding=ROUNDING_MM)
    if not plates:
        return None
    plate = plates[0]
    spanned = shapely.union_all(voids(field, seat.bone_patch, [np.asarray(plate.exterior.coords)]))
    low, high = np.reshape(plate.bounds, (2, 2))
    grid = np.stack(np.meshgrid(*(np.arange(a, b, STEP_MM) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1).reshape(-1, 2)
    looked = grid[shapely.contains_xy(plate.buffer(-RIM_MM).difference(spanned), *grid.T)]
    if not len(looked):
        return None
    places = frame.patient(np.column_stack([looked, seat.patch(looked)]))
    missed = np.abs(SignedDistance(bone.mesh, caster=caster)(places) - seat.gap)
    worst = int(np.argmax(missed))
    return float(missed[worst]), places[worst]


def refuse_missed(bone: Bone, caster: RayCaster, frame: Frame, field: HeightField, seat: Seat, params: SeatParams) -> None:
    """Refuse a seat of which it is known that its files would fail `seat_max`: they are measured at more points.

    Raises
    ------
    SeatError
    """
    found = stands_off(bone, caster, frame, field, seat)
    if found is None or found[0] <= LIMITS.seat_max:
        return
    ways = either([*possible(params, "lower seat_gap", "lower slope_limit", "lower footplate_reach"), "give another approach"])
    raise SeatError(
        f"params.seat_gap = {params.seat_gap:g}: the footplate would span bone near {at(found[1])} that it misses by {found[0]:.2f} mm, and "
        f"{LIMITS.seat_max:g} is the most; {ways}.",
        where=found[1],
        reason="seat",
    )
