"""Stems and cups: closed forms, the anterior pelvic plane, teeth, and what is refused before anything is built."""

import json

import numpy as np
import pytest
import trimesh
from conftest import CASES

from psi_cad.case.implants import Implant
from psi_cad.errors import CaseError, CatalogueError, DesignError
from psi_cad.intake.loading import load, resolved_guides
from psi_cad.intake.prepare import plan_job
from psi_cad.reconstruction.cup import covered_cup, posed
from psi_cad.reconstruction.landmarks import refuse_far
from psi_cad.reconstruction.pelvis import cup_angles, cup_direction, pelvic_frame
from psi_cad.reconstruction.retained import onto_sawn
from psi_cad.reconstruction.stem import stem_bone
from psi_cad.reconstruction.told import refuse_misfit
from psi_cad.surface.rays import SignedDistance

CASE = CASES / "phantom-acetabular"
UP = np.array([0.0, 0.0, 1.0])
RIGHT = {"asis": (-120.0, -50.0, 80.0), "asis-other-side": (120.0, -50.0, 80.0), "pubic-symphysis": (0.0, -50.0, -50.0)}
IMPLANT = Implant(id="one", stem_diameter=10.0, stem_length=40.0, cup_diameter=50.0, cup_offset=30.0, cup_angle=25.0, teeth=24, reference="made up")


def mirrored(points):
    return {name: (-x, y, z) for name, (x, y, z) in points.items()}


@pytest.mark.parametrize(
    ("beside", "lean", "expected"),
    [
        (0.0, 0.0, 20.0 - 5.0),
        (4.0, 0.0, 20.0 - 5.0 - 4.0),
        (0.0, 10.0, 20.0 - 60.0 * np.sin(np.radians(10.0)) - 5.0 * np.cos(np.radians(10.0))),
        (0.0, 20.0, 20.0 - 60.0 * np.sin(np.radians(20.0)) - 5.0 * np.cos(np.radians(20.0))),  # it breaks through
    ],
)
def test_bone_round_a_stem_in_a_cylinder(beside, lean, expected):
    bone = trimesh.creation.cylinder(20.0, 100.0, sections=720)
    sawn = np.abs(np.asarray(bone.triangles_center)[:, 2] + 50.0) < 1e-6
    into = np.array([np.sin(np.radians(lean)), 0.0, np.cos(np.radians(lean))])
    found = stem_bone(np.array([beside, 0.0, -50.0]), into, depth=60.0, diameter=10.0, bone=bone, sawn=sawn)
    assert found.least == pytest.approx(expected, abs=2e-3)
    assert (found.covered < 1.0) == (expected < 0.0)


def test_bone_round_a_stem_in_a_cone():
    bone = trimesh.creation.cone(30.0, 120.0, sections=720)
    sawn = np.abs(np.asarray(bone.triangles_center)[:, 2]) < 1e-6
    found = stem_bone(np.zeros(3), UP, depth=50.0, diameter=12.0, bone=bone, sawn=sawn)
    slant = np.array([120.0, 30.0]) / np.hypot(120.0, 30.0)
    expected = [(np.array([30.0, 0.0]) - np.array([6.0, depth])) @ slant for depth in found.depths]
    assert found.profile == pytest.approx(expected, abs=2e-3) and found.least == pytest.approx(expected[-1], abs=2e-3)


def test_bone_below_the_end_of_a_stem_counts():
    bone = trimesh.creation.box((80.0, 80.0, 50.0))
    found = stem_bone(np.array([0.0, 0.0, -25.0]), UP, depth=47.0, diameter=10.0, bone=bone, sawn=np.asarray(bone.triangles_center)[:, 2] < -24.0)
    assert found.least == pytest.approx(3.0, abs=1e-6) and found.where[2] == pytest.approx(22.0)


