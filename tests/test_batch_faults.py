"""What goes wrong around a batch or a build: killed processes, full and read-only disks, inputs that change, damaged results."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CASES
from killing import PSI_CAD, Round, Watch, contents, half, undisturbed

from psi_cad.batch.child import done
from psi_cad.batch.expand import Asked, tasks_of
from psi_cad.batch.run import batch
from psi_cad.batch.store import Store
from psi_cad.batch.work import FILES, RESULT
from psi_cad.builder import kept as keeping
from psi_cad.builder.kept import Kept
from psi_cad.case.named import refuse_changed, stamps_of
from psi_cad.errors import BuildError, SeatError
from psi_cad.files import HIDDEN, staged, whole_file, write_json
from psi_cad.intake import sources
from psi_cad.intake.bones import read_bones
from psi_cad.intake.loading import load
from psi_cad.intake.named import inputs_of
from psi_cad.intake.prepare import plan_job
from psi_cad.intake.work import Work
from psi_cad.stages.disk import Disk

ONE = str(CASES / "phantom-type1")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files are watched with inotify, which Linux alone has")
HOLDS = """
import sys, time
from pathlib import Path
from psi_cad.files import staged, whole_file
with staged(Path(sys.argv[1])) as folder, whole_file(Path(sys.argv[1]) / "report.json") as part:
    (folder / "half.step").write_text("x")
    part.write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


def silent(_step):
    """Progress that nobody watches."""


@pytest.fixture
def case(tmp_path):
    """The type I case on the phantom, to be changed."""
    shutil.copytree(CASES / "phantom", tmp_path / "phantom")
    return shutil.copytree(CASES / "phantom-type1", tmp_path / "phantom-type1") / "case.toml"


def request_of(case, store):
    (task,) = tasks_of(Asked((str(case),)))
    return {"case": str(case), "guide": task.guide, "tool": task.blade, "blades": [], "settings": [], "catalogue": None, "final": str(store.out / task.folder),
            "job": task.job, "time_limit": 300.0, "folder": str(store.folder / task.job)}  # fmt: skip


# --- what a killed run leaves


def test_the_next_run_clears_what_no_living_process_holds(tmp_path):
    held = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, encoding="utf-8")
    killed = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, encoding="utf-8")
    kept, left = held.stdout.readline().strip(), killed.stdout.readline().strip()
    killed.kill()
    killed.communicate()
    parts = sorted(tmp_path.glob(".report.part*"))
    assert len(parts) == 2
    with staged(tmp_path) as mine:
        (mine / "x").write_text("x")
        assert not Path(left).exists() and Path(kept, "half.step").is_file()
        assert len(list(tmp_path.glob(f"{HIDDEN}*"))) == 2
    write_json(tmp_path / "report.json", {})
    assert len(list(tmp_path.glob(".report.part*"))) == 1, "that of the living one stays"
    held.kill()
    held.communicate()
    with staged(tmp_path):
        pass
    with whole_file(tmp_path / "report.json") as part:
        part.write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_after_the_next(tmp_path, phantom_out):
    words = [*PSI_CAD, "build", ONE, "-o", str(tmp_path)]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(f"{HIDDEN}*/files/*.step")) and killed.poll() is None:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert list(tmp_path.glob(f"{HIDDEN}*")) and not list(tmp_path.glob("[!.]*"))
    subprocess.run(words, check=True, capture_output=True)
    assert contents(tmp_path / phantom_out.name) == contents(phantom_out) and [path.name for path in tmp_path.iterdir()] == [phantom_out.name]


