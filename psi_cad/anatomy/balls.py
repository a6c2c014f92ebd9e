"""Round places of a bone: the ball of a joint (a femoral head) or its socket, found by where normals meet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree

from psi_cad.frames import all_round
from psi_cad.units import Array, Bools, Mm

__all__ = ["Ball", "SurfaceSample", "largest_ball", "sample_surface"]

_SEED: Final = 1  # the same sample every time
_SMOOTH_MM: Final[Mm] = 5.0  # a joint's ball turns by 12° over it
_SAME_SHEET: Final = 0.0
_CELL_MM: Final[Mm] = 4.0  # of the grid that normals vote in: about the scatter of a 3 mm mesh's normals at 25 mm
_STEP_MM: Final[Mm] = 2.0  # between the radii that are tried
_TRIED: Final = 12  # peaks of the vote that are fitted
_TOLERANCES_MM: Final = (5.0, 4.0, 3.0, 2.0, 2.0, 2.0)  # what counts as on the ball, from fit to fit
_ALIKE: Final = 0.85  # cosine between a normal and the ball's: a third of a right angle
_SHELL: Final = 0.08  # of the radius: how far a point of the ball may lie from it
_DIRECTIONS: Final = 300
_NEAR_RAD: Final = 0.2  # about the spacing of so many directions
_LEAST_POINTS: Final = 20


@dataclass(frozen=True)
class SurfaceSample:
    """Points (n, 3) spread evenly over a surface, patient mm, with unit outward normals (n, 3)."""

    points: Array
    normals: Array


@dataclass(frozen=True)
class Ball:
    """A round place: centre (3,) and radius in mm.

    `covered` is the share of the whole sphere that is bone; `towards` (3,) is the unit direction from the centre to the middle of
    what is covered.
    """

    centre: Array
    radius: Mm
    covered: float
    towards: Array


def sample_surface(mesh: trimesh.Trimesh, count: int) -> SurfaceSample:
    """`count` points of a mesh, evenly by area; the same for the same mesh."""
    corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normals = np.cross(one, two)
    double = np.linalg.norm(normals, axis=1)
    rng = np.random.default_rng(_SEED)
    total = np.cumsum(double)
    face = np.searchsorted(total, (np.arange(count) + rng.random(count)) / count * total[-1]).clip(0, len(total) - 1)
    face = face[double[face] > 0.0]
    u, v = rng.random((2, len(face)))
    over = u + v > 1.0
    u[over], v[over] = 1.0 - u[over], 1.0 - v[over]
    points = corners[face, 0] + u[:, None] * one[face] + v[:, None] * two[face]
    return SurfaceSample(points, _smoothed(points, normals[face] / double[face, None]))


def _smoothed(points: Array, normals: Array) -> Array:
    """Normals averaged with those nearby that look the same way: facets and noise of a mesh count less, two sheets stay apart."""
    pairs = cKDTree(points).query_pairs(_SMOOTH_MM, output_type="ndarray")
    one, two = pairs[np.einsum("ij,ij->i", normals[pairs[:, 0]], normals[pairs[:, 1]]) > _SAME_SHEET].T
    summed = normals.copy()
    for axis in range(3):
        summed[:, axis] += np.bincount(one, weights=normals[two, axis], minlength=len(points))
        summed[:, axis] += np.bincount(two, weights=normals[one, axis], minlength=len(points))
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1), 1e-12)[:, None])


def largest_ball(sample: SurfaceSample, *, hollow: bool, low: Mm, high: Mm) -> Ball | None:
    """The round place that covers most of its sphere; `hollow`: bone lies around it, not in it.

    Parameters
    ----------
    low, high : float
        Radii looked for, mm.
    """
    turned = -1.0 if hollow else 1.0
    best: Ball | None = None
    for centre, radius in _voted(sample, turned, low, high):
        found = _fitted(sample, centre, radius, turned, low, high)
        if found is not None and (best is None or found.covered > best.covered):
            best = found
    return best


def _voted(sample: SurfaceSample, turned: float, low: Mm, high: Mm) -> list[tuple[Array, Mm]]:
    """(centre, radius) where many normals of one length meet, those of the largest share of their sphere first."""
    corner = sample.points.min(axis=0) - high - _CELL_MM
    shape = tuple(np.ceil((np.ptp(sample.points, axis=0) + 2.0 * high) / _CELL_MM).astype(int) + 3)
    peaks = []
    for radius in np.arange(low, high + _STEP_MM / 2.0, _STEP_MM):
        index = np.floor((sample.points - turned * radius * sample.normals - corner) / _CELL_MM).astype(np.int64)
        votes = np.bincount(np.ravel_multi_index(tuple(index.T), shape), minlength=int(np.prod(shape))).reshape(shape).astype(np.float32)
        votes = ndimage.uniform_filter(votes, 3, mode="constant")
        for _ in range(3):
            spot = np.unravel_index(int(np.argmax(votes)), shape)
            peaks.append((float(votes[spot]) / radius**2, corner + (np.array(spot) + 0.5) * _CELL_MM, float(radius)))
            votes[tuple(slice(max(int(k) - 4, 0), int(k) + 5) for k in spot)] = 0.0
    peaks.sort(key=lambda peak: -peak[0])
    return [(centre, radius) for _, centre, radius in peaks[:_TRIED]]


def _on_ball(sample: SurfaceSample, centre: Array, radius: Mm, turned: float, tolerance: Mm) -> tuple[Bools, Array]:
    """Which points (n,) lie on a ball, facing as it does, and the directions (n, 3) to all from its centre."""
    away = sample.points - centre
    length = np.linalg.norm(away, axis=1)
    rays = away / np.maximum(length, 1e-9)[:, None]
    facing = turned * np.einsum("ij,ij->i", rays, sample.normals) > _ALIKE
    return (np.abs(length - radius) < tolerance) & facing, rays


def _fitted(sample: SurfaceSample, centre: Array, radius: Mm, turned: float, low: Mm, high: Mm) -> Ball | None:
    """The ball near a first guess, by least squares on the points of it; None where there is none."""
    for tolerance in _TOLERANCES_MM:
        held, _ = _on_ball(sample, centre, radius, turned, tolerance)
        if held.sum() < _LEAST_POINTS:
            return None
        points = sample.points[held]
        middle = points.mean(axis=0)
        system = np.column_stack([2.0 * (points - middle), np.ones(len(points))])
        found = np.linalg.lstsq(system, ((points - middle) ** 2).sum(axis=1), rcond=None)[0]
        centre, radius = middle + found[:3], float(np.sqrt(max(found[3] + found[:3] @ found[:3], 1e-9)))
    if not low <= radius <= high:
        return None
    held, rays = _on_ball(sample, centre, radius, turned, _SHELL * radius)
    if held.sum() < _LEAST_POINTS:
        return None
    distance, _ = cKDTree(rays[held]).query(_directions())
    middle = rays[held].mean(axis=0)
    return Ball(centre, radius, float((distance < _NEAR_RAD).mean()), middle / np.linalg.norm(middle))


@lru_cache(maxsize=1)
def _directions() -> Array:
    """Unit directions (n, 3) spread evenly over the sphere."""
    return all_round(_DIRECTIONS)
