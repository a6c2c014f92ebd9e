"""Approvals: what was approved, by whom, in order; what changed since shows; a release needs both roles."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from conftest import CASES

import psi_cad
from psi_cad import api
from psi_cad.cli.showing import approval_lines
from psi_cad.errors import ApprovalError, BuildError, InputError
from psi_cad.export.safely import sha256_of
from psi_cad.run import approval, plan_case
from psi_cad.run.approval import approvals_said, approve_folder, check_approvals, read_record, release_said
from psi_cad.run.subject import hash_of, read_json

CASE = CASES / "phantom-type1"
STEM = "supra-acetabular_generic-25x0.89"
GUIDE = f"guide {STEM}"
PRINTED = [f"{STEM}.{kind}" for kind in ("step", "stl", "3mf")]


@pytest.fixture
def out(phantom_out, tmp_path) -> Path:
    """A copy of the built case, not approved yet."""
    return Path(shutil.copytree(phantom_out, tmp_path / "out" / phantom_out.name))


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Path:
    """The plan of the same case, written without pictures, which nobody signs."""
    folder = tmp_path_factory.mktemp("planned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_case, "draw_plan", list)
        api.plan(CASE, folder)
    return folder / "phantom-type1"


def both(folder):
    approve_folder(folder, role="surgeon", name_code="S-17")
    approve_folder(folder, role="engineer", name_code="E-2", note="slot gauged")


def said(folder):
    return approvals_said(folder, plan=read_json(folder / "plan.json"), report=read_json(folder / "report.json"))


def statuses(folder):
    return [entry["status"] for entry in said(folder)["entries"]]


def released(folder):
    """As `build --release` asks it, with the folder's own files as those just built."""
    return release_said(folder, folder, read_json(folder / "report.json"))


def rewrite(folder, change):
    """Change the record as somebody with an editor would."""
    path = folder / "approvals.json"
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")


def edit_report(folder, change, name="report.json"):
    report = json.loads((folder / name).read_text("utf-8"))
    change(report)
    (folder / name).write_text(json.dumps(report), "utf-8")


