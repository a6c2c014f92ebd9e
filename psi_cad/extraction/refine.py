"""Move a bone surface to where the scan says the cortex begins, with sub-voxel accuracy, and say how certain that is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh
from scipy import ndimage
from scipy.special import ndtri

from psi_cad.extraction.cortex import calibrated, edge_shift
from psi_cad.surface.relax import Neighbours, mean_curvature, point_normals, slid, spanned, unfolded
from psi_cad.units import Array, Bools, Mm

__all__ = ["SurfaceFit", "refined"]

ROUNDS: Final = 5
STEP_MM: Final[Mm] = 0.2
FAST_ROUNDS: Final = 2
FAST_STEP_MM: Final[Mm] = 0.4
"""Along a profile in the first rounds, which only bring the points near: half of what the last rounds read."""
INWARD_MM: Final[Mm] = 5.0
OUTWARD_MM: Final[Mm] = 3.0
_EDGE_MM: Final[Mm] = 1.2  # the cortex's peak is looked for from here inwards
_MOST_MOVE: Final[Mm] = 0.8  # in one round
_MOST_CARRIED: Final[Mm] = 1.5  # in all rounds, of a point without an edge of its own: a speck beside moving points would grow to a bulb
_PLATEAU: Final = (1.0, 2.0)  # mm outside of the edge: far enough to be clear of the blur, near enough to be what touches bone
_LEAST_CONTRAST: Final = 120.0  # HU between cortex and what lies outside; less is no edge
_NARROW_GAP: Final = 0.8  # two cortices blurred into each other: their gap's width is told from how deep it still is
_LEAST_GAP: Final = 0.04
_AT_ONCE: Final = 5_000  # points looked at together, to bound memory
_FAR_FROM_NEIGHBOURS: Final[Mm] = 0.5
_USUAL_SIGMA: Final[Mm] = 0.55
_GROUPS: Final = 16
_LOWEST_SHARE: Final = 0.05
_WIDEST: Final[Mm] = 4.5  # the search inwards ends about here
_MOST_CURVED: Final = 0.5  # 1/mm; a tighter bend is narrower than the blur, and the rule no longer holds
_SHIFT_SHARE: Final = 0.8
_LEAST_OFF: Final[Mm] = 0.05  # what is left on the finest scans
_BETWEEN_SLICES: Final = 0.08  # 1/mm: how far a curved bone departs between slices from what they show, times the square of their step
_SIGMA_RANGE: Final = (0.3, 2.5)


@dataclass(frozen=True)
class SurfaceFit:
    """How the surface was found.

    Attributes
    ----------
    sigma : tuple of two
        Blur in mm across the slices' plane and within it: (in plane, along k).
    cortex : float
        HU of thick cortex.
    level : float
        Median HU at the surface before the thin-cortex correction.
    shift : tuple of two
        Median and 95th percentile of that correction in mm.
    random, residual, uncertainty : float
        mm: from noise; of single points against their neighbours; all together, one standard deviation.
    unsure : float
        Share of the points without a clear edge, placed by their neighbours; those on the scan's edge do not count.
    unfolded : int
        Points moved to undo folds.
    """

    sigma: tuple[Mm, Mm]
    cortex: float
    level: float
    shift: tuple[Mm, Mm]
    random: Mm
    residual: Mm
    uncertainty: Mm
    unsure: float
    unfolded: int


@dataclass(frozen=True)
class _Edges:
    """What the profile of each point shows, all (n,).

    `at`: place of the half-way crossing along the normal; HU `outside`, of the cortex's `peak` and of the `marrow` behind it;
    `width` of the cortex and `slope` at the crossing; `sure`: there is an edge; `gap`: it lies in a narrow gap to another bone.
    """

    at: Array
    outside: Array
    peak: Array
    marrow: Array
    width: Array
    slope: Array
    sure: Bools
    gap: Bools


def refined(
    mesh: trimesh.Trimesh,
    values: npt.NDArray[Any],
    *,
    patient_from_index: Array,
    soft: float,
    noise: float,
    others: Bools | None = None,
    held: Bools | None = None,
    guessed: Bools | None = None,
    coarsest: Mm | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[trimesh.Trimesh, SurfaceFit]:
    """`mesh` with each point on the local edge of the cortex.

    Along each point's normal the scan gives the cortex's peak, what lies outside, the half-way crossing between them and the
    cortex's apparent width. The crossing is moved inwards by what the blur makes of a thin cortex. The displacements are made
    consistent with their neighbours, the points slide to even triangles, and all is repeated.

    Parameters
    ----------
    mesh : Trimesh
        Closed, within about 1 mm of the bone's surface; patient mm.
    values : (nz, ny, nx)
        HU around the bone.
    soft, noise : float
        HU of soft tissue, and its standard deviation.
    others : (nz, ny, nx), optional
        Voxels of other bones and dense things: a profile ends where it meets one.
    held : (n, 3), optional
        Index axes i, j, k along which a point stays: it lies on that edge of the scan, and follows its neighbours within it.
    guessed : (n,), optional
        Points where no bone was measured: whatever the scan shows there, they are spread between the others like a skin.
    coarsest : float, optional
        Largest step between voxels or slices as scanned, mm; by default that of the grid.
    """
    faces = np.asarray(mesh.faces, dtype=np.int64)
    points = np.asarray(mesh.vertices, dtype=np.float64)
    fixed = np.zeros((len(points), 3), dtype=bool) if held is None else held
    stay: Bools = np.asarray(fixed.any(axis=1))
    told = np.ones(len(points), dtype=bool) if guessed is None else ~guessed
    neighbours = Neighbours(faces, len(points))
    scan = _Scan(values, patient_from_index, others)
    sigmas, cortex = (_USUAL_SIGMA, _USUAL_SIGMA), soft + 1200.0
    shift, carried = np.zeros(len(points)), np.zeros(len(points))
    for turn in range(ROUNDS):
        if progress:
            progress(f"surface, round {turn + 1} of {ROUNDS}")
        if turn < ROUNDS - 1:
            points = slid(points, faces, neighbours, rounds=4 if turn == 0 else 2, held=stay)
        normals = point_normals(points, faces)
        edges = _edges(scan, points, normals, soft=soft, noise=noise, sigma=sigmas[0], step=FAST_STEP_MM if turn < FAST_ROUNDS else STEP_MM)
        edges = replace(edges, sure=edges.sure & told)
        along = np.square(normals @ scan.axis_k)
        if turn > 0:
            sigmas, cortex = _blur_and_cortex(edges, along)
            raw = np.where(edges.gap, 0.0, _shift(edges, along, sigmas, cortex))
            shift, _ = neighbours.weighted_mean(raw, (edges.sure & ~edges.gap).astype(np.float64))
            shift, _ = neighbours.weighted_mean(shift, np.ones(len(shift)))
            # blur draws a bulging edge inwards by sigma squared times its mean curvature
            bulge = np.clip(mean_curvature(points, faces, neighbours), -_MOST_CURVED, _MOST_CURVED)
            shift = shift - (sigmas[0] ** 2 * (1.0 - along) + sigmas[1] ** 2 * along) * bulge
        move, sure, residual = _consistent(edges.at - np.where(edges.gap, 0.0, shift), edges.sure & ~stay, neighbours)
        move = np.clip(move, -_MOST_MOVE, _MOST_MOVE)
        move = np.where(sure, move, np.clip(carried + move, -_MOST_CARRIED, _MOST_CARRIED) - carried)
        carried = np.where(sure, 0.0, carried + move)
        step = move[:, None] * normals
        step[stay] = scan.within_edge(step[stay], fixed[stay])
        points = points + step
    points = spanned(points, ~told & ~stay, neighbours)
    points, count = unfolded(points, faces, neighbours, held=stay)
    shows = ~stay & told  # what the scan's edge cuts flat has no edge to show
    unsure = float(1.0 - sure[shows].mean()) if shows.any() else 1.0
    fit = _fit(edges, sure, shift, residual, sigmas, cortex, noise, count, max(float(scan.spacing.max()), coarsest or 0.0), unsure)
    return trimesh.Trimesh(points, faces, process=False), fit


class _Scan:
    """HU by cubic splines at patient points."""

    def __init__(self, values: npt.NDArray[Any], patient_from_index: Array, others: Bools | None) -> None:
        self.others = None if others is None else others.view(np.uint8)
        self.coefficients = ndimage.spline_filter(values.astype(np.float32, copy=False), order=3, output=np.float32, mode="nearest")
        matrix = np.asarray(patient_from_index, dtype=np.float64)
        self.origin, self.inverse = matrix[:3, 3], np.linalg.inv(matrix[:3, :3])
        self.spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        self.axis_k = matrix[:3, 2] / self.spacing[2]

    def within_edge(self, steps: Array, fixed: Bools) -> Array:
        """Steps (n, 3) in mm without their part along the `fixed` (n, 3) index axes."""
        index = np.where(fixed, 0.0, steps @ self.inverse.T)
        return np.asarray(index @ np.linalg.inv(self.inverse).T)

    def along(self, points: Array, normals: Array, offsets: Array) -> tuple[Array, Array]:
        """Values (n, m) at `offsets` (m,) mm along the normals; and where (n,) a profile that meets another bone has its trough; nan elsewhere."""
        start = (points - self.origin) @ self.inverse.T
        way = normals @ self.inverse.T
        at = (start[:, None, :] + offsets[None, :, None] * way[:, None, :]).reshape(-1, 3).T[::-1]
        out = ndimage.map_coordinates(self.coefficients, at, order=3, prefilter=False, mode="nearest", output=np.float64).reshape(-1, len(offsets))
        if self.others is None:
            return out, np.full(len(points), np.nan)
        other = ndimage.map_coordinates(self.others, at, order=0, mode="nearest").reshape(-1, len(offsets)) > 0
        return out, _levelled(out, other, offsets)


def _levelled(hu: Array, other: Bools, offsets: Array) -> Array:
    """Level `hu` (n, m) in place from its trough on where it meets `other` (n, m); the offset (n,) of the trough."""
    outer = offsets > -_EDGE_MM
    blocked = other & outer[None, :]
    rows = np.nonzero(blocked.any(axis=1))[0]
    columns = np.arange(len(offsets))[None, :]
    entry = np.argmax(blocked[rows], axis=1)
    before = (columns <= entry[:, None]) & (outer & (offsets > -0.7))[None, :]
    before |= columns == entry[:, None]
    trough = np.argmin(np.where(before, hu[rows], np.inf), axis=1)
    low = hu[rows, trough]
    hu[rows] = np.where(columns > trough[:, None], low[:, None], hu[rows])
    found = np.full(len(hu), np.nan)
    found[rows] = offsets[trough]
    return found


def _in_blocks(work: Callable[[slice], Any], count: int) -> list[Any]:
    """What `work` gives for each block of `count` points, in order, on two threads."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, [slice(first, first + _AT_ONCE) for first in range(0, max(count, 1), _AT_ONCE)]))


