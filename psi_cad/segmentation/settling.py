"""Where parts of divided bone end: borders taken back, and drawn anew through what the scan shows between two bones."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.filling.fill import LEAK_MM
from psi_cad.joints.interface import met_again
from psi_cad.joints.regions import CELL_MM
from psi_cad.segmentation.parting import Division
from psi_cad.units import Mm
from psi_cad.voxels.morphology import ball, closed, in_slabs

__all__ = ["meet", "retract", "settled"]

RETRACT_MM: Final[Mm] = 1.25 * CELL_MM
"""A cut that is not on a seam may lie a cell off; the flood finds the darkest way within this."""
_MARROW_SHARE: Final = 0.05  # of the way from soft tissue to cortex: marrow that much brighter than soft tissue is none of it
_MARROW_NOISES: Final = 1.5  # but no less than so many times the noise, over 27 voxels
_WIDE_MM: Final[Mm] = LEAK_MM + 0.5  # half the width that no gap has: wider ones are no part of what bone encloses
_PORES: Final = 3  # voxels; pores of the marrow between regions that are closed
_BESIDE: Final = 2  # voxels from a dark one that count with it


def settled(
    parted: npt.NDArray[Any], parts: npt.NDArray[Any], division: Division
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """`parted`, the cortex by number, with the borders drawn anew that a flood alone may have drawn through one bone's cortex; and the marrow.

    Marrow, as the parts have it, holds its cortex. What is narrow and as dark as soft tissue may be the gap of a joint, and holds nothing.
    Last comes which voxels are surely marrow: the rest of a part, on no seam.
    """
    dark = _dark(parts, division)
    size = division.volume.spacing[::-1]
    hollow = division.cortex | ~division.solid
    dark &= closed(hollow, ball(_WIDE_MM, size))  # wider than any gap that bone encloses is marrow, however dark
    del hollow
    held = (parts > 0) & ~dark & ~division.cortex
    first = parts
    parts = _without_pores(parted, parts, division.solid)
    labels = np.where(dark, 0, parts)
    meet(labels, division)
    bone = division.cortex & (parted > 0)
    marrow = np.where(dark, parts, labels)
    marrow[bone] = 0
    held &= first == labels
    return np.where(bone, labels, 0), marrow, held


def _dark(parts: npt.NDArray[Any], division: Division) -> npt.NDArray[np.bool_]:
    """Voxels (nz, ny, nx) off the cortex that are as dark as soft tissue, or beside such."""
    levels = division.levels
    brighter = levels.soft + max(_MARROW_SHARE * (levels.bone - levels.soft), _MARROW_NOISES * levels.noise)
    values = division.volume.values[division.box]
    out = np.empty(parts.shape, dtype=bool)

    def slab(read: slice, made: slice, inner: slice) -> None:
        cortex = division.cortex[read]
        dark = ndimage.uniform_filter(values[read], 3, output=np.float32) < brighter
        # a narrow gap is dark only once the scan is sharpened; so is marrow beside cortex, which lies on no seam
        dark |= (ndimage.uniform_filter(division.depth[read], 3, output=np.int16) * -8 < brighter) & (parts[read] == 0)
        dark = ndimage.binary_dilation(dark & ~cortex, iterations=_BESIDE) & ~cortex
        out[made] = dark[inner]

    in_slabs(slab, parts.shape, _BESIDE + 1)
    return out


def _without_pores(parted: npt.NDArray[Any], parts: npt.NDArray[Any], solid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The parts of cortex and marrow (nz, ny, nx), with pores closed: marrow is full of what looks like small seams, and of specks of bone."""
    out = np.empty_like(parts)

    def slab(read: slice, made: slice, inner: slice) -> None:
        some = np.where(parted[read] > 0, parted[read], parts[read])
        for _ in range(_PORES):
            pores = solid[read] & (some == 0)
            some[pores] = ndimage.maximum_filter(some, 3)[pores]
        out[made] = some[inner]

    in_slabs(slab, parts.shape, _PORES)
    return out


def meet(labels: npt.NDArray[Any], division: Division) -> None:
    """Draw the borders between touching numbers (nz, ny, nx) anew, in place."""
    levels = division.levels
    span = levels.bone - levels.soft
    values = division.volume.values[division.box]  # as scanned: marrow beside cortex sinks when a scan is sharpened, and looks like a gap
    met_again(labels, values, size=division.volume.spacing[::-1], reach=RETRACT_MM, span=span, noise=levels.noise)


def retract(parts: npt.NDArray[Any], division: Division) -> None:
    """Take the parts back, in place, where two meet without a seam between them: the cut followed the sides of cells there, not the bone."""
    touch = np.zeros(parts.shape, dtype=bool)
    for axis in range(3):
        low, high = np.moveaxis(parts, axis, 0)[:-1], np.moveaxis(parts, axis, 0)[1:]
        np.moveaxis(touch, axis, 0)[:-1] |= (low != high) & (low > 0) & (high > 0)
    spots = np.argwhere(touch)
    size = division.volume.spacing[::-1]
    reach = np.floor(RETRACT_MM / size).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[np.linalg.norm(steps * size, axis=1) <= RETRACT_MM]
    for some in np.array_split(spots, len(spots) // 500 + 1):  # few voxels touch, and the ball around each is small
        near = (some[:, None, :] + steps).reshape(-1, 3)
        near = near[((near >= 0) & (near < parts.shape)).all(axis=1)]
        parts[tuple(near.T)] = 0
