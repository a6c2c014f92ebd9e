"""Reports as typed models: what psi-cad writes fits them and their JSON schema exactly; what others wrote is read, kept, or refused in one sentence."""

import copy
import importlib.util
import json
import shutil

import jsonschema
import pytest
from conftest import CASES, ROOT
from json_schema import misfits
from strict import KINDS, strictly

from psi_cad import api
from psi_cad.errors import InputError
from psi_cad.plans import case as plan_case
from psi_cad.records.base import Number, Record, faults, read_as
from psi_cad.records.check import CheckedFolder
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport


def _write_schema():
    found = importlib.util.spec_from_file_location("write_schema", ROOT / "docs" / "write_schema.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


SCHEMAS = _write_schema()


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """A plan with a proposal, and one of several bones: what a plan holds at times."""
    out = tmp_path_factory.mktemp("plans")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_case, "draw_plan", list)  # the record tells of no picture's content
        return [
            api.plan(CASES / "phantom-type1", out, optimise=True, max_angle=5.0, max_shift=3.0),
            api.plan(CASES / "phantom-sacroiliac"),
        ]


@pytest.fixture(scope="module")
def approved(phantom_out, tmp_path_factory):
    """A copy of the built case, approved by both roles: its folder."""
    folder = tmp_path_factory.mktemp("approved") / phantom_out.name
    shutil.copytree(phantom_out, folder)
    for role, code in (("surgeon", "S-1"), ("engineer", "E-2")):
        api.approve(folder, role=role, name_code=code)
    return folder


@pytest.fixture(scope="module")
def checked(approved):
    return json.loads(json.dumps(api.measure(approved)))


@pytest.mark.parametrize("name", KINDS)
def test_the_schema_in_docs_is_that_of_the_models(name):
    text = (ROOT / "docs" / "schema" / f"{name}.schema.json").read_text("utf-8")
    assert text == SCHEMAS.written(name), "run 'just schema'"


def test_a_build_report_is_exactly_as_its_model(phantom_report):
    assert strictly("report", phantom_report) == []


def test_plans_are_exactly_as_their_model(plans):
    assert "proposal" in plans[0] or "stopped" in plans[0]["optimised"]
    assert "bones" in plans[1]
    for plan in plans:
        assert strictly("plan", json.loads(json.dumps(plan))) == []


def test_approvals_and_what_check_tells_are_exactly_as_their_models(approved, checked):
    record = json.loads((approved / "approvals.json").read_text("utf-8"))
    assert record["count"] == 2 and strictly("approvals", record) == []
    assert checked["status"] == "passed" and [guide["status"] for guide in checked["guides"]] == ["passed"], "nothing was touched"
    assert len(checked["approvals"][0]["entries"]) == 2 and strictly("check", checked) == []


def test_a_record_is_written_as_it_was_read(phantom_report, plans, checked):
    for kind, data in ((BuildReport, phantom_report), *((PlanReport, json.loads(json.dumps(one))) for one in plans), (CheckedFolder, checked)):
        assert json.dumps(kind.model_validate(data).to_json()) == json.dumps(data)  # with the order of its keys, and each number as it stands


def _in(data, place):
    for part in place:
        data = data[part]
    return data


PLACES = [
    ("report", ("guides", 0, "seat"), "max_mm", "far"),
    ("report", ("guides", 0, "checks", 0), "passed", 1),
    ("report", ("guides", 0, "plan", "slots", 0), "origin", [1.0, 2.0]),
    ("report", ("guides", 0, "files"), None, 5),
    ("report", ("bone",), "used_sha256", None),
    ("report", ("bone", "side_check"), "verdict", "perhaps"),
    ("report", ("case",), "settings", "none"),
    ("plan", ("cuts", 0), "margin_mm", True),
    ("plan", ("bone",), "triangles", 1.5),
    ("plan", ("specimen",), "pieces", "one"),
    ("plan", ("cuts", 0), "area_by_class_mm2", {"R7": 1.0}),
    ("check", ("approvals", 0, "entries", 0), "role", "nurse"),
    ("check", ("guides", 0), "changed_files", None),
    ("approvals", ("entries", 0), "what", {"plan": {"case file": 7}}),
]


@pytest.mark.parametrize(("name", "place", "key", "wrong"), PLACES, ids=lambda value: str(value)[:30])
def test_another_key_a_wrong_type_and_a_missing_key_are_refused(name, place, key, wrong, phantom_report, plans, approved, checked):
    sound = {
        "report": phantom_report,
        "plan": json.loads(json.dumps(plans[0])),
        "check": checked,
        "approvals": json.loads((approved / "approvals.json").read_text("utf-8")),
    }[name]
    assert strictly(name, sound) == []
    data = copy.deepcopy(sound)
    if key is None:  # the place itself
        _in(data, place[:-1])[place[-1]] = wrong
        assert strictly(name, data)
        return
    _in(data, place)[key] = wrong
    assert str(key) in strictly(name, data)[0]
    data = copy.deepcopy(sound)
    del _in(data, place)[key]
    assert str(key) in strictly(name, data)[0]
    data = copy.deepcopy(sound)
    _in(data, place)["colour"] = 1
    assert any("colour" in one for one in strictly(name, data))
    published = json.loads(SCHEMAS.written(name))
    assert list(misfits(data, published, published)) == [], "a consumer of the schema reads what a later version writes"


@pytest.mark.parametrize("name", KINDS)
def test_a_validator_of_others_takes_the_schemas(name):
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMAS.written(name)))


