"""Two bones in one part whose cortices touch: the part is divided once more, along the bright sheets that two cortices make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from psi_cad.joints.ratio_cut import Cut, best_cut, smooth_fields, walk
from psi_cad.joints.regions import across_of, regions_of
from psi_cad.joints.sheets import bright_sheets
from psi_cad.segmentation.parting import MOST_RATIO, ONTO_MM, Division, Layer
from psi_cad.units import Array, Bools, Ints

__all__ = ["LEAST_SIDE_MM3", "AlongSheet", "Sheeted", "cut_along_sheet", "sheeted"]

_EASE: Final = 0.05
"""What a sheet costs, for its area: hardly anything beside bone, but a cut through less of it is the better one."""
_CRUMB_MM3: Final = 500.0  # smaller pieces between sheets are shared out later
LEAST_SIDE_MM3: Final = 8000.0
"""Of each side: sheets in the texture of dense marrow shut smaller pieces in."""


@dataclass(frozen=True)
class Sheeted:
    """A layer with one part of it divided anew, at the bright sheets in it.

    Attributes
    ----------
    layer : Layer
        With the part's new regions after all others. A sheet within one bone is bone: what faces each other across one shares it.
    part : (n,)
        Part of each of its regions; 0 of crumbs between sheets, which are shared out later.
    mine : (m,)
        The new regions of the part.
    cost, sheet : (n, n)
        Sparse: what a cut between two regions costs, mm², where a sheet costs hardly anything; mm² of sheet between them.
    """

    layer: Layer
    part: Ints
    mine: Ints
    cost: Any
    sheet: Any


@dataclass(frozen=True)
class AlongSheet:
    """A part cut along bright sheets: layer, part (n,) of each of its regions, by name the regions of its seeds, and the mm² cut through."""

    layer: Layer
    part: Ints
    ends: dict[str, Ints]
    area: float


def sheeted(division: Division, layer: Layer, part: Ints, number: int) -> Sheeted:
    """The part `number` of a layer (`part` (n,) of each region) divided anew, at the bright sheets in it."""
    inside = part[layer.number] == number
    mine = np.zeros(division.solid.shape, dtype=bool)
    mine.ravel()[division.at[inside]] = True
    box = ndimage.find_objects(mine.view(np.uint8))[0]
    spacing = division.volume.spacing
    bright = bright_sheets(division.volume.values[division.box][box], division.solid[box], mine[box], spacing=spacing, levels=division.levels)
    regions = regions_of(mine[box] & ~bright, spacing=spacing, seam=bright)
    seam = np.zeros(division.solid.shape, dtype=bool)
    seam.ravel()[division.at[layer.number == 0]] = True
    facing = across_of(regions.number, seam[box], spacing=spacing, count=len(regions.volume) - 1)
    there = np.zeros(division.solid.shape, dtype=np.int32)
    there[box] = regions.number
    fresh = there.ravel()[division.at[inside]]
    first = len(part) - 1  # number 0 is no region
    gone = part == number
    kept = sp.diags((~gone).astype(np.float64))
    numbers = layer.number.copy()
    numbers[inside] = np.where(fresh > 0, fresh + first, 0)
    sheets = (numbers == 0) & (layer.number > 0)
    anew = replace(
        layer,
        number=numbers,
        shared=_beside(kept @ layer.shared @ kept, regions.shared + regions.across),
        across=_beside(kept @ layer.across @ kept, facing),
        volume=np.concatenate([np.where(gone, 0.0, layer.volume), regions.volume[1:]]),
        part=np.concatenate([np.where(gone, 0, layer.part), np.zeros(len(regions.volume) - 1, dtype=layer.part.dtype)]),
        sheet=sheets if layer.sheet is None else sheets | layer.sheet,
    )
    nothing = sp.csr_matrix(layer.shared.shape)
    cost, sheet = _beside(nothing, regions.shared + _EASE * regions.across), _beside(nothing, regions.across)
    _, piece = connected_components(cost, directed=False)
    large = np.bincount(piece, weights=anew.volume)[piece] >= _CRUMB_MM3
    live = np.flatnonzero(large & (np.arange(len(large)) > first))
    out = np.concatenate([np.where(gone, 0, part), np.zeros(len(regions.volume) - 1, dtype=part.dtype)])
    out[live] = number
    return Sheeted(anew, out, live, cost, sheet)


def _beside(one: Any, other: Any) -> Any:
    """Two matrices of what regions share, the second without its row and column 0, as one (sparse)."""
    return sp.block_diag((one, other.tocsr()[1:, 1:]), format="csr")


def cut_along_sheet(
    division: Division, layer: Layer, part: Ints, ends: Mapping[str, Ints], seeds: Mapping[str, Array], clash: tuple[str, str]
) -> AlongSheet | None:
    """The part that two names share, cut along bright sheets so that the seeds of one lie on one side; None if no sheets lead between them.

    Parameters
    ----------
    part : (n,)
        Part of each of the layer's regions.
    ends : mapping
        By name: the regions (k,) of its seeds.
    seeds : mapping
        By name: the seeds (k, 3), patient mm.
    clash : tuple of str
        The two names.
    """
    number = int(np.intersect1d(part[ends[clash[0]]], part[ends[clash[1]]])[0])
    found = sheeted(division, layer, part, number)
    mine = found.mine
    if len(mine) < 2:
        return None
    gone = part == number
    meant = _moved(division, layer, found, gone, ends, seeds)
    cut = _cut_between(found, (meant[clash[0]], meant[clash[1]]))
    if cut is None:  # a seed on the sheet, or in the gap beside it, may have been taken for the other bone's
        cut = _cut_between(found, None)
        if cut is None or not any(
            _on_two_sides(division, found, cut, meant, gone[ends[one]], seeds[one], (one, other)) for one, other in (clash, clash[::-1])
        ):
            return None
    area = float(found.layer.shared[mine[cut.side]][:, mine[~cut.side]].sum())
    out = found.part.copy()
    out[mine[~cut.side]] = int(part.max()) + 1
    return AlongSheet(found.layer, out, meant, area)


def _cut_between(found: Sheeted, ends: tuple[Ints, Ints] | None) -> Cut | None:
    """The cut along sheets with the regions of two ends on its two sides, or the best of all."""
    mine = found.mine
    cost, amount, sheet = found.cost[mine][:, mine], found.layer.volume[mine], found.sheet[mine][:, mine]
    fields, apart = smooth_fields(cost, amount), None
    if ends is not None:
        apart = (_places(mine, ends[0]), _places(mine, ends[1]))
        if np.intersect1d(*apart).size:
            return None
        fields = np.column_stack([fields, walk(cost, {0: apart[0], 1: apart[1]})[:, :1]])
    cut = best_cut(cost, amount, fields, least=LEAST_SIDE_MM3, apart=apart, across=sheet)
    return None if cut is None or cut.ratio > MOST_RATIO else cut


def _on_two_sides(division: Division, found: Sheeted, cut: Cut, meant: dict[str, Ints], gone: Bools, seeds: Array, names: tuple[str, str]) -> bool:
    """Whether the second name's regions lie on one side of the cut, and the first's `seeds` (k, 3) on the other, or on no region and near to it.

    The latter are then moved there, in `meant`. Where `gone` (k,) is false a seed lies in another part.
    """
    mine = found.mine
    theirs = np.unique(cut.side[_places(mine, meant[names[1]])])
    if len(theirs) != 1:
        return False
    beyond = np.zeros(len(found.part), dtype=bool)
    beyond[mine[cut.side != theirs[0]]] = True
    index = np.flatnonzero(beyond[found.layer.number])
    where = np.stack(np.unravel_index(division.at[index], division.solid.shape), axis=1)
    size = division.volume.spacing[::-1]
    regions = meant[names[0]].copy()
    for n in np.flatnonzero(gone):
        at = division.volume.index(np.atleast_2d(seeds)[n][None])[0][::-1] - division.corner
        if beyond[regions[n]]:
            continue
        here = np.ravel_multi_index(tuple(np.clip(np.rint(at).astype(int), 0, np.array(division.solid.shape) - 1)), division.solid.shape)
        place = int(np.searchsorted(division.at, here))
        if place < len(division.at) and division.at[place] == here and found.layer.number[place] > 0:
            return False  # it lies in bone, and means that
        away = np.linalg.norm((where - at) * size, axis=1)
        if away.min() > ONTO_MM:
            return False
        regions[n] = found.layer.number[index[int(np.argmin(away))]]
    meant[names[0]] = regions
    return True


def _places(regions: Ints, some: Ints) -> Ints:
    """Places among ascending `regions` of those of `some` that are among them."""
    return np.searchsorted(regions, some[np.isin(some, regions)])


def _moved(division: Division, layer: Layer, found: Sheeted, gone: Bools, ends: Mapping[str, Ints], seeds: Mapping[str, Array]) -> dict[str, Ints]:
    """By name: the regions of its seeds; where one is `gone` (n,), the new one of that region's voxel nearest to the seed."""
    size = division.volume.spacing[::-1]
    alive = np.zeros(len(found.part), dtype=bool)
    alive[found.mine] = True
    there = alive[found.layer.number]
    out = {name: regions.copy() for name, regions in ends.items()}
    for name, regions in ends.items():
        for n in np.flatnonzero(gone[regions]):
            chosen = np.flatnonzero(there & (layer.number == regions[n]))
            if not len(chosen):
                chosen = np.flatnonzero(there)
            at = division.volume.index(np.atleast_2d(seeds[name])[n][None])[0][::-1] - division.corner
            index = np.stack(np.unravel_index(division.at[chosen], division.solid.shape), axis=1)
            out[name][n] = found.layer.number[chosen[int(np.argmin(np.linalg.norm((index - at) * size, axis=1)))]]
    return out
