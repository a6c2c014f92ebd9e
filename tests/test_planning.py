"""Cuts, seating axis and pins, against closed forms and under rigid motion."""

import numpy as np
import pytest
import trimesh

from psi_cad.errors import CaseError
from psi_cad.scene.cuts import plan_cuts
from psi_cad.siting.about import AboutCuts, blade_axes, tilt_of, ways_aside
from psi_cad.siting.axis import expected_lock, seating_axes
from psi_cad.siting.pins import triangle_lever
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import checked_bone


def block(*sizes, at=(0, 0, 0)):
    mesh = trimesh.creation.box(sizes)
    for _ in range(4):
        mesh = mesh.subdivide()
    mesh.apply_translation(at)
    return mesh


def turn():
    return trimesh.transformations.rotation_matrix(0.7, [0.3, -0.5, 0.8], [10, 20, 30])


def moved(matrix, points):
    return trimesh.transform_points(np.atleast_2d(points), matrix)[0]


def test_a_cut_is_only_its_own_piece():
    bone = checked_bone(trimesh.util.concatenate([block(40, 30, 100), block(30, 30, 100, at=(80, 0, 0))]), name="b")
    cut = plan_cuts(bone, [("A", np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1.0]), None)])["A"]
    assert cut.section.area == pytest.approx(1200)
    assert len(cut.others) == 1 and cut.others[0].area == pytest.approx(900)
    assert cut.extent_along(np.array([1.0, 0, 0])) == pytest.approx((-21, 19))


def test_extent_caps_a_cut():
    bone = checked_bone(block(100, 10, 50), name="b")
    cut = plan_cuts(bone, [("A", np.zeros(3), np.array([0, 0, 1.0]), 30.0)])["A"]
    assert cut.extent_along(np.array([1.0, 0, 0])) == pytest.approx((-15, 15), abs=0.01)


def test_crossing_cuts_end_on_each_other():
    bone = checked_bone(block(80, 40, 80), name="b")
    cuts = [("A", np.array([0.0, 0, 0]), np.array([0, 0, 1.0]), None), ("B", np.array([10.0, 0, 0]), np.array([1.0, 0, 0]), None)]
    planned = plan_cuts(bone, cuts)
    assert planned["A"].neighbours == ("B",) and planned["B"].neighbours == ("A",)
    assert planned["A"].section.area == pytest.approx(30 * 40)  # x from 10 to 40
    assert planned["B"].section.area == pytest.approx(40 * 40)  # z from 0 to 40


def test_planes_that_cross_beside_the_bone_bound_nothing():
    legs = trimesh.util.concatenate([block(20, 20, 100, at=(-40, 0, 0)), block(20, 20, 100, at=(40, 0, 0)), block(100, 20, 20, at=(0, 0, 60))])
    bone = checked_bone(trimesh.boolean.union(legs.split()), name="b")
    lean = np.array([0.3, 0, 1.0])
    planned = plan_cuts(bone, [("A", np.array([-40.0, 0, 0]), lean, None), ("B", np.array([40.0, 0, 0]), -lean * [-1, 1, -1], None)])
    assert planned["A"].neighbours == () and planned["B"].neighbours == ()


def test_a_cut_beside_the_bone_says_how_far_and_why():
    mesh = block(40, 30, 100, at=(90, -20, 10))
    bone = checked_bone(mesh, name="b")
    with pytest.raises(CaseError, match="RAS"):
        plan_cuts(bone, [("A", np.array([-90.0, 20, 10]), np.array([0, 0, 1.0]), None)])
    with pytest.raises(CaseError, match="150 mm from the origin"):
        plan_cuts(bone, [("A", np.array([90.0, -185.0, 10]), np.array([0, 0, 1.0]), None)])
    with pytest.raises(CaseError, match="cm"):
        plan_cuts(bone, [("A", np.array([900.0, -200, 100]), np.array([0, 0, 1.0]), None)])


def test_sections_move_with_the_bone():
    mesh = block(40, 30, 100)
    matrix = turn()
    still = plan_cuts(checked_bone(mesh, name="b"), [("A", np.array([1.0, 2, 3]), np.array([0.2, 0.1, 1.0]), None)])["A"]
    mesh.apply_transform(matrix)
    normal = matrix[:3, :3] @ [0.2, 0.1, 1.0]
    there = plan_cuts(checked_bone(mesh, name="b"), [("A", moved(matrix, [1.0, 2, 3]), normal, None)])["A"]
    assert there.section.area == pytest.approx(still.section.area, rel=1e-6)


def test_blade_axes_are_right_handed_and_in_the_plane():
    normal, axis = np.array([0.0, 0.6, 0.8]), np.array([0.0, 0.0, 1.0])
    along, blade = blade_axes(normal, axis)
    assert abs(along @ normal) < 1e-12 and abs(blade @ normal) < 1e-12
    np.testing.assert_allclose(np.cross(normal, along), blade, atol=1e-12)
    assert blade @ axis > 0


