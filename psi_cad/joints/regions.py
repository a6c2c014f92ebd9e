"""Bone as a graph of small regions, whose edges are the areas they share: what is cut where least is shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.morphology import in_slabs, slabs

__all__ = ["Regions", "across_of", "regions_of"]

CELL_MM: Final[Mm] = 4.0
_SEAM_MM: Final[Mm] = 4.0  # a thicker seam is none: the sides of a joint face each other within this


@dataclass(frozen=True)
class Regions:
    """Regions of bone.

    Attributes
    ----------
    number : (nz, ny, nx)
        int32: region of each voxel from 1; 0 off the bone and on seams.
    shared : (n, n)
        Sparse: mm² of face that two regions share; row and column 0 are empty.
    across : (n, n)
        Sparse: mm² over which two regions face each other across a seam.
    volume : (n,)
        mm³ of each; 0 of number 0.
    """

    number: npt.NDArray[Any]
    shared: Any
    across: Any
    volume: Array


def regions_of(bone: Bools, *, spacing: Array, seam: Bools | None = None) -> Regions:
    """Connected voxels of `bone` (nz, ny, nx) within cells of 4 mm, and what they share. A cell is cut in two where a seam runs through it.

    `seam` (nz, ny, nx) are the voxels of seams, not in `bone`; without them nothing faces anything across one.
    """
    from skimage.measure import label

    size = np.asarray(spacing)[::-1]
    cells = np.maximum(np.rint(CELL_MM / size).astype(int), 2)
    # cells that share a face differ in this number, so that one labelling of equal values makes all regions
    parity = [((np.arange(n) // c) % 2).astype(np.uint8) << a for a, (n, c) in enumerate(zip(bone.shape, cells, strict=True))]
    number = np.zeros(bone.shape, dtype=np.int32)

    def slab(read: slice, _made: slice, _inner: slice) -> Ints:
        """Number the regions of whole layers of cells from 1; how many voxels each has."""
        mine = bone[read]
        painted = parity[0][read][:, None, None] + parity[1][None, :, None] + parity[2][None, None, :] + np.uint8(1)
        painted *= mine
        number[read] = label(painted, background=0, connectivity=1)
        return np.bincount(number[read][mine], minlength=1)

    voxels = in_slabs(slab, bone.shape, 0, multiple=int(cells[0]))
    before = np.cumsum([0, *(len(part) - 1 for part in voxels)])
    count = int(before[-1])
    for (read, _, _), first in zip(slabs(bone.shape, 0, multiple=int(cells[0])), before, strict=False):
        np.add(number[read], np.int32(first), out=number[read], where=bone[read])
    one, other, area = [], [], []
    for axis, cell in enumerate(cells):
        ends = np.arange(cell, bone.shape[axis], cell)  # regions only meet at the sides of cells
        upper, lower = np.take(number, ends, axis=axis), np.take(number, ends - 1, axis=axis)
        both = (upper > 0) & (lower > 0)
        one.append(lower[both])
        other.append(upper[both])
        area.append(np.full(int(both.sum()), float(np.prod(size) / size[axis])))
    a, b, w = np.concatenate(one), np.concatenate(other), np.concatenate(area)
    shared = sp.coo_matrix((np.r_[w, w], (np.r_[a, b], np.r_[b, a])), shape=(count + 1, count + 1)).tocsr()
    volume = np.concatenate([[0], *(part[1:] for part in voxels)]) * float(np.prod(size))
    return Regions(number, shared, across_of(number, seam, spacing=spacing, count=count), volume)


def across_of(number: npt.NDArray[Any], seam: Bools | None, *, spacing: Array, count: int) -> Any:
    """Sparse (count + 1, count + 1): mm² over which regions face each other along an axis with nothing but a thin seam between them."""
    size = np.asarray(spacing)[::-1]
    empty = sp.csr_matrix((count + 1, count + 1))
    if seam is None:
        return empty
    flat, on_seam = number.ravel(), seam.ravel()
    total = empty
    at = np.flatnonzero(on_seam)
    where = np.unravel_index(at, number.shape)
    for axis, stride in enumerate((number.shape[1] * number.shape[2], number.shape[2], 1)):
        deepest = max(int(np.ceil(_SEAM_MM / size[axis])), 1)
        place = where[axis]
        first = at[(place > 0) & (place < number.shape[axis] - deepest - 1)]
        first = first[flat[first - stride] > 0]  # where a seam begins
        here = first.copy()
        for _ in range(deepest):
            here = np.where(on_seam[here], here + stride, here)
        start, end = flat[first - stride], flat[here]
        faces = (end > 0) & (start != end)
        start, end = start[faces], end[faces]
        area = np.full(2 * len(start), float(np.prod(size) / size[axis]))
        total = total + sp.coo_matrix((area, (np.r_[start, end], np.r_[end, start])), shape=empty.shape).tocsr()
    return total
