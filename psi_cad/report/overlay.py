"""Pictures of a segmentation on its scan: the surface's outline in three planes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.export.safely import whole_file
from psi_cad.imaging.volume import Volume
from psi_cad.units import Array

if TYPE_CHECKING:
    from PIL import ImageDraw

__all__ = ["overlay_planes", "write_overlay"]

_WINDOW: Final = (-200.0, 1200.0)  # HU from black to white: bone and soft tissue both show
_PIXEL_MM: Final = 0.35
_MARGIN_MM: Final = 12.0
_LINE: Final = (255, 170, 0)
_PLANES: Final = (("axial", 2, (0, 1), (1, 1)), ("coronal", 1, (0, 2), (1, -1)), ("sagittal", 0, (1, 2), (1, -1)))


def overlay_planes(mesh: trimesh.Trimesh) -> Array:
    """The point (3,) of the bone through which its pictures go: a point of the bone near the middle of its box.

    The middle itself often lies beside a curved bone; the nearest surface point is taken, a little inside.
    """
    points = np.asarray(mesh.vertices)
    middle = mesh.bounds.mean(axis=0)
    nearest = int(np.argmin(np.linalg.norm(points - middle, axis=1)))
    return np.asarray(points[nearest])


def write_overlay(path: Path, volume: Volume, mesh: trimesh.Trimesh, *, at: Array) -> None:
    """A PNG with the scan and the outline of `mesh` (patient mm) in the axial, coronal and sagittal plane through `at` (3,).

    Axial as seen from the feet, coronal from the front: the patient's left is on the right. Sagittal from the left side: front is left.
    """
    from PIL import Image, ImageDraw

    tiles = []
    for name, normal, axes, signs in _PLANES:
        low = mesh.bounds[0][list(axes)] - _MARGIN_MM
        high = mesh.bounds[1][list(axes)] + _MARGIN_MM
        grid, shape = _grid(at, normal, axes, signs, low, high)
        hu = volume.sampled(grid, outside=_WINDOW[0]).reshape(shape)
        grey = np.clip((hu - _WINDOW[0]) / (_WINDOW[1] - _WINDOW[0]) * 255.0, 0, 255).astype(np.uint8)
        tile = Image.fromarray(np.stack([grey] * 3, axis=-1))
        draw = ImageDraw.Draw(tile)
        _outline(draw, mesh, at, normal, axes, signs, low, high)
        draw.text((4, 3), f"{name}, {'xyz'[normal]} = {at[normal]:.1f} mm", fill=(255, 255, 255))
        tiles.append(tile)
    wide = Image.new("RGB", (sum(t.width for t in tiles) + 8 * (len(tiles) - 1), max(t.height for t in tiles)))
    left = 0
    for tile in tiles:
        wide.paste(tile, (left, 0))
        left += tile.width + 8
    with whole_file(path) as temporary:
        wide.save(temporary, format="PNG", optimize=False)


def _grid(at: Array, normal: int, axes: tuple[int, int], signs: tuple[int, int], low: Array, high: Array) -> tuple[Array, tuple[int, int]]:
    across, down = (np.arange(a, b, _PIXEL_MM) for a, b in zip(low, high, strict=True))
    across, down = across[:: signs[0]], down[:: signs[1]]
    points = np.empty((len(down), len(across), 3))
    points[..., normal] = at[normal]
    points[..., axes[0]] = across[None, :]
    points[..., axes[1]] = down[:, None]
    return points.reshape(-1, 3), (len(down), len(across))


def _outline(
    draw: ImageDraw.ImageDraw, mesh: trimesh.Trimesh, at: Array, normal: int, axes: tuple[int, int], signs: tuple[int, int], low: Array, high: Array
) -> None:
    direction = np.zeros(3)
    direction[normal] = 1.0
    # a plane exactly through points of the mesh meets edges, not faces
    segments = trimesh.intersections.mesh_plane(mesh, direction, np.asarray(at) + 1e-4 * direction)
    size = [np.arange(a, b, _PIXEL_MM).size for a, b in zip(low, high, strict=True)]
    flat: npt.NDArray[Any] = (segments[:, :, list(axes)] - low) / _PIXEL_MM
    for a in range(2):
        if signs[a] < 0:
            flat[:, :, a] = size[a] - 1 - flat[:, :, a]
    for start, end in flat:
        draw.line([*map(float, start), *map(float, end)], fill=_LINE, width=1)
