"""Templates: every one declares itself, and copying `_template.py` makes a new one."""

from pathlib import Path

import pytest
from conftest import CASES, ROOT
from pydantic import ValidationError

import psi_cad
from psi_cad import api
from psi_cad.errors import CaseError, EnvironmentProblem
from psi_cad.guides.params import GuideParams, Parameters, SleeveParams, described, resolve_params
from psi_cad.guides.registry import any_template, load_template, needs_of, site_of, summary, template_files


@pytest.mark.parametrize("name", template_files())
def test_a_template_declares_itself(name):
    template = any_template(name, where="here")
    kind = Parameters if site_of(template) in ("free", "body") else SleeveParams if needs_of(template).trajectories[1] else GuideParams
    assert issubclass(template.Params, kind)
    for entry in described(template.Params):
        assert entry["help"], entry["name"]
        if isinstance(entry["default"], float):
            assert entry["low"] <= entry["default"] <= entry["high"], entry["name"]
    for word in ("Purpose", "Datum", "Limits", "Source"):
        assert word in template.__doc__
    assert summary(template_files()[name])


@pytest.mark.parametrize("name", template_files())
def test_ranges_are_kept(name):
    params = any_template(name, where="here").Params
    for entry in described(params):
        if entry["low"] is None or isinstance(entry["default"], bool):
            continue
        for value in (entry["low"], entry["high"]):
            kind = type(entry["default"])
            given = {**switched(params, entry["name"]), entry["name"]: kind(value)}
            assert getattr(resolve_params(params, given, where="p"), entry["name"]) == value
        with pytest.raises(CaseError, match="outside"):
            resolve_params(params, {**switched(params, entry["name"]), entry["name"]: type(entry["default"])(entry["high"] + 1)}, where="p")


def switched(params, name):
    """What has to be set beside a parameter so that it means something."""
    switch = params.model_fields[name].json_schema_extra.get("switch")
    return {} if switch is None else {switch: params.model_fields[switch].default}


def test_a_parameter_without_its_switch_is_refused_by_both_names():
    params = any_template("osteotomy", where="here").Params
    with pytest.raises(CaseError, match=r"p\.flap_height = 20\.0 does nothing without flap_side; set flap_side too, or leave flap_height out\."):
        resolve_params(params, {"flap_height": 20.0}, where="p")
    assert resolve_params(params, {"flap_height": 20.0, "flap_side": 0}, where="p").flap_side == 0, "switched off on purpose"
    named = {name: field.json_schema_extra["switch"] for name, field in params.model_fields.items() if "switch" in field.json_schema_extra}
    assert named["stop_allowance"] == "depth_stop" and named["window_size"] == "windows" and set(named.values()) <= params.model_fields.keys()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ("acetabular", "allograft", "drill", "mould") else []) for name in template_files()],
)
def test_a_template_builds_what_passes(name, phantom_report, tmp_path):
    kind = site_of(any_template(name, where="here"))
    if kind == "body":
        (built,) = psi_cad.build(CASES / "phantom-model", tmp_path, settings=[f"part.model.template={name}", "part.model.params={}"])["parts"]
    elif kind == "free":
        assert name == "coupon", "what makes another that sits on nothing?"
        built = api.coupon(tmp_path, blade="generic-20x1.0", printer="fdm-generic", settings=["params.step=0.1", "params.most=0.2"])
    else:
        (built,) = phantom_report["guides"]
        if needs_of(any_template(name, where="here")).stem:
            made = psi_cad.build(CASES / "phantom-acetabular", tmp_path, settings=[f"guide.stem.template={name}"])["guides"]
            (built,) = [one for one in made if "stems" in one]
        elif needs_of(any_template(name, where="here")).trajectories[1]:
            (built,) = psi_cad.build(CASES / "phantom-drill", tmp_path, settings=[f"guide.template={name}"])["guides"]
        elif needs_of(any_template(name, where="here")).donor:
            settings = [f"guide.graft.template={name}", "guide.graft.params={}"]
            (built,) = [one for one in psi_cad.build(CASES / "phantom-allograft", tmp_path, settings=settings)["guides"] if "graft" in one]
        elif built["template"] != name:
            (built,) = psi_cad.build(CASES / "phantom-type1", tmp_path, settings=[f"guide.template={name}", "guide.params={}"])["guides"]
    assert (built["template"], built["status"]) == (name, "passed")


@pytest.mark.parametrize(
    ("needs", "base", "said"),
    [
        ("(cuts=(1, 2), trajectories=(1, 2))", "GuideParams", "NEEDS that no site has"),
        ("(cuts=(0, 0), trajectories=(0, 0))", "GuideParams", "NEEDS that no site has"),
        ("(cuts=(0, 0), trajectories=(1, 2))", "GuideParams", "no SleeveParams"),
        ("(cuts=(1, 2))", "SleeveParams", "no GuideParams"),
        ("(cuts=(0, 0), trajectories=(1, 1), stem=True)", "SleeveParams", "no StemParams"),
        ("(cuts=(1, 1), stem=True)", "GuideParams", "a guide for a stem takes trajectories"),
    ],
)
def test_a_template_whose_needs_no_site_has_is_refused(needs, base, said, tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text(
        f"from psi_cad.guides.contract import Needs\nfrom psi_cad.guides.params import {base} as Params\nNEEDS = Needs{needs}\nbuild = None\n"
    )
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=said):
        load_template("odd", where="here")


