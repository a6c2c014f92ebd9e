"""What was measured or drawn of the very same content is found again; whatever differs in it, even by a bit, has it made anew."""

import dataclasses
import shutil
from types import SimpleNamespace

import pytest

from psi_cad.builder.kept import Kept
from psi_cad.errors import KernelError
from psi_cad.inspection import inspect
from psi_cad.inspection.inspect import Inspector, Line
from psi_cad.processes import cores as of_machine
from psi_cad.promises.expected import Expected, ExpectedAvoid
from psi_cad.records.guide import MeasuredFiles
from psi_cad.stages.digests import digest
from psi_cad.stages.told import IN_MEMORY, MADE


@pytest.fixture
def bench(phantom_out, phantom_report, tmp_path, monkeypatch):
    """Files of a guide, an inspector, and every measurement that it takes; of what is measured, the report tells."""
    folder = tmp_path / "out"
    shutil.copytree(phantom_out, folder)
    guide, taken = phantom_report["guides"][0], []
    said = {name: guide[name] for name in MeasuredFiles.model_fields if name in guide}

    def read(path, _frame, *, judged):
        assert not judged
        taken.append(["read", path.read_bytes()])
        return SimpleNamespace(solid_count=0)

    def measured(_part, stl, expected, own, others):
        taken.append(["measured", stl.read_bytes(), expected, own.name, [one.name for one in others]])
        return SimpleNamespace(to_json=lambda: said)

    monkeypatch.setattr(inspect, "Part", read)
    monkeypatch.setattr(inspect, "measure_part", measured)
    monkeypatch.setattr(inspect, "bone_probe", lambda _path, name=None: SimpleNamespace(name=name))
    expected = Expected.from_json(guide["plan"])
    return SimpleNamespace(folder=folder, guide=guide, expected=expected, inspector=Inspector(), taken=taken)


def shown(bench, expected=None, bone=None, names=(None,)):
    """A measurement is asked for: whether it was found, and how often something was read or measured."""
    bench.taken.clear()
    bench.inspector.bones(dict.fromkeys(names, bench.folder / "bone.stl"))
    bench.inspector.on(bone)
    bench.inspector.step(bench.folder / bench.guide["files"]["step"], expected or bench.expected)
    bench.inspector.stl(bench.folder / bench.guide["files"]["stl"])
    found = bench.inspector.result()
    assert len(found.checks) == len(bench.guide["checks"])
    return bench.inspector.said.found, [one[0] for one in bench.taken]


ANEW = (False, ["read", "measured"])


def turned(path):
    """One bit of a file is turned."""
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)


def test_the_same_files_are_measured_once(bench):
    assert shown(bench) == ANEW
    assert shown(bench) == (True, [])
    shutil.copytree(bench.folder, bench.folder.parent / "again")
    bench.folder = bench.folder.parent / "again"
    assert shown(bench) == (True, []), "wherever they lie"


@pytest.mark.parametrize("kind", ["step", "stl", "bone"])
def test_a_bit_in_any_file_has_it_measured_anew(bench, kind):
    shown(bench)
    turned(bench.folder / ("bone.stl" if kind == "bone" else bench.guide["files"][kind]))
    assert shown(bench) == ANEW
    assert shown(bench) == (True, [])


def test_another_plan_bone_or_neighbour_has_it_measured_anew(bench):
    assert shown(bench, names=("a", "b"), bone="a") == ANEW
    assert shown(bench, names=("a", "b"), bone="b") == ANEW
    assert shown(bench, names=("a",), bone="a") == ANEW
    assert shown(bench, dataclasses.replace(bench.expected, minimum_wall=bench.expected.minimum_wall + 1e-9), ("a"), ("a",)) == ANEW
    assert shown(bench, names=("a", "b"), bone="a") == (True, [])


