"""Is a named part one bone? A large piece that little bone holds, with a seam along much of its border, may be another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.sparse.csgraph import connected_components

from psi_cad.findings import inmost
from psi_cad.joints.ratio_cut import Cut, best_cut, smooth_fields
from psi_cad.segmentation.parting import LEAST_PART_MM3, Division, Layer
from psi_cad.units import Array, Ints

__all__ = ["Loose", "bordering", "loosely_held", "point_in"]

_SMALL_MM3: Final = 3000.0
_LIMITS: Final = (
    (LEAST_PART_MM3, ((1.0, 0.40), (0.5, 0.27), (0.25, 0.20))),
    (_SMALL_MM3, ((0.5, 0.10), (0.25, 0.10))),
)
"""For pieces of at least so many mm³: (area along a seam over area through bone, ratio of the cut) of what may be two bones. Necks within hips,
femora and sacra of 18 simulated scans have 0.3 and more (small pieces: 0.14 and more); bones that the division had left together on a real
chest have 0.02 to 0.16 (small pieces: 0.07 to 0.09)."""


@dataclass(frozen=True)
class Loose:
    """A piece that may be another bone: mm² of bone that hold it, its mm³, a point in it and one on its border, patient mm (3,)."""

    area: float
    volume: float
    inside: Array
    border: Array


def loosely_held(division: Division, layer: Layer, part: Ints, seeds: Ints) -> Loose | None:
    """The most loosely held piece of the parts (n,) that the regions `seeds` (m,) lie in, unless seeds lie on both sides of it."""
    for number in np.unique(part[seeds]):
        mine = np.flatnonzero(part == number)
        inner = layer.shared[mine][:, mine]
        _, bit = connected_components(inner, directed=False)
        main = mine[bit == int(np.argmax(np.bincount(bit, weights=layer.volume[mine])))]
        if layer.volume[main].sum() < 2.0 * _SMALL_MM3:
            continue
        cut = _loose_cut(layer, main)
        if cut is None:
            continue
        side = main[cut.side] if layer.volume[main[cut.side]].sum() <= layer.volume[main[~cut.side]].sum() else main[~cut.side]
        sown = np.isin(seeds, side)
        if (sown & np.isin(seeds, main)).any() and (~sown & np.isin(seeds, main)).any():
            continue  # a person has said that both sides are one bone
        rest = np.setdiff1d(main, side)
        if sown.any():
            side, rest = rest, side
        return Loose(
            cut.area, float(layer.volume[side].sum()), point_in(division, layer, side), point_in(division, layer, bordering(layer, side, rest))
        )
    return None


def _loose_cut(layer: Layer, main: Ints) -> Cut | None:
    inner, amount, facing = layer.shared[main][:, main], layer.volume[main], layer.across[main][:, main]
    fields = smooth_fields(inner, amount)
    found = []
    for least, limits in _LIMITS:
        for share, ratio in limits:
            cut = best_cut(inner, amount, fields, least=least, across=facing / share)
            if cut is not None and cut.ratio < ratio:
                found.append(cut)
    return min(found, key=lambda cut: cut.ratio, default=None)


def bordering(layer: Layer, side: Ints, rest: Ints) -> Ints:
    """The regions of `side` that share bone with `rest`, or all if none does."""
    touch = np.asarray(layer.shared[side][:, rest].sum(axis=1)).ravel() > 0.0
    return side[touch] if touch.any() else side


def point_in(division: Division, layer: Layer, regions: Ints) -> Array:
    """The voxel's place (3,) nearest to the middle of some regions."""
    chosen = np.zeros(len(layer.part), dtype=bool)
    chosen[regions] = True
    index: Any = np.stack(np.unravel_index(division.at[chosen[layer.number]], division.solid.shape), axis=1)
    return np.asarray(division.patient(inmost(index, division.volume.spacing[::-1])[None])[0])
