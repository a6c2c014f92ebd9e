"""The processing sheet: what is known of each instrument, what is open, and that it tells of nothing that is gone."""

import json

import pytest
from conftest import CASES
from strict import strictly

import psi_cad
from psi_cad import api
from psi_cad.errors import InputError
from psi_cad.outputs.notice import CASE_NOT_READ


def test_what_nobody_has_entered_is_open(out, run):
    (found,) = json.loads(run("sheet", out, "--json").stdout)
    (one,) = found["instruments"]
    assert strictly("sheet", found) == [] and one["instrument"].startswith("guide ")
    assert {name for name, value in one.items() if value is None} == {"orientation", "post_processing", "washing", "packing", "sterilisation"}
    assert one["status"] == "passed" and not one["released"] and not one["approved"]
    assert set(one["files"]) == set(json.loads((out / "report.json").read_text("utf-8"))["guides"][0]["files"].values())
    text = (out / "sheet.html").read_text("utf-8")
    assert text.count("open: ____") == 5 and "DO NOT USE" in text and one["gauge"] in text and all(digest in text for digest in one["files"].values())
    said = run("sheet", out).stdout
    assert "NOT RELEASED; open: orientation, post-processing, washing, packing, sterilisation" in said


def test_what_reads_no_case_says_so(out, run):
    digest = json.loads((out / "report.json").read_text("utf-8"))["case"]["sha256"]
    for word in ("check", "compare", "sheet"):
        said = run(word, out)
        assert said.returncode == 0 and said.stdout.count(CASE_NOT_READ) == 1, word
    page = (out / "sheet.html").read_text("utf-8")
    assert digest in page and "the case file was not looked at" in page
    checked = json.loads(run("check", out, "--json").stdout)
    assert checked["case_file"] == "not looked at" and strictly("check", checked) == []


def test_what_the_hospital_has_entered_is_told_in_its_own_words(tmp_path):
    text = (CASES / "phantom-spacer" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    text = text[: text.rindex("[[part]]")].replace("shell = 3.0\n", "")
    (tmp_path / "case.toml").write_text(text.replace("[bone]", 'catalogue = "mine.toml"\n\n[bone]', 1).replace('"fdm-generic"', '"ours"'), "utf-8")
    (tmp_path / "mine.toml").write_text(
        '[[printer]]\nid = "ours"\nprocess = "FDM"\nmaterial = "PA <12>"\nbuild_volume = [250, 250, 250]\nlayer = 0.2\ntolerance = 0.2\n'
        'minimum_wall = 0.8\ncalibrated = true\nreference = "measured"\n[printer.processing]\norientation = "seat up"\nsterilisation = "programme 7 & gauge"\n',
        "utf-8",
    )
    psi_cad.build(tmp_path, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "phantom-spacer" / "report.json").read_text("utf-8"))
    assert report["parts"][0]["printer_entry"]["processing"]["orientation"] == "seat up"
    ((file, said),) = api.sheet(tmp_path / "out").items()
    (one,) = said["instruments"]
    assert (one["orientation"], one["sterilisation"], one["washing"], one["material"]) == ("seat up", "programme 7 & gauge", None, "PA <12>")
    assert one["instrument"] == "part trial_ours" and one["tool"] is None and one["calibrated"] and one["label"]
    page = file.read_text("utf-8")
    assert "PA &lt;12&gt;" in page and "programme 7 &amp; gauge" in page and "<12>" not in page and page.count("open: ____") == 3


def test_a_new_approval_renews_the_sheet(out):
    ((file, said),) = api.sheet(out).items()
    assert not said["instruments"][0]["approved"] and "no, no" in file.read_text("utf-8")
    for role, code in (("surgeon", "S-17"), ("engineer", "E-2")):
        api.approve(out, role=role, name_code=code)
    assert "yes, no" in file.read_text("utf-8")
    file.unlink()
    api.approve(out, role="surgeon", name_code="S-18")
    assert not file.exists(), "no sheet is written that nobody asked for"


def test_a_file_that_was_changed_is_told(out):
    stl = next(out.glob("*generic*.stl"))
    stl.write_bytes(stl.read_bytes() + b" ")
    ((_, said),) = api.sheet(out).items()
    assert said["instruments"][0]["status"] == "changed"


def test_a_sheet_goes_with_what_it_tells_of(out):
    ((file, said),) = api.sheet(out).items()
    assert file.is_file()
    api.remove(out, said["instruments"][0]["instrument"].split(" ")[1])
    assert not file.exists()


def test_where_nothing_was_built_there_is_no_sheet(tmp_path, run):
    with pytest.raises(InputError, match=r"there is no plan.json or report.json"):
        api.sheet(tmp_path)
    assert run("sheet", tmp_path).returncode == 2
