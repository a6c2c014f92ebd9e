"""The surface of an implicit function: sampled, and every vertex then moved onto the zero that is meant."""

from __future__ import annotations

import numpy as np
import trimesh
from scipy import ndimage

from psi_cad.phantom.distance import Distance
from psi_cad.phantom.shapes import round_cone
from psi_cad.units import Array, Mm

__all__ = ["gradient", "hull_mesh", "meshed", "onto"]


def gradient(function: Distance, points: Array) -> Array:
    """∇f (n, 3) by central differences; f is smooth, so 1e-4 mm gives about nine digits."""
    step = 1e-4
    moved = np.concatenate([points + sign * step * axis for axis in np.eye(3) for sign in (1.0, -1.0)])
    values = function(moved).reshape(3, 2, len(points))
    return np.asarray(((values[:, 0] - values[:, 1]) / (2.0 * step)).T)


def onto(function: Distance, points: Array, rounds: int = 3) -> Array:
    """`points` moved along ∇f onto the surface."""
    for _ in range(rounds):
        slope = gradient(function, points)
        points = points - (function(points) / np.maximum((slope**2).sum(axis=1), 1e-6))[:, None] * slope
    return points


def meshed(function: Distance, *, low: Array, high: Array, spacing: Mm) -> trimesh.Trimesh:
    """The surface within a box (patient mm): marching cubes at `spacing`, every vertex then moved onto the exact surface."""
    from skimage.measure import marching_cubes

    coarse = 3.0 * spacing
    axes = [np.arange(a, b, coarse) for a, b in zip(low, high, strict=True)]
    shape = tuple(len(axis) for axis in axes)
    rough = function(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)).reshape(shape)
    fine_shape = tuple(3 * (n - 1) + 1 for n in shape)
    index = np.stack(np.meshgrid(*(np.arange(n) / 3.0 for n in fine_shape), indexing="ij"))
    values = ndimage.map_coordinates(rough, index, order=1)
    near = np.abs(values) < 0.8 * coarse  # elsewhere only the sign matters
    values[near] = function(low + index[:, near].T * coarse)
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(spacing,) * 3)
    mesh = trimesh.Trimesh(onto(function, vertices + low, rounds=2), faces, process=True)
    mesh.update_faces(mesh.nondegenerate_faces(height=1e-6))
    mesh.fix_normals()
    return mesh


def hull_mesh(start: Array, end: Array, start_radius: Mm, end_radius: Mm, *, subdivisions: int) -> trimesh.Trimesh:
    """The hull of two spheres, every vertex on its exact surface."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    middle = (start * start_radius + end * end_radius) / (start_radius + end_radius)
    directions = np.asarray(ball.vertices)
    low, high = np.zeros(len(directions)), np.full(len(directions), float(np.linalg.norm(end - start)) + start_radius + end_radius)
    for _ in range(50):  # bisection: the solid is convex, each ray leaves it once
        half = (low + high) / 2.0
        inside = round_cone(middle + half[:, None] * directions, start, end, start_radius, end_radius) < 0.0
        low, high = np.where(inside, half, low), np.where(inside, high, half)
    return trimesh.Trimesh(middle + low[:, None] * directions, ball.faces, process=False)
