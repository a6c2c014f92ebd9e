"""A tumour's closed surface from its distance on cubes, its diameters, and the surface grown around it by a margin in mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["Tumour", "diameters", "grown", "tumour_surface"]

VOLUME_SHARE: Final = 0.03
"""The surface may hold this much more or less than the mask; measured on the mesh, not assumed."""
MOST_PAIRED: Final = 2000  # points whose distances are all compared
DIRECTIONS: Final = 300  # looked along where there are more, and how many of the widest are followed up
FOLLOWED: Final = 24
GROW_STEP: Final[Mm] = 0.8
_LARGEST_GRID: Final = 6_000_000
_COARSE: Final = 4


@dataclass(frozen=True)
class Tumour:
    """A tumour in the patient frame.

    Attributes
    ----------
    mesh : Trimesh
        Closed, patient mm (LPS), of the frame it was brought to.
    mask_volume_mm3 : float
        Of the voxels it was made from.
    level_mm : float
        How far the surface was moved outward so that it holds the volume of the mask.
    parts : int
        Separate pieces; none was dropped.
    proposal : bool
        Made by a program from seeds, and not yet accepted by a person.
    """

    mesh: trimesh.Trimesh
    mask_volume_mm3: float
    level_mm: Mm
    parts: int
    proposal: bool

    @property
    def volume_mm3(self) -> float:
        """What the surface encloses."""
        return float(self.mesh.volume)


def tumour_surface(field: Volume, *, fixed_from_moving: Array | None = None) -> Tumour:
    """The closed surface where a signed distance on cubes (`shape_interpolated`) is zero, moved so that it holds the mask's volume.

    Parameters
    ----------
    field : Volume
        mm, negative inside; its facts carry `mask_volume_mm3`.
    fixed_from_moving : (4, 4), optional
        From the frame of the mask to the frame of the CT.

    Raises
    ------
    SurfaceError
        If it does not close or does not hold the volume of its mask.
    """
    from skimage.measure import marching_cubes

    wanted = float(field.facts["mask_volume_mm3"])
    cube = float(np.prod(field.spacing))
    width = float(field.spacing.mean())
    low, high = -3.0, 3.0
    for _ in range(40):  # a voxel at distance d from the surface is filled by 1/2 − d / width
        level = 0.5 * (low + high)
        held = float(np.clip(0.5 - (field.values - level) / width, 0.0, 1.0).sum()) * cube
        low, high = (level, high) if held < wanted else (low, level)
    try:
        vertices, faces, _, _ = marching_cubes(np.asarray(field.values, dtype=np.float64), level)
    except (ValueError, RuntimeError) as error:
        raise SurfaceError("The tumour's mask is too small for a surface; draw it again.") from error
    points = field.patient(vertices[:, ::-1])
    if fixed_from_moving is not None:
        points = points @ fixed_from_moving[:3, :3].T + fixed_from_moving[:3, 3]
    mesh = _sound(points, faces)
    if not mesh.is_watertight or abs(float(mesh.volume) - wanted) > VOLUME_SHARE * wanted:
        raise SurfaceError(
            f"The tumour's surface holds {mesh.volume / 1000:.2f} cm³ where its mask has {wanted / 1000:.2f} cm³; "
            "the mask is too thin or too small; draw it again."
        )
    return Tumour(mesh, wanted, level, int(mesh.body_count), bool(field.facts.get("proposal", False)))


def _sound(points: Array, faces: Array) -> trimesh.Trimesh:
    """A mesh without slivers, its normals outward."""
    mesh = trimesh.Trimesh(points, faces, process=False)
    mesh.merge_vertices(digits_vertex=5)
    mesh.update_faces(mesh.nondegenerate_faces(height=1e-9))
    mesh.remove_unreferenced_vertices()
    if mesh.volume < 0.0:  # marching cubes winds by the index axes, which may be left-handed
        mesh.invert()
    return mesh


def diameters(mesh: trimesh.Trimesh) -> tuple[Array, Array]:
    """The greatest diameters (3,) of a surface in mm, and their directions (3, 3), one a row, square to each other.

    The first is the greatest distance of any two points (the longest diameter of RECIST 1.1: Eisenhauer et al. 2009,
    Eur J Cancer 45:228, but in space, not in one slice); the second the greatest extent square to it (as in the WHO
    criteria: Miller et al. 1981, Cancer 47:207); the third the extent square to both.
    """
    from scipy.spatial import ConvexHull

    points = np.asarray(mesh.vertices, dtype=np.float64)
    first = _longest(points[ConvexHull(points).vertices])
    flat = points - np.outer(points @ first, first)
    across = np.linalg.svd(first[None])[2][1:]  # two directions square to it
    plane = flat @ across.T
    second = _longest(plane[ConvexHull(plane).vertices]) @ across
    axes = np.stack([first, second, np.cross(first, second)])
    return np.ptp(points @ axes.T, axis=0), axes


def _longest(points: Array) -> Array:
    """Unit direction of the greatest distance between two of `points` (n, d): exact for up to `MOST_PAIRED`, else to 2e-4 of it."""
    from scipy.spatial.distance import cdist

    if len(points) > MOST_PAIRED:
        turns = np.arange(DIRECTIONS) * np.pi * (3.0 - np.sqrt(5.0))
        height = 1.0 - (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS  # half a sphere, evenly
        ways = np.column_stack([np.cos(turns) * np.sqrt(1.0 - height**2), np.sin(turns) * np.sqrt(1.0 - height**2), height])
        along = ways[:, : points.shape[1]] @ points.T
        best = np.argsort(-np.ptp(along, axis=1), kind="stable")[:FOLLOWED]
        ends = np.unique([along[best].argmin(axis=1), along[best].argmax(axis=1)])
        for _ in range(2):  # from each of these to the point farthest from it
            ends = np.unique(np.concatenate([ends, cdist(points[ends], points).argmax(axis=1)]))[:MOST_PAIRED]
        points = points[ends]
    apart = cdist(points, points)
    a, b = np.unravel_index(int(np.argmax(apart)), apart.shape)
    return np.asarray((points[a] - points[b]) / apart[a, b])


def grown(mesh: trimesh.Trimesh, margin: Mm) -> trimesh.Trimesh:
    """The closed surface of all points `margin` mm from `mesh`, outside it: equally far in every direction.

    Taken as the level of the exact distance on a grid; voxels of the scan play no part, so thick slices do not bend it.

    Raises
    ------
    SurfaceError
        If `mesh` is not closed, or `margin` is not positive.
    """
    from scipy import ndimage
    from scipy.spatial import cKDTree
    from skimage.measure import marching_cubes

    if not margin > 0.0:
        raise SurfaceError(f"The margin is {margin:g} mm; give one above 0.")
    if not mesh.is_watertight:
        raise SurfaceError("A margin can only be grown around a closed surface.")
    reach = margin + 3.0 * GROW_STEP
    low = np.asarray(mesh.bounds[0]) - reach
    size = np.asarray(mesh.extents) + 2.0 * reach
    step = max(min(GROW_STEP, margin / 2.0), float((np.prod(size) / _LARGEST_GRID) ** (1.0 / 3.0)))
    # distance to points this dense on the surface is too long by at most 0.01 mm: √(d² + h²) − d with h the way to the nearest point
    dense = float(np.clip(np.sqrt(0.04 * margin), 0.1, 0.6))
    points, _ = trimesh.remesh.subdivide_to_size(np.asarray(mesh.vertices), np.asarray(mesh.faces), max_edge=dense, max_iter=20)
    tree = cKDTree(points)
    few = np.ceil(size / (step * _COARSE)).astype(int) + 1
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in few), indexing="ij"), axis=-1).reshape(-1, 3)
    rough = tree.query(low + grid * (step * _COARSE))[0].reshape(few)
    where = np.meshgrid(*(np.arange(_COARSE * (n - 1) + 1) / _COARSE for n in few), indexing="ij")
    values = ndimage.map_coordinates(rough, where, order=1)
    near = np.abs(values - margin) < 1.5 * step * _COARSE  # elsewhere only the side matters, and a distance changes no faster than the way
    values[near] = tree.query(low + np.argwhere(near) * step)[0]
    vertices, faces, _, _ = marching_cubes(values, margin)
    outer = _sound(low + vertices * step, faces)
    # the distance has no sign: its level inside a wide tumour, and any hollow, comes out as a shell that looks inward
    shells = outer.split(only_watertight=False)
    kept = [shell for shell in shells if shell.volume > 0.0]
    return trimesh.util.concatenate(kept) if len(kept) < len(shells) else outer