@LINUX
def test_the_watch_sees_a_file_that_is_written_under_its_own_name(tmp_path):
    watch = Watch(tmp_path)
    (tmp_path / "case").mkdir()
    while len(watch.folders) < 2:
        time.sleep(0.01)
    with whole_file(tmp_path / "case" / "moved.json") as part:
        part.write_text("{}")
    assert watch.seen == []
    (tmp_path / "case" / "here.step").write_text("x")
    assert set(watch.close()) == {str(tmp_path / "case" / "here.step")}
    assert half(tmp_path, {"case/here.step": "another"}) == ["case/here.step"]


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("cluster", [False, True], ids=["workers here", "a scheduler"])
def test_random_kills_change_no_byte(tmp_path, cluster):
    told = Round(undisturbed(tmp_path / "right"), kills=4, seed=3, cluster=cluster, span=12.0).run()
    assert len(told["kills"]) == 4
    assert told["same"] and told["differ"] == told["half"] == told["made_in_place"] == told["left"] == []


# --- inputs that change


def test_what_was_read_of_a_file_that_changed_meanwhile_is_refused(case, monkeypatch):
    loaded, read = load(case), sources.read_surface

    def reads_and_changes(path, **options):
        """Another program writes the same again, with the same times: no hash tells that."""
        found, data, times = read(path, **options), path.read_bytes(), path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return found

    monkeypatch.setattr(sources, "read_surface", reads_and_changes)
    with pytest.raises(BuildError, match=r"bone\.surface: '../phantom/bone.stl' changed while it was being read"):
        read_bones(loaded, progress=silent)


def test_a_guide_is_not_planned_on_bones_of_before(case):
    path = case.parent.parent / "phantom" / "bone.stl"

    def read(loaded, progress):
        found = read_bones(loaded, progress=progress)
        path.write_bytes(path.read_bytes())
        return found

    with pytest.raises(BuildError, match="changed while it was being read"):
        plan_job(load(case), blades=[], progress=silent, read=read, suggest=False)


def test_a_bone_that_changed_between_its_hash_and_its_reading_is_not_kept(case, tmp_path, monkeypatch):
    """It would lie under the hash of another, for every build to come."""
    loaded, path, disk = load(case), case.parent.parent / "phantom" / "bone.stl", Disk(tmp_path / "kept")
    first = path.read_bytes()

    def inputs(_loaded):
        found = inputs_of(loaded)
        path.write_bytes((CASES / "phantom" / "sacrum.stl").read_bytes())
        return found

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "inputs_of", inputs)
        with pytest.raises(BuildError, match="changed while it was being read"):
            Kept(disk).bones(loaded, silent)
    path.write_bytes(first)
    assert len(Kept(disk).bones(loaded, silent).scene.bodies[0].bone.mesh.faces) == 45_308


def test_an_input_that_has_gone_has_changed(case):
    loaded = load(case)
    before = stamps_of(loaded)
    refuse_changed(loaded, before)
    (case.parent.parent / "phantom" / "tumour.stl").unlink()
    with pytest.raises(BuildError, match="changed while it was being read"):
        refuse_changed(loaded, before)


def test_a_stage_of_a_file_that_changed_meanwhile_is_not_kept(tmp_path):
    def changed():
        raise BuildError("it changed")

    with pytest.raises(BuildError, match="it changed"):
        Work(tmp_path / "work", silent, changed).stage("ct", {"source": "a"}, lambda folder: {})
    assert not (tmp_path / "work").exists()


def test_a_damaged_stage_is_made_again(tmp_path):
    made = []

    def make(folder):
        made.append((folder / "scan.mha").write_text("scan"))
        return {}

    def stage():
        return Work(tmp_path / "work", silent).stage("ct", {"source": "a"}, make)

    stage(), stage()
    assert len(made) == 1
    (tmp_path / "work" / "ct" / "scan.mha").write_text("scam")
    stage()
    assert len(made) == 2 and (tmp_path / "work" / "ct" / "scan.mha").read_text("utf-8") == "scan"
    (tmp_path / "work" / "ct" / "stage.json").write_text("{")
    stage()
    assert len(made) == 3


