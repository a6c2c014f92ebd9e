"""Surfaces at a distance from a closed surface, inside or outside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.dicom.contours import covered
from psi_cad.errors import DesignError
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.solids import joined, mesh_of, pieces_of, solid_of
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import trimesh

__all__ = ["grown", "hollow_of", "shrunk_by", "without_voids"]

PITCH: Final[Mm] = 0.8
MOST_VOXELS: Final = 30_000_000
SMALLEST_MM3: Final = 200.0  # a hollow smaller than that saves nothing
OFF_GRID: Final[Mm] = 0.0137
FIT_PLAY: Final[Mm] = 0.05


def _distances(solid: Any, around: Mm) -> tuple[Array, Array, Mm]:
    """Signed distances (mm, inside positive) on a grid, its first corner (3,), and its pitch; right to about half a voxel."""
    import SimpleITK

    low, high = np.reshape(solid.bounding_box(), (2, 3))
    low, high = low - around - 2.0 * PITCH, high + around + 2.0 * PITCH
    pitch = max(PITCH, float((np.prod(high - low) / MOST_VOXELS) ** (1.0 / 3.0)))
    columns, rows, layers = (int(n) for n in np.ceil((high - low) / pitch) + 1)
    inside = np.zeros((layers, rows, columns), dtype=np.uint8)
    for layer in range(layers):
        outlines = [(np.asarray(ring) - low[:2]) / pitch for ring in solid.slice(float(low[2] + layer * pitch)).to_polygons()]
        if outlines:
            inside[layer] = covered(outlines, rows=rows, columns=columns) > 0.5
    volume = SimpleITK.GetImageFromArray(inside)
    volume.SetSpacing((pitch,) * 3)
    apart = SimpleITK.SignedMaurerDistanceMap(volume, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    return SimpleITK.GetArrayFromImage(apart), low, pitch


def _level(distances: Array, low: Array, pitch: Mm, level: Mm) -> Any | None:
    """The solid (Manifold) where distances are above a level; None where there is none."""
    import trimesh
    from skimage.measure import marching_cubes

    level += OFF_GRID  # distances on a grid are roots of whole numbers: a level that is one of them passes through corners of the grid
    if float(distances.max()) <= level:
        return None
    vertices, faces, _, _ = marching_cubes(np.pad(distances, 1, constant_values=float(distances.min()) - 1.0), level, spacing=(pitch,) * 3)
    points = low + (vertices - pitch)[:, ::-1]
    found = trimesh.Trimesh(points, faces, process=True)
    if found.volume < 0.0:
        found.invert()
    return solid_of(found, name="an offset surface", key="part")


def without_voids(solid: Any) -> Any:
    """A solid without what is shut in it: segmented bone has voids in its marrow, which no print needs."""
    return joined([part for part in solid.decompose() if part.volume() > 0.0])


def hollow_of(solid: Any, wall: Mm) -> Any | None:
    """What can be taken out of a solid so that at least `wall` stays everywhere, in one piece (Manifold); None where that is little.

    Raises
    ------
    DesignError
        Where the wall that would be left is thinner.
    """
    distances, low, pitch = _distances(solid, 0.0)
    found = _level(distances, low, pitch, wall + pitch)  # the map is right to about half a voxel
    if found is None:
        return None
    largest = pieces_of(found)[0]
    if largest.volume() < SMALLEST_MM3:
        return None
    least = float(np.abs(SignedDistance(mesh_of(solid))(np.asarray(mesh_of(largest).vertices))).min())
    if least < wall:
        raise DesignError(f"The hollow would leave a wall of {least:.2f} mm, and {wall:g} is asked for; raise or lower shell a little.")
    return largest


def grown(solid: Any, by: Mm) -> Any:
    """The solid (Manifold) of all that lies within `by` of a solid or in it, right to about half a voxel of 0.8 mm."""
    distances, low, pitch = _distances(solid, by)
    found = _level(distances, low, pitch, -by)
    assert found is not None  # the solid itself lies in it
    return found


def shrunk_by(mesh: trimesh.Trimesh, by: Mm) -> Any:
    """The solid (Manifold) of a surface whose corners are moved inward by `by`: some tenths of a millimetre; further, it folds at rims.

    Raises
    ------
    DesignError
        Where that folds the surface, or moves it by another amount than asked.
    """
    import trimesh

    if by == 0.0:
        return solid_of(mesh, name="the bone", key="bone")
    moved = trimesh.Trimesh(np.asarray(mesh.vertices) - by * np.asarray(mesh.vertex_normals), mesh.faces, process=False)
    off = -SignedDistance(mesh)(np.asarray(moved.triangles_center))  # inside is negative there
    if float(np.quantile(np.abs(off - by), 0.99)) > FIT_PLAY or moved.volume <= 0.0:
        raise DesignError("The surface cannot be taken back by that much evenly; lower fit.")
    return solid_of(moved, name="the bone taken back", key="part")
