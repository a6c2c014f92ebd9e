"""Seams: dark sheets between two brighter sides, as a joint space shows between two cortices, each voxel with its strength."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.morphology import Element, closed, grown

__all__ = ["Seams", "find_seams"]

_BLUR_MM: Final[Mm] = 0.5  # more wipes joint spaces of a voxel out
_LEAST_BEND: Final = 5.0  # HU/mm²; the second derivative across a sheet that is worth a look
_FLANK_MM: Final = (0.8, 1.2, 1.6, 2.0, 2.5, 3.0)  # how far to each side brighter bone is looked for
_MINIMUM_MM: Final[Mm] = 0.5
_FLAT_HU: Final = 5.0
_FLANK_SHARE: Final = 0.3  # of the way from soft tissue to cortex: the flanks of a joint are subchondral bone, not marrow
_OPEN_FLANK_SHARE: Final = 0.4  # both sides of a gap that is dark as soft tissue
_SPECK_MM3: Final = 20.0  # seams smaller than this are noise
_WEAK: Final = 0.25  # of the strength asked: enough beside a strong seam
_AROUND: Final[Element] = (2, {})  # voxels to each side; pinholes of a seam that are closed
_CUBE: Final = np.ones((3, 3, 3), dtype=bool)
_AT_ONCE: Final = 400_000  # voxels looked at together, to bound memory
_SLAB_VOXELS: Final = 6_000_000


class Seams:
    """Voxels that may be seams, with how much darker (HU) each is than both its sides.

    Attributes
    ----------
    shape : (nz, ny, nx)
    at : (n,)
        Flat indices.
    strength : (n,)
        HU; infinite where the gap is as dark as soft tissue.
    crest : (n,)
        bool: darkest across the sheet to within noise's reach, so that it counts at full strength.
    """

    def __init__(self, shape: tuple[int, ...], at: Ints, strength: npt.NDArray[Any], crest: Bools, spacing: Array) -> None:
        self.shape, self.at, self.strength, self.crest, self.spacing = shape, at, strength, crest, spacing

    def stronger(self, least: float, solid: Bools) -> Bools:
        """The seams (nz, ny, nx) of at least this strength in HU, specks left out and pinholes closed, within `solid`."""
        strong = self.at[self.crest & (self.strength >= least)]
        seam = self._put(strong)
        pieces = ndimage.label(seam, structure=_CUBE, output=np.int32)[0].ravel()[strong]
        large = np.bincount(pieces) * float(np.prod(self.spacing)) > _SPECK_MM3
        seam = self._put(strong[large[pieces]])
        near = grown(seam, _AROUND)
        weak = self.at[self.strength >= _WEAK * least]
        seam.ravel()[weak[near.ravel()[weak]]] = True
        pinholes = closed(seam, _AROUND)
        pinholes &= near
        pinholes &= solid
        seam |= pinholes
        return seam

    def fainter(self, strong: float, voxels: float) -> float:
        """The strength in HU down to which there are so many voxels of crests that are weaker than `strong`."""
        found = self.strength[self.crest & (self.strength < strong)]
        most = int(voxels)
        return float(np.partition(found, -most - 1)[-most - 1]) if most < len(found) else 0.0

    def _put(self, places: Ints) -> Bools:
        out = np.zeros(int(np.prod(self.shape)), dtype=bool)
        out[places] = True
        return np.asarray(out.reshape(self.shape))


def find_seams(values: npt.NDArray[Any], solid: Bools, *, spacing: Array, levels: TissueLevels) -> Seams:
    """The seams in `solid` (nz, ny, nx) of a scan `values` (nz, ny, nx) in HU; `spacing` (3,) along i, j, k."""
    size = np.asarray(spacing)[::-1]
    margin = int(np.ceil((_FLANK_MM[-1] + 3.0 * _BLUR_MM) / size[0])) + 1
    thick = max(int(_SLAB_VOXELS / (values.shape[1] * values.shape[2])), margin)

    def slab(first: int) -> tuple[Ints, npt.NDArray[Any], Bools]:
        last = min(first + thick, values.shape[0])
        low, high = max(first - margin, 0), min(last + margin, values.shape[0])
        blurred = ndimage.gaussian_filter(values[low:high].astype(np.float32), _BLUR_MM / size, truncate=3.0)
        inner = solid[low:high].copy()
        for axis in range(3):
            np.moveaxis(inner, axis, 0)[[0, -1]] = False
        inner[: first - low] = False
        inner[last - low :] = False
        places = np.flatnonzero(inner.ravel())
        layer = blurred.shape[1] * blurred.shape[2]
        steps = np.array([layer, blurred.shape[2], 1])
        parts = [_in_part(blurred, places[n : n + _AT_ONCE], steps, size, levels) for n in range(0, len(places), _AT_ONCE)]
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, bool)
        at, strength, crest = (np.concatenate(part) for part in zip(*parts, strict=True))
        return at + low * layer, strength, crest

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(slab, range(0, values.shape[0], thick)))
    at, strength, crest = (np.concatenate(part) for part in zip(*found, strict=True))
    return Seams(values.shape, at, strength, crest, np.asarray(spacing))


def _in_part(blurred: npt.NDArray[Any], at: Ints, steps: Any, size: Array, levels: TissueLevels) -> tuple[Ints, npt.NDArray[Any], Bools]:
    flat = blurred.ravel()
    centre = flat[at]
    second = [(flat[at + steps[a]] + flat[at - steps[a]] - 2.0 * centre) / np.float32(size[a] ** 2) for a in range(3)]
    some = np.maximum(np.maximum(second[0], second[1]), second[2]) > _LEAST_BEND
    at, centre = at[some], centre[some]
    hessian = np.empty((len(at), 3, 3), dtype=np.float32)
    for a in range(3):
        hessian[:, a, a] = second[a][some]
        for b in range(a + 1, 3):
            p, q = steps[a], steps[b]
            mixed = (flat[at + p + q] + flat[at - p - q] - flat[at + p - q] - flat[at - p + q]) / np.float32(4.0 * size[a] * size[b])
            hessian[:, a, b] = hessian[:, b, a] = mixed
    bend, directions = np.linalg.eigh(hessian)
    across = directions[:, :, 2] / size.astype(np.float32)
    where = np.stack(np.unravel_index(at, blurred.shape), axis=1).astype(np.float32)

    def along(mm: float) -> npt.NDArray[Any]:
        here = (where + np.float32(mm) * across).T
        return np.asarray(ndimage.map_coordinates(blurred, here, order=1, mode="nearest", output=np.float32))

    ahead, behind = along(_MINIMUM_MM), along(-_MINIMUM_MM)
    low = (np.minimum(ahead, behind) >= centre - 4.0 * _FLAT_HU) & (bend[:, 2] > _LEAST_BEND)
    low |= centre < levels.threshold
    at, centre, where, across, ahead, behind = at[low], centre[low], where[low], across[low], ahead[low], behind[low]
    up, down = ahead, behind
    for mm in _FLANK_MM:
        up, down = np.maximum(up, along(mm)), np.maximum(down, along(-mm))
    flank = np.minimum(up, down)
    span = levels.bone - levels.soft
    dark = (centre < levels.threshold) & (flank > levels.soft + _OPEN_FLANK_SHARE * span)
    sheet = flank > levels.soft + _FLANK_SHARE * span
    lowest = np.minimum(ahead, behind)
    strength = np.where(dark, np.float32(np.inf), np.where(sheet & (lowest >= centre - 4.0 * _FLAT_HU), flank - centre, np.float32(0.0)))
    crest = dark | (lowest >= centre - _FLAT_HU)
    some = strength > 0.0
    return at[some], strength[some], crest[some]
