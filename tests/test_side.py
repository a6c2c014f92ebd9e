"""Sides told from shape: no wrong verdict on true bones, their mirror images and turned copies; the case's side held against it."""

import json

import numpy as np
import pytest
import trimesh
from conftest import CASES
from scipy.spatial.transform import Rotation
from shapes import ball, block, ellipsoid
from skimage.measure import marching_cubes

from psi_cad.anatomy.side import verdict_of
from psi_cad.api import plan, validate
from psi_cad.case.load import load_case
from psi_cad.errors import CaseError
from psi_cad.intake.side import checked_side
from psi_cad.phantom.femur import drawn_references, femur, references
from psi_cad.records.bones import ScannedBody
from psi_cad.surface.mesh_files import read_surface
from psi_cad.surface.repair import checked_bone, outside_of

OTHER = {"left": "right", "right": "left", None: None}
BONES = [
    ("hip_femur_meshes/hip_left.stl", "hip", "left"),
    *((f"pelvis_atlas_meshes/{side.title()}Hip{n}_cpd.vtk", "hip", side) for n in (3, 14, 27, 47) for side in ("left", "right")),
    ("hip_femur_meshes/femur_left.stl", "femur", "left"),
    ("hip_femur_meshes/proximal_femur_left_dense.stl", "femur", "left"),
    ("pelvis_atlas_meshes/Sacrum14_cpd.vtk", None, None),
    ("pelvis_atlas_meshes/Sacrum_9.stl", None, None),
]


def flipped(mesh, axis):
    """A mirror image: a true bone of the other side for x, a mirrored export for y and z."""
    vertices = np.array(mesh.vertices)
    vertices[:, axis] *= -1.0
    return trimesh.Trimesh(vertices, np.asarray(mesh.faces)[:, ::-1], process=False)


def turned(mesh, matrix):
    return trimesh.Trimesh(np.asarray(mesh.vertices) @ np.asarray(matrix, dtype=float).T, mesh.faces, process=False)


def solid(function, low, high, step=2.0):
    axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
    values = function(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)).reshape([len(axis) for axis in axes])
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(step,) * 3)
    mesh = trimesh.Trimesh(vertices + np.array(low), faces)
    mesh.fix_normals()
    return mesh


@pytest.fixture(scope="module")
def phantom():
    """The phantom: a right hip bone."""
    return trimesh.load_mesh(CASES / "phantom" / "bone.stl")


@pytest.fixture(scope="module")
def thigh():
    """The upper end of a left femur."""
    return solid(femur, [-30, -34, -210], [86, 50, 32])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bone", "side"), BONES, ids=lambda value: str(value).rpartition("/")[2])
def test_true_bones_mirrored_and_turned(data, name, bone, side):
    """Five copies of thirteen bones."""
    mesh = read_surface(data / name, units="mm", coordinates="LPS", key="bone")
    plain = verdict_of(mesh, references())
    assert (plain.bone, plain.side, plain.mirrored) == (bone, side, False)
    mirrored = verdict_of(flipped(mesh, 0), references())
    assert (mirrored.bone, mirrored.side, mirrored.mirrored) == (bone, OTHER[side], False)
    backward = verdict_of(flipped(mesh, 1), references())
    assert (backward.hand, backward.side) == (OTHER[side], None)
    assert backward.mirrored == (bone is not None), "mirrored in place: its hand is not that of where it looks"
    upside_down = verdict_of(turned(mesh, np.diag([1, -1, -1])), references())
    assert (upside_down.hand, upside_down.side, upside_down.mirrored) == (side, None, False)
    anyhow = verdict_of(turned(mesh, Rotation.random(random_state=len(name)).as_matrix()), references())
    assert anyhow.hand in (side, None)
    assert anyhow.side in (side, None)


def test_the_references_in_the_file_are_those_that_are_drawn():
    """After a change of the phantom `psi_cad.phantom.femur.keep()` writes them anew."""
    for kept, drawn in zip(references(), drawn_references(), strict=True):
        assert kept.name == drawn.name
        assert np.allclose(kept.points, drawn.points, rtol=0.0, atol=1e-9) and np.allclose(kept.normals, drawn.normals, rtol=0.0, atol=1e-9)
        assert np.allclose(kept.joint.centre, drawn.joint.centre, atol=1e-9) and np.allclose(kept.joint.towards, drawn.joint.towards, atol=1e-9)
        assert (kept.joint.radius, kept.joint.covered) == pytest.approx((drawn.joint.radius, drawn.joint.covered), abs=1e-9)


def test_the_phantom_and_its_images(phantom):
    assert verdict_of(phantom, references()).side == "right"
    assert verdict_of(flipped(phantom, 0), references()).side == "left"
    for axis in (1, 2):
        found = verdict_of(flipped(phantom, axis), references())
        assert found.hand == "left" and found.side is None
    half_turn = verdict_of(turned(phantom, np.diag([-1, -1, 1])), references())  # RAS read as LPS
    assert half_turn.hand == "right" and half_turn.mirrored


