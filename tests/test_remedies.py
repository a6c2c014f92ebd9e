"""From a failed check or a refusal to a change that passes: what is tried, what is told, what is drawn."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import CASES, ROOT, written
from strict import strictly

import psi_cad
from psi_cad import api
from psi_cad.builder import suggest
from psi_cad.builder.folder import kept_files
from psi_cad.builder.suggest import PICTURE_FILE, REFUSED_FILE, TRIED_FILE, Asked, Attempt, explained, set_argument, suggested
from psi_cad.builder.trying import candidates
from psi_cad.case.load import load_case
from psi_cad.errors import DesignError, KernelError
from psi_cad.intake.bones import read_bones
from psi_cad.records.report import BuildReport
from psi_cad.remedies.mending import CHECKS, REFUSALS, sentence

TOY = '{id = "toy", process = "FDM", material = "x", build_volume = [20, 20, 20], layer = 0.2, tolerance = 0.2, minimum_wall = 1, reference = "toy"}'
ACROSS = "guide.approach=[0.0,0.15,1.0]"


def test_every_check_and_refusal_is_on_the_page():
    page = (ROOT / "docs" / "remedies.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `([a-z0-9_-]+)`", page, flags=re.M))
    assert rows == set(CHECKS) | set(REFUSALS)


def test_every_reason_has_changes():
    raised = set()
    for path in [*(ROOT / "psi_cad").rglob("*.py"), *(ROOT / "templates").glob("*.py")]:
        raised |= set(re.findall(r'reason="([a-z-]+)"', path.read_text("utf-8")))
    assert raised and raised <= set(REFUSALS)
    assert {reason for reason, refusal in REFUSALS.items() if not refusal.changes} == {"stem"}, "of a stem only the plan can tell what mends it"


def test_no_change_moves_a_cut_or_lowers_a_limit():
    changes = {change for mending in (*CHECKS.values(), *REFUSALS.values()) for change in mending.changes}
    kept = {"params.wall", "params.height", "params.pin_clearance", "params.clearance", "params.footplate_thickness",
            "params.sleeve_wall", "params.guided", "params.lean_limit", "params.tool_clearance"}  # fmt: skip
    for change in changes:
        assert change.key in {"approach", "blade", "printer"} or change.key.startswith("params."), change
        assert change.key not in kept or change.way == "thicker", change
        assert change.why


@pytest.fixture(scope="module")
def bone():
    return read_bones(load_case(CASES / "phantom-type1"), progress=lambda step: None).scene


def tried_for(bone, *asked, settings=(), given=False, text=""):
    loaded = load_case(CASES / "phantom-type1", settings=list(settings))
    return [setting for setting, _ in candidates(Attempt(loaded, None, "supra-acetabular", "generic-25x0.89", given, asked, None, text), bone)]


def test_wires_that_find_no_room_are_refused_and_mended_otherwise_than_a_hole_that_is_missing(bone):
    tried = [[setting.split("params.")[-1].split("=")[0] for setting in tried_for(bone, "pins", text=text)] for text in ("", "no room")]
    assert tried[0] == ["footplate_reach", "footplate_reach", "pins"], "the check"
    assert tried[1][:5] == ["footplate_reach", "footplate_reach", "slope_limit", "wire_depth", "wire_diameter"], "the refusal"


def test_changes_are_looked_for_in_the_catalogue_and_in_range(bone):
    name = "guide.supra-acetabular"
    longer = tried_for(bone, "blade_reach[A]", settings=["guide.blade=generic-10x0.4"])
    assert longer[:2] == [f'{name}.blade="generic-10x0.6"', f'{name}.blade="generic-13x0.89"']
    assert not [setting for setting in tried_for(bone, "blade_reach[A]", given=True) if ".blade=" in setting]  # --blade would win
    assert f"{name}.params.footplate_reach=8" in tried_for(bone, "printer_room", settings=["params.footplate_reach=9"])  # the least there is
    assert not [s for s in tried_for(bone, "pull_off", settings=["params.seat_gap=0.6"]) if "seat_gap" in s]  # at its end already
    both = tried_for(bone, "seat_max", "seat_rms")
    assert both == tried_for(bone, "seat_max") and len(set(both)) == len(both)  # each change once
    assert tried_for(bone, "files_unchanged") == []


def test_an_approach_across_is_laid_into_the_plane(bone):
    normal = np.array([0.0, 0.15, 1.0]) / np.linalg.norm([0.0, 0.15, 1.0])
    found = [json.loads(setting.split("=")[1]) for setting in tried_for(bone, "across", settings=[ACROSS]) if "approach" in setting]
    assert abs(np.array(found[0]) @ normal) < 0.002


@pytest.mark.slow
def test_a_refusal_leaves_its_picture_and_what_passes(tmp_path):
    """An approach along the cut's normal: refused, with the place drawn and a change that passes when it is pasted."""
    with pytest.raises(
        DesignError, match=r"plane of cut 'A'.*This was tried and passes: --set \"guide\.supra-acetabular\.approach=.*REFUSED\.png"
    ) as caught:
        psi_cad.build(CASES / "phantom-type1", tmp_path, settings=[ACROSS])
    picture = tmp_path / "phantom-type1" / REFUSED_FILE
    assert picture.is_file() and [path.name for path in picture.parent.iterdir()] == [REFUSED_FILE]
    assert np.allclose(caught.value.where, [-96.0, -8.0, 35.0], atol=2.0)
    report = psi_cad.build(CASES / "phantom-type1", tmp_path, settings=[ACROSS, caught.value.remedies[0]])
    assert report["status"] == "passed"
    assert not picture.exists()


