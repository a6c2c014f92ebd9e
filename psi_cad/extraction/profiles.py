"""What the scan shows along a surface's normals: where the edge of a bone lies, how dense and how wide its cortex is, what lies on both sides."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import ndtri

from psi_cad.units import Array, Bools, Mm

__all__ = ["LEAST_CONTRAST", "STEP_MM", "Edges", "Scan", "find_edges", "in_blocks"]

STEP_MM: Final[Mm] = 0.2
INWARD_MM: Final[Mm] = 5.0
OUTWARD_MM: Final[Mm] = 3.0
_EDGE_MM: Final[Mm] = 1.2  # the cortex's peak is looked for from here inwards
_PLATEAU: Final = (1.0, 2.0)  # mm outside of the edge: far enough to be clear of the blur, near enough to be what touches bone
LEAST_CONTRAST: Final = 120.0  # HU between cortex and what lies outside; less is no edge
_NARROW_GAP: Final = 0.8  # two cortices blurred into each other: their gap's width is told from how deep it still is
_LEAST_GAP: Final = 0.04
_AT_ONCE: Final = 5_000  # points looked at together, to bound memory


@dataclass(frozen=True)
class Edges:
    """What the profile of each point shows, all (n,).

    `at`: place of the half-way crossing along the normal; HU `outside`, of the cortex's `peak` and of the `marrow` behind it;
    `width` of the cortex and `slope` at the crossing; `sure`: there is an edge; `gap`: it lies in a narrow gap to another bone.
    """

    at: Array
    outside: Array
    peak: Array
    marrow: Array
    width: Array
    slope: Array
    sure: Bools
    gap: Bools


class Scan:
    """HU by cubic splines at patient points."""

    def __init__(self, values: npt.NDArray[Any], patient_from_index: Array, others: Bools | None) -> None:
        self.others = None if others is None else others.view(np.uint8)
        self.coefficients = ndimage.spline_filter(values.astype(np.float32, copy=False), order=3, output=np.float32, mode="nearest")
        matrix = np.asarray(patient_from_index, dtype=np.float64)
        self.origin, self.inverse = matrix[:3, 3], np.linalg.inv(matrix[:3, :3])
        self.spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        self.axis_k = matrix[:3, 2] / self.spacing[2]

    def within_edge(self, steps: Array, fixed: Bools) -> Array:
        """Steps (n, 3) in mm without their part along the `fixed` (n, 3) index axes."""
        index = np.where(fixed, 0.0, steps @ self.inverse.T)
        return np.asarray(index @ np.linalg.inv(self.inverse).T)

    def along(self, points: Array, normals: Array, offsets: Array) -> tuple[Array, Array]:
        """Values (n, m) at `offsets` (m,) mm along the normals; and where (n,) a profile that meets another bone has its trough; nan elsewhere."""
        start = (points - self.origin) @ self.inverse.T
        way = normals @ self.inverse.T
        at = (start[:, None, :] + offsets[None, :, None] * way[:, None, :]).reshape(-1, 3).T[::-1]
        out = ndimage.map_coordinates(self.coefficients, at, order=3, prefilter=False, mode="nearest", output=np.float64).reshape(-1, len(offsets))
        if self.others is None:
            return out, np.full(len(points), np.nan)
        outer = offsets > -_EDGE_MM
        at = at.reshape(3, -1, len(offsets))[:, :, outer].reshape(3, -1)
        other = np.zeros(out.shape, dtype=bool)
        other[:, outer] = ndimage.map_coordinates(self.others, at, order=0, mode="nearest").reshape(len(out), -1) > 0
        return out, _levelled(out, other, offsets)


def _levelled(hu: Array, other: Bools, offsets: Array) -> Array:
    """Level `hu` (n, m) in place from its trough on where it meets `other` (n, m), outside of the edge; the offset (n,) of the trough."""
    rows = np.nonzero(other.any(axis=1))[0]
    columns = np.arange(len(offsets))[None, :]
    entry = np.argmax(other[rows], axis=1)
    before = (columns <= entry[:, None]) & (offsets > -0.7)[None, :]
    before |= columns == entry[:, None]
    trough = np.argmin(np.where(before, hu[rows], np.inf), axis=1)
    low = hu[rows, trough]
    hu[rows] = np.where(columns > trough[:, None], low[:, None], hu[rows])
    found = np.full(len(hu), np.nan)
    found[rows] = offsets[trough]
    return found


def in_blocks(work: Callable[[slice], Any], count: int) -> list[Any]:
    """What `work` gives for each block of `count` points, in order, on two threads."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, [slice(first, first + _AT_ONCE) for first in range(0, max(count, 1), _AT_ONCE)]))


def find_edges(scan: Scan, points: Array, normals: Array, *, soft: float, noise: float, sigma: Mm, step: Mm = STEP_MM) -> Edges:
    """The edges at `points` (n, 3) along their `normals` (n, 3), patient mm.

    Parameters
    ----------
    soft, noise : float
        HU of soft tissue, and its standard deviation.
    sigma : float
        Blur, mm: the width of a narrow gap follows from it.
    step : float
        Between the values of a profile, mm.
    """
    blocks = in_blocks(lambda part: _edges_at(scan, points[part], normals[part], soft=soft, noise=noise, sigma=sigma, step=step), len(points))
    return Edges(*(np.concatenate([getattr(block, one.name) for block in blocks]) for one in fields(Edges)))


