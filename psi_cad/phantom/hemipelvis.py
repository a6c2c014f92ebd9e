"""A right hemipelvis as one implicit function: wing, column, acetabulum, rami around a foramen, ischium.

Sizes are those of an adult hip bone in round numbers; no person's bone was traced. Patient frame (LPS, mm).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from psi_cad.phantom.meshing import gradient, hull_mesh, meshed, onto
from psi_cad.phantom.shapes import chain_distance, polygon, round_cone, smooth_chain, smooth_difference, smooth_union, sphere
from psi_cad.units import Array, Mm

__all__ = ["LESION", "bone_mesh", "implicit", "lesion_distance", "lesion_mesh", "signed_distance"]

BLEND: Final[Mm] = 2.5
CUP_BLEND: Final[Mm] = 3.0
_MIRROR: Final = np.array([-1.0, 1.0, 1.0])  # written as a left bone, lateral at +x; the phantom is a right one

# each chain is a smooth curve through (x, y, z, radius)
_CHAINS: Final = (
    # crest, from below the front spines over the top to the back spines
    ((98.0, -22.0, 26.0, 11.0), (105.0, -38.0, 46.0, 7.0), (124.0, -52.0, 82.0, 5.6), (131.0, -24.0, 111.0, 6.0), (123.0, 14.0, 127.0, 5.2),
     (96.0, 52.0, 117.0, 5.0), (60.0, 78.0, 90.0, 7.0), (57.0, 66.0, 52.0, 6.5)),
    # column, from the sacral joint down behind the socket to the sitting bone
    ((58.0, 66.0, 52.0, 7.0), (72.0, 44.0, 38.0, 11.0), (86.0, 20.0, 18.0, 15.0), (82.0, 24.0, -10.0, 16.0), (74.0, 31.0, -38.0, 13.0),
     (69.0, 30.0, -66.0, 14.0)),
    # upper ramus, pubis, lower ramus
    ((86.0, -16.0, 6.0, 14.0), (66.0, -38.0, -8.0, 9.0), (40.0, -56.0, -22.0, 8.0), (19.0, -60.0, -34.0, 9.5), (15.0, -51.0, -56.0, 8.5),
     (36.0, -20.0, -77.0, 6.5), (66.0, 22.0, -72.0, 11.0)),
    # buttress above the socket, ischial spine
    ((92.0, -4.0, 22.0, 14.0), (99.0, -10.0, 46.0, 6.0), (110.0, -14.0, 80.0, 3.2)),
    ((76.0, 32.0, -12.0, 7.0), (62.0, 46.0, -13.0, 3.0)),
)  # fmt: skip

# the wing: a curved sheet over the plane through its rim, bounded by a smooth outline
_RIM: Final = np.array(
    [(124.0, -52.0, 82.0), (131.0, -24.0, 111.0), (123.0, 14.0, 127.0), (96.0, 52.0, 117.0), (60.0, 78.0, 90.0), (57.0, 66.0, 52.0),
     (74.0, 40.0, 40.0), (90.0, 4.0, 26.0), (100.0, -26.0, 30.0)]
)  # fmt: skip
_BEND: Final = np.array([*_RIM, (104.0, -8.0, 76.0), (90.0, 28.0, 82.0), (112.0, -22.0, 84.0)])
_SHEET_HALF: Final[Mm] = 3.4
_BOSS: Final = (np.array((86.0, -1.0, -1.0)), 31.0)
_CUP: Final = (np.array((101.0, -7.0, -6.0)), 25.0)
_NOTCH: Final = (np.array((104.0, -12.0, -14.0)), np.array((96.0, -20.0, -38.0)), 10.0, 11.0)


@lru_cache(maxsize=1)
def _sheet() -> tuple[Array, Array, Array, Array]:
    """(origin, axes, coefficients, outline) of the wing: w = Σ c·monomials(u, v) over the rim's plane."""
    origin = _RIM.mean(axis=0)
    _, _, axes = np.linalg.svd(_RIM - origin)
    local = (_BEND - origin) @ axes.T
    coefficients = np.linalg.lstsq(_monomials(local[:, 0], local[:, 1]), local[:, 2], rcond=None)[0]
    outline = smooth_chain(((_RIM - origin) @ axes.T)[:, :2], closed=True)
    return origin, axes, coefficients, outline