def test_a_femur_and_its_images(thigh):
    found = verdict_of(thigh, references())
    assert (found.bone, found.side) == ("femur", "left")
    assert found.radius == pytest.approx(24.0, abs=1.0)
    assert np.linalg.norm(found.where) < 2.0
    assert verdict_of(flipped(thigh, 0), references()).side == "right"
    assert verdict_of(flipped(thigh, 1), references()).mirrored
    bent = turned(thigh, Rotation.from_euler("zx", [25, -25], degrees=True).as_matrix())
    assert verdict_of(bent, references()).side == "left"


def test_the_verdict_is_the_same_every_time_and_anywhere(phantom):
    one, again = verdict_of(phantom, references()), verdict_of(phantom, references())
    assert (again.evidence, again.margin, again.turned) == (one.evidence, one.margin, one.turned)
    far = phantom.copy()
    far.apply_translation([700, -300, 1100])
    assert verdict_of(far, references()).margin == pytest.approx(one.margin, abs=0.02)


@pytest.mark.parametrize(
    "mesh",
    [ball(22), ball(25, fine=4), ellipsoid(30, 40, 60), block(60, 40, 100), trimesh.creation.cylinder(14, 200, sections=64)],
    ids=["ball", "large ball", "ellipsoid", "block", "rod"],
)
def test_what_is_no_hip_or_femur_is_not_told(mesh):
    found = verdict_of(mesh, references())
    assert (found.bone, found.hand, found.place) == (None, None, None)


def test_a_marrow_cavity_does_not_hide_the_side(thigh):
    cavity = ball(19)  # in the head: a hollow ball is a socket's sign
    cavity.invert()
    bone = checked_bone(trimesh.util.concatenate([thigh, cavity]), name="bone")
    assert len(bone.mesh.faces) == len(thigh.faces) + len(cavity.faces)
    outside = outside_of(bone)
    assert outside.volume == pytest.approx(thigh.volume, rel=1e-6)
    assert verdict_of(outside, references()).side == "left"


def test_parts_without_the_telling_feature_are_not_told(phantom, thigh):
    ilium = trimesh.intersections.slice_mesh_plane(phantom, [0, 0, 1], [0, 0, 30])
    shaft = trimesh.intersections.slice_mesh_plane(thigh, [0, 0, -1], [0, 0, -60])
    head = trimesh.intersections.slice_mesh_plane(thigh, [0, 0, 1], [0, 0, -40])
    for part in (ilium, shaft, head):
        found = verdict_of(part, references())
        assert (found.hand, found.place) == (None, None)
    below_wing = trimesh.intersections.slice_mesh_plane(phantom, [0, 0, -1], [0, 0, 85])  # socket, ischium and pubis are there
    assert verdict_of(below_wing, references()).side == "right"


@pytest.fixture
def case(tmp_path, phantom):
    """A function that loads a case on the phantom with a side and further lines."""

    def make(side, extra="", bone=""):
        path = tmp_path / "case.toml"
        phantom.export(tmp_path / "bone.stl")
        path.write_text(
            f'schema = 1\nid = "c"\nside = "{side}"\n{extra}\n[bone]\nsurface = "bone.stl"\nunits = "mm"\ncoordinates = "LPS"\n{bone}\n'
            '[[cut]]\nname = "A"\norigin = [-106.0, -8.0, 62.0]\nnormal = [0.0, 0.0, 1.0]\n',
            "utf-8",
        )
        return load_case(path, needs=("cut",))

    return make


def cautions(found):
    return [caution.id for caution in found[2]]


def test_a_right_side_says_nothing(case, phantom):
    found = checked_side(case("right"), phantom)
    assert found[1].verdict == "agrees" and cautions(found) == []
    assert found[1].bone == "hip" and "socket" in found[1].evidence and len(found[1].where) == 3


@pytest.mark.parametrize("side", ["left", "midline"])
def test_a_wrong_side_is_refused_unless_confirmed(case, phantom, side):
    with pytest.raises(CaseError, match=f'case.toml: side = "{side}", but this is a right hip bone: the socket at') as refused:
        checked_side(case(side), phantom)
    assert refused.value.exit_code == 2 and refused.value.where is not None and "side_confirmed = true" in str(refused.value)
    found = checked_side(case(side, "side_confirmed = true"), phantom)
    assert cautions(found) == ["side-against-shape"] and found[1].verdict == "against"


