"""Cautions that are accepted by name: which block a release, what is told of them, and what cannot be accepted."""

import json
import shutil
from pathlib import Path

import pytest
from approving import ACCEPTED, CASE, GUIDE, PLANNED, STEM, accepted, both, edit_report, released, said

import psi_cad
from psi_cad.approval import approve as approval
from psi_cad.approval.acceptance import accept_in, add_plans, unaccepted
from psi_cad.approval.approve import approve_folder
from psi_cad.builder import together
from psi_cad.cli.approving import acceptance_lines
from psi_cad.errors import ApprovalError, InputError
from psi_cad.files import sha256_of
from psi_cad.findings import CAUTIONS, Caution
from psi_cad.outputs.subject import read_json, read_report
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import CautionSaid


def test_what_blocks_a_release_is_named_with_what_to_paste(out):
    with pytest.raises(ApprovalError) as refused:
        released(out)
    told = "no-plan, nominal-blade, uncalibrated-printer are not accepted; run 'psi-cad plan CASE -o OUT' and build with "
    assert f"{told}--accept nominal-blade --accept uncalibrated-printer, let both" in str(refused.value), "a plan is proposed, not to go without"
    accepted(out, ["no-plan", "uncalibrated-printer"])
    with pytest.raises(ApprovalError) as refused:
        released(out)
    options = "--accept no-plan --accept nominal-blade --accept uncalibrated-printer"
    assert f"nominal-blade is not accepted; build with {options}, let both roles approve it" in str(refused.value)


def test_without_a_plan_nothing_is_released_unless_that_is_accepted(out):
    assert [caution["id"] for caution in read_json(out / "report.json")["cautions"]] == ["no-plan"]
    edit_report(out, lambda report: report.update(cautions=[]))  # taken out of the report, it blocks all the same
    accepted(out, PLANNED)
    with pytest.raises(ApprovalError, match="no-plan is not accepted; run 'psi-cad plan CASE -o OUT' and build with"):
        released(out)


def test_a_plan_that_came_later_takes_the_place_of_the_caution(phantom_report):
    report = BuildReport.model_validate(phantom_report)
    accept_in(report, PLANNED)
    assert report.unaccepted == ["no-plan"]
    assert unaccepted(report, report.guides, planned=True) == ()
    assert unaccepted(report, report.guides, planned=False) == ("no-plan",)


def measured(report):
    """Blade and printer as if somebody had measured them."""
    report["guides"][0]["blade_entry"]["nominal"] = False
    report["guides"][0]["printer_entry"]["calibrated"] = True


def test_cautions_that_were_taken_out_of_a_report_block_all_the_same(out):
    edit_report(out, lambda report: report["guides"][0].update(cautions=[]))
    with pytest.raises(ApprovalError, match="no-plan, nominal-blade, uncalibrated-printer are not accepted"):
        released(out)


@pytest.mark.parametrize("level", ["report", "guide"])
@pytest.mark.parametrize("kind", [kind for kind, caution in CAUTIONS.items() if caution.blocks_release and kind != "no-plan"])
def test_each_kind_that_blocks_must_be_accepted(out, kind, level):
    def change(report):
        measured(report)
        report["guides"][0]["cautions"] = []
        (report if level == "report" else report["guides"][0])["cautions"].append(Caution(kind, "so it is").to_json())

    edit_report(out, change)
    accepted(out, ["no-plan"])
    with pytest.raises(ApprovalError, match=f"{kind} is not accepted"):
        released(out)
    accepted(out, ["no-plan", kind])
    approve_folder(out, role="surgeon", name_code="S-17")
    approve_folder(out, role="engineer", name_code="E-2")
    assert sorted(released(out)["accepted"][GUIDE]) == sorted(["no-plan", kind])
    assert sorted(read_json(out / "report.json")["accepted"]) == sorted(["no-plan", *([kind] if level == "report" else [])])