def _edges_at(scan: Scan, points: Array, normals: Array, *, soft: float, noise: float, sigma: Mm, step: Mm = STEP_MM) -> Edges:
    offsets: Array = np.asarray(np.arange(-round(INWARD_MM / step), round(OUTWARD_MM / step) + 1) * step, dtype=np.float64)
    hu, trough_at = scan.along(points, normals, offsets)
    met = ~np.isnan(trough_at)
    rows = np.arange(len(hu))
    first = int(np.searchsorted(offsets, _EDGE_MM))
    # inwards from the edge: the first crest, that is where the profile then falls for good
    inward = hu[:, first::-1]
    crest, crest_at = _first_extreme(inward, drop=np.maximum(3.0 * noise, 0.06 * np.maximum(inward.max(axis=1) - soft, 0.0)))
    top = first - crest_at
    falling = np.where(np.arange(inward.shape[1])[None, :] >= crest_at[:, None], -inward, -crest[:, None])
    trough, _ = _first_extreme(falling, drop=np.maximum(4.0 * noise, 0.1 * np.maximum(crest - soft, 0.0)), start=crest_at)
    marrow = -trough
    # outwards from the crest: down to the first trough
    reversed_rows = np.where(np.arange(hu.shape[1])[None, :] >= top[:, None], -hu, -crest[:, None])
    low, low_at = _first_extreme(reversed_rows, drop=np.maximum(4.0 * noise, 0.06 * np.maximum(crest - soft, 0.0)), start=top)
    outside = np.full(len(hu), np.nan)
    for _ in range(2):
        base = np.where(np.isnan(outside), -low, outside)
        half = (crest + base) / 2.0
        beyond = (np.arange(hu.shape[1])[None, :] > top[:, None]) & (hu < half[:, None])
        has = beyond.any(axis=1)
        after = np.where(has, np.argmax(beyond, axis=1), hu.shape[1] - 1)
        after = np.maximum(after, 1)
        a, b = hu[rows, after - 1], hu[rows, after]
        at = offsets[after] - step * np.clip((b - half) / np.where(np.abs(b - a) > 1e-6, b - a, -1.0), 0.0, 1.0)
        outside = np.where(met, np.minimum(-low, soft), _plateau(hu, offsets, at, low_at, -low, soft))
    inner = (np.arange(hu.shape[1])[None, :] < top[:, None]) & (hu < ((crest + marrow) / 2.0)[:, None])
    inner_at = hu.shape[1] - 1 - np.argmax(inner[:, ::-1], axis=1)
    c, d = hu[rows, inner_at], hu[rows, np.minimum(inner_at + 1, hu.shape[1] - 1)]
    share = np.clip(((crest + marrow) / 2.0 - c) / np.where(np.abs(d - c) > 1e-6, d - c, 1.0), 0.0, 1.0)
    width = np.where(inner.any(axis=1), at - (offsets[inner_at] + share * step), np.inf)
    slope = (a - b) / step
    depth = (crest + low) / np.maximum(crest - soft, LEAST_CONTRAST)  # of the trough, as a share; 1 where the gap is wide
    gap = met & (depth < _NARROW_GAP) & (depth > _LEAST_GAP)
    half_gap = sigma * ndtri(0.5 + 0.5 * np.clip(depth, 0.0, 0.99))
    at = np.where(gap, trough_at - half_gap, at)
    sure = (has | gap) & (crest - outside > LEAST_CONTRAST) & (gap | (slope > 0.0)) & (np.abs(at) < OUTWARD_MM - 0.3)
    return Edges(at, outside, crest, marrow, width, slope, sure, gap)


def _first_extreme(values: Array, *, drop: Array, start: Any = None) -> tuple[Array, Any]:
    """The first maximum along each row after which `values` fall by `drop` (n,): its value and column."""
    running = np.maximum.accumulate(values, axis=1)
    fallen = running - values > drop[:, None]
    if start is not None:
        fallen &= np.arange(values.shape[1])[None, :] > np.asarray(start)[:, None]
    end = np.where(fallen.any(axis=1), np.argmax(fallen, axis=1), values.shape[1] - 1)
    best = running[np.arange(len(values)), end]
    return best, np.argmax(values >= best[:, None], axis=1)


def _plateau(hu: Array, offsets: Array, at: Array, low_at: Any, low: Array, soft: float) -> Array:
    """What lies outside: the mean of a window past the edge; in a narrow gap the lower of its trough and soft tissue."""
    past = offsets[None, :] - at[:, None]
    window = (past >= _PLATEAU[0]) & (past <= _PLATEAU[1]) & (np.arange(hu.shape[1])[None, :] <= np.asarray(low_at)[:, None])
    count = window.sum(axis=1)
    mean = (hu * window).sum(axis=1) / np.maximum(count, 1)
    narrow = np.asarray(low_at) < hu.shape[1] - 1
    full = count >= round((_PLATEAU[1] - _PLATEAU[0]) / (offsets[1] - offsets[0])) - 1
    return np.asarray(np.where(full, mean, np.where(narrow, np.minimum(low, soft), low)))
