"""A part in an output folder is what a guide is there: known by its job, with cautions to accept, approved, released, kept, removed, looked at."""

import json
import re
import shutil

import pytest
from built_once import built_once
from conftest import written
from own_templates import PHANTOM, head
from strict import strictly

import psi_cad
from psi_cad import api
from psi_cad.approval.acceptance import accept_in
from psi_cad.approval.publish import Before, publish
from psi_cad.approval.release import release_said
from psi_cad.batch.child import done
from psi_cad.batch.collect import collect
from psi_cad.batch.expand import Asked, tasks_of
from psi_cad.batch.page import write_page
from psi_cad.batch.run import dry_run
from psi_cad.batch.store import Store, published
from psi_cad.batch.told import write_rows
from psi_cad.builder.kept import Kept
from psi_cad.checking.look import look_at
from psi_cad.errors import ApprovalError, BuildError, InputError
from psi_cad.intake.jobs import job_hash, part_facts
from psi_cad.intake.loading import load
from psi_cad.intake.named import inputs_of
from psi_cad.intake.prepare import planes_of
from psi_cad.outputs.subject import read_report, section_of, stem_of
from psi_cad.records.report import BuildReport, Release
from psi_cad.records.shared import CheckSaid, Refused
from psi_cad.sawing.kerfs import sawings
from psi_cad.wording.telling import check_lines

TEMPLATE = (
    head("A box at the cut, with a model of the bone: small, to be tested.")
    + '''
from typing import Final

import cadquery as cq

from psi_cad.findings import Caution
from psi_cad.guides.contract import BodySite, FreeDesign, Label, Part, Web, Workshop
from psi_cad.guides.params import Parameters, param

SITE: Final = "body"


class Params(Parameters):
    """Parameters of the box."""

    width: float = param(6.0, unit="mm", low=1.0, high=10.0, help="of the box")


def build(site: BodySite, params: Params, workshop: Workshop) -> FreeDesign:
    (cut,) = site.cuts.values()
    x, y, z = cut.origin
    box = cq.Solid.makeBox(params.width, 6.0, 20.0, cq.Vector(x, y, z))
    side = Web("across", (x + params.width / 2.0, y + 3.0, z + 10.0), (1.0, 0.0, 0.0), params.width)
    odd = (Caution("metal", "the box is of metal"),)
    return FreeDesign(box, (side,), Label(("AB",), 1.0), further=(Part("bone", site.mesh),), cautions=odd)
'''
)
PART = '\n[[part]]\nname = "box"\ntemplate = "boxed"\nprinter = "fdm-ultem1010"\n'
STEM = "box_fdm-ultem1010"
NAMES = {f"{STEM}.{kind}" for kind in ("step", "stl", "3mf", "png")} | {f"{STEM}-bone.stl"}
OWN = ["metal", "uncalibrated-printer"]
BLOCKING = ["metal", "no-plan", "uncalibrated-printer"]  # what is made of cuts needs a plan beside it


