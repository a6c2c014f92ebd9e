"""The section of a surface with a plane, as polygons in the plane."""

from __future__ import annotations

import numpy as np
import shapely
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.surface.trust import at
from psi_cad.units import Array, Ints

__all__ = ["section_parts"]


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

    Raises
    ------
    SurfaceError
        Where the surface is open at the plane: no section could be trusted.
    """
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    height = (vertices - origin) @ axes[2]
    above = height >= 0.0  # a vertex in the plane counts as above, so every face is crossed in two edges or in none
    crossed = np.flatnonzero((above[faces].sum(axis=1) % 3) != 0)
    edges = np.stack([faces[crossed], np.roll(faces[crossed], -1, axis=1)], axis=2)
    edges = edges[above[edges[..., 0]] != above[edges[..., 1]]]
    if len(edges) == 0:
        return []
    # one crossing for each edge, whichever face it is taken from: a ring can't open by rounding
    low, high = np.sort(edges, axis=1).T
    _refuse_open(vertices, low, high)
    along = height[low] / (height[low] - height[high])
    flat = ((vertices[low] + along[:, None] * (vertices[high] - vertices[low]) - origin) @ axes[:2].T).reshape(-1, 2, 2)
    flat = flat[(flat[:, 0] != flat[:, 1]).any(axis=1)]
    # divided where they cross: a surface that folds into itself by a hair still has a section
    lines = shapely.node(shapely.multilinestrings([shapely.linestrings(flat)])[0])
    area = shapely.build_area(lines)
    parts = [part for part in shapely.get_parts(area) if isinstance(part, shapely.Polygon) and part.area > 0.0]
    return sorted(parts, key=lambda part: -part.area)


def _refuse_open(vertices: Array, low: Ints, high: Ints) -> None:
    keys, first, counts = np.unique(low * len(vertices) + high, return_index=True, return_counts=True)
    if len(keys) and (counts % 2 == 1).any():
        edge = first[int(np.argmax(counts % 2 == 1))]
        place = (vertices[low[edge]] + vertices[high[edge]]) / 2.0
        raise SurfaceError(
            f"The surface is open where a plane meets it near {at(place)}; close it in the segmentation and export again.", where=place
        )
