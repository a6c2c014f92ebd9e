"""Whether a relief keeps off the bone as evenly as its files are measured for, before there is a solid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely
from scipy.spatial import cKDTree

from psi_cad.errors import DesignError
from psi_cad.guides.site import Site
from psi_cad.options.relief import STEEPER_DEG, Relief
from psi_cad.readback.underside import RIM_MM, STEP_MM
from psi_cad.siting.access import voids
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array

__all__ = ["refuse_uneven"]

AIM: Final = 0.93  # of the limit: the files are measured at more points
NEAREST: Final = 6  # cells of bone whose planes are looked at from a place of the relief


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
            place = site.frame.patient(np.array([*over[worst], float(top(over[worst][None, :])[0])]))
            missed, most = abs(off[worst] - wanted), AIM * LIMITS.seat_max
            raise DesignError(
                f"params.relief_depth = {relief.depth:g}: near {at(place)} the bone bends so that the relief would lie {off[worst]:.2f} mm off it, "
                f"{missed:.2f} mm {how} than asked, and {most:.2f} is the most; lower relief_depth or relief_width.",
                where=np.array([*over[worst], float(top(over[worst][None, :])[0])]),
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
