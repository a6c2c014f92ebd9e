"""Processes that serve one request after the other, and the Python face of them."""

import inspect
import json
import shutil
import sys
import types

import pytest
from conftest import CASES

import psi_cad
from psi_cad import api
from psi_cad.case.load import load_case
from psi_cad.errors import BuildError, CaseError, EnvironmentProblem, InputError, KernelError
from psi_cad.guides.registry import any_template, loaded_sha256
from psi_cad.intake.jobs import job_facts, job_hash
from psi_cad.intake.prepare import inputs_of, planes_of
from psi_cad.processes.workers import Workers
from psi_cad.sawing.kerfs import sawings

SERVES = """
import json, os, sys, time
role = sys.argv[1]
def say(**message): print(json.dumps(message), flush=True)
while line := sys.stdin.readline():
    asked = json.loads(line)
    if role != "inspect" and "verb" not in asked:
        continue
    act = asked.get("act")
    if role == "inspect":
        say(measured=os.getpid())
    elif act == "crash":
        os._exit(139)
    elif act == "hang":
        say(step="fence A")
        time.sleep(600)
    elif act == "unexpected":
        say(error="BuildError", message="an unexpected thing.", ends=True)
        os._exit(0)
    elif act == "refuse":
        say(error="CaseError", message="one sentence.")
    elif act == "measure":
        say(inspect={"stl": "x"})
        say(done=[os.getpid(), json.loads(sys.stdin.readline())["measured"]])
    elif act == "leave":
        say(inspect={"stl": "x"})
        time.sleep(asked["wait"])
        say(error="CaseError", message="not waited for.")
    else:
        say(done=os.getpid())
"""


@pytest.fixture
def workers():
    with Workers(command=(sys.executable, "-c", SERVES)) as found:
        yield found


def asked(workers, act="", verb="build", wait=0.0, **others):
    return workers.perform(verb, {"act": act, "wait": wait}, **others)


def test_one_process_serves_many_requests(workers):
    first = asked(workers)
    with pytest.raises(CaseError, match="one sentence"):
        asked(workers, "refuse")
    assert asked(workers, verb="measure") == first, "a refusal ends no process"


@pytest.mark.parametrize("act, raised", [("crash", KernelError), ("hang", KernelError), ("unexpected", BuildError)])
def test_after_what_went_wrong_the_next_has_a_new_process(workers, act, raised):
    first = asked(workers)
    with pytest.raises(raised):
        asked(workers, act, time_limit=1.0 if act == "hang" else 60.0)
    assert asked(workers) != first


def test_what_cannot_be_sent_ends_no_process(workers):
    first = asked(workers)

    def refused():
        raise CaseError("told before anything is sent.")

    with pytest.raises(CaseError, match="before anything"):
        asked(workers, payload=refused)
    assert asked(workers) == first


@pytest.mark.parametrize("wait", [0.0, 1.0])  # before and after it is measured
def test_a_measurement_that_nobody_waits_for_is_not_taken_for_the_next(workers, wait):
    builder, inspector = asked(workers, "measure")
    assert asked(workers, "measure") == [builder, inspector]
    with pytest.raises(CaseError, match="not waited"):
        asked(workers, "leave", wait=wait)
    found = asked(workers, "measure")
    assert found[0] == builder and found[1] != inspector, "after an error it may still be reading files that are taken away"


def test_a_process_knows_the_settings_and_the_folder_as_they_are_now(workers, monkeypatch, tmp_path):
    first = asked(workers)
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))
    second = asked(workers)
    monkeypatch.chdir(tmp_path)
    assert len({first, second, asked(workers)}) == 3


def test_a_process_is_not_kept_for_ever(workers, monkeypatch):
    monkeypatch.setattr("psi_cad.processes.workers.MOST_REQUESTS", 2)
    assert len({asked(workers) for _ in range(4)}) == 2


def test_closed_workers_leave_no_process(workers):
    asked(workers, "measure")
    processes = [workers._worker._process, workers._inspector._process]
    workers.close()
    assert all(process.poll() is not None for process in processes)
    assert asked(workers), "and may be asked again"


TEMPLATE = "from psi_cad.guides.params import GuideParams as Params\nTURN = {turn}\n\n\ndef build(*_):\n    return None\n"


def test_a_template_that_was_changed_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))
    digests = []
    for turn in (1, 2):  # within one second, and of one length: a compiled file would be taken for that of the first
        (tmp_path / "own.py").write_text(TEMPLATE.format(turn=turn), "utf-8")
        assert turn == any_template("own", where="here").TURN
        digests.append(loaded_sha256("own"))
    (tmp_path / "own.py").write_text(TEMPLATE.format(turn=3), "utf-8")
    assert loaded_sha256("own") == digests[1] != digests[0], "what was loaded counts, not what the file has become"


