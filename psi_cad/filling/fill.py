"""A bone's solid from its cortex: marrow filled, crevices that open outwards kept."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from psi_cad.units import Array, Bools, Mm
from psi_cad.voxels.morphology import ball, closed, grown_within

__all__ = ["filled"]

LEAK_MM: Final[Mm] = 2.0
"""Holes in the cortex narrower than twice this (vessels, cortex thinner than the scan shows) do not empty the marrow."""
MOST_FOREIGN: Final = 0.15
"""Of a void's faces to other bones: marrow that was cut through, or whose cortex was given to a neighbour in a spot, has less; the pocket of a
socket has about half."""


def filled(
    shell: Bools,
    *,
    spacing: Array,
    others: Bools | None = None,
    held: Bools | None = None,
    at_edge: tuple[tuple[bool, bool], ...] = ((False, False),) * 3,
    leak: Mm = LEAK_MM,
) -> Bools:
    """`shell` (nz, ny, nx) with all that it encloses.

    Parameters
    ----------
    spacing : (3,)
        Voxel size along i, j, k in mm.
    others : (nz, ny, nx), optional
        Voxels of other bones, never filled.
    held : (nz, ny, nx), optional
        Marrow of this bone: where it is shut in, it stays, though the neighbour beside it is no cortex of this bone.
    at_edge : three pairs
        Along k, j, i: whether the first and last layer is the scan's own edge. A bone cut open there is closed in that layer.
    leak : float
        Half the width in mm of the holes that are closed.
    """
    size = np.asarray(spacing)[::-1]
    pad = [(0 if a else int(np.ceil(leak / s)) + 2, 0 if b else int(np.ceil(leak / s)) + 2) for (a, b), s in zip(at_edge, size, strict=True)]
    wide = np.pad(shell, pad)
    # half a voxel: distances go to the middles of voxels; the cube: from a voxel to what borders on it
    barrier = closed(wide, ball(leak - 0.5 * float(size.min()), size, cube=1))
    walls = np.zeros_like(barrier) if others is None else np.pad(others, pad)
    for axis in range(3):
        for end, cut in zip((0, -1), at_edge[axis], strict=True):
            if cut:
                layer = [slice(None)] * 3
                layer[axis] = slice(0, 1) if end == 0 else slice(-1, None)
                flat = np.squeeze(barrier[tuple(layer)], axis)
                barrier[tuple(layer)] |= np.expand_dims(ndimage.binary_fill_holes(flat), axis)
    outside = _outside(barrier | walls)
    if others is not None:
        outside |= _not_mine(~(barrier | walls | outside), walls) | walls
    del walls
    np.logical_not(wide, out=wide)
    wide &= barrier
    del barrier
    if held is not None:
        wide &= ~np.pad(held, pad)
    outside = grown_within(outside, wide, int(np.ceil(leak / size.min())) + 1)
    del wide
    inner = tuple(slice(p[0], n - p[1]) for p, n in zip(pad, outside.shape, strict=True))
    solid = ~outside[inner]
    if others is not None:
        solid &= ~others
    solid |= shell
    return np.asarray(solid)


def _not_mine(shut: Bools, walls: Bools) -> Bools:
    """The voids `shut` (nz, ny, nx) that other bones wall in by more than `MOST_FOREIGN` of their faces: their own marrow, or a joint's gap.

    A void with less is this bone's marrow, though a spot of its cortex may have been given to a neighbour.
    """
    pieces, count = ndimage.label(shut, output=np.int32)
    if count == 0:
        return shut
    foreign, all_faces = np.zeros(count + 1), np.zeros(count + 1)
    inner, flat, wall = np.flatnonzero(shut), pieces.ravel(), walls.ravel()
    mine = flat[inner]
    for axis, stride in enumerate((shut.shape[1] * shut.shape[2], shut.shape[2], 1)):
        place = inner // stride % shut.shape[axis]
        for way, within in ((stride, place < shut.shape[axis] - 1), (-stride, place > 0)):
            beyond = np.where(within, inner + way, inner)  # the grid's border is no face
            face = flat[beyond] == 0
            all_faces += np.bincount(mine[face], minlength=count + 1)
            foreign += np.bincount(mine[face & wall[beyond]], minlength=count + 1)
    theirs = foreign > MOST_FOREIGN * all_faces
    out = np.zeros(shut.shape, dtype=bool)
    out.ravel()[inner] = theirs[mine]
    return out


def _outside(barrier: Bools) -> Bools:
    """What is connected to the border of the box without crossing `barrier`."""
    free = np.ones(tuple(n + 2 for n in barrier.shape), dtype=bool)
    np.logical_not(barrier, out=free[1:-1, 1:-1, 1:-1])
    labels, _ = ndimage.label(free, output=np.int32)
    return np.asarray(labels[1:-1, 1:-1, 1:-1] == labels[0, 0, 0])
