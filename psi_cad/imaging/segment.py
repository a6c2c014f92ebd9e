"""Bones of a CT as a label map: found by an adapted threshold, parted from one seed per bone, marrow filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.errors import CaseError, SegmentationError
from psi_cad.findings import Caution
from psi_cad.imaging.fill import LEAK_MM, filled
from psi_cad.imaging.levels import TissueLevels
from psi_cad.imaging.volume import Volume
from psi_cad.units import Array, Bools, Mm

__all__ = ["BoneLabels", "bone_labels"]

SEED_REACH_MM: Final[Mm] = 25.0
"""A seed may lie in marrow this far from its cortex; the femoral head's middle does."""
LEAST_SEEDED_MM3: Final = 500.0
"""A seed that leads to less has begun on a speck, not on a bone that carries a guide."""
LEAST_BONE_MM3: Final = 2000.0
"""Smaller pieces are not taken for a bone where no seed asks for them."""
MOST_BONES: Final = 12
_SPECK_MM3: Final = 60.0  # calcified vessels and noise, no seed starts there
_CRESTS: Final = (0.9, 0.75, 0.6, 0.45, 0.3)  # of the way from soft tissue to cortex
_CREST_WITHIN_MM: Final[Mm] = 2.5  # less than a bone and a joint space
_CLIMB: Final = 6  # voxels
_UNSHARP_MM: Final[Mm] = 1.3
_UNSHARP: Final = 1.6
_SMOOTH_FROM: Final = 20.0  # HU of noise; more is smoothed before bone is looked for


@dataclass(frozen=True)
class BoneLabels:
    """Label numbers (nz, ny, nx) uint8 on the scan's grid, the name of each number, and what a person must know.

    `touching`: pairs of names of bones that were parted by their seeds.
    """

    values: npt.NDArray[Any]
    names: dict[int, str]
    touching: tuple[tuple[str, str], ...] = ()
    cautions: tuple[Caution, ...] = ()


def bone_labels(volume: Volume, seeds: Mapping[str, Array], *, levels: TissueLevels, progress: Callable[[str], None] | None = None) -> BoneLabels:
    """The bones at `seeds`, or the largest ones (bone-1, bone-2, … by size) where no seed is given.

    Cortex is what exceeds the threshold after the scan's blur is partly undone: that opens joint spaces and raises thin
    cortex. Where bones still touch, each voxel goes to the seed it reaches over the densest path, so the parting follows the
    darkest seam. The marrow of each bone is then filled.

    Parameters
    ----------
    seeds : mapping of name to (3,)
        A point of each bone in patient mm; in its marrow or cortex.

    Raises
    ------
    SegmentationError
        If no bone is near a seed.
    CaseError
        If a seed lies outside the scan, or two lie on one spot.
    """
    tell = progress or (lambda _: None)
    tell("find cortex")
    box = _bone_box(volume.values, levels.threshold)
    part = volume.values[box].astype(np.float32)
    sharp = _sharpened(part, volume.spacing, levels.noise)
    del part
    cortex = sharp > levels.threshold
    pieces, _ = ndimage.label(cortex, output=np.int32)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    voxel = float(np.prod(volume.spacing))
    corner = np.array([s.start for s in box])
    tell("part bones")
    if seeds:
        names = list(seeds)
        search = _Search(volume, pieces, sharp, sizes * voxel > _SPECK_MM3, corner, levels)
        starts = [search.start(name, np.asarray(seeds[name], dtype=np.float64)) for name in names]
        parted, shared = _parted(pieces, sharp, starts, names)
        cautions = [
            Caution(
                "touching-bones",
                f"{a} and {b} touch; psi-cad parted them along the darkest seam between their seeds: look at the joint in the pictures.",
            )
            for a, b in shared
        ]
        if len(seeds) == 1:
            text = f"Only {names[0]} has a seed, so a bone that touches it is part of it: give each such bone a seed, and look at the pictures."
            cautions.append(Caution("segmentation-look", text))
    else:
        order = np.argsort(-sizes, kind="stable")[:MOST_BONES]
        order = order[sizes[order] * voxel >= LEAST_BONE_MM3 * 0.5]
        names = [f"bone-{n + 1}" for n in range(len(order))]
        table = np.zeros(len(sizes), dtype=np.uint8)
        table[order] = np.arange(1, len(order) + 1)
        parted = table[pieces]
        shared = []
        cautions = [
            Caution(
                "segmentation-look", "No seed was given, so pieces are named by size, and bones that touch stay one piece: give a seed for each bone."
            )
        ]
    del pieces, sharp, cortex
    tell("fill marrow")
    values = np.zeros(volume.values.shape, dtype=np.uint8)
    values[box] = _solids(parted, len(names), volume, box)
    if seeds:
        _judge(values, volume, names, [np.asarray(seeds[name], dtype=np.float64) for name in names])
    return BoneLabels(values, {n + 1: name for n, name in enumerate(names)}, tuple(shared), tuple(cautions))


