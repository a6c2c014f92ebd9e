"""The phantom: an implicit surface that is what it says, and the committed copy of it."""

import numpy as np
import pytest
import trimesh
from conftest import CASES

from psi_cad.phantom import hemipelvis
from psi_cad.phantom.shapes import polygon, round_cone


@pytest.fixture(scope="module")
def committed():
    return trimesh.load_mesh(CASES / "phantom" / "bone.stl")


def test_the_committed_bone_is_the_phantom(committed):
    assert committed.is_watertight and committed.euler_number == 0  # one handle: the obturator foramen
    assert np.abs(hemipelvis.implicit(committed.vertices)).max() < 0.01
    assert (committed.vertices[:, 0] < 5).all(), "a right bone lies at negative x (LPS)"


@pytest.mark.slow
def test_a_fresh_mesh_is_the_committed_one(committed):
    fresh = hemipelvis.bone_mesh(spacing=2.0)
    assert len(fresh.faces) == len(committed.faces)
    assert fresh.volume == pytest.approx(committed.volume, rel=1e-6)


@pytest.mark.slow
def test_signed_distance_steps_off_the_surface_exactly(committed, rng):
    feet = hemipelvis._onto(np.asarray(committed.vertices)[rng.integers(0, len(committed.vertices), 40)], rounds=6)
    slope = hemipelvis._gradient(feet)
    outward = slope / np.linalg.norm(slope, axis=1, keepdims=True)
    for away in (0.3, 0.8):
        np.testing.assert_allclose(hemipelvis.signed_distance(feet + away * outward), away, atol=1e-5)
    np.testing.assert_allclose(hemipelvis.signed_distance(feet - 0.3 * outward), -0.3, atol=1e-5)


def test_round_cone_against_its_definition(rng):
    start, end = np.array([0.0, 0, 0]), np.array([10.0, 4, -3])
    points = rng.uniform(-15, 20, (400, 3))
    t = np.linspace(0, 1, 4001)
    centres, radii = start + t[:, None] * (end - start), 5 + t * (2 - 5)
    brute = (np.linalg.norm(points[:, None] - centres, axis=2) - radii).min(axis=1)
    np.testing.assert_allclose(round_cone(points, start, end, 5.0, 2.0), brute, atol=1e-5)


def test_polygon_distance():
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0.0]])
    points = np.array([[2, 2], [2, 1], [5, 2], [7, 8], [-1, -1.0]])
    np.testing.assert_allclose(polygon(points, square), [-2, -1, 1, 5, np.sqrt(2)])


def test_the_lesion_is_in_the_wing_and_exact():
    mesh = hemipelvis.lesion_mesh()
    assert np.abs(hemipelvis.lesion_distance(mesh.vertices)).max() < 1e-9
    start, end, r1, r2 = hemipelvis.LESION
    assert hemipelvis.lesion_distance(np.array([start, end])) == pytest.approx([-r1, -r2])
    assert (hemipelvis.implicit(np.array([start, end])) < 8).all()
    assert mesh.volume > 4 / 3 * np.pi * r2**3
