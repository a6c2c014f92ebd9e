"""Releases: both roles, exactly what came out, and a plan beside the guides that is theirs."""

import shutil
from pathlib import Path

import pytest
from approving import CASE, GUIDE, PRINTED, STEM, both, edit_report, released, said, statuses

import psi_cad
from psi_cad import api
from psi_cad.cli.showing import approval_lines
from psi_cad.errors import ApprovalError
from psi_cad.export.safely import sha256_of
from psi_cad.run import plan_case
from psi_cad.run.approval import approve_folder, check_approvals
from psi_cad.run.subject import read_json


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Path:
    """The plan of the same case, written without pictures, which nobody signs."""
    folder = tmp_path_factory.mktemp("planned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_case, "draw_plan", list)
        api.plan(CASE, folder)
    return folder / "phantom-type1"


def test_a_release_needs_both_roles(out):
    with pytest.raises(ApprovalError, match="the surgeon and the engineer approved nothing"):
        released(out)
    approve_folder(out, role="surgeon", name_code="S-17")
    approve_folder(out, role="surgeon", name_code="S-18")  # the same role twice is not two roles
    with pytest.raises(ApprovalError, match="the engineer approved nothing"):
        released(out)
    approve_folder(out, role="engineer", name_code="E-2")
    found = released(out)
    assert found["released"] and [(entry["role"], entry["name_code"]) for entry in found["approvals"]] == [("surgeon", "S-18"), ("engineer", "E-2")]
    assert any("no plan.json" in note for note in found["notes"])


def test_a_refused_release_builds_and_writes_nothing(out):
    approve_folder(out, role="surgeon", name_code="S-17")
    before = {path.name: sha256_of(path) for path in out.iterdir()}
    with pytest.raises(ApprovalError, match="engineer"):
        psi_cad.build(CASE, out.parent, release=True)
    assert {path.name: sha256_of(path) for path in out.iterdir()} == before
    assert list(out.parent.iterdir()) == [out]


def test_a_build_that_came_out_otherwise_is_not_released(phantom_out, out, monkeypatch):
    def perform(_verb, request, **_):
        shutil.copytree(phantom_out, request["folder"], dirs_exist_ok=True)
        staging = Path(request["folder"])
        (staging / f"{STEM}.step").write_bytes(b"other")
        report = read_json(staging / "report.json")
        (staging / "report.json").unlink()
        return report

    both(out)
    before = {path.name: sha256_of(path) for path in out.iterdir()}
    monkeypatch.setattr(api, "perform", perform)
    with pytest.raises(ApprovalError, match=f"surgeon approved another version .*{STEM}.step.* engineer approved another version"):
        psi_cad.build(CASE, out.parent, release=True)
    assert {path.name: sha256_of(path) for path in out.iterdir()} == before
    assert list(out.parent.iterdir()) == [out]


def test_built_again_it_is_the_same_and_released(out):
    assert read_json(out / "report.json")["release"] == {"released": False}
    both(out)
    before = {name: sha256_of(out / name) for name in PRINTED}
    report = psi_cad.build(CASE, out.parent, release=True)
    assert report == read_json(out / "report.json")
    assert report["release"]["released"] and [entry["sequence"] for entry in report["release"]["approvals"]] == [1, 2]
    assert {name: sha256_of(out / name) for name in PRINTED} == before
    (case,) = check_approvals(out)
    assert case["released"] and case["sound"]
    path = out / f"{STEM}.stl"
    path.write_bytes(path.read_bytes() + b"\n")
    (case,) = check_approvals(out)  # released, and then changed: no sound release
    assert case["released"] and not case["sound"] and "another version" in case["missing"][0]


def test_a_build_with_other_clearance_tells_of_another_version(out):
    both(out)
    report = psi_cad.build(CASE, out.parent, settings=["params.clearance=0.12"])
    assert report["release"] == {"released": False}
    assert [entry["status"] for entry in report["approval"]["entries"]] == ["approved for another version"] * 2
    assert set(PRINTED) < set(report["approval"]["entries"][0]["changed"])
    lines = approval_lines(check_approvals(out)[0], released=False)
    assert lines[0] == "not released" and all("approved for another version (changed: " in line for line in lines[1:]) and len(lines) == 3
    with pytest.raises(ApprovalError, match="another version"):
        released(out)


def test_the_plan_is_approved_before_there_is_a_guide(planned, out, tmp_path):
    folder = Path(shutil.copytree(planned, tmp_path / "early"))
    entry = approve_folder(folder, role="surgeon", name_code="S-17")
    assert entry["what"].keys() == {"plan"}
    assert {"case file", "plan.json", "plan.mrk.json", "plan-specimen.stl", "tumour.surface"} <= entry["what"]["plan"].keys()
    assert statuses(folder) == ["approved"]
    found = api.measure(folder)  # nothing to measure, and the approval is told
    assert found["status"] == "passed" and found["guides"] == [] and found["approvals"][0]["entries"][0]["covers"] == ["plan"]
    shutil.copytree(out, folder, dirs_exist_ok=True)  # the guide comes later, into the same folder
    assert statuses(folder) == ["approved"]
    approve_folder(folder, role="engineer", name_code="E-2")
    with pytest.raises(ApprovalError, match="the surgeon has not approved the guide"):
        released(folder)
    approve_folder(folder, role="surgeon", name_code="S-17")
    assert released(folder)["sections"] == ["plan", GUIDE]
    (folder / "plan-specimen.stl").write_bytes(b"other")
    assert statuses(folder) == ["approved for another version"] * 3
    with pytest.raises(ApprovalError, match="another version of the plan"):
        released(folder)


def test_what_a_plan_run_says_beside_the_plan_changes_nothing(planned, tmp_path):
    folder = Path(shutil.copytree(planned, tmp_path / "plan"))
    approve_folder(folder, role="surgeon", name_code="S-17")
    edit_report(folder, lambda plan: plan.update(software={}, notes=["no proposal"], optimised={"why": "x"}, proposal={}), "plan.json")
    assert statuses(folder) == ["approved"]
    edit_report(folder, lambda plan: plan.update(margin_wanted_mm=9.0), "plan.json")
    assert said(folder)["entries"][0]["changed"] == ["plan.json"]


def test_a_plan_tells_of_its_approvals(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_case, "draw_plan", list)
    first = api.plan(CASE, tmp_path)
    assert first["approval"] == {
        "broken": None,
        "entries": [],
        "missing": ["the surgeon has not approved the plan", "the engineer has not approved the plan"],
    }
    approve_folder(tmp_path, role="surgeon", name_code="S-17")
    again = api.plan(CASE, tmp_path)
    assert [entry["status"] for entry in again["approval"]["entries"]] == ["approved"]
    other = api.plan(CASE, tmp_path, settings=["tumour.margin=9.0"])
    assert other["approval"]["entries"][0]["changed"] == ["plan.json", "what --set overrides"]
    assert read_json(tmp_path / "phantom-type1" / "plan.json")["approval"] == other["approval"]


def moved(plan):
    plan["cuts"][0]["origin"][2] += 0.01


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: plan.update(status="failed", checks=[{"id": "margin_A", "passed": False}]), r"did not pass \(margin_A\)"),
        (lambda plan: plan["case"].update(sha256="0" * 64), "case file has changed"),
        (lambda plan: plan["case"].update(settings=["tumour.margin=0.0"]), "what --set overrides has changed"),
        (lambda plan: plan["inputs"].update({"tumour.surface": "0" * 64}), "tumour.surface has changed"),
        (moved, "the plane of cut 'A' differs"),
        (lambda plan: plan["slots"][0].update(blade="generic-10x0.4"), "planned for blade generic-10x0.4 and built for generic-25x0.89"),
        (lambda plan: plan["slots"][0]["blade_entry"].update(usable_length=60.0), "measures of blade generic-25x0.89"),
        (lambda plan: plan["slots"][0].update(height_mm=12.0), "guided over 12.0 mm and built with 10.0"),
        (lambda plan: plan["slots"].clear(), "planned for blade none"),
        (lambda plan: plan["sha256"].update({"plan.mrk.json": "0" * 64}), "plan.mrk.json"),
    ],
)
def test_a_guide_beside_another_plan_is_neither_approved_nor_released(planned, out, change, told):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    edit_report(out, change, "plan.json")
    with pytest.raises(ApprovalError, match=told):
        approve_folder(out, role="surgeon", name_code="S-17")


def test_a_release_beside_another_plan_is_refused(planned, out):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    both(out)
    assert released(out)["released"]
    edit_report(out, moved, "plan.json")
    with pytest.raises(ApprovalError, match="the plane of cut 'A' differs"):
        released(out)
