"""Releases: both roles, exactly what came out, and a plan beside the guides that is theirs."""

import shutil
from pathlib import Path

import pytest
from approving import ACCEPTED, CASE, GUIDE, PRINTED, STEM, accepted, accepted_of, both, edit_report, released, rewrite, said, statuses
from conftest import ROOT
from strict import strictly

import psi_cad
from psi_cad import api
from psi_cad.approval import approve as approval
from psi_cad.approval.approve import approve_folder
from psi_cad.approval.release import check_approvals, release_said
from psi_cad.builder import together
from psi_cad.cli.approving import standing_lines
from psi_cad.cli.showing import approval_lines
from psi_cad.errors import ApprovalError, InputError
from psi_cad.files import sha256_of
from psi_cad.findings import Caution
from psi_cad.outputs.subject import read_json
from psi_cad.plans import case as plan_case
from psi_cad.records.report import BuildReport


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Path:
    """The plan of the same case, written without pictures, which nobody signs."""
    folder = tmp_path_factory.mktemp("planned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_case, "draw_plan", list)
        api.plan(CASE, folder)
    return folder / "phantom-type1"


def test_a_release_needs_both_roles(out):
    accepted(out)
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
    monkeypatch.setattr(together, "perform", perform)
    with pytest.raises(ApprovalError, match=f"(?s)surgeon approved another version .*{STEM}.step.* engineer approved another version"):
        psi_cad.build(CASE, out.parent, accept=ACCEPTED, release=True)
    assert {path.name: sha256_of(path) for path in out.iterdir()} == before
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.slow
def test_built_again_it_is_the_same_and_released(out):
    assert read_json(out / "report.json")["release"] == {"released": False}
    both(out)
    before = {name: sha256_of(out / name) for name in PRINTED}
    report = psi_cad.build(CASE, out.parent, accept=ACCEPTED, release=True)
    assert report == read_json(out / "report.json") and strictly("report", report) == []
    assert report["release"]["accepted"] == {GUIDE: ACCEPTED} and report["guides"][0]["accepted"] == ACCEPTED and report["unaccepted"] == []
    assert report["release"]["released"] and [entry["sequence"] for entry in report["release"]["approvals"]] == [1, 2]
    assert {name: sha256_of(out / name) for name in PRINTED} == before
    (case,) = check_approvals(out)
    assert case.released and case.sound
    path = out / f"{STEM}.stl"
    path.write_bytes(path.read_bytes() + b"\n")
    (case,) = check_approvals(out)  # released, and then changed: no sound release
    assert case.released and not case.sound and "another version" in case.missing[0]


@pytest.mark.slow
def test_another_clearance_is_a_variant_and_leaves_the_approved_guide_alone(out):
    both(out)
    before = {name: sha256_of(out / name) for name in PRINTED}
    clearance = {"settings": ["params.clearance=0.12"]}
    report = psi_cad.build(CASE, out.parent, **clearance)
    variant, plain = report["guides"]
    assert (variant["variant"], variant["differs"]) == ("clearance-0.12", ["clearance 0.12 instead of 0.15"])
    assert plain["status"] == "passed" and {name: sha256_of(out / name) for name in PRINTED} == before
    assert sorted(path.name for path in out.glob("*clearance*")) == [f"{STEM}_clearance-0.12.{kind}" for kind in ("3mf", "png", "step", "stl")]
    assert f"'phantom-type1_{STEM}_clearance-0.12'" in (out / f"{STEM}_clearance-0.12.step").read_text("latin-1")
    assert [entry["status"] for entry in report["approval"]["entries"]] == ["approved"] * 2
    assert "the surgeon has not approved the guide " + variant["name"] in report["approval"]["missing"][0]
    # what --set overrode is said of the guide it reached, and not of the one built without it
    assert [["case-overridden" in [c["id"] for c in guide["cautions"]] for guide in (variant, plain)], [c["id"] for c in report["cautions"]]] == [
        [True, False],
        ["no-plan"],
    ]
    assert report["unaccepted"] == ["case-overridden", *ACCEPTED]
    rows = api.compare(out)
    assert [(row["guide"], row["clearance_mm"], row["approved"]) for row in rows] == [(f"{STEM}_clearance-0.12", 0.12, False), (STEM, 0.15, True)]
    assert rows[0]["slot_width_mm"] == pytest.approx(rows[1]["slot_width_mm"] - 0.03, abs=0.005)
    accept = ["case-overridden", *ACCEPTED]
    accepted_of(out, f"{STEM}_clearance-0.12", accept)
    approve_folder(out, role="surgeon", name_code="S-17", guides=[f"{STEM}_clearance-0.12"])
    approve_folder(out, role="engineer", name_code="E-2", guides=[f"{STEM}_clearance-0.12"])
    again = psi_cad.build(CASE, out.parent, **clearance, accept=accept, release=True)  # it has its own name again, and the same bytes
    assert again["release"]["sections"] == [f"{GUIDE}_clearance-0.12"] and len(again["guides"]) == 2


def test_the_plan_is_approved_before_there_is_a_guide(planned, out, tmp_path):
    folder = Path(shutil.copytree(planned, tmp_path / "early"))
    entry = approve_folder(folder, role="surgeon", name_code="S-17")
    assert entry["what"].keys() == {"plan"}
    assert {"case file", "plan.json", "plan.mrk.json", "plan-specimen.stl", "tumour.surface"} <= entry["what"]["plan"].keys()
    assert statuses(folder) == ["approved"]
    found = api.measure(folder)  # nothing to measure, and the approval is told
    assert found["status"] == "passed" and found["guides"] == [] and found["approvals"][0]["entries"][0]["covers"] == ["plan"]
    shutil.copytree(out, folder, dirs_exist_ok=True)  # the guide comes later, into the same folder
    accepted(folder)
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


NO_BETTER = {"bounds": {"angle_deg": 5.0, "shift_mm": 5.0}, "why": "x"}


def test_what_a_plan_run_says_beside_the_plan_changes_nothing(planned, tmp_path):
    folder = Path(shutil.copytree(planned, tmp_path / "plan"))
    approve_folder(folder, role="surgeon", name_code="S-17")
    edit_report(folder, lambda plan: plan.update(software={}, notes=["no proposal"], optimised=NO_BETTER, proposal=dict(plan)), "plan.json")
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


def other_blade(report):
    """The guide as built for a second blade, too, whose depth was not planned."""
    report["guides"].append({**report["guides"][0], "blade": "generic-20x1.27", "blade_entry": {"id": "generic-20x1.27"}})


def test_a_plan_serves_every_blade_that_it_was_measured_for(planned, out):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    accepted(out)
    edit_report(out, other_blade)
    mend = "psi-cad plan CASE -o OUT --blade generic-25x0.89 --blade generic-20x1.27' into the same folder"
    with pytest.raises(ApprovalError, match=mend):
        approve_folder(out, role="surgeon", name_code="S-17")
    entry = approve_folder(out, role="surgeon", name_code="S-17", guides=[STEM])  # nor does the other blade stop this one
    assert list(entry["what"]) == ["plan", GUIDE]
    edit_report(
        out,
        lambda plan: plan["slots"].append({**plan["slots"][0], "blade": "generic-20x1.27", "blade_entry": {"id": "generic-20x1.27"}}),
        "plan.json",
    )
    entry = approve_folder(out, role="engineer", name_code="E-2")
    assert list(entry["what"]) == ["plan", GUIDE, "guide supra-acetabular_generic-20x1.27"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: plan.update(status="failed", checks=[{**plan["checks"][0], "id": "margin_A", "passed": False}]), r"did not pass \(margin_A\)"),
        (lambda plan: plan["case"].update(sha256="0" * 64), "case file has changed"),
        (lambda plan: plan["case"].update(settings=["tumour.margin=0.0"]), "what --set overrides has changed"),
        (lambda plan: plan["inputs"].update({"tumour.surface": "0" * 64}), "tumour.surface has changed"),
        (moved, "the plane of cut 'A' differs"),
        (
            lambda plan: plan["slots"][0].update(blade="generic-10x0.4"),
            r"planned for blade generic-10x0.4, not for blade generic-25x0.89; run 'psi-cad plan CASE -o OUT --blade generic-25x0.89' into the same",
        ),
        (lambda plan: plan["slots"][0]["blade_entry"].update(usable_length=60.0), "measures of blade generic-25x0.89"),
        (lambda plan: plan["slots"][0].update(height_mm=12.0), "guided over 12.0 mm and built with 10.0"),
        (lambda plan: plan["slots"].clear(), "planned for no blade, not for blade generic-25x0.89"),
        (lambda plan: plan["sha256"].update({"plan.mrk.json": "0" * 64}), "plan.mrk.json"),
    ],
)
def test_a_guide_beside_another_plan_is_neither_approved_nor_released(planned, out, change, told):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    edit_report(out, change, "plan.json")
    with pytest.raises(ApprovalError, match=told):
        approve_folder(out, role="surgeon", name_code="S-17")


