"""Bones that touch, parted: what cortex each seed sees around it, and the cheapest cut between the seeds.

Voxels of cortex are gathered into grains, one round each local maximum of density. Neighbouring grains hold together by the
area on which they meet and by how little the density sinks there against their own: across thin cortex it hardly sinks,
across the bridge of a joint space it does. The cut with the least hold in all (Boykov and Jolly 2001, by maximum flow)
divides the grains between a seed's own cortex and that of the others. Where a flood by density from the same seeds finds the
same bones, its seam is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from psi_cad.errors import CaseError, SegmentationError
from psi_cad.imaging.levels import TissueLevels
from psi_cad.imaging.volume import Volume
from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["SeedSearch", "parted"]

Voxel = tuple[int, int, int]

SEED_REACH_MM: Final[Mm] = 25.0
"""A seed may lie in marrow this far from its cortex; the femoral head's middle does."""
_CRESTS: Final = (0.9, 0.75, 0.6, 0.45, 0.3)  # of the way from soft tissue to cortex
_CREST_WITHIN_MM: Final[Mm] = 2.5  # less than a bone and a joint space
_CLIMB: Final = 6  # voxels
_RAYS: Final = 240
_ONE_CORTEX: Final = 0.6  # of the way from soft tissue to cortex: what hangs together above this is one bone's
_FURTHER: Final = 12  # points inside the bone from which is looked again
_APART_MM: Final[Mm] = 3.0
_GRAIN: Final = 0.7  # voxels of smoothing, so that noise makes no grains
_SINK: Final = 8.0  # power of the ratio by which density sinks between grains
_HOLD: Final = 1000.0  # of two voxels between which it does not sink
_FIRM: Final = 10**8  # hold of a seed on its own cortex
_SAME_SHARE: Final = 0.01  # of the voxels: a flood that differs by less found the same seam, and lies on it more closely
_LEAST_SHARE: Final = 0.1  # thin cortex holds at least this much of full cortex


