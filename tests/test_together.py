"""Several guides in one build: one that is refused, hangs or crashes does not end the others."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from conftest import CASES

import psi_cad
from psi_cad.approval import publish
from psi_cad.builder import together
from psi_cad.case.load import load_case
from psi_cad.errors import DesignError, KernelError
from psi_cad.intake.prepare import plan_job
from psi_cad.records.report import BuildReport

GUIDE = """
[[guide]]
name = "{name}"
template = "{template}"
cuts = ["A"]
approach = {approach}
blade = "generic-25x0.89"
printer = "fdm-ultem1010"
"""
FROM_THE_SIDE, FROM_BELOW = [-1.0, -0.1, 0.0], [0.0, 0.0, -1.0]
BAD_TEMPLATE = "import os, time\nfrom psi_cad.guides.params import GuideParams as Params\n\n\ndef build(site, params, workshop):\n    {act}\n"


@pytest.fixture
def case(tmp_path):
    """Writes the type I case of the phantom with these guides (name, template, approach) besides its own."""

    def written(*guides):
        text = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
        for name, template, approach in guides:
            text += GUIDE.format(name=name, template=template, approach=approach)
        (tmp_path / "case.toml").write_text(text, "utf-8")
        return tmp_path / "case.toml"

    return written


@pytest.fixture(scope="module")
def job():
    return plan_job(load_case(CASES / "phantom-type1" / "case.toml"), blades=["generic-25x0.89", "generic-20x1.27"], progress=lambda _: None)


def lost(step: str) -> KernelError:
    error = KernelError("The geometry kernel crashed; nothing was written; hint.")
    error.step = step
    return error


def test_what_crashes_is_left_out_and_the_others_are_built_again(job, phantom_report, tmp_path, monkeypatch):
    asked = []

    def perform(verb, request, *, payload, **_):
        asked.append([site.blade.id for guide in payload()[0].guides for site in guide.sites])
        assert not list(tmp_path.iterdir()), "nothing of the dead process is left"
        (tmp_path / "half.step").write_text("half")
        if len(asked) == 1:
            raise lost("supra-acetabular generic-25x0.89: fuse")
        return {**phantom_report, "refused": list(payload()[0].refused), "status": "passed"}

    monkeypatch.setattr(together, "perform", perform)
    report = together.all_built(lambda: job, tmp_path, settings=(), blades=(), progress=None, time_limit=1.0)
    assert asked == [["generic-25x0.89", "generic-20x1.27"], ["generic-20x1.27"]]
    assert report.status == "rejected" and len(report.refused) == 1
    told = report.refused[0]
    assert (told.guide, told.blade, told.error) == ("supra-acetabular", "generic-25x0.89", "KernelError")
    assert "this guide was not made" in told.message and "nothing was written" not in told.message


@pytest.mark.parametrize("steps", [["start"], ["supra-acetabular generic-25x0.89: fuse", "supra-acetabular generic-20x1.27: fuse"]])
def test_a_crash_that_leaves_no_guide_is_raised(job, steps, tmp_path, monkeypatch):
    left = list(steps)

    def perform(verb, request, *, payload, **_):
        payload()
        raise lost(left.pop(0))

    monkeypatch.setattr(together, "perform", perform)
    with pytest.raises(KernelError):
        together.all_built(lambda: job, tmp_path, settings=(), blades=(), progress=None, time_limit=1.0)
    assert not left


@pytest.mark.slow
def test_a_guide_that_is_refused_does_not_end_the_others(case, tmp_path, run):
    path = case(("from-below", "osteotomy", FROM_BELOW))
    out = tmp_path / "out"
    ended = run("build", path, "-o", out, "--no-suggest")
    assert ended.returncode == 1
    assert "psi-cad: not made: from-below for generic-25x0.89: guide 'from-below': its approach leans" in ended.stderr
    report = json.loads((out / "phantom-type1" / "report.json").read_text("utf-8"))
    assert report["status"] == "rejected"
    assert [(guide["name"], guide["status"]) for guide in report["guides"]] == [("supra-acetabular", "passed")]
    assert [(one["guide"], one["error"]) for one in report["refused"]] == [("from-below", "DesignError")]
    assert (out / "phantom-type1" / "supra-acetabular_generic-25x0.89.step").is_file()
    assert psi_cad.measure(out / "phantom-type1")["status"] == "passed"
    found = psi_cad.validate(path)
    assert found["status"] == "failed" and [one["guide"] for one in found["refused"]] == ["from-below"]


def test_where_every_guide_is_refused_the_first_is_told(case):
    path = case(("from-below", "osteotomy", FROM_BELOW))
    text = path.read_text("utf-8").replace(f"approach = {FROM_THE_SIDE}", f"approach = {FROM_BELOW}")
    path.write_text(text, "utf-8")
    with pytest.raises(DesignError, match="approach"):
        plan_job(load_case(path), blades=[], progress=lambda _: None, suggest=False)


@pytest.mark.slow
def test_one_guide_hangs_one_crashes_and_the_third_is_delivered(case, tmp_path, monkeypatch, processes):
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "hangs.py").write_text(BAD_TEMPLATE.format(act="time.sleep(600)"), "utf-8")
    (templates / "crashes.py").write_text(BAD_TEMPLATE.format(act="os._exit(139)"), "utf-8")
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(templates))
    path = case(("stuck", "hangs", FROM_THE_SIDE), ("gone", "crashes", FROM_THE_SIDE))
    report = psi_cad.build(path, tmp_path / "out", suggest=False, time_limit=60.0)
    assert report["status"] == "rejected"
    assert [guide["name"] for guide in report["guides"] if guide["status"] == "passed"] == ["supra-acetabular"]
    told = {one["guide"]: one["message"] for one in report["refused"]}
    assert "ran longer than 60 s" in told["stuck"] and "crashed (exit 139)" in told["gone"]
    shutil.rmtree(templates)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")], "no staging folder is left"


@pytest.mark.parametrize("part", ["build", "lay_out"])
def test_whatever_a_template_raises_is_told_of_its_guide(case, tmp_path, monkeypatch, part):
    (tmp_path / "broken.py").write_text(
        "from psi_cad.guides.params import GuideParams as Params\n\n\ndef build(*_):\n    pass\n\n\n"
        f"def {part}(*_):\n    raise ValueError('a wall of -1 mm')\n",
        "utf-8",
    )
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))
    monkeypatch.delitem(sys.modules, "psi_cad_template_broken", raising=False)
    path = case()
    path.write_text(
        path.read_text("utf-8").replace('template = "osteotomy"', 'template = "broken"').replace("clearance = 0.15", "axis_search = 0.0"), "utf-8"
    )
    with pytest.raises(DesignError, match=r"The template 'broken' failed, ValueError in broken.py, line 9: a wall of -1 mm") as told:
        psi_cad.build(path, tmp_path / "out", suggest=False)
    assert (told.value.guide, told.value.blade) == ("supra-acetabular", "generic-25x0.89")


@pytest.mark.parametrize("variant, status", [(None, "stale"), ("tight", "passed")])
def test_an_earlier_guide_that_the_case_now_refuses_does_not_stand(phantom_report, phantom_out, tmp_path, variant, status):
    folder = tmp_path / "case"
    folder.mkdir()
    before = json.loads(json.dumps(phantom_report))
    before["guides"][0]["variant"] = variant
    (folder / "report.json").write_text(json.dumps(before), "utf-8")
    guide = before["guides"][0]
    refused = {"guide": guide["name"], "blade": guide["blade"], "error": "DesignError", "message": "No."}
    now = BuildReport.model_validate({**phantom_report, "guides": [], "refused": [refused]})
    (kept,) = publish._kept_guides(publish.Before(folder), now)
    assert kept.status == status and ("refuses this guide" in " ".join(kept.notes)) is (status == "stale")


def test_check_tells_of_guides_that_were_not_made(phantom_out, tmp_path, capsys):
    folder = Path(shutil.copytree(phantom_out, tmp_path / "phantom-type1"))
    report = json.loads((folder / "report.json").read_text("utf-8"))
    report["refused"] = [DesignError("no way", reason="across").to_json() | {"guide": "other", "blade": "generic-13x0.89"}]
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    found = psi_cad.measure(folder)
    assert [one["guide"] for one in found["reports"][0]["refused"]] == ["other"]
