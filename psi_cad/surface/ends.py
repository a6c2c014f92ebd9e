"""Where a bone was cropped: its scan, or a program, ended there, and the surface was closed flat, or flat with a rounded rim.

Such an end is no surface of the bone. It is told by shape alone, since a mesh does not say where its scan ended: a patch as plane
as no bone is, whose border turns away all round within some mm, with nothing ahead of it. A body that is mostly made of such
patches is no cropped bone but a block, whose faces are all its own. An end that slants to the voxels of a mask, and was not smoothed,
is all stairs, and is not seen.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["cropped_ends"]

CELL_MM: Final[Mm] = 3.0
FLAT: Final = 0.985  # of the area about a place looks one way: its normals spread by less than 10°
CONE_COS: Final = float(np.cos(np.radians(12.0)))  # of a patch's places about its normal
LEVEL_MM: Final[Mm] = 1.5  # from the middle of a patch along its normal
LEAST_MM2: Final = 80.0
EVEN_COS: Final = float(np.cos(np.radians(4.0)))
EVEN: Final = 0.6  # of a patch, its border aside, looks as much the same way as that
PLANE_MM: Final[Mm] = 0.2  # RMS off its plane, its border aside; the flattest of real bones with such a border 0.3
AHEAD_MM: Final[Mm] = 1.0
AHEAD: Final = 0.05  # of a patch's area may lie ahead of it, beside it
TURNED_COS: Final = float(np.cos(np.radians(40.0)))
TURNED: Final = 0.75  # of what lies two cells beside a patch has turned away; of what is plane and flat on real bones two thirds at most
BLOCK: Final = 0.45  # of a body's surface is such ends: a block
RIM_MM: Final[Mm] = 3.0  # behind a patch, its rounded rim reaches so far down
RIM_COS: Final = 0.35  # ... and is not yet a wall
LARGE_COS: Final = float(np.cos(np.radians(20.0)))  # large faces of an end, whose middles lie far apart


class _Cells(NamedTuple):
    """The surface in cells: `of` (faces,) which; area, mean place (n, 3), own normal (n, 3), that of all about it, its flatness, neighbours."""

    of: Ints
    area: Array
    place: Array
    normal: Array
    around: Array
    flat: Array
    graph: Any


class _Patch(NamedTuple):
    """Cells that look one way at one level, in order: which, their mean normal (3,) and place (3,), and their area."""

    cells: Ints
    normal: Array
    middle: Array
    area: float


def cropped_ends(mesh: trimesh.Trimesh) -> list[Ints]:
    """The faces of each end where the bone of a `mesh` (patient mm) was cropped, with its rounded rim."""
    cells = _cells(mesh)
    found = []
    todo = cells.flat > FLAT
    for seed in np.argsort(-cells.flat, kind="stable"):
        if not todo[seed]:
            continue
        patch = _patch(cells, int(seed))
        todo[patch.cells] = False
        todo[seed] = False
        if patch.area >= LEAST_MM2 and _is_end(cells, patch):
            found.append(patch)
    if sum(patch.area for patch in found) > BLOCK * float(cells.area.sum()):
        return []
    return [_whole(mesh, cells, patch) for patch in found]


def _cells(mesh: trimesh.Trimesh) -> _Cells:
    normals, areas, middles = np.asarray(mesh.face_normals), np.asarray(mesh.area_faces), np.asarray(mesh.triangles_center)
    index = np.floor((middles - middles.min(axis=0)) / CELL_MM).astype(np.int64) + 1
    size = index.max(axis=0) + 2
    keys, of = np.unique(np.ravel_multi_index(tuple(index.T), tuple(size)), return_inverse=True)
    area = np.maximum(np.bincount(of, areas), 1e-12)
    summed = np.stack([np.bincount(of, areas * normals[:, k]) for k in range(3)], axis=1)
    place = np.stack([np.bincount(of, areas * middles[:, k]) for k in range(3)], axis=1) / area[:, None]
    steps = np.array([(x * size[1] + y) * size[2] + z for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)])
    beside = keys[:, None] + steps
    at = np.minimum(np.searchsorted(keys, beside), len(keys) - 1)
    there = keys[at] == beside
    about = summed + (summed[at] * there[..., None]).sum(axis=1)
    length = np.linalg.norm(about, axis=1)
    flat = length / (area + (area[at] * there).sum(axis=1))
    rows, columns = np.nonzero(there)
    graph = coo_matrix((np.ones(len(rows), np.int32), (rows, at[rows, columns])), shape=(len(keys), len(keys))).tocsr()
    own = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)
    return _Cells(of, area, place, own, about / np.maximum(length, 1e-12)[:, None], flat, graph)


def _patch(cells: _Cells, seed: int) -> _Patch:
    """What lies about a cell, joined to it, and looks the same way at the same level."""
    normal = cells.around[seed]
    members = np.array([seed])
    for _ in range(2):
        level = float(cells.place[seed] @ normal)
        near = np.flatnonzero((cells.normal @ normal > CONE_COS) & (np.abs(cells.place @ normal - level) < LEVEL_MM))
        at = int(np.searchsorted(near, seed))
        if at >= len(near) or near[at] != seed:
            break
        label = connected_components(cells.graph[near][:, near], directed=False)[1]
        members = near[label == label[at]]
        normal = (cells.normal[members] * cells.area[members, None]).sum(axis=0)
        normal /= np.linalg.norm(normal)
    weights = cells.area[members]
    return _Patch(members, normal, np.average(cells.place[members], axis=0, weights=weights), float(weights.sum()))


def _is_end(cells: _Cells, patch: _Patch) -> bool:
    """Whether a patch is plane, with nothing ahead of it, and the surface turns away all round it."""
    inside, first, second = _about(cells, patch)
    height = (cells.place - patch.middle) @ patch.normal
    looks = cells.normal @ patch.normal
    core = inside & ~_beside(cells, ~inside)

    def area(which: Bools) -> float:
        return float(cells.area[which].sum())

    return (
        bool(core.any())
        and bool(second.any())
        and area(core & (looks > EVEN_COS)) >= EVEN * area(core)
        and float(np.average(height[core] ** 2, weights=cells.area[core])) <= PLANE_MM**2
        and area((first | second) & (height > AHEAD_MM)) <= AHEAD * patch.area
        and area(second & (looks < TURNED_COS) & (height < 0.0)) >= TURNED * area(second)
    )


def _about(cells: _Cells, patch: _Patch) -> tuple[Bools, Bools, Bools]:
    """Which cells are the patch's, beside it, and beside those."""
    inside = np.zeros(len(cells.area), dtype=bool)
    inside[patch.cells] = True
    first = _beside(cells, inside) & ~inside
    return inside, first, _beside(cells, first) & ~inside & ~first


def _beside(cells: _Cells, which: Bools) -> Bools:
    return np.asarray(cells.graph @ which.astype(np.int32) > 0)


def _whole(mesh: trimesh.Trimesh, cells: _Cells, patch: _Patch) -> Ints:
    """The faces of an end: its patch, and about it all down to where its rim has turned into the walls."""
    inside, first, second = _about(cells, patch)
    height = (np.asarray(mesh.triangles_center) - patch.middle) @ patch.normal
    looks = np.asarray(mesh.face_normals) @ patch.normal
    end = inside[cells.of] | ((first | second)[cells.of] & (height > -RIM_MM) & (looks > RIM_COS))
    plane = end | ((np.abs(height) < AHEAD_MM) & (looks > LARGE_COS))
    joined = trimesh.graph.connected_component_labels(mesh.face_adjacency[plane[mesh.face_adjacency].all(axis=1)], node_count=len(plane))
    return np.flatnonzero(end | (plane & np.isin(joined, joined[end])))