def test_plan_and_check_refuse_a_wrong_side_and_tell_of_a_right_one(case):
    with pytest.raises(CaseError, match="this is a right hip bone"):
        plan(case("left").path)
    report = plan(case("right").path)
    assert report["bone"]["side_check"]["verdict"] == "agrees"
    assert not {caution["id"] for caution in report["cautions"]} & {"side-against-shape", "side-not-verified"}
    report = plan(case("left", "side_confirmed = true").path)
    assert report["cautions"][0]["id"] == "side-against-shape"


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("wrong", [flipped, lambda mesh, _: turned(mesh, np.diag([-1, -1, 1]))], ids=["mirrored", "RAS as LPS"])
def test_a_mirrored_surface_is_refused_by_that_word(case, phantom, side, wrong):
    mesh = wrong(phantom, 1)
    for insists in ("", "side_confirmed = true"):  # nobody can confirm a mirror image: a guide on it may fit no bone of the patient
        with pytest.raises(CaseError, match="mirrored.*; export it again as it is in the patient, in LPS, and check bone.coordinates") as refused:
            checked_side(case(side, insists), mesh)
        assert "side_confirmed" not in str(refused.value)


def test_upside_down_only_the_hand_counts(case, phantom):
    over = turned(phantom, np.diag([1, -1, -1]))
    found = checked_side(case("right"), over)
    assert found[1].verdict == "not verified" and cautions(found) == ["side-not-verified"]
    with pytest.raises(CaseError, match=r"turned by 1\d\d° from upright.* left hip bone|of the other side, or mirrored"):
        checked_side(case("left"), over)


def test_what_cannot_be_told_is_told(case):
    found = checked_side(case("left"), block(60, 40, 100))
    assert cautions(found) == ["side-not-verified"] and "side not verified" in found[2][0].text
    assert cautions(checked_side(case("left"), ellipsoid(30, 50, 40))) == ["side-not-verified"]
    assert cautions(checked_side(case("midline"), ellipsoid(30, 50, 40))) == [], "its own mirror image: of the midline"


def test_a_sacrum_is_of_the_midline(case, data):
    sacrum = read_surface(data / "pelvis_atlas_meshes" / "Sacrum27_cpd.vtk", units="mm", coordinates="LPS", key="bone")
    assert checked_side(case("midline"), sacrum)[1].verdict == "agrees"
    assert checked_side(case("left"), sacrum)[1].verdict == "not verified"


def test_the_scans_midline_counts_too(case, phantom):
    body = ScannedBody(middle_x_mm=0.0, width_mm=360.0, why="")
    found = checked_side(case("right"), phantom, scan=body)
    assert found[1].scan.side == "right" and found[1].verdict == "agrees"
    for insists in ("", "side_confirmed = true"):
        with pytest.raises(CaseError, match="mirrored.* lies left of the body's middle.*; export it again"):
            checked_side(case("right", insists), phantom, scan=body.but(middle_x_mm=-200.0))
    aside = block(60, 40, 100, at=(80, 0, 0))
    with pytest.raises(CaseError, match="lies left of the body's middle"):
        checked_side(case("right"), aside, scan=body)
    told = checked_side(case("left"), aside, scan=body)
    assert cautions(told) == ["side-not-verified"] and "lies left of the body's middle" in told[2][0].text
    near = checked_side(case("left"), block(60, 40, 100, at=(20, 0, 0)), scan=body)
    assert near[1].scan.side is None
    unknown = checked_side(case("right"), phantom, scan=ScannedBody(middle_x_mm=None, width_mm=None, why="cropped"))
    assert unknown[1].scan.side is None and unknown[1].verdict == "agrees"


@pytest.mark.slow
def test_shared_cases_with_the_other_side_end_with_2(shared_cases, data, tmp_path, run):
    result = run("check", shared_cases / "hip-left-type1", "--json")
    assert result.returncode == 0 and json.loads(result.stdout)["bone"]["side_check"]["side"] == "left"
    with pytest.raises(CaseError, match="but this is a left hip bone"):
        validate(shared_cases / "hip-left-type1", settings=["side=right"])
    right = flipped(read_surface(data / "hip_femur_meshes" / "proximal_femur_left_dense.stl", units="mm", coordinates="LPS", key="bone"), 0)
    right.export(tmp_path / "femur.stl")
    text = (shared_cases / "femur-subtrochanteric" / "case.toml").read_text("utf-8")
    text = (
        text.replace("../../data/hip_femur_meshes/proximal_femur_left_dense.stl", "femur.stl")
        .replace("[117.5,", "[-117.5,")
        .replace("[1.0,", "[-1.0,")
    )
    (tmp_path / "case.toml").write_text(text, "utf-8")
    assert 'side = "left"' in text
    result = run("check", tmp_path)
    assert result.returncode == 2 and "this is a right femur: the head at (-78, 29, -365)" in result.stderr
    (tmp_path / "case.toml").write_text(text.replace('side = "left"', 'side = "right"'), "utf-8")
    assert run("check", tmp_path).returncode == 0
