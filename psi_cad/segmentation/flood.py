"""Open voxels of cortex shared out among the parts around them, along the densest paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.units import Bools, Ints

__all__ = ["flood_open"]


def flood_open(parts: npt.NDArray[Any], cortex: Bools, depth: npt.NDArray[Any]) -> None:
    """Number, in place, the voxels of `cortex` that `parts` (nz, ny, nx; uint16) leaves 0, by a watershed of `depth` from the parts.

    Connected open voxels that border on one part only are its. Only where several parts border on a piece does it take a flood, and that in
    the piece's box. What no part borders on stays 0.
    """
    open_ = parts == 0
    open_ &= cortex
    piece, count = ndimage.label(open_, output=np.int32)
    del open_
    at = np.flatnonzero(piece)
    mine = piece.ravel()[at]
    least, most = np.full(count + 1, np.iinfo(np.uint16).max, np.uint16), np.zeros(count + 1, np.uint16)
    for there, part in _bordering(parts, at):
        np.minimum.at(least, mine[there], part)
        np.maximum.at(most, mine[there], part)
    contested = np.flatnonzero(least < most)
    boxes = ndimage.find_objects(piece) if len(contested) else []
    shared = [_shared_out(parts, piece, int(n), boxes[n - 1], cortex, depth) for n in contested]
    most[contested] = 0
    alone = most[mine]
    parts.ravel()[at[alone > 0]] = alone[alone > 0]
    for box, inside, given in shared:  # afterwards, so that none borders on another's outcome
        parts[box][inside] = given


def _bordering(parts: npt.NDArray[Any], at: Ints) -> Iterator[tuple[Ints, npt.NDArray[Any]]]:
    """For each of the six neighbours of the voxels `at` (n,): which of them (m,) have a part there, and which part (m,)."""
    flat = parts.ravel()
    for axis, step in enumerate((parts.shape[1] * parts.shape[2], parts.shape[2], 1)):
        place = at // step % parts.shape[axis]
        for way, inside in ((-step, place > 0), (step, place < parts.shape[axis] - 1)):
            there = np.flatnonzero(inside)
            part = flat[at[there] + way]
            yield there[part > 0], part[part > 0]


def _shared_out(
    parts: npt.NDArray[Any], piece: npt.NDArray[Any], number: int, box: tuple[slice, ...], cortex: Bools, depth: npt.NDArray[Any]
) -> tuple[tuple[slice, ...], Bools, npt.NDArray[Any]]:
    """One piece shared out: a box, the piece's voxels in it, and the part of each."""
    from skimage.segmentation import watershed

    wide = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
    inside = piece[wide] == number
    near = ndimage.binary_dilation(inside) & cortex[wide]
    near &= inside | (parts[wide] > 0)
    out = watershed(depth[wide], np.where(near, parts[wide], 0).astype(np.int32), mask=near)
    return wide, inside, out[inside]