def _edges(scan: _Scan, points: Array, normals: Array, *, soft: float, noise: float, sigma: Mm, step: Mm = STEP_MM) -> _Edges:
    blocks = _in_blocks(lambda part: _edges_at(scan, points[part], normals[part], soft=soft, noise=noise, sigma=sigma, step=step), len(points))
    return _Edges(*(np.concatenate([getattr(block, one.name) for block in blocks]) for one in fields(_Edges)))


def _edges_at(scan: _Scan, points: Array, normals: Array, *, soft: float, noise: float, sigma: Mm, step: Mm = STEP_MM) -> _Edges:
    offsets: Array = np.asarray(np.arange(-round(INWARD_MM / step), round(OUTWARD_MM / step) + 1) * step, dtype=np.float64)
    hu, trough_at = scan.along(points, normals, offsets)
    met = ~np.isnan(trough_at)
    rows = np.arange(len(hu))
    first = int(np.searchsorted(offsets, _EDGE_MM))
    # inwards from the edge: the first crest, that is where the profile then falls for good
    inward = hu[:, first::-1]
    crest, crest_at = _first_extreme(inward, drop=np.maximum(3.0 * noise, 0.06 * np.maximum(inward.max(axis=1) - soft, 0.0)))
    top = first - crest_at
    falling = np.where(np.arange(inward.shape[1])[None, :] >= crest_at[:, None], -inward, -crest[:, None])
    trough, _ = _first_extreme(falling, drop=np.maximum(4.0 * noise, 0.1 * np.maximum(crest - soft, 0.0)), start=crest_at)
    marrow = -trough
    # outwards from the crest: down to the first trough
    reversed_rows = np.where(np.arange(hu.shape[1])[None, :] >= top[:, None], -hu, -crest[:, None])
    low, low_at = _first_extreme(reversed_rows, drop=np.maximum(4.0 * noise, 0.06 * np.maximum(crest - soft, 0.0)), start=top)
    outside = np.full(len(hu), np.nan)
    for _ in range(2):
        base = np.where(np.isnan(outside), -low, outside)
        half = (crest + base) / 2.0
        beyond = (np.arange(hu.shape[1])[None, :] > top[:, None]) & (hu < half[:, None])
        has = beyond.any(axis=1)
        after = np.where(has, np.argmax(beyond, axis=1), hu.shape[1] - 1)
        after = np.maximum(after, 1)
        a, b = hu[rows, after - 1], hu[rows, after]
        at = offsets[after] - step * np.clip((b - half) / np.where(np.abs(b - a) > 1e-6, b - a, -1.0), 0.0, 1.0)
        outside = np.where(met, np.minimum(-low, soft), _plateau(hu, offsets, at, low_at, -low, soft))
    inner = (np.arange(hu.shape[1])[None, :] < top[:, None]) & (hu < ((crest + marrow) / 2.0)[:, None])
    inner_at = hu.shape[1] - 1 - np.argmax(inner[:, ::-1], axis=1)
    c, d = hu[rows, inner_at], hu[rows, np.minimum(inner_at + 1, hu.shape[1] - 1)]
    share = np.clip(((crest + marrow) / 2.0 - c) / np.where(np.abs(d - c) > 1e-6, d - c, 1.0), 0.0, 1.0)
    width = np.where(inner.any(axis=1), at - (offsets[inner_at] + share * step), np.inf)
    slope = (a - b) / step
    depth = (crest + low) / np.maximum(crest - soft, _LEAST_CONTRAST)  # of the trough, as a share; 1 where the gap is wide
    gap = met & (depth < _NARROW_GAP) & (depth > _LEAST_GAP)
    half_gap = sigma * ndtri(0.5 + 0.5 * np.clip(depth, 0.0, 0.99))
    at = np.where(gap, trough_at - half_gap, at)
    sure = (has | gap) & (crest - outside > _LEAST_CONTRAST) & (gap | (slope > 0.0)) & (np.abs(at) < OUTWARD_MM - 0.3)
    return _Edges(at, outside, crest, marrow, width, slope, sure, gap)


