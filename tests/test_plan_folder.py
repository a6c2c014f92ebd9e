"""The output folder of `plan`: nothing stale stays, nothing edited goes, nothing is half there."""

import json
import shutil

import pytest
from shapes import ball, block

from psi_cad.api import plan, starting_plan
from psi_cad.case.load import load_case
from psi_cad.errors import InputError
from psi_cad.files import sha256_of
from psi_cad.plans import case as plan_case

TEXT = """schema = 1
id = "x"
side = "left"
[bone]
surface = "bone.stl"
units = "mm"
coordinates = "LPS"
[tumour]
surface = "tumour.obj"
units = "mm"
coordinates = "LPS"
[[cut]]
name = "A"
origin = [0.0, 0.0, 0.0]
normal = [0.0, 0.0, 1.0]
"""
BETTER = {"optimise": True, "max_angle": 0.0, "max_shift": 3.0}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(plan_case, "draw_plan", list)


@pytest.fixture(scope="module")
def proposed(tmp_path_factory):
    """A case in `case/`, and in `out/` its plan with a proposal."""
    root = tmp_path_factory.mktemp("proposed")
    (root / "case").mkdir()
    block(60, 30, 80, fine=3).export(root / "case" / "bone.stl")
    ball(5, at=(0, 0, 20), fine=3).export(root / "case" / "tumour.obj", digits=6)
    (root / "case" / "case.toml").write_text(TEXT, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_case, "draw_plan", list)
        assert "proposal" in plan(root / "case", root / "out", **BETTER)
    return root


@pytest.fixture
def root(proposed, tmp_path):
    return shutil.copytree(proposed, tmp_path / "root")


def content(folder):
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def lowered(root):
    """The case with its plane 5 mm lower."""
    (root / "case" / "case.toml").write_text(TEXT.replace("origin = [0.0, 0.0, 0.0]", "origin = [0.0, 0.0, -5.0]"), "utf-8")


def test_a_plan_leaves_nothing_of_the_one_before(root):
    folder = root / "out" / "x"
    (folder / "plan-old.png").write_bytes(b"told of")
    (folder / "plan-mine.png").write_bytes(b"not told of")
    (folder / "other.step").write_bytes(b"told of, and none of plan's files")
    report = json.loads((folder / "plan.json").read_text("utf-8"))
    report["files"] |= {"a": "plan-old.png", "b": "other.step", "c": "../../case/case.toml", "d": "report.json", "e": "plan.json"}
    (folder / "plan.json").write_text(json.dumps(report), "utf-8")
    assert (folder / "proposal.toml").is_file() and (folder / "proposal-specimen.stl").is_file()
    found = plan(root / "case", root / "out")
    names = {path.name for path in folder.iterdir()}
    assert names == {"plan.json", "plan-mine.png", "other.step", *(name.rpartition("/")[2] for name in found["files"].values())}
    assert not any(name.startswith("proposal") for name in names) and (root / "case" / "case.toml").is_file()


@pytest.mark.parametrize(("name", "again"), [("proposal.toml", {}), ("proposal.toml", BETTER), ("proposal.mrk.json", {}), ("plan.mrk.json", {})])
def test_what_was_edited_is_never_replaced_or_removed(root, name, again):
    folder = root / "out" / "x"
    with (folder / name).open("a", encoding="utf-8") as stream:
        stream.write("\n")
    before = content(folder)
    with pytest.raises(InputError, match=f"'{name}' in the output folder was changed since 'plan' wrote it"):
        plan(root / "case", root / "out", **again)
    assert content(folder) == before
    (folder / name).rename(folder / f"mine-{name}")
    plan(root / "case", root / "out")
    assert (folder / f"mine-{name}").is_file() and not (folder / "proposal.toml").exists()


def test_a_proposal_of_somebody_else_is_not_replaced(root):
    folder = root / "out" / "x"
    (folder / "plan.json").unlink()  # nothing tells whose it is
    (folder / "plan.mrk.json").unlink()
    before = content(folder)
    with pytest.raises(InputError, match=r"'proposal\.(toml|mrk\.json)'"):
        plan(root / "case", root / "out", **BETTER)
    assert content(folder) == before


