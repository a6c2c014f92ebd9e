"""What filling has closed though it opens as wide as it is: branches of a canal, where the marrow's density tells little or nothing."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.filling.fill import LEAK_MM
from psi_cad.filling.slits import PLATE_MM3, flat_gaps
from psi_cad.units import Array, Bools
from psi_cad.voxels.levels import TissueLevels

__all__ = ["open_branches"]

LEAST_MM3: Final = 100.0
"""Less of a hollow is too little to be judged."""
WIDE: Final = 0.6
"""Area over which a hollow opens, over its volume to the power 2/3: without a unit. Branches of sacral canals have 1.3 to 6; what lies behind
a hole in the cortex has a small opening for much marrow."""
_TOLD: Final = 0.02  # of the way from soft tissue to cortex: what the blur of a wall adds to a hollow beside it
_BESIDE: Final = np.ones((3, 3, 3), dtype=bool)


def open_branches(
    solid: Bools,
    tight: Bools,
    shell: Bools,
    values: npt.NDArray[Any],
    *,
    denser: float,
    levels: TissueLevels,
    spacing: Array,
    others: Bools | None = None,
) -> Bools:
    """What of `solid` is no bone, though no voxel alone shows it.

    Looked at is what is filled only if wide holes are closed. Marrow behind such a hole opens through the hole alone, and is denser than
    soft tissue wherever marrow is. A canal opens as wide as it is, and all of it together is as soft as soft tissue. Slits such as growth
    plates stay filled.

    Parameters
    ----------
    solid, tight : (nz, ny, nx)
        The bone with all that it encloses, if holes in its cortex are closed as always, and if only narrower ones are.
    shell : (nz, ny, nx)
        What of it is denser than the threshold.
    values : (nz, ny, nx)
        HU of the same voxels, as scanned.
    denser : float
        HU by which the bone's marrow is denser than soft tissue; negative where it is less dense.
    spacing : (3,)
        Voxel size along i, j, k in mm.
    others : (nz, ny, nx), optional
        Voxels of other bones: nothing opens towards them.
    """
    hollow = solid & ~tight & ~shell
    found = np.zeros_like(solid)
    size = np.asarray(spacing)[::-1]
    voxel = float(np.prod(size))
    if np.count_nonzero(hollow) * voxel < LEAST_MM3:
        return found
    margin = 1 + np.ceil(8.0 / size).astype(int)
    box = tuple(slice(max(int(s.start) - m, 0), s.stop + m) for s, m in zip(ndimage.find_objects(hollow.view(np.uint8))[0], margin, strict=True))
    hollow, free = hollow[box], ~solid[box]
    if others is not None:
        free &= ~others[box]
    # half a voxel: distances go to the middles of voxels
    hollow &= ~_plates(flat_gaps(hollow, free, size, half=LEAK_MM + 0.5 * float(size.max())), voxel)
    pieces, count = ndimage.label(hollow, output=np.int32)
    volume = np.bincount(pieces.ravel(), minlength=count + 1) * voxel
    opening = _faces(pieces, free, size, count)
    away = pieces * ~ndimage.binary_dilation(shell[box], _BESIDE)  # voxels beside the cortex show some of it
    numbers = np.arange(count + 1)
    seen = np.bincount(away.ravel(), minlength=count + 1) > 0
    level = np.full(count + 1, np.inf)
    level[seen] = ndimage.mean(values[box], away, numbers[seen])
    most = levels.soft + 0.5 * max(denser, _TOLD * (levels.bone - levels.soft))
    wanted = (volume >= LEAST_MM3) & (opening >= WIDE * volume ** (2.0 / 3.0)) & (level < most)
    wanted[0] = False
    found[box] = wanted[pieces]
    return found


def _plates(slits: Bools, voxel: float) -> Bools:
    """The slits that are as large as a growth plate."""
    pieces, count = ndimage.label(slits, _BESIDE)
    large = np.bincount(pieces.ravel(), minlength=count + 1) * voxel >= PLATE_MM3
    large[0] = False
    return np.asarray(large[pieces])


def _faces(pieces: npt.NDArray[np.int32], free: Bools, size: Array, count: int) -> Array:
    """Area in mm² over which each piece borders on `free`."""
    area = np.zeros(count + 1)
    for axis in range(3):
        face = float(np.prod(size) / size[axis])
        one, beyond = np.moveaxis(pieces, axis, 0), np.moveaxis(free, axis, 0)
        for mine, there in ((one[:-1], beyond[1:]), (one[1:], beyond[:-1])):
            area += np.bincount(mine[there], minlength=count + 1) * face
    area[0] = 0.0
    return area
