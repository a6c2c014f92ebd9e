"""Approvals: what was approved, by whom, in order; what changed since shows."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from approving import CASE, GUIDE, PRINTED, STEM, both, edit_report, released, rewrite, said, statuses
from conftest import CASES

from psi_cad.approval import approve as approval
from psi_cad.approval.approve import approve_folder
from psi_cad.approval.publish import Before, publish
from psi_cad.approval.record import read_record
from psi_cad.approval.release import check_approvals
from psi_cad.cli.showing import approval_lines
from psi_cad.errors import ApprovalError, BuildError, InputError
from psi_cad.files import sha256_of
from psi_cad.outputs.subject import hash_of, read_json, read_report, subject_of
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import ApprovalSaid


def test_an_entry_holds_every_hash_and_the_one_before(out, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    both(out)
    one, two = read_record(out).entries
    report = read_json(out / "report.json")
    section = one.what[GUIDE]
    assert one.time == "2023-11-14T22:13:20Z" and (one.sequence, two.sequence) == (1, 2)
    assert {name: section[name] for name in [*PRINTED, "bone.stl"]} == {name: sha256_of(out / name) for name in [*PRINTED, "bone.stl"]}
    assert section["case file"] == sha256_of(CASE / "case.toml")
    assert section["bone.surface"] == sha256_of(CASES / "phantom" / "bone.stl") == report["bone"]["sha256"]
    assert section["tumour.surface"] == sha256_of(CASES / "phantom" / "tumour.stl")
    assert one.previous == "0" * 64 and two.previous == one.hash
    assert one.hash == hash_of({key: value for key, value in one.to_json().items() if key != "hash"})
    assert (two.role, two.name_code, two.note) == ("engineer", "E-2", "slot gauged")


NAMES = ["Erika Mustermann", "Mustermann", "Erika-Mustermann", "MUELLER", "A-B", "e.m@clinic7", "Mueller1", "7-Mustermann", "x1-Erika"]


@pytest.mark.parametrize("code", [*NAMES, "", "a1" * 12 + "b", "S_17", "-7", "S-17\n", "Müller1", "AB\n"])
def test_a_wrong_name_code_is_refused(out, code):
    with pytest.raises(
        InputError, match="--name-code: must be .* no more than 4 letters together, that holds a digit or is at most 4 letters"
    ) as refused:
        approve_folder(out, role="surgeon", name_code=code)
    assert not (code and code in str(refused.value)), "a name is not repeated in a message"
    assert not (out / "approvals.json").exists()


@pytest.mark.parametrize("code", ["AB", "abcd", "S-17", "17", "ward-7-b", "a1" * 12])
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
    assert record.broken is None and sorted(entry.name_code for entry in record.entries) == ["S-1", "S-2", "S-3"]


HOLDS = "import sys, time\nfrom pathlib import Path\nfrom psi_cad.files import alone\nwith alone(Path(sys.argv[1]), what='x'):\n    print(flush=True)\n    time.sleep(600)\n"


def test_a_lock_is_waited_for_and_goes_with_the_program_that_held_it(out, monkeypatch):
    monkeypatch.setattr(approval, "alone", partial(approval.alone, wait=0.1))
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(out / approval.LOCK_FILE)], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(BuildError, match=r"'approvals.lock' has been held for 0.1 s: .* delete that file"):
            approve_folder(out, role="surgeon", name_code="S-17")
        assert not (out / "approvals.json").exists()
        other.kill()
    with pytest.raises(InputError, match="--name-code"):
        approve_folder(out, role="surgeon", name_code="")
    both(out)  # neither a program that was killed nor a refusal holds it on
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
        (lambda report: report["software"].update({"psi-cad": "9.9"}), "stale"),
        (lambda report: report["software"].update(kernel="9.9"), "stale"),
        (lambda report: report["software"].update(python="9.9"), "passed"),  # it decides no file
    ],
)
def test_guides_of_an_earlier_run_are_stale_where_anything_they_are_made_from_is_other(out, tmp_path, change, status):
    report = {**read_json(out / "report.json"), "guides": []}  # as of a run that builds for another blade
    change(report)
    (tmp_path / "staging").mkdir()
    publish(tmp_path / "staging", out, BuildReport.model_validate(report), Before(out))
    (earlier,) = read_json(out / "report.json")["guides"]
    assert earlier["status"] == status
    if status == "stale":
        with pytest.raises(ApprovalError, match="stale"):
            approve_folder(out, role="surgeon", name_code="S-17")
        publish(tmp_path / "staging", out, BuildReport.model_validate({**report, "guides": []}), Before(out))  # and stays so, told once
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


def as_earlier(report, *, settings):
    """As an earlier version told of settings: of the whole case alone."""
    report["case"].update(settings=settings)
    for guide in report["guides"]:
        del guide["settings"]


@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda report: report["guides"][0]["params"].update(clearance=0.16), "report.json: parameters and checks"),
        (lambda report: report["guides"][0]["checks"][0].update(limit=99.0), "report.json: parameters and checks"),
        (lambda report: report["case"].update(sha256="0" * 64), "case file"),
        (lambda report: report["guides"][0].update(settings=["tumour.margin=0.0"]), "what --set overrides"),
        (lambda report: as_earlier(report, settings=["tumour.margin=0.0"]), "what --set overrides"),
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
    assert not case.sound
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


def test_a_guide_that_is_gone_changes_nothing_of_the_rest(out):
    """Of an approval of two guides one was removed: the other stands as approved, and what is gone is told as gone."""
    both(out)
    (entry, _), report = read_record(out).entries, read_report(out)
    other = "guide other_generic-25x0.89"
    signed = entry.but(what={**entry.what, other: dict(entry.what[GUIDE])})
    subject = subject_of(out, plan=None, report=report)
    found = approval._entry_said(signed, subject, report.case.id)
    assert (found.status, found.changed, found.gone) == ("approved", [], [other])
    assert approval_lines(ApprovalSaid(broken=None, missing=[], entries=[found]), released=False)[1].endswith(
        f"{GUIDE}: approved (no longer here: {other})"
    )
    nothing = approval._entry_said(entry.but(what={other: entry.what[GUIDE]}), subject, report.case.id)
    assert nothing.status != "approved"
