"""Where two parts meet without a seam: the least cut between them, through dips of density where there are any, else midway in what is dense."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import ndimage
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.morphology import ball, grown, in_slabs

__all__ = ["met_again"]

_DIP_REACH_MM: Final[Mm] = 2.0  # a dark sheet narrower than twice this between two brighter sides is a dip; marrow is wider
_DIP_SHARE: Final = 0.08  # of the way from soft tissue to cortex: a dip of this much makes a cut through it cheap
_DIP_NOISES: Final = 3.0  # but no less than so many times the scan's noise, of which a closing takes the extremes
_BLUR_MM: Final[Mm] = 0.5
_SHEET_MM: Final[Mm] = 3.0  # a bright sheet narrower than twice this is two cortices that touch; two thick ones have some 5 mm
_SHEET_SHARE: Final = 0.7  # of the way from soft tissue to cortex: two cortices are that much brighter than the marrow on both sides
_SHEET_BLUR_MM: Final[Mm] = 1.0  # wide enough that a sheet of two cortices is brightest midway, and a gap between them gone
_LEAST_EASE: Final = 0.2  # midway between two cortices; a gap that shows costs far less
_AS_BEFORE: Final = 0.04  # per mm: what it costs to give a voxel to another bone than before
_UNIT: Final = 1000.0  # capacities are whole numbers


def _touching(parts: npt.NDArray[Any]) -> Bools:
    """Voxels (nz, ny, nx) of a numbered part that share a face with another; 0 is no part."""
    out = np.zeros(parts.shape, dtype=bool)

    def slab(read: slice, made: slice, inner: slice) -> None:
        some = parts[read]
        touch = np.zeros(some.shape, dtype=bool)
        for axis in range(3):
            low, high = np.moveaxis(some, axis, 0)[:-1], np.moveaxis(some, axis, 0)[1:]
            here = (low != high) & (low > 0) & (high > 0)
            np.moveaxis(touch, axis, 0)[:-1] |= here
            np.moveaxis(touch, axis, 0)[1:] |= here
        out[made] = touch[inner]

    in_slabs(slab, parts.shape, 1)
    return out


def met_again(labels: npt.NDArray[Any], density: npt.NDArray[Any], *, size: Array, reach: Mm, span: float, noise: float) -> None:
    """Draw the border between touching bones anew, in place, within `reach` of where they touch.

    The new border is the cut of least cost between what lies further off: its area, where that runs through even bone, less midway in a
    bright sheet, and little where it runs through a dark sheet. Unlike a flood it does not leak: a joint whose cortices are one in the scan
    is cut from where the dark sheets around it end, through the middle of that cortex and not through marrow: bone ends with cortex. What a
    voxel was before counts a little, so that a thin blade along a joint is not cut off instead.

    Parameters
    ----------
    labels : (nz, ny, nx)
        Number of each voxel's bone, marrow included; 0 outside of bone, and in the gaps between.
    density : (nz, ny, nx)
        In HU.
    size : (3,)
        Voxel along k, j, i in mm.
    span, noise : float
        From soft tissue to cortex, and the standard deviation; HU.
    """
    touch = _touching(labels)
    spots = ndimage.find_objects(touch.view(np.uint8))
    if not spots:
        return
    margin = np.ceil(reach / size).astype(int) + 2
    whole = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(spots[0], margin, strict=True))
    near = grown(touch[whole], ball(reach, size)) & (labels[whole] > 0)
    patches, count = ndimage.label(near, structure=np.ones((3, 3, 3), dtype=bool), output=np.int32)
    least = max(_DIP_SHARE * span, _DIP_NOISES * noise)
    for number, inner in enumerate(ndimage.find_objects(patches, max_label=count), start=1):
        wide = tuple(slice(max(w.start + s.start - m, 0), w.start + s.stop + m) for w, s, m in zip(whole, inner, margin, strict=True))
        zone = np.zeros(labels[wide].shape, dtype=bool)
        zone[tuple(slice(w.start + s.start - v.start, w.start + s.stop - v.start) for w, s, v in zip(whole, inner, wide, strict=True))] = (
            patches[inner] == number
        )
        ease = _ease(density[wide], size=size, least=least)
        ease *= _midway(density[wide], size=size, full=_SHEET_SHARE * span)
        labels[wide][zone] = _shared_out(labels[wide], zone, ease, size)[zone]


def _ease(density: npt.NDArray[Any], *, size: Array, least: float) -> npt.NDArray[Any]:
    """Cost (nz, ny, nx) of a cut through each voxel: 1 in even bone, half in a dip of `least` HU, the less the deeper."""
    values = ndimage.gaussian_filter(density.astype(np.float32), _BLUR_MM / size, truncate=3.0)
    reach = np.maximum(np.rint(_DIP_REACH_MM / size).astype(int), 1)
    k, j, i = (np.arange(-r, r + 1) * s for r, s in zip(reach, size, strict=True))
    around = np.sqrt(k[:, None, None] ** 2 + j[None, :, None] ** 2 + i[None, None, :] ** 2) <= _DIP_REACH_MM + 1e-6
    dip = ndimage.grey_closing(values, footprint=around) - values
    return np.asarray(1.0 / (1.0 + (dip / least) ** 2))


def _midway(density: npt.NDArray[Any], *, size: Array, full: float) -> npt.NDArray[Any]:
    """Cost (nz, ny, nx) of a cut through each voxel: 1 in marrow, the less the brighter a sheet of dense bone is, and least in its middle."""
    values = ndimage.gaussian_filter(density.astype(np.float32), _SHEET_BLUR_MM / size, truncate=3.0)
    reach = np.maximum(np.rint(_SHEET_MM / size).astype(int), 1)
    sheet = values - ndimage.grey_opening(values, size=tuple(2 * reach + 1))
    # squared: a border on the grid goes in steps, and a curved one has more of them than a chord beside it
    return np.asarray((1.0 - (1.0 - _LEAST_EASE) * np.clip(sheet / full, 0.0, 1.0)) ** 2)


def _shared_out(labels: npt.NDArray[Any], zone: Bools, ease: npt.NDArray[Any], size: Array) -> npt.NDArray[Any]:
    """`labels` with the voxels of `zone` shared out anew: one bone after the other is cut from the rest."""
    edge = ndimage.binary_dilation(zone) & ~zone & (labels > 0)
    numbers = [int(n) for n in np.unique(labels[edge])]
    out = labels.copy()
    if len(numbers) < 2 or not np.isin(labels[zone], numbers).all():
        return out  # a bone that lies wholly in the zone has no place further off
    left = zone.copy()
    for n, number in enumerate(numbers[:-1]):
        mine = _side(left, edge & (labels == number), edge & np.isin(labels, numbers[n + 1 :]), labels == number, ease, size)
        out[mine] = number
        left &= ~mine
    out[left] = numbers[-1]
    return out


def _side(free: Bools, source: Bools, sink: Bools, before: Bools, ease: npt.NDArray[Any], size: Array) -> Bools:
    """The voxels of `free` on the side of `source` of the least cut from `sink`; `before`: those that were there already."""
    count = int(free.sum())
    start, end = count, count + 1
    at = np.full(free.shape, -1, dtype=np.int64)
    at[free] = np.arange(count)
    at[source], at[sink] = start, end
    voxel = float(np.prod(size))
    kept = before[free]
    first: list[Ints] = [at[free]]
    second: list[Ints] = [np.where(kept, start, end)]
    costs: list[Array] = [np.full(count, _AS_BEFORE * voxel)]
    for axis in range(3):
        low, high = np.moveaxis(at, axis, 0)[:-1], np.moveaxis(at, axis, 0)[1:]
        both = (low >= 0) & (high >= 0) & (low != high) & ~((low >= count) & (high >= count))
        here, there = np.moveaxis(ease, axis, 0)[:-1], np.moveaxis(ease, axis, 0)[1:]
        first.append(low[both])
        second.append(high[both])
        costs.append(np.minimum(here, there)[both] * voxel / size[axis])
    a, b, w = np.concatenate(first), np.concatenate(second), np.concatenate(costs)
    capacity = np.maximum(np.rint(_UNIT * w), 1.0).astype(np.int32)
    rows, columns, data = np.r_[a, b], np.r_[b, a], np.r_[capacity, capacity]
    graph = sp.coo_matrix((data, (rows, columns)), shape=(count + 2, count + 2)).tocsr().astype(np.int32)
    left = graph - maximum_flow(graph, start, end).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, start, directed=True, return_predecessors=False)
    mine = np.zeros(count + 2, dtype=bool)
    mine[reached] = True
    out = np.zeros(free.shape, dtype=bool)
    out[free] = mine[:count]
    return out
