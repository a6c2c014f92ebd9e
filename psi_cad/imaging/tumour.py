"""A tumour's mask on thick slices made into a signed distance on cubes, and a proposal of such a mask from seeds in a box."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.errors import ImageError, SegmentationError
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["PROPOSAL", "marked", "propose_tumour", "shape_interpolated"]

PROPOSAL: Final = "PROPOSAL: this tumour outline was made by a program from seeds; a qualified person has to correct and accept it."

_FLAT: Final = 1.5  # slices thicker than this many pixels are interpolated slice by slice
_FINEST: Final[Mm] = 0.5
_COARSEST: Final[Mm] = 1.0
_BLUR: Final = 0.9  # sigma, in pixels
_PAD: Final[Mm] = 3.0
_SEED_MM: Final[Mm] = 2.0  # half-width of what a seed stands for
_SPREAD: Final = 2.5  # robust standard deviations that still look like the seed
_BETA: Final = 130.0  # of the random walker: its own default
_LARGEST: Final = 4_000_000  # voxels of a box


def marked(labels: Volume, label: int | None) -> Volume:
    """The mask (0, 1) of one label number; `None`: of everything that is not zero.

    Raises
    ------
    SegmentationError
        If the label is not there; says which ones are.
    """
    there = [int(v) for v in np.unique(labels.values) if v != 0]
    mask = labels.values != 0 if label is None else labels.values == label
    if not mask.any():
        listed = ", ".join(map(str, there[:12])) + (" …" if len(there) > 12 else "")
        what = "no label at all" if not there else f"no label {label}; it has {listed}"
        raise SegmentationError(f"The label map holds {what}.")
    return Volume(mask.astype(np.uint8), labels.patient_from_index, labels.notes, dict(labels.facts))


def shape_interpolated(mask: Volume, *, cube: Mm | None = None) -> Volume:
    """Signed distance (mm, negative inside) on cubes, in the mask's own axes, of a mask on slices of any thickness.

    Where slices are thick, the distance to the outline is taken within each slice and interpolated from slice to slice
    (Raya & Udupa 1990, IEEE TMI 9(1):32). Past the last slice the shape closes as a dome that holds the half slice the
    mask's voxels reach there. A light blur takes the stair of the pixels away; more would eat thin parts of slices.

    Parameters
    ----------
    mask : Volume
        0 or 1.
    cube : float, optional
        Side of the cubes, mm; the pixel size, within 0.5 to 1 mm.

    Raises
    ------
    SegmentationError
        If the mask is empty.
    """
    from scipy import ndimage

    if not mask.values.any():
        raise SegmentationError("The mask is empty; there is no tumour in it.")
    spacing = mask.spacing
    side = float(np.clip(spacing.min(), _FINEST, _COARSEST)) if cube is None else cube
    cropped, first = _cropped(np.asarray(mask.values, dtype=bool), spacing)
    thick = int(np.argmax(spacing))
    if spacing[thick] > _FLAT * np.delete(spacing, thick).max():
        distance = _slice_distances(np.moveaxis(cropped, 2 - thick, 0), np.delete(spacing, thick), float(spacing[thick]))
        distance = np.moveaxis(distance, 0, 2 - thick)
    else:
        distance = _signed(cropped, spacing)
    size = np.floor((np.array(cropped.shape[::-1]) - 1) * spacing / side).astype(int) + 1
    axes = [np.arange(n) * side / step for n, step in zip(size, spacing, strict=True)]
    where = np.meshgrid(*axes[::-1], indexing="ij")
    fine = ndimage.map_coordinates(distance, where, order=1, output=np.float32)
    fine = ndimage.gaussian_filter(fine, _BLUR * float(spacing.min()) / side, mode="nearest")
    matrix = mask.patient_from_index.copy()
    matrix[:3, 3] = mask.patient(first[None])[0]
    matrix[:3, :3] = mask.direction * side
    return Volume(fine, matrix, mask.notes, {**mask.facts, "mask_volume_mm3": float(mask.values.astype(bool).sum() * np.prod(spacing))})


def _cropped(mask: npt.NDArray[np.bool_], spacing: Array) -> tuple[npt.NDArray[np.bool_], Array]:
    """The mask with a rim of empty voxels on all sides, and the index (i, j, k) its first voxel had."""
    where = np.argwhere(mask)
    rim = np.maximum(np.ceil(_PAD / spacing[::-1]).astype(int), 2)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    inner = mask[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    return np.pad(inner, [(int(r), int(r)) for r in rim]), (low - rim)[::-1].astype(np.float64)


def _signed(mask: npt.NDArray[np.bool_], spacing: Array) -> Array:
    """Signed distance in mm to the border of a mask, in its own number of dimensions; `spacing` along i, j(, k).

    Voxel centres next to the border lie half a voxel off it on either side; the two transforms meet there.
    """
    from scipy import ndimage

    steps = spacing[::-1]
    return np.asarray(_depth(~mask, ndimage, steps) - _depth(mask, ndimage, steps))


def _depth(mask: npt.NDArray[np.bool_], ndimage: Any, steps: Array) -> Array:
    """Distance of the voxels of `mask` to the nearest voxel outside it, less half a step."""
    away = ndimage.distance_transform_edt(mask, sampling=steps)
    return np.asarray(np.where(mask, away - 0.5 * float(np.min(steps)), 0.0))


def _slice_distances(mask: npt.NDArray[np.bool_], pixel: Array, step: Mm) -> Array:
    """Distances (nk, n, m) within each slice; empty slices next to a full one close its shape half-way."""
    distance = np.full(mask.shape, np.inf)
    for k, layer in enumerate(mask):
        if layer.any():
            distance[k] = _signed(layer, pixel)
    full = np.array([bool(layer.any()) for layer in mask])
    for k in map(int, np.nonzero(~full)[0]):
        near = [j for j in (k - 1, k + 1) if 0 <= j < len(mask) and full[j]]
        if near:
            distance[k] = np.min([_closing(distance[j], mask[j]) for j in near], axis=0)
    floor = float(step)
    rest = np.isinf(distance)
    distance[rest] = max(floor, float(distance[~rest].max()))
    return distance


def _closing(distance: Array, layer: npt.NDArray[np.bool_]) -> Array:
    """What to write into the empty slice after `layer`, so that half a slice of the shape is left between the two.

    With a constant c there, the shape ends at the share d / (d + c) of the step above a place of depth d; c is where
    the mean of that is one half. Outside the outline the distance goes on rising.
    """
    depth = -distance[layer]
    low, high = 1e-6, float(depth.max()) * 4.0 + 1.0
    for _ in range(60):
        c = 0.5 * (low + high)
        low, high = (c, high) if float((depth / (depth + c)).mean()) > 0.5 else (low, c)
    return np.asarray(np.maximum(distance, 0.0) + 0.5 * (low + high))


def propose_tumour(volume: Volume, *, seeds: Array, box: Array) -> Volume:
    """A proposed mask (0, 1) on the scan's grid: what looks like the seeds and hangs together with them inside the box.

    What is surely inside comes from growing over values near the seeds'; a random walker decides the rest, up to the
    faces of the box, which are surely outside (Grady 2006, IEEE TPAMI 28(11):1768). Its notes say that it is a proposal.

    Parameters
    ----------
    volume : Volume
        MRI or CT.
    seeds : (n, 3)
        Points well inside the tumour, patient mm.
    box : (2, 3)
        Two opposite corners around all of it, patient mm.

    Raises
    ------
    ImageError
        If a seed or the box lies outside the scan, or the box holds no seed.
    SegmentationError
        If nothing sets the tumour off from what lies around it.
    """
    from scipy import ndimage
    from skimage.segmentation import random_walker

    first, last, places = _in_box(volume, np.atleast_2d(seeds), np.asarray(box, dtype=np.float64).reshape(2, 3))
    window = tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))
    values = ndimage.gaussian_filter(np.asarray(volume.values[window], dtype=np.float64), (0.5 * volume.spacing.min() / volume.spacing)[::-1])
    steps = volume.spacing[::-1]
    spots = np.zeros(values.shape, dtype=bool)
    spots[tuple((places - first).T[::-1])] = True
    around = ndimage.distance_transform_edt(~spots, sampling=steps) <= max(_SEED_MM, float(volume.spacing.min()))
    middle = float(np.median(values[around]))
    rim = np.ones(values.shape, dtype=bool)
    rim[1:-1, 1:-1, 1:-1] = False
    beyond = float(np.median(values[rim & ~around]))
    spread = 1.4826 * float(np.median(np.abs(values[around] - middle)))
    if not abs(middle - beyond) > spread:
        raise SegmentationError("The seeds look like the faces of the box; set seeds inside the tumour, or draw its outline by hand.")
    reach = min(_SPREAD * max(spread, 0.05 * abs(middle - beyond)), 0.5 * abs(middle - beyond))  # at most half-way to what lies around
    alike = ndimage.binary_opening(np.abs(values - middle) < reach, np.ones((1, 3, 3), dtype=bool)) | around
    surely = ndimage.binary_erosion(_with_seeds(alike, spots), np.ones((1, 3, 3), dtype=bool)) | around
    labels = np.zeros(values.shape, dtype=np.int32)
    labels[surely] = 1
    labels[rim & ~around] = 2
    labels[(np.abs(values - beyond) < 0.25 * abs(middle - beyond)) & (labels == 0)] = 2
    scaled = np.clip((values - middle) / abs(middle - beyond), -1.5, 1.5)
    share = np.asarray(
        random_walker(scaled, labels, beta=_BETA, mode="cg_j", tol=1e-4, prob_tol=0.1, spacing=tuple(float(s) for s in steps / steps.min()))
    )
    inside = _with_seeds(ndimage.binary_opening(share == 1, np.ones((1, 3, 3), dtype=bool)) | spots, spots)
    inside = np.stack([ndimage.binary_fill_holes(layer) for layer in inside])
    if inside[rim].mean() > 0.3 or inside.mean() > 0.9:
        raise SegmentationError(
            "In the box, the tumour does not look different from what lies around it; draw the outline by hand, or move box and seeds."
        )
    mask = np.zeros(volume.values.shape, dtype=np.uint8)
    mask[window] = inside
    return Volume(mask, volume.patient_from_index, (*volume.notes, PROPOSAL), {**volume.facts, "proposal": True})


def _with_seeds(mask: npt.NDArray[np.bool_], spots: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The parts of `mask` that hold a seed."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    kept = np.unique(parts[spots & mask])
    return np.asarray(np.isin(parts, kept[kept > 0]))


def _in_box(volume: Volume, seeds: Array, box: Array) -> tuple[Array, Array, Array]:
    """First and past-last index (i, j, k) of the box in the scan, and the seeds' voxels."""
    corners = np.array([[box[a, 0], box[b, 1], box[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    index = volume.index(corners)
    size = np.array(volume.values.shape[::-1])
    first = np.clip(np.floor(index.min(axis=0)).astype(int), 0, size)
    last = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, size)
    if (last - first < 3).any():
        raise ImageError("The box holds fewer than three voxels of the scan along some axis; give two opposite corners in patient mm (LPS).")
    if np.prod(last - first) > _LARGEST:
        raise ImageError(f"The box holds more than {_LARGEST // 10**6} million voxels, too many to work on; make it smaller.")
    places = np.rint(volume.index(seeds)).astype(int)
    for seed, place in zip(seeds, places, strict=True):
        if (place < first).any() or (place >= last).any():
            raise ImageError(f"The seed ({', '.join(f'{v:g}' for v in seed)}) lies outside the box or the scan; points are patient mm (LPS).")
    return first, last, places
