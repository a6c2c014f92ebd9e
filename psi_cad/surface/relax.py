"""Even out a triangle mesh: points slide within the surface, and folds are smoothed away."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.sparse as sp
import trimesh

from psi_cad.units import Array, Bools, Ints

__all__ = ["Neighbours", "folded", "mean_curvature", "point_normals", "relaxed", "slid", "spanned", "unfolded"]

_SLIDE: Final = 0.5
_TAUBIN: Final = (0.5, -0.53)  # smooths without shrinking (Taubin 1995)
_FOLD_COS: Final = -0.3  # two neighbouring faces that look this far apart are a fold
_UNFOLD_ROUNDS: Final = 12


class Neighbours:
    """The neighbours of each point of a mesh, as a sparse matrix that averages over them."""

    def __init__(self, faces: Ints, count: int) -> None:
        ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        ends = np.concatenate([ends, ends[:, ::-1]])
        links = sp.csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
        links.data[:] = 1.0
        self.links = links
        self.degree = np.maximum(np.asarray(links.sum(axis=1)), 1.0)

    def mean(self, values: Array) -> Array:
        """Mean of `values` (n,) or (n, k) over each point's neighbours."""
        total = self.links @ values
        return np.asarray(total / (self.degree[:, None] if values.ndim > 1 else self.degree))

    def weighted_mean(self, values: Array, weights: Array) -> tuple[Array, Array]:
        """Mean of `values` (n,) over each point and its neighbours by `weights` (n,), and the weight it has."""
        weight = weights + self.links @ weights
        total = weights * values + self.links @ (weights * values)
        return np.asarray(total / np.maximum(weight, 1e-12)), np.asarray(weight)


def point_normals(points: Array, faces: Ints) -> Array:
    """Unit normals (n, 3) of the points, by area."""
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(points)
    for axis in range(3):
        total[:, axis] = np.bincount(faces.ravel(), weights=np.repeat(across[:, axis], 3), minlength=len(points))
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))


def mean_curvature(points: Array, faces: Ints, neighbours: Neighbours) -> Array:
    """Mean curvature (n,) in 1/mm, positive where the surface bulges outwards: the turn of the normal towards the neighbours."""
    normals = point_normals(points, faces)
    start, end = neighbours.links.nonzero()
    way = points[end] - points[start]
    turn = ((normals[end] - normals[start]) * way).sum(axis=1) / np.maximum((way**2).sum(axis=1), 1e-9)
    curved = np.bincount(start, weights=turn, minlength=len(points)) / neighbours.degree
    return neighbours.weighted_mean(curved, np.ones(len(points)))[0]


def slid(points: Array, faces: Ints, neighbours: Neighbours, *, rounds: int, held: Bools | None = None) -> Array:
    """`points` moved within their tangent planes towards the middle of their neighbours."""
    for _ in range(rounds):
        normals = point_normals(points, faces)
        step = neighbours.mean(points) - points
        step -= (step * normals).sum(axis=1, keepdims=True) * normals
        if held is not None:
            step[held] = 0.0
        points = points + _SLIDE * step
    return points


def relaxed(mesh: trimesh.Trimesh, *, rounds: int) -> trimesh.Trimesh:
    """`mesh` with Taubin smoothing: stairs below a voxel go, volume stays."""
    faces = np.asarray(mesh.faces, dtype=np.int64)
    points = np.asarray(mesh.vertices, dtype=np.float64)
    neighbours = Neighbours(faces, len(points))
    for _ in range(rounds):
        for share in _TAUBIN:
            points = points + share * (neighbours.mean(points) - points)
    return trimesh.Trimesh(points, faces, process=False)


def folded(points: Array, faces: Ints) -> Bools:
    """Points (n,) of faces that look against one of their neighbours, or against their own point normals."""
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    normals = point_normals(points, faces)
    bad = (np.einsum("fj,fcj->fc", across, normals[faces]) < _FOLD_COS / 3.0).any(axis=1)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    key = edges[:, 0] * len(points) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    same = np.nonzero(key[order][1:] == key[order][:-1])[0]
    first, second = order[same] % len(faces), order[same + 1] % len(faces)
    sharp = np.einsum("ij,ij->i", across[first], across[second]) < _FOLD_COS
    bad[first[sharp]] = True
    bad[second[sharp]] = True
    out = np.zeros(len(points), dtype=bool)
    out[faces[bad]] = True
    return out


def unfolded(points: Array, faces: Ints, neighbours: Neighbours, *, held: Bools | None = None) -> tuple[Array, int]:
    """`points` with folds smoothed away, and how many points were moved for it; `held` ones stay."""
    moved = np.zeros(len(points), dtype=bool)
    for _ in range(_UNFOLD_ROUNDS):
        bad = folded(points, faces)
        if not bad.any():
            break
        bad |= (neighbours.links @ bad.astype(np.float64)) > 0.0
        if held is not None:
            bad &= ~held
        points = np.where(bad[:, None], 0.3 * points + 0.7 * neighbours.mean(points), points)
        moved |= bad
    return points, int(moved.sum())


def spanned(points: Array, free: Bools, neighbours: Neighbours) -> Array:
    """`points` (n, 3) with those that are `free` (n,) spread evenly between the others, like a taut skin."""
    from scipy.sparse.linalg import spsolve

    if not free.any() or free.all():
        return points
    inner = np.flatnonzero(free)
    rows = neighbours.links[inner]
    matrix = sp.diags_array(neighbours.degree[inner]) - rows[:, inner]
    out = points.copy()
    out[inner] = spsolve(sp.csc_array(matrix), rows[:, np.flatnonzero(~free)] @ points[~free])
    return out
