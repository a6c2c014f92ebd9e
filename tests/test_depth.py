"""Cutting depth, the blade's reach, structures beyond, and how much of a cut the saw gets at, against closed forms."""

import numpy as np
import pytest
import trimesh
from shapes import ball, block, planned

from psi_cad.resection.avoid import Structure, face_distance, over_travel_distance
from psi_cad.resection.depth import beyond, obstacles_in_plane, reachable, slot_depth
from psi_cad.scene.nearest import Surface

Z, Y = [0, 0, 1.0], np.array([0, 1.0, 0])


def profile_of(mesh, axis, normal=Z, origin=(0, 0, 0)):
    _, cuts = planned(mesh, [("A", origin, normal)])
    return cuts["A"], slot_depth(cuts["A"], axis)


def test_a_block():
    _, found = profile_of(block(60, 30, 80), Y)
    assert found.deepest == pytest.approx(30) and found.length == pytest.approx(60, abs=1e-4)
    np.testing.assert_allclose(found.depth, 30)
    np.testing.assert_allclose(found.blade, Y, atol=1e-12)


def test_a_tilted_cut_and_approach():
    """Plane turned 30° about x: along its blade the block is 30 / cos 30° deep; the approach only chooses the direction."""
    normal = [0, np.sin(np.pi / 6), np.cos(np.pi / 6)]
    _, found = profile_of(block(60, 30, 120), np.array([0, 1.0, 0.4]), normal)
    assert found.deepest == pytest.approx(30 / np.cos(np.pi / 6))
    _, slanted = profile_of(block(60, 30, 80), np.array([0.5, 1.0, 0]))
    assert slanted.deepest == pytest.approx(30 * np.hypot(1, 0.5))


def test_a_ball_and_a_tube():
    _, found = profile_of(ball(20), Y)
    assert found.deepest == pytest.approx(40, rel=2e-3)
    s = np.linspace(-19, 19, 9)
    np.testing.assert_allclose(np.interp(s, found.s, found.depth), 2 * np.sqrt(400 - s**2), atol=0.08)
    tube = trimesh.creation.annulus(r_min=8, r_max=14, height=90, sections=256).subdivide().subdivide().subdivide()
    _, found = profile_of(tube, Y)
    assert found.deepest == pytest.approx(28, rel=2e-3), "to the far cortex, across the canal"


def test_what_the_saw_gets_at():
    cut, found = profile_of(block(60, 30, 80), Y)
    nothing = obstacles_in_plane(cut, found, [])
    assert reachable(found, nothing, reach=None) == pytest.approx(1)
    assert reachable(found, nothing, reach=12.0) == pytest.approx(0.4, abs=1e-6)
    shelf = trimesh.util.concatenate([block(60, 30, 80), block(20, 10, 80, at=(20, 40, 0))])
    cut, found = profile_of(shelf, Y)
    blocked = obstacles_in_plane(cut, found, [])
    assert reachable(found, blocked, reach=None) == pytest.approx(2 / 3, abs=0.01), "behind bone that stays"
    assert reachable(slot_depth(cut, -Y), blocked_from(cut, -Y), reach=None) == pytest.approx(1)
    vessel = block(15, 4, 4, at=(-10, 22, 0), fine=1)
    cut, found = profile_of(block(60, 30, 80), Y)
    assert reachable(found, obstacles_in_plane(cut, found, [vessel]), reach=None) == pytest.approx(0.75, abs=0.01)


def blocked_from(cut, axis):
    return obstacles_in_plane(cut, slot_depth(cut, axis), [])


def test_beyond_the_far_cortex():
    cut, found = profile_of(block(60, 30, 80), Y)
    region = beyond(cut, found, reach=50.0, run_out=5.0)
    assert region.region.area == pytest.approx(70 * 20)
    assert beyond(cut, found, reach=25.0, run_out=5.0) is None
    vessel = Structure("artery", Surface(ball(4, at=(0, -45, 3))), 5.0)
    away = over_travel_distance(cut, found, vessel, reach=50.0, run_out=5.0)
    assert away.distance == pytest.approx(np.hypot(10, 3) - 4, abs=0.02)  # the blade ends at y = -35
    assert over_travel_distance(cut, found, vessel, reach=75.0, run_out=5.0).distance == 0.0
    assert over_travel_distance(cut, found, vessel, reach=20.0, run_out=5.0) is None
    assert face_distance(cut, vessel, run_out=5.0).distance == pytest.approx(np.hypot(25, 3) - 4, abs=0.02)


def test_the_lines_a_blade_is_held_against_hold_the_deepest():
    """A wedge: each millimetre keeps its farthest line, and none is invented."""

    wedge = trimesh.convex.convex_hull(np.array([[x, y, z] for x, y in ((-20, 0), (20, 0), (20, -30), (-20, -10)) for z in (-30, 30)], dtype=float))
    for _ in range(4):
        wedge = wedge.subdivide()
    _, cuts = planned(wedge, [("A", [0, -5, 0], [0, 0, 1.0])])
    profile = slot_depth(cuts["A"], np.array([0, 1.0, 0]))
    lines = np.array(profile.deepest_lines())
    assert lines[:, 1].min() == pytest.approx(profile.far.min(), abs=1e-4) == pytest.approx(-25.0, abs=1e-3)
    assert 40 <= len(lines) <= 42 and (np.diff(lines[:, 0]) > 0).all()
    np.testing.assert_allclose(lines[:, 1], np.interp(lines[:, 0], profile.s, profile.far), atol=1e-3)