def test_what_is_edited_while_the_plan_is_made_stays(root, monkeypatch):
    folder = root / "out" / "x"
    real = plan_case.evaluate

    def meanwhile(*arguments, **more):
        (folder / "proposal.toml").write_text("# mine", "utf-8")
        return real(*arguments, **more)

    monkeypatch.setattr(plan_case, "evaluate", meanwhile)
    before = content(folder)
    with pytest.raises(InputError, match="'proposal.toml'"):
        plan(root / "case", root / "out")
    assert (folder / "proposal.toml").read_text("utf-8") == "# mine"
    assert {**content(folder), "proposal.toml": ""} == {**before, "proposal.toml": ""} and [path.name for path in (root / "out").iterdir()] == ["x"]


def test_a_case_is_not_removed_by_its_own_plan(root):
    case = root / "out" / "x" / "proposal.toml"
    before = content(case.parent)
    with pytest.raises(InputError, match=r"'proposal\.toml' in the output folder is read by this case"):
        plan(case, root / "out")
    assert content(case.parent) == before
    plan(case, root / "elsewhere")


def test_only_the_proposed_case_names_folders_and_says_so(root):
    (root / "DOE^JANE").mkdir()
    shutil.move(root / "case", root / "DOE^JANE" / "mri of J Doe")
    found = plan(root / "DOE^JANE" / "mri of J Doe", root / "out", **BETTER)
    assert {path.name for path in (root / "out" / "x").iterdir() if b"Doe" in path.read_bytes() or b"DOE" in path.read_bytes()} == {"proposal.toml"}
    head = (root / "out" / "x" / "proposal.toml").read_text("utf-8").splitlines()[:2]
    assert all(line.startswith("# ") for line in head) and "paths of your own folders" in head[1] and "don't pass it on" in head[1]
    assert any("proposal.toml" in note and "don't pass it on" in note for note in found["notes"])
    assert not any("don't pass it on" in note for note in plan(root / "DOE^JANE" / "mri of J Doe", root / "out")["notes"])


@pytest.mark.parametrize("stopped_in", ["face_map", "write_case", "sha256_of"])
def test_a_plan_that_is_stopped_leaves_the_folder_as_it_was(root, monkeypatch, stopped_in):
    def stop(*_, **__):
        raise KeyboardInterrupt

    before = content(root / "out" / "x")
    lowered(root)
    monkeypatch.setattr(plan_case, stopped_in, stop)
    for out in ("out", "new"):
        with pytest.raises(KeyboardInterrupt):
            plan(root / "case", root / out, **BETTER)
    assert content(root / "out" / "x") == before
    assert [path.name for path in (root / "out").iterdir()] == ["x"] and not (root / "new").exists()
    monkeypatch.undo()
    monkeypatch.setattr(plan_case, "draw_plan", list)
    plan(root / "case", root / "out", **BETTER)
    load_case(root / "out" / "x" / "proposal.toml", needs=("cut",))
    assert content(root / "out" / "x") != before


def test_an_edited_starting_plan_is_not_replaced(root):
    marks = "[landmarks]\naiis = [0.0, -10.0, 10.0]\nacetabulum-centre = [0.0, 0.0, -20.0]\ngreater-sciatic-notch = [0.0, 10.0, 0.0]\n"
    with (root / "case" / "case.toml").open("a", encoding="utf-8") as stream:
        stream.write(marks)
    files = starting_plan(root / "case", "II+III", root / "out")["files"]
    assert starting_plan(root / "case", "II+III", root / "out")["files"] == files  # the same again is no other
    start = root / "out" / "x" / "start-ii-iii.toml"
    edited = start.read_text("utf-8") + "# mine\n"
    start.write_text(edited, "utf-8")
    with pytest.raises(InputError, match=r"'start-ii-iii\.toml' in the output folder has other contents"):
        starting_plan(root / "case", "II+III", root / "out")
    assert start.read_text("utf-8") == edited and [path.name for path in (root / "out").iterdir()] == ["x"]
