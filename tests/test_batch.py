"""Batches: which jobs there are, how they are told, and that whole results alone get names."""

import json
from types import SimpleNamespace

import pytest
from conftest import CASES

from psi_cad.api import approve
from psi_cad.approval.comparing import Standing
from psi_cad.approval.publish import Before
from psi_cad.batch import collect as collecting
from psi_cad.batch.child import done
from psi_cad.batch.collect import NOT_RELEASED, collect, told_open
from psi_cad.batch.expand import Asked, case_files, dealt, level, tasks_of, values_of
from psi_cad.batch.page import write_page
from psi_cad.batch.run import STOPPED, batch, dry_run
from psi_cad.batch.store import Result, Store, _joined, published
from psi_cad.batch.told import row_of, write_rows
from psi_cad.batch.work import STAGE
from psi_cad.builder.kept import Kept
from psi_cad.errors import BuildError, CaseError, InputError

ONE = str(CASES / "phantom-type1")


@pytest.mark.parametrize(
    ("setting", "values"),
    [("a.b=1,2", ["1", "2"]), ("a=[1,2]", ["[1,2]"]), ("a=[1,2],[3,4]", ["[1,2]", "[3,4]"]), ('a="x,y",z', ['"x,y"', "z"]), ("a=1,1", ["1"])],
)
def test_values_are_parted_by_commas_outside_brackets(setting, values):
    assert values_of(setting)[1] == values


@pytest.mark.parametrize("setting", ["a", "a=", "a=1,,2", "=1"])
def test_a_setting_without_values_is_refused(setting):
    with pytest.raises(CaseError, match="write key=value or key=value,value"):
        values_of(setting)


def test_no_two_values_share_a_folder():
    values = ["0.1", "-0.1", "[1,2]", "[1 2]", "1-2", "1--2", "1/2", ".1", "x" * 80, "x" * 81, "minus0.1x", "a b", "a_b"]
    names = {level("params.k", value) for value in values}
    assert len(names) == len(values) and all(not set(name) & set(' /\\[]*?:"<>|') for name in names)


def test_jobs_are_the_product_and_each_has_its_own_hash():
    tasks = tasks_of(Asked((ONE, str(CASES / "phantom-type3")), ("generic-20x1.27", "generic-25x0.89"), (), ("params.clearance=0.1,0.15",)))
    assert len(tasks) == 2 * (2 + 4) == len({task.job for task in tasks})
    assert {task.folder for task in tasks} == {f"params.clearance-{v}/phantom-{t}" for v in ("0.1", "0.15") for t in ("type1", "type3")}


@pytest.mark.parametrize("hands", [0, 1, 2, 3, 20])
def test_workers_that_take_turns_have_a_case_each(hands):
    """Three cases of unlike many jobs: each is done once, in its case's own order, and workers in step meet as few cases as can be."""
    tasks = [SimpleNamespace(case=f"case {case}", number=number) for case, jobs in enumerate((6, 4, 2)) for number in range(jobs)]
    order = dealt(tasks, hands)
    assert sorted(order, key=tasks.index) == tasks
    for case in {task.case for task in tasks}:
        assert [task.number for task in order if task.case == case] == sorted(task.number for task in order if task.case == case)
    if hands == 2:
        assert [{task.case for task in order[hand::2]} for hand in range(2)] == [{"case 0"}, {"case 1", "case 2"}]
    elif hands == 3:
        assert [task.case for task in order[:6]] == ["case 0", "case 1", "case 2"] * 2


def test_ctrl_c_tells_what_is_written(run, tmp_path, monkeypatch):
    def stopped(*_given, **_named):
        raise KeyboardInterrupt(STOPPED)

    monkeypatch.setattr("psi_cad.batch.run.batch", stopped)
    ended = run("batch", ONE, "-o", tmp_path / "o")
    assert ended.returncode == 130 and "what is whole is written" in ended.stderr and "nothing was written" not in ended.stderr


def test_a_job_is_that_of_a_build(phantom_report):
    (task,) = tasks_of(Asked((ONE, ONE + "/case.toml")))
    assert task.job == phantom_report["guides"][0]["job"] and task.folder == "phantom-type1" and task.blades == []


