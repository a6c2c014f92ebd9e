"""Closed shapes for tests of plans, with enough triangles that their facets do not matter."""

import numpy as np
import trimesh

from psi_cad.scene.cuts import plan_cuts
from psi_cad.surface.repair import checked_bone


def block(*sizes, at=(0, 0, 0), fine=4):
    mesh = trimesh.creation.box(sizes)
    for _ in range(fine):
        mesh = mesh.subdivide()
    mesh.apply_translation(at)
    return mesh


def ball(radius, at=(0, 0, 0), fine=5):
    """Vertices on the sphere: its distance to a plane is that of the sphere where a vertex looks at the plane."""
    mesh = trimesh.creation.icosphere(subdivisions=fine, radius=radius)
    mesh.apply_translation(at)
    return mesh


def ellipsoid(a, b, c, at=(0, 0, 0), fine=5):
    mesh = trimesh.creation.icosphere(subdivisions=fine)
    mesh.vertices = mesh.vertices * [a, b, c] + np.asarray(at, dtype=float)
    return mesh


def shell(outer, inner, fine=5):
    hole = ball(inner, fine=fine)
    hole.invert()
    return trimesh.util.concatenate([ball(outer, fine=fine), hole])


def planned(mesh, planes, *, groups=None):
    """(bone, cuts) of `planes`: name, origin, normal."""
    bone = checked_bone(mesh, name="bone")
    cuts = plan_cuts(bone, [(name, np.array(o, dtype=float), np.array(n, dtype=float), None) for name, o, n in planes], groups=groups)
    return bone, cuts


def turn():
    return trimesh.transformations.rotation_matrix(0.7, [0.3, -0.5, 0.8], [10, 20, 30])


def moved(matrix, mesh):
    mesh = mesh.copy()
    mesh.apply_transform(matrix)
    return mesh


def rounded_box(low, high):
    """Signed distances to a box, rounded a little, so that its corners are no seams."""
    middle, half = (np.array(low) + high) / 2.0, (np.array(high) - low) / 2.0 - 2.0

    def away(points):
        q = np.abs(np.asarray(points) - middle) - half
        return np.linalg.norm(np.maximum(q, 0.0), axis=1) + np.minimum(q.max(axis=1), 0.0) - 2.0

    return away