@pytest.mark.parametrize("what", ["bone", "case", "case that is broken", "no bone"])
def test_a_job_of_a_changed_input_fails_and_is_no_refusal_of_the_old_one(case, tmp_path, what):
    store = Store(tmp_path / "out")
    with store.held():
        request, bone = request_of(case, store), case.parent.parent / "phantom" / "bone.stl"
        if what == "bone":
            bone.write_bytes(b"solid x\nendsolid x\n")  # refused, if it were read
        elif what == "no bone":
            bone.unlink()
        else:
            case.write_text("schema = 1" if "broken" in what else case.read_text("utf-8").replace("clearance = 0.15", "clearance = 0.2"), "utf-8")
        with pytest.raises(BuildError, match="is not what the batch was begun with; start the batch again"):
            done(request, kept=Kept(), workers=None, progress=silent)


def test_a_refusal_of_an_input_that_changes_meanwhile_is_none(case, tmp_path, monkeypatch):
    kept, bone = Kept(), case.parent.parent / "phantom" / "bone.stl"

    def refused(_loaded, _progress):
        bone.write_bytes(bone.read_bytes())
        raise SeatError("no seat")

    monkeypatch.setattr(kept, "bones", refused)
    store = Store(tmp_path / "out")
    with store.held():
        with pytest.raises(BuildError, match="changed while it was being read"):
            done(request_of(case, store), kept=kept, workers=None, progress=silent)
        assert store.of(request_of(case, store)["job"]) is None


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bone", "case"])
def test_an_input_that_changes_while_a_batch_runs_is_not_delivered_under_the_old_hash(case, tmp_path, what):
    asked, changed = Asked((str(case),), settings=("params.clearance=0.1,0.15",)), []
    bone = case.parent.parent / "phantom" / "bone.stl"

    def progress(standing, _said):
        if standing.ended == 1 and not changed:
            changed.append(bone.read_bytes() if what == "bone" else case.read_bytes())
            if what == "bone":
                bone.write_bytes((CASES / "phantom" / "sacrum.stl").read_bytes())
            else:
                case.write_bytes(changed[0].replace(b"origin = [-96.0, -8.0, 35.0]", b"origin = [-96.0, -8.0, 36.0]"))

    said = batch(asked, tmp_path / "out", workers=1, progress=progress)
    first, second = said["tasks"]
    # a case file is read at once when a job begins: one that was read before the change is made as it was, a bone is read later
    assert first["status"] == "done" and (second["status"] == "failed" or what == "case")
    assert second["status"] == "done" or "is not what the batch was begun with" in second["reason"]
    (bone if what == "bone" else case).write_bytes(changed[0])
    again = batch(asked, tmp_path / "out", workers=1)
    assert [row["status"] for row in again["tasks"]] == ["done", "done"]
    assert [row["fresh"] for row in again["tasks"]] == [False, second["status"] == "failed"]
    assert contents(tmp_path / "out") == undisturbed(tmp_path / "right")


@pytest.mark.slow
def test_a_case_of_which_every_job_fails_does_not_end_the_batch(case, tmp_path):
    def progress(_standing, said):
        if said == "start the workers":
            case.write_text("schema = 1", "utf-8")

    said = batch(Asked((str(case), str(CASES / "phantom-drill"))), tmp_path / "out", workers=1, progress=progress)
    assert [row["status"] for row in said["tasks"]] == ["failed", "done"]


# --- damaged results


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["file", "record", "no record"])
def test_a_damaged_result_of_an_earlier_run_is_made_again(tmp_path, damage):
    out, (task,) = tmp_path / "out", tasks_of(Asked((ONE,)))
    store = Store(out)
    left = store.folder / task.job
    (left / FILES).mkdir(parents=True)
    (left / FILES / "bone.stl").write_bytes(b"x")
    said = {"job": task.job, "report": {"guides": []}, "sha256": {"bone.stl": "0" * 64}}
    if damage != "no record":
        (left / RESULT).write_text("{" if damage == "record" else json.dumps(said))
    assert store.of(task.job) is None
    said = batch(Asked((ONE,)), out, workers=1)
    assert said["counts"]["done"] == 1 and not store.folder.exists()