def _first_extreme(values: Array, *, drop: Array, start: Any = None) -> tuple[Array, Any]:
    """The first maximum along each row after which `values` fall by `drop` (n,): its value and column."""
    running = np.maximum.accumulate(values, axis=1)
    fallen = running - values > drop[:, None]
    if start is not None:
        fallen &= np.arange(values.shape[1])[None, :] > np.asarray(start)[:, None]
    end = np.where(fallen.any(axis=1), np.argmax(fallen, axis=1), values.shape[1] - 1)
    best = running[np.arange(len(values)), end]
    return best, np.argmax(values >= best[:, None], axis=1)


def _plateau(hu: Array, offsets: Array, at: Array, low_at: Any, low: Array, soft: float) -> Array:
    """What lies outside: the mean of a window past the edge; in a narrow gap the lower of its trough and soft tissue."""
    past = offsets[None, :] - at[:, None]
    window = (past >= _PLATEAU[0]) & (past <= _PLATEAU[1]) & (np.arange(hu.shape[1])[None, :] <= np.asarray(low_at)[:, None])
    count = window.sum(axis=1)
    mean = (hu * window).sum(axis=1) / np.maximum(count, 1)
    narrow = np.asarray(low_at) < hu.shape[1] - 1
    full = count >= round((_PLATEAU[1] - _PLATEAU[0]) / (offsets[1] - offsets[0])) - 1
    return np.asarray(np.where(full, mean, np.where(narrow, np.minimum(low, soft), low)))


