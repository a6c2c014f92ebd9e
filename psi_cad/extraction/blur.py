"""The blur of a scan, and how dense a bone's thick cortex is, from how the edges of bone look."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.extraction.cortex import Shown, calibrated, misfits
from psi_cad.extraction.profiles import Edges, Scan, find_edges
from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.levels import TissueLevels

__all__ = ["USUAL_SIGMA", "Blur", "ScanBlur", "blur_of", "scan_blur"]

USUAL_SIGMA: Final[Mm] = 0.55
_IN_PLANE: Final = 0.1  # squared cosine to the slices' axis: such an edge shows the blur in plane alone
_UPRIGHT: Final = 0.7  # such an edge shows mostly the blur along k
_LEAST_POINTS: Final = 200
_LEAST_UPRIGHT: Final = 50
_GROUPS: Final = 16
_LEAST_IN_GROUP: Final = 10
_LOWEST_SHARE: Final = 0.05
_WIDEST: Final[Mm] = 4.5  # the search inwards ends about here
_SIGMA_RANGE: Final = (0.3, 2.5)
_SLICES: Final = 48  # that show the blur of a whole scan
_FROM_SLICE: Final = 2000  # points; more tell no more
_LEAST_OF_PART: Final = 500  # points; a crumb's cortex tells nothing
_SMOOTH_MM: Final[Mm] = 1.0  # of the voxels, for the direction of their border
_APART_MM: Final[Mm] = 4.0  # from another bone, whose cortex would count as this one's
_SURE: Final = 0.1  # sigma; no part fits better than that
_TRIED: Final[Array] = np.geomspace(*_SIGMA_RANGE, 180, dtype=np.float64)


@dataclass(frozen=True)
class Blur:
    """Blur in mm, in plane and along k; HU of thick cortex; and the blur in plane that the bone shows by itself."""

    sigma: tuple[Mm, Mm]
    cortex: float
    own: Mm


@dataclass(frozen=True)
class ScanBlur:
    """The blur in plane, mm, that all bones of a scan show together; and how badly each of the blurs that were tried goes with them (m,)."""

    sigma: Mm
    misfit: Array


def blur_of(edges: Edges, along: Array, *, scan: ScanBlur | None = None) -> Blur:
    """Blur and density of one bone, from the points that show them best.

    How width and peak go together tells the density of the cortex, as long as all points have one blur. On thick slices they have not: an
    edge that faces along the axis is blurred twice as much, and both kinds together look like a denser cortex with more blur. So the density and
    the blur in plane come from edges that face within the plane, and the blur along k from those that face along it, of that density.

    Parameters
    ----------
    along : (n,)
        Squared cosine between each normal and the slices' axis.
    scan : ScanBlur, optional
        What the whole scan shows. The bone has the blur that goes best with both.
    """
    sure = edges.sure & ~edges.gap
    usual = USUAL_SIGMA if scan is None else scan.sigma
    if sure.sum() < _LEAST_POINTS:
        return Blur((usual, usual), float(np.median(edges.peak[sure])) if sure.any() else 1200.0, usual)
    usable = sure & np.isfinite(edges.width) & (edges.width < _WIDEST)
    flat, upright = usable & (along < _IN_PLANE), usable & (along > _UPRIGHT)
    seen = _by_peak(edges, flat if flat.sum() >= _LEAST_POINTS else usable)
    if len(seen) < _GROUPS * _LEAST_IN_GROUP:
        return Blur((usual, usual), float(np.percentile(edges.peak[sure], 92.0)), usual)
    shown = _shown(edges, seen)
    cortex, own = calibrated(shown)
    plane = own
    if scan is not None:
        cortex, plane = calibrated(shown, sigma=float(_TRIED[int(np.argmin(scan.misfit + _misfit(shown)))]))
    square: Any = (plane**2, plane**2)
    if flat.sum() >= _LEAST_POINTS and upright.sum() >= _LEAST_UPRIGHT:
        turned = _by_peak(edges, upright)
        _, up = calibrated(_shown(edges, turned), cortex=cortex)
        share = np.array([[1.0 - a, a] for a in (float(along[seen].mean()), float(along[turned].mean()))])
        square = np.linalg.solve(share, np.square([plane, up]))
    in_plane, along_k = (float(np.clip(np.sqrt(max(one, 0.0)), *_SIGMA_RANGE)) for one in square)
    return Blur((in_plane, along_k), cortex, own * in_plane / plane)


def _by_peak(edges: Edges, usable: Bools) -> Ints:
    """The `usable` points (n,) in order of their peak, without the faintest, which are the least certain."""
    order = np.nonzero(usable)[0][np.argsort(edges.peak[usable], kind="stable")]
    return order[int(_LOWEST_SHARE * len(order)) :]


def _shown(edges: Edges, order: Ints) -> Shown:
    """What groups of points with about the same peak show."""
    groups = np.array_split(order, min(_GROUPS, len(order) // _LEAST_IN_GROUP))
    blur = (edges.peak - edges.outside) / (np.maximum(edges.slope, 1e-6) * np.sqrt(2.0 * np.pi))
    values = {"outside": edges.outside, "peak": edges.peak, "marrow": edges.marrow, "width": edges.width, "blur": blur}
    return Shown(**{name: np.array([np.median(of[g]) for g in groups]) for name, of in values.items()})


def scan_blur(values: npt.NDArray[Any], parts: npt.NDArray[Any], *, spacing: Array, levels: TissueLevels) -> ScanBlur | None:
    """The blur in plane that the bones of a scan show together, named or not; None where too little bone tells.

    A scan has one blur, and each bone a density of its own. One bone alone, whose cortex is thin and even, can look like a denser one with more
    blur; several bones together seldom can.

    Parameters
    ----------
    values : (nz, ny, nx)
        HU.
    parts : (nz, ny, nx)
        A number for each bone, marrow included; 0 elsewhere.
    spacing : (3,)
        mm along i, j, k.
    """
    bony = np.flatnonzero((parts > 0).any(axis=(1, 2)))
    if len(bony) == 0:
        return None
    chosen = bony[np.linspace(0, len(bony) - 1, min(_SLICES, len(bony))).astype(int)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda k: _in_slice(values, parts, int(k), spacing=spacing, levels=levels), chosen))
    part = np.concatenate([owner for _, owner in found])
    edges = Edges(*(np.concatenate([getattr(one, field.name) for one, _ in found]) for field in fields(Edges)))
    usable = edges.sure & ~edges.gap & np.isfinite(edges.width) & (edges.width < _WIDEST)
    total = np.zeros(len(_TRIED))
    for number in np.unique(part[usable]):
        mine = usable & (part == number)
        if mine.sum() >= _LEAST_OF_PART:
            total += _misfit(_shown(edges, _by_peak(edges, mine)))
    return ScanBlur(float(_TRIED[int(np.argmin(total))]), total) if total.any() else None


def _misfit(shown: Shown) -> Array:
    """How badly each blur that is tried goes with a bone (m,), so that sums over bones weigh each by how well it fits at all."""
    return np.asarray(np.log(misfits(shown, _TRIED) + _SURE))


def _in_slice(values: npt.NDArray[Any], parts: npt.NDArray[Any], k: int, *, spacing: Array, levels: TissueLevels) -> tuple[Edges, npt.NDArray[Any]]:
    """The edges of bone in the slice `k` that face within its plane, and the part of each."""
    size = np.asarray(spacing)[::-1]
    deep = int(np.ceil(2.0 * _SMOOTH_MM / size[0]))
    slab = slice(max(k - deep, 0), k + deep + 1)
    smooth = ndimage.gaussian_filter((parts[slab] > 0).astype(np.float32), _SMOOTH_MM / size, truncate=2.5, mode="nearest")
    here, middle = parts[k], k - slab.start
    reach = np.ceil(_APART_MM / size[1:]).astype(int)
    wide = tuple(int(n) for n in 2 * reach + 1)
    alone = ndimage.maximum_filter(here, wide) == ndimage.minimum_filter(np.where(here > 0, here, np.iinfo(here.dtype).max), wide)
    border = (here > 0) & ~ndimage.binary_erosion(here > 0, border_value=1) & alone
    at = np.argwhere(border)
    if len(at) > _FROM_SLICE:
        at = at[np.random.default_rng(k).choice(len(at), _FROM_SLICE, replace=False)]
    above, below = min(middle + 1, len(smooth) - 1), max(middle - 1, 0)
    slope = np.stack([(smooth[above] - smooth[below]) / (max(above - below, 1) * size[0]), *np.gradient(smooth[middle], *size[1:])], axis=-1)
    way = -slope[tuple(at.T)]
    long = np.maximum(np.linalg.norm(way, axis=1), 1e-9)
    along = np.square(way[:, 0] / long)
    at, way, along = at[along < _IN_PLANE], way[along < _IN_PLANE], along[along < _IN_PLANE]
    flat = way[:, 2:0:-1] / np.maximum(np.linalg.norm(way[:, 1:], axis=1, keepdims=True), 1e-9)
    points, normals = np.column_stack([at[:, ::-1] * size[:0:-1], np.zeros(len(at))]), np.column_stack([flat, np.zeros(len(at))])
    scan = Scan(values[k : k + 1], np.diag([*size[::-1], 1.0]), None)
    edges = find_edges(scan, points, normals, soft=levels.soft, noise=levels.noise, sigma=USUAL_SIGMA)
    tilt = np.sqrt(1.0 - along)  # a slice cuts a leaning edge slantwise, and shows it wider
    return replace(edges, width=edges.width * tilt, slope=edges.slope / tilt), here[tuple(at.T)]