def test_params_are_frozen():
    params = load_template("osteotomy", where="here").Params()
    with pytest.raises(ValidationError, match="frozen"):
        params.wall = 1.0


@pytest.mark.parametrize("name", template_files())
def test_a_form_can_be_made_of_the_schema(name):
    params = any_template(name, where="here").Params
    schema = params.model_json_schema()["properties"]
    for entry in described(params):
        form = schema[entry["name"]]
        assert (form["default"], form["description"], form.get("unit", "")) == (entry["default"], entry["help"], entry["unit"])
        assert (form.get("minimum"), form.get("maximum"), form.get("reference", "")) == (entry["min"], entry["max"], entry["reference"])
        assert {"number": float, "integer": int, "boolean": bool, "string": str}[form["type"]] is type(entry["default"])


UNFIT = {
    "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Params:\n    wall: float = 2.0\n": "has 'Params' that are no plain class",
    "Params = 3\n": "has 'Params' that are no plain class",
    "from psi_cad.guides.params import GuideParams as Params\nNEEDS = 3\n": "has a NEEDS that is no Needs",
    "from psi_cad.guides.params import GuideParams\n": "defines no 'Params'",
    "import sys\n\nsys.exit(0)\n": "does not load: SystemExit",
}


@pytest.mark.parametrize("text", UNFIT)
def test_a_template_with_which_nothing_can_be_made_is_refused_each_time(text, tmp_path, monkeypatch):
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))
    (tmp_path / "unfit.py").write_text(text + "\n\ndef build(*_):\n    return None\n", "utf-8")
    for _ in range(2):
        with pytest.raises(EnvironmentProblem, match=f"'unfit.py' {UNFIT[text]}"):
            any_template("unfit", where="here")


CORNERS = [
    ["params.seat_gap=0.1"],
    ["params.seat_gap=0.6"],
    ["params.height=20", "params.wall=3.5"],
    ["params.axis_search=0", "params.run_out=0.5", "params.pins=3"],
    ["params.footplate_thickness=6.0", "params.edge_break=1.0", "params.wire_diameter=1.6"],
    ["params.footplate_reach=30", "params.slope_limit=45"],
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", CORNERS, ids=lambda s: " ".join(s))
def test_corner_values_build(settings, tmp_path):
    report = psi_cad.build(CASES / "phantom-type1", tmp_path, settings=settings)
    assert [c for c in report["guides"][0]["checks"] if not c["passed"]] == []


@pytest.mark.slow
def test_a_seat_without_a_gap_is_close_or_refused(tmp_path):
    """Without a gap to spare a smooth seat can touch high spots: then there must be no clean file."""
    report = psi_cad.build(CASES / "phantom-type1", tmp_path, settings=["params.seat_gap=0.0"])
    guide = report["guides"][0]
    assert (guide["seat"]["overlap_max_mm"] <= 0.05) == (guide["status"] == "passed")
    assert ("REJECTED" in guide["files"]["step"]) == (guide["status"] == "rejected")


@pytest.mark.slow
def test_a_copied_template_works(tmp_path, monkeypatch):
    own = tmp_path / "templates"
    own.mkdir()
    (own / "mine.py").write_text((ROOT / "templates" / "_template.py").read_text("utf-8"))
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(own))
    assert "mine" in template_files()
    report = psi_cad.build(CASES / "phantom-type1", tmp_path / "out", settings=["guide.template=mine", "guide.params={}"])
    assert report["guides"][0]["template"] == "mine"
    assert Path(tmp_path / "out" / "phantom-type1").is_dir()


VENTED = {
    '    clearance: float = param(0.15': '    vent: float = param(3.0, unit="mm", low=1.0, high=6.0, help="hole through the first footplate")\n    clearance: float = param(0.15',
    "import Design, ": "import Bore, Design, ",
    "*holes)": "*holes, vent_hole)",
    "    body = checked.cut(\"seat and holes\"": "    at = np.array(shapely.Polygon(plates[0]).representative_point().coords[0])\n"
    "    vent_hole = bodies.cylinder(at, diameter=params.vent, bottom=low - 5.0, top=low + 200.0)\n"
    "    body = checked.cut(\"seat and holes\"",
    "        edge_break=params.edge_break,\n    )\n": "        edge_break=params.edge_break,\n"
    '        features=(Bore("vent", (float(at[0]), float(at[1]), 0.0), (0.0, 0.0, 1.0), params.vent),),\n    )\n',
}  # fmt: skip


@pytest.mark.slow
def test_a_parameter_and_its_check_are_one_file(tmp_path, monkeypatch):
    text = (ROOT / "templates" / "_template.py").read_text("utf-8")
    for old, new in VENTED.items():
        start, found, end = text.rpartition(old)
        assert found, old
        text = start + new + end
    (tmp_path / "vented.py").write_text(text, "utf-8")
    (tmp_path / "lying.py").write_text(text.replace("0.0, 1.0), params.vent)", "0.0, 1.0), params.vent + 0.2)"), "utf-8")
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))
    said = {}
    for name in ("vented", "lying"):
        settings = [f"guide.template={name}", 'guide.params={"vent" = 2.5}']
        (guide,) = psi_cad.build(CASES / "phantom-type1", tmp_path / name, settings=settings)["guides"]
        said[name] = {check["id"]: check["passed"] for check in guide["checks"]}, guide["status"]
    assert said["vented"][0]["bore[vent]"] and said["vented"][1] == "passed"
    assert not said["lying"][0]["bore[vent]"] and said["lying"][1] == "rejected"