def test_an_entry_holds_every_hash_and_the_one_before(out, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    both(out)
    one, two = read_record(out).entries
    report = read_json(out / "report.json")
    section = one["what"][GUIDE]
    assert one["time"] == "2023-11-14T22:13:20Z" and (one["sequence"], two["sequence"]) == (1, 2)
    assert {name: section[name] for name in [*PRINTED, "bone.stl"]} == {name: sha256_of(out / name) for name in [*PRINTED, "bone.stl"]}
    assert section["case file"] == sha256_of(CASE / "case.toml")
    assert section["bone.surface"] == sha256_of(CASES / "phantom" / "bone.stl") == report["bone"]["sha256"]
    assert section["tumour.surface"] == sha256_of(CASES / "phantom" / "tumour.stl")
    assert one["previous"] == "0" * 64 and two["previous"] == one["hash"]
    assert one["hash"] == hash_of({key: value for key, value in one.items() if key != "hash"})
    assert (two["role"], two["name_code"], two["note"]) == ("engineer", "E-2", "slot gauged")


NAMES = ["Erika Mustermann", "Mustermann", "Erika-Mustermann", "MUELLER", "A-B", "e.m@clinic7"]


@pytest.mark.parametrize("code", [*NAMES, "", "a" * 24 + "1", "S_17", "-7", "S-17\n", "Müller1", "AB\n"])
def test_a_wrong_name_code_is_refused(out, code):
    with pytest.raises(InputError, match="--name-code: must be .* holds a digit or is at most 4 letters") as refused:
        approve_folder(out, role="surgeon", name_code=code)
    assert not (code and code in str(refused.value)), "a name is not repeated in a message"
    assert not (out / "approvals.json").exists()


@pytest.mark.parametrize("code", ["AB", "abcd", "S-17", "17", "ward-7-b", "a" * 23 + "1"])
def test_a_name_code_holds_a_digit_or_is_short(code):
    approval._valid("surgeon", code, "")


@pytest.mark.parametrize(("role", "note"), [("nurse", ""), ("Surgeon", ""), ("surgeon", "two\nlines"), ("surgeon", "x" * 501)])
def test_a_wrong_role_or_note_is_refused(out, role, note):
    with pytest.raises(InputError, match="--role|--note"):
        approve_folder(out, role=role, name_code="S-17", note=note)


def test_the_command_line(out, run):
    result = run("approve", out.parent, "--role", "surgeon", "--name-code", "S-17", "--json")
    assert result.returncode == 0 and json.loads(result.stdout)["what"].keys() == {GUIDE}
    result = run("approve", out, "--role", "surgeon", "--name-code", "Mustermann")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    (out / f"{STEM}.stl").write_bytes(b"solid other")
    result = run("approve", out, "--role", "engineer", "--name-code", "E-2")
    assert result.returncode == 1 and f"{STEM}.stl" in result.stderr and result.stderr.count("\n") == 1
    assert run("approve", out.parent.parent / "none", "--role", "surgeon", "--name-code", "S-17").returncode == 2


@pytest.mark.parametrize("name", [*PRINTED, "bone.stl"])
def test_what_is_not_as_reported_cannot_be_approved(out, name):
    (out / name).write_bytes((out / name).read_bytes() + b"\n")
    with pytest.raises(ApprovalError, match=name):
        approve_folder(out, role="surgeon", name_code="S-17")
    (out / name).unlink()
    with pytest.raises(ApprovalError, match="missing"):
        approve_folder(out, role="surgeon", name_code="S-17")


@pytest.mark.parametrize("status", ["rejected", "stale"])
def test_a_guide_that_did_not_pass_cannot_be_approved(out, status):
    edit_report(out, lambda report: report["guides"][0].update(status=status))
    with pytest.raises(ApprovalError, match=status):
        approve_folder(out, role="surgeon", name_code="S-17")
    assert not (out / "approvals.json").exists()


def test_of_approvals_written_at_once_none_is_lost(out, monkeypatch):
    """Both have read the record before either writes it, unless one waits for the other."""
    read = approval.read_record

    def slow(folder):
        found = read(folder)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(approval, "read_record", slow)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda code: approve_folder(out, role="surgeon", name_code=code), ["S-1", "S-2", "S-3"]))
    record = read(out)
    assert record.broken is None and sorted(entry["name_code"] for entry in record.entries) == ["S-1", "S-2", "S-3"]
    assert not (out / "approvals.lock").exists()


def test_a_lock_left_behind_is_told_and_not_broken(out, monkeypatch):
    (out / "approvals.lock").touch()
    os.utime(out / "approvals.lock", (time.time() - 900, time.time() - 900))
    monkeypatch.setattr(approval, "alone", partial(approval.alone, wait=0.1))
    with pytest.raises(BuildError, match=r"'approvals.lock' has been in the folder for 9\d\d s: .* delete that file"):
        approve_folder(out, role="surgeon", name_code="S-17")
    assert not (out / "approvals.json").exists()
    (out / "approvals.lock").unlink()
    with pytest.raises(InputError, match="--name-code"):
        approve_folder(out, role="surgeon", name_code="")
    both(out)  # nor is one left behind by an approval that was refused
    assert not (out / "approvals.lock").exists()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda report: None, "passed"),
        (lambda report: report["inputs"].update({"cut[0].markups": "0" * 64}), "stale"),
        (lambda report: report["inputs"].pop("tumour.surface"), "stale"),
        (lambda report: report["bone"].update(used_sha256="0" * 64), "stale"),  # other units by --set, say
        (lambda report: report["case"].update(sha256="0" * 64), "stale"),
        (lambda report: report["case"].update(side="left"), "stale"),
    ],
)
def test_guides_of_an_earlier_run_are_stale_where_anything_they_are_made_from_is_other(out, tmp_path, change, status):
    report = {**read_json(out / "report.json"), "guides": []}  # as of a run that builds for another blade
    change(report)
    (tmp_path / "staging").mkdir()
    api._publish(tmp_path / "staging", out, report)
    (earlier,) = read_json(out / "report.json")["guides"]
    assert earlier["status"] == status
    if status == "stale":
        with pytest.raises(ApprovalError, match="stale"):
            approve_folder(out, role="surgeon", name_code="S-17")
        api._publish(tmp_path / "staging", out, {**report, "guides": []})  # and stays so, told once
        (again,) = read_json(out / "report.json")["guides"]
        assert again["status"] == "stale" and again["notes"] == earlier["notes"]


