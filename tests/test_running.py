"""How the tests are run: which are left out, what must be there, what is made once."""

from pathlib import Path
from types import SimpleNamespace

import conftest
import pytest
from built_once import built_once
from conftest import ROOT, WORKERS, must_be


def test_promised_bones_that_are_not_there_fail_and_others_are_skipped(monkeypatch, tmp_path):
    assert must_be(tmp_path) == tmp_path
    monkeypatch.setenv("PSI_CAD_DATA", str(tmp_path / "none"))
    with pytest.raises(pytest.fail.Exception, match="PSI_CAD_DATA says that there are real bones, but there is no folder"):
        must_be(tmp_path / "none")
    for unset in (lambda: monkeypatch.setenv("PSI_CAD_DATA", ""), lambda: monkeypatch.delenv("PSI_CAD_DATA")):
        unset()
        with pytest.raises(pytest.skip.Exception, match="PSI_CAD_DATA names no folder"):
            must_be(tmp_path / "none")


@pytest.mark.parametrize(
    ("marks", "named", "left"),
    [
        ("", ["tests"], ["quick"]),
        ("", ["tests/test_a.py"], ["quick"]),
        ("", ["tests/test_a.py::slow"], ["slow", "quick"]),
        ("slow", ["tests"], ["slow", "quick"]),  # what is not marked so is taken out by pytest itself
    ],
)
def test_what_is_slow_runs_where_it_is_asked_for(marks, named, left):
    gone = []
    config = SimpleNamespace(
        option=SimpleNamespace(markexpr=marks), args=named, hook=SimpleNamespace(pytest_deselected=lambda items: gone.extend(items))
    )
    items = [SimpleNamespace(name=name, path=Path("test_a.py"), get_closest_marker=lambda _, name=name: name == "slow") for name in ("slow", "quick")]
    conftest.pytest_collection_modifyitems(config, items)
    assert [item.name for item in items] == left and [item.name for item in gone] == ["slow"][: 2 - len(left)]


@pytest.mark.parametrize(("source", "asked", "workers"), [("TESTPATHS", None, WORKERS), ("TESTPATHS", 0, 0), ("ARGS", None, None)])
def test_only_the_whole_suite_runs_in_workers(source, asked, workers, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    option = SimpleNamespace(numprocesses=asked, loadscopereorder=True, usepdb=False, dist="no")
    conftest.pytest_cmdline_main(SimpleNamespace(option=option, args_source=pytest.Config.ArgsSource[source]))
    assert (option.numprocesses, option.dist) == (workers, "loadfile" if workers else "no")


def test_the_files_that_take_longest_are_there():
    assert [name for name in conftest.LONGEST if not (ROOT / "tests" / f"test_{name}.py").is_file()] == []


def test_a_folder_is_made_once_and_a_failure_is_everybody_s(tmp_path):
    factory, made = SimpleNamespace(getbasetemp=lambda: tmp_path / "gw0"), []
    (tmp_path / "gw0").mkdir()

    def make(folder):
        made.append(folder)
        (folder / "file").write_text("x")

    def broken(folder):
        raise OSError("full")

    for _ in range(2):
        assert (built_once(factory, "one", make) / "file").read_text("utf-8") == "x"
    assert len(made) == 1
    with pytest.raises(OSError, match="full"):
        built_once(factory, "two", broken)
    with pytest.raises(pytest.fail.Exception, match="could not make 'two'"):
        built_once(factory, "two", make)
