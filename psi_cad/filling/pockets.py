"""Canals of a bone that are narrower than what filling closes: the branches of a sacral canal, told from marrow by their density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.filling.openings import open_branches
from psi_cad.filling.slits import PLATE_MM3, flat_gaps
from psi_cad.units import Array, Bools, Mm
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.morphology import ball, grown, grown_within

__all__ = ["open_canals"]

INNER_MM: Final[Mm] = 3.0  # below a bone's surface lies marrow
_DENSER: Final = 0.1  # of the way from soft tissue to cortex: marrow that much denser is told from soft tissue
_NOISES: Final = 2.0  # ... and by so many times the noise; the average over 27 voxels has a third of it
CANAL_MM: Final[Mm] = 1.25  # half the width of a canal at least; vessels are narrower
LEAST_MM3: Final = 100.0  # of a canal's middle: the texture of marrow has darker spots, but small ones
REACH_MM: Final[Mm] = 16.0  # from a canal's middle outwards
MARGIN: Final = 2  # voxels


def open_canals(
    solid: Bools,
    shell: Bools,
    values: npt.NDArray[Any],
    *,
    levels: TissueLevels,
    spacing: Array,
    others: Bools | None = None,
    tighter: Callable[..., Bools] | None = None,
) -> Bools:
    """What of `solid` is no bone: canals as soft as soft tissue, with a way outwards that is as soft.

    Where a bone's marrow is hardly denser than soft tissue no voxel alone tells the two apart: see `open_branches`. A hollow that is shut
    in (a cyst, a tumour) stays, and so do vessels, and slits such as growth plates.

    Parameters
    ----------
    solid, shell : (nz, ny, nx)
        The bone with all that it encloses, and what of it is denser than the threshold.
    values : (nz, ny, nx)
        HU of the same voxels, as scanned.
    spacing : (3,)
        Voxel size along i, j, k in mm.
    others : (nz, ny, nx), optional
        Voxels of other bones.
    tighter : callable, optional
        Fills the bone anew, and closes holes of half the width `leak` (mm) only. Asked where marrow is hardly denser than soft tissue.
    """
    found = np.zeros_like(solid)
    size = np.asarray(spacing)[::-1]
    inner = ~grown(~solid, ball(INNER_MM, size))
    if not inner.any():
        return found
    smooth = ndimage.uniform_filter(values, 3, output=np.float32)
    denser = float(np.median(smooth[inner])) - levels.soft
    if denser < max(_DENSER * (levels.bone - levels.soft), _NOISES * levels.noise):
        if tighter is None:
            return found
        tight = tighter(leak=CANAL_MM)
        return open_branches(solid, tight, shell, values, denser=denser, levels=levels, spacing=spacing, others=others)
    soft = smooth < levels.soft + denser / 2.0
    hollow = solid & soft & ~shell
    free = ~solid & soft
    if others is not None:
        free &= ~others
    middle = _large(~grown(~hollow, ball(CANAL_MM, size)), LEAST_MM3 / float(np.prod(size)))
    if not middle.any():
        return found
    reach = int(np.ceil(REACH_MM / size.min()))
    box = tuple(slice(max(int(there.min()) - reach, 0), int(there.max()) + reach + 1) for there in np.nonzero(middle))  # all that can be reached
    middle, hollow, free = middle[box], hollow[box], free[box]
    slits = flat_gaps(hollow, free, size)
    canals = _outwards(grown_within(middle & hollow & ~slits, hollow & ~slits, reach), free)
    found[box] = canals | _folds(hollow & ~canals, canals, size)
    return found


def _folds(rest: Bools, canals: Bools, size: Array) -> Bools:
    """The pieces of `rest` that touch `canals` and are small: folds and flat branches of a canal, where a growth plate is far more."""
    pieces, count = ndimage.label(rest)
    wanted = np.zeros(count + 1, dtype=bool)
    wanted[np.unique(pieces[ndimage.binary_dilation(canals)])] = True
    wanted &= np.bincount(pieces.ravel(), minlength=count + 1) * float(np.prod(size)) < PLATE_MM3
    wanted[0] = False
    return np.asarray(wanted[pieces])


def _large(mask: Bools, voxels: float) -> Bools:
    """The pieces of `mask` of so many voxels and more."""
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    wanted = np.bincount(pieces.ravel(), minlength=count + 1) >= voxels
    wanted[0] = False
    return np.asarray(wanted[pieces])


def _outwards(mask: Bools, free: Bools) -> Bools:
    """The pieces of `mask` that touch `free`."""
    pieces, count = ndimage.label(mask)
    beside = ndimage.binary_dilation(free)
    touching = np.zeros(count + 1, dtype=bool)
    touching[np.unique(pieces[beside])] = True
    touching[0] = False
    return np.asarray(touching[pieces])
