"""Signed distances of simple solids and their smooth union; points (n, 3) and lengths in mm."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

from psi_cad.units import Array, Mm

__all__ = ["chain_distance", "polygon", "round_cone", "smooth_chain", "smooth_difference", "smooth_union", "sphere"]

LINKS: Final = 5  # straight pieces between two points of a chain


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


def smooth_chain(points: Array, *, closed: bool = False) -> Array:
    """A Catmull-Rom curve through `points` (n, k), `LINKS` pieces between two of them."""
    ring = np.vstack([points[-1], points, points[:2]]) if closed else np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.arange(LINKS)[:, None] / LINKS
    rows = []
    for p0, p1, p2, p3 in zip(ring[:-3], ring[1:-2], ring[2:-1], ring[3:], strict=True):
        rows.append(0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3))
    return np.vstack([*rows, points[:1] if closed else points[-1:]])


def chain_distance(points: Array, links: Array) -> Array:
    """Distance (n,) to the nearest of the chain's round cones; cones that cannot be the nearest are passed over."""
    best = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(links):
        reach = float(np.linalg.norm(b[:3] - a[:3])) / 2.0 + float(max(a[3], b[3]))
        may = np.linalg.norm(points - (a[:3] + b[:3]) / 2.0, axis=1) - reach < best
        if may.any():
            best[may] = np.minimum(best[may], round_cone(points[may], a[:3], b[:3], float(a[3]), float(b[3])))
    return best
