"""Bright sheets: two cortices that touch, and show no gap, are one sheet denser than the marrow on both its sides."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.joints.seams import find_seams
from psi_cad.units import Array, Bools
from psi_cad.voxels.levels import TissueLevels

__all__ = ["bright_sheets"]

SHARE: Final = 0.25
"""Of the way from soft tissue to cortex: how much brighter a sheet is than both its sides. Two cortices of 0.8 mm, blurred, have 0.5 and more; the
texture of marrow, which varies by some 100 HU, has less."""


def bright_sheets(values: npt.NDArray[Any], bone: Bools, mine: Bools, *, spacing: Array, levels: TissueLevels) -> Bools:
    """The voxels (nz, ny, nx) of `mine` on the crests of bright sheets within `bone`.

    Parameters
    ----------
    values : (nz, ny, nx)
        HU as scanned.
    bone : (nz, ny, nx)
        All bone, with what it encloses and the gaps of joints.
    mine : (nz, ny, nx)
        Voxels of one part of it, off all seams.
    spacing : (3,)
        Voxel along i, j, k in mm.
    """
    negative = -values.astype(np.int32)
    negative[~bone] = -round(levels.bone)  # as bright as cortex: a bone's own cortex has marrow on one side only, and is no sheet
    # a bright sheet is a dark one of the negative, where nothing is as dark as soft tissue
    never = float(np.iinfo(np.int32).min)
    sheets = find_seams(negative, mine, spacing=spacing, levels=TissueLevels(never, never, levels.noise, never))
    return sheets.stronger(SHARE * (levels.bone - levels.soft), mine)