def test_a_release_repeats_what_the_plan_alone_knows(planned, out):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    both(out)
    edit_report(out, lambda plan: plan["cautions"].append(Caution("kerf-unknown", "no guide takes cut 'B'").to_json()), "plan.json")
    assert "the plan says: no guide takes cut 'B'" in released(out)["notes"], "cautions are said of the run, so the plan is still the approved one"
    nominal = next(caution["text"] for caution in read_json(out / "report.json")["guides"][0]["cautions"] if caution["id"] == "nominal-blade")
    assert not any(nominal in note for note in released(out)["notes"]), "said of the guide already"


def replaced(folder):
    (folder / f"{STEM}.stl").write_bytes(b"solid other")


def another_picture(folder):
    (folder / f"{STEM}.png").write_bytes(b"another picture")


@pytest.mark.parametrize(
    ("change", "case_unsound"),
    [
        (lambda folder: edit_report(folder, moved, "plan.json"), True),
        (replaced, True),
        (lambda folder: (folder / f"{STEM}.3mf").unlink(), True),
        (lambda folder: rewrite(folder, lambda record: record["entries"][0].update(note="other")), True),
        (another_picture, False),
    ],
    ids=["newer plan", "another STL", "no 3MF", "edited record", "another picture"],
)
def test_a_release_that_does_not_hold_is_told_in_one_word_everywhere(planned, out, run, change, case_unsound):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    both(out)
    edit_report(out, lambda report: report.update(release=released(out)))
    for word in ("sheet", "compare"):
        said = run(word, out)
        assert said.returncode == 0 and "released" in said.stdout and "NOT SOUND" not in said.stdout
    page = (out / "sheet.html").read_text("utf-8")
    assert "yes, yes" in page and "DO NOT USE" not in page
    change(out)
    for word in ("sheet", "compare"):
        said = run(word, out)
        assert said.returncode == 1 and "released" not in said.stdout, word
        (line,) = [line for line in said.stdout.splitlines() if "supra-acetabular_" in line]
        assert "NOT SOUND" in line, word
        assert run(word, out, "--json").returncode == 1
    page = (out / "sheet.html").read_text("utf-8")
    assert "DO NOT USE: NOT SOUND" in page and ", NOT SOUND</td>" in page and ", yes</td>" not in page
    (case,) = check_approvals(out)
    assert case.sound is not case_unsound
    head, *_, last = standing_lines(case, failed=() if case_unsound else (GUIDE,))
    assert head.startswith("phantom-type1: NOT SOUND: ") and last.startswith(f"  {GUIDE}: NOT SOUND")


