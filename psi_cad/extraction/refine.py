"""Move a bone surface to where the scan says the cortex begins, with sub-voxel accuracy, and say how certain that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.extraction.blur import USUAL_SIGMA, Blur, ScanBlur, blur_of
from psi_cad.extraction.cortex import edge_shift
from psi_cad.extraction.profiles import LEAST_CONTRAST, STEP_MM, Edges, Scan, find_edges, in_blocks
from psi_cad.surface.relax import Neighbours, mean_curvature, point_normals, slid, spanned, unfolded
from psi_cad.units import Array, Bools, Mm

__all__ = ["SurfaceFit", "refined"]

ROUNDS: Final = 5
FAST_ROUNDS: Final = 2
FAST_STEP_MM: Final[Mm] = 0.4
"""Along a profile in the first rounds, which only bring the points near: half of what the last rounds read."""
_MOST_MOVE: Final[Mm] = 0.8  # in one round
_MOST_CARRIED: Final[Mm] = 1.5  # in all rounds, of a point without an edge of its own: a speck beside moving points would grow to a bulb
_FAR_FROM_NEIGHBOURS: Final[Mm] = 0.5
_MOST_CURVED: Final = 0.5  # 1/mm; a tighter bend is narrower than the blur, and the rule no longer holds
_SHIFT_SHARE: Final = 0.8
_LEAST_OFF: Final[Mm] = 0.05  # what is left on the finest scans
_BETWEEN_SLICES: Final = 0.08  # 1/mm: how far a curved bone departs between slices from what they show, times the square of their step


@dataclass(frozen=True)
class SurfaceFit:
    """How the surface was found.

    Attributes
    ----------
    sigma : tuple of two
        Blur in mm: (in plane, along k).
    own_sigma : float
        Blur in plane that the bone shows by itself, mm.
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
    own_sigma: Mm
    cortex: float
    level: float
    shift: tuple[Mm, Mm]
    random: Mm
    residual: Mm
    uncertainty: Mm
    unsure: float
    unfolded: int


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
    scan_blur: ScanBlur | None = None,
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
    scan_blur : ScanBlur, optional
        What the bones of the scan show together; without it the bone's own blur is taken.
    """
    faces = np.asarray(mesh.faces, dtype=np.int64)
    points = np.asarray(mesh.vertices, dtype=np.float64)
    fixed = np.zeros((len(points), 3), dtype=bool) if held is None else held
    stay: Bools = np.asarray(fixed.any(axis=1))
    told = np.ones(len(points), dtype=bool) if guessed is None else ~guessed
    neighbours = Neighbours(faces, len(points))
    scan = Scan(values, patient_from_index, others)
    usual = USUAL_SIGMA if scan_blur is None else scan_blur.sigma
    blur = Blur((usual, usual), soft + 1200.0, usual)
    shift, carried = np.zeros(len(points)), np.zeros(len(points))
    for turn in range(ROUNDS):
        if progress:
            progress(f"surface, round {turn + 1} of {ROUNDS}")
        if turn < ROUNDS - 1:
            points = slid(points, faces, neighbours, rounds=4 if turn == 0 else 2, held=stay)
        normals = point_normals(points, faces)
        edges = find_edges(scan, points, normals, soft=soft, noise=noise, sigma=blur.sigma[0], step=FAST_STEP_MM if turn < FAST_ROUNDS else STEP_MM)
        edges = replace(edges, sure=edges.sure & told)
        along = np.square(normals @ scan.axis_k)
        if turn > 0:
            blur = blur_of(edges, along, scan=scan_blur)
            raw = np.where(edges.gap, 0.0, _shift(edges, along, blur))
            shift, _ = neighbours.weighted_mean(raw, (edges.sure & ~edges.gap).astype(np.float64))
            shift, _ = neighbours.weighted_mean(shift, np.ones(len(shift)))
            # blur draws a bulging edge inwards by sigma squared times its mean curvature
            bulge = np.clip(mean_curvature(points, faces, neighbours), -_MOST_CURVED, _MOST_CURVED)
            shift = shift - (blur.sigma[0] ** 2 * (1.0 - along) + blur.sigma[1] ** 2 * along) * bulge
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
    fit = _fit(edges, sure, shift, residual, blur, noise, count, max(float(scan.spacing.max()), coarsest or 0.0), unsure)
    return trimesh.Trimesh(points, faces, process=False), fit


def _shift(edges: Edges, along: Array, blur: Blur) -> Array:
    """How far (n,) in mm the half-way crossing lies outside of the true surface, by the model of a thin cortex."""
    sigma = np.sqrt(blur.sigma[0] ** 2 * (1.0 - along) + blur.sigma[1] ** 2 * along)
    rise = np.maximum(blur.cortex - edges.outside, LEAST_CONTRAST)
    peak, marrow, width = (edges.peak - edges.outside) / rise, (blur.cortex - edges.marrow) / rise, edges.width / sigma
    return np.asarray(sigma * np.concatenate(in_blocks(lambda part: edge_shift(peak[part], marrow[part], width[part]), len(sigma))))


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
    edges: Edges,
    sure: Bools,
    shift: Array,
    residual: Array,
    blur: Blur,
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
        sigma=blur.sigma, own_sigma=blur.own, cortex=blur.cortex, level=float(np.median((edges.peak + edges.outside)[sure] / 2.0)),
        shift=(float(np.median(shift[sure])), float(np.percentile(shift[sure], 95.0))), random=random, residual=scatter, uncertainty=total,
        unsure=unsure, unfolded=count,
    )  # fmt: skip
