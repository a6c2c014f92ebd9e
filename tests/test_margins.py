"""Residual margins against closed forms: distance in space and through bone, class at its limits, area under each class."""

import numpy as np
import pytest
import trimesh
from scipy.optimize import minimize
from shapes import ball, block, ellipsoid, moved, planned, shell, turn

from psi_cad.case.load import load_case
from psi_cad.extraction.tumour import diameters
from psi_cad.plans.measured import evaluate
from psi_cad.plans.patient import read_patient
from psi_cad.resection.margins import cut_margin, face_map, margin_class
from psi_cad.resection.throughbone import InBone, through_bone
from psi_cad.scene.nearest import Face, Surface, nearest
from psi_cad.surface.rays import RayCaster

Z = [0, 0, 1.0]


def margin_of(tumour, cut, **options):
    return cut_margin(cut, Surface(tumour), **options)


def through(bone, cut, tumour):
    surface = Surface(tumour)
    inside = InBone(Surface(bone.mesh), RayCaster(bone.mesh))
    return through_bone(inside, surface, cut, cut_margin(cut, surface).to_face)


@pytest.mark.parametrize(("margin", "kind"), [(2.001, "R0"), (2.0, "R1"), (2.0 + 1e-9, "R1"), (0.001, "R1"), (0.0, "R2"), (1e-9, "R2")])
def test_classes_at_their_limits(margin, kind):
    assert margin_class(margin) == kind


@pytest.mark.parametrize(
    "height",
    [
        20.0,
        pytest.param(14.5, marks=pytest.mark.slow),
        14.0,
        pytest.param(13.0, marks=pytest.mark.slow),
        12.0,
        pytest.param(8.0, marks=pytest.mark.slow),
        -3.0,
    ],
)
def test_a_ball_in_a_block(height):
    _, cuts = planned(block(100, 60, 80), [("A", [0, 0, 0], Z)])
    found = margin_of(ball(12, at=(3, -2, height)), cuts["A"])
    assert found.nearest.distance == pytest.approx(max(0.0, height - 12), abs=0.02)
    assert found.kind == ("R0" if height > 14 else "R1" if height > 12 else "R2")
    positive = np.pi * max(0.0, 144 - height**2)
    marginal = np.pi * max(0.0, 196 - height**2) - positive
    areas = found.area_by_class
    assert areas["R2"] == pytest.approx(positive, abs=0.005 * max(positive, 100))
    assert areas["R1"] == pytest.approx(marginal, abs=0.005 * max(marginal, 100))
    assert sum(areas.values()) == pytest.approx(6000, rel=1e-9)
    if height > 12:
        np.testing.assert_allclose(found.nearest.on_face, [3, -2, 0], atol=0.35)


def test_exactly_two_and_exactly_none():
    _, cuts = planned(block(100, 60, 80), [("A", [0, 0, 0], Z)])
    for height, kind in ((22.0, "R1"), (22.00001, "R0"), (20.0, "R2"), (20.00001, "R1")):
        cube = block(10, 10, 40, at=(0, 0, height), fine=0)
        assert margin_of(cube, cuts["A"]).kind == kind


def test_an_ellipsoid_over_a_tilted_cut():
    normal = np.array([0.3, -0.2, 1.0]) / np.linalg.norm([0.3, -0.2, 1.0])
    _, cuts = planned(block(100, 100, 120), [("A", [1, 2, -20], normal)])
    axes = np.array([14.0, 9.0, 20.0])
    want = (np.array([2.0, 1.0, 25.0]) - [1, 2, -20]) @ normal - np.linalg.norm(axes * normal)
    found = margin_of(ellipsoid(*axes, at=(2, 1, 25), fine=6), cuts["A"])
    assert found.nearest.distance == pytest.approx(want, abs=0.02)
    assert diameters(ellipsoid(14, 9, 20, fine=5))[0] == pytest.approx((40, 28, 18), rel=2e-3)