def test_what_tools_keep_from_is_looked_at_in_its_file(bench):
    keep = dataclasses.replace(bench.expected, avoid=(ExpectedAvoid("nerve", 5.0, "avoid_nerve.stl", "00"),), bores=())
    (bench.folder / "avoid_nerve.stl").write_bytes(b"one")
    assert shown(bench, keep) == ANEW and shown(bench, keep) == (True, [])
    (bench.folder / "avoid_nerve.stl").write_bytes(b"two")
    assert shown(bench, keep) == ANEW
    (bench.folder / "avoid_nerve.stl").unlink()
    assert shown(bench, keep) == ANEW


def test_what_is_found_is_nobody_elses_to_change(bench):
    shown(bench)
    bench.inspector.step(bench.folder / bench.guide["files"]["step"], bench.expected)
    bench.inspector.stl(bench.folder / bench.guide["files"]["stl"])
    first = bench.inspector.result()
    first.checks.clear()
    assert shown(bench) == (True, []) and bench.inspector._known and all(one.checks for one in bench.inspector._known.values())


def test_memory_of_measurements_is_bounded(bench, monkeypatch):
    monkeypatch.setattr(inspect, "MOST_KNOWN", 2)
    for _ in range(3):
        turned(bench.folder / bench.guide["files"]["stl"])  # there and back
        (bench.folder / bench.guide["files"]["step"]).write_text(str(len(bench.inspector._steps)), "utf-8")
        assert shown(bench) == ANEW
    assert len(bench.inspector._known) == 2


def test_pictures_are_known_by_what_they_show_and_by_what_was_measured():
    kept, drawn = Kept(), []

    def draw():
        drawn.append(1)
        return bytes([len(drawn)])

    scene = {"guide": digest(1), "bone": digest(2)}
    told = {**scene, "marks": digest([]), "arrows": digest(3)}
    kept.stages.begin()
    assert not kept.pictured(scene) and kept.picture(told, draw) == b"\x01"
    assert kept.pictured(scene) and not kept.pictured({**scene, "bone": digest(3)})
    assert kept.picture(told, draw) == b"\x01" and kept.picture({**told, "arrows": digest(4)}, draw) == b"\x02"
    (stage,) = kept.stages.to_json()
    assert (stage["stage"], stage["made"], stage["found"]) == ("picture", 2, {IN_MEMORY: 1}) and MADE == "made"


@pytest.mark.parametrize(("number_of", "again"), [("1", True), ("2", False)])
def test_beside_other_builds_a_process_keeps_less(number_of, again, monkeypatch):
    monkeypatch.setenv("PSI_CAD_CORES", number_of)
    shelf, made = Kept().workshop.shelf, []
    for number in [*range(20), 0]:
        shelf.piece("piece", {"of": digest(number)}, lambda number=number: made.append(number) or bytes(1 << 20))
    assert made == [*range(20), *([0] if again else [])], "of 20 pieces of 1 MiB the first is gone in the one, and kept in the other"


def test_memory_goes_back_beside_other_builds_only(monkeypatch):
    asked = []
    monkeypatch.setattr(of_machine.ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=asked.append))
    for number in ("2", "1"):
        monkeypatch.setenv("PSI_CAD_CORES", number)
        of_machine.give_back()
    assert asked == [0]
    monkeypatch.setattr(of_machine.ctypes, "CDLL", lambda _: SimpleNamespace())
    of_machine.give_back()  # where the C library has no such call


def test_on_one_core_the_builder_waits_for_each_answer(tmp_path, monkeypatch):
    said = []
    for cores, want in (("1", ["step", "stl", "heard"]), ("", ["step", "stl"])):
        monkeypatch.setenv("PSI_CAD_CORES", cores)
        said.clear()
        line = Line(
            say=lambda message: said.append(next(iter(message))), hear=lambda: said.append("heard") or {"error": "KernelError", "message": "."}
        )
        line.step(tmp_path / "a.step", SimpleNamespace(to_json=dict))
        line.stl(tmp_path / "a.stl")
        assert said == want
        with pytest.raises(KernelError):
            line.result()
        assert said == ["step", "stl", "heard"]