@pytest.mark.parametrize("name", PRINTED)
def test_a_changed_file_shows(out, name):
    both(out)
    assert statuses(out) == ["approved", "approved"]
    path = out / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit
    assert statuses(out) == ["approved for another version"] * 2
    assert [entry["changed"] for entry in said(out)["entries"]] == [[name]] * 2
    with pytest.raises(ApprovalError, match=name):
        released(out)
    path.write_bytes(whole)
    assert statuses(out) == ["approved", "approved"]


@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda report: report["guides"][0]["params"].update(clearance=0.16), "report.json: parameters and checks"),
        (lambda report: report["guides"][0]["checks"][0].update(limit=99.0), "report.json: parameters and checks"),
        (lambda report: report["case"].update(sha256="0" * 64), "case file"),
        (lambda report: report["case"].update(settings=["tumour.margin=0.0"]), "what --set overrides"),
        (lambda report: report["inputs"].update({"tumour.surface": "0" * 64}), "tumour.surface"),
        (lambda report: report["inputs"].update({"cut[0].markups": "0" * 64}), "cut[0].markups"),
    ],
)
def test_another_input_or_parameter_shows(out, change, label):
    both(out)
    edit_report(out, change)
    assert [(entry["status"], entry["changed"]) for entry in said(out)["entries"]] == [("approved for another version", [label])] * 2
    with pytest.raises(ApprovalError, match="another version"):
        released(out)


def test_notes_and_pictures_are_not_what_was_approved(out):
    both(out)
    edit_report(out, lambda report: report["guides"][0]["notes"].append("said later"))
    (out / f"{STEM}.png").unlink()
    assert statuses(out) == ["approved", "approved"]


def test_approvals_of_another_case_do_not_count(out):
    both(out)
    edit_report(out, lambda report: report["case"].update(id="somebody-else"))
    assert [entry["changed"] for entry in said(out)["entries"]] == [["case: phantom-type1"]] * 2
    with pytest.raises(ApprovalError, match="another version"):
        released(out)


def edited(data):
    data["entries"][0]["name_code"] = "S-18"


def edited_and_hashed(data):
    entry = data["entries"][0]
    entry["name_code"] = "S-18"
    entry["hash"] = hash_of({key: value for key, value in entry.items() if key != "hash"})


def first_removed(data):
    del data["entries"][0]
    data["count"] = 2


def last_removed(data):
    del data["entries"][-1]


def swapped(data):
    data["entries"][0], data["entries"][1] = data["entries"][1], data["entries"][0]


def emptied(data):
    data["entries"][1] = {"hash": hash_of({})}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (edited, "entry 1 was edited"),
        (edited_and_hashed, "before entry 2 was removed, added or moved"),
        (first_removed, "before entry 1 was removed"),
        (lambda data: data["entries"].pop(1), "before entry 2 was removed"),
        (last_removed, "tells of 3 entries and holds 2"),
        (swapped, "before entry 1 was removed"),
        (emptied, "entry 2 is no approval"),
        (lambda data: data.pop("entries"), "cannot be read"),
        (lambda data: data.update(last="0" * 64), "last entry"),
    ],
)
def test_a_broken_chain_is_told(out, change, told):
    both(out)
    approve_folder(out, role="surgeon", name_code="S-17")
    rewrite(out, change)
    assert told in said(out)["broken"]
    (case,) = check_approvals(out)
    assert not case["sound"]
    with pytest.raises(ApprovalError, match="broken"):
        approve_folder(out, role="surgeon", name_code="S-17")
    with pytest.raises(ApprovalError, match="broken"):
        released(out)


def test_a_record_cut_short_with_care_shows_in_the_reports(out):
    both(out)
    edit_report(out, lambda report: report.update(approval=said(out)))  # as a build or plan beside it writes
    assert said(out)["broken"] is None

    def shortened(data):
        del data["entries"][-1]
        data.update(count=1, last=data["entries"][-1]["hash"])

    rewrite(out, shortened)
    assert "a report tells of" in said(out)["broken"]
    (out / "approvals.json").unlink()
    assert "gone" in said(out)["broken"]


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