def test_a_validator_of_others_says_the_same_of_reports(phantom_report, plans, checked):
    for name, data in (("report", phantom_report), *(("plan", json.loads(json.dumps(one))) for one in plans), ("check", checked)):
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMAS.written(name)))
        assert list(validator.iter_errors(data)) == [] and list(validator.iter_errors({**data, "mood": 1})) == []
        assert list(validator.iter_errors({**data, "status": "perhaps"})), name


def test_a_later_versions_keys_are_kept(phantom_report):
    data = copy.deepcopy(phantom_report)
    data["guides"][0]["seat"] = {"colour": {"name": "red"}, **data["guides"][0]["seat"]}
    data["mood"] = [1, 2]
    report = BuildReport.model_validate(data)
    assert json.dumps(report.to_json()) == json.dumps(data)
    assert len(list(faults(report))) == 2


def test_an_earlier_versions_missing_keys_have_a_meaning(phantom_report):
    data = copy.deepcopy(phantom_report)
    guide = data["guides"][0]
    for key in ("variant", "differs", "accepted", "kept", "other_bones", "template_sha256", "seat", "label"):
        guide.pop(key, None)
    del data["software"], data["release"], guide["plan"]["slots"][0]["shift"]
    report = BuildReport.model_validate(data)
    (made,) = report.guides
    assert (made.variant, made.differs, made.accepted, made.kept, made.seat) == (None, [], [], False, None)
    assert made.plan.slots[0].shift == 0.0 and report.software is None and report.release is None
    assert report.to_json() == data  # a default is not written


def test_a_number_stays_as_it_stands():
    class One(Record):
        a: Number
        b: Number

    assert json.dumps(One.model_validate({"b": 0, "a": 1.0}).to_json()) == '{"b": 0, "a": 1.0}'
    for wrong in (True, "1", None):
        with pytest.raises(InputError, match="must be a number"):
            read_as(One, {"a": wrong, "b": 1}, file="one.json", again="again")


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [1], [1.5, True, "1"]),
        ({"type": ["string", "null"]}, ["a", None], [1]),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, [1, 1.5, None], [True, "a"]),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}, [[1, 2]], [[1], [1, 2, 3], ["a", 1]]),
        ({"properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}, [{"a": 1}], [{"a": 2}, {}, {"a": 1, "b": 1}]),
        ({"additionalProperties": {"type": "string"}, "propertyNames": {"enum": ["x"]}}, [{"x": "a"}], [{"x": 1}, {"y": "a"}]),
    ],
)
def test_the_schemas_are_held_against_by_a_reader_that_can_refuse(schema, good, bad):
    assert all(not list(misfits(one, schema, schema)) for one in good)
    assert all(list(misfits(one, schema, schema)) for one in bad)
    with pytest.raises(KeyError):
        list(misfits(1, {"pattern": "a"}, {}))


DAMAGED = [
    (lambda report: report["guides"][0]["seat"].update(max_mm="far"), "guides[0].seat.max_mm: must be a number, not 'far'"),
    (lambda report: report["guides"][0].update(files=None), "guides[0].files: must be an object, not None"),
    (lambda report: report["guides"][0].pop("checks"), "guides[0].checks: this key is missing"),
    (lambda report: report["guides"][0].update(status="fine"), "guides[0].status: must be 'passed', 'rejected' or 'stale', not 'fine'"),
    (lambda report: report["guides"][0]["plan"]["slots"][0].update(origin=[1.0]), "guides[0].plan.slots[0].origin: must hold 3 values, not 1"),
    (lambda report: report["bone"].pop("used_sha256"), "bone.used_sha256: this key is missing"),
    (lambda report: report.update(cautions={}), "cautions: must be a list, not {}"),
    (lambda report: report["case"].update(settings=[7]), "case.settings[0]: must be text, not 7"),
    (lambda report: report.update(guides=["a"]), "guides[0]: must be an object, not 'a'"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGED, ids=[told.partition(":")[0] for _, told in DAMAGED])
def test_a_damaged_report_is_told_in_one_sentence_with_file_and_key(approved, tmp_path, here, damage, told):
    folder = tmp_path / approved.name
    shutil.copytree(approved, folder)
    report = json.loads((folder / "report.json").read_text("utf-8"))
    damage(report)
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    wanted = f"report.json: {told}; build again."
    for words in (["check", folder], ["compare", folder], ["remove", folder, "x"], ["approve", folder, "--role", "surgeon", "--name-code", "S-1"]):
        code, _, said = here(*words)
        assert code == 2 and said.count("\n") == 1 and wanted in said, words


def test_a_damaged_plan_is_told_in_one_sentence_with_file_and_key(tmp_path, here, plans):
    folder = tmp_path / "phantom-type1"
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps({**plans[1], "kerf_mm3": "much"}), "utf-8")
    wanted = "plan.json: kerf_mm3: must be a number, not 'much'; plan again."
    for words in (
        ["check", folder],
        ["approve", folder, "--role", "surgeon", "--name-code", "S-1"],
        ["build", CASES / "phantom-type1", "-o", tmp_path],
    ):
        code, _, said = here(*words)
        assert code == 2 and said.count("\n") == 1 and wanted in said, words


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(phantom_report, number):
    data = copy.deepcopy(phantom_report)
    data["guides"][0]["volume_mm3"] = number
    with pytest.raises(InputError, match=r"guides\[0\].volume_mm3: must be a finite number, not (nan|inf); again"):
        read_as(BuildReport, data, file="report.json", again="again")