def _judge(values: npt.NDArray[Any], volume: Volume, names: list[str], seeds: list[Array]) -> None:
    """Refuse a parting in which a bone is a mere speck, or holds the seed of another: then the flood began at a wrong place."""
    voxel = float(np.prod(volume.spacing))
    sizes = np.bincount(values.ravel(), minlength=len(names) + 1) * voxel
    for number, (name, seed) in enumerate(zip(names, seeds, strict=True), start=1):
        k, j, i = np.clip(np.rint(volume.index(seed[None])[0][::-1]).astype(int), 0, np.array(values.shape) - 1)
        holder = int(values[k, j, i])
        advice = "put the seed on dense cortex of that bone, away from its neighbours"
        if holder not in (0, number):
            raise SegmentationError(f"The seed of {name} lies in {names[holder - 1]}, because the two bones could not be parted; {advice}.")
        if sizes[number] < LEAST_SEEDED_MM3:
            raise SegmentationError(f"Only {sizes[number]:.0f} mm³ of bone were found from the seed of {name}; {advice}.")


def _bone_box(values: npt.NDArray[Any], threshold: float) -> tuple[slice, slice, slice]:
    """The box of all voxels above the threshold, with a margin."""
    dense = values[::2, ::2, ::2] > threshold
    box = []
    for axis in range(3):
        there = np.nonzero(dense.any(axis=tuple(a for a in range(3) if a != axis)))[0]
        if len(there) == 0:
            raise SegmentationError(f"Nothing in the scan is denser than {threshold:.0f} HU.")
        box.append(slice(max(2 * int(there[0]) - 8, 0), min(2 * int(there[-1]) + 10, values.shape[axis])))
    return box[0], box[1], box[2]


def _sharpened(values: npt.NDArray[Any], spacing: Array, noise: float) -> npt.NDArray[Any]:
    """`values` less part of their blurred surroundings: thin cortex rises, narrow joint spaces sink. Metal is capped before."""
    size = np.asarray(spacing)[::-1]
    np.minimum(values, 2000.0, out=values)
    if noise > _SMOOTH_FROM:
        values = ndimage.gaussian_filter(values, 0.45 * min(noise / _SMOOTH_FROM - 0.5, 1.5) / size * size.min(), truncate=3.0)
    around = ndimage.gaussian_filter(values, _UNSHARP_MM / size, truncate=2.5)
    around -= values
    around *= -_UNSHARP
    around += values
    return np.asarray(around)