def test_a_guide_without_a_blade_is_made_once():
    assert [task.saws for task in tasks_of(Asked((str(CASES / "phantom-drill"),), ("generic-20x1.27", "generic-25x0.89")))] == [False]


def test_cases_are_found_by_pattern_and_by_folder():
    assert len(case_files([str(CASES / "phantom-t*")])) == 3
    assert set(case_files([str(CASES / "phantom-t*")])) < set(case_files([str(CASES)]))
    with pytest.raises(CaseError, match="there is no case file here"):
        case_files([str(CASES / "nothing*")])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked((ONE,), settings=("params.clearence=0.1",)), "clearence"),
        (Asked((ONE,), ("generic-20x1.2",)), "did you mean 'generic-20x1"),
        (Asked((ONE,), settings=("params.clearance=0.1", "params.clearance=0.2")), "is set twice"),
        (Asked((ONE,), printers=("sls-pa12",), settings=("guide.printer=sls-pa12",)), "names a printer too"),
    ],
)
def test_a_mistake_is_told_before_anything_is_begun(asked, said):
    with pytest.raises(InputError, match=said):
        tasks_of(asked)


def test_two_cases_of_one_id_are_refused(tmp_path):
    import shutil

    shutil.copytree(CASES / "phantom", tmp_path / "phantom")
    for name in ("a", "b"):
        shutil.copytree(CASES / "phantom-type1", tmp_path / name)
    with pytest.raises(InputError, match="id 'phantom-type1' is that of"):
        tasks_of(Asked((str(tmp_path),)))


def test_what_a_build_left_is_done_and_what_was_changed_is_not(out):
    asked = Asked((ONE,))
    assert [row["status"] for row in dry_run(asked, out.parent)] == ["done"]
    path = next(out.glob("*.stl")) if not (out / "bone.stl").exists() else next(p for p in out.glob("*.stl") if p.name != "bone.stl")
    path.write_bytes(path.read_bytes()[:-1])
    assert [row["status"] for row in dry_run(asked, out.parent)] == ["waiting"]


def test_a_second_batch_in_a_folder_is_refused_and_unfinished_stages_go(tmp_path):
    store = Store(tmp_path / "o")
    with store.held():
        (store.folder / f"{STAGE}x").mkdir()
        with pytest.raises(BuildError, match="a batch is being written"), Store(tmp_path / "o").held():
            pass
    with Store(tmp_path / "o").held():
        assert not list(store.folder.glob(f"{STAGE}*"))
    assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())


@pytest.mark.slow
def test_a_job_done_by_a_worker_comes_out_as_a_build(tmp_path, phantom_out):
    (task,), store, said = tasks_of(Asked((ONE,))), Store(tmp_path), []
    with store.held():
        request = {"case": ONE, "guide": task.guide, "tool": task.blade, "blades": [], "settings": [], "catalogue": None, "final": str(tmp_path / task.folder),
                   "job": task.job, "time_limit": 300.0, "folder": str(store.folder / task.job)}  # fmt: skip
        with pytest.raises(BuildError, match="is not what the batch was begun with"):
            done({**request, "job": "other", "folder": str(store.folder / "other")}, kept=Kept(), workers=None, progress=said.append)
        store.discard("other")
        assert store.of(task.job) is None
        assert done(request, kept=Kept(), workers=None, progress=said.append) == "passed"
        result = store.of(task.job)
        store.assemble([task], {task.job: result}, Before(tmp_path / task.folder))
        written = write_rows(tmp_path, [row_of(task, result, status="done", seconds=1.0, fresh=True)])
        store.discard(task.job)
    for path in phantom_out.iterdir():
        if path.suffix in (".step", ".stl", ".3mf", ".json"):
            assert (tmp_path / task.folder / path.name).read_bytes() == path.read_bytes(), path.name
    assert list(published(tmp_path, [task])) == [(task.folder, task.job)]
    assert written["counts"]["done"] == 1 and json.loads((tmp_path / "batch.json").read_text("utf-8")) == written
    assert (tmp_path / "batch.csv").read_text("utf-8").splitlines()[0] == "case,guide,blade,printer,settings,status,reason,seconds,files,job"
    assert not list(tmp_path.glob(".psi*"))