def facts(settings=(), path=CASES / "phantom-type1"):
    loaded = load_case(path, settings=list(settings))
    own = sawings(loaded)
    return job_facts(loaded, own[0], own, planes=planes_of(loaded), inputs=inputs_of(loaded))


@pytest.mark.parametrize(
    "setting",
    ["params.clearance=0.12", "guide.blade=generic-20x1.27", "guide.printer=sls-pa12", "cut.A.origin=[1.0,2.0,3.0]", "cut.A.kerf_side=specimen", "id=other",
     "guide.approach=[-1.0,-0.1,0.1]", "side_confirmed=true"],
)  # fmt: skip
def test_a_job_has_another_hash_where_anything_differs(setting):
    assert job_hash(facts([setting])) != job_hash(facts())


def test_a_job_has_the_same_hash_wherever_its_case_lies(tmp_path):
    import shutil

    shutil.copytree(CASES / "phantom", tmp_path / "bones")
    text = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom", "bones")
    (tmp_path / "other.toml").write_text("# moved, and a comment\n" + text, "utf-8")
    moved = facts(path=tmp_path / "other.toml")
    assert job_hash(moved) == job_hash(facts())
    assert str(tmp_path) not in json.dumps(moved) and "bones" not in json.dumps(moved)
    (tmp_path / "bones" / "bone.stl").write_bytes(b"another")
    assert job_hash(facts(path=tmp_path / "other.toml")) != job_hash(moved)


def test_a_report_names_the_job_of_each_guide(phantom_report):
    assert phantom_report["guides"][0]["job"] == job_hash(facts())


@pytest.fixture(scope="module")
def built(phantom_out, phantom_report, tmp_path_factory):
    """What a session gives of a build: that of the phantom, which is there already."""
    real = api.build

    def build(*given, **options):
        asked = inspect.signature(real).bind(*given, **options).arguments
        shutil.copytree(phantom_out, asked["out"] / phantom_out.name)
        return phantom_report

    with pytest.MonkeyPatch.context() as patch, psi_cad.Session() as session:
        patch.setattr(api, "build", build)
        yield session.build(CASES / "phantom-type1", tmp_path_factory.mktemp("session"))


def test_a_session_gives_the_solid_that_was_measured(built):
    guide = built["supra-acetabular"]
    assert built.status == guide.status == "passed" and not guide.failed and not built.refused
    assert guide is built["supra-acetabular_generic-25x0.89"] or guide == built["supra-acetabular_generic-25x0.89"]
    box = guide.solid().BoundingBox()
    low, high = guide.mesh().bounds
    assert [box.xmin, box.ymin, box.zmin, box.xmax, box.ymax, box.zmax] == pytest.approx([*low, *high], abs=0.05)
    with pytest.raises(InputError, match="'other' names no guides of this build; they are supra-acetabular_generic-25x0.89"):
        built["other"]


def test_a_guide_is_shown_where_it_can_be(built, monkeypatch):
    guide, shown = built.guides[0], []
    with pytest.raises(EnvironmentProblem, match=r"its picture is '.*\.png'"):
        guide.show()
    script = types.ModuleType("script")  # as CQ-editor runs one
    script.guide, script.show_object = guide, lambda solid, name: shown.append((name, solid.isValid()))
    exec("guide.show()", script.__dict__)
    assert shown == [(guide.name, True)]
    assert guide._repr_png_()[:4] == b"\x89PNG"


def test_a_rejected_guide_has_no_mesh(built):
    entry = {**built.guides[0].entry, "status": "rejected", "files": {"step": "a_REJECTED.step"}}
    with pytest.raises(InputError, match="rejected and has no stl file; it has step"):
        psi_cad.session.BuiltGuide(entry, built.folder).mesh()


@pytest.mark.slow
def test_what_a_session_builds_second_is_what_it_would_build_first(phantom_out, processes, tmp_path):
    with psi_cad.Session() as session:
        session.build(CASES / "phantom-type1", blades=["generic-20x1.27"])
        scratch = session._scratch.name
        found = session.build(CASES / "phantom-type1", tmp_path)
        for kind in ("step", "stl"):
            name = found.guides[0].file(kind).name
            assert (found.folder / name).read_bytes() == (phantom_out / name).read_bytes()
        assert session.measure(tmp_path)["status"] == "passed"
    assert not psi_cad.session.Path(scratch).exists()
