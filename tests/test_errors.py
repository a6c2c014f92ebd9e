"""Every way a command can end: one sentence or one JSON object, all mistakes of a file at once, and the right exit code."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from conftest import CASES
from strict import strictly

from psi_cad.api import plan, validate
from psi_cad.case.catalogue import load_catalogue, shipped_catalogue
from psi_cad.case.load import load_case
from psi_cad.cli.main import main
from psi_cad.errors import CaseError, CatalogueError, DesignError, PsiCadError, from_json
from psi_cad.intake.loading import load
from psi_cad.records.guide import Guide
from psi_cad.sawing.blades import length_said, long_enough, tell_lengths
from psi_cad.scene.apart import refuse_behind

GOOD = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
# (what is replaced, by what, the key that is told), in the file's order
MISTAKES = [
    ('side = "right"', 'side = "rigth"', "side"),
    ('bone.stl"\nunits = "mm"', 'bone.stl"\nunits = "mmm"', "bone.units"),
    ("tumour.stl", "nothing.stl", "tumour.surface"),
    ("origin = [-96.0, -8.0, 35.0]", "origin = [-96.0, nan, 35.0]", "cut[0].origin[1]"),
    ("normal = [0.0, 0.15, 1.0]", "normal = 'up'", "cut[0].normal"),
    ('"osteotomy"', '"osteotmy"', "guide[0].template"),
    ('cuts = ["A"]', 'cuts = ["A", "B"]', "guide[0].cuts"),
    ("approach =", "aproach =", "guide[0].aproach"),
    ('blade = "generic-25x0.89"', 'blade = {id = "x", thicknes = 0.8, cutting_width = 10, usable_length = 40, reference = "caliper"}', "guide[0].blade.thicknes"),
    ('"fdm-ultem1010"', '"fdm-ultem101"', "guide[0].printer"),
]  # fmt: skip


@pytest.fixture
def case(tmp_path):
    def write(*changes):
        text = GOOD
        for old, new, *_ in changes:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        path = tmp_path / "case.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_all_mistakes_are_told_at_once_in_the_files_order(case):
    with pytest.raises(CaseError) as told:
        load(case(*MISTAKES))
    assert [error["key"] for error in told.value.errors] == [key for *_, key in MISTAKES]
    assert str(told.value).splitlines() == [error["message"] for error in told.value.errors]
    assert all(line.startswith("case.toml: ") and line.endswith((".", "?")) for line in str(told.value).splitlines())


# of a single missing file or template its reader tells
@pytest.mark.parametrize(("old", "new", "key"), [one for one in MISTAKES if one[2] not in ("tumour.surface", "guide[0].template")])
def test_one_mistake_is_one_sentence(old, new, key, case):
    with pytest.raises((CaseError, CatalogueError)) as told:
        load(case((old, new)))
    assert [error["key"] for error in told.value.errors] == [key] and "\n" not in str(told.value)


def test_wrong_parameters_are_all_told(case):
    path = case(("clearance = 0.15", "clearance = 0.5\nwal = 3.0\npins = 2.5"))
    from psi_cad.intake.loading import resolved_guides

    with pytest.raises(CaseError) as told:
        resolved_guides(load(path))
    assert [error["key"].rpartition(".")[2] for error in told.value.errors] == ["clearance", "wal", "pins"]
    allowed = case(("clearance = 0.15", "clearance = 0.25\nclearance_override = true"))
    assert resolved_guides(load(allowed))[0].clearance == 0.25


def test_files_that_are_missing_are_told_together(case):
    with pytest.raises(CaseError, match=r"bone\.surface.*\n.*tumour\.surface"):
        load(case(("bone.stl", "bones.stl"), ("tumour.stl", "tumours.stl")))


@pytest.mark.parametrize(
    ("blade", "sentence"),
    [("5", "must be text in quotes"), ('"Generic 25"', "no valid name"), ('{id = "x"}', "thickness is missing"), ("[1]", "must be text in quotes")],
)
def test_of_a_choice_only_what_was_meant_is_told(blade, sentence, case):
    with pytest.raises(CaseError) as told:
        load_case(case(('"generic-25x0.89"', blade)))
    assert sentence in str(told.value) and "Blade" not in str(told.value) and "constrained" not in str(told.value)
    keys = [error["key"] for error in told.value.errors]
    assert len(keys) == len(set(keys)) == (4 if blade.startswith("{") else 1)


def test_a_catalogue_tells_all_too(tmp_path, case):
    own = tmp_path / "own.toml"
    own.write_text(
        "sawblade = 1\n[[blade]]\nid = 'x'\nthickness = 9.0\ncutting_width = 10\nusable_length = 50\nreference = 'me'\n[[printer]]\nid = 'p'\n"
    )
    with pytest.raises(CatalogueError) as told:
        load_catalogue(own, where="--catalogue")
    keys = [error["key"] for error in told.value.errors]
    assert keys[:3] == ["sawblade", "blade[0].thickness", "blade[0].reference"] and {"printer[0].process", "printer[0].tolerance"} <= set(keys)
    with pytest.raises(CaseError) as both:
        load_case(case(('side = "right"', 'side = "rigth"')), catalogue=own)
    assert {"side", *keys} == {error["key"] for error in both.value.errors}


def test_mistakes_on_the_terminal_are_a_line_each(case, here):
    code, shown, said = here("check", case(*MISTAKES))
    assert code == 2 and not shown
    assert said.count("psi-cad: ") == len(said.splitlines()) == len(MISTAKES)


def test_json_tells_the_same(case, here):
    code, shown, said = here("check", case(*MISTAKES), "--json")
    error = json.loads(shown)["error"]
    assert code == error["exit_code"] == 2 and not said
    assert error["kind"] == "CaseError" and [one["key"] for one in error["errors"]] == [key for *_, key in MISTAKES]
    assert set(error) == {"kind", "message", "where", "remedies", "errors", "exit_code"}


@pytest.mark.parametrize(
    "arguments", [["build", "--json"], ["build", "x", "--nonsense", "--json"], ["nonsense", "--json"], ["plan", "x", "--max-angle", "a", "--json"]]
)
def test_mistakes_in_the_command_are_json_too(arguments, here):
    code, shown, _ = here(*arguments)
    error = json.loads(shown)["error"]
    assert code == error["exit_code"] == 2 and error["kind"] == "UsageError" and error["message"]
    code, shown, said = here(*arguments[:-1])
    assert code == 2 and not shown and error["message"].split("'")[0] in said


@pytest.mark.parametrize(
    ("raised", "code", "kind"),
    [
        (DesignError("no room.", where=(1.0, 2.0, 3.0), remedies=("guide.g.params.wall=3",)), 1, "DesignError"),
        (PermissionError(13, "Permission denied", "x.stl"), 2, "OSError"),
        (KeyboardInterrupt(), 130, "KeyboardInterrupt"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError"),
    ],
)
def test_whatever_happens_is_one_sentence(raised, code, kind, here, monkeypatch):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr("psi_cad.api.validate", fail)
    ended, shown, said = here("check", CASES / "phantom-type1" / "case.toml")
    assert ended == code and not shown and said.count("psi-cad: ") == 1 and "Traceback" not in said
    ended, shown, said = here("check", CASES / "phantom-type1" / "case.toml", "--json")
    error = json.loads(shown)["error"]
    assert ended == error["exit_code"] == code and error["kind"] == kind and not said
    if kind == "DesignError":
        assert error["where"] == [1.0, 2.0, 3.0] and error["remedies"] == ["guide.g.params.wall=3"]
    if kind == "ZeroDivisionError":
        monkeypatch.setenv("PSI_CAD_DEBUG", "1")
        monkeypatch.setattr("sys.argv", ["psi-cad", "check", str(CASES / "phantom-type1")])
        with pytest.raises(ZeroDivisionError):
            main()


def test_a_tumour_in_another_frame_is_refused_before_a_guide_is_made_too(monkeypatch):
    elsewhere = trimesh.creation.icosphere(radius=10.0)
    elsewhere.apply_translation([96.0, 8.0, 35.0])  # as it lies in RAS
    monkeypatch.setattr("psi_cad.intake.prepare.tumour_source", lambda _case, progress: SimpleNamespace(mesh=elsewhere, name="tumour.stl"))
    with pytest.raises(
        CaseError, match=r"tumour: 'tumour\.stl' lies \d+ mm from the bone; the other coordinates \(LPS or RAS\) would bring it there"
    ):
        validate(CASES / "phantom-type1")


def test_a_normal_that_looks_away_from_the_tumour_is_refused_before_a_guide_is_made():
    with pytest.raises(CaseError, match=r"cut 'A': the tumour 'tumour\.stl', near .* turn it round") as caught:
        validate(CASES / "phantom-type1", settings=["cut.A.normal=[0.0, -0.15, -1.0]"])
    assert np.linalg.norm(np.array(caught.value.where) - [-110.0, -2.0, 95.0]) < 1.0


@pytest.mark.parametrize(
    ("heights", "groups", "neighbours", "said"),
    [
        ((5.0,), "1", ((),), None),
        ((-5.0,), "1", ((),), "cut 'A': .* turn it round"),
        ((0.5,), "1", ((),), None),  # the plane goes through the tumour
        ((5.0, -5.0), "11", (("B",), ("A",)), "cut 'B': .* turn it round"),
        ((-5.0, -5.0), "11", (("B",), ("A",)), "cuts 'A', 'B': .* turn the wrong one round"),
        ((5.0, -5.0), "12", ((), ()), None),  # the other group takes it out
        ((-5.0, -5.0), "12", ((), ()), "cuts 'A', 'B'"),
        ((5.0, -5.0), "11", ((), ()), None),  # planes that do not meet in bone: what hangs together is for the plan
    ],
)
def test_a_tumour_behind_its_cuts(heights, groups, neighbours, said):
    cuts = {}
    for name, height, group, beside, normal in zip("AB", heights, groups, neighbours, ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0]), strict=False):
        cuts[name] = SimpleNamespace(name=name, origin=-height * np.array(normal), normal=np.array(normal), group=group, neighbours=beside)
    ball = np.asarray(trimesh.creation.icosphere(radius=2.0).vertices)
    if said is None:
        refuse_behind(ball, cuts, name="tumour.stl")
        return
    with pytest.raises(CaseError, match=said):
        refuse_behind(ball, cuts, name="tumour.stl")


def test_the_mistakes_of_an_error_cross_processes():
    error = CaseError("a\nb", errors=[{"key": "x", "message": "a"}, {"key": "y", "message": "b"}])
    again = from_json(json.loads(json.dumps(error.to_json())))
    assert type(again) is CaseError and again.errors == error.errors and str(again) == "a\nb"


def test_an_approach_across_a_cut_is_refused_with_one_that_has_a_seat(here):
    across = "guide.supra-acetabular.approach=[0,0,1]"
    for verb in (validate, plan):
        with pytest.raises(PsiCadError, match=r"guide 'supra-acetabular': its approach leans \d+° out of the plane of cut 'A'") as refused:
            verb(CASES / "phantom-type1", settings=[across])
        (remedy,) = refused.value.remedies
        assert f'a seat is found with --set "{remedy}"' in str(refused.value) and remedy.startswith("guide.supra-acetabular.approach=[")
    assert validate(CASES / "phantom-type1", settings=[remedy])["seats"], "the value that is offered passes when it is pasted"


def test_a_blade_that_is_too_short_is_told_with_one_that_is_long_enough(phantom_report):
    catalogue = shipped_catalogue()
    short = catalogue.blade("generic-10x0.4", where="")
    assert long_enough(catalogue, short, 30.0) is short and long_enough(catalogue, short, 500.0) is None
    assert "'generic-10x0.6' has 40 mm" in length_said(catalogue, short, 39.0)
    assert "at least 500.0 mm of usable length are needed; no blade of the catalogue is so long" in length_said(catalogue, short, 500.0)
    check = {"id": "blade_reach[A]", "value": 40.0, "unit": "mm", "rule": ">=", "limit": 40.5, "passed": False, "note": "n"}
    guide = Guide.model_validate({**phantom_report["guides"][0], "blade_entry": short.model_dump(), "checks": [check]})
    tell_lengths([guide], catalogue)
    assert guide.checks[0].note.startswith("n; it is too short: at least 40.5 mm") and "'generic-13x0.89' has 70 mm" in guide.checks[0].note


def test_check_finds_a_seat_and_what_the_blade_reaches(here):
    code, shown, _ = here("check", CASES / "phantom-type1", "--json")
    found = json.loads(shown)
    (seat,) = found["seats"]
    assert strictly("case-check", found) == []
    assert code == 0 and found["guides"] == ["supra-acetabular"] and found["status"] == "passed"
    assert seat["contact_area_mm2"] > 500 and seat["tilt_from_approach_deg"] <= 15.0 and len(seat["checks"]) == 1
    assert {"nominal-blade", "uncalibrated-printer"} <= {caution["id"] for caution in seat["cautions"]}


@pytest.mark.parametrize(
    ("folder", "settings", "words"),
    [
        ("phantom-type1", ["guide.approach=[0.0, 0.1, 1.0]"], "out of the plane"),
        ("phantom-two-cut", ['guide.cuts=["A1"]'], "both belong in one guide"),
        pytest.param("phantom-type3", ["params.pin_clearance=15.0", "params.footplate_reach=8.0"], "wires", marks=pytest.mark.slow),
    ],
)
def test_check_refuses_what_build_would(folder, settings, words, here):
    """The approach along a cut's normal, a neighbour that is missing, wires without room: the last is found by the template's layout."""
    code, shown, said = here("check", CASES / folder, *(word for setting in settings for word in ("--set", setting)))
    (sentence,) = [line for line in said.splitlines() if line.startswith("psi-cad: ")]
    assert code == 1 and words in sentence and not shown


def test_check_and_build_refuse_in_the_same_words(case, here):
    path = case(("approach = [-1.0, -0.1, 0.0]", "approach = [0.0, 0.1, 1.0]"))
    code, _, said = here("check", path)
    ended, _, built = here("build", path, "-o", path.parent / "out", "--no-suggest")  # what else is tried: test_remedies.py
    assert ended == code == 1
    first = said.splitlines()[-1].split("; a seat is found")[0]  # which build leaves to what it tries
    assert built.splitlines()[-1].startswith(first) and "REFUSED.png" in built, "build tells more: a picture"


def test_check_fails_a_blade_that_is_too_short(case, here):
    short = '{id = "short", thickness = 0.6, cutting_width = 10.0, usable_length = 18.0, reference = "measured", nominal = false}'
    code, shown, said = here("check", case(('"generic-25x0.89"', short)))
    assert code == 1 and "1 of 1 checks failed" in shown and "blade_reach[A]" in shown and "wanted at least" in shown
    assert "would be rejected" in said


@pytest.mark.parametrize(
    ("setting", "tries"),
    [("guide.stem.params.stem_wall=5", False), ("guide.stem.approach=[1.0, 0.0, 0.0]", True), ("guide.stem.approach=[0.9, -0.2, 0.3]", True)],
)
def test_check_promises_tries_only_where_build_makes_some(setting, tries, here):
    code, _, said = here("check", CASES / "phantom-acetabular", "--set", setting)
    assert code == 1 and ("`psi-cad build` tries changes" in said) == tries
    assert tries or "no change of a guide is known that mends this, so change the case" in said
    assert "raise params.lean_limit" not in said, "it stands at its greatest already"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", CASES / "phantom-type1", "--max-angle", "5"), "--max-angle and --max-shift limit what --optimise proposes; add --optimise"),
        (("plan", CASES / "phantom-type1", "--type", "I", "--optimise"), "--type writes a starting plan and measures none"),
        (("check", CASES, "--set", "params.wall=3"), "--set is for a case file; an output folder is measured against what it was built for"),
        (("check", CASES, "--blade", "generic-10x0.6"), "--blade is for a case file"),
        (("check", CASES, "--catalogue", "mine.toml"), "--catalogue is for a case file"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words, said, here):
    code, _, told = here(*words)
    assert code == 2 and said in told
