"""What is taken off the underside of a body, so that it keeps further off the bone there than its seat does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cadquery as cq
import numpy as np
import shapely

from psi_cad.brep.checked import common, cut
from psi_cad.brep.patch import below, patch_face
from psi_cad.frames import Frame
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Mm

__all__ = ["hollowed"]

DEEP: Final[Mm] = 20.0
_LOCAL: Final = Frame(origin=np.zeros(3), axes=np.eye(3))


def hollowed(step: str, body: cq.Solid, seat: HeightSpline, zones: Sequence[shapely.Polygon], *, depth: Mm) -> cq.Solid:
    """`body`, which stands on `seat`, without what lies less than `depth` above that over `zones` (guide xy)."""
    top, whole = seat.raised(depth), shapely.union_all(list(zones))
    x_low, y_low, x_high, y_high = whole.bounds
    xs, ys = np.arange(x_low, x_high + 1.0, 1.0), np.arange(y_low, y_high + 1.0, 1.0)
    where = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    where = where[shapely.contains_xy(whole, where[:, 0], where[:, 1])]
    low, high = float(seat.poles.min()) - DEEP, float(top.poles.max()) + DEEP
    behind = below(patch_face(top, _LOCAL, name="relief", where=where), direction=np.array([0.0, 0.0, 1.0]), depth=high - low)
    tools = []
    for zone in zones:
        outer, *inner = (
            cq.Wire.makePolygon([cq.Vector(float(x), float(y), low) for x, y in np.asarray(ring.coords)[:-1]], close=True)
            for ring in (zone.exterior, *zone.interiors)
        )
        tools.append(common(step, cq.Solid.extrudeLinear(outer, inner, cq.Vector(0, 0, high - low)), behind))
    return cut(step, body, *tools)