def test_the_seating_axis_looks_at_the_flat_of_a_plate():
    bone = checked_bone(block(60, 20, 120), name="b")
    cut = plan_cuts(bone, [("A", np.zeros(3), np.array([0, 0, 1.0]), None)])["A"]
    tilted = np.array([0.15, 1.0, 0.1])
    axes = seating_axes(RayCaster(bone.mesh), bone.part_of_face, AboutCuts((cut,)), approach=tilted, cone=15, reach=15, slope_limit=55, part=0)
    found = axes[0]
    assert len(axes) == found.searched == 37
    assert all(axis.contact_area <= found.contact_area * 1.2 for axis in axes)
    assert found.contact_area > 0.8 * 60 * 30
    assert found.tilt <= 15.0001
    fixed, *others = seating_axes(
        RayCaster(bone.mesh), bone.part_of_face, AboutCuts((cut,)), approach=tilted, cone=0, reach=15, slope_limit=55, part=0
    )
    assert not others
    np.testing.assert_allclose(fixed.direction, tilted / np.linalg.norm(tilted))


@pytest.mark.parametrize(("normals", "laid"), [([(0, 0, 1)], (0.15, 1, 0)), ([(0, 0, 1), (1, 0, 0.05)], (0, 1, 0))])
def test_an_approach_is_laid_into_the_planes_of_its_cuts(normals, laid):
    bone = checked_bone(block(60, 20, 120), name="b")
    cuts = list(plan_cuts(bone, [(f"C{number}", np.zeros(3), np.array(normal, float), None) for number, normal in enumerate(normals)]).values())
    (way,) = ways_aside(cuts, np.array([0.15, 1.0, 0.4]))  # turned as well, it would be further away than anyone can ask for
    assert tilt_of(way, np.array(laid) / np.linalg.norm(laid)) < 1.0
    assert ways_aside(cuts, np.array([0.0, 1.0, 1.2])) == [], "so far nobody can ask for"


def test_an_approach_in_its_plane_is_turned_to_either_side():
    (cut,) = plan_cuts(checked_bone(block(60, 20, 120), name="b"), [("A", np.zeros(3), np.array([0, 0, 1.0]), None)]).values()
    found = ways_aside([cut], np.array([0.0, 1.0, 0.02]))
    assert sorted(round(float(np.degrees(np.arctan2(way[0], way[1])))) for way in found) == [-25, 25]


def test_triangle_lever():
    assert triangle_lever(np.array([[0, 0], [10, 0], [20, 0.0]])) == 0.0
    assert triangle_lever(np.array([[0, 0], [10, 0], [0, 10.0]])) == pytest.approx(100 / np.hypot(10, 10))
    assert triangle_lever(np.zeros((2, 2))) == 0.0


def looked_at(mesh):
    """The lock of a bone's front as the look at all directions takes it, and as a finer one does."""
    bone = checked_bone(mesh, name="b")
    about = AboutCuts((plan_cuts(bone, [("A", np.zeros(3), np.array([0, 0, 1.0]), None)])["A"],))
    caster, ahead = RayCaster(bone.mesh), np.array([0.0, 1.0, 0.0])
    options = {"reach": 18.0, "slope_limit": 65.0, "part": 0}
    (axis,) = seating_axes(caster, bone.part_of_face, about, approach=ahead, cone=0, **options)
    return axis.sliding_lock, expected_lock(caster, bone.part_of_face, about, direction=ahead, **options)


def shaft(radius):
    """A shaft of `radius` (a function of z, mm), its rings a millimetre apart."""
    return trimesh.creation.revolve(np.array([[0, -50], *[[radius(z), z] for z in np.arange(-50.0, 50.5, 1.0)], [0, 50]]), sections=96)


def test_what_is_rough_holds_no_better_than_what_is_smooth():
    rough = shaft(lambda z: 15.0)
    rng = np.random.default_rng(4)
    rough.vertices[:, :2] *= 1.0 + rng.uniform(-0.02, 0.02, len(rough.vertices))[:, None]
    coarse, finer = looked_at(rough)
    assert coarse > 0.12 > 0.06 > finer


def test_what_is_wavy_holds_by_its_shape():
    wavy = block(60, 20, 80).subdivide()
    front = wavy.vertices[:, 1] > 9.9
    wavy.vertices[front, 1] += np.sin(wavy.vertices[front, 0] / 4.0) + np.sin(wavy.vertices[front, 2] / 4.0)
    coarse, finer = looked_at(wavy)
    assert finer == pytest.approx(coarse, rel=0.15) and finer > 0.12
