"""Where one bone surface lies on another: from landmarks or principal axes, then by a robust fit to a part of it (trimmed ICP)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from psi_cad.errors import RegistrationError
from psi_cad.registration.rigid import apply, distance, inverse, turn_deg
from psi_cad.surface.polydata import poly_data
from psi_cad.units import Array, Bools, Deg, Mm

__all__ = ["LEAST_OVERLAP", "NEAR_MM", "RESIDUAL_MM", "Patch", "SurfaceFit", "fit_surface", "refuse_poor"]

RESIDUAL_MM: Final[Mm] = 5.0
"""Root mean square of the nearest 80 % of the part: of hip bones of five adults, with parts at random, it is 0.8 to 2.3."""
NEAR_MM: Final[Mm] = 5.0
LEAST_OVERLAP: Final = 0.5
"""Of the part, that has the other surface within `NEAR_MM`."""
ROUGH_MM: Final[Mm] = 6.5
"""Mean misfit of whole bones, normals included. In 20 pairs of hip bones of five adults it is 2.7 to 4.5, with one of the two mirrored 8.5 to 10.6;
a femur on a hip bone has 17."""
RIVAL_DEG: Final[Deg] = 25.0
"""A pose turned by that much from the best one is another way to lay the bones on each other; what is nearer, the fit of the part settles."""
RIVAL_SHARE: Final = 0.85
"""The best pose misfits by less than this share of the best other way, or the surfaces do not say which is right."""
ALIKE: Final = 1.1
"""Two fits of the part whose residuals differ by less than this factor are about equally good: how far they lie apart counts as uncertainty."""

_KEPT: Final = 0.8  # of the points, the nearest: what the other bone lacks, or grew otherwise, does not pull
_FACING: Final = 0.3  # least cosine between the normals of two points that belong together: the sheets of a thin wing are not mixed up
_FACING_MM: Final[Mm] = 12.0  # the same where points are looked for among samples: opposite normals count as 24 mm apart
_COARSE: Final = 300
_MIDDLE: Final = 1200
_ROUNDS: Final = 12
_MIDDLE_ROUNDS: Final = 120
_FINE_ROUNDS: Final = 40
_SLOW_MM: Final[Mm] = 1e-3  # gained in a round
_SETTLED_MM: Final[Mm] = 1e-4
_LEAST_POINTS: Final = 100
_FOLLOWED: Final = 4


@dataclass(frozen=True)
class Patch:
    """Points (n, 3) spread evenly over a surface or a part of it, mm, with unit outward normals (n, 3)."""

    points: Array
    normals: Array

    def few(self, most: int, first: int = 0) -> Patch:
        """About `most` of the points, evenly taken."""
        every = slice(first, None, max(len(self.points) // most, 1))
        return Patch(self.points[every], self.normals[every])


@dataclass(frozen=True)
class SurfaceFit:
    """Where a moving surface lies on a fixed one.

    Attributes
    ----------
    fixed_from_moving : (4, 4)
        Rigid, mm; never a mirror image.
    residual_mm : float
        Distance of the part from the moving surface, root mean square of the nearest 80 % of its points.
    median_mm, p95_mm : float
        Of all its points.
    overlap : float
        Share of the part with the moving surface within `NEAR_MM`.
    uncertainty_mm : float
        By how much fits of the part that are about equally good, and fits to either half of its points, differ: the greatest distance on the part.
    rival_share : float
        Misfit of the whole surfaces at the best pose, as a share of that at the best other one; 0 where landmarks gave the start.
    landmark_rms_mm : float or None
        Distance of the landmarks at the result.
    """

    fixed_from_moving: Array
    residual_mm: Mm
    median_mm: Mm
    p95_mm: Mm
    overlap: float
    uncertainty_mm: Mm
    rival_share: float
    landmark_rms_mm: Mm | None = None


def fit_surface(
    part: Patch, whole: Patch, moving: trimesh.Trimesh, moving_whole: Patch, *, start: Array | None = None, name: str = "the surface"
) -> SurfaceFit:
    """The rigid pose of a moving surface at which it lies on `part` of a fixed one.

    From `start`, or from every way to lay principal axes on each other, the whole surfaces are fitted roughly. From the best of these, points of
    the part look for the nearest place on the moving triangles (point to plane; the nearest 80 % count).

    Parameters
    ----------
    part, whole : Patch
        Of the fixed surface: what matters, and all of it.
    moving : trimesh.Trimesh
        The other surface.
    moving_whole : Patch
        Points all over it.
    start : (4, 4), optional
        Fixed from moving, near the result.
    name : str
        Of the moving surface, for messages.

    Raises
    ------
    RegistrationError
        Where without a start two poses fit about equally well, or the fit at the result is poor.

    References
    ----------
    Chetverikov, Stepanov, Krsek 2005, Image and Vision Computing 23:299 (trimmed ICP); Chen, Medioni 1992, IVC 10:145 (point to plane).
    """
    tree = cKDTree(np.column_stack([moving_whole.points, _FACING_MM * moving_whole.normals]))
    starts = [start] if start is not None else _axes_on_axes(whole.points, moving_whole.points)
    rough = [_roughly(whole.few(_COARSE), moving_whole, tree, inverse(pose)) for pose in starts]
    rough.sort(key=lambda found: found[1])
    found = [_roughly(whole.few(_MIDDLE), moving_whole, tree, pose, rounds=_MIDDLE_ROUNDS) for pose, _ in rough[: _FOLLOWED if start is None else 1]]
    found.sort(key=lambda one: one[1])
    best, misfit = found[0]
    turned = [turn_deg(pose @ inverse(best)) for pose, _ in found]
    rival = min((other for (_, other), angle in zip(found, turned, strict=True) if angle > RIVAL_DEG), default=np.inf)
    scatter = float(tree.query(tree.data[:_MIDDLE], k=2)[0][:, 1].mean())  # of samples: points of one surface are that far off each other
    share = max(misfit, scatter) / rival if np.isfinite(rival) else 0.0
    if misfit > ROUGH_MM:
        raise RegistrationError(f"{name} is another bone, or of the other side: at best it lies {misfit:.0f} mm off (at most {ROUGH_MM:g} mm).")
    if share > RIVAL_SHARE:
        raise RegistrationError(
            f"{name} fits the bone in two poses about equally well ({misfit:.1f} and {rival:.1f} mm off): name at least three landmarks on both."
        )
    surface = _Surface(moving)
    fits = [_closely(part, surface, near) for (near, _), angle in zip(found, turned, strict=True) if angle <= RIVAL_DEG]
    off = [_residual(surface.nearest(apply(one, part.points))[0]) for one in fits]
    pose = fits[int(np.argmin(off))]
    alike = [one for one, residual in zip(fits, off, strict=True) if residual <= ALIKE * min(off)]
    halves = [_closely(Patch(part.points[n::2], part.normals[n::2]), surface, pose) for n in (0, 1)]
    spread = max(float(distance(one, other, at=part.points).max()) for one, other in itertools.combinations([*alike, *halves], 2))
    away, _ = surface.nearest(apply(pose, part.points))
    return SurfaceFit(
        inverse(pose),
        residual_mm=_residual(away),
        median_mm=float(np.median(away)),
        p95_mm=float(np.quantile(away, 0.95)),
        overlap=float((away <= NEAR_MM).mean()),
        uncertainty_mm=spread,
        rival_share=share,
    )


def _residual(away: Array) -> Mm:
    """Root mean square of the nearest 80 % of distances (n,)."""
    return float(np.sqrt((np.sort(away)[: max(int(_KEPT * len(away)), 1)] ** 2).mean()))


def _axes_on_axes(fixed: Array, moving: Array) -> list[Array]:
    """Every pose (fixed from moving) that lays principal axes on principal axes, whichever on whichever: 24."""
    middles, axes = [], []
    for points in (fixed, moving):
        middles.append(points.mean(axis=0))
        turn = np.linalg.svd(points - middles[-1], full_matrices=False)[2]
        axes.append(turn * np.sign(np.linalg.det(turn)))
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((-1.0, 1.0), repeat=3):
            swap = np.zeros((3, 3))
            swap[range(3), order] = signs
            if np.linalg.det(swap) < 0.0:
                continue
            pose = np.eye(4)
            pose[:3, :3] = axes[0].T @ swap @ axes[1]
            pose[:3, 3] = middles[0] - pose[:3, :3] @ middles[1]
            found.append(pose)
    return found


def _roughly(patch: Patch, other: Patch, tree: Any, pose: Array, *, rounds: int = _ROUNDS) -> tuple[Array, Mm]:
    """A pose (other from patch) brought closer by nearest points, and the mean misfit (mm) of the nearest 80 % there, normals included."""
    misfit = np.inf
    for _ in range(rounds):
        placed = np.column_stack([apply(pose, patch.points), _FACING_MM * patch.normals @ pose[:3, :3].T])
        away, nearest = tree.query(placed)
        before, misfit = misfit, float(np.sort(away)[: max(int(_KEPT * len(away)), 1)].mean())
        if abs(before - misfit) < _SLOW_MM:
            break
        held = away <= np.quantile(away, _KEPT)
        mine, theirs = patch.points[held], other.points[nearest[held]]
        turn, _ = Rotation.align_vectors(theirs - theirs.mean(axis=0), mine - mine.mean(axis=0))
        pose = np.eye(4)
        pose[:3, :3] = turn.as_matrix()
        pose[:3, 3] = theirs.mean(axis=0) - pose[:3, :3] @ mine.mean(axis=0)
    return pose, misfit


class _Surface:
    """Triangles, to be asked for the place on them that is nearest."""

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        from vtkmodules.vtkCommonDataModel import vtkStaticCellLocator

        self._data = poly_data(mesh)
        self._locator: Any = vtkStaticCellLocator()
        self._locator.SetDataSet(self._data)
        self._locator.BuildLocator()
        self.normals = np.asarray(mesh.face_normals)

    def nearest(self, points: Array) -> tuple[Array, Array]:
        """Distances (n,) of points (n, 3), and the nearest places (n, 6) with the normals of their triangles."""
        from vtkmodules.vtkCommonCore import mutable

        found = np.zeros((len(points), 6))
        square, cell, sub, at = mutable(0.0), mutable(0), mutable(0), [0.0, 0.0, 0.0]
        for number, point in enumerate(points):
            self._locator.FindClosestPoint(point, at, cell, sub, square)
            found[number, :3] = at
            found[number, 3:] = self.normals[int(cell)]
        return np.linalg.norm(points - found[:, :3], axis=1), found


def _closely(part: Patch, surface: _Surface, pose: Array) -> Array:
    """A pose (moving from fixed) at which the nearest 80 % of a part lie on the planes of the triangles nearest to them."""
    lever = float(np.sqrt(((part.points - part.points.mean(axis=0)) ** 2).sum(axis=1).mean()))
    for _ in range(_FINE_ROUNDS):
        placed = apply(pose, part.points)
        away, found = surface.nearest(placed)
        normals = found[:, 3:]
        facing: Bools = ((part.normals @ pose[:3, :3].T) * normals).sum(axis=1) > _FACING
        if int(facing.sum()) < _LEAST_POINTS:
            return pose
        held = facing & (away <= np.quantile(away[facing], _KEPT))
        middle = placed.mean(axis=0)
        arms = (placed[held] - middle) / lever
        rows = np.column_stack([np.cross(arms, normals[held]), normals[held]])
        gap = ((found[held, :3] - placed[held]) * normals[held]).sum(axis=1)
        step = np.linalg.lstsq(rows, gap, rcond=1e-6)[0]
        move = np.eye(4)
        move[:3, :3] = Rotation.from_rotvec(step[:3] / lever).as_matrix()
        move[:3, 3] = middle - move[:3, :3] @ middle + step[3:]
        pose = move @ pose
        if float(np.abs(step).max()) < _SETTLED_MM:
            break
    return pose


def refuse_poor(fit: SurfaceFit, *, name: str) -> None:
    """Refuse a fit that is too poor to carry planes over.

    Raises
    ------
    RegistrationError
    """
    if fit.residual_mm > RESIDUAL_MM or fit.overlap < LEAST_OVERLAP:
        raise RegistrationError(
            f"{name} does not fit the part of the bone that the cuts are on: it lies {fit.residual_mm:.1f} mm off (at most {RESIDUAL_MM:g} mm), and "
            f"{fit.overlap:.0%} of that part has it within {NEAR_MM:g} mm (at least {LEAST_OVERLAP:.0%}); take another donor, or give landmarks."
        )