def test_check_says_released_of_no_release_that_does_not_hold(planned, out, run):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    both(out)
    edit_report(out, lambda report: report.update(release=released(out)))
    assert f"{GUIDE}: released" in run("check", out).stdout
    another_picture(out)
    said = run("check", out)
    assert said.returncode == 1 and f"{GUIDE}: NOT SOUND" in said.stdout and f"{GUIDE}: released" not in said.stdout


def test_a_release_beside_another_plan_is_refused(planned, out):
    shutil.copytree(planned, out, dirs_exist_ok=True)
    both(out)
    assert released(out)["released"]
    edit_report(out, moved, "plan.json")
    with pytest.raises(ApprovalError, match="the plane of cut 'A' differs"):
        released(out)


@pytest.mark.parametrize(
    ("change", "label", "told"),
    [
        (lambda report: report["guides"][0].update(template_sha256="0" * 64), "template file", "template file"),
        (lambda report: report["software"].update(kernel="9.9"), "software", r"software: was psi-cad .*, is psi-cad .* kernel 9\.9"),
        (lambda report: report["guides"][0]["cautions"][0].update(text="other"), "cautions", "cautions"),
    ],
)
def test_the_template_s_file_the_software_and_the_cautions_are_approved(out, change, label, told):
    both(out)
    edit_report(out, change)
    assert said(out)["entries"][0]["changed"] == [label]
    with pytest.raises(ApprovalError, match=f"changed: {told}"):
        released(out)


