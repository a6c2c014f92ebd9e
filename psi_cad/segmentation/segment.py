"""Bones of a CT as a label map: the divided bone named by seeds, each bone's marrow filled, and what speaks against the parting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.errors import SegmentationError
from psi_cad.filling.fill import LEAK_MM, filled
from psi_cad.filling.pockets import open_canals
from psi_cad.findings import Caution, Place, inmost, place_of
from psi_cad.segmentation.flood import flood_open
from psi_cad.segmentation.naming import DISAGREE, Named, named
from psi_cad.segmentation.oneness import loosely_held
from psi_cad.segmentation.parting import LEAST_PART_MM3, Division
from psi_cad.segmentation.settling import meet, retract, settled
from psi_cad.units import Array, Bools, Ints
from psi_cad.voxels.morphology import voxels_of

__all__ = ["BoneLabels", "bone_labels"]

LEAST_SEEDED_MM3: Final = 500.0
"""A seed that leads to less has begun on a speck, not on a bone that carries a guide."""
LEAST_BONE_MM3: Final = 1000.0
"""Smaller pieces of cortex are not taken for a bone where no seed asks for them."""
ISLAND_MM3: Final = 5000.0
"""Less cortex than this apart from the rest of its part is named by what it is grown together with."""
MOST_BONES: Final = 12
_BESIDE: Final = 2  # voxels from a sheet: the cortices on both its sides
_AT_ONCE: Final = 2  # bones filled at the same time
_SPLINTER: Final = 1.5  # a part that shares more with a bone, for its size, than a joint: it may be a piece of that bone


@dataclass(frozen=True)
class BoneLabels:
    """Label numbers (nz, ny, nx) uint8 on the scan's grid, the name of each number, and what a person must know.

    `touching`: pairs of names of bones that touch. `parts`: the same numbers in the division's box, with the parts that no seed
    names above them, uint8. `loose`: a point in each of those, patient mm, and its volume in mm³. `forced`: pairs of names that were cut
    apart because seeds ask for it, though the parting shows no joint, and the area in mm²: their surfaces must show it.
    """

    values: npt.NDArray[Any]
    names: dict[int, str]
    touching: tuple[tuple[str, str], ...] = ()
    cautions: tuple[Caution, ...] = ()
    parts: npt.NDArray[Any] | None = None
    loose: tuple[tuple[int, Place, float], ...] = ()
    forced: tuple[tuple[str, str, float], ...] = ()


def bone_labels(
    division: Division, seeds: Mapping[str, Array], *, painted: Collection[str] = (), progress: Callable[[str], None] | None = None
) -> BoneLabels:
    """The bones at `seeds`, or the largest parts (bone-1, bone-2, … by size) where no seed is given.

    Parameters
    ----------
    seeds : mapping of name to (n, 3)
        Points of each bone in patient mm, in marrow or cortex or up to a millimetre outside. All parts with a seed of one name are one bone.
    painted : collection of str
        Names of bones that a person has painted: each is one bone, whatever holds it together.

    Raises
    ------
    SegmentationError
        If two names lead to one bone that cannot be parted, or a seed leads to a speck.
    CaseError
        If a seed lies outside the scan, or outside all bone.
    """
    tell = progress or (lambda _: None)
    tell("name bones")
    found = _named_in_all(division, seeds)
    chosen = found[-1]
    cautions = [*_moved(chosen, seeds), *_not_one(division, chosen, painted)] if seeds else []
    tell("share out the cortex")
    parted, marrow, held = _shared_out(chosen, chosen.label, division)
    names = list(seeds)
    if not seeds:
        names = _by_size(parted, marrow, division)
        cautions.append(Caution("segmentation-look", "No seed was given, so bones are named by size: look at which is which."))
    pairs, told = _contacts(parted, names, division)
    cautions += told
    tell("fill marrow")
    values = np.zeros(division.volume.values.shape, dtype=np.uint8)
    solids = _met_solids(parted, marrow, held, len(names), division)
    del held
    values[division.box] = solids
    if seeds:
        cautions = [*_disagreements(division, found, solids), *cautions]
        sizes = voxels_of(values[division.box], len(names)) * float(np.prod(division.volume.spacing))
        for number, name in enumerate(names, start=1):
            if sizes[number] < LEAST_SEEDED_MM3:
                raise SegmentationError(
                    f"Only {sizes[number]:.0f} mm³ of bone were found from the seed of {name}; put the seed on dense cortex of that bone."
                )
    shown, loose = _shown(solids, parted, marrow, len(names), division)
    forced = tuple((names[number - 1], names[other - 1], area) for (number, other), area in chosen.forced.items())
    return BoneLabels(values, {n + 1: name for n, name in enumerate(names)}, tuple(pairs), tuple(cautions), shown, loose, forced)


def _named_in_all(division: Division, seeds: Mapping[str, Array]) -> list[Named]:
    """The parts of each layer, named. A layer that can be cut only against its own evidence follows the last, if that one shows the joint."""
    last = named(division, division.layers[-1], seeds)
    found = []
    for layer in division.layers[:-1]:
        try:
            one = named(division, layer, seeds)
        except SegmentationError:
            if last.forced or not last.names:
                raise
            one = last
        found.append(last if one.forced and not last.forced else one)
    return [*found, last]


def _shown(
    solids: npt.NDArray[Any], parted: npt.NDArray[Any], marrow: npt.NDArray[Any], count: int, division: Division
) -> tuple[npt.NDArray[Any], tuple[tuple[int, Place, float], ...]]:
    """What a picture of all parts shows: bones, and the parts without a name, largest first; and where the cortex of those lies."""
    voxel = float(np.prod(division.volume.spacing))
    sizes = voxels_of(parted, max(int(parted.max()), count)) * voxel
    others = [int(n) for n in np.argsort(-sizes, kind="stable") if n > count and sizes[n] >= LEAST_BONE_MM3][: 255 - count]
    table = np.zeros(len(sizes), dtype=np.uint8)
    table[others] = np.arange(count + 1, count + 1 + len(others))
    shown = np.where(solids > 0, solids, table[np.where(parted > 0, parted, marrow)])
    boxes = ndimage.find_objects(parted)
    loose = []
    for number in others:
        box = boxes[number - 1]
        inner = np.argwhere(parted[box] == number) + [s.start for s in box]
        place = place_of(division.patient(inmost(inner)[None])[0])
        if place is not None:
            loose.append((int(table[number]), place, float(sizes[number])))
    return shown.astype(np.uint8), tuple(loose)


def _disagreements(division: Division, found: list[Named], solids: npt.NDArray[Any]) -> list[Caution]:
    """Doubts of bones that the layers part differently: one for each such bone, with the place.

    Where the first layer cuts two bones apart only because seeds ask for it, it does not know where one ends. The last layer then cuts them along
    a seam, or by what seeds ask for too, and the two surfaces have to show the joint. Partings that differ at first may still end alike, for
    borders are drawn anew: the bones (`solids`, as the last layer has them) decide.
    """
    first, last = found[0].label.copy(), found[-1].label
    for pair in found[0].unseen:
        both = np.isin(first, pair) & np.isin(last, pair)
        first[both] = last[both]
    count = len(found[0].names)
    apart = (first != last) & (first > 0) & (last > 0)
    if not any(_share(apart & ((first == n) | (last == n)), last == n) > DISAGREE for n in range(1, count + 1)):
        return []
    others = _met_solids(*_shared_out(found[0], first, division), count, division)
    told = []
    for number, name in enumerate(found[0].names, start=1):
        mine = solids == number
        differ = mine != (others == number)
        share = _share(differ, mine)
        if share > DISAGREE:
            index = np.argwhere(differ)
            place = division.patient(index[len(index) // 2][None])[0]
            text = f"Two ways to part {name} from its neighbours differ by {100.0 * share:.0f} % of it; add a seed for each bone that touches it."
            told.append(Caution("segmentation-doubt", text, place_of(place), "two-partings"))
    return told


def _share(some: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    return float(some.sum()) / max(float(whole.sum()), 1.0)


def _moved(chosen: Named, seeds: Mapping[str, Array]) -> list[Caution]:
    """What to look at where a seed lies in a neighbour, and means the bone beside it."""
    return [
        Caution(
            "segmentation-look",
            f"The seed of {name} lies in the bone of {other}, so the bone beside it, which has no other seed, was taken for {name}: look at both.",
            place_of(np.atleast_2d(seeds[name])[0]),
        )
        for name, other in chosen.moved.items()
    ]


def _not_one(division: Division, chosen: Named, painted: Collection[str]) -> list[Caution]:
    """Cautions of names whose part may be two bones, with the seed that says which."""
    told = []
    for name, mine in chosen.ends.items():
        loose = None if name in painted else loosely_held(division, chosen.layer, chosen.part, mine)
        if loose is None:
            continue
        point = ",".join(f"{v:.0f}" for v in loose.inside)
        text = (
            f"{name} may be two bones: only {loose.area:.0f} mm² hold a piece of {loose.volume / 1000.0:.0f} cm³ to it, along a seam. "
            f"If that is another bone, add --bone NAME={point} with a name of its own; if it belongs to {name}, add --bone {name}={point}."
        )
        # where the scan's edge cuts a bone, a small piece of it may hang by as little: that is to be looked at, no more
        told.append(
            Caution("segmentation-doubt" if loose.volume >= LEAST_PART_MM3 else "segmentation-look", text, place_of(loose.border), "may-be-two")
        )
    return told


def _shared_out(of: Named, label: npt.NDArray[Any], division: Division) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Cortex by number, marrow by number, and what is surely marrow, of parts that are numbered by `label` (m,) along `Division.at`."""
    parts = np.zeros(division.solid.shape, dtype=np.uint16)
    parts.reshape(-1)[division.at] = label
    return settled(_flooded(parts.copy(), _beside_sheets(parts, of.layer.sheet, division), division), parts, division)


