"""Bone divided at its joints, without any seed: seams first, then the sparsest cuts of what is left; twice, with seams of two strengths."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from psi_cad.errors import SegmentationError
from psi_cad.filling.fill import filled
from psi_cad.joints.ratio_cut import best_cut, smooth_fields
from psi_cad.joints.regions import regions_of
from psi_cad.joints.seams import find_seams
from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.levels import TissueLevels, tissue_levels
from psi_cad.voxels.volume import Volume

__all__ = ["LEAST_PART_MM3", "MOST_ASKED_RATIO", "MOST_RATIO", "ONTO_MM", "Division", "Layer", "divided"]

STRENGTHS: Final = ((0.10, 3.0), (0.05, 2.0))
"""How much darker a seam is than its sides: a share of the way from soft tissue to cortex, but at least so many times the noise."""
MOST_FAINT: Final = 0.02
"""Of the bone: seams between the two strengths take up to 0.01. Where more of it seems to lie on them, they are the texture of dense marrow, and the
weak strength is raised towards the strong one."""
MOST_RATIO: Final = 0.12
"""A cut of a larger ratio is no joint: see `ratio_cut.Cut.ratio`."""
MOST_ASKED_RATIO: Final = 0.35
"""The same where a person asks for the cut at a place: more goes through the middle of one bone."""
LEAST_PART_MM3: Final = 15_000.0
"""Smaller pieces are not cut off unless a seed asks for it: a slab of a thin blade falls into its two tables as easily as two small bones part."""
ONTO_MM: Final[Mm] = 5.0
"""From a seed on a seam to the bone beside it."""
_UNSHARP_MM: Final[Mm] = 1.3
_UNSHARP: Final = 1.6
_SMOOTH_FROM: Final = 20.0  # HU of noise; more is smoothed before bone is looked for
_DEEPEST: Final = 40  # cuts of one piece within each other


@dataclass(frozen=True)
class Layer:
    """Bone parted by seams of one strength.

    Attributes
    ----------
    number : (m,)
        int32: region of each voxel of bone; 0 on a seam.
    shared, across, volume
        As in `regions.Regions`.
    part : (n,)
        Part of each region, from 1; 0 of region 0.
    ratio : dict
        Of each part that was cut off: the largest ratio among the cuts around it.
    sheet : (m,), optional
        bool: voxels on bright sheets, along which a part was divided anew: see `touching`.
    """

    number: npt.NDArray[Any]
    shared: Any
    across: Any
    volume: Array
    part: Ints
    ratio: dict[int, float]
    sheet: Bools | None = None


@dataclass(frozen=True)
class Division:
    """The bone of a scan, and how it falls apart.

    Attributes
    ----------
    box : three slices
        Of the scan's (nz, ny, nx), around all bone.
    solid, cortex : (dk, dj, di)
        bool, within the box: bone with all that it encloses, gaps of joints too; what is denser than the threshold.
    depth : (dk, dj, di)
        int16: how dark each voxel is, for floods along the darkest seam.
    at : (m,)
        Flat indices of the bone's voxels in the box, ascending.
    layers : tuple of Layer
        One for each of `STRENGTHS`.
    """

    volume: Volume
    levels: TissueLevels
    box: tuple[slice, slice, slice]
    solid: Bools
    cortex: Bools
    depth: npt.NDArray[Any]
    at: Ints
    layers: tuple[Layer, ...]

    @property
    def corner(self) -> Array:
        """Index (k, j, i) of the box's first voxel in the scan."""
        return np.array([s.start for s in self.box], dtype=np.float64)

    def patient(self, index: Array) -> Array:
        """Patient points (n, 3) of box index points (n, 3) in (k, j, i)."""
        return self.volume.patient((np.asarray(index, dtype=np.float64) + self.corner)[:, ::-1])


def divided(volume: Volume, levels: TissueLevels | None = None, *, progress: Callable[[str], None] | None = None) -> Division:
    """The bone of a CT, divided.

    Bone is what exceeds the threshold after the scan's blur is partly undone (that opens joint spaces and raises thin cortex), with
    what it encloses, whatever the marrow's density. Seams are taken out, and the rest is a graph of small regions. Each connected
    piece of it is cut where the cut's area is least for the volume cut off, as long as that is as little as a leaking joint has.
    Within a bone it never is: the narrowest neck has more.

    Raises
    ------
    SegmentationError
        If nothing in the scan is as dense as bone.
    """
    tell = progress or (lambda _: None)
    levels = tissue_levels(volume) if levels is None else levels
    tell("find bone")
    box = _bone_box(volume.values, levels.threshold)
    sharp = _sharpened(volume.values[box].astype(np.float32), volume.spacing, levels.noise)
    cortex = sharp > levels.threshold
    depth = (np.clip(-sharp, -2000, 0).astype(np.int16)) // 8
    del sharp
    at_edge = tuple((s.start == 0, s.stop == n) for s, n in zip(box, volume.values.shape, strict=True))
    solid = filled(cortex, spacing=volume.spacing, at_edge=at_edge)
    tell("find seams")
    seams = find_seams(volume.values[box], solid, spacing=volume.spacing, levels=levels)
    at = np.flatnonzero(solid.ravel())
    asked = [max(share * (levels.bone - levels.soft), noises * levels.noise) for share, noises in STRENGTHS]
    grain = min(seams.fainter(max(asked), MOST_FAINT * np.count_nonzero(solid)), max(asked))
    tell("part bones")

    def layer(least: float) -> Layer:
        seam = seams.stronger(max(least, grain), solid)
        regions = regions_of(solid & ~seam, spacing=volume.spacing, seam=seam)
        del seam
        part, ratio = _parts(regions.shared, regions.across, regions.volume)
        return Layer(regions.number.ravel()[at], regions.shared, regions.across, regions.volume, part, ratio)

    with ThreadPoolExecutor(len(asked)) as pool:
        layers = tuple(pool.map(layer, asked))
    return Division(volume, levels, box, solid, cortex, depth, at, layers)


def _parts(shared: Any, across: Any, volume: Array) -> tuple[Ints, dict[int, float]]:
    """The part of each region, from 1, and the ratio of the worst cut around each part."""
    part = np.zeros(len(volume), dtype=np.int64)
    ratios: dict[int, float] = {}
    _, piece = connected_components(shared, directed=False)
    size = np.bincount(piece, weights=volume)
    order = np.argsort(piece, kind="stable")
    starts = np.searchsorted(piece[order], np.arange(len(size) + 1))
    done = 0
    for n in np.flatnonzero(size > 0.0):
        pending = [(order[starts[n] : starts[n + 1]], 0.0, 0)]
        while pending:
            mine, worst, deep = pending.pop()
            if volume[mine].sum() > 2.0 * LEAST_PART_MM3 and deep < _DEEPEST:
                inner, amount = shared[mine][:, mine], volume[mine]
                facing = across[mine][:, mine]
                cut = best_cut(inner, amount, smooth_fields(inner, amount), least=LEAST_PART_MM3, across=facing)
                if cut is not None and cut.ratio < MOST_RATIO:
                    # a side may itself be in pieces that only the other side held together
                    for side in (mine[cut.side], mine[~cut.side]):
                        _, bit = connected_components(shared[side][:, side], directed=False)
                        pending += [(side[bit == b], max(worst, cut.ratio), deep + 1) for b in range(bit.max() + 1)]
                    continue
            done += 1
            part[mine] = done
            if worst > 0.0:
                ratios[done] = worst
    part[0] = 0
    return part, ratios


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
