"""A CT or MRI of surfaces: tissues by signed distance, partial volume, blur and noise, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import ndimage

from psi_cad.phantom.distance import Distance
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["Body", "ScannedBone", "ScannedSolid", "Tissues", "scanned", "simulated_ct", "varying"]

_SLAB: Final = 24  # slices made at once, to bound memory
_TAIL: Final = 4.0  # the blur is cut off at this many sigma
_GRAIN: Final = 0.6  # correlation of the noise in the slice, in pixels: a standard kernel's is about this
_HU_RANGE: Final = (-1024, 3071)  # 12 bits, as scanners store


@dataclass(frozen=True)
class Tissues:
    """What a scanner shows for each tissue: HU in a CT, any signal in an MRI.

    The CT values are in the usual ranges (muscle 40–70, fat −120 to −80; cortical bone above 1000); the cortex is set per bone.
    """

    air: float = -1000.0
    fat: float = -95.0
    muscle: float = 55.0
    table: float = -400.0


@dataclass(frozen=True)
class ScannedBone:
    """A bone: a shell of cortex under its surface, marrow inside.

    Attributes
    ----------
    distance : Distance
        Signed distance to the surface, negative inside.
    cortex_mm : float or callable of points (n, 3)
        Thickness of the cortex.
    cortex, marrow : float
        HU or signal.
    """

    distance: Distance
    cortex_mm: Mm | Callable[[Array], Array] = 1.8
    cortex: float = 1300.0
    marrow: float = 120.0


@dataclass(frozen=True)
class ScannedSolid:
    """One even piece of stuff. `where`: 'marrow' and outside of bone (a tumour under its cortex), or 'all' (metal)."""

    distance: Distance
    value: float
    where: str = "marrow"


@dataclass(frozen=True)
class Body:
    """The patient around the bones: an ellipse along z, with muscle near bone and fat beyond, on a table.

    `centre` (2,) and `radii` (2,) in patient x, y; the table's top lies `table_gap` behind the ellipse.
    """

    centre: tuple[float, float] = (0.0, 0.0)
    radii: tuple[float, float] = (1000.0, 1000.0)
    muscle_mm: Mm = 18.0
    table_gap: Mm | None = None
    table_thick: Mm = 6.0


def varying(low: Mm, high: Mm, *, length: Mm = 60.0) -> Callable[[Array], Array]:
    """A thickness that varies smoothly between `low` and `high` over about `length` mm."""

    def thickness(points: Array) -> Array:
        wave = np.asarray(points) @ (np.array([[1.0, 0.7, -0.4], [-0.5, 1.0, 0.8], [0.6, -0.3, 1.0]]).T * (2.0 * np.pi / length / 1.25))
        return np.asarray(low + (high - low) * (0.5 + np.sin(wave).sum(axis=1) / 6.0))

    return thickness


def scanned(
    bones: Sequence[ScannedBone],
    *,
    shape: tuple[int, int, int],
    patient_from_index: Array,
    tissues: Tissues | None = None,
    solids: Sequence[ScannedSolid] = (),
    body: Body | None = None,
    psf_sigma: Mm | tuple[Mm, Mm, Mm] = 0.5,
    noise_sd: float = 15.0,
    supersample: tuple[int, int, int] = (2, 2, 2),
    seed: int = 0,
) -> npt.NDArray[Any]:
    """What a scanner shows of `bones`, float32 (nz, ny, nx).

    Each tissue covers a sample by the share an edge at its signed distance leaves of it; samples, `supersample` to a voxel along
    i, j, k, are blurred by a Gaussian of `psf_sigma` mm and averaged over the voxel. A later bone lies over an earlier one.
    Noise is a little correlated within a slice.
    """
    tissues, body = tissues or Tissues(), body or Body()
    spacing = np.linalg.norm(np.asarray(patient_from_index)[:3, :3], axis=0)
    over = np.array(supersample)
    sigma = np.broadcast_to(np.asarray(psf_sigma, dtype=np.float64), 3) * over / spacing  # in samples
    pad = np.ceil(_TAIL * sigma / over).astype(int)
    nz = shape[0]
    values = np.empty(shape, dtype=np.float32)
    for first in range(0, nz, _SLAB):
        last = min(first + _SLAB, nz)
        start = np.array([-pad[0], -pad[1], first - pad[2]])
        size = np.array([shape[2] + 2 * pad[0], shape[1] + 2 * pad[1], last - first + 2 * pad[2]])
        fine = _samples(bones, solids, tissues, body, np.asarray(patient_from_index), start, size, over)
        blurred = ndimage.gaussian_filter(fine, sigma[::-1], truncate=_TAIL, mode="nearest")
        means = blurred.reshape(size[2], over[2], size[1], over[1], size[0], over[0]).mean(axis=(1, 3, 5), dtype=np.float32)
        inner = tuple(slice(int(p), int(p + n)) for p, n in zip(pad[::-1], (last - first, shape[1], shape[2]), strict=True))
        values[first:last] = means[inner]
    _add_noise(values, noise_sd, seed)
    return values


def simulated_ct(
    bones: Sequence[ScannedBone],
    *,
    low: Array,
    high: Array,
    spacing: tuple[Mm, Mm, Mm] = (0.7, 0.7, 1.0),
    tissues: Tissues | None = None,
    solids: Sequence[ScannedSolid] = (),
    body: Body | None = None,
    psf_sigma: Mm | tuple[Mm, Mm, Mm] = 0.5,
    noise_sd: float = 15.0,
    supersample: tuple[int, int, int] = (2, 2, 2),
    seed: int = 0,
) -> Volume:
    """A CT (int16 HU, axes along LPS) of `bones` over the box `low`, `high` (3,) in patient mm; the rest as in `scanned`."""
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = low
    count = np.ceil((np.asarray(high) - low) / spacing).astype(int) + 1
    values = scanned(
        bones, shape=(int(count[2]), int(count[1]), int(count[0])), patient_from_index=matrix, tissues=tissues, solids=solids,
        body=body, psf_sigma=psf_sigma, noise_sd=noise_sd, supersample=supersample, seed=seed,
    )  # fmt: skip
    return Volume(np.rint(np.clip(values, *_HU_RANGE)).astype(np.int16), matrix)


def _samples(
    bones: Sequence[ScannedBone], solids: Sequence[ScannedSolid], tissues: Tissues, body: Body,
    patient_from_index: Array, start: Array, size: Array, over: Array,
) -> npt.NDArray[Any]:  # fmt: skip
    """Tissue values float32 at `over` samples to a voxel, over `size` voxels (i, j, k) from the index `start`."""
    axes = [start[a] - 0.5 + (np.arange(size[a] * over[a]) + 0.5) / over[a] for a in range(3)]
    width = float(np.mean(np.linalg.norm(patient_from_index[:3, :3], axis=0) / over))
    out = np.empty((len(axes[2]), len(axes[1]), len(axes[0])), dtype=np.float32)
    coarse = [axis[:: max(int(o), 1) * 3] for axis, o in zip(axes, over, strict=True)]
    reach = 3.0 * float(np.linalg.norm(patient_from_index[:3, :3], axis=0).max()) * np.sqrt(3.0)
    far = [_coarse_distance(thing, coarse, axes, patient_from_index) for thing in [*(b.distance for b in bones), *(s.distance for s in solids)]]
    for k, w in enumerate(axes[2]):
        grid = np.stack(np.broadcast_arrays(axes[0][None, :], axes[1][:, None], w), axis=-1).reshape(-1, 3)
        points = grid @ patient_from_index[:3, :3].T + patient_from_index[:3, 3]
        away = [f(k) for f in far]
        nearest = np.min(away[: len(bones)], axis=0) if bones else np.full(len(points), np.inf)
        hu = _around(points, nearest, tissues, body, width)
        masses = []
        for solid, distance in zip(solids, away[len(bones) :], strict=True):
            near = np.abs(distance) < reach
            distance[near] = solid.distance(points[near])
            share = _share(distance, width)
            hu += share * (solid.value - hu)
            masses.append((solid, share))
        for bone, distance in zip(bones, away, strict=False):
            _paint_bone(hu, bone, distance, points, masses, width, reach)
        for solid, share in masses:
            if solid.where == "all":
                hu += share * (solid.value - hu)
        out[k] = hu.reshape(out.shape[1:])
    return out


def _paint_bone(hu: Array, bone: ScannedBone, distance: Array, points: Array, masses: list[tuple[ScannedSolid, Array]], width: Mm, reach: Mm) -> None:
    here = np.nonzero(distance < reach)[0]
    if len(here) == 0:
        return
    at, deep = points[here], distance[here]
    thick = bone.cortex_mm(at) if callable(bone.cortex_mm) else np.full(len(at), float(bone.cortex_mm))
    near = deep > -(thick + reach)
    deep[near] = bone.distance(at[near])
    marrow = np.full(len(at), float(bone.marrow))
    for solid, share in masses:
        if solid.where == "marrow":
            marrow += share[here] * (solid.value - marrow)
    inner = bone.cortex + _share(deep + thick, width) * (marrow - bone.cortex)
    hu[here] += _share(deep, width) * (inner - hu[here])


def _share(distance: Array, width: Mm) -> Array:
    """How much of a sample of `width` mm lies inside an edge at `distance`."""
    return np.asarray(np.clip(0.5 - distance / width, 0.0, 1.0))


def _around(points: Array, nearest: Array, tissues: Tissues, body: Body, width: Mm) -> Array:
    """Air, table, fat and muscle (n,) at `points` (n, 3), `nearest` mm from bone."""
    x, y = ((points[:, a] - body.centre[a]) / body.radii[a] for a in (0, 1))
    skin = (np.hypot(x, y) - 1.0) * min(body.radii)
    hu = np.full(len(points), tissues.air)
    if body.table_gap is not None:
        middle = body.centre[1] + body.radii[1] + body.table_gap + body.table_thick / 2.0
        hu += _share(np.abs(points[:, 1] - middle) - body.table_thick / 2.0, width) * (tissues.table - hu)
    soft = tissues.fat + _share(nearest - body.muscle_mm, width) * (tissues.muscle - tissues.fat)
    hu += _share(skin, width) * (soft - hu)
    return np.asarray(hu)


def _coarse_distance(distance: Distance, coarse: list[Array], axes: list[Array], patient_from_index: Array) -> Callable[[int], Array]:
    """A rough distance in the k-th sample layer, interpolated from a few samples."""
    grid = np.stack(np.meshgrid(*coarse, indexing="ij"), axis=-1).reshape(-1, 3)
    rough = distance(grid @ patient_from_index[:3, :3].T + patient_from_index[:3, 3]).reshape([len(c) for c in coarse])
    weights = [_linear_weights(axis, few) for axis, few in zip(axes, coarse, strict=True)]
    flat = weights[2] @ np.moveaxis(rough, 2, 0).reshape(rough.shape[2], -1)

    def layer(k: int) -> Array:
        rows = weights[0] @ flat[k].reshape(rough.shape[:2])
        return np.asarray((weights[1] @ np.ascontiguousarray(rows.T)).ravel())

    return layer


def _linear_weights(axis: Array, few: Array) -> sp.csr_array:
    """The sparse matrix that takes values at `few` to linear interpolation, and at the end extrapolation, at `axis`."""
    if len(few) == 1:
        return sp.csr_array(np.ones((len(axis), 1)))
    left = np.clip(np.searchsorted(few, axis, side="right") - 1, 0, len(few) - 2)
    share = (axis - few[left]) / (few[left + 1] - few[left])
    rows = np.arange(len(axis))
    entries = (np.concatenate([1.0 - share, share]), (np.concatenate([rows, rows]), np.concatenate([left, left + 1])))
    return sp.csr_array(entries, shape=(len(axis), len(few)))


def _add_noise(values: npt.NDArray[Any], noise_sd: float, seed: int) -> None:
    if noise_sd <= 0.0:
        return
    kernel = np.exp(-0.5 * np.square(np.arange(-3, 4) / _GRAIN))
    scale = noise_sd / float(np.square(kernel / kernel.sum()).sum())  # the filter lowers white noise by this in two directions
    for k, layer in enumerate(values):
        white = np.random.default_rng([seed, k]).standard_normal(layer.shape, dtype=np.float32)
        layer += np.float32(scale) * ndimage.gaussian_filter(white, _GRAIN, mode="wrap", radius=3)
