"""Bone as a graph of small regions, whose edges are the areas they share: what is cut where least is shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from psi_cad.units import Array, Bools, Mm

__all__ = ["Regions", "regions_of"]

CELL_MM: Final[Mm] = 4.0


@dataclass(frozen=True)
class Regions:
    """Regions of bone.

    Attributes
    ----------
    number : (nz, ny, nx)
        int32: region of each voxel from 1; 0 off the bone and on seams.
    shared : (n, n)
        Sparse: mm² of face that two regions share; row and column 0 are empty.
    volume : (n,)
        mm³ of each; 0 of number 0.
    """

    number: npt.NDArray[Any]
    shared: Any
    volume: Array


def regions_of(bone: Bools, *, spacing: Array) -> Regions:
    """Connected voxels of `bone` (nz, ny, nx) within cells of 4 mm, and what they share. A cell is cut in two where a seam runs through it."""
    from skimage.measure import label

    size = np.asarray(spacing)[::-1]
    cells = np.maximum(np.rint(CELL_MM / size).astype(int), 2)
    # cells that share a face differ in this number, so that one labelling of equal values makes all regions
    parity = [((np.arange(n) // c) % 2).astype(np.uint8) << a for a, (n, c) in enumerate(zip(bone.shape, cells, strict=True))]
    painted = parity[0][:, None, None] + parity[1][None, :, None] + parity[2][None, None, :] + np.uint8(1)
    painted[~bone] = 0
    number, count = label(painted, background=0, connectivity=1, return_num=True)
    number = number.astype(np.int32, copy=False)
    del painted
    first, second, area = [], [], []
    for axis, cell in enumerate(cells):
        ends = np.arange(cell, bone.shape[axis], cell)  # regions only meet at the sides of cells
        upper, lower = np.take(number, ends, axis=axis), np.take(number, ends - 1, axis=axis)
        both = (upper > 0) & (lower > 0)
        first.append(lower[both])
        second.append(upper[both])
        area.append(np.full(int(both.sum()), float(np.prod(size) / size[axis])))
    a, b, w = np.concatenate(first), np.concatenate(second), np.concatenate(area)
    shared = sp.coo_matrix((np.r_[w, w], (np.r_[a, b], np.r_[b, a])), shape=(count + 1, count + 1)).tocsr()
    volume = np.bincount(number.ravel(), minlength=count + 1).astype(np.float64) * float(np.prod(size))
    volume[0] = 0.0
    return Regions(number, shared, volume)
