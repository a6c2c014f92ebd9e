"""Where a blurred cortex begins: the half-way level, and how far a thin cortex moves it outwards.

A cortex of density c and thickness w between O outside and M inside, blurred by a Gaussian of sigma, reads at depth x
    f(x) = O + (c − O) Φ(x / sigma) − (c − M) Φ((x − w) / sigma).
A thick one crosses half-way between its peak and O at its true surface. A thin one has a lower peak, so that the half-way
level lies outside of it: by 1.18 sigma in the limit. Thickness follows from the peak if the density of thick cortex is known
(Treece, Gee, Mayhew and Poole, Medical Image Analysis 14, 2010), or from the apparent width where that exceeds the blur's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import ndtr

from psi_cad.units import Array

__all__ = ["calibrated", "edge_shift", "profile"]

_THICKNESS: Final = np.concatenate([np.linspace(0.08, 3.0, 60), np.linspace(3.1, 8.0, 50)])  # in sigma
_MARROW: Final = np.linspace(0.4, 1.2, 17)  # (c − M) / (c − O)
_DENSITIES: Final = (0.96, 1.4, 45)  # of the highest peak: first, last, how many are tried
_SATURATED: Final = 0.95  # a peak this near to the density says no more about the thickness
_SLOPE_WEIGHT: Final = 6.0  # widths are about 2.5 times as large as slopes' sigma
_OUTLIER: Final = 0.6  # sigma
_WIDE: Final = (2.75, 3.6)  # apparent widths in sigma between which trust goes from the peak to the width


def profile(depth: Array, *, thickness: float, marrow: float) -> Array:
    """(f − O) / (c − O) at `depth` (n,) in sigma; `thickness` in sigma; `marrow` = (c − M) / (c − O)."""
    return np.asarray(ndtr(depth) - marrow * ndtr(depth - thickness))


@lru_cache(maxsize=1)
def _tables() -> tuple[Array, Array, Array, Array]:
    """Over marrow (rows) and thickness (columns): peak, shift of the half-way crossing, apparent width, apparent blur.

    The last is what the slope at the crossing would say of sigma if the cortex were thick.
    """
    shape = (len(_MARROW), len(_THICKNESS))
    peak, shift, width, blur = (np.zeros(shape) for _ in range(4))
    depth = np.linspace(-6.0, 16.0, 2201)
    for row, marrow in enumerate(_MARROW):
        for column, thickness in enumerate(_THICKNESS):
            f = profile(depth, thickness=float(thickness), marrow=float(marrow))
            top = int(np.argmax(f))
            peak[row, column] = f[top]
            outer = _crossing(depth[: top + 1], f[: top + 1], f[top] / 2.0)
            shift[row, column] = -outer
            slope = (np.exp(-(outer**2) / 2.0) - marrow * np.exp(-((outer - thickness) ** 2) / 2.0)) / np.sqrt(2.0 * np.pi)
            blur[row, column] = f[top] / (slope * np.sqrt(2.0 * np.pi))
            inside = 1.0 - marrow
            level = (f[top] + inside) / 2.0
            beyond = np.nonzero(f[top:] < level)[0]
            if len(beyond) and f[top] > inside + 0.02:
                width[row, column] = depth[top + beyond[0]] - outer
    return peak, shift, width, blur


def _crossing(depth: Array, f: Array, level: float) -> float:
    after = int(np.argmax(f >= level))
    a, b = f[after - 1], f[after]
    return float(depth[after - 1] + (level - a) / (b - a) * (depth[after] - depth[after - 1]))


def edge_shift(peak: Array, marrow: Array, width: Array) -> Array:
    """How far (n,) in sigma the half-way crossing lies outside of the true surface.

    Parameters
    ----------
    peak : (n,)
        (P − O) / (c − O).
    marrow : (n,)
        (c − M) / (c − O).
    width : (n,)
        Apparent width of the cortex in sigma, from half-way to half-way; infinite where it has no inner end.
    """
    peaks, shifts, widths, _ = _tables()
    place = np.clip((np.asarray(marrow) - _MARROW[0]) / (_MARROW[1] - _MARROW[0]), 0.0, len(_MARROW) - 1.001)
    row = place.astype(int)
    by_peak, by_width = np.zeros(len(row)), np.zeros(len(row))
    for r in np.unique(row):
        here = row == r
        up = place[here] - r
        p, s, w = ((1.0 - up)[:, None] * t[r] + up[:, None] * t[r + 1] for t in (peaks, shifts, widths))
        by_peak[here] = _look_up(np.maximum.accumulate(p, axis=1), s, peak[here])
        by_width[here] = _look_up(np.maximum.accumulate(w, axis=1), s, np.minimum(width[here], 900.0))
    trust = np.clip((np.asarray(width) - _WIDE[0]) / (_WIDE[1] - _WIDE[0]), 0.0, 1.0)
    return np.asarray((1.0 - trust) * by_peak + trust * by_width)


def calibrated(*, outside: Array, peak: Array, marrow: Array, width: Array, blur: Array) -> tuple[float, float]:
    """HU of thick cortex, and sigma in mm, from how a bone's cortex looks where it is thin and where it is thick.

    A thin cortex shows the blur (its width is 2.36 sigma, whatever its thickness), and the way the width grows with the peak
    shows the density: it takes both that no place need be thick enough to show its density by itself.

    Parameters
    ----------
    outside, peak, marrow : (n,)
        HU, medians of groups of points by peak.
    width, blur : (n,)
        Apparent width of the cortex, and apparent sigma by its slope, in mm.
    """
    peaks, _, widths, blurs = _tables()
    top = float(peak.max())
    best = (np.inf, top, float(np.median(blur)))
    for density in top * np.linspace(*_DENSITIES):
        rise = density - outside
        place = np.clip(((density - marrow) / rise - _MARROW[0]) / (_MARROW[1] - _MARROW[0]), 0.0, len(_MARROW) - 1.001)
        row = place.astype(int)
        share = np.minimum((peak - outside) / rise, _SATURATED)
        rising = np.maximum.accumulate(peaks[row], axis=1)
        wide, slant = _look_up(rising, widths[row], share), _look_up(rising, blurs[row], share)
        counts = np.where((peak - outside) / rise < _SATURATED, 1.0, 0.0)
        weight = _SLOPE_WEIGHT
        sigma = float((counts * width * wide + weight * blur * slant).sum() / (counts * wide**2 + weight * slant**2).sum())
        short = np.where(counts > 0.0, width - sigma * wide, np.minimum(width - sigma * wide, 0.0))
        loss = float(
            np.minimum(np.abs(short), _OUTLIER * sigma).sum() + np.sqrt(weight) * np.minimum(np.abs(blur - sigma * slant), _OUTLIER * sigma).sum()
        )
        if loss < best[0]:
            best = (loss, float(density), sigma)
    return best[1], best[2]


def _look_up(rising: Array, values: Array, wanted: Array) -> Array:
    """In each row: the value where `rising` reaches `wanted` (n,), linear between columns."""
    after = np.clip((rising < wanted[:, None]).sum(axis=1), 1, rising.shape[1] - 1)
    rows = np.arange(len(wanted))
    a, b = rising[rows, after - 1], rising[rows, after]
    share = np.clip((wanted - a) / np.maximum(b - a, 1e-9), 0.0, 1.0)
    return np.asarray(values[rows, after - 1] + share * (values[rows, after] - values[rows, after - 1]))
