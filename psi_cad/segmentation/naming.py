"""Seeds name the parts of divided bone; where two names lead to one part it is cut between them, if it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.errors import CaseError, SegmentationError
from psi_cad.findings import place_of
from psi_cad.joints.ratio_cut import best_cut, smooth_fields, walk
from psi_cad.segmentation.oneness import bordering, point_in
from psi_cad.segmentation.parting import MOST_ASKED_RATIO, MOST_RATIO, ONTO_MM, Division, Layer
from psi_cad.segmentation.touching import cut_along_sheet
from psi_cad.units import Array, Ints, Mm

__all__ = ["DISAGREE", "Named", "named"]

DISAGREE: Final = 0.02
"""Of a bone's voxels: two partings that differ by less are the same."""
SEED_OUTSIDE_MM: Final[Mm] = 1.0
"""A click on a bone's outline may miss it by this."""
_FORCED_RATIO: Final = 0.25
"""Where seeds ask for a cut: more than this goes through a bone, not between two."""
_SEEN_RATIO: Final = 0.4
"""The same where a seam shows over a good part of the cut: two bones that touch over much of a joint."""
_SEEN_SHARE: Final = 0.5
"""Area along the seam over area through bone."""
_MUCH_LESS: Final = 0.75
"""Of that cut's ratio: a cut with less is taken, seam or not."""
LEAST_LOOSE_MM3: Final = 8000.0
"""Smaller parts without a name are splinters between seams, and go to the bone they are grown together with."""
_LEAST_MM3: Final = 500.0


@dataclass(frozen=True)
class Named:
    """Voxels of bone by name.

    Attributes
    ----------
    names : tuple of str
        Numbered from 1.
    label : (m,)
        uint16, along `Division.at`: a name's number; above them parts without a name of at least 8 cm³; 0 for splinters and seams.
    layer : Layer
        Whose regions these are: that which was asked, or the same with regions divided anew between two bones that touch.
    forced : dict
        By pair of numbers that were cut apart with a larger ratio than a joint has: the area in mm².
    unseen : set
        Pairs of numbers with seeds on the two sides of such a cut: nothing shows where one ends and the other begins.
    part : (n,)
        Part of each region, cut where seeds ask for it.
    ends : dict
        By name: the regions of its seeds.
    moved : dict
        By name, whose seed lies just inside of a neighbour: the name of that one.
    """

    names: tuple[str, ...]
    label: npt.NDArray[Any]
    layer: Layer
    forced: dict[tuple[int, int], float] = field(default_factory=dict)
    unseen: set[tuple[int, int]] = field(default_factory=set)
    part: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    ends: dict[str, Ints] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)


def named(division: Division, layer: Layer, seeds: Mapping[str, Array]) -> Named:
    """The parts of a layer, named.

    Raises
    ------
    CaseError
        If a seed lies outside the scan or further than about a millimetre outside of bone.
    SegmentationError
        If two bones cannot be parted.
    """
    part = layer.part.copy()
    near = {name: [_regions(division, layer, name, point) for point in np.atleast_2d(points)] for name, points in seeds.items()}
    ends = {name: np.array([regions[0] for regions in of]) for name, of in near.items()}
    _by_exclusion(part, ends, near)
    forced: dict[tuple[int, int], float] = {}
    unseen: set[tuple[int, int]] = set()
    moved: dict[str, str] = {}
    names = list(ends)
    for _ in range(len(names)):  # each cut parts at least one pair
        _yield(layer, part, ends)
        clash = next(((a, b) for a in names for b in names if a < b and np.intersect1d(part[ends[a]], part[ends[b]]).size), None)
        if clash is None:
            break
        before = part.copy()
        cut = _part_two(layer, part, ends, clash)
        if cut is None or cut[0] is not None:  # nothing dark lies between them
            sheet = cut_along_sheet(division, layer, before, ends, seeds, clash)
            if sheet is not None:
                layer, part, ends = sheet.layer, sheet.part, sheet.ends
                forced[names.index(clash[0]) + 1, names.index(clash[1]) + 1] = sheet.area
                continue
        if cut is None:
            astray = _to_neighbour(division, layer, part, seeds, ends, clash)
            if astray is None:
                raise _not_parted(division, layer, part, ends, clash)
            moved[astray] = clash[1] if astray == clash[0] else clash[0]
            continue
        area, sides = cut
        if area is not None:
            forced[names.index(clash[0]) + 1, names.index(clash[1]) + 1] = area
            one, other = ([number for number, name in enumerate(names, start=1) if (part[ends[name]] == side).any()] for side in sides)
            unseen |= {(a, b) for a in one for b in other if a != b}
    else:
        if len(names) > 1 and len({int(p) for mine in ends.values() for p in np.unique(part[mine])}) < len(names):
            raise SegmentationError("The seeds lie in bones that could not be parted; move each onto dense cortex, away from its neighbours.")
    table = np.zeros(int(part.max()) + 1, dtype=np.uint16)
    size = np.bincount(part, weights=layer.volume, minlength=len(table))
    for number, mine in enumerate(ends.values(), start=1):
        table[part[mine]] = number
    loose = np.flatnonzero((size >= LEAST_LOOSE_MM3) & (table == 0))
    loose = loose[loose > 0][: np.iinfo(np.uint16).max - len(names)]
    table[loose] = np.arange(len(names) + 1, len(names) + 1 + len(loose))
    return Named(tuple(names), table[part][layer.number], layer, forced, unseen, part, ends, moved)


