"""The section of a surface with a plane, as polygons in the plane."""

from __future__ import annotations

import numpy as np
import shapely
import trimesh

from psi_cad.units import Array

__all__ = ["section_parts"]

_WELD_MM = 1e-6  # the two faces at an edge compute the same crossing to about 1e-13


def section_parts(mesh: trimesh.Trimesh, *, origin: Array, axes: Array) -> list[shapely.Polygon]:
    """Every separate piece of `mesh` cut by a plane, with its cavities as holes.

    Parameters
    ----------
    mesh : Trimesh
        Closed near the plane; patient mm.
    origin : (3,)
        A point of the plane.
    axes : (3, 3)
        Rows s, u (in the plane) and n (across it).

    Returns
    -------
    list of shapely.Polygon
        In coordinates (s, u) from `origin`, mm; largest first.
    """
    segments = np.asarray(trimesh.intersections.mesh_plane(mesh, plane_normal=axes[2], plane_origin=origin))
    if len(segments) == 0:
        return []
    flat = np.round((segments - origin) @ axes[:2].T / _WELD_MM) * _WELD_MM
    flat = flat[(flat[:, 0] != flat[:, 1]).any(axis=1)]
    # divided where they cross: a surface that folds into itself by a hair still has a section
    lines = shapely.node(shapely.multilinestrings([shapely.linestrings(flat)])[0])
    area = shapely.build_area(lines)
    parts = [part for part in shapely.get_parts(area) if isinstance(part, shapely.Polygon) and part.area > 0.0]
    return sorted(parts, key=lambda part: -part.area)