@dataclass(frozen=True)
class SeedSearch:
    """The cortex of a scan's box, in which seeds look for their own.

    Attributes
    ----------
    pieces : (nz, ny, nx) int
        Connected pieces of cortex, 0: none.
    sharp : (nz, ny, nx)
        Density, less its blurred surroundings.
    enough : (n pieces,)
        Which pieces are large enough to be bone.
    corner : (3,)
        First voxel of the box in the volume.
    """

    volume: Volume
    pieces: npt.NDArray[Any]
    sharp: npt.NDArray[Any]
    enough: Bools
    corner: npt.NDArray[Any]
    levels: TissueLevels

    def cortex_of(self, name: str, seed: Array) -> Ints:
        """Voxels (n, 3) of the box that are cortex round a seed, the surest first; all of one piece.

        Raises
        ------
        CaseError
            If the seed lies outside the scan.
        SegmentationError
            If no bone is near it.
        """
        at = self.volume.index(seed[None])[0][::-1]
        spot = "(" + ", ".join(f"{v:g}" for v in seed) + ")"
        if (at < -0.5).any() or (at > np.array(self.volume.values.shape) - 0.5).any():
            raise CaseError(f"The seed of {name} at {spot} mm lies outside the scan; seeds are x, y, z in patient mm (LPS).")
        at = at - self.corner
        best = self._crest(at)
        if best is None:
            raise SegmentationError(f"No bone lies within {SEED_REACH_MM:g} mm of the seed of {name} at {spot} mm; put it inside the bone.")
        return np.vstack([best, self._around(at, best)])

    def _crest(self, at: Array) -> Ints | None:
        """A dense cortex voxel near a point: the nearest to a point inside a bone is its own; a denser one is taken where it is hardly farther."""
        size = self.volume.spacing[::-1]
        reach = np.ceil(SEED_REACH_MM / size).astype(int)
        middle, shape = np.rint(at).astype(int), np.array(self.pieces.shape)
        low, high = np.clip(middle - reach, 0, shape), np.clip(middle + reach + 1, 0, shape)
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        near = np.argwhere(self.enough[self.pieces[window]])
        away = np.linalg.norm((near + low - at) * size, axis=1)
        if len(near) == 0 or away.min() > SEED_REACH_MM:
            return None
        dense = self.sharp[window][tuple(near.T)]
        best = int(np.argmin(away))
        for share in _CRESTS:
            high_enough = dense > self._level(share)
            if high_enough.any():
                nearest = np.nonzero(high_enough)[0][int(np.argmin(away[high_enough]))]
                if away[nearest] <= away[best] + _CREST_WITHIN_MM:
                    best = int(nearest)
                    break
        return self._climbed(near[best] + low)

    def _level(self, share: float) -> float:
        return self.levels.soft + share * (self.levels.bone - self.levels.soft)

    def _climbed(self, at: Ints) -> Ints:
        for _ in range(_CLIMB):
            low = np.maximum(at - 1, 0)
            window = tuple(slice(a, b) for a, b in zip(low, at + 2, strict=True))
            highest = np.array(np.unravel_index(int(np.argmax(self.sharp[window])), self.sharp[window].shape)) + low
            if (highest == at).all():
                break
            at = highest
        return np.asarray(at)

    def _around(self, at: Array, best: Ints) -> Ints:
        """Crests seen from a seed in all directions, and from further points inside, that hang together with its `best` one."""
        size = self.volume.spacing[::-1]
        ways = _directions(_RAYS)
        seen, away, ray = self._seen(at, ways)
        points, found = [at], [seen]
        for n in np.argsort(away)[len(away) // 2 : len(away) * 9 // 10][::-1]:  # not the longest: those may have left through a gap
            point = at + ways[ray[n]] * away[n] / 2.0 / size
            if all(np.linalg.norm((point - other) * size) > _APART_MM for other in points):
                points.append(point)
                found.append(self._seen(point, ways)[0])
            if len(points) > _FURTHER:
                break
        every = np.unique(np.vstack(found), axis=0)
        every = every[self.pieces[tuple(every.T)] == self.pieces[tuple(best)]]
        both = np.vstack([best, every])
        low = both.min(axis=0)
        window = tuple(slice(a, b) for a, b in zip(low, both.max(axis=0) + 1, strict=True))
        together, _ = ndimage.label(self.sharp[window] > self._level(_ONE_CORTEX))
        mine = together[tuple(best - low)]
        return np.asarray(every[(together[tuple((every - low).T)] == mine) & (mine > 0)])

    def _seen(self, at: Array, ways: Array) -> tuple[Ints, Array, Ints]:
        """The crest of the first cortex on each ray from a point: voxels (n, 3), the way (n,) to it in mm, and the ray's number (n,)."""
        size = self.volume.spacing[::-1]
        step = float(size.min()) / 2.0
        along = np.arange(0.0, SEED_REACH_MM, step)
        places = np.rint(at + ways[:, None, :] * along[:, None] / size).astype(int)
        shape = np.array(self.sharp.shape)
        inside = ((places >= 0) & (places < shape)).all(axis=2)
        voxels = np.clip(places, 0, shape - 1)
        values = self.sharp[tuple(np.moveaxis(voxels, 2, 0))]
        bone = inside & self.enough[self.pieces[tuple(np.moveaxis(voxels, 2, 0))]]
        rays = np.flatnonzero(bone.any(axis=1))
        first = np.argmax(bone, axis=1)
        deep = max(2, int(_CREST_WITHIN_MM / step))
        crests = np.empty((len(rays), 3), dtype=np.int64)
        for n, ray in enumerate(rays):
            run = slice(first[ray], first[ray] + deep)
            held = np.logical_and.accumulate(bone[ray, run])
            crests[n] = voxels[ray, first[ray] + int(np.argmax(np.where(held, values[ray, run], -np.inf)))]
        return crests, along[first[rays]], rays


def _directions(count: int) -> Array:
    """Unit vectors (count, 3) spread evenly over the sphere (a golden spiral)."""
    turn = np.arange(count) * np.pi * (3.0 - np.sqrt(5.0))
    height = 1.0 - 2.0 * (np.arange(count) + 0.5) / count
    return np.column_stack([np.sqrt(1.0 - height**2) * np.cos(turn), np.sqrt(1.0 - height**2) * np.sin(turn), height])


def parted(pieces: npt.NDArray[Any], sharp: npt.NDArray[Any], seeds: list[Ints], names: list[str]) -> tuple[npt.NDArray[Any], list[tuple[str, str]]]:
    """Cortex voxels by number of their seed, and the pairs of names that touch.

    Parameters
    ----------
    seeds : list of (n, 3)
        The voxels of each seed's own cortex.

    Raises
    ------
    CaseError
        If two seeds have begun at one spot.
    """
    starts = [(int(k), int(j), int(i)) for k, j, i in (voxels[0] for voxels in seeds)]
    if len(set(starts)) < len(starts):
        raise CaseError("Two seeds lie on the same spot of bone; give each bone its own.")
    out = np.zeros(pieces.shape, dtype=np.uint8)
    shared = []
    boxes = ndimage.find_objects(pieces)
    for piece in sorted({int(pieces[start]) for start in starts}):
        mine = [n for n, start in enumerate(starts) if pieces[start] == piece]
        box = boxes[piece - 1]
        here = pieces[box] == piece
        if len(mine) == 1:
            out[box][here] = mine[0] + 1
            continue
        corner = np.array([part.start for part in box])
        found = _cut(here, sharp[box], [seeds[n] - corner for n in mine])
        out[box][here] = np.array([0, *(n + 1 for n in mine)], dtype=np.uint8)[found[here]]
        shared += [(names[mine[a]], names[mine[b]]) for a in range(len(mine)) for b in range(a + 1, len(mine)) if _touch(found, a + 1, b + 1)]
    return out, shared


def _cut(here: Bools, sharp: npt.NDArray[Any], seeds: list[Ints]) -> npt.NDArray[Any]:
    """The number (1, 2, …) of the seed that each voxel of one piece goes to."""
    from skimage.segmentation import watershed

    marks = np.zeros(here.shape, dtype=np.int32)
    for number, voxels in reversed(list(enumerate(seeds, start=1))):
        marks[tuple(voxels.T)] = number
    for number, voxels in enumerate(seeds, start=1):  # the surest voxel of each stays its own
        marks[tuple(voxels[0])] = number
    flooded = watershed(_depth(sharp), marks, mask=here).astype(np.uint8)
    marks = marks.astype(np.uint8)  # the whole scan may lie in one piece: nothing is held wider than it must be
    grains, hold = _grains(here, sharp)
    owned = np.zeros(hold.shape[0], dtype=np.int64)
    for number in range(len(seeds), 0, -1):
        owned[grains[marks == number]] = number
    for number, voxels in enumerate(seeds, start=1):
        owned[grains[tuple(voxels[0])]] = number
    sides = np.zeros(hold.shape[0], dtype=np.int64)
    for number in range(1, len(seeds) + 1):
        side = _side(hold, owned == number, (owned != number) & (owned > 0))
        sides[side & (sides == 0)] = number
    found = sides[grains]
    if (found[here] != flooded[here]).mean() <= _SAME_SHARE:
        return np.where(here, flooded, 0)
    # what lies between the least cuts of two seeds goes by the densest way
    return np.where(here, watershed(_depth(sharp), found, mask=here), 0)


def _depth(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(np.clip(-values, -3000.0, 0.0).astype(np.int16))


def _grains(here: Bools, sharp: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], csr_array]:
    """Grains (numbers from 1) round the local maxima of density, and how much each two of them hold together."""
    from skimage.segmentation import watershed

    smooth = ndimage.gaussian_filter(sharp, _GRAIN)
    summits = (ndimage.maximum_filter(smooth, 3) == smooth) & here
    depth = _depth(smooth)
    del smooth
    peaks, count = ndimage.label(summits, structure=np.ones((3, 3, 3)))
    grains = watershed(depth, peaks, mask=here)
    del peaks, depth
    peak = np.concatenate([[1.0], np.asarray(ndimage.maximum(sharp, grains, np.arange(1, count + 1)))])
    full = float(np.percentile(peak[1:], 90.0))
    ends, holds = [], []
    for axis in range(3):
        a, b = np.moveaxis(grains, axis, 0)[:-1], np.moveaxis(grains, axis, 0)[1:]
        met = (a != b) & (a > 0) & (b > 0)
        values = np.moveaxis(sharp, axis, 0)
        least = np.minimum(values[:-1][met], values[1:][met])
        a, b = a[met], b[met]
        ratio = np.clip(least / np.minimum(peak[a], peak[b]), 0.02, 1.0)
        ends.append(np.column_stack([a, b]))
        holds.append(_HOLD * ratio**_SINK * np.clip(least / full, _LEAST_SHARE, 1.0) + 1.0)
    one, two = np.concatenate(ends).T
    both = np.concatenate(holds)
    hold = coo_array((np.tile(both, 2), (np.concatenate([one, two]), np.concatenate([two, one]))), shape=(count + 1, count + 1)).tocsr()
    return grains, hold


def _side(hold: csr_array, mine: Bools, others: Bools) -> Bools:
    """The grains on a seed's side of the cheapest cut to the others."""
    count = hold.shape[0]
    source, sink = count, count + 1
    rows = np.concatenate([np.full(int(mine.sum()), source), np.flatnonzero(others)])
    columns = np.concatenate([np.flatnonzero(mine), np.full(int(others.sum()), sink)])
    firm = coo_array((np.full(len(rows), float(_FIRM)), (rows, columns)), shape=(count + 2, count + 2))
    inner = hold.tocoo()
    graph = (coo_array((inner.data, inner.coords), shape=(count + 2, count + 2)) + firm).tocsr().astype(np.int32)
    rest = graph - maximum_flow(graph, source, sink).flow
    rest.data[rest.data < 0] = 0
    rest.eliminate_zeros()
    reached, _ = breadth_first_order(rest, source, directed=True)
    side = np.zeros(count + 2, dtype=bool)
    side[reached] = True
    return side[:count]


def _touch(labels: npt.NDArray[Any], a: int, b: int) -> bool:
    for axis in range(3):
        left, right = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        if (((left == a) & (right == b)) | ((left == b) & (right == a))).any():
            return True
    return False
