"""A bone's closed surface from its label and the scan: rough from the voxels, then refined to the cortex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh
from scipy import ndimage

from psi_cad.extraction.blur import ScanBlur
from psi_cad.extraction.holes import Hole, Holes, found_holes
from psi_cad.extraction.isosurface import MESH_MM, even_grid, largest_part, level_surface
from psi_cad.extraction.refine import SurfaceFit, refined
from psi_cad.findings import Place, inmost, place_of
from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.morphology import CROSS, grown
from psi_cad.voxels.volume import Volume

__all__ = ["BoneSurface", "bone_surface"]

_MARGIN_MM: Final[Mm] = 6.0  # profiles reach this far around the bone
_THIN_SHARE: Final = 0.5  # of the way from there to cortex: what every voxel of the bone counts as, at least
_CRUMB_MM3: Final = 1000.0  # what is left out and is smaller is none of a bone's ends
_LEANS_MM: Final[Mm] = 2.0  # from a lid: the rim of a hole is rounded so far, and no face of the blade
_LESS_THAN_LEVEL: Final = 1e-3  # of the way to cortex: rounding where a surface point meets the level
_START_SHARE: Final = 0.35  # of the way from soft tissue to cortex, where the rough surface is taken


@dataclass(frozen=True)
class BoneSurface:
    """A bone's closed surface, patient mm, how it was fitted, and the holes through it.

    `patch` (n faces,): number of the closed hole that a face covers; 0 where the face is measured bone. `left_out`: pieces of the bone that
    hang together with nothing else of it, so that one closed surface cannot hold them: a point in each, and its mm³.
    """

    mesh: trimesh.Trimesh
    fit: SurfaceFit
    holes: tuple[Hole, ...]
    patch: Ints
    left_out: tuple[tuple[Place, float], ...] = ()


def bone_surface(
    volume: Volume,
    solid: Bools,
    *,
    levels: TissueLevels,
    others: Bools | None = None,
    mesh_mm: Mm = MESH_MM,
    close_holes: Mm = 0.0,
    coarsest: Mm | None = None,
    scan_blur: ScanBlur | None = None,
    progress: Callable[[str], None] | None = None,
) -> BoneSurface:
    """The closed surface of the bone whose voxels are `solid` (nz, ny, nx), marrow included.

    `others` (nz, ny, nx) are the voxels of other bones. Where the bone meets the scan's edge it is closed flat there. Holes through the
    bone of less than `close_holes` mm across are closed; no bone was measured there. `coarsest`: largest step of the scan as scanned, mm.
    `scan_blur`: what the bones of the scan show together.
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
    core = ~grown(~inside, CROSS)
    around = grown(inside, CROSS)
    soft, top = np.float32(levels.soft), np.float32(levels.bone)
    field = np.where(core, top, np.where(around, np.clip(values, soft, top), soft))
    # cortex thinner than a voxel reads less than the level, and must not tear
    np.maximum(field, np.float32(level + _THIN_SHARE * (levels.bone - level)), out=field, where=inside)
    foreign: Bools = (values > level) & ~grown(around, CROSS)
    if others is not None:
        foreign |= others[box]
    del core, around
    even, even_matrix = even_grid(field, patient_from_index=matrix, step=mesh_mm)
    del field
    if progress:
        progress("look for holes")
    body, left_out = _one_piece(even > level, even_matrix, mesh_mm)
    holes = found_holes(body, patient_from_index=even_matrix, step=mesh_mm, close=close_holes)
    rough, guessed = _rough(even, holes, level, top, even_matrix)
    index = volume.index(np.asarray(rough.vertices))
    last = np.array(volume.values.shape[::-1]) - 1.0
    held: Bools = np.asarray((index < 0.25) | (index > last - 0.25))
    mesh, fit = refined(
        rough, values, patient_from_index=matrix, soft=levels.soft, noise=levels.noise, others=foreign, held=held, guessed=guessed,
        coarsest=coarsest, scan_blur=scan_blur, progress=progress,
    )  # fmt: skip
    return BoneSurface(mesh, fit, holes.measured(mesh, guessed), holes.patch_of(mesh, guessed), left_out)


def _one_piece(body: Bools, matrix: Array, step: Mm) -> tuple[Bools, tuple[tuple[Place, float], ...]]:
    """The largest connected piece of `body` (nz, ny, nx), and the others that are no crumbs, largest first."""
    pieces, count = ndimage.label(body, structure=np.ones((3, 3, 3)), output=np.int32)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    left = []
    for number in np.argsort(-sizes, kind="stable")[1:count]:
        if sizes[number] * step**3 < _CRUMB_MM3:
            break
        index = np.argwhere(pieces == number)[:, ::-1]
        inner = inmost(index)
        place = place_of(matrix[:3, :3] @ inner + matrix[:3, 3])
        if place is not None:
            left.append((place, float(sizes[number]) * step**3))
    return pieces == int(np.argmax(sizes)) if count > 1 else body, tuple(left)


def _rough(even: npt.NDArray[Any], holes: Holes, level: float, top: np.float32, matrix: Array) -> tuple[trimesh.Trimesh, Bools]:
    """The surface at `level` with the holes closed that are to be, and which of its points (n,) only the lids make."""
    lidded = np.where(holes.lids, top, even) if holes.lids.any() else even
    rough = largest_part(level_surface(lidded, level, patient_from_index=matrix))
    points, inverse = np.asarray(rough.vertices), np.linalg.inv(matrix)
    at = (points @ inverse[:3, :3].T + inverse[:3, 3]).T[::-1]
    was = ndimage.map_coordinates(even, at, order=1, mode="nearest")
    guessed: Bools = was < level - _LESS_THAN_LEVEL * (float(top) - level)
    guessed &= ndimage.map_coordinates(holes.lids.view(np.uint8), at, order=1, mode="constant", output=np.float32) > 0.0
    guessed |= holes.near(points, _LEANS_MM)
    faces = np.asarray(rough.faces)
    guessed[faces[guessed[faces].any(axis=1)]] = True
    return rough, guessed