def test_the_report_holds_the_hash_of_the_template_s_file(phantom_report):
    (guide,) = phantom_report["guides"]
    assert guide["template_sha256"] == sha256_of(ROOT / "templates" / "osteotomy.py")


@pytest.mark.parametrize("code", ["S-17", "s17", "S17"])
def test_one_person_in_both_roles_must_be_said_and_is_shown(out, code):
    accepted(out)
    assert approve_folder(out, role="surgeon", name_code="S-17")["same_person"] is False
    with pytest.raises(ApprovalError, match=f"{code} approved the {GUIDE} as surgeon, so the engineer must be somebody else; .*--same-person"):
        approve_folder(out, role="engineer", name_code=code)
    assert len(said(out)["entries"]) == 1
    assert approve_folder(out, role="engineer", name_code=code, same_person=True)["same_person"] is True
    found = released(out)
    assert f"one person ({code}) approved in both roles" in found["notes"] and found["approvals"][1]["same_person"]
    assert f"engineer {code} (the same person in both roles)" in "\n".join(approval_lines(check_approvals(out)[0], released=False))
    approve_folder(out, role="engineer", name_code="E-2")  # a second person's word is the last now
    assert not any("one person" in note for note in released(out)["notes"])


def test_an_older_record_with_one_person_in_both_roles_is_not_released(out, monkeypatch):
    accepted(out)
    monkeypatch.setattr(approval, "same_code", lambda *_: False)  # as before codes were compared
    approve_folder(out, role="surgeon", name_code="S-17")
    approve_folder(out, role="engineer", name_code="S-17")
    with pytest.raises(ApprovalError, match=rf"one person \(S-17\) approved the {GUIDE} in both roles and nobody said --same-person"):
        released(out)


def test_check_tells_what_a_release_rests_on(out, run):
    both(out)
    edit_report(out, lambda report: report.update(release=release_said(out, out, BuildReport.model_validate(report)).to_json()))
    (case,) = check_approvals(out)
    assert case.sound and case.releases == [GUIDE] and case.accepted == {GUIDE: ACCEPTED}
    result = run("check", out)
    assert result.returncode == 0 and f"{GUIDE}: released, accepted cautions: {', '.join(ACCEPTED)}" in result.stdout
    edit_report(out, lambda report: report["guides"][0].update(accepted=[]))  # taken back by hand
    (case,) = check_approvals(out)
    assert not case.sound and any("no-plan, nominal-blade, uncalibrated-printer not accepted for the" in missing for missing in case.missing)


def test_a_guide_that_is_stale_blocks_itself_alone(out):
    accepted(out)
    edit_report(out, other_blade)
    edit_report(out, lambda report: report["guides"][1].update(status="stale"))
    other = "supra-acetabular_generic-20x1.27"
    told = f"guide {other} is stale, so it cannot be approved; approve the others alone with --guide {STEM}, or drop it with 'psi-cad remove OUT {other}'"
    with pytest.raises(ApprovalError) as refused:
        approve_folder(out, role="surgeon", name_code="S-17")
    assert told in str(refused.value)
    assert list(approve_folder(out, role="surgeon", name_code="S-17", guides=[STEM])["what"]) == [GUIDE]
    with pytest.raises(InputError, match=f"--guide {STEM[:-1]}: there is no guide of that name; did you mean '{STEM}'"):
        approve_folder(out, role="engineer", name_code="E-2", guides=[STEM[:-1]])


def test_there_must_be_something_to_approve(out):
    edit_report(out, lambda report: report["guides"].clear())
    with pytest.raises(InputError, match="no plan and no guide here to approve"):
        approve_folder(out, role="surgeon", name_code="S-17")
