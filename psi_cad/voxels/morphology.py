"""Masks grown, shrunk and closed by small elements, a slab at a time on two threads: no distance map, hardly any memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["CROSS", "Element", "away_from", "ball", "closed", "grown", "grown_within", "in_slabs", "slabs", "voxels_of"]

_SLAB_VOXELS: Final = 1_500_000
_TIE: Final[Mm] = 1e-4  # distances of whole voxels are not to depend on rounding

Element = tuple[int, dict[tuple[int, int], int]]
"""A cube of that many voxels to each side, then rows: for steps along (k, j), how far to each side along i."""


CROSS: Final[Element] = (0, {(0, 0): 1, (-1, 0): 0, (1, 0): 0, (0, -1): 0, (0, 1): 0})
"""A voxel and its six neighbours."""


def ball(radius: Mm, size: Array, *, cube: int = 0) -> Element:
    """All steps of at most `radius` mm on a grid of `size` (k, j, i) mm, after a cube of `cube` voxels to each side."""
    radius = max(radius - _TIE, 0.0)
    k, j = (int(radius / s) for s in size[:2])
    rows = {}
    for dk in range(-k, k + 1):
        for dj in range(-j, j + 1):
            left = radius**2 - (dk * size[0]) ** 2 - (dj * size[1]) ** 2
            if left >= 0.0:
                rows[dk, dj] = int(np.sqrt(left) / size[2])
    return cube, rows


def slabs(shape: tuple[int, ...], halo: int, *, multiple: int = 1) -> Iterator[tuple[slice, slice, slice]]:
    """Slabs along the first axis: what is read, which of the whole it makes, and where that lies in what was read."""
    thick = max(_SLAB_VOXELS // max(shape[1] * shape[2], 1), halo, 1)
    thick = -(-thick // multiple) * multiple
    for first in range(0, shape[0], thick):
        last = min(first + thick, shape[0])
        low = max(first - halo, 0)
        yield slice(low, min(last + halo, shape[0])), slice(first, last), slice(first - low, last - low)


def in_slabs(work: Callable[[slice, slice, slice], Any], shape: tuple[int, ...], halo: int, *, multiple: int = 1) -> list[Any]:
    """What `work` gives for each slab, in order, on two threads."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda three: work(*three), slabs(shape, halo, multiple=multiple)))


def voxels_of(numbers: npt.NDArray[Any], most: int) -> Ints:
    """How many voxels of a map (nz, ny, nx) have each number from 0 to `most`; in slabs, for each number takes eight bytes to be counted."""
    counts = in_slabs(lambda read, _made, _inner: np.bincount(numbers[read].ravel(), minlength=most + 1), numbers.shape, 0)
    return np.asarray(np.sum(counts, axis=0))


def away_from(mask: Bools) -> npt.NDArray[np.float32]:
    """How many voxels each voxel (nz, ny, nx) lies from the nearest of `mask` (not empty)."""
    import SimpleITK as sitk  # noqa: N813

    # squares of whole voxels are exact, on however many threads; within the mask it counts to its rim, with a minus
    square = sitk.SignedMaurerDistanceMap(sitk.GetImageFromArray(mask.view(np.uint8)), False, True, False, 0.0)
    out = np.asarray(sitk.GetArrayFromImage(square))
    del square

    def slab(_read: slice, made: slice, _inner: slice) -> None:
        np.maximum(out[made], np.float32(0.0), out=out[made])
        np.sqrt(out[made], out=out[made], dtype=np.float64, casting="same_kind")

    in_slabs(slab, mask.shape, 0)
    return out


def grown(mask: Bools, element: Element) -> Bools:
    """`mask` (nz, ny, nx) grown by `element`."""
    out = np.empty(mask.shape, dtype=bool)

    def slab(read: slice, made: slice, inner: slice) -> None:
        out[made] = _grown(mask[read], element)[inner]

    in_slabs(slab, mask.shape, _reach(element))
    return out


def closed(mask: Bools, element: Element) -> Bools:
    """`mask` (nz, ny, nx) grown and shrunk again; what lies beyond the grid does not shrink it."""
    out = np.empty(mask.shape, dtype=bool)

    def slab(read: slice, made: slice, inner: slice) -> None:
        part = ~_grown(mask[read], element)
        out[made] = ~_grown(part, element)[inner]
        out[made] |= mask[made]

    in_slabs(slab, mask.shape, 2 * _reach(element))
    return out


def grown_within(mask: Bools, free: Bools, steps: int) -> Bools:
    """`mask` (nz, ny, nx) grown by so many steps from face to face, each within `free`."""
    out = np.empty(mask.shape, dtype=bool)

    def slab(read: slice, made: slice, inner: slice) -> None:
        part, there = mask[read], free[read]
        for _ in range(steps):
            next_ = part.copy()
            for axis in range(3):
                _or_shifted(next_, part, axis, 1)
            next_ &= there
            next_ |= part
            part = next_
        out[made] = part[inner]

    in_slabs(slab, mask.shape, steps)
    return out


def _reach(element: Element) -> int:
    return element[0] + max((abs(dk) for dk, _ in element[1]), default=0)


def _or_shifted(out: Bools, mask: Bools, axis: int, by: int) -> None:
    """`out` or `mask` shifted by `by` voxels to either side, in place."""
    if by >= mask.shape[axis]:
        return
    a, b = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
    a[by:] |= b[:-by]
    a[:-by] |= b[by:]


def _grown(mask: Bools, element: Element) -> Bools:
    """`mask` grown by `element`, all at once."""
    cube, rows = element
    part = mask
    for axis in range(3):
        for _ in range(cube):
            next_ = part.copy()
            _or_shifted(next_, part, axis, 1)
            part = next_
    if len(rows) <= 1 and not any(rows.values()):
        return part.copy() if part is mask else part
    runs = [part]
    for by in range(1, max(rows.values()) + 1):
        longer = runs[-1].copy()
        _or_shifted(longer, part, 2, by)
        runs.append(longer)
    out: npt.NDArray[np.bool_] = np.zeros_like(part)
    for (dk, dj), half in rows.items():
        if abs(dk) >= part.shape[0] or abs(dj) >= part.shape[1]:
            continue
        to, of = (tuple(slice(max(d, 0), n + min(d, 0)) for d, n in zip(way, part.shape, strict=False)) for way in ((dk, dj), (-dk, -dj)))
        out[to] |= runs[half][of]
    return out