def _by_exclusion(part: Ints, ends: dict[str, Ints], near: Mapping[str, list[list[int]]]) -> None:
    """Move seeds, in place, that lie in the gap between two bones, of which the nearer has another name for certain, to the other."""
    for name, mine in ends.items():
        claimed = {int(part[regions[0]]) for other, of in near.items() if other != name for regions in of if len(regions) == 1}
        for n, regions in enumerate(near[name]):
            free = [region for region in regions if int(part[region]) not in claimed]
            if len(regions) > 1 and free:
                mine[n] = free[0]


def _yield(layer: Layer, part: Ints, ends: dict[str, Ints]) -> None:
    """Move seeds, in place, that lie in a region at a part's border into the part beyond it, where another name has a better claim to theirs.

    At a joint's pinhole the border runs along the sides of cells, so that such a region may be either bone's.
    """
    for name, mine in ends.items():
        for n, region in enumerate(mine):
            if not any(part[region] in part[theirs] for other, theirs in ends.items() if other != name):
                continue
            claimed = {int(p) for other, theirs in ends.items() if other != name for p in part[theirs]}
            row = layer.shared[[region]].tocoo()
            beyond = [(area, int(r)) for r, area in zip(row.col, row.data, strict=True) if int(part[r]) not in claimed]
            if beyond:
                mine[n] = max(beyond)[1]


def _to_neighbour(
    division: Division, layer: Layer, part: Ints, seeds: Mapping[str, Array], ends: dict[str, Ints], clash: tuple[str, str]
) -> str | None:
    """Move the seeds of one of two names that share a part, in place, to the bone beside it that has no name. Which name; None if there is none.

    A seed may miss its bone by a millimetre, and the gap of a joint may be narrower: then it lies in the neighbour. The seam between may be as
    wide as both cortices; how far the bone that is found lies from its seed is looked at later.
    """
    size = division.volume.spacing[::-1]
    shared = int(np.intersect1d(part[ends[clash[0]]], part[ends[clash[1]]])[0])
    claimed = {int(p) for theirs in ends.values() for p in part[theirs]}
    free = np.bincount(part, weights=layer.volume) >= LEAST_LOOSE_MM3
    free[[0, *claimed]] = False
    found: list[tuple[Mm, str, dict[int, int]]] = []
    for name in clash:
        there: dict[int, int] = {}
        furthest = 0.0
        inside = [n for n, region in enumerate(ends[name]) if int(part[region]) == shared]
        for n in inside:
            at = division.volume.index(np.atleast_2d(seeds[name])[n][None])[0][::-1] - division.corner
            away, flat = _near(division, at, size, ONTO_MM)
            number = layer.number[np.searchsorted(division.at, flat)]
            good = np.flatnonzero(free[part[number]] & (away <= ONTO_MM))
            if len(good):
                there[n] = int(number[good[0]])
                furthest = max(furthest, float(away[good[0]]))
        if len(there) == len(inside):
            found.append((furthest, name, there))
    if not found:
        return None
    _, name, there = min(found, key=lambda one: one[0])
    for n, region in there.items():
        ends[name][n] = region
    return name


def _part_two(layer: Layer, part: Ints, ends: dict[str, Ints], clash: tuple[str, str]) -> tuple[float | None, tuple[int, int]] | None:
    """Cut the part that two names share, in place: along a seam if there is one, else where least is shared. None if it cannot be cut.

    The area in mm² of a cut that only the seeds ask for, None of one along a seam; and the numbers of the two parts.
    """
    number, mine, apart, fields = _between(layer, part, ends, clash)
    inner, amount, facing = layer.shared[mine][:, mine], layer.volume[mine], layer.across[mine][:, mine]
    cut = best_cut(inner, amount, fields, least=_LEAST_MM3, apart=apart, across=facing)
    along_seam = cut is not None and cut.ratio <= MOST_RATIO
    if not along_seam:
        seen = best_cut(inner, amount, fields, least=_LEAST_MM3, apart=apart, across=facing / _SEEN_SHARE)
        cut = best_cut(inner, amount, fields, least=_LEAST_MM3, apart=apart)
        if seen is not None and seen.ratio <= _SEEN_RATIO and (cut is None or cut.ratio > _MUCH_LESS * seen.ratio):
            cut = seen
        elif cut is not None and cut.ratio > _FORCED_RATIO:
            cut = None
    if cut is None:
        return None
    part[mine[cut.side]] = int(part.max()) + 1
    return None if along_seam else cut.area, (number, int(part.max()))