def test_only_passed_guides_are_collected_and_a_changed_file_is_not(out, tmp_path):
    rows = dry_run(Asked((ONE,)), out.parent)
    (entry,) = collect(out.parent, tmp_path / "c", rows)
    assert entry["file"] == "phantom-type1_supra-acetabular_generic-25x0.89.stl"
    assert (tmp_path / "c" / entry["file"]).read_bytes() == (out / "supra-acetabular_generic-25x0.89.stl").read_bytes()
    (out / "supra-acetabular_generic-25x0.89.stl").write_bytes(b"another")
    with pytest.raises(BuildError, match="is not the file that was built"):
        collect(out.parent, tmp_path / "d", rows)
    assert not list((tmp_path / "d").iterdir())
    assert collect(out.parent, tmp_path / "c", [{**rows[0], "status": "rejected"}]) == []
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["manifest.json"]


def test_what_is_collected_and_not_released_is_listed(out, tmp_path):
    rows, folder = dry_run(Asked((ONE,)), out.parent), tmp_path / "c"
    (entry,) = collect(out.parent, folder, rows)
    said = (folder / NOT_RELEASED).read_text("utf-8")
    assert (entry["approved"], entry["released"]) == (False, False) and f"{entry['file']}: not approved" in said and "not for a patient" in said
    for role, code in (("surgeon", "s-1"), ("engineer", "e-1")):
        approve(out, role=role, name_code=code)
    (entry,) = collect(out.parent, folder, rows)
    assert (entry["approved"], entry["released"]) == (True, False)
    assert f"{entry['file']}: approved, not released" in (folder / NOT_RELEASED).read_text("utf-8")
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["files"] == [entry]
    record = out / "approvals.json"
    record.write_text(record.read_text("utf-8").replace("s-1", "s-2"), "utf-8")
    assert not collect(out.parent, folder, rows)[0]["approved"], "a record that was tampered with approves nothing"


def test_guides_and_parts_are_counted_and_not_their_files():
    def entry(name, released=False, **more):
        return {"file": name, "source": f"case/{name}", "case": "case", "guide": "g", "blade": "b", "job": "1", "released": released, **more}

    guide = [entry("g_b.stl"), entry("g_b-bushing.stl"), entry("g_b-trial.stl")]
    assert told_open(guide) == "1 of 1 collected guide is not released (3 files)"
    part = [entry("p_x.stl", guide="", part="p", job="2"), entry("p_x-half-2.stl", guide="", part="p", job="2")]
    other = entry("g_c.stl", blade="c", job="3", released=True)
    assert told_open([*guide, other, *part]) == "1 of 2 collected guides and 1 of 1 collected part are not released (5 files)"
    assert told_open([other]) == told_open([]) == ""


def test_nothing_is_listed_where_all_is_released(out, tmp_path, monkeypatch):
    rows = dry_run(Asked((ONE,)), out.parent)
    collect(out.parent, tmp_path / "c", rows)
    released = {"guide supra-acetabular_generic-25x0.89": Standing(approved=True, released=True, sound=True)}
    monkeypatch.setattr(collecting, "standing_in", lambda folder: released)
    (entry,) = collect(out.parent, tmp_path / "c", rows)
    assert entry["released"] and not (tmp_path / "c" / NOT_RELEASED).exists()


@pytest.mark.slow
def test_a_refusal_has_its_picture_and_is_not_asked_for_again(tmp_path):
    asked = Asked((ONE,), settings=("guide.approach=[0.1,0.2,1]",))
    (row,) = batch(asked, tmp_path, workers=1)["tasks"]
    picture = tmp_path / row["files"]["png"]
    assert row["status"] == "refused" and picture.name == "supra-acetabular_generic-25x0.89_REFUSED.png" and picture.is_file()
    assert f'src="{row["files"]["png"]}"' in (tmp_path / "index.html").read_text("utf-8") and not (tmp_path / ".psi-cad-batch").exists()
    (again,) = batch(asked, tmp_path, workers=1)["tasks"]
    assert again == {**row, "fresh": False, "seconds": 0.0}
    picture.write_bytes(b"")
    assert [one["status"] for one in dry_run(asked, tmp_path)] == ["waiting"]
    (made,) = batch(Asked((ONE,)), tmp_path, workers=1)["tasks"]
    assert made["status"] == "done" and not picture.exists(), "the guide was made since"


