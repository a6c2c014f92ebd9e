"""Where a donor's bone lies on the patient's: found again in any pose and as a mirror image, ranked by its fit at the cuts, or refused with why."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from psi_cad.case.load import load_case
from psi_cad.errors import CaseError, RegistrationError
from psi_cad.grafting.contact import face_met, steps
from psi_cad.grafting.placing import donor_cuts, mirror_of, part_points, placed
from psi_cad.grafting.ranking import PERCENT_MM
from psi_cad.grafting.told import ranking_lines
from psi_cad.phantom.donors import DONORS, donor_mesh
from psi_cad.phantom.hemipelvis import bone_mesh
from psi_cad.records.grafts import DonorsRanked
from psi_cad.registration.rigid import apply, turn_deg
from psi_cad.scene.bodies import Asked, Body, Scene
from psi_cad.surface.mesh_files import read_surface
from psi_cad.surface.repair import checked_bone

CASE = Path(__file__).resolve().parent.parent / "cases" / "phantom-allograft" / "case.toml"
PLANE = (np.array([-96.0, -8.0, 56.0]), np.array([0.05, 0.10, 0.99]))
POSE_MM, POSE_DEG = 0.05, 0.05


@pytest.fixture(scope="module")
def phantom():
    return checked_bone(bone_mesh(spacing=3.0), name="phantom")


@pytest.fixture(scope="module")
def cuts(phantom):
    return Scene((Body(None, phantom),)).planned([Asked("A", None, *PLANE)])


def pose_of(turn, shift, *, mirrored):
    """A rigid pose (4, 4), after a mirror image where asked."""
    found = np.eye(4)
    found[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    found[:3, 3] = shift
    return found @ np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0, 1.0])


def posed(mesh, pose):
    points = apply(pose, np.asarray(mesh.vertices))
    faces = np.asarray(mesh.faces)
    return trimesh.Trimesh(points, faces[:, ::-1] if np.linalg.det(pose[:3, :3]) < 0 else faces, process=False)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [(0.7, -1.1, 2.0), (-2.9, 0.2, 0.1)])
def test_the_patients_own_bone_is_found_again_in_any_pose_and_mirrored(phantom, cuts, turn, mirrored):
    true = pose_of(turn, (130.0, -77.0, 45.0), mirrored=mirrored)  # donor from patient
    donor = checked_bone(posed(phantom.mesh, true), name="donor")
    found = placed(phantom.mesh, donor.mesh, cuts, mirrored=mirrored, name="donor")
    back = found.patient_from_donor @ true
    points = np.asarray(phantom.mesh.vertices)
    assert float(np.linalg.norm(apply(back, points) - points, axis=1).max()) < POSE_MM
    assert turn_deg(back) < POSE_DEG
    assert found.fit.residual_mm < POSE_MM and found.fit.overlap == 1.0 and found.fit.uncertainty_mm < POSE_MM
    carried = donor_cuts(found, donor, cuts, body=None, name="donor")["A"]
    origin, normal = apply(true, PLANE[0][None])[0], true[:3, :3] @ PLANE[1] / np.linalg.norm(PLANE[1])
    assert abs(float((carried.origin - origin) @ normal)) < POSE_MM
    assert np.degrees(np.arccos(min(1.0, float(carried.normal @ normal)))) < POSE_DEG, "towards the graft, and never away from it"
    assert carried.section.area == pytest.approx(cuts["A"].section.area, rel=1e-3)


def test_landmarks_start_the_fit_and_are_told(phantom, cuts):
    true = pose_of((0.1, 0.2, 3.0), (5.0, 6.0, 7.0), mirrored=True)
    marks = np.array([[-100.0, -60.0, 90.0], [-30.0, -60.0, -40.0], [-90.0, 60.0, 80.0], [-101.0, -7.0, -6.0]])
    noise = np.array([[2.0, -1.0, 1.0], [-2.0, 2.0, 0.0], [1.0, 1.0, -2.0], [0.0, -2.0, 1.0]])
    donor = posed(phantom.mesh, true)
    found = placed(phantom.mesh, donor, cuts, mirrored=True, landmarks=(marks, apply(true, marks + noise)), name="donor")
    assert found.landmarks and found.fit.rival_share == 0.0
    assert found.fit.landmark_rms_mm == pytest.approx(float(np.sqrt((noise**2).sum(axis=1).mean())), abs=0.05)
    points = np.asarray(phantom.mesh.vertices)
    assert float(np.linalg.norm(apply(found.patient_from_donor @ true, points) - points, axis=1).max()) < POSE_MM
    with pytest.raises(CaseError, match="landmarks of patient and donor miss each other"):
        placed(phantom.mesh, donor, cuts, mirrored=True, landmarks=(marks, apply(true, marks[[1, 0, 3, 2]])), name="donor")


def test_another_bone_is_refused_and_so_is_a_shape_that_fits_in_two_poses(phantom, cuts):
    stick = trimesh.creation.capsule(height=250.0, radius=20.0, count=[24, 24])
    with pytest.raises(RegistrationError, match="donor is another bone"):
        placed(phantom.mesh, stick, cuts, mirrored=False, name="donor")
    block = checked_bone(trimesh.creation.box((40.0, 60.0, 90.0)).subdivide_to_size(6.0), name="block")
    on_block = Scene((Body(None, block),)).planned([Asked("A", None, np.zeros(3), np.array([0.0, 0.0, 1.0]))])
    with pytest.raises(RegistrationError, match=r"fits the bone in two poses about equally well .* name at least three landmarks on both\.$"):
        placed(block.mesh, posed(block.mesh, pose_of((0.2, 0.1, 0.3), (1.0, 2.0, 3.0), mirrored=False)), cuts=on_block, mirrored=False, name="block")


def test_a_bone_of_the_other_side_fits_only_as_a_mirror_image(phantom, cuts):
    donor = mirror_of(phantom.mesh)
    assert placed(phantom.mesh, donor, cuts, mirrored=True, name="donor").fit.residual_mm < POSE_MM
    with pytest.raises(RegistrationError):
        placed(phantom.mesh, donor, cuts, mirrored=False, name="donor")


def test_what_matters_is_what_is_removed_and_what_lies_near_its_cuts(cuts):
    normal = PLANE[1] / np.linalg.norm(PLANE[1])
    heights = np.array([40.0, 1.0, -19.0, -21.0, -90.0])
    points = PLANE[0] + heights[:, None] * normal
    assert part_points(points, cuts).tolist() == [True, True, True, False, False]
    tumour = trimesh.creation.icosphere(radius=10.0)
    tumour.apply_translation(PLANE[0] + 40.0 * normal)
    assert part_points(points, cuts, tumour).tolist() == [False, True, True, False, False]


def test_steps_between_rims_are_those_of_two_circles():
    import shapely

    host, graft = shapely.Point(0.0, 0.0).buffer(10.0, quad_segs=90), shapely.Point(1.0, 0.0).buffer(12.0, quad_segs=90)
    met, away = face_met("A", host, graft), steps(host, graft)
    assert (met.covered, met.step_max_mm) == (1.0, pytest.approx(3.0, abs=0.01))
    assert float(away.min()) == pytest.approx(1.0, abs=0.01)
    assert met.overhang == pytest.approx(1.0 - 100.0 / 144.0, abs=1e-3)


@pytest.mark.slow
def test_donors_are_ranked_with_the_patients_own_bone_first(here, tmp_path, phantom):
    own = posed(phantom.mesh, pose_of((0.7, -1.1, 2.0), (130.0, -77.0, 45.0), mirrored=True))
    own.export(tmp_path / "own.stl")
    donor_mesh(DONORS["donor-a"], spacing=3.0).export(tmp_path / "a.stl")
    trimesh.creation.icosphere(radius=20.0).export(tmp_path / "ball.stl")
    (tmp_path / "none.ply").write_text("no surface")
    code, out, _ = here("donors", tmp_path, CASE, "--json")
    found = json.loads(out)
    assert code == 0
    assert [(one["rank"], one["file"], one["mirrored"], one["side"]) for one in found["donors"]] == [
        (1, "own.stl", True, "left"),
        (2, "a.stl", False, "right"),
    ]
    best, other = found["donors"]
    assert best["step_rms_mm"] < 0.1 and abs(best["size_percent"]) < 0.5
    assert other["size_percent"] == pytest.approx(3.5, abs=0.5)  # (1.04 · 1.03 · 1.035)^(1/3)
    assert other["score_mm"] == pytest.approx(other["step_rms_mm"] + PERCENT_MM * other["size_percent"], abs=0.02)
    refused = {one["file"]: one["reason"] for one in found["refused"]}
    assert refused.keys() == {"ball.stl", "none.ply"} and "times as long" in refused["ball.stl"]
    rows = ranking_lines(DonorsRanked.model_validate(found), lambda rows, head: "\n".join(str(row[:2]) for row in rows))
    assert rows[:2] == ["[1, 'own.stl (mirrored)']", "[2, 'a.stl']"] and "the surgeon decides" in rows[2]


def test_a_folder_without_donors_is_refused(here, tmp_path):
    code, _, told = here("donors", tmp_path, CASE)
    assert code == 2 and "there is no surface in this folder" in told
    code, _, told = here("donors", tmp_path / "none", CASE)
    assert code == 2 and "this is no folder" in told
    trimesh.creation.box().export(tmp_path / "box.stl")
    code, _, told = here("donors", tmp_path, CASE, "--bone", "femur")
    assert code == 2 and "--bone femur: the only bone of this case has no name; leave --bone out" in told
    code, _, told = here("donors", tmp_path, CASE, "--units", "miles")
    assert code == 2 and "--units miles: must be one of mm, cm, m, in" in told


DONOR = '[donor]\nname = "tb-1"\nsurface = "bone.stl"\nunits = "mm"\ncoordinates = "LPS"\nside = "right"\n'


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('bone = "femur"', "donor.bone names 'femur', but the case's bone is without a name"),
        ("[donor.landmarks]\nasis = [1.0, 2.0, 3.0]", "donor names 1 landmarks, and 3 fix a pose; name more, or none"),
        ("[donor.landmarks]\nelbow = [1.0, 2.0, 3.0]", "donor.landmarks: 'elbow' is no known landmark"),
        ("[donor.landmarks]\nasis = [1.0, 2.0, 3.0]", "donor.landmarks names 'asis', which [landmarks] of the case does not"),
        ('colour = "white"', "'donor.colour' is no key of a case file"),
    ],
)
def test_mistakes_in_a_donor_are_told(tmp_path, more, said):
    head = 'schema = 1\nid = "x"\nside = "right"\n[bone]\nsurface = "bone.stl"\nunits = "mm"\ncoordinates = "LPS"\n'
    (tmp_path / "case.toml").write_text(head + DONOR + more + "\n", "utf-8")
    with pytest.raises(CaseError) as refused:
        load_case(tmp_path, needs=())
    assert said in str(refused.value)


@pytest.mark.slow
def test_real_hips_of_others_serve_and_their_residual_is_told(data):
    """Donor hip 27 for patient hip 14, left: what is reported."""
    bones = {}
    for number in (14, 27):
        name = f"LeftHip{number}_cpd.vtk"
        bones[number] = checked_bone(read_surface(data / "pelvis_atlas_meshes" / name, units="mm", coordinates="LPS"), name=name)
    plane = np.array([92.0, -130.0, -683.0]), np.array([0.05, 0.10, 0.99])
    cuts = Scene((Body(None, bones[14]),)).planned([Asked("A", None, *plane)])
    fit = placed(bones[14].mesh, bones[27].mesh, cuts, mirrored=False, name="hip 27").fit
    assert 0.5 < fit.residual_mm < 2.0 and fit.overlap > 0.9 and fit.uncertainty_mm < 2.0
    with pytest.raises(RegistrationError):
        placed(bones[14].mesh, bones[27].mesh, cuts, mirrored=True, name="hip 27")


def test_a_refusal_on_the_donor_says_whose_frame_it_is_told_in_and_points_at_the_patient(phantom, cuts):
    from psi_cad.case.donor import Donor
    from psi_cad.errors import DesignError
    from psi_cad.grafting.donor import DonorRead
    from psi_cad.grafting.placing import Placing
    from psi_cad.registration.surfaces import SurfaceFit

    pose = pose_of((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), mirrored=True)
    fit = SurfaceFit(pose, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    source = Donor(name="tb-1", surface="x.stl", units="mm", coordinates="LPS", side="left")
    scene = Scene((Body(None, phantom),))
    donor = DonorRead(source, scene, Placing(pose, True, fit, False), cuts, None, scene, cuts, ())
    told = DesignError("The seat is steep near (10.0, 20.0, 30.0).", where=(10.0, 20.0, 30.0))
    donor.tells(told)
    assert str(told) == "donor 'tb-1', in its own frame: The seat is steep near (10.0, 20.0, 30.0)."
    assert np.allclose(told.where, apply(pose, np.array([[10.0, 20.0, 30.0]]))[0], atol=0.01)
    placeless = DesignError("The blade is too short.")
    donor.tells(placeless)
    assert str(placeless) == "The blade is too short."
