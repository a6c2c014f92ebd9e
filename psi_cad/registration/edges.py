"""Do the bones of two registered scans have the same edges? Each block of the CT's bone is looked for anew in the other scan, near its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.findings import Place, place_of
from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.pyramid import CT_AIR
from psi_cad.voxels.volume import Volume

__all__ = ["EdgeResidual", "bone_residual"]

STEP_MM: Final[Mm] = 2.0  # of the grid on which both are compared
REACH: Final = 5  # steps in each direction that a block is looked for
BLOCK: Final = 16  # steps; a block holds some bone with its edges, and is small against the bones
EDGE_HU: Final = 200.0
AROUND: Final = 2  # steps around bone that belong to a block: its edges
LEAST: Final = 300  # steps of bone and its edge in a block that can tell a place
BINS: Final = 24
LEAST_BLOCKS: Final = 8


@dataclass(frozen=True)
class EdgeResidual:
    """How far blocks of bone lie off where the transform puts them.

    Attributes
    ----------
    median : float or None
        Of the blocks' distances, mm; None where too few blocks hold bone. Blocks that find nothing lie about 10 mm off by chance.
    blocks : int
        Blocks that were looked for.
    worst : place or None
        Middle of the block that lies furthest off, patient mm of the CT.
    """

    median: Mm | None
    blocks: int
    worst: Place | None


def bone_residual(ct: Volume, other: Volume, other_from_ct: Array) -> EdgeResidual:
    """The residual of a registration at the edges of bone.

    How grey levels of the two go together is counted over the whole field at the transform. By that each block of bone is judged at places up
    to 10 mm off, in steps of 2 mm (pointwise mutual information). Of one patient the best place is near the middle for nearly all blocks. Of
    two patients the shape of the bones differs, and with it the places.
    """
    grid, matrix = _grid(ct)
    still, bone = _levels(grid, low=-200.0, high=1000.0), grid > EDGE_HU
    moving = _other_on(other, other_from_ct @ matrix, tuple(n + 2 * REACH for n in grid.shape))
    known = np.isfinite(moving)
    low, high = (float(v) for v in np.nanpercentile(moving, (1.0, 99.5)))
    there = _levels(np.nan_to_num(moving, nan=low), low=low, high=high)
    inner = tuple(slice(REACH, -REACH) for _ in range(3))
    use = ndimage.binary_dilation(bone, iterations=AROUND) & known[inner]
    score = _information(still[use | (grid > CT_AIR)], there[inner][use | (grid > CT_AIR)])
    index = np.argwhere(use)
    block = _blocks(index, grid.shape)
    if len(index) == 0:
        return EdgeResidual(None, 0, None)
    table = _searched(score, still[tuple(index.T)], there, known, index, block)
    counts = np.bincount(block)
    apart = _best_places(table)
    tell = counts >= LEAST
    if int(tell.sum()) < LEAST_BLOCKS:
        return EdgeResidual(None, int(tell.sum()), None)
    away = np.linalg.norm(apart, axis=1) * STEP_MM
    worst = int(np.argmax(np.where(tell, away, -1.0)))
    middle = index[block == worst].mean(axis=0)[::-1]
    return EdgeResidual(float(np.median(away[tell])), int(tell.sum()), place_of(matrix[:3, :3] @ middle + matrix[:3, 3]))


def _grid(ct: Volume) -> tuple[npt.NDArray[Any], Array]:
    """The CT on cubes of `STEP_MM`, and their patient_from_index."""
    ratio = STEP_MM / ct.spacing[::-1]
    values = ndimage.gaussian_filter(ct.values.astype(np.float32), 0.4 * np.maximum(ratio, 1.0), truncate=2.5)
    shape = tuple(int(n) for n in np.floor((np.array(values.shape) - 1) / ratio) + 1)
    even = ndimage.affine_transform(values, ratio, output_shape=shape, order=1)
    matrix = np.array(ct.patient_from_index)
    matrix[:3, :3] *= ratio[::-1]
    return even, matrix


def _other_on(other: Volume, other_from_index: Array, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The other scan on the CT's grid, `REACH` steps wider to each side; nan beyond it."""
    blur = np.maximum(0.4 * STEP_MM / other.spacing[::-1], 0.0)
    values = ndimage.gaussian_filter(other.values.astype(np.float32), blur, truncate=2.5)
    matrix = np.linalg.inv(other.patient_from_index) @ other_from_index
    turn, offset = matrix[:3, :3][::-1, ::-1], matrix[:3, 3][::-1]
    return np.asarray(
        ndimage.affine_transform(values, turn, offset=offset - turn @ np.full(3, float(REACH)), output_shape=shape, order=1, cval=np.nan)
    )


def _levels(values: npt.NDArray[Any], *, low: float, high: float) -> npt.NDArray[Any]:
    return np.asarray(np.clip((values - low) / max(high - low, 1e-9) * BINS, 0, BINS - 1), dtype=np.int64)


def _information(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> Array:
    """How much more often each pair of levels meets than by chance, as a logarithm (BINS, BINS)."""
    joint = np.bincount(one * BINS + two, minlength=BINS * BINS).reshape(BINS, BINS) + 0.5
    joint = joint / joint.sum()
    return np.asarray(np.log(joint / (joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True))))


def _blocks(index: Ints, shape: tuple[int, ...]) -> Ints:
    """The number of the block that each point (n, 3) lies in."""
    size = np.ceil(np.array(shape) / BLOCK).astype(np.int64)
    at = index // BLOCK
    return np.asarray((at[:, 0] * size[1] + at[:, 1]) * size[2] + at[:, 2])


def _searched(score: Array, level: npt.NDArray[Any], there: npt.NDArray[Any], known: Bools, index: Ints, block: Ints) -> Array:
    """The mean score of each block at each place: (blocks, 2 REACH + 1, 2 REACH + 1, 2 REACH + 1)."""
    side = 2 * REACH + 1
    out = np.zeros((int(block.max()) + 1, side, side, side))
    counts = np.maximum(np.bincount(block), 1)
    flat, inside = there.ravel(), known.ravel()
    strides = np.array([there.shape[1] * there.shape[2], there.shape[2], 1])
    base = index @ strides
    for k, j, i in np.ndindex(side, side, side):
        at = base + int(np.array([k, j, i]) @ strides)
        out[:, k, j, i] = np.bincount(block, weights=score[level, flat[at]] * inside[at], minlength=len(out)) / counts
    return out


def _best_places(table: Array) -> Array:
    """The best place (n, 3) of each block, in steps off the middle."""
    best = np.argmax(table.reshape(len(table), -1), axis=1)
    return np.stack(np.unravel_index(best, table.shape[1:]), axis=1).astype(np.float64) - REACH
