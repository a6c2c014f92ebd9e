"""Where footplates keep further off the bone, for periosteum: a band along their rims, not at fences, wires and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.guides.seating import contact_sliding
from psi_cad.options.relief import Relief
from psi_cad.siting.seat import HeightField
from psi_cad.units import LIMITS, Mm

__all__ = ["OFF_SLEEVE_MM", "OFF_WINDOW_MM", "place_relief", "refuse_sliding"]

LEAST_PLATE_MM: Final[Mm] = 2.0  # of a footplate's thickness, that is left over its relief
OFF_FENCE_MM: Final[Mm] = 1.2  # a fence rests on bone
OFF_SLEEVE_MM: Final[Mm] = 1.5  # and so does what is round a wire
OFF_WINDOW_MM: Final[Mm] = 3.5  # the wall round a window is looked at as far as this
ROUND_MM: Final[Mm] = 0.7  # a narrower stretch is none
PAST_MM: Final[Mm] = 1.5  # outward of the footplates, for what stands out of them
PLAIN_MM: Final[Mm] = 0.15  # how far its straight sides may leave the smooth outline
LEAST_MM2: Final = 12.0
LEAST_SHARE: Final = 0.3  # of the footplates, that has to rest on bone


def place_relief(
    plates: Sequence[shapely.Polygon],
    fences: shapely.Geometry,
    keep: Sequence[tuple[Mm, Mm, Mm]],
    *,
    depth: Mm,
    width: Mm,
    plate_thickness: Mm,
) -> Relief:
    """A band `width` wide along the rims of the footplates; not at the fences, and not at round places (x, y, radius) to `keep` on the bone.

    Raises
    ------
    DesignError
        If a footplate would be too thin over it, or nothing would be left to rest on bone.
    """
    if plate_thickness - depth < LEAST_PLATE_MM:
        raise DesignError(
            f"params.relief_depth = {depth:g}: it would leave {plate_thickness - depth:.1f} mm of the footplate, and {LEAST_PLATE_MM:g} mm is the "
            f"least; raise footplate_thickness to {LEAST_PLATE_MM + depth:g}, or lower relief_depth.",
            where=np.array([*plates[0].representative_point().coords[0], 0.0]),
        )
    whole = shapely.union_all(list(plates))
    inner = whole.buffer(-width)
    stays = shapely.union_all([inner, fences.buffer(OFF_FENCE_MM), *(shapely.Point(x, y).buffer(radius) for x, y, radius in keep)])
    if whole.intersection(stays).area < LEAST_SHARE * whole.area or inner.is_empty:
        raise DesignError(
            f"params.relief_width = {width:g}: too little of the footplates would rest on bone; lower relief_width, or raise footplate_reach.",
            where=np.array([*plates[0].representative_point().coords[0], 0.0]),
            reason="contact",
        )
    band = whole.buffer(PAST_MM, join_style="mitre").difference(stays).buffer(-ROUND_MM).buffer(ROUND_MM).simplify(PLAIN_MM)
    parts = [part for part in shapely.get_parts(band) if part.intersection(whole).area >= LEAST_MM2]
    if not parts:
        raise DesignError(
            f"params.relief_width = {width:g}: between fences and wires the footplates have no rim so wide; raise relief_width or footplate_reach.",
            where=np.array([*plates[0].representative_point().coords[0], 0.0]),
            reason="contact",
        )
    return Relief("relief", depth, width, tuple(tuple(_ring(ring) for ring in (part.exterior, *part.interiors)) for part in parts))


def _ring(ring: shapely.LinearRing) -> tuple[tuple[Mm, Mm], ...]:
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in shapely.get_coordinates(ring))


def refuse_sliding(relief: Relief, plates: Sequence[shapely.Polygon], field: HeightField) -> None:
    """Refuse a relief with which the guide would slide: what of the contact of `field` is left under the footplates has to hold it.

    Raises
    ------
    DesignError
    """
    rests = shapely.union_all(list(plates)).difference(shapely.union_all(relief.polygons()))
    left = field.contact & shapely.contains_xy(rests, field.points[:, 0], field.points[:, 1])
    lock = contact_sliding(replace(field, contact=left)).lock if left.any() else 0.0
    if lock < LIMITS.sliding_lock:
        raise DesignError(
            f"params.relief_width = {relief.width:g}: with so much of the footplates off the bone the guide would slide (lock {lock:.2f}, "
            f"{LIMITS.sliding_lock:g} is wanted); lower relief_width, raise footplate_reach, or leave relief_depth out.",
            where=np.array([*plates[0].representative_point().coords[0], 0.0]),
            reason="contact",
        )