def test_a_process_that_dies_in_a_try_loses_only_that(phantom_report, monkeypatch, tmp_path):
    def dies(verb, request, **_):
        assert verb == "try"
        folder = Path(request["folder"])
        tried = [
            {"set": ["guide.g.blade=x"], "passed": True, "why": "longer", "failed": ""},
            {"set": ["guide.g.blade=y"], "passed": False, "why": "longer", "failed": "the geometry kernel crashed or hung"},
        ]
        (folder / TRIED_FILE).write_text(json.dumps(tried))
        (folder / PICTURE_FILE).write_bytes(b"png")
        raise KernelError("crashed")

    monkeypatch.setattr(suggest, "perform", dies)
    asked = Asked(load_case(CASES / "phantom-type1"), None, (), True, None)
    check = {"id": "seat_max", "value": 0.3, "unit": "mm", "rule": "<=", "limit": 0.25, "passed": False}
    (made,) = phantom_report["guides"]
    rejected = {**made, "name": "g", "blade": "b", "status": "rejected", "checks": [check]}
    report = BuildReport.model_validate({**phantom_report, "guides": [rejected, made]})
    suggested(asked, report)
    assert [one.set_ for one in report.guides[0].remedies] == [["guide.g.blade=x"]]
    assert len(report.guides[0].tried) == 2 and "tried" not in report.guides[1].to_json()
    error = DesignError("No.", where=(1, 2, 3), reason="contact")
    error.about("g", "b")
    told = explained(asked, error, tmp_path / "case" / REFUSED_FILE)
    assert isinstance(told, DesignError) and told.remedies == ("guide.g.blade=x",) and (tmp_path / "case" / REFUSED_FILE).is_file()
    assert "--set guide.g.blade=x" in str(told)


def test_nothing_is_tried_unasked(phantom_report, monkeypatch):
    monkeypatch.setattr(suggest, "perform", lambda *_, **__: pytest.fail("tried"))
    asked = Asked(load_case(CASES / "phantom-type1"), None, (), False, None)
    report = BuildReport.model_validate({**phantom_report, "guides": [{**phantom_report["guides"][0], "status": "rejected"}]})
    suggested(asked, report)
    assert (report.to_json()["guides"][0]["remedies"], report.to_json()["guides"][0]["tried"]) == ([], [])
    error = DesignError("No.", reason="contact")
    assert explained(asked, error, Path("nowhere.png")) is error


def test_sentences_tell_place_and_number():
    check = {"id": "seat_max", "value": 0.62, "unit": "mm", "rule": "<=", "limit": 0.25, "where": [-128.4, 203.2, -531.0]}
    assert sentence(check) == "`seat_max` failed at (-128, 203, -531): the seat misses the bone by 0.62 mm there"
    assert sentence({**check, "value": 1e9, "where": None}) == "`seat_max` failed: it could not be measured"
    for name, mending in CHECKS.items():
        assert mending.said.format(value=1.0, limit=2.0), name
    assert set_argument("guide.g.approach=[1,0,0]") == '--set "guide.g.approach=[1,0,0]"'
    assert set_argument('guide.g.blade="generic-20x1.0"') == "--set guide.g.blade=generic-20x1.0"


