"""Where a graph of regions is cut best: least shared area for the volume that is cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from psi_cad.units import Array, Bools, Ints

__all__ = ["Cut", "best_cut", "smooth_fields", "walk"]

_FIELDS: Final = 4  # slowest modes looked at besides the constant one
_POWER_ROUNDS: Final = 30
_SMALL: Final = 1e-9


@dataclass(frozen=True)
class Cut:
    """One way to part a graph.

    Attributes
    ----------
    ratio : float
        Area of the cut over the smaller side's volume to the power 2/3: without a unit. Joints whose gap the scan shows in most places have
        up to 0.1, the narrowest necks within bones 0.2 and more.
    area, volume : float
        mm² that the sides share; mm³ of the smaller side.
    side : (n,)
        bool.
    """

    ratio: float
    area: float
    volume: float
    side: Bools


def smooth_fields(shared: Any, volume: Array) -> Array:
    """The slowest modes (n, 4) of a connected graph by volume, the constant one left out; a sparse cut shows as a step in one of them."""
    count = len(volume)
    degree = np.asarray(shared.sum(axis=1)).ravel()
    weight = np.maximum(volume, _SMALL * volume.max())
    stiff = (sp.diags(degree + 1e-7 * degree.mean() * weight / weight.mean()) - shared).tocsc()
    solver = splu(stiff)
    want = min(_FIELDS, count - 1)
    fields = np.random.default_rng(0).normal(size=(count, want + 1))
    fields[:, 0] = 1.0
    for _ in range(_POWER_ROUNDS):  # subspace iteration on stiff⁻¹·weight: few rounds do, for the modes that matter are far apart
        fields = _square(solver.solve(weight[:, None] * fields), weight)
    values, mix = np.linalg.eigh(fields.T @ (stiff @ fields))
    return np.asarray((fields @ mix[:, np.argsort(values)])[:, 1:])


def _square(fields: Array, weight: Array) -> Array:
    root = np.sqrt(weight)[:, None]
    base, _ = np.linalg.qr(root * fields)
    return np.asarray(base / root)


def walk(shared: Any, ends: dict[int, Ints]) -> Array:
    """Chance (n, k) that a random walk from each region comes first to the regions of each end."""
    degree = np.asarray(shared.sum(axis=1)).ravel()
    fixed = np.concatenate(list(ends.values()))
    free = np.setdiff1d(np.arange(len(degree)), fixed)
    out = np.zeros((len(degree), len(ends)))
    for column, mine in enumerate(ends.values()):
        out[mine, column] = 1.0
    stiff = (sp.diags(degree + 1e-9 * degree.mean()) - shared).tocsr()
    if len(free):
        out[free] = splu(stiff[free][:, free].tocsc()).solve(-(stiff[free][:, fixed] @ out[fixed]))
    return out


def best_cut(shared: Any, volume: Array, fields: Array, *, least: float, apart: tuple[Ints, Ints] | None = None, across: Any = None) -> Cut | None:
    """The cut of least ratio among all level sets of `fields` (n, k), both sides of at least `least` mm³; None where there is none.

    Parameters
    ----------
    apart : two of (m,), optional
        Regions that must come to lie on different sides.
    across : (n, n), optional
        Area over which regions face each other across a seam: a cut then must run along a seam over more of its area than through bone. The
        neck of a thin blade shares as little as a leaking joint does, but there is no seam in it.
    """
    edges = sp.triu(shared).tocoo()
    faced = None if across is None else sp.triu(across).tocoo()
    best: Cut | None = None
    for field in fields.T:
        order = np.argsort(field, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        low, high = np.minimum(rank[edges.row], rank[edges.col]), np.maximum(rank[edges.row], rank[edges.col])
        count = len(order)
        area = np.cumsum(np.bincount(low, weights=edges.data, minlength=count) - np.bincount(high, weights=edges.data, minlength=count))[:-1]
        below = np.cumsum(volume[order])[:-1]
        smaller = np.minimum(below, volume.sum() - below)
        allowed = smaller >= least
        if apart is not None:
            one, other = (np.array([rank[ends].min(), rank[ends].max()]) for ends in apart)
            cuts = np.arange(count - 1)
            allowed &= ((one[1] <= cuts) & (other[0] > cuts)) | ((other[1] <= cuts) & (one[0] > cuts))
        if faced is not None:
            low, high = np.minimum(rank[faced.row], rank[faced.col]), np.maximum(rank[faced.row], rank[faced.col])
            seam = np.bincount(low, weights=faced.data, minlength=count) - np.bincount(high, weights=faced.data, minlength=count)
            allowed &= np.cumsum(seam)[:-1] >= area
        if not allowed.any():
            continue
        ratio = np.where(allowed, np.maximum(area, 0.0) / np.maximum(smaller, 1.0) ** (2.0 / 3.0), np.inf)
        at = int(np.argmin(ratio))
        if best is None or ratio[at] < best.ratio:
            best = Cut(float(ratio[at]), float(area[at]), float(smaller[at]), rank <= at)
    return best
