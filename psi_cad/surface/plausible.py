"""Can this be a bone's surface? It runs on cortex with something softer outside, encloses no void, and is no mere shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from psi_cad.findings import Place, place_of
from psi_cad.imaging.levels import TissueLevels
from psi_cad.imaging.volume import Volume
from psi_cad.surface.relax import Neighbours, point_normals
from psi_cad.units import Array, Bools, Mm

__all__ = ["Objection", "hollow", "mere_shell", "through_bone"]

_OFFSETS: Final[Array] = np.arange(-5.0, 8.0, dtype=np.float64) * 0.4  # mm along the normal; a joint's far cortex lies within
_OUTWARD_MM: Final[Mm] = 2.4
_SOFTER: Final = 0.15  # of the way from soft tissue to cortex: what lies outside of a bone sinks below it, blur and noise included
_DIP: Final = 0.05  # of the way from soft tissue to cortex: a joint space this much darker than both its sides is one
_ROUNDS: Final = 3  # of averaging over neighbours: noise in a profile shrinks about threefold
_NOISE_LEFT: Final = 0.6  # twice what is left of the noise
THROUGH_MM2: Final = 100.0
"""A patch this large is no scatter: right surfaces have some 30 mm² in all, in spots of a few mm²."""
VOID_SHARE: Final = 0.05
"""Of a bone's volume; right labels enclose less than 0.2 %, for their marrow is filled."""
SHELL_MM: Final[Mm] = 1.8
"""Twice volume over area. A cortex without its marrow has about its own thickness; the thinnest whole bones (scapula, rib) have 3 mm or more."""


@dataclass(frozen=True)
class Objection:
    """Why a surface cannot be a bone's: the sentence without the bone's name before it, and the place, patient mm."""

    text: str
    where: Place | None


def through_bone(mesh: trimesh.Trimesh, volume: Volume, levels: TissueLevels) -> Objection | None:
    """An objection where the surface has no softer outside: it then runs within bone, through marrow or cortex.

    Along each normal the scan must sink to soft tissue within 2.4 mm, or at least dip between two brighter sides, as in a joint.
    """
    points, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    normals = point_normals(points, faces)
    neighbours = Neighbours(faces, len(points))
    profile = np.column_stack([volume.sampled(points + o * normals, outside=levels.soft) for o in _OFFSETS])
    for _ in range(_ROUNDS):
        profile = (profile + neighbours.degree[:, None] * neighbours.mean(profile)) / (neighbours.degree[:, None] + 1.0)
    span = levels.bone - levels.soft
    outside = (_OFFSETS > -0.01) & (_OFFSETS < _OUTWARD_MM + 0.01)
    low = profile[:, outside].min(axis=1)
    # the brightest from each point on; the other bone's marrow may lie lower than the gap
    beyond = np.maximum.accumulate(profile[:, ::-1], axis=1)[:, ::-1]
    within = profile[:, _OFFSETS < 0.01].max(axis=1)
    dips = (np.minimum(within[:, None], beyond) - profile)[:, outside].max(axis=1) > max(_DIP * span, _NOISE_LEFT * levels.noise)
    area, centre = _largest_patch((low > levels.soft + _SOFTER * span) & ~dips, mesh)
    if area < THROUGH_MM2:
        return None
    return Objection(f"runs through bone over {area:.0f} mm²: there is no softer tissue outside of it", place_of(centre))


def _largest_patch(flagged: Bools, mesh: trimesh.Trimesh) -> tuple[float, Array]:
    """Area in mm² of the largest connected patch of `flagged` points (n,), and the point of it nearest to its middle."""
    faces, points = np.asarray(mesh.faces), np.asarray(mesh.vertices)
    mine = faces[flagged[faces].all(axis=1)]
    if len(mine) == 0:
        return 0.0, points[0]
    links = Neighbours(mine, len(points)).links
    _, part = connected_components(links, directed=False)
    areas = np.bincount(part[mine[:, 0]], weights=mesh.area_faces[flagged[faces].all(axis=1)])
    spot = points[(part == int(np.argmax(areas))) & flagged]
    return float(areas.max()), np.asarray(spot[int(np.argmin(np.linalg.norm(spot - spot.mean(axis=0), axis=1)))])


def hollow(solid: npt.NDArray[Any], volume: Volume) -> Objection | None:
    """An objection where the voxels (nz, ny, nx) of a bone enclose a void: what at least two of the three planes show as shut in.

    A foramen is shut in in one plane only, a groove in none; a marrow that was left out is in two or three.
    """
    spots = ndimage.find_objects(solid.view(np.uint8))
    if not spots:
        return None
    box = spots[0]
    part = solid[box]
    shut = np.zeros(part.shape, dtype=np.uint8)
    for axis in range(3):
        shut += _shut_in(part, axis)
    void = (shut >= 2) & ~part
    share = float(void.sum()) / float(part.sum())
    if share < VOID_SHARE:
        return None
    index = np.argwhere(void)
    middle = index[int(np.argmin(np.linalg.norm(index - index.mean(axis=0), axis=1)))] + [s.start for s in box]
    where = place_of(volume.patient(middle[None, ::-1])[0])
    return Objection(f"encloses a void of {100.0 * share:.0f} % of its volume: its marrow is missing", where)


def _shut_in(part: Bools, axis: int) -> Bools:
    """Voxels outside of `part` (nz, ny, nx) that it shuts in within their plane across `axis`."""
    size = tuple(n if a == axis else n + 2 for a, n in enumerate(part.shape))
    inner = tuple(slice(None) if a == axis else slice(1, -1) for a in range(3))
    free = np.ones(size, dtype=bool)  # a rim of one voxel joins all that reaches the plane's border
    np.logical_not(part, out=free[inner])
    flat = ndimage.generate_binary_structure(3, 1)
    np.moveaxis(flat, axis, 0)[[0, -1]] = False
    labels, _ = ndimage.label(free, structure=flat, output=np.int32)
    rim = np.moveaxis(labels, axis, 0)[:, :1, :1]
    return np.asarray((labels != np.moveaxis(rim, 0, axis))[inner] & ~part)


def mere_shell(mesh: trimesh.Trimesh) -> Objection | None:
    """An objection where a surface has hardly any volume for its area."""
    thick = 2.0 * float(mesh.volume) / max(float(mesh.area), 1e-9)
    if thick >= SHELL_MM:
        return None
    return Objection(f"is {thick:.1f} mm thick on average, a shell without its marrow: no bone has so little volume for its area", None)