def test_a_caution_that_does_not_block_needs_no_word(out):
    def change(report):
        measured(report)
        report["guides"][0]["cautions"] = [Caution("small-letters", "tiny").to_json()]

    edit_report(out, change)
    accepted(out, ["no-plan"])
    approve_folder(out, role="surgeon", name_code="S-17")
    approve_folder(out, role="engineer", name_code="E-2")
    assert released(out)["released"]


@pytest.mark.parametrize(
    ("accept", "told"),
    [
        (["nominal-blad"], "--accept nominal-blad: there is no caution of that name; did you mean 'nominal-blade'"),
        (["nominal-blade,zzzzzz"], "--accept zzzzzz: there is no caution of that name; those that block a release are side-against-shape, "),
        (["zzzzzz", "mtal"], "--accept zzzzzz, mtal: there is no caution of that name; did you mean 'metal' for 'mtal'? those that block"),
        (["metal", "slides"], "--accept slides, metal: this build has no such caution; it has no-plan, nominal-blade, "),
        (["metal"], "--accept metal: this build has no such caution; it has no-plan, nominal-blade, kerf-not-measured, uncalibrated-printer"),
    ],
)
def test_what_nobody_was_told_cannot_be_accepted(phantom_report, accept, told):
    with pytest.raises(InputError) as refused:
        accept_in(BuildReport.model_validate(phantom_report), accept)
    assert told in str(refused.value)


def test_all_that_is_in_the_way_of_a_release_is_told_at_once(out, monkeypatch):
    edit_report(out, lambda report: report["guides"][0].update(accepted=["no-plan", "nominal-blade"]))
    with pytest.raises(ApprovalError) as refused:  # nobody approved, and what the folder's guides lack is known before anything is built
        psi_cad.build(CASE, out.parent, accept=["no-plan", "nominal-blade"], release=True)
    told = str(refused.value)
    assert told.startswith("'phantom-type1' is not released, for 2 reasons:\n- the surgeon and the engineer approved nothing in this folder; ")
    assert "- uncalibrated-printer is not accepted; build with --accept no-plan --accept nominal-blade --accept uncalibrated-printer, " in told
    assert [one["message"] for one in refused.value.errors] == [line.removeprefix("- ") for line in told.splitlines()[1:]]
    accepted(out, ["no-plan", "nominal-blade"])
    monkeypatch.setattr(approval, "same_code", lambda *_: False)  # as before codes were compared
    approve_folder(out, role="surgeon", name_code="S-17")
    approve_folder(out, role="engineer", name_code="S-17")
    accepted(out, [])
    with pytest.raises(ApprovalError) as refused:
        released(out)
    for reason in (
        "no-plan, nominal-blade, uncalibrated-printer are not accepted",
        "one person (S-17) approved the",
        "the surgeon approved another",
        "the engineer approved another",
    ):
        assert f"\n- {reason}" in str(refused.value)
    assert "for 4 reasons" in str(refused.value)


def test_an_option_that_does_not_apply_is_told_with_all_else_that_is_in_the_way(phantom_out, out, monkeypatch):
    def perform(_verb, request, **_):
        shutil.copytree(phantom_out, request["folder"], dirs_exist_ok=True)
        (Path(request["folder"]) / "report.json").unlink()
        return read_json(phantom_out / "report.json")

    both(out)
    before = {path.name: sha256_of(path) for path in out.iterdir()}
    monkeypatch.setattr(together, "perform", perform)
    with pytest.raises(InputError) as refused:
        psi_cad.build(CASE, out.parent, accept=["no-plan", "nominal-blade", "metal"], release=True)
    told = str(refused.value)
    assert "\n- --accept metal: this build has no such caution" in told and "\n- uncalibrated-printer is not accepted" in told
    assert {path.name: sha256_of(path) for path in out.iterdir()} == before


def test_all_that_is_in_the_way_of_an_approval_is_told_at_once(out):
    approve_folder(out, role="surgeon", name_code="S-17")
    (out / f"{STEM}.stl").unlink()
    (out / "bone.stl").write_bytes(b"other")
    with pytest.raises(ApprovalError) as refused:
        approve_folder(out, role="engineer", name_code="S-17")
    told = str(refused.value).splitlines()
    assert len(told) == 5 and told[1].startswith(f"- '{STEM}.stl' is missing") and told[2].startswith("- 'bone.stl' is not the one that")
    assert "--same-person" in told[3] and told[4] == (
        "For a release also run 'psi-cad plan CASE -o OUT' and build with --accept nominal-blade --accept uncalibrated-printer."
    )