def test_angles_to_the_anterior_pelvic_plane():
    pelvis = pelvic_frame(RIGHT, where="here")
    assert pelvis.parts(np.array([-1.0, 0.0, 0.0])) == pytest.approx((1.0, 0.0, 0.0))
    assert cup_angles(np.array([-1.0, 0.0, -1.0]), pelvis) == pytest.approx((45.0, 0.0))
    assert cup_angles(np.array([0.0, -1.0, -1.0]), pelvis) == pytest.approx((0.0, 45.0))
    for wanted in ((40.0, 15.0), (25.0, -5.0)):
        assert cup_angles(cup_direction(*wanted, pelvis), pelvis) == pytest.approx(wanted)
    other = pelvic_frame(mirrored(RIGHT), where="here")
    assert cup_direction(40.0, 15.0, other) == pytest.approx(cup_direction(40.0, 15.0, pelvis) * [-1.0, 1.0, 1.0])
    # a pelvis that is tilted in the scanner takes its cup along
    tilt = np.radians(20.0)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(tilt), -np.sin(tilt)], [0.0, np.sin(tilt), np.cos(tilt)]])
    turned = pelvic_frame({name: tuple(turn @ np.array(point)) for name, point in RIGHT.items()}, where="here")
    assert cup_direction(40.0, 15.0, turned) == pytest.approx(turn @ cup_direction(40.0, 15.0, pelvis))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"asis-other-side": None}, "'asis-other-side' is missing"),
        ({"pubic-symphysis": None}, "'pubic-symphysis' is missing"),
        ({"asis-other-side": (-110.0, -50.0, 80.0)}, "span no plane"),
        ({"pubic-symphysis": (0.0, -50.0, 200.0)}, "does not face the patient's front"),
        ({"pubic-symphysis": (0.0, 90.0, 60.0)}, "does not face the patient's front"),
    ],
)
def test_landmarks_that_are_no_pelvis_are_refused(changed, said):
    marks = {name: point for name, point in (RIGHT | changed).items() if point is not None}
    with pytest.raises(CaseError, match=said):
        pelvic_frame(marks, where="template 'acetabular'")


def test_both_tubercles_stand_for_the_symphysis():
    both = {"pubic-tubercle": (-25.0, -50.0, -50.0), "pubic-tubercle-other-side": (25.0, -50.0, -50.0)}
    marks = {name: point for name, point in RIGHT.items() if name != "pubic-symphysis"} | both
    assert pelvic_frame(marks, where="here").superior == pytest.approx(pelvic_frame(RIGHT, where="here").superior)


def cup(index=-1, implant=IMPLANT, out=(-0.2, -0.3, -0.93), marks=RIGHT, **more):
    out = np.array(out) / np.linalg.norm(out)
    given = {"inclination": 40.0, "anteversion": 15.0} | more
    return posed(np.array([10.0, 20.0, 30.0]), out, implant, pelvic_frame(marks, where="here"), index=index, name="S", **given), out


def test_tooth_0_leans_to_the_side_and_teeth_count_clockwise_into_the_bone():
    zero, out = cup(0, out=(0.0, 0.0, -1.0))  # straight down, right hip: the side is -x
    assert zero.axis == pytest.approx([-np.sin(np.radians(25.0)), 0.0, -np.cos(np.radians(25.0))])
    assert zero.centre == pytest.approx([10.0, 20.0, 0.0])
    six, _ = cup(6, out=(0.0, 0.0, -1.0))  # a quarter on, as one looks up from below, with the front above: to the right of -x lies the back
    looking, forward = -out, np.array([-1.0, 0.0, 0.0])
    clockwise = np.cross(looking, forward)  # a right-handed quarter turn about the line of sight is clockwise for who looks
    assert six.axis == pytest.approx(np.cos(np.radians(25.0)) * out + np.sin(np.radians(25.0)) * clockwise)
    for index in range(24):
        pose, out = cup(index)
        assert pose.index == index and pose.axis @ out == pytest.approx(np.cos(np.radians(25.0)))