def _blur_and_cortex(edges: _Edges, along: Array) -> tuple[tuple[Mm, Mm], float]:
    """Blur in plane and along k in mm, and HU of thick cortex, from the points that show it best."""
    sure = edges.sure & ~edges.gap
    if sure.sum() < 200:
        return (_USUAL_SIGMA, _USUAL_SIGMA), float(np.median(edges.peak[sure])) if sure.any() else 1200.0
    blur = (edges.peak - edges.outside) / (np.maximum(edges.slope, 1e-6) * np.sqrt(2.0 * np.pi))
    usable = sure & np.isfinite(edges.width) & (edges.width < _WIDEST)
    order = np.nonzero(usable)[0][np.argsort(edges.peak[usable], kind="stable")]
    order = order[int(_LOWEST_SHARE * len(order)) :]  # the faintest are the least certain
    if len(order) < _GROUPS * 10:
        return (_USUAL_SIGMA, _USUAL_SIGMA), float(np.percentile(edges.peak[sure], 92.0))
    groups = np.array_split(order, _GROUPS)
    middles = {name: np.array([np.median(values[g]) for g in groups]) for name, values in
               (("outside", edges.outside), ("peak", edges.peak), ("marrow", edges.marrow), ("width", edges.width), ("blur", blur))}  # fmt: skip
    cortex, sigma = calibrated(**middles)
    # the two directions' ratio, by slopes on the denser half
    square = np.square(blur)
    dense = sure & (edges.peak > np.median(edges.peak[sure]))
    plane, upright = dense & (along < 0.25), dense & (along > 0.7)
    if plane.sum() < 50 or upright.sum() < 50:
        ratio, part = 1.0, 0.0
    else:
        inside = float(np.median(square[plane]))
        ratio = float(np.clip(np.median((square[upright] - (1.0 - along[upright]) * inside) / along[upright]) / inside, 0.3, 12.0))
        part = float(np.mean(along[order]))
    in_plane = float(np.clip(sigma / np.sqrt(1.0 + part * (ratio - 1.0)), *_SIGMA_RANGE))
    return (in_plane, float(np.clip(in_plane * np.sqrt(ratio), *_SIGMA_RANGE))), cortex


