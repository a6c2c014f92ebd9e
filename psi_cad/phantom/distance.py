"""Signed distances as functions of points, and a fast sampled copy of a slow one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import trimesh
from scipy import ndimage

from psi_cad.surface.rays import SignedDistance
from psi_cad.units import Array, Mm

__all__ = ["Distance", "SampledDistance", "mesh_distance", "sampled_distance"]

Distance: TypeAlias = Callable[[Array], Array]
"""Points (n, 3) in patient mm to signed distance (n,) in mm, negative inside."""

_COARSE: Final = 4  # first pass, in steps
_CHUNK: Final = 200_000  # points in one call, to bound memory
_LEAST_SLOPE: Final = 0.4  # an implicit function flatter than this is at a ridge, not at its surface


@dataclass(frozen=True)
class SampledDistance:
    """A signed distance on a grid, read by cubic splines near the surface; far away only its sign and rough size hold.

    Attributes
    ----------
    coefficients : (nx, ny, nz)
        Spline coefficients.
    low : (3,)
        Patient point of the first sample; axes run along x, y, z.
    step : float
        Sample spacing in mm.
    """

    coefficients: npt.NDArray[Any]
    low: Array
    step: Mm

    @property
    def high(self) -> Array:
        """Patient point (3,) of the last sample."""
        return np.asarray(self.low + self.step * (np.array(self.coefficients.shape) - 1))

    def __call__(self, points: Array) -> Array:
        """Signed distance (n,) at patient points (n, 3); beyond the grid, what it is at its border, plus the way there."""
        place = (np.asarray(points, dtype=np.float64) - self.low) / self.step
        held = np.clip(place, 0.0, np.array(self.coefficients.shape) - 1.0)
        found = ndimage.map_coordinates(self.coefficients, held.T, output=np.float64, order=3, prefilter=False, mode="nearest")
        return np.asarray(found + self.step * np.linalg.norm(place - held, axis=1))


def sampled_distance(distance: Distance, *, low: Array, high: Array, step: Mm = 0.7, band: Mm = 6.0, level: bool = False) -> SampledDistance:
    """`distance` on a grid over the box `low`, `high` (3,), exact sampling within `band` of the surface.

    Parameters
    ----------
    level : bool
        Divide by the slope: makes a distance, to second order, of an implicit function whose zero alone is exact.
    """
    low = np.asarray(low, dtype=np.float64)
    coarse_shape = tuple(int(n) for n in np.ceil((np.asarray(high) - low) / (step * _COARSE)).astype(int) + 1)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in coarse_shape), indexing="ij"), axis=-1).reshape(-1, 3)
    rough = _in_chunks(distance, low + grid * (step * _COARSE)).reshape(coarse_shape)
    fine_shape = tuple(_COARSE * (n - 1) + 1 for n in coarse_shape)
    index = np.meshgrid(*(np.arange(n, dtype=np.float32) / _COARSE for n in fine_shape), indexing="ij")
    values = ndimage.map_coordinates(rough.astype(np.float32), index, order=1, output=np.float32)
    del index
    near = np.abs(values) < band + step * _COARSE
    values[near] = _in_chunks(distance, low + np.argwhere(near) * step)
    if level:
        slope = np.sqrt(sum(np.square(g) for g in np.gradient(values, step)))
        values[near] /= np.maximum(slope[near], _LEAST_SLOPE)
    return SampledDistance(ndimage.spline_filter(values, order=3, output=np.float32, mode="nearest"), low, step)


def mesh_distance(mesh: trimesh.Trimesh, *, step: Mm = 0.7, band: Mm = 4.0) -> SampledDistance:
    """The sampled signed distance to a closed surface in patient mm."""
    margin = band + 4 * step
    return sampled_distance(SignedDistance(mesh), low=mesh.bounds[0] - margin, high=mesh.bounds[1] + margin, step=step, band=band)


def _in_chunks(distance: Distance, points: Array) -> Array:
    found = np.empty(len(points))
    for start in range(0, len(points), _CHUNK):
        found[start : start + _CHUNK] = distance(points[start : start + _CHUNK])
    return found