def test_what_only_a_plan_knows_blocks_too(phantom_report):
    report = BuildReport.model_validate(phantom_report)
    told = [CautionSaid(id=kind, text=kind) for kind in ("soft-tumour-stays", "nominal-blade", "not-reached")]
    add_plans(report, PlanReport.model_construct(cautions=told))
    ids = [caution.id for caution in report.cautions]
    assert ids.count("soft-tumour-stays") == 1
    assert "not-reached" not in ids, "what does not block stays with the plan"
    assert "nominal-blade" not in ids, "the guide tells of it"
    accept_in(report, [])
    assert "soft-tumour-stays" in report.unaccepted


def test_commas_part_and_the_most_serious_comes_first(phantom_report):
    report = BuildReport.model_validate(phantom_report)
    accept_in(report, ["uncalibrated-printer,nominal-blade,no-plan"])
    assert report.guides[0].accepted == ACCEPTED and report.unaccepted == []


def test_an_unknown_caution_is_told_before_anything_is_built(tmp_path):
    with pytest.raises(InputError, match="did you mean 'metal'"):
        psi_cad.build(CASE, tmp_path / "out", accept=["mtal"])
    assert not (tmp_path / "out").exists()


def test_accepting_otherwise_than_approved_is_told_in_words(out):
    both(out)
    edit_report(out, lambda report: report["guides"][0]["cautions"].append(Caution("look", "there").to_json()))
    accepted(out, [*ACCEPTED, "look"])
    with pytest.raises(
        ApprovalError,
        match="accepted cautions: was no-plan, nominal-blade, uncalibrated-printer, is no-plan, nominal-blade, uncalibrated-printer, look",
    ):
        released(out)
    assert said(out)["entries"][0]["changed"] == ["accepted cautions", "cautions"]


def test_approve_tells_every_caution_first_and_what_a_release_still_asks_for(out, run):
    result = run("approve", out, "--role", "surgeon", "--name-code", "S-17")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("approved with these cautions")
    assert "no plan.json" in lines[1] and "nominal" in lines[2] and "uncalibrated" in lines[4]
    place = next(number for number, line in enumerate(lines) if "--accept nominal-blade --accept uncalibrated-printer" in line)
    assert lines[place + 1].startswith("approval 1 of phantom-type1") and "accepted cautions: none" in lines[place + 2]
    accepted(out)
    result = run("approve", out, "--role", "engineer", "--name-code", "E-2", "--json")
    entry = json.loads(result.stdout)
    assert entry["unaccepted"] == [] and set(ACCEPTED) <= {caution["id"] for caution in entry["cautions"]}
    assert entry["what"][GUIDE]["accepted cautions"] == ", ".join(ACCEPTED)


def test_build_ends_with_the_options_that_a_release_needs(out):
    report = read_report(out)
    accept_in(report, ["no-plan", "uncalibrated-printer"])
    report.guides.append(report.guides[0].but(variant="x", accepted=["metal"]))  # of an earlier build, whose words are its own
    assert acceptance_lines(report, ["no-plan", "uncalibrated-printer"]) == [
        "accepted: no-plan, uncalibrated-printer",
        "for a release, look at these cautions; then build with --accept no-plan --accept nominal-blade --accept uncalibrated-printer",
    ]
    accept_in(report, ["uncalibrated-printer,nominal-blade"])
    assert acceptance_lines(report, ["uncalibrated-printer,nominal-blade"])[1] == (
        "for a release, look at these cautions; then run 'psi-cad plan CASE -o OUT' and build with --accept nominal-blade --accept uncalibrated-printer"
    )
    accept_in(report, ACCEPTED)
    assert acceptance_lines(report, ACCEPTED) == ["accepted: no-plan, nominal-blade, uncalibrated-printer"]
