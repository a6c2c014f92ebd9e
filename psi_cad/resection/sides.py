"""A tumour as the kerf of a cut divides it: what lies above the kerf, what lies in it, what lies beneath it, and how near that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import shapely
import shapely.ops

from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.scene.nearest import Face, Nearest, Surface, nearest
from psi_cad.surface.solids import mesh_of
from psi_cad.units import Array, Mm

__all__ = ["SAME_MM", "Sides", "divided", "outline_along", "sawn_distance", "to_kerf"]

SAME_MM: Final[Mm] = 1e-6  # margins closer than rounding to a limit lie on it; tumour this near a kerf touches it


@dataclass(frozen=True)
class Sides:
    """A surface divided by a kerf.

    Attributes
    ----------
    face, other : Face
        The kerf's upper and lower side, with the same region.
    above, below : Surface or None
        What lies beyond each.
    within : shapely geometry
        The outline (s, u) of what lies in the kerf or touches it, seen along the normal.
    """

    face: Face
    other: Face
    above: Surface | None
    below: Surface | None
    within: shapely.Geometry

    @property
    def parts(self) -> tuple[tuple[Face, Surface | None], ...]:
        """Each side with what lies beyond it."""
        return (self.face, self.above), (self.other, self.below)


def divided(surface: Surface, face: Face, *, depth: Mm) -> Sides:
    """A closed surface as a kerf of `depth` mm beneath `face` divides it."""
    other = replace(face, origin=face.origin - depth * face.axes[2])
    heights = (surface.vertices - face.origin) @ face.axes[2]
    if heights.min() > SAME_MM:
        return Sides(face, other, surface, None, shapely.Polygon())
    if heights.max() < -depth - SAME_MM:
        return Sides(face, other, None, surface, shapely.Polygon())
    normal, offset = tuple(float(v) for v in face.axes[2]), float(face.axes[2] @ face.origin)
    above, rest = surface.solid.split_by_plane(normal, offset + SAME_MM)
    inside, below = rest.split_by_plane(normal, offset - depth - SAME_MM)
    one, two = (None if part.is_empty() else Surface(mesh_of(part)) for part in (above, below))
    return Sides(face, other, one, two, outline_along(inside, face))


def outline_along(solid: Any, face: Face) -> shapely.Geometry:
    """The outline (s, u) of a solid, patient mm, seen along a face's normal."""
    import manifold3d

    if solid.is_empty():
        return shapely.Polygon()
    local = solid.transform(np.column_stack([face.axes, -face.axes @ face.origin]))
    rings: list[Array] = manifold3d.CrossSection(local.project().to_polygons(), manifold3d.FillRule.Positive).to_polygons()
    polygons = [shapely.Polygon(ring) for ring in rings if len(ring) >= 3]
    solid_rings = [p for p in polygons if p.exterior.is_ccw]
    holes = [p for p in polygons if not p.exterior.is_ccw]
    return shapely.union_all([p.buffer(0) for p in solid_rings]).difference(shapely.union_all([p.buffer(0) for p in holes]))


def sawn_distance(cut: PlannedCut, surface: Surface, *, run_out: Mm, kerf: Kerf, face: PlannedCut) -> Nearest:
    """The least distance from a closed surface to what the saw removes at a cut, `run_out` round the bone; to its plane where there is no kerf.

    `face`: the cut as the face that is left on the specimen.
    """
    if not kerf.width:
        return nearest(surface, Face(cut.origin, cut.axes, cut.sawn(run_out)))
    sides = divided(surface, Face(face.origin, face.axes, face.section), depth=kerf.width)
    return to_kerf(sides, face.sawn(run_out), beneath=cut.sawn(run_out))


def to_kerf(sides: Sides, region: shapely.Geometry, *, beneath: shapely.Geometry) -> Nearest:
    """The least distance from what was divided to the slab of the kerf; 0 where it reaches into that.

    Parameters
    ----------
    region, beneath : shapely geometry
        Where the saw cuts, (s, u): on the upper side of the kerf, and on the planned plane. Below, both count.
    """
    whole = region if sides.above is not None and sides.below is None and sides.within.is_empty else shapely.union(region, beneath)
    found = []
    if sides.above is not None:
        found.append(nearest(sides.above, replace(sides.face, region=region)))
    if not sides.within.is_empty:
        there, here = (np.array(point.coords) for point in shapely.ops.nearest_points(sides.within, whole))
        found.append(Nearest(float(np.linalg.norm(there - here)), sides.face.patient(there)[0], sides.face.patient(here)[0]))
    if sides.below is not None:
        found.append(nearest(sides.below, replace(sides.other, region=whole)))
    return min(found, key=lambda near: near.distance)