def _beside_sheets(parts: npt.NDArray[Any], sheet: Bools | None, division: Division) -> Ints:
    """Flat indices of voxels beside a `sheet` (m,; along `Division.at`) of two cortices that touch: between two of the `parts` (nz, ny, nx)."""
    if sheet is None or not sheet.any():
        return np.zeros(0, dtype=np.int64)
    index = np.stack(np.unravel_index(division.at[sheet], parts.shape), axis=1)
    steps = np.stack(np.meshgrid(*[np.arange(-_BESIDE, _BESIDE + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    out = []
    for some in np.array_split(index, len(index) // 20_000 + 1):
        near = np.clip(some[:, None, :] + steps, 0, np.array(parts.shape) - 1)
        flat = np.ravel_multi_index(tuple(np.moveaxis(near, -1, 0)), parts.shape)
        there = parts.ravel()[flat]
        least = np.where(there > 0, there, np.iinfo(there.dtype).max).min(axis=1)
        out.append(flat[(there.max(axis=1) > least)].ravel())
    return np.unique(np.concatenate(out))


def _flooded(parts: npt.NDArray[Any], sure: Ints, division: Division) -> npt.NDArray[Any]:
    """Cortex voxels by number, in place: seams and splinters go to the neighbour they reach over the densest path. Pieces at `sure` (n,) stay."""
    retract(parts, division)
    parts[~division.cortex] = 0
    _drop_islands(parts, sure, division)
    flood_open(parts, division.cortex, division.depth)
    return parts


def _drop_islands(parts: npt.NDArray[Any], sure: Ints, division: Division) -> None:
    """Unname, in place, small pieces of cortex apart from their part's main piece: a part may reach them through the gap of a joint.

    Pieces with a voxel at `sure` (n,) stay: there lies no gap, but a sheet of two cortices.
    """
    piece, count = ndimage.label(parts, output=np.int32)  # no two parts touch any more: a piece is of one part
    at = np.flatnonzero(parts)
    mine = piece.ravel()[at]
    held = piece.ravel()[sure]
    del piece
    owner = np.zeros(count + 1, dtype=np.int64)
    owner[mine] = parts.ravel()[at]
    size = np.bincount(mine, minlength=count + 1).astype(np.float64)
    largest = np.zeros(int(owner.max()) + 1)
    np.maximum.at(largest, owner, size)
    small = (size < largest[owner]) & (size * float(np.prod(division.volume.spacing)) < ISLAND_MM3)
    small[held] = False
    parts.ravel()[at[small[mine]]] = 0


def _by_size(parted: npt.NDArray[Any], marrow: npt.NDArray[Any], division: Division) -> list[str]:
    """Renumber `parted` and `marrow` in place: 1, 2, … by size; pieces of cortex that no part has reached count too."""
    rest, count = ndimage.label(division.cortex & (parted == 0), output=np.int32)
    voxel = float(np.prod(division.volume.spacing))
    keep = np.flatnonzero(voxels_of(rest, count) * voxel >= LEAST_BONE_MM3)
    last = int(parted.max())
    for n in keep[keep > 0]:
        last += 1
        parted[rest == n] = last
    sizes = voxels_of(parted, last)
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] * voxel >= LEAST_BONE_MM3]
    table = np.zeros(last + 1, dtype=np.uint16)
    table[order] = np.arange(1, len(order) + 1)
    parted[:] = table[parted]
    marrow[:] = table[marrow]
    return [f"bone-{n + 1}" for n in range(min(len(order), MOST_BONES))]


def _contacts(parted: npt.NDArray[Any], names: list[str], division: Division) -> tuple[list[tuple[str, str]], list[Caution]]:
    """Which bones touch, and which parts without a name touch a bone, each with its place."""
    size = division.volume.spacing[::-1]
    last = int(parted.max())
    faces: dict[tuple[int, int], list[Array]] = {}
    areas: dict[tuple[int, int], float] = {}
    for axis in range(3):
        low, high = np.moveaxis(parted, axis, 0)[:-1], np.moveaxis(parted, axis, 0)[1:]
        index = np.argwhere((low != high) & (low > 0) & (high > 0))
        if len(index) == 0:
            continue
        where = np.insert(index[:, 1:], axis, index[:, 0], axis=1)
        below, above = low[tuple(index.T)].astype(np.int64), high[tuple(index.T)].astype(np.int64)
        key = np.minimum(below, above) * (last + 1) + np.maximum(below, above)
        for one in map(int, np.unique(key)):
            pair = (one // (last + 1), one % (last + 1))
            faces.setdefault(pair, []).append(where[key == one])
            areas[pair] = areas.get(pair, 0.0) + float((key == one).sum() * np.prod(size) / size[axis])
    volumes = voxels_of(parted, last) * float(np.prod(size))
    pairs, told = [], []
    for (a, b), spots in sorted(faces.items(), key=lambda item: -areas[item[0]]):
        spot = np.concatenate(spots).astype(np.float64)
        place = division.patient(inmost(spot, size)[None])[0]
        if b <= len(names):
            pairs.append((names[a - 1], names[b - 1]))
            text = f"{names[a - 1]} and {names[b - 1]} touch; psi-cad parted them along the darkest seam: look at the joint in the pictures."
            told.append(Caution("touching-bones", text, place_of(place)))
        elif a <= len(names):
            inner = np.argwhere(parted == b)
            middle = division.patient(inmost(inner)[None])[0]
            seed = ",".join(f"{v:.0f}" for v in middle)
            splinter = areas[a, b] > _SPLINTER * volumes[b] ** (2.0 / 3.0)
            text = (
                f"A part of {volumes[b] / 1000.0:.0f} cm³ touches {names[a - 1]} and has no seed, so it was left out as another bone; "
                f"if it belongs to {names[a - 1]}, add --bone {names[a - 1]}={seed}, and if not, give it a name of its own."
            )
            told.append(
                Caution("segmentation-doubt", text, place_of(place), "may-lack-piece")
                if splinter
                else Caution("touching-bones", text, place_of(place))
            )
    return pairs, told


def _met_solids(parted: npt.NDArray[Any], marrow: npt.NDArray[Any], held: npt.NDArray[np.bool_], count: int, division: Division) -> npt.NDArray[Any]:
    """Each of the first `count` bones filled, with the borders between them drawn anew."""
    solids = _solids(parted, marrow, held, count, division)
    meet(solids, division)
    return solids


def _solids(parted: npt.NDArray[Any], marrow: npt.NDArray[Any], held: npt.NDArray[np.bool_], count: int, division: Division) -> npt.NDArray[Any]:
    """Each named bone of the cortex labels filled; what two bones both enclose stays with the first.

    `marrow` are the parts' numbers between the cortex: a bone that was cut through its marrow is walled in by the marrow beyond. `held` is
    what of it is surely marrow: it is not lost beside a neighbour that took the cortex over it.
    """
    out = np.zeros(parted.shape, dtype=np.uint8)
    spacing = division.volume.spacing
    edges = [(s.start == 0, s.stop == n) for s, n in zip(division.box, division.volume.values.shape, strict=True)]
    margin = np.ceil((LEAK_MM + 1.0) / spacing[::-1]).astype(int)

    def bone(n: int, inner: tuple[slice, ...] | None) -> tuple[int, tuple[slice, ...], npt.NDArray[np.bool_]] | None:
        if inner is None:
            return None
        wide = tuple(slice(max(s.start - m, 0), min(s.stop + m, size)) for s, m, size in zip(inner, margin, parted.shape, strict=True))
        at_edge = tuple((first and s.start == 0, last and s.stop == size) for (first, last), s, size in zip(edges, wide, parted.shape, strict=True))
        labels = parted[wide]
        others = ((labels != n) & (labels != 0)) | ((marrow[wide] != n) & (marrow[wide] != 0))
        fill = partial(filled, labels == n, spacing=spacing, others=others, held=held[wide] & (marrow[wide] == n), at_edge=at_edge)
        solid = fill()
        scanned = division.volume.values[division.box][wide]
        solid &= ~open_canals(solid, labels == n, scanned, levels=division.levels, spacing=spacing, others=others, tighter=fill)
        return n, wide, solid

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in pool.map(bone, range(1, count + 1), ndimage.find_objects(parted, max_label=count)):
            if done is not None:
                n, wide, solid = done
                target = out[wide]
                target[solid & (target == 0)] = n
    return out