def _monomials(u: Array, v: Array) -> Array:
    u, v = u / 60.0, v / 60.0
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v, u**3, u * u * v, u * v * v], axis=-1)


def _wing(left: Array) -> Array:
    """About the signed distance (n,) to the wing's sheet."""
    origin, axes, coefficients, outline = _sheet()
    local = (left - origin) @ axes.T
    u, v = np.clip(local[:, 0], -90, 90), np.clip(local[:, 1], -90, 90)
    rise = (np.abs(local[:, 2] - _monomials(u, v) @ coefficients)) * 0.93 - _SHEET_HALF
    return smooth_difference(rise, -polygon(local[:, :2], outline), blend=1.5)


LESION: Final = (np.array((-112.0, -12.0, 92.0)), np.array((-106.0, 12.0, 100.0)), 15.0, 11.0)
"""The tumour in the wing: the hull of two spheres (start, end, radii), patient mm."""


def implicit(points: Array) -> Array:
    """F (n,) at `points` (n, 3), patient mm: negative in bone, zero on its surface, about a distance near it."""
    left = np.asarray(points, dtype=np.float64) * _MIRROR
    parts = [_wing(left), sphere(left, *_BOSS)]
    for chain in _CHAINS:
        parts.append(chain_distance(left, smooth_chain(np.array(chain))))
    body = smooth_union(np.stack(parts), blend=BLEND)
    hole = smooth_union(np.stack([sphere(left, *_CUP), round_cone(left, *_NOTCH)]), blend=CUP_BLEND)
    return smooth_difference(body, hole, blend=CUP_BLEND)


def _gradient(points: Array) -> Array:
    return gradient(implicit, points)


def _onto(points: Array, rounds: int = 3) -> Array:
    return onto(implicit, points, rounds)


def bone_mesh(*, spacing: Mm = 1.5) -> trimesh.Trimesh:
    """The bone's surface: marching cubes at `spacing`, every vertex then moved onto the exact surface."""
    return meshed(implicit, low=np.array([-152.0, -82.0, -98.0]), high=np.array([2.0, 102.0, 150.0]), spacing=spacing)


@lru_cache(maxsize=1)
def _sampled() -> tuple[cKDTree, Array]:
    surface = _onto(np.asarray(bone_mesh(spacing=2.0).vertices), rounds=3)
    return cKDTree(surface), surface


def signed_distance(points: Array, *, starts: int = 4) -> Array:
    """Distance (n,) from `points` (n, 3) to the bone's surface, negative inside, exact to about 1e-6 mm.

    The foot of the perpendicular is found by Newton's method on the exact surface, from the nearest sampled points;
    the least over `starts` of them is taken.
    """
    points = np.asarray(points, dtype=np.float64)
    tree, surface = _sampled()
    _, nearest = tree.query(points, k=starts)
    best = np.full(len(points), np.inf)
    for start in nearest.T:
        foot = surface[start].copy()
        for _ in range(40):
            slope = _gradient(foot)
            normal = slope / np.linalg.norm(slope, axis=1, keepdims=True)
            offset = points - foot
            slide = offset - (offset * normal).sum(axis=1)[:, None] * normal
            size = np.linalg.norm(slide, axis=1, keepdims=True)
            moved = _onto(foot + slide * np.minimum(0.5, 2.0 / np.maximum(size, 1e-12)), rounds=2)
            done = float(np.abs(moved - foot).max()) < 1e-8
            foot = moved
            if done:
                break
        best = np.minimum(best, np.linalg.norm(points - foot, axis=1))
    return np.where(implicit(points) < 0.0, -best, best)


def lesion_distance(points: Array) -> Array:
    """Exact signed distance (n,) to the tumour's surface, patient mm."""
    return round_cone(np.asarray(points, dtype=np.float64), *LESION)


def lesion_mesh(*, subdivisions: int = 4) -> trimesh.Trimesh:
    """The tumour's surface, every vertex on the exact surface."""
    return hull_mesh(*LESION, subdivisions=subdivisions)
