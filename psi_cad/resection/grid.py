"""The inside of a closed surface as a grid of points, for searches and shortest paths; no number of a report comes from it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import trimesh

from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["Grid", "inner_grid"]

OFF_GRID: Final = np.array([3.1e-4, 2.3e-4, 1.7e-4])  # of a step: columns keep off vertices that lie on round numbers
CHUNK: Final = 2_000_000  # pairs of a triangle and a column at a time
TIE: Final = 1e-300  # a column on an edge lies to its left


@dataclass(frozen=True)
class Grid:
    """Cells of edge `step` mm whose centres lie inside: `index` (n, 3) counts from `origin` (3,), patient mm."""

    origin: Array
    step: Mm
    shape: tuple[int, int, int]
    index: Ints

    @property
    def points(self) -> Array:
        """The centres (n, 3), patient mm."""
        return np.asarray(self.origin + self.step * self.index)

    @property
    def mask(self) -> Bools:
        """Inside or not, for the whole block of cells."""
        inside = np.zeros(self.shape, dtype=bool)
        inside[tuple(self.index.T)] = True
        return inside


def inner_grid(mesh: trimesh.Trimesh, *, step: Mm) -> Grid:
    """The cells of a regular grid whose centres lie inside a closed `mesh`: between an odd and an even crossing of their column."""
    low, high = np.asarray(mesh.bounds)
    origin = low - 1.5 * step + step * OFF_GRID
    size = np.ceil((high - low) / step).astype(int) + 4
    column, height = _crossings((np.asarray(mesh.vertices) - origin) / step, np.asarray(mesh.faces), size[:2])
    order = np.lexsort((height, column))
    column, first = column[order], np.ceil(height[order]).astype(np.int64)  # the first cell centre above each crossing
    _, start, group, count = np.unique(column, return_index=True, return_inverse=True, return_counts=True)
    sign = np.where((np.arange(len(column)) - start[group]) % 2 == 0, 1.0, -1.0)
    sign[count[group] % 2 == 1] = 0.0  # only where edges hold three faces: such a column tells nothing
    steps = np.bincount(first * size[1] * size[0] + column, weights=sign, minlength=int(size.prod())).reshape(size[::-1])
    index = np.argwhere(np.cumsum(steps, axis=0) > 0.5)[:, ::-1].astype(np.int64)
    return Grid(origin, step, (int(size[0]), int(size[1]), int(size[2])), index)


def _crossings(vertices: Array, faces: Ints, size: Ints) -> tuple[Ints, Array]:
    """Where vertical columns at whole x, y (in cells) cross triangles: the column (n,), numbered x + y size_x, and the height (n,).

    Two triangles that share an edge decide on the same number to which of them a column belongs, so none is missed or counted twice.
    """
    a, b, c = (vertices[faces[:, k], :2] for k in range(3))
    low = np.ceil(np.minimum(np.minimum(a, b), c)).astype(np.int64)
    count = np.maximum(np.floor(np.maximum(np.maximum(a, b), c)).astype(np.int64) - low + 1, 0)
    pairs = count[:, 0] * count[:, 1]
    found: list[tuple[Ints, Array]] = [(np.zeros(0, dtype=np.int64), np.zeros(0))]
    some = np.flatnonzero(pairs)
    for part in np.array_split(some, max(1, int(pairs.sum()) // CHUNK)):
        face = np.repeat(part, pairs[part])
        within = np.arange(len(face)) - np.repeat(np.cumsum(pairs[part]) - pairs[part], pairs[part])
        x, y = low[face, 0] + within // count[face, 1], low[face, 1] + within % count[face, 1]
        corners = faces[face]
        sides = [_side(vertices, corners[:, (k + 1) % 3], corners[:, (k + 2) % 3], x, y) for k in range(3)]
        left = [side > 0.0 for side in sides]
        hit = (left[0] == left[1]) & (left[1] == left[2])
        weights = np.abs(np.stack([side[hit] for side in sides], axis=1))
        height = (weights * vertices[corners[hit], 2]).sum(axis=1) / weights.sum(axis=1)
        found.append((y[hit] * size[0] + x[hit], height))
    return np.concatenate([column for column, _ in found]), np.concatenate([height for _, height in found])


def _side(vertices: Array, start: Ints, end: Ints, x: Ints, y: Ints) -> Array:
    """On which side of the edges start–end the points x, y lie; the same number, negated, for the edge turned round."""
    turned = start > end
    a, b = vertices[np.where(turned, end, start)], vertices[np.where(turned, start, end)]
    area = (b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])
    area = np.where(area == 0.0, TIE, area)
    return np.where(turned, -area, area)