def test_the_page_shows_each_guide_and_why_one_failed(out):
    (row,) = dry_run(Asked((ONE,)), out.parent)
    bad = {**row, "status": "failed", "reason": "a <b> is wrong", "files": {}}
    write_page(out.parent, write_rows(out.parent, [row, bad]))
    text = (out.parent / "index.html").read_text("utf-8")
    assert "not a medical device" in text and "not a medical device" in json.loads((out.parent / "batch.json").read_text("utf-8"))["notice"]
    assert text.count("<article") == 2 and "a &lt;b&gt; is wrong" in text and "s-failed" in text and "s-refused" not in text
    assert f'src="{row["files"]["png"]}"' in text and (out.parent / row["files"]["png"]).is_file()


def test_a_setting_of_one_guide_leaves_the_other_the_same_job():
    asked = Asked((str(CASES / "phantom-type3"),), settings=("guide.superior-ramus.params.height=10,11",))
    tasks = tasks_of(asked)
    assert len(tasks) == 4 and len({task.job for task in tasks}) == 3 and len({(task.folder, task.job) for task in tasks}) == 4


@pytest.mark.slow
def test_a_guide_that_belongs_into_two_folders_is_made_once_and_lies_in_both(tmp_path):
    asked = Asked((str(CASES / "phantom-type3"),), settings=("guide.superior-ramus.params.height=10,11",))
    said = batch(asked, tmp_path / "out", workers=1)
    assert [row["status"] for row in said["tasks"]] == ["done"] * 4
    low, high = (tmp_path / "out" / f"guide.superior-ramus.params.height-{value}" / "phantom-type3" for value in (10, 11))
    same, other = "inferior-ramus_generic-10x0.6", "superior-ramus_generic-10x0.6"
    for kind in ("step", "stl", "3mf"):
        assert (low / f"{same}.{kind}").read_bytes() == (high / f"{same}.{kind}").read_bytes()
        assert (low / f"{other}.{kind}").read_bytes() != (high / f"{other}.{kind}").read_bytes()
    assert not (tmp_path / "out" / ".psi-cad-batch").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.stl")}
    (high / f"{same}.stl").unlink()
    again = batch(asked, tmp_path / "out", workers=1)
    assert [row["status"] for row in again["tasks"]] == ["done"] * 4 and not any(row["fresh"] for row in again["tasks"])
    assert (high / f"{same}.stl").read_bytes() == (low / f"{same}.stl").read_bytes()
    assert {path for path in before if path.stat().st_mtime_ns != before[path] and high not in path.parents} == set(), "what stood is left alone"


def test_a_folder_to_collect_into_that_is_a_file_is_told_before_anything_is_begun(run, tmp_path):
    (tmp_path / "print").write_text("x")
    done = run("batch", ONE, "-o", tmp_path / "out", "--collect", tmp_path / "print")
    assert done.returncode == 2 and "this is a file; name a folder" in done.stderr and not (tmp_path / "out").exists()


def test_a_report_of_several_jobs_tells_of_every_bone_that_they_sit_on(tmp_path):
    """A guide on a donor, or on the bone that the cuts leave, may be any of a case's jobs; without that bone it cannot be measured again."""

    def result(name, **more):
        report = {"case": "c", "bone": {}, "cautions": [], "guides": [{"name": name, "status": "passed"}], "refused": [], "status": "passed"}
        return Result(report | more, tmp_path, {})

    aside = {"retained": [{"used": "bone_retained.stl"}]}, {"donor": {"used": "donor.stl"}}
    for order in ((None, *aside), (*aside, None)):
        found = _joined([result(f"g{number}", **(more or {})) for number, more in enumerate(order)], [None, None, None])
        assert [guide["name"] for guide in found["guides"]] == ["g0", "g1", "g2"]
        assert found["retained"] == aside[0]["retained"] and found["donor"] == aside[1]["donor"]
    assert not {"donor", "retained"} & set(_joined([result("g")], [None]))