@pytest.mark.slow
def test_a_result_that_lies_under_its_name_already_is_taken_out_of_the_store(tmp_path, phantom_out):
    """As after a run that was killed between the two, or a worker that came late."""
    out, (task,) = tmp_path / "out", tasks_of(Asked((ONE,)))
    shutil.copytree(phantom_out, out / task.folder)
    left = Store(out).folder / task.job
    shutil.copytree(phantom_out, left / FILES)
    (left / RESULT).write_text(json.dumps({"job": task.job, "report": {"guides": []}, "sha256": {}}))
    assert [row["fresh"] for row in batch(Asked((ONE,)), out, workers=1)["tasks"]] == [False]
    assert not Store(out).folder.exists()


# --- disks


def mounted(folder, *options):
    """A small file system of its own at a folder; the tests that need it are skipped where nobody may mount."""
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("this system has no mount")
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)], capture_output=True, encoding="utf-8")
    if tried.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a file system at `tmp_path`/disk, which goes with the test."""
    folder = tmp_path / "disk"
    yield lambda *options: mounted(folder, *options) or folder
    subprocess.run(["umount", str(folder)], capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bone.stl", "step", "stl", "3mf", "png", "json"])
def test_a_disk_that_is_full_in_the_middle_of_a_file_is_told_and_leaves_no_half_file(tmp_path, disk, kind, phantom_out):
    sizes = {path.name: path.stat().st_size for path in phantom_out.iterdir()}
    kinds = ["bone.stl", "step", "stl", "3mf", "png", "json"]  # in the order in which they are written
    size = {name if name == "bone.stl" else name.rsplit(".")[-1]: count for name, count in sizes.items()}
    folder = disk(f"size={sum(size[one] for one in kinds[: kinds.index(kind)]) + size[kind] // 2}")
    right = {f"{phantom_out.name}/{name}": digest for name, digest in contents(phantom_out).items()}
    for verb in ("build", "batch"):
        out = folder / verb
        out.mkdir()
        watch = Watch(out)
        ran = subprocess.run([*PSI_CAD, verb, ONE, "-o", str(out)], capture_output=True, encoding="utf-8")
        assert half(out, right) == watch.close() == [] and "Traceback" not in ran.stderr
        if ran.returncode == 0:
            assert {name: digest for name, digest in contents(out).items() if name in right} == right
        else:
            assert "No space left" in ran.stderr or "full" in ran.stderr, ran.stderr
        shutil.rmtree(out)
    subprocess.run(["mount", "-o", "remount,size=100m", str(folder)], check=True)
    subprocess.run([*PSI_CAD, "batch", ONE, "-o", str(folder / "batch")], check=True, capture_output=True)
    assert contents(folder / "batch") == right


@pytest.mark.parametrize("verb", ["build", "batch"])
def test_a_disk_that_cannot_be_written_to_is_told_in_one_sentence(tmp_path, disk, verb):
    folder = disk("ro")
    ran = subprocess.run([*PSI_CAD, verb, ONE, "-o", str(folder / "out")], capture_output=True, encoding="utf-8")
    assert ran.returncode in (1, 2) and "Traceback" not in ran.stderr and "Read-only file system" in ran.stderr, ran.stderr
    assert len([line for line in ran.stderr.splitlines() if line.startswith("psi-cad")]) == 1


@pytest.mark.slow
def test_a_case_folder_that_cannot_be_made_fails_its_jobs_and_the_next_run_has_them(tmp_path, phantom_out):
    out = tmp_path / "out"
    out.mkdir()
    (out / "phantom-type1").write_text("a file where a folder is needed")
    ran = subprocess.run([*PSI_CAD, "batch", ONE, "-o", str(out)], capture_output=True, encoding="utf-8")
    assert ran.returncode == 1 and "Traceback" not in ran.stderr and "phantom-type1" in ran.stderr
    (out / "phantom-type1").unlink()
    again = batch(Asked((ONE,)), out, workers=1)
    assert [(row["status"], row["fresh"]) for row in again["tasks"]] == [("done", False)], "it was built by then, and only had to be written"
    assert contents(out / "phantom-type1") == contents(phantom_out)