def test_the_tooth_that_comes_nearest_is_taken():
    best, _ = cup()
    offs = [cup(index)[0].off for index in range(24)]
    assert best.index == int(np.argmin(offs)) and best.off == pytest.approx(min(offs)) and max(offs) > best.off + 10.0
    free, _ = cup(implant=IMPLANT.model_copy(update={"teeth": 0}))
    assert free.index is None and free.off <= best.off
    # a left hip's is the mirror image, its teeth counted the other way round
    left, _ = cup(out=(0.2, -0.3, -0.93), marks=mirrored(RIGHT))
    assert left.axis == pytest.approx(best.axis * [-1.0, 1.0, 1.0]) and left.index == (24 - best.index) % 24


def test_a_cup_that_cannot_be_had_is_refused():
    with pytest.raises(DesignError, match="params.cup_tolerance is 3°; turn the stem"):
        cup(inclination=60.0, anteversion=-10.0, tolerance=3.0)
    with pytest.raises(DesignError, match="params.cup_index = 24: one has no such tooth, for it has 24"):
        cup(24)
    with pytest.raises(DesignError, match="it turns freely"):
        cup(0, implant=IMPLANT.model_copy(update={"teeth": 0}))
    with pytest.raises(DesignError, match="points straight to the side"):
        cup(out=(-1.0, 0.0, 0.0))


def test_how_bone_covers_a_cup():
    half = SignedDistance(trimesh.creation.box((200.0, 200.0, 100.0), transform=trimesh.transformations.translation_matrix((0, 0, -50.0))))
    covered = covered_cup(np.array([0.0, 0.0, 20.0]), UP, 50.0, half)  # its lowest 5 mm are in bone, 2 more near it
    assert covered.deepest == pytest.approx(5.0, abs=0.05) and covered.covered == pytest.approx(7.0 / 25.0, abs=2e-3)


def test_an_entry_is_moved_onto_the_sawn_face_along_the_stem():
    into = np.array([0.0, 0.6, 0.8])
    face = ((np.array([5.0, 5.0, 10.5]), UP * -1.0),)
    assert onto_sawn(np.array([0.0, 0.0, 10.0]), into, face) == pytest.approx([0.0, 0.375, 10.5])
    assert onto_sawn(np.array([0.0, 0.0, 0.0]), into, face) == pytest.approx([0.0, 0.0, 0.0])  # too far to be a kerf


