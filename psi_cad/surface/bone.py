"""A bone's closed surface from its label and the scan: rough from the voxels, then refined to the cortex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import trimesh
from scipy import ndimage

from psi_cad.imaging.levels import TissueLevels
from psi_cad.imaging.volume import Volume
from psi_cad.surface.isosurface import MESH_MM, even_grid, largest_part, level_surface
from psi_cad.surface.refine import SurfaceFit, refined
from psi_cad.units import Bools, Mm

__all__ = ["bone_surface"]

_MARGIN_MM: Final[Mm] = 6.0  # profiles reach this far around the bone
_THIN_SHARE: Final = 0.5  # of the way from there to cortex: what every voxel of the bone counts as, at least
_START_SHARE: Final = 0.35  # of the way from soft tissue to cortex, where the rough surface is taken


def bone_surface(
    volume: Volume,
    solid: Bools,
    *,
    levels: TissueLevels,
    others: Bools | None = None,
    mesh_mm: Mm = MESH_MM,
    progress: Callable[[str], None] | None = None,
) -> tuple[trimesh.Trimesh, SurfaceFit]:
    """The closed surface, patient mm, of the bone whose voxels are `solid` (nz, ny, nx), marrow included.

    `others` (nz, ny, nx) are the voxels of other bones. Where the bone meets the scan's edge it is closed flat there.
    """
    margin = np.ceil(_MARGIN_MM / volume.spacing[::-1]).astype(int)
    spots = ndimage.find_objects(solid.view(np.uint8))[0]
    box = tuple(slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(spots, margin, solid.shape, strict=True))
    values = volume.values[box].astype(np.float32)
    inside = solid[box]
    matrix = np.array(volume.patient_from_index)
    corner = np.array([s.start for s in box][::-1], dtype=np.float64)
    matrix[:3, 3] = volume.patient(corner[None])[0]
    level = levels.soft + _START_SHARE * (levels.bone - levels.soft)
    core = ndimage.binary_erosion(inside, border_value=1)
    around = ndimage.binary_dilation(inside)
    soft, top = np.float32(levels.soft), np.float32(levels.bone)
    field = np.where(core, top, np.where(around, np.clip(values, soft, top), soft))
    # cortex thinner than a voxel reads less than the level, and must not tear
    np.maximum(field, np.float32(level + _THIN_SHARE * (levels.bone - level)), out=field, where=inside)
    foreign: Bools = (values > level) & ~ndimage.binary_dilation(around)
    if others is not None:
        foreign |= others[box]
    del core, around
    even, even_matrix = even_grid(field, patient_from_index=matrix, step=mesh_mm)
    del field
    rough = largest_part(level_surface(even, level, patient_from_index=even_matrix))
    index = volume.index(np.asarray(rough.vertices))
    last = np.array(volume.values.shape[::-1]) - 1.0
    held: Bools = np.asarray((index < 0.25) | (index > last - 0.25))
    return refined(rough, values, patient_from_index=matrix, soft=levels.soft, noise=levels.noise, others=foreign, held=held, progress=progress)
