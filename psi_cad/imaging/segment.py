"""Bones of a CT as a label map: found by an adapted threshold, parted between their seeds, marrow filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.errors import SegmentationError
from psi_cad.imaging.fill import LEAK_MM, filled
from psi_cad.imaging.levels import TissueLevels
from psi_cad.imaging.parting import SeedSearch, parted
from psi_cad.imaging.volume import Volume
from psi_cad.units import Array, Mm

__all__ = ["BoneLabels", "bone_labels"]

LEAST_SEEDED_MM3: Final = 500.0
"""A seed that leads to less has begun on a speck, not on a bone that carries a guide."""
LEAST_BONE_MM3: Final = 2000.0
"""Smaller pieces are not taken for a bone where no seed asks for them."""
MOST_BONES: Final = 12
_SPECK_MM3: Final = 60.0  # calcified vessels and noise, no seed starts there
_UNSHARP_MM: Final[Mm] = 1.3
_UNSHARP: Final = 1.6
_SMOOTH_FROM: Final = 20.0  # HU of noise; more is smoothed before bone is looked for


@dataclass(frozen=True)
class BoneLabels:
    """Label numbers (nz, ny, nx) uint8 on the scan's grid, the name of each number, and what there is to say."""

    values: npt.NDArray[Any]
    names: dict[int, str]
    notes: tuple[str, ...]


def bone_labels(volume: Volume, seeds: Mapping[str, Array], *, levels: TissueLevels, progress: Callable[[str], None] | None = None) -> BoneLabels:
    """The bones at `seeds`, or the largest ones (bone-1, bone-2, … by size) where no seed is given.

    Cortex is what exceeds the threshold after the scan's blur is partly undone: that opens joint spaces and raises thin
    cortex. Where bones still touch they are parted between their seeds (`parting`). The marrow of each bone is then filled.

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
        search = SeedSearch(volume, pieces, sharp, sizes * voxel > _SPECK_MM3, corner, levels)
        begun = [search.cortex_of(name, np.asarray(seeds[name], dtype=np.float64)) for name in names]
        bones, shared = parted(pieces, sharp, begun, names)
        notes = [f"{a} and {b} touch; they were parted where they hold together least." for a, b in shared]
    else:
        order = np.argsort(-sizes, kind="stable")[:MOST_BONES]
        order = order[sizes[order] * voxel >= LEAST_BONE_MM3 * 0.5]
        names = [f"bone-{n + 1}" for n in range(len(order))]
        table = np.zeros(len(sizes), dtype=np.uint8)
        table[order] = np.arange(1, len(order) + 1)
        bones = table[pieces]
        notes = ["No seed was given: pieces are named by size, and bones that touch stay one piece."]
    del pieces, sharp, cortex
    tell("fill marrow")
    values = np.zeros(volume.values.shape, dtype=np.uint8)
    values[box] = _solids(bones, len(names), volume, box)
    if seeds:
        _judge(values, volume, names, [np.asarray(seeds[name], dtype=np.float64) for name in names])
    return BoneLabels(values, {n + 1: name for n, name in enumerate(names)}, tuple(notes))


def _judge(values: npt.NDArray[Any], volume: Volume, names: list[str], seeds: list[Array]) -> None:
    """Refuse a parting in which a bone is a mere speck, or holds the seed of another: then the flood began at a wrong place."""
    voxel = float(np.prod(volume.spacing))
    sizes = np.bincount(values.ravel(), minlength=len(names) + 1) * voxel
    for number, (name, seed) in enumerate(zip(names, seeds, strict=True), start=1):
        k, j, i = np.clip(np.rint(volume.index(seed[None])[0][::-1]).astype(int), 0, np.array(values.shape) - 1)
        holder = int(values[k, j, i])
        advice = "put the seed inside that bone, some mm under its surface and away from its neighbours"
        if holder not in (0, number):
            raise SegmentationError(f"The seed of {name} came to lie in {names[holder - 1]}: the two were not parted; {advice}.")
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