@pytest.fixture
def too_large(tmp_path) -> Path:
    """A case whose guide fits its bone, but not its printer."""
    text = (CASES / "phantom-type3" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    case = tmp_path / "case.toml"
    case.write_text(text[: text.index('[[guide]]\nname = "inferior')].replace('"fdm-ultem1010"', TOY, 1), "utf-8")
    return case


RAMUS = "superior-ramus_generic-10x0.6"
REJECTED = {"bone.stl", "report.json", f"{RAMUS}_REJECTED.step", f"{RAMUS}_REJECTED.png"}


def test_of_a_rejected_guide_no_file_keeps_a_clean_name(tmp_path):
    for name in ("g_b.step", "g_b.stl", "g_b.3mf", "g_b_REJECTED.png", "other_b.step"):
        (tmp_path / name).write_text(name)
    assert kept_files(tmp_path, "g_b", passed=False, pictures=True) == {"step": "g_b_REJECTED.step", "png": "g_b_REJECTED.png"}
    assert written(tmp_path) == {"g_b_REJECTED.step", "g_b_REJECTED.png", "other_b.step"}


@pytest.mark.slow
def test_a_rejected_guide_gets_no_clean_name(too_large, tmp_path, run):
    result = run("build", too_large, "-o", tmp_path / "out", "--no-suggest")
    assert result.returncode == 1 and "REJECTED" in result.stdout and "`printer_room` failed at (" in result.stderr
    assert written(tmp_path / "out") == REJECTED
    report = json.loads((tmp_path / "out" / "phantom-type3" / "report.json").read_text("utf-8"))
    (guide,) = report["guides"]
    assert strictly("report", report) == []
    assert guide["status"] == "rejected" and guide["tried"] == guide["remedies"] == []


@pytest.mark.slow
def test_a_rejected_guide_is_mended_by_what_is_told(too_large, tmp_path, run):
    """Marked, mended by the change that is told, and what passed stands when it is rejected again."""
    result = run("build", too_large, "-o", tmp_path / "out")
    assert result.returncode == 1 and "REJECTED" in result.stdout and "`printer_room` failed at (" in result.stderr
    folder = tmp_path / "out" / "phantom-type3"
    assert written(folder) == REJECTED
    report = json.loads((folder / "report.json").read_text("utf-8"))
    (guide,) = report["guides"]
    assert strictly("report", report) == []
    assert all(remedy["passed"] for remedy in guide["remedies"]) and len(guide["remedies"]) <= len(guide["tried"])
    (setting,) = guide["remedies"][0]["set"]
    assert set_argument(setting) in result.stderr
    assert run("build", too_large, "-o", tmp_path / "out", "--set", setting.replace('"', "")).returncode == 0
    whole = {"bone.stl", "report.json", *(f"{RAMUS}.{kind}" for kind in ("step", "stl", "3mf", "png"))}
    assert written(folder) == whole
    assert run("build", too_large, "-o", tmp_path / "out", "--no-suggest").returncode == 1
    more = written(folder) - whole
    assert whole <= written(folder), "the guide that passed stands"
    assert len(more) == 2 and all(name.startswith(f"{RAMUS}_printer-") and "_REJECTED." in name for name in more)


def test_checks_of_a_plan_tell_where(bone):
    report = api.plan(CASES / "phantom-type1")
    (cut,) = report["cuts"]
    checks = {check["id"]: check for check in report["checks"]}
    assert np.allclose(checks["margin_A"]["where"], cut["margin_sawn_at"]["cut"], atol=0.01)
    reach = np.array(checks["blade_reach_supra-acetabular_A"]["where"])
    normal = np.array(cut["normal"])
    assert abs((reach - cut["origin"]) @ normal) < 0.02  # in the plane, and on the far side of the bone
    assert np.linalg.norm(bone.mesh.vertices - reach, axis=1).min() < 2.0