def test_the_face_is_meant_and_not_its_plane():
    """A ball beside the bone, across the plane of the cut: the plane runs through it, the saw does not."""
    _, cuts = planned(block(20, 20, 80), [("A", [0, 0, 0], Z)])
    found = margin_of(ball(5, at=(40, 0, 0)), cuts["A"], run_out=5.0)
    assert found.to_face.distance == pytest.approx(40 - 5 - 10, abs=0.02)
    assert found.nearest.distance == pytest.approx(40 - 5 - 15, abs=0.02)  # to where the blade runs out
    assert found.kind == "R0"


def test_distance_to_an_edge_of_the_face():
    """Nearest between an edge of the tumour and an edge of the face: two skew edges, neither at a vertex."""
    _, cuts = planned(block(20, 20, 80), [("A", [0, 0, 0], Z)])
    bar = trimesh.creation.box([4, 60, 4])
    bar.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 4, [0, 1, 0]))
    bar.apply_transform(trimesh.transformations.rotation_matrix(0.6, [1, 0, 0]))  # its edge leans across the face's edge
    bar.apply_translation([19, 0, 3])
    face = Face(cuts["A"].origin, cuts["A"].axes, cuts["A"].section)

    def between(t, a, b):
        p = a + np.clip(t[0], 0, 1) * (b - a)
        return np.linalg.norm(p - [np.clip(p[0], -10, 10), np.clip(p[1], -10, 10), 0])

    want = np.inf
    for a, b in bar.vertices[bar.edges_unique]:
        tries = (minimize(between, [t], args=(a, b), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-10}).fun for t in (0.1, 0.5, 0.9))
        want = min(want, *tries)
    assert nearest(Surface(bar), face).distance == pytest.approx(want, abs=1e-5)


def test_two_crossing_planes_bound_what_they_cut():
    """A ball beyond the second plane is near the plane of the first but not near its face."""
    planes = [("A", [0, 0, 0], Z), ("B", [10, 0, 0], [1.0, 0, 0])]
    _, cuts = planned(block(80, 40, 80), planes)
    inside = ball(6, at=(22, 0, 15))
    assert margin_of(inside, cuts["A"]).nearest.distance == pytest.approx(9, abs=0.02)
    assert margin_of(inside, cuts["B"]).nearest.distance == pytest.approx(6, abs=0.02)
    outside = ball(4, at=(-2, 0, 5))
    assert margin_of(outside, cuts["A"]).nearest.distance == pytest.approx(13 - 4, abs=0.02)  # the corner lies 12 and 5 away


def test_through_bone_is_the_straight_line_where_that_stays_in_bone():
    bone, cuts = planned(block(60, 60, 80), [("A", [0, 0, -20], Z)])
    assert through(bone, cuts["A"], ball(8, at=(0, 0, 10))).distance == pytest.approx(22, abs=0.02)


def test_through_bone_goes_round_a_hollow():
    """Tumour at the pole of a shell: tangent to the hollow, along it to the equator, and down to the cut."""
    bone, cuts = planned(shell(40, 30), [("A", [35, 0, -10], Z)])
    assert cuts["A"].section.area == pytest.approx(np.pi * (1600 - 900), rel=0.005)
    found = through(bone, cuts["A"], ball(4, at=(0, 0, 35)))
    want = np.sqrt(35**2 - 30**2) - 4 + 30 * (np.pi / 2 - np.arccos(30 / 35)) + 10
    assert found.distance == pytest.approx(want, abs=0.02)
    assert cut_margin(cuts["A"], Surface(ball(4, at=(0, 0, 35)))).to_face.distance < want - 5


@pytest.mark.parametrize("gap", [1.5, pytest.param(4.0, marks=pytest.mark.slow), 12.0])
def test_through_bone_takes_a_way_many_times_the_straight_one(gap):
    """A slit between tumour and cut, open at one end of the bone: round the slit's other end and down, not across the slit."""
    slit = trimesh.creation.box([60, 90, gap])
    slit.apply_translation([0, -5, 0])
    bone, cuts = planned(trimesh.boolean.difference([block(20, 100, 60, fine=0), slit]), [("A", [0, 0, -10], Z)])
    tumour = ball(6, at=(0, -38, gap / 2 + 10))
    want = np.hypot(78, 10) - 6 + gap + 10 - gap / 2
    assert cut_margin(cuts["A"], Surface(tumour)).to_face.distance == pytest.approx(14 + gap / 2, abs=0.02)
    assert through(bone, cuts["A"], tumour).distance == pytest.approx(want, abs=0.1)


