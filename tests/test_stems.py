"""Stems and cups: closed forms, the anterior pelvic plane, teeth, the guide on the bone that the cuts leave, and each promise can fail."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from PIL import Image

import psi_cad
from psi_cad import api
from psi_cad.case.implants import Implant
from psi_cad.errors import CaseError, CatalogueError, DesignError, InputError
from psi_cad.export.meshes import write_stl
from psi_cad.files import sha256_of
from psi_cad.findings import CAUTIONS
from psi_cad.intake.loading import load, resolved_guides
from psi_cad.intake.prepare import plan_job
from psi_cad.making.stems import stem_cautions
from psi_cad.reconstruction.cup import covered_cup, posed
from psi_cad.reconstruction.landmarks import refuse_far
from psi_cad.reconstruction.lines import planned_stem_lines
from psi_cad.reconstruction.pelvis import cup_angles, cup_direction, pelvic_frame
from psi_cad.reconstruction.retained import onto_sawn, retained
from psi_cad.reconstruction.stem import stem_bone
from psi_cad.reconstruction.told import refuse_misfit
from psi_cad.records.plan import PlanReport
from psi_cad.records.stems import PlannedStem
from psi_cad.surface.rays import SignedDistance

CASE = CASES / "phantom-acetabular"
FAULTS = ("stem_wall", "cup_off", "trial_in_bone")  # as tests below plant them
STEM = "stem_generic-reamer-8.0"
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


def test_a_cup_that_reaches_into_bone_has_to_be_accepted(job):
    said = SimpleNamespace(trajectory="S", cup=SimpleNamespace(in_bone_mm=0.6))
    (told,) = stem_cautions([said])
    assert told.id == "cup-in-bone" and CAUTIONS["cup-in-bone"].blocks_release and "0.6 mm into the bone" in told.text
    assert not stem_cautions([SimpleNamespace(trajectory="S", cup=SimpleNamespace(in_bone_mm=0.4))])


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


@pytest.fixture(scope="module")
def job():
    return plan_job(load(CASE), blades=[], progress=lambda step: None, only="stem")


def test_its_bone_is_what_the_saw_leaves(job):
    bone, (cut,) = job.rest.bones.scene.bodies[0].bone.mesh, job.cuts
    heights = (np.asarray(bone.vertices) - cut.origin) @ cut.normal
    kerf = 0.89 + 0.15
    assert heights.max() == pytest.approx(-kerf / 2.0, abs=1e-3) and bone.is_watertight
    ((point, normal),) = job.rest.stays.planes[None]
    assert (point - cut.origin) @ cut.normal == pytest.approx(-kerf / 2.0) and normal == pytest.approx(cut.normal)
    whole = job.bones.scene.bodies[0].bone.mesh
    assert bone.volume < whole.volume
    assert retained(job.bones.scene, {}, {}, {}).scene.bodies[0].bone is job.bones.scene.bodies[0].bone


def test_the_hole_begins_on_the_sawn_face(job):
    (site,) = job.rest.guides[0].sites
    (way,), (cut,) = site.ways, job.cuts
    assert (site.frame.patient(way.entry) - cut.origin) @ cut.normal == pytest.approx(-(0.89 + 0.15) / 2.0, abs=1e-6)
    assert not site.planes, "cuts that are sawn already are in no wire's way"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return built_once(tmp_path_factory, "stems", lambda folder: psi_cad.build(CASE, folder)) / "phantom-acetabular"


@pytest.fixture(scope="module")
def guide(out):
    return next(one for one in json.loads((out / "report.json").read_text("utf-8"))["guides"] if one["name"] == "stem")


def read(path):
    found = trimesh.load_mesh(path)
    found.merge_vertices()
    return found


@pytest.mark.slow
def test_a_plan_tells_of_its_stems(tmp_path):
    """As the build does; the build takes off what its sleeve is astray."""
    found = api.plan(CASE)
    (stem,) = found["stems"]
    assert (stem["guide"], stem["trajectory"], stem["implant"]) == ("stem", "S", "nominal-stem-8-cup-46")
    assert stem["entry"] == pytest.approx([-82.87, 22.65, 12.88], abs=0.05) and stem["depth_mm"] == stem["in_bone_mm"] == 40.0
    assert stem["wall_mm"] == pytest.approx(2.3, abs=0.05) and stem["wall_wanted_mm"] == 2.0 and stem["why"] == ""
    (line,) = planned_stem_lines(PlanReport.model_validate(found).stems)
    assert "40.0 of 40 mm in bone, at least 2.3 mm of bone round it near" in line and "refuses" not in line
    (thin,) = api.plan(CASE, settings=["guide.stem.params.stem_wall=3"])["stems"]
    assert thin["wall_mm"] == stem["wall_mm"] and planned_stem_lines([PlannedStem.model_validate(thin)])[0].endswith(
        "wanted 3: 'psi-cad build' refuses that"
    )
    (short,) = api.plan(CASE, settings=["trajectory.S.direction=[0.05, 0.9, 0.43]"])["stems"]
    assert short["in_bone_mm"] < 40.0 and "it breaks through the bone by" in planned_stem_lines([PlannedStem.model_validate(short)])[0]
    (away,) = api.plan(CASE, settings=["trajectory.S.entry=[-83.0, 22.4, 30.46]"])["stems"]
    assert (
        away["wall_mm"] is None
        and "trajectory 'S'" in away["why"]
        and "'psi-cad build' measures it" in planned_stem_lines([PlannedStem.model_validate(away)])[0]
    )
    assert "stems" not in api.plan(CASES / "phantom-type1")


@pytest.mark.slow
def test_the_guide_is_made_with_its_bushing_and_trial(out, guide):
    assert guide["status"] == "passed" and {part["name"] for part in guide["parts"]} == {"bushing", "trial"}
    assert {"stem_wall[S]", "cup_off[S]", "trial_in_bone[S]", "bore[bushing wire]", "flat[trial rim]"} <= {check["id"] for check in guide["checks"]}
    assert (out / f"{STEM}-stem.png").is_file() and (out / "bone_retained.stl").is_file()
    (stem,) = guide["stems"]
    assert f"cup {stem['cup']['index']}" in " ".join(guide["label"]["lines"])
    assert {"nominal-implant", "nominal-tool"} <= {caution["id"] for caution in guide["cautions"]}


@pytest.mark.slow
def test_bushing_and_trial_have_a_picture_and_letters(out, guide):
    labels = {part["name"]: part["label"] for part in guide["parts"]}
    (stem,) = guide["stems"]
    assert labels["bushing"] == ["wire 3.2"]
    assert " ".join(labels["trial"]).replace("- ", "-").split() == [
        "phantom-acetabular",
        "R",
        "stem",
        "trial",
        "cup",
        str(stem["cup"]["index"]),
        "v0.2.0",
    ]
    for name in labels:
        assert guide["files"][f"png-{name}"] == f"{STEM}-{name}.png" and (out / f"{STEM}-{name}.png").is_file()
        assert np.asarray(read(out / f"{STEM}-{name}.stl").faces).shape[0] > 500, "letters are many triangles"


@pytest.mark.slow
def test_every_verb_tells_what_the_guide_is_about(out, tmp_path, run):
    shutil.copytree(out, tmp_path / "phantom-acetabular")
    there = tmp_path / "phantom-acetabular"
    bone, cup = "at least 2.3 mm of bone round it", "cup at tooth 23, inclination 36.1° and anteversion 19.8°"
    for words in (["approve", there, "--role", "surgeon", "--name-code", "S-1"], ["check", there], ["compare", there]):
        said = run(*words).stdout
        assert bone in said and cup in said and "nominal-implant" in said, words
    run("sheet", there)
    page = (there / "sheet.html").read_text("utf-8")
    assert bone in page and cup in page and "nominal-implant" in page
    assert f'src="{STEM}-bushing.png"' in page and f'src="{STEM}-trial.png"' in page and "wire 3.2" in page
    (checked,) = [one for one in psi_cad.measure(there)["guides"] if one["name"] == "stem"]
    assert checked["stems"] == json.loads((there / "report.json").read_text("utf-8"))["guides"][1]["stems"], "measured again"
    rows = {row["name"]: row for row in api.compare(there)}
    assert rows["stem"]["stems"][0]["cup"]["index"] == 23 and rows["supra-acetabular"]["stems"] == []


@pytest.mark.slow
def test_a_refused_stem_is_drawn_in_its_bone_and_an_earlier_guide_s_cautions_are_not_told(out, tmp_path, run):
    shutil.copytree(out, tmp_path / "out" / "phantom-acetabular")
    shutil.copytree(CASES / "phantom", tmp_path / "cases" / "phantom")
    shutil.copytree(CASE, tmp_path / "cases" / "phantom-acetabular")
    file = tmp_path / "cases" / "phantom-acetabular" / "case.toml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("direction = [0.25, 0.50, 0.83]", "direction = [0.25, 0.40, 0.88]"), "utf-8")
    assert file.read_text("utf-8") != text
    ended = run("build", file, "-o", tmp_path / "out")
    assert (
        ended.returncode == 1
        and "params.stem_wall is 2 mm" in ended.stderr
        and "stem for generic-reamer-8.0: kept from earlier, stale" in ended.stdout
    )
    assert "! nominal-blade" in ended.stdout and "nominal-implant" not in ended.stdout and "on-sawn-bone" not in ended.stdout
    checked = run("check", tmp_path / "out")
    assert "! nominal-blade" in checked.stdout and "! nominal-implant" not in checked.stdout
    with Image.open(tmp_path / "out" / "phantom-acetabular" / f"{STEM}_REFUSED.png") as drawn, Image.open(out / f"{STEM}-stem.png") as stem:
        assert drawn.size == stem.size, "the same sections as of a stem that is made"


@pytest.mark.slow
def test_the_trial_shows_the_cup_where_the_report_says(out, guide):
    (stem,) = guide["stems"]
    trial, centre, axis = read(out / f"{STEM}-trial.stl"), np.array(stem["cup"]["centre"]), np.array(stem["cup"]["axis"])
    from_centre = np.asarray(trial.triangles_center) - centre
    rim = (np.abs(from_centre @ axis) < 0.01) & (np.asarray(trial.face_normals) @ axis > 0.999)
    radii = np.linalg.norm((np.asarray(trial.vertices)[np.unique(np.asarray(trial.faces)[rim])] - centre), axis=1)
    assert radii.max() == pytest.approx(23.0, abs=0.01) and radii.min() == pytest.approx(20.0, abs=0.01)
    assert not (
        (np.linalg.norm(from_centre, axis=1) < 19.8) | ((from_centre @ axis > 0.1) & (np.linalg.norm(np.cross(from_centre, axis), axis=1) < 19.9))
    ).any()
    entry, out_of = np.array(stem["entry"]), -np.array(stem["direction"])
    assert centre == pytest.approx(entry + 26.0 * out_of, abs=1e-3)
    bone = read(out / "bone_retained.stl")
    assert SignedDistance(bone)(np.asarray(trial.vertices)).min() > -0.05


@pytest.mark.slow
def test_the_bone_round_the_hole_is_as_rays_find_it(out, guide):
    """From the stem's axis outwards all round, to the first surface that is not sawn: no nearer than the reported wall."""
    (stem,) = guide["stems"]
    bone = read(out / "bone_retained.stl")
    entry, into = np.array(stem["entry"]), np.array(stem["direction"])
    first = np.cross(into, [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    turns = np.linspace(0.0, 2.0 * np.pi, 90, endpoint=False)
    ways = np.cos(turns)[:, None] * first + np.sin(turns)[:, None] * np.cross(into, first)
    least = np.inf
    for depth in np.arange(8.0, 40.1, 2.0):
        where, _, _ = bone.ray.intersects_location(np.tile(entry + depth * into, (90, 1)), ways, multiple_hits=False)
        least = min(least, float(np.linalg.norm(where - entry - depth * into, axis=1).min()) - 4.0)
    assert stem["wall_mm"] <= least + 1e-3 and stem["wall_mm"] == pytest.approx(least, abs=0.5)


def falsified(out, folder, name, change):
    """A copy of the build in which one file is another, the report none the wiser."""
    shutil.copytree(out, folder / "there")
    there, path = folder / "there", folder / "there" / name
    mesh = change(read(path))
    write_stl(path, mesh, header="changed mm SPACE=LPS")
    report = json.loads((there / "report.json").read_text("utf-8"))
    for guide in report["guides"]:
        if name in guide["sha256"]:
            guide["sha256"][name] = sha256_of(path)
    for one in report["retained"]:
        if one["used"] == name:
            one["used_sha256"] = sha256_of(path)
    (there / "report.json").write_text(json.dumps(report), "utf-8")
    return there


def failed_in(there):
    found = next(one for one in psi_cad.measure(there)["guides"] if one["name"] == "stem")
    return {check["id"] for check in found["checks"] if not check["passed"]}


@pytest.mark.slow
def test_a_thinner_bone_fails_its_check(out, guide, tmp_path):
    place, into = np.array(guide["stems"][0]["wall_at"]), np.array(guide["stems"][0]["direction"])

    def dented(mesh):
        near = np.linalg.norm(np.asarray(mesh.vertices) - place, axis=1) < 8.0
        axis = np.array(guide["stems"][0]["entry"]) + np.outer((np.asarray(mesh.vertices) - guide["stems"][0]["entry"]) @ into, into)
        moved = np.asarray(mesh.vertices) + 0.15 * near[:, None] * (axis - np.asarray(mesh.vertices))
        return trimesh.Trimesh(moved, mesh.faces, process=False)

    assert not failed_in(out)
    assert failed_in(falsified(out, tmp_path, "bone_retained.stl", dented)) == {"stem_wall[S]"}


@pytest.mark.slow
def test_a_trial_that_stands_elsewhere_fails_its_checks(out, guide, tmp_path):
    into = np.array(guide["stems"][0]["direction"])

    def pushed(mesh):
        return trimesh.Trimesh(np.asarray(mesh.vertices) + 0.4 * into, mesh.faces, process=False)

    assert {"trial_in_bone[S]", "flat[trial rim]"} <= failed_in(falsified(out, tmp_path, f"{STEM}-trial.stl", pushed))


@pytest.mark.slow
def test_a_cup_that_was_turned_fails_its_check(out, tmp_path):
    shutil.copytree(out, tmp_path / "there")
    path = tmp_path / "there" / "report.json"
    report = json.loads(path.read_text("utf-8"))
    (cup,) = (stem["cup"] for guide in report["guides"] for stem in guide.get("stems", ()))
    cup["axis"] = [-value for value in cup["axis"]]
    path.write_text(json.dumps(report), "utf-8")
    assert failed_in(tmp_path / "there") == {"cup_off[S]"}


@pytest.mark.slow
def test_the_bone_that_stays_is_part_of_what_is_signed(out, tmp_path, run):
    shutil.copytree(out, tmp_path / "out" / "phantom-acetabular")
    there = tmp_path / "out" / "phantom-acetabular"
    assert run("approve", there, "--role", "surgeon", "--name-code", "S-1").returncode == 0
    assert "changed" not in run("check", there).stdout
    path = there / "bone_retained.stl"
    mesh = read(path)
    write_stl(path, trimesh.Trimesh(np.asarray(mesh.vertices) + 0.01, mesh.faces, process=False), header="changed mm SPACE=LPS")
    checked = run("check", there)
    assert checked.returncode == 1 and "bone_unchanged" in checked.stdout
    path.unlink()
    with pytest.raises(InputError, match="a bone as the cuts leave it is missing"):
        psi_cad.measure(there)
