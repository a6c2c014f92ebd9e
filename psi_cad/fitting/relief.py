"""Where footplates keep further off the bone, for periosteum: a band along their rims, not at fences, wires and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import shapely
from scipy.spatial import cKDTree

from psi_cad.errors import DesignError
from psi_cad.guides.seating import contact_sliding
from psi_cad.guides.site import Site
from psi_cad.options.relief import STEEPER_DEG, Relief
from psi_cad.readback.underside import RIM_MM, STEP_MM
from psi_cad.siting.access import voids
from psi_cad.siting.seat import HeightField
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Mm

__all__ = ["OFF_SLEEVE_MM", "OFF_WINDOW_MM", "place_relief", "refuse_sliding", "refuse_thin", "refuse_uneven"]

LEAST_PLATE_MM: Final[Mm] = 2.0  # of a footplate's thickness, that is left over its relief
OFF_FENCE_MM: Final[Mm] = 1.2  # a fence rests on bone
OFF_SLEEVE_MM: Final[Mm] = 1.5  # and so does what is round a wire
OFF_WINDOW_MM: Final[Mm] = 3.5  # the wall round a window is looked at as far as this
ROUND_MM: Final[Mm] = 0.7  # a narrower stretch is none
PAST_MM: Final[Mm] = 1.5  # outward of the footplates, for what stands out of them
PLAIN_MM: Final[Mm] = 0.15  # how far its straight sides may leave the smooth outline
LEAST_MM2: Final = 12.0
AIM: Final = 0.93  # of the limit: the files are measured at more points
NEAREST: Final = 6  # cells of bone whose planes are looked at from a place of the relief
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
    refuse_thin(depth, plate_thickness, where=_amid(plates))
    whole = shapely.union_all(list(plates))
    inner = whole.buffer(-width)
    stays = shapely.union_all([inner, fences.buffer(OFF_FENCE_MM), *(shapely.Point(x, y).buffer(radius) for x, y, radius in keep)])
    if whole.intersection(stays).area < LEAST_SHARE * whole.area or inner.is_empty:
        raise DesignError(
            f"params.relief_width = {width:g}: too little of the footplates would rest on bone; lower relief_width, or raise footplate_reach.",
            where=_amid(plates),
            reason="contact",
        )
    band = whole.buffer(PAST_MM, join_style="mitre").difference(stays).buffer(-ROUND_MM).buffer(ROUND_MM).simplify(PLAIN_MM)
    parts = [part for part in shapely.get_parts(band) if part.intersection(whole).area >= LEAST_MM2]
    if not parts:
        raise DesignError(
            f"params.relief_width = {width:g}: between fences and wires the footplates have no rim so wide; raise relief_width or footplate_reach.",
            where=_amid(plates),
            reason="contact",
        )
    return Relief("relief", depth, width, tuple(tuple(_ring(ring) for ring in (part.exterior, *part.interiors)) for part in parts))


def refuse_thin(depth: Mm, plate_thickness: Mm, *, where: Array | None = None) -> None:
    """Refuse a relief over which a footplate would be too thin, on whatever bone.

    Raises
    ------
    DesignError
    """
    if plate_thickness - depth < LEAST_PLATE_MM:
        raise DesignError(
            f"params.relief_depth = {depth:g}: it would leave {plate_thickness - depth:.1f} mm of the footplate, and {LEAST_PLATE_MM:g} mm is the "
            f"least; raise footplate_thickness to {LEAST_PLATE_MM + depth:g}, or lower relief_depth.",
            where=where,
        ).on_any_seat()


def _amid(plates: Sequence[shapely.Polygon]) -> Array:
    """A place (3,) in the first footplate, where what is wrong with all of it is told."""
    return np.array([*plates[0].representative_point().coords[0], 0.0])


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
            where=_amid(plates),
            reason="contact",
        )


def refuse_uneven(site: Site, relief: Relief, plates: Sequence[shapely.Polygon]) -> None:
    """Refuse a relief that comes nearer to the bone, or lies further off, than its files may: where bone bends, no sheet keeps so far off it.

    Raises
    ------
    DesignError
    """
    field, top, wanted = site.field, site.seat.patch.raised(relief.depth), site.seat.gap + relief.depth
    zone = shapely.union_all(relief.polygons()).intersection(shapely.union_all(list(plates)).buffer(-RIM_MM)).buffer(-STEP_MM)
    zone = zone.difference(shapely.union_all(voids(field, site.seat.bone_patch, [np.asarray(plate.exterior.coords) for plate in plates])))
    over = field.points[shapely.contains_xy(zone, *field.points.T)]
    over = over[top.steepness(over) < 1.0 / np.cos(np.radians(site.seating.slope_limit + STEEPER_DEG))]
    if not len(over):
        return
    off = _off(np.column_stack([over, top(over)]), site)
    for worst, how in ((int(np.argmin(off)), "nearer"), (int(np.argmax(off)), "further")):
        if abs(off[worst] - wanted) > AIM * LIMITS.seat_max:
            where = np.array([*over[worst], float(top(over[worst][None, :])[0])])
            missed, most = abs(off[worst] - wanted), AIM * LIMITS.seat_max
            raise DesignError(
                f"params.relief_depth = {relief.depth:g}: near {at(site.frame.patient(where))} the bone bends so that the relief would lie "
                f"{off[worst]:.2f} mm off it, {missed:.2f} mm {how} than asked, and {most:.2f} is the most; lower relief_depth or relief_width.",
                where=where,
            )


def _off(points: Array, site: Site) -> Array:
    """How far places (n, 3, guide frame) above the bone lie off it: from the planes of the cells of its height field that are nearest."""
    field = site.field
    met = np.isfinite(field.met)
    cells = np.column_stack([field.points, field.met])[met]
    slopes = np.stack(list(np.gradient(np.nan_to_num(field.met).reshape(field.shape), field.step)), axis=-1).reshape(-1, 2)[met]
    normals = np.column_stack([-slopes, np.ones(len(slopes))])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    away, near = cKDTree(cells).query(points, k=NEAREST)
    along = np.einsum("ijk,ijk->ij", points[:, None] - cells[near], normals[near])
    foot = np.sqrt(np.maximum(away**2 - along**2, 0.0))  # of the plane's nearest place from the cell's own
    found = np.where(foot <= field.step, along, away).min(axis=1)
    return np.asarray(found)
