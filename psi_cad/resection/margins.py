"""Residual margins: how far each cut face stays from the tumour, where, and on how much of its area.

The margin *in space* is the least straight distance from the tumour's surface to where the saw cuts: the section of bone
that is sawn and the blade's run-out round it, not the infinite plane. It counts tumour outside bone as well. The margin *to
the face* is the same to the section of bone alone. The margin *through bone* is the least length of a path from the tumour to
the face that never leaves the bone (`throughbone`). All three are to the planned plane. The *sawn* margin is the margin in space
to what the saw removes, a slab: to the face that is left on the specimen, where the tumour lies in that.

Classes are those of the residual-margin rule, by the sawn margin: R0 above 2 mm, R1 up to 2 mm, R2 where the saw meets the tumour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import shapely
from scipy.spatial import Delaunay

from psi_cad.resection.sides import SAME_MM, divided, to_kerf
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.scene.nearest import Face, Nearest, Surface, nearest
from psi_cad.units import Array, Ints, Mm

__all__ = ["CLEAR_MM", "RUN_OUT_MM", "SAME_MM", "CutMargin", "FaceMap", "MarginClass", "cut_margin", "face_map", "margin_class"]

CLEAR_MM: Final[Mm] = 2.0  # residual-margin rule: R0 is more than this
RUN_OUT_MM: Final[Mm] = 5.0  # a blade is guided this far beyond the bone, where a guide says nothing else
FIELD_STEP_MM: Final[Mm] = 0.5  # of the field whose contour divides R0 from R1
MAP_STEP_MM: Final[Mm] = 1.0  # of the coloured map

MarginClass = Literal["R0", "R1", "R2"]


@dataclass(frozen=True)
class CutMargin:
    """The margin of one cut.

    Attributes
    ----------
    nearest, to_face : Nearest
        From the tumour to the planned plane, where it is sawn and on the section of bone alone.
    sawn : Nearest
        From the tumour to what the saw removes, which is to the face left on the specimen where the tumour lies in that; as `nearest`
        where the kerf is not known.
    kind : str
        The class of `sawn`.
    area, area_by_class : mm²
        Of the face left on the specimen.
    """

    nearest: Nearest
    to_face: Nearest
    sawn: Nearest
    kind: MarginClass
    area: float
    area_by_class: dict[MarginClass, float]


@dataclass(frozen=True)
class FaceMap:
    """A cut face as triangles (patient mm) with the distance (mm) of each vertex to the tumour; 0 within it."""

    vertices: Array
    faces: Ints
    distance: Array


def margin_class(margin: Mm) -> MarginClass:
    """The class of a residual margin in mm; exactly 2 mm is R1, exactly 0 is R2.

    >>> margin_class(2.1), margin_class(2.0), margin_class(0.0)
    ('R0', 'R1', 'R2')
    """
    if margin <= SAME_MM:
        return "R2"
    return "R1" if margin <= CLEAR_MM + SAME_MM else "R0"


def cut_margin(cut: PlannedCut, tumour: Surface, *, run_out: Mm = RUN_OUT_MM, kerf: Kerf | None = None, face: PlannedCut | None = None) -> CutMargin:
    """The margin of one cut to the tumour; the class is that of the margin in space, once the kerf is gone.

    Parameters
    ----------
    kerf, face : Kerf and PlannedCut, optional
        What the saw removes, and the cut as the face that is then left on the specimen; without them the saw is taken as a plane.
    """
    kerf, face = kerf or Kerf(), face or cut
    to_face = nearest(tumour, Face(cut.origin, cut.axes, cut.section))
    space = nearest(tumour, Face(cut.origin, cut.axes, cut.sawn(run_out)))
    sides = divided(tumour, Face(face.origin, face.axes, face.section), depth=kerf.width or 0.0)
    sawn = space if not kerf.width else to_kerf(sides, face.sawn(run_out), beneath=cut.sawn(run_out))
    kind = margin_class(sawn.distance)
    area = float(face.section.area)
    if sawn.distance > CLEAR_MM + SAME_MM:
        return CutMargin(space, to_face, sawn, kind, area, {"R0": area, "R1": 0.0, "R2": 0.0})
    within = sides.within.intersection(face.section)
    near = [_closer_than(CLEAR_MM, there, part, within) for there, part in sides.parts if part is not None]
    positive, marginal = float(within.area), float(shapely.union_all(near).difference(within).area)
    return CutMargin(space, to_face, sawn, kind, area, {"R0": area - positive - marginal, "R1": marginal, "R2": positive})


def _closer_than(limit: Mm, face: Face, tumour: Surface, within: shapely.Geometry) -> shapely.Geometry:
    """The part of a face no further than `limit` from the tumour: a contour of the distance, met with the face."""
    from skimage.measure import find_contours

    local = face.local(tumour.vertices)
    near = local[np.abs(local[:, 2]) <= limit + 2.0 * FIELD_STEP_MM]
    if len(near) == 0:
        near = local
    x_low, y_low, x_high, y_high = face.region.bounds
    pad = limit + 3.0 * FIELD_STEP_MM
    low = np.maximum([x_low, y_low], np.minimum(near[:, :2].min(axis=0), local[:, :2].max(axis=0)) - _reach(tumour)) - pad
    high = np.minimum([x_high, y_high], near[:, :2].max(axis=0) + _reach(tumour)) + pad
    axes = [np.arange(a, b + FIELD_STEP_MM, FIELD_STEP_MM) for a, b in zip(low, high, strict=True)]
    if min(len(axis) for axis in axes) < 3:
        return within
    flat = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    band = shapely.distance(face.region, shapely.points(flat)) <= 2.0 * FIELD_STEP_MM  # elsewhere the contour is cut off anyway
    away = np.full(len(flat), 2.0 * limit)
    away[band] = tumour.closest(face.patient(flat[band]))[0]
    shapely.prepare(within)
    away[shapely.contains(within, shapely.points(flat))] *= -1.0
    field = np.pad(away.reshape(len(axes[0]), len(axes[1])), 1, constant_values=2.0 * limit)
    rings = []
    for contour in find_contours(field, limit):
        points = (contour - 1.0) * FIELD_STEP_MM + [axes[0][0], axes[1][0]]
        if len(points) > 3:
            rings.append(shapely.LineString(points))
    area = shapely.build_area(shapely.MultiLineString(rings)) if rings else shapely.Polygon()
    return area.union(within).intersection(face.region)


def _reach(tumour: Surface) -> Mm:
    return float(tumour.mesh.edges_unique_length.max())


def face_map(cut: PlannedCut, tumour: Surface | None, *, depth: Mm = 0.0, step: Mm = MAP_STEP_MM) -> FaceMap:
    """A cut face as a mesh of about `step` mm, with the distance of its vertices to the tumour (nan without one).

    `depth`: the kerf (mm) beneath a face that is left on the specimen. Tumour below it is as far away as it is from the other side
    of the kerf, and tumour in it is at 0.
    """
    rim = shapely.get_coordinates(shapely.segmentize(cut.section, step))
    x_low, y_low, x_high, y_high = cut.section.bounds
    grid = np.stack(np.meshgrid(np.arange(x_low, x_high, step), np.arange(y_low, y_high, step), indexing="ij"), axis=-1).reshape(-1, 2)
    inside = grid[shapely.contains(cut.section.buffer(-0.4 * step), shapely.points(grid))] if len(grid) else grid
    flat = np.unique(np.vstack([rim, inside]), axis=0)
    triangles = np.asarray(Delaunay(flat).simplices, dtype=np.int64)
    corners = flat[triangles]
    middles = corners.mean(axis=1)
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    turn = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    triangles = np.where((turn < 0.0)[:, None], triangles[:, ::-1], triangles)
    keep = shapely.contains(cut.section, shapely.points(middles)) & (np.abs(turn) > 1e-9)
    places = cut.patient(flat)
    if tumour is None:
        return FaceMap(places, triangles[keep], np.full(len(places), np.nan))
    sides = divided(tumour, Face(cut.origin, cut.axes, cut.section), depth=depth)
    away = np.full(len(flat), np.inf)
    for there, part in sides.parts:
        if part is not None:
            away = np.minimum(away, part.closest(there.patient(flat))[0])
    shapely.prepare(sides.within)
    away[shapely.intersects(sides.within, shapely.points(flat))] = 0.0
    return FaceMap(places, triangles[keep], away)
