"""Fewer triangles for a picture: finer than its pixels show, a surface only takes longer to draw."""

from __future__ import annotations

from typing import Final

import numpy as np
import trimesh

from psi_cad.units import Array

__all__ = ["lighter"]

MOST_TRIANGLES: Final = 200_000  # a hip bone then has edges of about 0.8 mm, three pixels of its closest view
_PER_CELL: Final = 3.0  # triangles of a surface, for each square as wide as a cell that it covers


def lighter(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """`mesh` itself, or, where it has many triangles, one whose points are the means of those within small cells; for pictures only."""
    if len(mesh.faces) <= MOST_TRIANGLES:
        return mesh
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    cell = float(np.sqrt(_PER_CELL * _area(vertices, faces) / MOST_TRIANGLES))
    low = vertices.min(axis=0)
    place = np.floor((vertices - low) / cell).astype(np.int64)
    wide = place.max(axis=0) + 1
    key = (place[:, 0] * wide[1] + place[:, 1]) * wide[2] + place[:, 2]
    _, number, count = np.unique(key, return_inverse=True, return_counts=True)
    middles = np.column_stack([np.bincount(number, weights=column) for column in vertices.T]) / count[:, None]
    moved = number[faces]
    keep = (moved[:, 0] != moved[:, 1]) & (moved[:, 1] != moved[:, 2]) & (moved[:, 2] != moved[:, 0])
    return trimesh.Trimesh(middles, moved[keep], process=False)


def _area(vertices: Array, faces: Array) -> float:
    one, two, three = vertices[faces.T]
    return float(np.linalg.norm(np.cross(two - one, three - one), axis=1).sum()) / 2.0
