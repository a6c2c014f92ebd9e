"""Where a blurred cortex begins: the half-way level, and how far a thin cortex moves it outwards.

A cortex of density c and thickness w between O outside and M inside, blurred by a Gaussian of sigma, reads at depth x
    f(x) = O + (c − O) Φ(x / sigma) − (c − M) Φ((x − w) / sigma).
A thick one crosses half-way between its peak and O at its true surface. A thin one has a lower peak, so that the half-way
level lies outside of it: by 1.18 sigma in the limit. Thickness follows from the peak if the density of thick cortex is known
(Treece, Gee, Mayhew and Poole, Medical Image Analysis 14, 2010), or from the apparent width where that exceeds the blur's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import ndtr

from psi_cad.units import Array

__all__ = ["Shown", "calibrated", "edge_shift", "misfits", "profile"]

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


@dataclass(frozen=True)
class Shown:
    """How a bone's cortex looks where it is thin and where it is thick, all (n,), medians of groups of points by peak.

    HU `outside`, of the `peak` and of the `marrow`; apparent `width` of the cortex, and apparent sigma `blur` by its slope, in mm.
    """

    outside: Array
    peak: Array
    marrow: Array
    width: Array
    blur: Array


def calibrated(shown: Shown, *, cortex: float | None = None, sigma: float | None = None) -> tuple[float, float]:
    """HU of thick cortex, and sigma in mm, from how a bone's cortex looks; what is known already of the two is given.

    A thin cortex shows the blur (its width is 2.36 sigma, whatever its thickness), and the way the width grows with the peak
    shows the density: it takes both that no place need be thick enough to show its density by itself.
    """
    best = (np.inf, float(shown.peak.max()), float(np.median(shown.blur)))
    for density in _densities(shown) if cortex is None else (max(cortex, _DENSITIES[0] * float(shown.peak.max())),):
        tried = _Tried.of(shown, density)
        wide = tried.best_sigma() if sigma is None else sigma
        loss = float(tried.loss(np.array([wide]))[0])
        if loss < best[0]:
            best = (loss, float(density), wide)
    return best[1], best[2]


def misfits(shown: Shown, sigmas: Array) -> Array:
    """How badly each of `sigmas` (m,) goes with how a bone's cortex looks, at the density that goes best with it; in sigma."""
    return np.asarray(np.min([_Tried.of(shown, density).loss(sigmas) / sigmas for density in _densities(shown)], axis=0))


def _densities(shown: Shown) -> Array:
    return np.asarray(float(shown.peak.max()) * np.linspace(*_DENSITIES))


@dataclass(frozen=True)
class _Tried:
    """What a cortex of one density should look like: widths and slopes (n,) in sigma, and which widths count."""

    shown: Shown
    wide: Array
    slant: Array
    counts: Array

    @classmethod
    def of(cls, shown: Shown, density: float) -> _Tried:
        peaks, _, widths, blurs = _tables()
        rise = density - shown.outside
        place = np.clip(((density - shown.marrow) / rise - _MARROW[0]) / (_MARROW[1] - _MARROW[0]), 0.0, len(_MARROW) - 1.001)
        row = place.astype(int)
        share = (shown.peak - shown.outside) / rise
        rising, reached = np.maximum.accumulate(peaks[row], axis=1), np.minimum(share, _SATURATED)
        return cls(shown, _look_up(rising, widths[row], reached), _look_up(rising, blurs[row], reached), np.where(share < _SATURATED, 1.0, 0.0))

    def best_sigma(self) -> float:
        """The sigma in mm that goes best with it."""
        over = (self.counts * self.shown.width * self.wide + _SLOPE_WEIGHT * self.shown.blur * self.slant).sum()
        return float(over / (self.counts * self.wide**2 + _SLOPE_WEIGHT * self.slant**2).sum())

    def loss(self, sigmas: Array) -> Array:
        """How far off each of `sigmas` (m,) is, mm."""
        sigma = np.asarray(sigmas)[:, None]
        short = self.shown.width - sigma * self.wide
        short = np.where(self.counts > 0.0, short, np.minimum(short, 0.0))
        slopes = np.minimum(np.abs(self.shown.blur - sigma * self.slant), _OUTLIER * sigma)
        return np.asarray(np.minimum(np.abs(short), _OUTLIER * sigma).sum(axis=1) + np.sqrt(_SLOPE_WEIGHT) * slopes.sum(axis=1))


def _look_up(rising: Array, values: Array, wanted: Array) -> Array:
    """In each row: the value where `rising` reaches `wanted` (n,), linear between columns."""
    after = np.clip((rising < wanted[:, None]).sum(axis=1), 1, rising.shape[1] - 1)
    rows = np.arange(len(wanted))
    a, b = rising[rows, after - 1], rising[rows, after]
    share = np.clip((wanted - a) / np.maximum(b - a, 1e-9), 0.0, 1.0)
    return np.asarray(values[rows, after - 1] + share * (values[rows, after] - values[rows, after - 1]))