@dataclass(frozen=True)
class _Search:
    """Where on the cortex the flood of a seed begins."""

    volume: Volume
    pieces: npt.NDArray[Any]
    sharp: npt.NDArray[Any]
    enough: Bools
    corner: npt.NDArray[Any]
    levels: TissueLevels

    def start(self, name: str, seed: Array) -> tuple[int, int, int]:
        """A dense cortex voxel (k, j, i) of the box near a seed: the flood goes by density, so it must begin on the crest.

        The nearest cortex to a point inside a bone is its own; denser voxels are preferred where they lie hardly farther.
        """
        at = self.volume.index(seed[None])[0][::-1]
        spot = "(" + ", ".join(f"{v:g}" for v in seed) + ")"
        if (at < -0.5).any() or (at > np.array(self.volume.values.shape) - 0.5).any():
            raise CaseError(f"The seed of {name} at {spot} mm lies outside the scan; seeds are x, y, z in patient mm (LPS).")
        size = self.volume.spacing[::-1]
        reach = np.ceil(SEED_REACH_MM / size).astype(int)
        middle = np.rint(at).astype(int) - self.corner
        low = np.clip(middle - reach, 0, np.array(self.pieces.shape))
        high = np.clip(middle + reach + 1, 0, np.array(self.pieces.shape))
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        near = np.argwhere(self.enough[self.pieces[window]])
        away = np.linalg.norm((near + low - (at - self.corner)) * size, axis=1)
        if len(near) == 0 or away.min() > SEED_REACH_MM:
            raise SegmentationError(f"No bone lies within {SEED_REACH_MM:g} mm of the seed of {name} at {spot} mm; put it inside the bone.")
        dense = self.sharp[window][tuple(near.T)]
        best = int(np.argmin(away))
        for share in _CRESTS:
            high_enough = dense > self.levels.soft + share * (self.levels.bone - self.levels.soft)
            if high_enough.any():
                nearest = np.nonzero(high_enough)[0][int(np.argmin(away[high_enough]))]
                if away[nearest] <= away[best] + _CREST_WITHIN_MM:
                    best = int(nearest)
                    break
        return self._climbed(near[best] + low)

    def _climbed(self, at: npt.NDArray[Any]) -> tuple[int, int, int]:
        for _ in range(_CLIMB):
            low = np.maximum(at - 1, 0)
            window = tuple(slice(a, b) for a, b in zip(low, at + 2, strict=True))
            highest = np.array(np.unravel_index(int(np.argmax(self.sharp[window])), self.sharp[window].shape)) + low
            if (highest == at).all():
                break
            at = highest
        k, j, i = at
        return int(k), int(j), int(i)


def _parted(
    pieces: npt.NDArray[Any], sharp: npt.NDArray[Any], starts: list[tuple[int, int, int]], names: list[str]
) -> tuple[npt.NDArray[Any], list[tuple[str, str]]]:
    """Cortex voxels by number of their seed, and the pairs of names that touch."""
    from skimage.segmentation import watershed

    if len(set(starts)) < len(starts):
        raise CaseError("Two seeds lie on the same spot of bone; give each bone its own.")
    out = np.zeros(pieces.shape, dtype=np.uint8)
    shared = []
    boxes = ndimage.find_objects(pieces)
    for piece in sorted({int(pieces[s]) for s in starts}):
        mine = [n for n, s in enumerate(starts) if pieces[s] == piece]
        box = boxes[piece - 1]
        here = pieces[box] == piece
        if len(mine) == 1:
            out[box][here] = mine[0] + 1
            continue
        markers = np.zeros(here.shape, dtype=np.int32)
        for n in mine:
            markers[tuple(c - b.start for c, b in zip(starts[n], box, strict=True))] = n + 1
        depth = np.clip(-sharp[box], -2000, 0).astype(np.int16) // 8
        found = watershed(depth, markers, mask=here)
        out[box][here] = found[here].astype(np.uint8)
        shared += [(names[a], names[b]) for a in mine for b in mine if a < b and _touch(found, a + 1, b + 1)]
    return out, shared


def _touch(labels: npt.NDArray[Any], a: int, b: int) -> bool:
    for axis in range(3):
        left, right = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        if (((left == a) & (right == b)) | ((left == b) & (right == a))).any():
            return True
    return False


def _solids(parted: npt.NDArray[Any], count: int, volume: Volume, box: tuple[slice, slice, slice]) -> npt.NDArray[Any]:
    """Each bone of the cortex labels filled; what two bones both enclose stays with the first."""
    out = np.zeros_like(parted)
    edges = [(s.start == 0, s.stop == n) for s, n in zip(box, volume.values.shape, strict=True)]
    margin = np.ceil((LEAK_MM + 1.0) / volume.spacing[::-1]).astype(int)
    for n, inner in enumerate(ndimage.find_objects(parted, max_label=count), start=1):
        if inner is None:
            continue
        wide = tuple(slice(max(s.start - m, 0), min(s.stop + m, size)) for s, m, size in zip(inner, margin, parted.shape, strict=True))
        at_edge = tuple((first and s.start == 0, last and s.stop == size) for (first, last), s, size in zip(edges, wide, parted.shape, strict=True))
        labels = parted[wide]
        others = (labels != n) & (labels != 0)
        solid = filled(labels == n, spacing=volume.spacing, others=others, at_edge=at_edge)
        target = out[wide]
        target[solid & (target == 0)] = n
    return out
