"""A picture to judge a registration by: CT and MRI as a checkerboard, and the CT's bone outline on the MRI, in three planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.export.safely import whole_file
from psi_cad.imaging.pyramid import CT_AIR
from psi_cad.imaging.rigid import apply
from psi_cad.imaging.volume import Volume
from psi_cad.units import Array, Mm

__all__ = ["write_fused"]

CT_GREYS: Final = (-200.0, 800.0)  # HU, black to white: soft tissue and bone both show
BONE_HU: Final = 250.0
SQUARE: Final[Mm] = 25.0
PIXEL: Final[Mm] = 0.8
_LINE: Final = (255, 200, 0)
_LARGEST: Final = 700  # pixels


def write_fused(path: Path, fixed: Volume, moving: Volume, *, moving_from_fixed: Array, box: Array) -> None:
    """A PNG of the three planes (axial, coronal, sagittal) through the middle of `box` (8, 3), fixed scan's frame.

    Upper row: squares of the one and the other scan by turns; borders of bone and body run on across them where the
    registration is right. Lower row: the moving scan, with the outline of bone from the fixed one.
    """
    import SimpleITK as sitk  # noqa: N813

    low, high = box.min(axis=0), box.max(axis=0)
    pixel = max(PIXEL, float((high - low).max()) / _LARGEST)
    upper, lower = [], []
    for across, down in ((0, 1), (0, 2), (1, 2)):
        chessboard, outline = _plane(fixed, moving, moving_from_fixed, low, high, across, down, pixel)
        upper.append(chessboard)
        lower.append(outline)
    picture = np.vstack([_beside(upper), _beside(lower)])
    with whole_file(path) as temporary:
        sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(temporary))


def _plane(
    fixed: Volume, moving: Volume, moving_from_fixed: Array, low: Array, high: Array, across: int, down: int, pixel: Mm
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    u, v = (np.arange(low[a], high[a], pixel) for a in (across, down))
    if down == 2:
        v = v[::-1]  # head up; in the axial plane the back is down already
    points = np.tile(0.5 * (low + high), (len(v) * len(u), 1))
    points[:, across], points[:, down] = np.tile(u, len(v)), np.repeat(v, len(u))
    values = fixed.sampled(points)
    still = _grey(fixed, values)
    other = _grey(moving, moving.sampled(apply(moving_from_fixed, points)))
    square = (np.floor((points[:, across] - low[across]) / SQUARE) + np.floor((points[:, down] - low[down]) / SQUARE)) % 2 == 0
    shape = (len(v), len(u))
    board = np.where(square, still, other).reshape(shape)
    bone = (np.nan_to_num(values, nan=-2000.0) > _bone_level(fixed)).reshape(shape)
    edge = bone & ~(np.roll(bone, 1, 0) & np.roll(bone, -1, 0) & np.roll(bone, 1, 1) & np.roll(bone, -1, 1))
    outlined = np.repeat(other.reshape(shape)[..., None], 3, axis=2)
    outlined[edge] = _LINE
    return np.repeat(board[..., None], 3, axis=2), outlined


def _bone_level(volume: Volume) -> float:
    return BONE_HU if float(volume.values.min()) < CT_AIR else float(np.percentile(volume.values, 90.0))


def _grey(volume: Volume, values: Array) -> npt.NDArray[np.uint8]:
    low, high = CT_GREYS
    if not float(volume.values.min()) < CT_AIR:
        low, high = (float(v) for v in np.percentile(volume.values[:, ::3, ::3], (1.0, 99.5)))
    shown = np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    return np.asarray(np.nan_to_num(shown, nan=0.0) * 255.0 + 0.5, dtype=np.uint8)


def _beside(pictures: list[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
    tall = max(len(one) for one in pictures)
    wide = [np.pad(one, ((0, tall - len(one)), (0, 6), (0, 0))) for one in pictures]
    return np.hstack(wide)
