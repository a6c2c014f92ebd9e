"""A guide for a stem as built on the phantom: the bone that the cuts leave, its files, what every verb tells of it, and each promise can fail."""

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
from psi_cad.errors import InputError
from psi_cad.export.meshes import write_stl
from psi_cad.files import sha256_of
from psi_cad.findings import CAUTIONS
from psi_cad.guides.contract import Workshop
from psi_cad.guides.params import resolve_params
from psi_cad.guides.registry import load_template
from psi_cad.intake.loading import load
from psi_cad.intake.prepare import plan_job
from psi_cad.making.stems import stem_cautions
from psi_cad.reconstruction.lines import planned_stem_lines
from psi_cad.reconstruction.retained import retained
from psi_cad.records.plan import PlanReport
from psi_cad.records.stems import PlannedStem
from psi_cad.surface.rays import SignedDistance

CASE = CASES / "phantom-acetabular"
FAULTS = ("stem_wall", "cup_off", "trial_in_bone")  # as tests below plant them
STEM = "stem_generic-reamer-8.0"


@pytest.fixture(scope="module")
def job():
    return plan_job(load(CASE), blades=[], progress=lambda step: None, only="stem")


def test_a_cup_that_reaches_into_bone_has_to_be_accepted():
    said = SimpleNamespace(trajectory="S", cup=SimpleNamespace(in_bone_mm=0.6))
    (told,) = stem_cautions([said])
    assert told.id == "cup-in-bone" and CAUTIONS["cup-in-bone"].blocks_release and "0.6 mm into the bone" in told.text
    assert not stem_cautions([SimpleNamespace(trajectory="S", cup=SimpleNamespace(in_bone_mm=0.4))])


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
def test_a_bushing_that_has_no_room_for_its_letters_is_told_of(job, monkeypatch):
    (site,) = job.rest.guides[0].sites
    template = load_template("acetabular", where="here")
    monkeypatch.setattr(template, "LETTERS", 9.0)
    params = resolve_params(template.Params, {"trial_cup": False}, where="p")
    design = template.build(site, params, Workshop())
    (bushing,) = design.further
    assert bushing.label.lines == ()
    (told,) = (caution for caution in design.cautions if caution.id == "part-less")
    assert "the part 'bushing' has no letters" in told.text


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
    told = [line for line in run("check", there).stdout.splitlines() if "the case file was not looked at" not in line]
    assert told and not any("changed" in line for line in told)
    path = there / "bone_retained.stl"
    mesh = read(path)
    write_stl(path, trimesh.Trimesh(np.asarray(mesh.vertices) + 0.01, mesh.faces, process=False), header="changed mm SPACE=LPS")
    checked = run("check", there)
    assert checked.returncode == 1 and "bone_unchanged" in checked.stdout
    path.unlink()
    with pytest.raises(InputError, match="a bone as the cuts leave it is missing"):
        psi_cad.measure(there)