def _between(layer: Layer, part: Ints, ends: dict[str, Ints], clash: tuple[str, str]) -> tuple[int, Ints, tuple[Ints, Ints], Array]:
    """What two names share: the part's number, its regions (m,), by place among them those of each name's seeds, and fields (m, k) to cut along."""
    number = int(np.intersect1d(part[ends[clash[0]]], part[ends[clash[1]]])[0])
    mine = np.flatnonzero(part == number)
    place = np.full(len(part), -1)
    place[mine] = np.arange(len(mine))
    a, b = (place[ends[name][part[ends[name]] == number]] for name in clash)
    if np.intersect1d(a, b).size:
        raise CaseError(f"The seeds of {clash[0]} and {clash[1]} lie on the same spot of bone; give each bone its own.")
    inner, amount = layer.shared[mine][:, mine], layer.volume[mine]
    return number, mine, (a, b), np.column_stack([smooth_fields(inner, amount), walk(inner, {0: a, 1: b})[:, :1]])


def _not_parted(division: Division, layer: Layer, part: Ints, ends: dict[str, Ints], clash: tuple[str, str]) -> SegmentationError:
    """The refusal of two seeds that no seam lies between, with the place where least bone holds both sides together."""
    said = f"{clash[0]} and {clash[1]} could not be parted: the scan shows no seam between their seeds. If they are two bones, "
    _, mine, apart, fields = _between(layer, part, ends, clash)
    cut = best_cut(layer.shared[mine][:, mine], layer.volume[mine], fields, least=_LEAST_MM3, apart=apart)
    if cut is None:
        return SegmentationError(said + "add seeds near the joint.")
    where = point_in(division, layer, bordering(layer, mine[cut.side], mine[~cut.side]))
    if cut.ratio > MOST_ASKED_RATIO:
        said += f"paint {clash[0]} roughly and add the mask (--keep-in FILE --keep {clash[0]}=1), for no cut is smaller than {cut.area:.0f} mm²."
        return SegmentationError(said, where=place_of(where))
    spot = ",".join(f"{v:.1f}" for v in where)
    return SegmentationError(said + f"say where they touch: least bone holds them together around --cut-here={spot}.", where=place_of(where))


def _regions(division: Division, layer: Layer, name: str, seed: Array) -> list[int]:
    """The region that a seed means: of the nearest voxel in a part that is more than a speck.

    A seed on a seam or outside of bone may mean any part around: then the nearest region of each, nearest first.
    """
    spot = "(" + ", ".join(f"{v:g}" for v in seed) + ")"
    at = division.volume.index(seed[None])[0][::-1]
    if (at < -0.5).any() or (at > np.array(division.volume.values.shape) - 0.5).any():
        raise CaseError(f"The seed of {name} at {spot} mm lies outside the scan; seeds are x, y, z in patient mm (LPS).")
    size = division.volume.spacing[::-1]
    at = at - division.corner
    away, flat = _near(division, at, size, 2.0 * ONTO_MM)
    reach = SEED_OUTSIDE_MM + 0.5 * float(np.linalg.norm(size))
    if not len(away) or away[0] > reach:
        where, far = nearest_bone(division, at, size)
        near = ", ".join(f"{v:.1f}" for v in where)
        raise CaseError(
            f"The seed of {name} at {spot} mm lies {far:.1f} mm outside of bone; put it inside the bone: the nearest is at ({near}).",
            where=tuple(where),
        )
    number = layer.number[np.searchsorted(division.at, flat)]
    sizes = np.bincount(layer.part, weights=layer.volume)
    good = (number > 0) & (sizes[layer.part[number]] >= _LEAST_MM3) & (away <= ONTO_MM)
    if not good.any():
        raise SegmentationError(f"Only specks of bone lie within {ONTO_MM:g} mm of the seed of {name} at {spot} mm; put it on dense cortex.")
    first = int(np.argmax(good))
    if first == 0 and away[0] <= 0.5 * float(np.linalg.norm(size)):
        return [int(number[0])]
    found: dict[int, int] = {int(layer.part[number[first]]): int(number[first])}
    for region in number[good]:  # a seam may be as wide as both cortices; how far the bone that is found lies from its seed is looked at later
        found.setdefault(int(layer.part[region]), int(region))
    return list(found.values())


def _near(division: Division, at: Array, size: Array, reach: Mm) -> tuple[Array, Ints]:
    """Distances in mm, ascending, and flat indices of the bone's voxels around an index point (k, j, i) of the box."""
    shape = np.array(division.solid.shape)
    low = np.clip(np.floor(at - reach / size).astype(int), 0, shape)
    high = np.clip(np.ceil(at + reach / size).astype(int) + 1, 0, shape)
    inner = np.argwhere(division.solid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]) + low
    away = np.linalg.norm((inner - at) * size, axis=1)
    order = np.argsort(away, kind="stable")
    return away[order], np.ravel_multi_index(tuple(inner[order].T), division.solid.shape).astype(np.int64)


def nearest_bone(division: Division, at: Array, size: Array) -> tuple[Array, float]:
    """The patient point (3,) of the bone's voxel nearest to an index point (k, j, i) of the box, and its distance in mm."""
    index = np.stack(np.unravel_index(division.at, division.solid.shape), axis=1)
    away = np.linalg.norm((index - at) * size, axis=1)
    nearest = int(np.argmin(away))
    return division.patient(index[nearest][None])[0], float(away[nearest])