@pytest.fixture(scope="module")
def folder_of_templates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    (folder / "boxed.py").write_text(TEMPLATE, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSI_CAD_TEMPLATES", str(folder))
        yield folder


@pytest.fixture(scope="module")
def path(folder_of_templates):
    """A case of one part and no guide."""
    case = folder_of_templates / "case.toml"
    case.write_text(PHANTOM[: PHANTOM.index("[[guide]]")] + PART, "utf-8")
    return case


@pytest.fixture(scope="module")
def built(path, tmp_path_factory):
    return built_once(tmp_path_factory, "a-part", lambda out: psi_cad.build(path, out)) / "phantom-type1"


@pytest.fixture
def folder(built, tmp_path):
    """A copy of the built case."""
    return shutil.copytree(built, tmp_path / "of-a-part" / built.name)


def facts_of(path, *settings, **params):
    loaded = load(path, settings=settings)
    request = loaded.case.part[0]
    return part_facts(loaded, request, params or dict(request.params), sawings(loaded), planes=planes_of(loaded), inputs=inputs_of(loaded))


def test_a_part_has_the_hash_of_what_it_is_made_from_and_its_cautions(built, path):
    report = json.loads((built / "report.json").read_text("utf-8"))
    assert strictly("report", report) == [] and written(built) == NAMES | {"bone.stl", "report.json"}
    (part,) = report["parts"]
    assert [one["id"] for one in part["cautions"]] == [*OWN, "small-letters"] and part["accepted"] == [] and part["kept"] is False
    assert report["unaccepted"] == BLOCKING
    facts = facts_of(path, width=6.0)
    assert part["job"] == job_hash(facts)


def test_everything_that_changes_a_part_changes_its_hash_and_nothing_else_does(path, folder_of_templates, tmp_path):
    guided = tmp_path / "guided.toml"
    guided.write_text(PHANTOM + PART, "utf-8")
    one = job_hash(facts_of(guided))
    changes = ["part.box.params={width=5.0}", "part.box.printer=fdm-generic", "cut.A.extent=90.0", "guide.blade=generic-20x1.27", "guide.params.run_out=7",
               "cut.A.kerf_side=specimen", "side_confirmed=true", "tumour.units=cm"]  # fmt: skip
    assert len({one, job_hash(facts_of(path)), *(job_hash(facts_of(guided, change)) for change in changes)}) == len(changes) + 2
    elsewhere = tmp_path / "elsewhere" / "another.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(guided.read_text("utf-8").replace("# ", "#  "), "utf-8")
    assert job_hash(facts_of(elsewhere)) == one, "no path and no comment is in it"
    template = folder_of_templates / "boxed.py"
    template.write_text(f"{TEMPLATE}\n", "utf-8")
    other = job_hash(facts_of(guided))
    template.write_text(TEMPLATE, "utf-8")
    assert other != one and job_hash(facts_of(guided)) == one


def accepting(folder, *accept):
    """The report of the same build with these cautions accepted."""
    report = read_report(folder)
    accept_in(report, accept)
    (folder / "report.json").write_text(json.dumps(report.to_json()), "utf-8")
    return report


def test_a_part_is_released_when_its_cautions_are_accepted_and_both_have_approved_it(folder):
    accepting(folder, *BLOCKING)
    for role, code in (("surgeon", "S-1"), ("engineer", "E-2")):
        api.approve(folder, role=role, name_code=code, parts=[STEM])
    with pytest.raises(ApprovalError, match=r"metal, no-plan, uncalibrated-printer are not accepted; run 'psi-cad plan CASE -o OUT' and build with"):
        release_said(folder, folder, accepting(folder))
    with pytest.raises(
        ApprovalError, match=rf"approved another version of the part {STEM} \(changed: accepted cautions: was metal, no-plan, uncalibrated-printer"
    ):
        release_said(folder, folder, accepting(folder, "metal"))
    report = accepting(folder, *BLOCKING)
    report.release = release_said(folder, folder, report)
    assert report.release.released and report.release.accepted == {f"part {STEM}": BLOCKING} and strictly("report", report.to_json()) == []
    (folder / "report.json").write_text(json.dumps(report.to_json()), "utf-8")
    checked = api.measure(folder)
    (approval,) = checked["approvals"]
    assert strictly("check", checked) == [] and checked["status"] == "passed" and approval["releases"] == [f"part {STEM}"]
    assert [one["id"] for one in checked["reports"][0]["parts"][0]["cautions"]] == [*OWN, "small-letters"]

    with pytest.raises(ApprovalError, match=f"the part {STEM} is released, so it is not removed; add --force"):
        api.remove(folder, STEM)
    report.parts[0].accepted = ["metal"]
    (folder / "report.json").write_text(json.dumps(report.to_json()), "utf-8")
    (case,) = api.measure(folder)["approvals"]
    assert case["sound"] is False and f"no-plan, uncalibrated-printer not accepted for the part {STEM}" in case["missing"]


def test_a_release_of_a_part_stands_while_it_stays_as_it_was(folder, tmp_path):
    report = accepting(folder, *BLOCKING)
    for role, code in (("surgeon", "S-1"), ("engineer", "E-2")):
        api.approve(folder, role=role, name_code=code)
    report.release = release_said(folder, folder, report)
    (folder / "report.json").write_text(json.dumps(report.to_json()), "utf-8")
    later, before = another(folder, tmp_path / "one")
    publish(tmp_path / "one", folder, later, before)
    assert [one.sections for one in read_report(folder).release.earlier] == [[f"part {STEM}"]]
    later, before = another(folder, tmp_path / "two", inputs={"bone.surface": "other"})
    publish(tmp_path / "two", folder, later, before)
    assert read_report(folder).release.earlier == []


@pytest.fixture
def released(folder):
    """The part, released as `build --release` does it."""
    report = accepting(folder, *BLOCKING)
    for role, code in (("surgeon", "S-1"), ("engineer", "E-2")):
        api.approve(folder, role=role, name_code=code)
    report.release = release_said(folder, folder, report)
    (folder / "report.json").write_text(json.dumps(report.to_json()), "utf-8")
    return folder


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_released_part_is_not_replaced_by_one_made_otherwise(path, released):
    before = files_in(released)
    with pytest.raises(BuildError, match=rf"part 'box' is released, .*nothing was written; .* with -o, or .*'psi-cad remove OUT {STEM} --force'"):
        api.build(path, released.parent, settings=["part.box.params.width=7"])
    assert files_in(released) == before
    api.remove(released, STEM, force=True)
    (part,) = api.build(path, released.parent, settings=["part.box.params.width=7"])["parts"]
    assert part["params"]["width"] == 7.0


def test_a_released_part_that_comes_out_the_same_stays_released(path, released):
    (released / f"{STEM}.stl").write_bytes(b"solid other")  # as one restores it
    told = api.build(path, released.parent)
    (case,) = api.measure(released)["approvals"]
    assert told["status"] == "passed" and case["releases"] == [f"part {STEM}"] and case["sound"] and not case["released"]
    assert strictly("report", told) == []


@pytest.mark.parametrize(
    ("change", "stands"),
    [
        (lambda report: report.case.settings.append("cut.A.origin=[0.0, 0.0, 0.0]"), True),
        (lambda report: report.refused.append(Refused(error="DesignError", message="no.", part="box")), True),
        (lambda report: report.parts[0].sha256.update({f"{STEM}.3mf": "0" * 64}), True),
        (lambda report: report.parts[0].sha256.update({f"{STEM}.png": "0" * 64}), False),
        (lambda report: report.inputs.update({"bone.surface": "other"}), False),  # stale: then it is replaced, as a guide is
    ],
    ids=["another plane", "refused", "other bytes", "another picture", "another input"],
)
def test_what_a_build_must_not_do_to_a_released_part(released, tmp_path, change, stands):
    report = read_report(released)
    report.release = Release(released=False)
    change(report)
    (tmp_path / "staging").mkdir()
    before = files_in(released)
    if stands:
        with pytest.raises(BuildError, match="part 'box' is released"):
            publish(tmp_path / "staging", released, report, Before(released))
        assert files_in(released) == before
    else:
        publish(tmp_path / "staging", released, report, Before(released))


def test_what_the_command_line_says_of_a_part(path, folder, run):
    said = run("check", folder)
    assert said.returncode == 0 and f"part {STEM}: not released, accepted cautions: none" in said.stdout
    assert "metal: the box is of metal" in said.stdout
    (row,) = json.loads(run("compare", folder, "--json").stdout)
    assert (row["guide"], row["part"], row["status"], row["approved"], row["cautions"][:3]) == (None, STEM, "passed", False, BLOCKING)
    assert f"part {STEM}" in run("compare", folder).stdout
    approved = run("approve", folder, "--role", "surgeon", "--name-code", "S-1", "--part", STEM)
    assert approved.returncode == 0 and f"part {STEM}: " in approved.stdout and "accepted cautions: none" in approved.stdout
    assert "build with --accept metal --accept uncalibrated-printer" in approved.stdout
    assert f"did you mean '{STEM}'" in run("approve", folder, "--role", "surgeon", "--name-code", "S-1", "--part", f"{STEM}x").stderr
    assert "part box: 'psi-cad build' makes and measures it" in run("check", path).stdout


def test_a_part_is_removed_with_all_of_its_files(folder, run):
    with pytest.raises(InputError, match=f"there is no guide or part of that name; did you mean '{STEM}'"):
        api.remove(folder, "box_fdm")
    (folder / f"{STEM}-bone.stl").write_bytes(b"changed")
    said = run("remove", folder, STEM)
    assert said.returncode == 1 and f"'{STEM}-bone.stl' was changed since it was built, so nothing is removed" in said.stderr
    assert written(folder) > NAMES
    said = run("remove", folder, STEM, "--force", "--json")
    found = json.loads(said.stdout)
    assert found["part"] == STEM and set(found["files"]) == NAMES and found["left"] == [] and "guide" not in found
    assert written(folder) == {"bone.stl", "report.json"} and read_report(folder).parts == []


def another(folder, staging, **changed):
    """A report as of a later build of other parts, and what lay there before."""
    staging.mkdir()
    report = BuildReport.model_validate(json.loads((folder / "report.json").read_text("utf-8")))
    before = Before(folder)
    report.parts, report.refused, report.release = [], [], Release(released=False)
    for key, value in changed.items():
        setattr(report, key, value)
    return report, before


def test_a_part_of_an_earlier_build_stays_and_is_stale_where_what_it_was_made_from_changed(folder, tmp_path):
    report, before = another(folder, tmp_path / "one")
    publish(tmp_path / "one", folder, report, before)
    (part,) = read_report(folder).parts
    assert (part.kept, part.status) == (True, "passed") and written(folder) > NAMES
    report, before = another(folder, tmp_path / "two", inputs={"bone.surface": "other"})
    publish(tmp_path / "two", folder, report, before)
    assert read_report(folder).parts[0].status == "stale"


def test_a_part_that_is_refused_now_is_stale(folder, tmp_path):
    refused = [{"error": "DesignError", "message": "no.", "part": "box"}]
    report, before = another(folder, tmp_path / "one")
    report = BuildReport.model_validate({**report.to_json(), "refused": refused})
    publish(tmp_path / "one", folder, report, before)
    assert read_report(folder).parts[0].status == "stale"


def test_a_part_gives_no_file_of_its_own_to_another(folder, tmp_path):
    report, before = another(folder, tmp_path / "one")
    (part,) = read_report(folder).parts
    report.parts = [part.but(name="box2"), part]
    with pytest.raises(BuildError, match=rf"would be a file of part 'box2_fdm-ultem1010' and of part '{STEM}'"):
        publish(tmp_path / "one", folder, report, before)
    assert (section_of(part), stem_of(part)) == (f"part {STEM}", STEM)


def test_the_page_shows_a_part_with_its_picture_values_and_checks(path, folder, tmp_path):
    page = tmp_path / "look.html"
    said = look_at(path, page, out=folder.parent, progress=lambda step: None)
    names = [body["name"] for body in said["bodies"]]
    assert "part box, fdm-ultem1010, the part itself (passed)" in names and "part box, fdm-ultem1010, bone (passed)" in names
    assert said["made"] == [{"name": f"part {STEM}", "status": "passed"}]
    text = page.read_text("utf-8")
    shown = text[text.index('<section id="madebox">') : text.index("<h2>Points</h2>")]
    assert "the part itself: a solid of 0.7 cm³; web across 6 mm" in shown and "part bone: a mesh of" in shown
    assert re.search(r"<li>\d+ checks passed</li>", shown) and "caution: the box is of metal" in shown
    assert 'src="data:image/png;base64,iVBOR' in shown and "img-src data:;" in text

    report = json.loads((folder / "report.json").read_text("utf-8"))
    report["parts"][0]["checks"][0] |= {"passed": False, "value": 0.0}
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    (folder / f"{STEM}.png").write_bytes(b"another picture")
    said = look_at(path, page, out=folder.parent, progress=lambda step: None)
    text = page.read_text("utf-8")
    assert '<li class="bad">step_schema_ap242 failed' in text and "data:image/png" not in text and "img-src" not in text
    assert f"'{STEM}.png' is not the file that its report tells of, and is not drawn; build the part again" in said["notes"]


def test_a_page_without_a_build_has_no_place_for_one(path, tmp_path):
    look_at(path, tmp_path / "look.html", progress=lambda step: None)
    assert "madebox" not in (tmp_path / "look.html").read_text("utf-8")


def both(path, folder, out):
    """A folder with the guide of the phantom and the part, as one build of both leaves it; the jobs of the part and of the guide for two blades."""
    report = json.loads((out / "report.json").read_text("utf-8"))
    report["parts"] = json.loads((folder / "report.json").read_text("utf-8"))["parts"]
    for name in NAMES:
        shutil.copy(folder / name, out)
    (out / "report.json").write_text(json.dumps(report), "utf-8")
    guided = path.parent / "guided" / "case.toml"
    guided.parent.mkdir(exist_ok=True)
    guided.write_text(PHANTOM + PART, "utf-8")
    return tasks_of(Asked((str(guided),), ("generic-25x0.89", "generic-20x1.27")))


def test_a_batch_makes_a_part_once_whatever_the_blades(path, folder, out):
    first, second, part = both(path, folder, out)
    assert [first.called, second.called, part.called] == ["supra-acetabular for generic-25x0.89", "supra-acetabular for generic-20x1.27", "part box"]
    assert (part.guide, part.blade, part.blades, part.printer, part.saws) == ("", "", [], "fdm-ultem1010", False)
    assert part.job == job_hash(facts_of(path.parent / "guided" / "case.toml", width=6.0))
    (alone,) = tasks_of(Asked((str(path),)))
    assert alone.job == read_report(folder).parts[0].job, "as a build tells it"


def test_a_part_that_lies_there_is_done_and_told_in_every_list(path, folder, tmp_path):
    asked = Asked((str(path),))
    (row,) = dry_run(asked, folder.parent)
    assert (row["part"], row["guide"], row["blade"], row["status"]) == ("box", "", "", "done")
    assert set(row["files"].values()) == {f"phantom-type1/{name}" for name in NAMES}
    said = write_rows(folder.parent, [row])
    write_page(folder.parent, said)
    head, line = (folder.parent / "batch.csv").read_text("utf-8").splitlines()
    assert head.endswith(",job,part") and line.endswith(f",{row['job']},box")
    page = (folder.parent / "index.html").read_text("utf-8")
    assert "phantom-type1: part box</h2>" in page and "<b>done</b> · fdm-ultem1010</p>" in page
    entries = collect(folder.parent, tmp_path / "print", [row])
    assert {entry["file"] for entry in entries} == {f"phantom-type1_{STEM}.stl", f"phantom-type1_{STEM}-bone.stl"} and entries[0]["part"] == "box"
    assert {(entry["approved"], entry["released"]) for entry in entries} == {(False, False)}
    for role, code in (("surgeon", "S-1"), ("engineer", "E-2")):
        api.approve(folder, role=role, name_code=code)
    (row,) = dry_run(asked, folder.parent)
    assert {(entry["approved"], entry["released"]) for entry in collect(folder.parent, tmp_path / "print", [row])} == {(True, False)}
    (folder / f"{STEM}-bone.stl").write_bytes(b"changed")
    assert [one["status"] for one in dry_run(asked, folder.parent)] == ["waiting"]


def test_a_part_done_by_a_worker_comes_out_as_a_build(path, folder, tmp_path):
    (task,), store = tasks_of(Asked((str(path),))), Store(tmp_path / "batch")
    with store.held():
        request = {"case": str(path), "guide": "", "part": task.part, "blades": [], "settings": [], "catalogue": None, "job": task.job,
                   "final": str(store.out / task.folder), "time_limit": 300.0, "folder": str(store.folder / task.job)}  # fmt: skip
        assert done(request, kept=Kept(), workers=None, progress=lambda step: None) == "passed"
        store.assemble([task], {task.job: store.of(task.job)}, Before(store.out / task.folder))
        store.discard(task.job)
        wrong = {**request, "settings": ["part.box.params={width=1.5}"], "folder": str(store.folder / "wrong")}
        with pytest.raises(BuildError, match="is not what the batch was begun with"):
            done(wrong, kept=Kept(), workers=None, progress=lambda step: None)
    for name in (*(NAMES - {f"{STEM}.png"}), "bone.stl", "report.json"):
        assert (store.out / task.folder / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_guide_that_a_batch_takes_as_it_lies_there_leaves_the_part_beside_it(path, folder, out):
    first, _, part = both(path, folder, out)
    report = json.loads((out / "report.json").read_text("utf-8"))
    report["guides"][0]["job"], report["parts"][0]["job"] = first.job, part.job
    (out / "report.json").write_text(json.dumps(report), "utf-8")
    found = published(out.parent, [first, part])
    guide, box = found[first.folder, first.job], found[part.folder, part.job]
    assert "parts" not in guide.report and box.report["guides"] == [] and (guide.made["name"], box.made["name"]) == ("supra-acetabular", "box")
    store = Store(out.parent)
    with store.held():
        store.assemble([first], {first.job: guide}, Before(out))
    (part,) = read_report(out).parts
    assert written(out) > NAMES and part.kept and [guide.kept for guide in read_report(out).guides] == [False]


def test_a_failed_check_of_a_part_is_told_in_words_of_its_own():
    said = {"value": 0.5, "unit": "mm", "rule": "<=", "limit": 0.06, "passed": False, "note": "", "where": None}
    wrong = [CheckSaid.model_validate({"id": name, **said}) for name in ("bore[socket A 1]", "web[lid across]", "stl_bodies[lid]", "slot_width[A]")]
    _, *lines = check_lines(wrong)
    assert [line.partition(" is ")[0].rpartition(", ")[2] for line in lines] == ["'socket A 1'", "'lid across'", "part lid", "slot A"]
