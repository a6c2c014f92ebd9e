"""Guides on two bones of one case: each is measured on its own bone and against the other, and what lies there can be checked and approved."""

import json
import shutil

import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from scipy.spatial import cKDTree
from strict import strictly
from test_docs import undocumented
from test_several_bones import BONES, GUIDE, HEAD, ILIUM, A, box

import psi_cad
from psi_cad.api import plan
from psi_cad.case.load import load_case
from psi_cad.errors import InputError, PsiCadError
from psi_cad.inspection.inspect import Inspector
from psi_cad.inspection.measure import measure_folder
from psi_cad.intake.prepare import plan_job
from psi_cad.outputs.subject import made_from, read_plan, read_report, subject_of, unfit
from psi_cad.phantom.hemipelvis import implicit
from psi_cad.phantom.sacrum import GAP_MM, across_distance, sacrum_implicit, sacrum_mesh
from psi_cad.surface.rays import SignedDistance

CASE = CASES / "phantom-sacroiliac"
STEMS = {"ilium": "ilium_generic-20x1.0", "sacrum": "sacral-ala_generic-20x1.0"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The example across the sacro-iliac joint, planned and built once."""

    def make(out):
        plan(CASE, out)
        assert psi_cad.build(CASE, out)["status"] == "passed"

    return built_once(tmp_path_factory, "sacroiliac", make) / "phantom-sacroiliac"


@pytest.fixture(scope="module")
def report(built):
    return json.loads((built / "report.json").read_text("utf-8"))


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / built.name)


# the phantom's sacrum


def test_the_sacrum_is_closed_its_own_mirror_image_and_a_joint_away_from_the_hip():
    committed = trimesh.load_mesh(CASES / "phantom" / "sacrum.stl")
    assert committed.is_watertight and committed.euler_number == 2 and committed.body_count == 1
    points = np.asarray(committed.vertices)
    assert np.abs(sacrum_implicit(points)).max() < 1e-4
    mirrored = points * [-1.0, 1.0, 1.0]
    assert np.abs(sacrum_implicit(mirrored)).max() < 1e-4
    assert GAP_MM - 0.01 <= implicit(points).min() < GAP_MM + 0.5
    across = trimesh.load_mesh(CASES / "phantom" / "tumour-across.stl")
    assert np.abs(across_distance(np.asarray(across.vertices))).max() < 1e-4
    inside = np.asarray(across.sample(400, seed=1))
    assert (implicit(inside) < 0.0).any() and (sacrum_implicit(inside) < 0.0).any(), "it lies in both bones"


@pytest.mark.slow
def test_a_fresh_sacrum_is_the_committed_one():
    fresh, committed = sacrum_mesh(spacing=2.0), trimesh.load_mesh(CASES / "phantom" / "sacrum.stl")
    assert len(fresh.faces) == len(committed.faces) and fresh.volume == pytest.approx(committed.volume, rel=1e-6)


# the plan


@pytest.mark.slow
def test_the_plan_accounts_for_all_of_both_bones(built):
    found = json.loads((built / "plan.json").read_text("utf-8"))
    for bone, file in zip(found["bones"], ("bone.stl", "sacrum.stl"), strict=True):
        mesh = trimesh.load_mesh(CASES / "phantom" / file)
        assert bone["volume_mm3"] == pytest.approx(mesh.volume, rel=1e-6)
        assert bone["specimen"]["volume_mm3"] + bone["retained"]["volume_mm3"] + bone["kerf_mm3"] == pytest.approx(bone["volume_mm3"], rel=1e-6)
        assert bone["side_check"]["verdict"] == "agrees" and bone["class"] == "R0" and bone["specimen"]["pieces"] == 1
    assert found["status"] == "passed" and found["specimen"]["pieces"] == 2
    assert found["margin_sawn_mm"] == min(bone["margin_sawn_mm"] for bone in found["bones"]) > 10.0
    assert found["specimen"]["volume_mm3"] == pytest.approx(sum(bone["specimen"]["volume_mm3"] for bone in found["bones"]), rel=1e-6)


# the guides


@pytest.mark.slow
def test_each_guide_is_on_its_bone_and_clear_of_the_other(built, report):
    assert [(guide["name"], guide["bone"]) for guide in report["guides"]] == [("ilium", "ilium"), ("sacral-ala", "sacrum")]
    assert [bone["used"] for bone in report["bones"]] == ["bone-ilium.stl", "bone-sacrum.stl"]
    for guide in report["guides"]:
        checks = {check["id"]: check for check in guide["checks"]}
        assert checks["other_bone_overlap"]["value"] == checks["other_bone_pull_off"]["value"] == 0.0
        (other,) = guide["other_bones"]
        assert other["bone"] == ({"ilium", "sacrum"} - {guide["bone"]}).pop()
        mesh, bone = trimesh.load_mesh(built / f"{STEMS[guide['bone']]}.stl"), trimesh.load_mesh(built / f"bone-{other['bone']}.stl")
        apart = cKDTree(bone.sample(60_000, seed=1)).query(mesh.sample(60_000, seed=2))[0].min()
        assert other["gap_mm"] == pytest.approx(apart, abs=0.7), "an independent measurement, of points drawn by lot"
        assert other["gap_mm"] <= apart + 0.02


@pytest.mark.slow
def test_a_label_tells_the_guides_of_one_case_apart(report):
    lines = [" ".join(guide["label"]["lines"]) for guide in report["guides"]]
    assert "ilium" in lines[0] and "sacral-ala" in lines[1].replace(" ", "")


@pytest.mark.slow
def test_what_lies_there_is_measured_again_and_a_changed_bone_is_noticed(copy):
    assert measure_folder(copy, progress=lambda step: None)["status"] == "passed"
    bone = trimesh.load_mesh(copy / "bone-sacrum.stl")
    bone.apply_translation([0.0, 0.0, 0.5])
    bone.export(copy / "bone-sacrum.stl")
    found = measure_folder(copy, progress=lambda step: None)["guides"]
    changed = [next(check for check in guide["checks"] if check["id"] == "bone_unchanged") for guide in found]
    assert [check["passed"] for check in changed] == [False, False] and all(check["note"] == "bone-sacrum.stl" for check in changed)
    report = read_report(copy)
    assert any("'bone-sacrum.stl' is not the one that 'report.json' tells of" in told for told in unfit(copy, plan=None, report=report))
    (copy / "bone-sacrum.stl").unlink()
    with pytest.raises(InputError, match=r"'bone-sacrum.stl' is missing"):
        measure_folder(copy, progress=lambda step: None)


@pytest.mark.slow
def test_another_bone_that_moved_into_a_guide_is_found(copy):
    """The sacrum's file moved outwards and back until it reaches into the guide of the ilium."""
    bone = trimesh.load_mesh(copy / "bone-sacrum.stl")
    bone.apply_translation([-40.0, 0.0, 0.0])
    bone.export(copy / "bone-sacrum.stl")
    ilium = measure_folder(copy, progress=lambda step: None)["guides"][0]
    overlap = next(check for check in ilium["checks"] if check["id"] == "other_bone_overlap")
    assert not overlap["passed"] and overlap["note"] == "into sacrum"
    place = np.array([overlap["where"]])
    guide = trimesh.load_mesh(copy / f"{STEMS['ilium']}.stl")
    for mesh in (guide, bone):
        assert SignedDistance(mesh)(place)[0] < 0.02, "the place lies in both"


@pytest.mark.slow
def test_every_bone_is_approved_with_every_guide(built):
    made = read_report(built)
    sections = subject_of(built, plan=read_plan(built), report=made)
    assert set(sections) == {"plan", *(f"guide {stem}" for stem in STEMS.values())}
    for stem in STEMS.values():
        assert {"bone-ilium.stl", "bone-sacrum.stl", "bone[0].surface", "bone[1].surface"} <= set(sections[f"guide {stem}"])
    assert {"bone as used: ilium", "bone as used: sacrum"} <= set(made_from(made, made.guides[0]))
    assert unfit(built, plan=read_plan(built), report=made) == []


@pytest.mark.slow
def test_every_key_is_documented(built, report):
    for file, said in (("report.json", report), ("plan.json", json.loads((built / "plan.json").read_text("utf-8")))):
        assert strictly(file.removesuffix(".json"), said) == []
        missing = undocumented(said, file)
        assert {path for path in missing if f"bone.{path.removeprefix('bones[].')}" not in missing and not path.startswith("bones[].")} == set()
        single = {
            "file",
            "sha256",
            "triangles",
            "extent_mm",
            "repairs",
            "kept_clear_of",
            "side_check",
            "anatomy",
            "cautions",
            "used",
            "used_sha256",
            "volume_mm3",
        }
        assert {path.removeprefix("bones[].").partition(".")[0].partition("[")[0] for path in missing} <= single


def test_one_bone_is_told_of_as_before(phantom_report):
    assert "bones" not in phantom_report and "names" not in phantom_report["bone"]
    (guide,) = phantom_report["guides"]
    assert "bone" not in guide and "other_bones" not in guide
    assert not [check for check in guide["checks"] if check["id"].startswith("other_bone")]


@pytest.mark.slow
def test_in_processes_of_their_own_the_same_is_made(processes, tmp_path, built, report):
    again = psi_cad.build(CASE, tmp_path)
    assert again["bones"] == report["bones"]
    for stem in STEMS.values():
        assert (tmp_path / built.name / f"{stem}.stl").read_bytes() == (built / f"{stem}.stl").read_bytes()


@pytest.mark.slow
def test_an_inspector_that_lives_on_forgets_the_bones_of_an_earlier_case(built):
    inspector = Inspector()
    inspector.bones({None: built / "bone-ilium.stl"})
    inspector.bones({"ilium": built / "bone-ilium.stl", "sacrum": built / "bone-sacrum.stl"})
    assert [probe.name for probe in inspector._probes] == ["ilium", "sacrum"]


# siting


@pytest.fixture
def beside(tmp_path):
    """The job of a guide on one box beside another, of which one may say how high it stands and how far it reaches over the first."""

    def job(other):
        box(ILIUM).export(tmp_path / "ilium.stl")
        box(other).export(tmp_path / "sacrum.stl")
        text = HEAD + BONES + A.replace("20.0, 0.0", "12.0, 0.0") + GUIDE.format("ilium", "A")
        (tmp_path / "case.toml").write_text(text, "utf-8")
        return plan_job(load_case(tmp_path / "case.toml"), blades=[], progress=lambda step: None)

    return job


def test_a_guide_keeps_off_a_bone_that_stands_beside_it(beside):
    (site,) = beside(((-42, -30, -40), (-2, 60, 40))).guides[0].sites
    contact = site.frame.patient(np.column_stack([site.field.points, site.field.heights])[site.field.contact])
    assert contact[:, 0].min() >= 0.0, "it rests on its own bone alone"
    assert np.abs(contact[:, 1] - 30.0).max() < 0.1


def test_a_bone_over_the_cut_is_in_the_way(beside):
    with pytest.raises(PsiCadError) as raised:
        beside(((-10, 33, -40), (40, 60, 40)))
    assert raised.value.guide == "ilium" and raised.value.reason in ("contact", "bone-in-way", "steep")
