"""Did the patient move between two slices? The bone's outlines then jump sideways from one slice to the next, or change abruptly (doubled)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.morphology import in_slabs
from psi_cad.voxels.volume import Volume

__all__ = ["JUMP_MM", "Jump", "find_jumps"]

JUMP_MM: Final[Mm] = 1.0
"""A bone's outlines that shift by this against their own trend have moved: what a guide's seat may miss is far less."""
_SCATTERS: Final = 6.0  # and by so many times what its shifts scatter from slice to slice
_ABRUPT: Final = 2.4  # slices of bones that nobody moved differ by up to 1.8 times what those around them do
_LEAST_CHANGE: Final = 0.05  # of the way from soft tissue to cortex
_STEEPEST: Final = 0.5  # of the slices' step: between thick slices the shape itself may change its trend by this
_ROUNDS: Final = 4  # of aligning two slices: each takes away what the one before has left
_AROUND: Final = 4  # slices to each side that tell the trend
_RIM_MM: Final[Mm] = 3.0  # around the bone: its outlines
_SMOOTH_MM: Final[Mm] = 0.8
_MOST_CHANGE: Final = 0.2  # of the bone's area between two slices of one shape
_BEYOND: Final = 3  # slices
_LEAST_MM2: Final = 150.0  # of outline in a slice; fewer edges, as at a bone's ends, tell no shift
_WORST_SHAPE: Final = 0.15  # ratio of an outline's two directions; of a straight edge only the shift across it is known


@dataclass(frozen=True)
class Jump:
    """Where the bone jumps: between the slices `k` and `k` + 1, by `shift` (2,) mm along the slice's own axes; `centre` (3,) in patient mm.

    `abrupt`: how many times more the two slices differ than those around them do; two outlines in one slice show so, even if they do not shift.
    """

    k: int
    shift: Array
    centre: Array
    abrupt: float

    @property
    def size(self) -> Mm:
        """How far, mm."""
        return float(np.linalg.norm(self.shift))


def find_jumps(volume: Volume, solid: Bools, levels: TissueLevels) -> list[Jump]:
    """The jumps of the bone whose voxels are `solid` (nz, ny, nx), largest first."""
    size = volume.spacing[1::-1]
    rim = np.ceil(_RIM_MM / size).astype(int)
    disc = np.hypot(*np.meshgrid(*(np.arange(-n, n + 1) * s for n, s in zip(rim, size, strict=True)), indexing="ij")) <= _RIM_MM
    low, high = levels.soft - 150.0, levels.bone

    def seen(k: int) -> tuple[Bools, Array]:
        layer = solid[k]
        near = ndimage.binary_dilation(layer, disc) & ~ndimage.binary_erosion(layer, disc) if layer.any() else layer
        return near, ndimage.gaussian_filter(np.clip(volume.values[k].astype(np.float32), low, high), _SMOOTH_MM / size)

    def compared(one: tuple[Bools, Array], other: tuple[Bools, Array], k: int) -> tuple[Array, float]:
        outline = one[0] | other[0]
        if not (solid[k].any() and solid[k + 1].any() and float(outline.sum() * np.prod(size)) >= _LEAST_MM2):
            return np.full(2, np.nan), np.nan
        differ = np.sqrt(np.mean(np.square(other[1] - one[1])[outline])) / (levels.bone - levels.soft)
        return _shift(one[1], other[1], outline) * size, float(differ)

    def slab(read: slice, made: slice, _inner: slice) -> list[tuple[Array, float]]:
        layers = {k: seen(k) for k in range(made.start, read.stop)}
        return [compared(layers[k], layers[k + 1], k) for k in range(made.start, min(made.stop, len(solid) - 1))]

    pairs = [pair for some in in_slabs(slab, solid.shape, 1) for pair in some]
    shifts = np.array([shift for shift, _ in pairs]).reshape(-1, 2)
    differ = np.array([change for _, change in pairs])
    found = []
    areas = solid.sum(axis=(1, 2))
    against = np.array([_against_trend(shifts, k) for k in range(len(shifts))])
    usual = float(np.nanmedian(np.linalg.norm(against, axis=1))) if np.isfinite(against).any() else 0.0
    least = max(JUMP_MM, _STEEPEST * float(volume.spacing[2]), _SCATTERS * usual)
    for k, jump in enumerate(against):
        if not solid[k].any() or not all(_alike(areas, k, beside) for beside in (1, -_BEYOND, 1 + _BEYOND)):
            continue
        abrupt = _against_others(differ, k)
        leaps = bool(np.isfinite(jump).all()) and float(np.linalg.norm(jump)) > least and _against_beside(shifts, k) > least
        if leaps or abrupt > _ABRUPT:
            middle = np.argwhere(solid[k : k + 2].any(axis=0)).mean(axis=0)
            shift = jump[::-1] if np.isfinite(jump).all() else np.zeros(2)
            found.append(Jump(k, shift, volume.patient(np.array([[middle[1], middle[0], k + 0.5]]))[0], abrupt))
    return sorted(found, key=lambda one: -one.size)


def _alike(areas: Ints, k: int, beside: int) -> bool:
    """Whether the bone goes on at `k` + `beside`, in the next slice with about the same area, further off with half of it at least.

    Where a bone or a part of it begins or ends, its outlines come and go, and do not move.
    """
    there = int(areas[k + beside]) if 0 <= k + beside < len(areas) else 0
    most = _MOST_CHANGE if beside == 1 else 2.5 * _MOST_CHANGE
    return abs(int(areas[k]) - there) <= most * max(int(areas[k]), there)


def _against_trend(shifts: Array, k: int) -> Array:
    """The shift (2,) at `k` less the median of those around it."""
    around = np.delete(np.arange(max(k - _AROUND, 0), min(k + _AROUND + 1, len(shifts))), min(k, _AROUND))
    beside = shifts[around]
    beside = beside[np.isfinite(beside).all(axis=1)]
    return shifts[k] - np.median(beside, axis=0) if len(beside) >= _AROUND else np.full(2, np.nan)


def _against_beside(shifts: Array, k: int) -> Mm:
    """How far the shift at `k` lies off the mean of those before and after it: a shape that turns does so over several slices, a patient at once."""
    beside = np.array([shifts[n] for n in (k - 1, k + 1) if 0 <= n < len(shifts)])
    beside = beside[np.isfinite(beside).all(axis=1)]
    return float(np.linalg.norm(shifts[k] - beside.mean(axis=0))) if len(beside) else np.inf


def _against_others(differ: Array, k: int) -> float:
    """How many times more two slices differ than those around them; 0 where they hardly differ."""
    beside = np.delete(differ[max(k - _AROUND, 0) : k + _AROUND + 1], min(k, _AROUND))
    beside = beside[np.isfinite(beside)]
    if len(beside) < _AROUND or not differ[k] > _LEAST_CHANGE:
        return 0.0
    return float(differ[k] / np.median(beside))


def _shift(one: Array, two: Array, outline: Bools) -> Array:
    """By how many pixels (2,) `two` lies off `one` along its own axes, over an outline (Lucas and Kanade 1981, repeated)."""
    box = ndimage.find_objects(outline.astype(np.uint8))[0]
    wide = tuple(slice(max(s.start - 8, 0), min(s.stop + 8, n)) for s, n in zip(box, outline.shape, strict=True))
    here, there, mask = one[wide], two[wide], outline[wide]
    shift = np.zeros(2)
    for _ in range(_ROUNDS):
        moved = ndimage.shift(there, -shift, order=1, mode="nearest")
        slope = np.stack([(g[mask] + h[mask]) / 2.0 for g, h in zip(np.gradient(here), np.gradient(moved), strict=True)])
        matrix = slope @ slope.T
        values = np.linalg.eigvalsh(matrix)
        if values[0] < _WORST_SHAPE**2 * values[1]:
            return np.full(2, np.nan)
        shift = shift - np.linalg.solve(matrix, slope @ (moved - here)[mask])
    return shift
