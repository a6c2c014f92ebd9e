"""Closed surfaces from voxels: of a scan's values at a level, and of a label map without its stairs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh
from scipy import ndimage

from psi_cad.errors import SegmentationError
from psi_cad.surface.relax import relaxed
from psi_cad.units import Array, Mm

__all__ = ["MESH_MM", "even_grid", "largest_part", "level_surface", "surface_of_mask", "surface_of_part"]

MESH_MM: Final[Mm] = 1.0
"""Grid of the surfaces: a hip bone then has about 60,000 points."""
_MASK_BLUR: Final = 0.8  # voxels; takes the stair away, and moves a sphere of 5 voxels by less than a tenth of one
_UNEVEN: Final = 1.5  # slices this much thicker than pixels are interpolated by shape
_MASK_ROUNDS: Final = 6


def level_surface(values: npt.NDArray[Any], level: float, *, patient_from_index: Array) -> trimesh.Trimesh:
    """The closed surface between `values` (nz, ny, nx) above and below `level`, normals away from the higher values.

    What reaches the border of the grid is closed flat, half a voxel beyond it.

    Raises
    ------
    SegmentationError
        If nothing is above the level.
    """
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

    low = np.float32(min(float(values.min()), level - 1.0))
    wide = np.pad(values.astype(np.float32, copy=False), 1, constant_values=low)
    if not (wide > level).any():
        raise SegmentationError("The segmentation is empty: there is nothing to make a surface of.")
    # a value equal to the level would give points that coincide
    wide[wide == np.float32(level)] += np.float32(1e-3) * max(abs(np.float32(level) - low), np.float32(1e-3))
    image = vtkImageData()
    image.SetDimensions(wide.shape[2], wide.shape[1], wide.shape[0])
    image.GetPointData().SetScalars(numpy_to_vtk(wide.ravel(), deep=False))
    edges = vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, float(level))
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    out = edges.GetOutput()
    points = vtk_to_numpy(out.GetPoints().GetData()).astype(np.float64) - 1.0
    faces = vtk_to_numpy(out.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    last = np.array(values.shape[::-1]) - 1.0
    points = np.where(points < 0.0, -0.5, np.where(points > last, last + 0.5, points))
    matrix = np.asarray(patient_from_index, dtype=np.float64)
    mesh = trimesh.Trimesh(points @ matrix[:3, :3].T + matrix[:3, 3], faces, process=False)
    if mesh.volume < 0.0:
        mesh.invert()
    return mesh


def largest_part(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The connected part of `mesh` with the largest volume, its points renumbered."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    faces = np.asarray(mesh.faces)
    n = len(mesh.vertices)
    links = coo_array((np.ones(len(faces) * 2, dtype=bool), (np.tile(faces[:, 0], 2), faces[:, 1:].T.ravel())), shape=(n, n))
    count, part = connected_components(links, directed=False)
    if count > 1:
        corners = np.asarray(mesh.vertices)[faces] - mesh.vertices.mean(axis=0)
        volumes = np.bincount(
            part[faces[:, 0]], weights=np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])), minlength=count
        )
        faces = faces[part[faces[:, 0]] == int(np.argmax(volumes))]
    used = np.zeros(n, dtype=bool)
    used[faces] = True
    return trimesh.Trimesh(np.asarray(mesh.vertices)[used], (np.cumsum(used) - 1)[faces], process=False)


def even_grid(values: npt.NDArray[Any], *, patient_from_index: Array, step: Mm) -> tuple[npt.NDArray[Any], Array]:
    """`values` (nz, ny, nx) on a grid of `step` mm in all three directions over the same box, and its patient_from_index."""
    spacing = np.linalg.norm(np.asarray(patient_from_index)[:3, :3], axis=0)
    ratio = step / spacing[::-1]
    values = values.astype(np.float32, copy=False)
    blur = np.where(ratio > 1.0, 0.45 * np.sqrt(np.maximum(ratio**2 - 1.0, 0.0)), 0.0)
    if (blur > 0.0).any():
        values = ndimage.gaussian_filter(values, blur, truncate=2.5, mode="nearest")
    shape = np.floor((np.array(values.shape) - 1) / ratio + 1e-9).astype(int) + 1
    start = ((np.array(values.shape) - 1) - (shape - 1) * ratio) / 2.0
    even = ndimage.affine_transform(values, ratio, offset=start, output_shape=tuple(shape), order=1, output=np.float32, mode="nearest")
    matrix = np.array(patient_from_index, dtype=np.float64)
    matrix[:3, 3] = matrix[:3, :3] @ start[::-1] + matrix[:3, 3]
    matrix[:3, :3] *= ratio[::-1]
    return even, matrix


def surface_of_mask(labels: npt.NDArray[Any], label: int, *, patient_from_index: Array, step: Mm | None = None) -> trimesh.Trimesh:
    """The smooth closed surface of one label of a map (nz, ny, nx), with the volume of its voxels; see `surface_of_part`.

    Raises
    ------
    SegmentationError
        If no voxel has the label.
    """
    mask = labels == label
    if not mask.any():
        raise SegmentationError(f"No voxel of the label map has the number {label}.")
    return surface_of_part(mask, patient_from_index=patient_from_index, step=step)


def surface_of_part(occupied: npt.NDArray[Any], *, patient_from_index: Array, step: Mm | None = None) -> trimesh.Trimesh:
    """The smooth closed surface, patient mm, of a mask (nz, ny, nx): bool, or the occupied part of each voxel.

    The mask is blurred by less than a voxel and cut at the level that keeps its volume. Slices much thicker than pixels are
    interpolated by shape first (Raya and Udupa 1990).

    Parameters
    ----------
    step : float, optional
        Grid of the surface in mm; by default the finest voxel edge, at most 1 mm.

    Raises
    ------
    SegmentationError
        If nothing is occupied.
    """
    spots = ndimage.find_objects((occupied > 0).astype(np.uint8))
    if not spots:
        raise SegmentationError("The mask is empty.")
    box = tuple(slice(s.start, s.stop) for s in spots[0])
    matrix = np.array(patient_from_index, dtype=np.float64)
    corner = np.array([s.start for s in box][::-1], dtype=np.float64)
    inner = np.pad(occupied[box], 4)
    matrix[:3, 3] = matrix[:3, :3] @ (corner - 4.0) + matrix[:3, 3]
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    wanted = float(occupied[box].sum(dtype=np.float64)) * float(np.prod(spacing))
    soft, matrix = _soft_mask(inner, matrix, spacing)
    fine = float(min(np.linalg.norm(matrix[:3, :3], axis=0).min(), MESH_MM)) if step is None else step
    even, matrix = even_grid(soft, patient_from_index=matrix, step=fine)
    low, high = 0.05, 0.95
    mesh = level_surface(even, 0.5, patient_from_index=matrix)
    for _ in range(12):
        level = (low + high) / 2.0
        mesh = relaxed(level_surface(even, level, patient_from_index=matrix), rounds=_MASK_ROUNDS)
        if abs(mesh.volume - wanted) < 1e-3 * wanted:
            break
        low, high = (level, high) if mesh.volume > wanted else (low, level)
    return mesh


def _soft_mask(mask: npt.NDArray[Any], matrix: Array, spacing: Array) -> tuple[npt.NDArray[Any], Array]:
    """`mask` as a blurred float field, with slices in between where they are thick."""
    thick = int(np.argmax(spacing))
    others = float(np.delete(spacing, thick).max())
    if spacing[thick] <= _UNEVEN * others:
        return ndimage.gaussian_filter(mask.astype(np.float32), _MASK_BLUR, truncate=3.0), matrix
    axis = 2 - thick
    layers = np.moveaxis(mask, axis, 0) >= 0.5
    sampling = np.delete(spacing[::-1], axis)
    reach = float(spacing[thick])
    away = np.stack([_flat_distance(layer, sampling, reach) for layer in layers])
    times = int(np.ceil(spacing[thick] / others))
    shape = ((len(away) - 1) * times + 1, *away.shape[1:])
    dense = ndimage.affine_transform(away, [1.0 / times, 1.0, 1.0], output_shape=shape, order=1, output=np.float32, mode="nearest")
    edge = others
    soft = np.moveaxis(np.clip(0.5 - dense / (2.0 * edge), 0.0, 1.0), 0, axis)
    finer = matrix.copy()
    finer[:3, thick] /= times
    sigma = np.full(3, _MASK_BLUR)
    sigma[axis] = 0.5 * times
    return ndimage.gaussian_filter(soft, sigma, truncate=3.0), finer


def _flat_distance(layer: npt.NDArray[np.bool_], sampling: Array, reach: float) -> npt.NDArray[Any]:
    """Signed distance in mm in one slice, negative inside; an empty slice lies `reach` beyond."""
    half = float(sampling.min()) / 2.0
    if not layer.any():
        return np.full(layer.shape, 4.0 * reach, dtype=np.float32)
    outside = ndimage.distance_transform_edt(~layer, sampling=sampling)
    inside = ndimage.distance_transform_edt(layer, sampling=sampling)
    return np.asarray(np.where(layer, half - inside, outside - half), dtype=np.float32)