def _shift(edges: _Edges, along: Array, sigmas: tuple[Mm, Mm], cortex: float) -> Array:
    """How far (n,) in mm the half-way crossing lies outside of the true surface, by the model of a thin cortex."""
    sigma = np.sqrt(sigmas[0] ** 2 * (1.0 - along) + sigmas[1] ** 2 * along)
    rise = np.maximum(cortex - edges.outside, _LEAST_CONTRAST)
    peak, marrow, width = (edges.peak - edges.outside) / rise, (cortex - edges.marrow) / rise, edges.width / sigma
    return np.asarray(sigma * np.concatenate(_in_blocks(lambda part: edge_shift(peak[part], marrow[part], width[part]), len(sigma))))


def _consistent(target: Array, sure: Bools, neighbours: Neighbours) -> tuple[Array, Bools, Array]:
    """Displacements (n,) that agree with their neighbours; points without an edge, or far from their neighbours, follow them."""
    weight = (sure & (np.abs(target) < 2.0)).astype(np.float64)
    value = np.where(weight > 0.0, target, 0.0)
    middle, _ = neighbours.weighted_mean(value, weight)
    for _ in range(2):
        weight *= np.abs(value - middle) < _FAR_FROM_NEIGHBOURS
        middle, has = neighbours.weighted_mean(value, weight)
    kept = weight > 0.0
    smooth = np.where(kept, 0.5 * value + 0.5 * middle, middle)
    reached = has > 0.0
    for _ in range(30):  # carried into places without any edge
        if reached.all():
            break
        carried, has = neighbours.weighted_mean(np.where(reached, smooth, 0.0), reached.astype(np.float64))
        smooth = np.where(reached, smooth, carried)
        reached |= has > 0.0
    return smooth, kept, np.where(kept, value - middle, 0.0)


def _fit(
    edges: _Edges,
    sure: Bools,
    shift: Array,
    residual: Array,
    sigmas: tuple[Mm, Mm],
    cortex: float,
    noise: float,
    count: int,
    coarsest: Mm,
    unsure: float,
) -> SurfaceFit:
    if not sure.any():
        sure = np.ones_like(sure)
    random = noise / float(np.median(np.maximum(edges.slope[sure], 50.0)))
    scatter = float(1.4826 * np.median(np.abs(residual[sure])))
    # so much of the correction may be wrong where all of the cortex is thin, and nowhere shows how dense it is
    model = _SHIFT_SHARE * float(np.sqrt(np.mean(np.square(shift[sure]))))
    grid = float(np.hypot(_LEAST_OFF, _BETWEEN_SLICES * coarsest**2))
    total = float(np.sqrt(random**2 + scatter**2 + model**2 + grid**2))
    return SurfaceFit(
        sigma=sigmas, cortex=cortex, level=float(np.median((edges.peak + edges.outside)[sure] / 2.0)),
        shift=(float(np.median(shift[sure])), float(np.percentile(shift[sure], 95.0))), random=random, residual=scatter, uncertainty=total,
        unsure=unsure, unfolded=count,
    )  # fmt: skip
