"""How parts are proposed to lie in the printer: what hangs over by closed forms, and no support on a seat as the 3MF has it."""

import zipfile

import numpy as np
import pytest
import trimesh

from psi_cad.export.lying import OVERHANG, hanging, laid_out, least_supported, seat_up
from psi_cad.export.meshes import write_3mf
from psi_cad.frames import Frame, angle_between, unit
from psi_cad.surface.rays import SignedDistance

UP = np.array([0.0, 0.0, 1.0])
STEM = "supra-acetabular_generic-25x0.89"
NEAR = 0.75  # mm from bone: a seat, whose gap is 0.2


def area(mesh, which):
    return float(np.asarray(mesh.area_faces)[which].sum())


def placed(path):
    """Each part of a 3MF: as it lies in its own frame, and the rigid (4, 4) of its build item."""
    scene = trimesh.load(path)
    return [(scene.geometry[scene.graph[name][1]], scene.graph[name][0]) for name in scene.graph.nodes_geometry]


@pytest.mark.parametrize("half_angle", [20.0, 40.0, 50.0, 70.0])
def test_a_cone_on_its_tip_hangs_over_where_it_opens_by_more_than_the_printer_can(half_angle):
    height = 20.0
    cone = trimesh.creation.cone(height * np.tan(np.radians(half_angle)), height, sections=360)
    side = np.pi * height**2 * np.tan(np.radians(half_angle)) / np.cos(np.radians(half_angle))
    on_its_tip = area(cone, hanging(cone, -UP))
    assert on_its_tip == pytest.approx(side if half_angle > OVERHANG else 0.0, rel=1e-3)
    assert area(cone, hanging(cone, UP)) == 0.0, "its base lies on the bed"


def test_a_mushroom_is_printed_on_its_hat():
    hat = trimesh.creation.cylinder(20.0, 4.0, transform=trimesh.transformations.translation_matrix([0, 0, 32.0]))
    mushroom = trimesh.boolean.union([trimesh.creation.cylinder(5.0, 60.0, sections=64), hat])
    turn = trimesh.transformations.random_rotation_matrix(np.array([0.1, 0.5, 0.9]))
    mushroom.apply_transform(turn)
    up = least_supported(mushroom)
    assert up == pytest.approx(-turn[:3, 2], abs=1e-6) and not hanging(mushroom, up).any()
    assert area(mushroom, hanging(mushroom, -up)) == pytest.approx(np.pi * (20.0**2 - 5.0**2), rel=0.02)


@pytest.mark.parametrize("lean", [0.0, 30.0, 50.0, 60.0])
def test_a_guide_leans_as_little_as_keeps_supports_out_of_a_sleeve(lean):
    frame = Frame(origin=np.array([5.0, 6.0, 7.0]), axes=trimesh.transformations.random_rotation_matrix(np.array([0.2, 0.7, 0.4]))[:3, :3])
    bore = frame.patient_direction(np.array([np.sin(np.radians(lean)), 0.0, np.cos(np.radians(lean))]))
    up = seat_up(frame, [bore])
    tilt, left = angle_between(up, -frame.axes[2]), angle_between(up, -bore)
    assert left < OVERHANG and tilt <= max(0.0, lean - OVERHANG) + 5.0
    assert tilt == pytest.approx(0.0, abs=1e-5) or lean > OVERHANG
    assert seat_up(frame) == pytest.approx(-frame.axes[2])
    both = [bore, frame.patient_direction(np.array([-np.sin(np.radians(lean)), 0.0, np.cos(np.radians(lean))]))]
    assert angle_between(seat_up(frame, both), -frame.axes[2]) < 1e-5, "what frees one would close the other"


def test_parts_stand_on_the_bed_one_beside_the_other_each_turned_and_none_mirrored():
    boxes = [trimesh.creation.box((10.0, 20.0, 30.0)), trimesh.creation.box((5.0, 5.0, 40.0)), trimesh.creation.box((7.0, 8.0, 9.0))]
    ups = [unit(np.array([1.0, 0.0, 0.0])), unit(np.array([1.0, 2.0, 2.0])), None]
    edge = 0.0
    for mesh, up, place in zip(boxes, ups, laid_out(boxes, ups), strict=True):
        if up is None:
            assert (place == np.eye(4)).all()
            continue
        assert place[:3, :3] @ place[:3, :3].T == pytest.approx(np.eye(3)) and np.linalg.det(place[:3, :3]) == pytest.approx(1.0)
        assert place[:3, :3] @ up == pytest.approx(UP)
        low, high = trimesh.transform_points(mesh.vertices, place).min(axis=0), trimesh.transform_points(mesh.vertices, place).max(axis=0)
        assert low[2] == pytest.approx(0.0) and low[0] > edge and low[1] > 0.0
        edge = high[0]


def test_a_3mf_keeps_its_triangles_where_they_are_and_tells_how_they_are_turned(tmp_path):
    box = trimesh.creation.box((10.0, 20.0, 30.0), transform=trimesh.transformations.translation_matrix([100.0, -50.0, 7.0]))
    up = unit(np.array([1.0, 2.0, -2.0]))
    write_3mf(tmp_path / "one.3mf", box, title="one", software="test", metadata={}, further=[("other", box)], ups=[up])
    (turned, place), (as_it_lies, none) = placed(tmp_path / "one.3mf")
    assert turned.bounds == pytest.approx(box.bounds) and as_it_lies.bounds == pytest.approx(box.bounds)
    assert place == pytest.approx(laid_out([box], [up])[0], abs=1e-3) and none == pytest.approx(np.eye(4))
    told = "each build item turns its triangles for printing"
    assert told in zipfile.ZipFile(tmp_path / "one.3mf").read("3D/3dmodel.model").decode()
    write_3mf(tmp_path / "other.3mf", box, title="one", software="test", metadata={})
    assert told not in zipfile.ZipFile(tmp_path / "other.3mf").read("3D/3dmodel.model").decode()


def test_a_slicer_that_opens_the_3mf_has_the_seat_up_and_no_support_on_it(phantom_out, phantom_report):
    ((guide, place),) = placed(phantom_out / f"{STEM}.3mf")
    up = place[:3, :3].T @ UP
    (entry,) = phantom_report["guides"]
    assert up == pytest.approx(-np.array(entry["seating_axis"]), abs=1e-5) and up == pytest.approx(entry["print_up"], abs=1e-5)
    assert guide.bounds == pytest.approx(trimesh.load(phantom_out / f"{STEM}.stl").bounds, abs=1e-3), "the triangles are in the patient frame"
    distance = SignedDistance(trimesh.load(phantom_out / "bone.stl"))
    centres, normals = np.asarray(guide.triangles_center), np.asarray(guide.face_normals)
    outside = np.abs(distance(centres))
    seat = (outside < NEAR) & (np.abs(distance(centres + 0.1 * normals)) < outside - 0.05)  # what looks at the bone from near by
    assert area(guide, seat) > 1000.0
    assert area(guide, seat & hanging(guide, up)) == 0.0
    assert area(guide, seat & hanging(guide, -up)) > 500.0, "with the seat down supports stand on it"
