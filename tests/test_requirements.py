"""What the house requires: no template lowers a floor or leaves out a mandatory feature unseen."""

import dataclasses
import json

import pytest
from conftest import CASES, ROOT

import psi_cad
from psi_cad.errors import DesignError, EnvironmentProblem
from psi_cad.guides.registry import load_template
from psi_cad.promises.expected import Expected
from psi_cad.promises.requirements import refuse_lacking, refuse_missing

PLAIN = (ROOT / "templates" / "_template.py").read_text("utf-8")


@pytest.fixture(scope="module")
def plan(phantom_report):
    return Expected.from_json(json.loads(json.dumps(phantom_report["guides"][0]["plan"])))


def with_slot(plan, **values):
    return dataclasses.replace(plan, slots=(dataclasses.replace(plan.slots[0], **values),))


LESS = {
    "guided height of 'A' of 6 mm": lambda plan: with_slot(plan, height=6.0),
    "guided height of 'A' of nan mm": lambda plan: with_slot(plan, height=float("nan")),
    "wall beside the slot of 'A' of 1.5 mm": lambda plan: with_slot(plan, wall=1.5),
    "clearance over the blade of 'A' of 0.3 mm": lambda plan: with_slot(plan, clearance=0.3),
    "clearance over the blade of 'A' of 0.05 mm": lambda plan: with_slot(plan, clearance=0.05),
    "broken edge of the guide of 4 mm": lambda plan: dataclasses.replace(plan, edge_break=4.0),
    "distance of a wire from a cut plane of the guide of 0.2 mm": lambda plan: dataclasses.replace(plan, pin_clearance=0.2),
    "no footplate": lambda plan: dataclasses.replace(plan, outlines=()),
    "0 holes for wires": lambda plan: dataclasses.replace(plan, pins=0),
    "2 holes for wires": lambda plan: dataclasses.replace(plan, pins=2),
}


@pytest.mark.parametrize("said", LESS)
def test_less_than_is_required_is_refused_by_name(plan, said):
    refuse_lacking("mine", plan, override_asked=False)
    with pytest.raises(DesignError, match=f"'mine' promises .*{said}"):
        refuse_lacking("mine", LESS[said](plan), override_asked=False)


def test_a_clearance_outside_passes_only_where_the_case_says_so(plan):
    wide = dataclasses.replace(with_slot(plan, clearance=0.3), clearance_overridden=True)
    refuse_lacking("mine", wide, override_asked=True)
    for claimed, asked in ((True, False), (False, True)):
        with pytest.raises(DesignError, match="clearance over the blade"):
            refuse_lacking("mine", dataclasses.replace(wide, clearance_overridden=claimed), override_asked=asked)


def test_a_drill_guide_may_do_without_wires_but_not_with_two(plan):
    bare = dataclasses.replace(plan, slots=(), pins=0)
    refuse_lacking("mine", bare, override_asked=False)
    with pytest.raises(DesignError, match="2 holes for wires, and a drill guide"):
        refuse_lacking("mine", dataclasses.replace(bare, pins=2), override_asked=False)


@pytest.mark.parametrize(
    ("promised", "said"),
    [((), "no 'slot' for cut 'A'"), (("A",), "no 'slot' for cut 'B'"), (("A", "B", "A"), "2 of"), (("B", "A", "C"), "for cut 'C'")],
)
def test_every_cut_has_its_slot_and_no_other(promised, said):
    refuse_missing("mine", kind="slot", asked=("A", "B"), promised=("B", "A"))
    with pytest.raises(DesignError, match=said):
        refuse_missing("mine", kind="slot", asked=("A", "B"), promised=promised)


def own(tmp_path, monkeypatch, *changes):
    text = PLAIN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "mine.py").write_text(text, "utf-8")
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))


def test_a_wider_range_of_a_parameter_of_the_house_is_refused(tmp_path, monkeypatch):
    field = '    seat_gap: float = param(0.2, unit="mm", low=0.0, high={high}, help="gap")\n    clearance: float'
    own(tmp_path, monkeypatch, ("    clearance: float", field.format(high=0.5)))
    assert load_template("mine", where="here").Params().seat_gap == 0.2
    own(tmp_path, monkeypatch, ("    clearance: float", field.format(high=3.0)))
    with pytest.raises(EnvironmentProblem, match=r"'mine.py' declares 'seat_gap' with a range beyond 0 to 0.6"):
        load_template("mine", where="here")


COPIES = {
    "no 'slot' for cut 'A'": [("            for p in plans\n        ),\n        pins", "            for p in plans[:0]\n        ),\n        pins")],
    "no footplate": [("outlines=tuple(np.asarray(plate.exterior.coords) for plate in plates)", "outlines=()")],
    "0 holes for wires": [("for n, pin in enumerate(pins, start=1)),\n        label", "for n, pin in enumerate(pins[:0], start=1)),\n        label")],
}


def test_a_template_that_leaves_out_what_is_mandatory_makes_no_guide(tmp_path, monkeypatch):
    bare = "Design(None, slots=(), pins=(), label=Label((), 0.0), wires=Wires(40.0, 10.0, 3.0), edge_break=0.6)"
    own(tmp_path, monkeypatch, ("    seat, width = site", f"    return {bare}\n    seat, width = site"))
    with pytest.raises(DesignError, match=r"'mine' promises no 'slot' for cut 'A'"):
        psi_cad.build(CASES / "phantom-type1", tmp_path / "out", settings=["guide.template=mine", "guide.params={axis_search = 0.0}"], suggest=False)
    assert not list((tmp_path / "out").rglob("*.step")) and not list((tmp_path / "out").rglob("supra*.stl"))


@pytest.mark.slow
@pytest.mark.parametrize("said", COPIES)
def test_a_copied_template_that_leaves_out_what_is_mandatory_makes_no_guide(said, tmp_path, monkeypatch):
    own(tmp_path, monkeypatch, *COPIES[said])
    with pytest.raises(DesignError, match=f"'mine' promises .*{said}"):
        psi_cad.build(CASES / "phantom-type1", tmp_path / "out", settings=["guide.template=mine", "guide.params={}"])
    assert not list((tmp_path / "out").rglob("*.step")) and not list((tmp_path / "out").rglob("supra*.stl"))


def test_a_template_that_says_less_of_its_slots_than_is_measured_is_told_what_lacks(tmp_path, monkeypatch):
    own(
        tmp_path, monkeypatch, ("    seat, width = site", '    SlotFeature("A", 1.04, 10.0, 2.0, ((-9.0, 9.0),), bridge=4.0)\n    seat, width = site')
    )
    with pytest.raises(DesignError, match=r"The template 'mine' failed, TypeError in mine\.py, line \d+: .*'clearance'; mend it"):
        psi_cad.build(CASES / "phantom-type1", tmp_path / "out", settings=["guide.template=mine", "guide.params={axis_search = 0.0}"], suggest=False)