@pytest.mark.parametrize("shift", [0.0, pytest.param(0.4, marks=pytest.mark.slow), 0.9, pytest.param(1.3, marks=pytest.mark.slow)])
def test_through_bone_thinner_than_a_cell(shift):
    """Two blocks joined by a bent web of 1 mm, wherever the grid may fall."""
    parts = [block(20, 20, 20, at=(0, 0, 30), fine=2), block(20, 20, 20, at=(0, 0, -30), fine=2), block(1, 20, 60, at=(9.5, 0, 0), fine=3)]
    mesh = trimesh.boolean.union(parts)
    mesh.apply_translation([shift, 0, 0])
    bone, cuts = planned(mesh, [("A", [shift, 0, -30], Z)])
    tumour = ball(5, at=(shift, 0, 30))
    want = np.hypot(9, 10) - 5 + 40 + 10
    assert through(bone, cuts["A"], tumour).distance == pytest.approx(want, abs=0.1)


def test_no_way_through_bone_for_a_tumour_beside_it():
    bone, cuts = planned(block(40, 30, 60), [("A", [0, 0, 0], Z)])
    assert through(bone, cuts["A"], ball(6, at=(27, 0, 15))) is None, "1 mm of something else lies between"
    assert through(bone, cuts["A"], ball(6, at=(25, 0, 15))) is not None


def test_no_way_through_bone():
    bone, cuts = planned(trimesh.util.concatenate([block(40, 30, 60), block(30, 30, 60, at=(80, 0, 0))]), [("A", [0, 0, 0], Z)])
    assert through(bone, cuts["A"], ball(6, at=(80, 0, 10))) is None


def test_margins_move_with_the_patient():
    matrix = turn()
    mesh, tumour = block(100, 60, 80), ellipsoid(10, 7, 12, at=(3, 4, 13.5))
    normal = np.array([0.1, 0.2, 1.0])
    _, cuts = planned(mesh, [("A", [0, 0, 0], normal)])
    still = margin_of(tumour, cuts["A"])
    origin = trimesh.transform_points([[0.0, 0, 0]], matrix)[0]
    _, cuts = planned(moved(matrix, mesh), [("A", origin, matrix[:3, :3] @ normal)])
    there = margin_of(moved(matrix, tumour), cuts["A"])
    assert there.nearest.distance == pytest.approx(still.nearest.distance, abs=1e-6)
    assert there.kind == still.kind
    for kind, area in still.area_by_class.items():
        assert there.area_by_class[kind] == pytest.approx(area, abs=0.5)
    np.testing.assert_allclose(trimesh.transform_points([still.nearest.on_face], matrix)[0], there.nearest.on_face, atol=1e-6)


def test_the_map_is_the_face():
    _, cuts = planned(block(100, 60, 80), [("A", [0, 0, 0], Z)])
    face = face_map(cuts["A"], Surface(ball(12, at=(3, -2, 20))))
    mesh = trimesh.Trimesh(face.vertices, face.faces, process=False)
    assert mesh.area == pytest.approx(6000, rel=1e-9)
    assert (mesh.face_normals @ Z > 0.999).all(), "it looks towards the specimen"
    np.testing.assert_allclose(face.distance, np.linalg.norm(face.vertices - [3, -2, 20], axis=1) - 12, atol=0.02)


def test_the_type_one_case(shared_cases):
    loaded = load_case(shared_cases / "hip-left-type1")
    report = evaluate(read_patient(loaded, progress=lambda _: None), progress=lambda _: None).report
    assert report.margin_mm == pytest.approx(24.73, abs=0.02)
    assert report.margin_sawn_mm == pytest.approx(24.73 - 1.04 / 2, abs=0.02)
    assert report.class_ == "R0" and report.cuts[0].name == "A"
    dust = 1.04 * report.cuts[0].area_mm2
    assert report.kerf_mm3 == pytest.approx(dust, rel=0.002)
    assert report.healthy_removed_mm3 - dust / 2 == pytest.approx(153_400, rel=0.002), "above the plane, and half the dust below it"