def test_a_reamer_and_a_depth_have_to_fit_the_stem():
    refuse_misfit("S", 10.0, 40.0, IMPLANT)
    with pytest.raises(DesignError, match="depth 39 mm is less than the stem"):
        refuse_misfit("S", 10.0, 39.0, IMPLANT)
    for wide in (9.4, 12.1):
        with pytest.raises(DesignError, match="take a reamer of 9.5 to 12 mm"):
            refuse_misfit("S", wide, 40.0, IMPLANT)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('implant = "nominal-stem-8-cup-46"\n', "", "template 'acetabular' is for a stem; give trajectory 'S' an implant"),
        ('template = "acetabular"', 'template = "drill"', "trajectory 'S' has an implant, and template 'drill' takes none"),
        ('implant = "nominal-stem-8-cup-46"', 'implant = "nominal-stem-9"', "there is no implant 'nominal-stem-9'; did you mean"),
        ("asis-other-side", "asis-other", "'asis-other' is no known landmark"),
    ],
)
def test_a_case_that_lacks_something_is_refused(tmp_path, old, new, said):
    text = (CASE / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    assert old in text
    (tmp_path / "case.toml").write_text(text.replace(old, new), "utf-8")
    with pytest.raises((CaseError, CatalogueError), match=said.replace("(", r"\(")):
        resolved_guides(load(tmp_path / "case.toml"))


def test_a_guide_for_a_stem_needs_a_cut(tmp_path):
    text = (CASE / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    head, rest = text.split("[[cut]]")
    tail = rest[rest.index("[[trajectory]]") :]
    saw, stem = tail.index("[[guide]]"), tail.rindex("[[guide]]")
    (tmp_path / "case.toml").write_text(head + tail[:saw] + tail[stem:], "utf-8")
    with pytest.raises(CaseError, match=r"sits on bone that cuts leave, and there is none on its bone; add a \[\[cut\]\]"):
        resolved_guides(load(tmp_path / "case.toml"))


def test_spines_that_do_not_lie_on_the_bone_are_refused():
    bone = trimesh.creation.box((100.0, 40.0, 100.0), transform=trimesh.transformations.translation_matrix((-130.0, -30.0, 60.0)))
    refuse_far(RIGHT, bone)
    with pytest.raises(CaseError, match="they are swapped"):
        refuse_far(RIGHT | {"asis": RIGHT["asis-other-side"], "asis-other-side": RIGHT["asis"]}, bone)
    with pytest.raises(CaseError, match=r"landmarks\.asis: .* lies 20 mm off the bone"):
        refuse_far(RIGHT | {"asis": (-120.0, -70.0, 80.0)}, bone)
    with pytest.raises(CaseError, match="the two spines lie 400 mm apart"):
        refuse_far(RIGHT | {"asis-other-side": (280.0, -50.0, 80.0)}, bone)


def test_a_cut_that_no_guide_takes_is_no_face_to_sit_on(tmp_path):
    text = (CASE / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    first, last = text.index("[[guide]]"), text.rindex("[[guide]]")
    (tmp_path / "case.toml").write_text(text[:first] + text[last:], "utf-8")
    with pytest.raises(CaseError, match="no guide takes cut 'A', so how wide the saw cuts there is not known"):
        plan_job(load(tmp_path / "case.toml"), blades=[], progress=lambda step: None)


def test_an_implant_in_the_case_is_checked_like_one_of_a_catalogue(tmp_path):
    sizes = "stem_diameter=8.0, stem_length=40.0, cup_diameter=46.0, cup_offset=26.0, cup_angle=200.0"
    text = (CASE / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    inline = f'implant = {{id="x", {sizes}, reference="made up"}}'
    (tmp_path / "case.toml").write_text(text.replace('implant = "nominal-stem-8-cup-46"', inline), "utf-8")
    with pytest.raises(CaseError, match=r"trajectory\[0\].implant.cup_angle must be at most 75"):
        load(tmp_path / "case.toml")


def test_an_implant_with_one_tooth_is_a_mistake(tmp_path):
    text = (
        'id = "a"\nstem_diameter = 10.0\nstem_length = 40.0\ncup_diameter = 50.0\ncup_offset = 30.0\ncup_angle = 25.0\nteeth = 1\nreference = "x y"\n'
    )
    (tmp_path / "own.toml").write_text(f"[[implant]]\n{text}", "utf-8")
    with pytest.raises(CatalogueError, match="teeth.* is 1, which is no choice"):
        load(CASE, catalogue=tmp_path / "own.toml")


def test_what_the_catalogue_has_is_listed(run):
    listed = json.loads(run("implants", "--json").stdout)
    assert {one["id"] for one in listed} >= {"nominal-stem-8-cup-46"} and all(one["nominal"] for one in listed)
    assert "nominal-stem-8-cup-46" in run("implants").stdout


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("trajectory.S.depth=70", "the hole for the stem breaks through the bone by"),
        ("guide.stem.params.stem_wall=9", "the hole for the stem leaves .* mm of bone near .* and params.stem_wall is 9 mm"),
        ("guide.stem.params.anteversion=-10", "from params.inclination 40° and params.anteversion -10°"),
        ("trajectory.S.implant=nominal-stem-12-cup-54", "depth 40 mm is less than the stem"),
    ],
)
def test_a_stem_that_does_not_hold_is_refused_before_a_seat_is_sought(setting, said):
    with pytest.raises((DesignError, CaseError), match=said):
        plan_job(load(CASE, settings=[setting]), blades=[], progress=lambda step: None, only="stem")
