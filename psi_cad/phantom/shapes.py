"""Signed distances of simple solids and their smooth union; points (n, 3) and lengths in mm."""

from __future__ import annotations

import itertools

import numpy as np

from psi_cad.units import Array, Mm

__all__ = ["polygon", "round_cone", "smooth_difference", "smooth_union", "sphere"]


def sphere(points: Array, centre: Array, radius: Mm) -> Array:
    """Exact signed distance (n,) to a sphere."""
    return np.asarray(np.linalg.norm(points - centre, axis=1) - radius)


def round_cone(points: Array, start: Array, end: Array, start_radius: Mm, end_radius: Mm) -> Array:
    """Exact signed distance (n,) to the hull of two spheres.

    The nearest point of the axis is found along the normal of the cone, not square to the axis.
    """
    axis = np.asarray(end, dtype=np.float64) - start
    length = float(np.linalg.norm(axis))
    along = (points - start) @ (axis / length)
    across = np.sqrt(np.maximum(((points - start) ** 2).sum(axis=1) - along**2, 0.0))
    slope = (start_radius - end_radius) / length
    lean = np.sqrt(max(1.0 - slope**2, 0.0))
    # position along the axis whose sphere is met first
    at = np.clip((along - across * slope / lean) / length, 0.0, 1.0)
    radius = start_radius + at * (end_radius - start_radius)
    return np.asarray(np.hypot(along - at * length, across) - radius)


def polygon(points: Array, outline: Array) -> Array:
    """Exact signed distance (n,) of points (n, 2) to the region inside a closed `outline` (m, 2), first point repeated."""
    nearest = np.full(len(points), np.inf)
    inside = np.zeros(len(points), dtype=bool)
    for a, b in itertools.pairwise(outline):
        edge, offset = b - a, points - a
        at = np.clip(offset @ edge / (edge @ edge), 0.0, 1.0)
        nearest = np.minimum(nearest, ((offset - at[:, None] * edge) ** 2).sum(axis=1))
        crosses = (a[1] <= points[:, 1]) != (b[1] <= points[:, 1])
        if edge[1] != 0.0:
            inside ^= crosses & (offset[:, 0] < offset[:, 1] * edge[0] / edge[1])
    return np.asarray(np.where(inside, -1.0, 1.0) * np.sqrt(nearest))


def smooth_union(distances: Array, *, blend: Mm) -> Array:
    """Smooth minimum (n,) of distances (k, n): −blend · ln Σ exp(−d / blend)."""
    least = distances.min(axis=0)
    return np.asarray(least - blend * np.log(np.exp(-(distances - least) / blend).sum(axis=0)))


def smooth_difference(body: Array, hole: Array, *, blend: Mm) -> Array:
    """Smooth maximum (n,) of `body` and the outside of `hole`."""
    return -smooth_union(np.stack([-body, hole]), blend=blend)
