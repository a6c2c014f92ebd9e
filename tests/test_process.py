"""The build process: hangs, crashes and leftovers; the same bytes from two processes."""

import sys

import pytest
from conftest import CASES

import psi_cad
from psi_cad.builder.process import perform
from psi_cad.errors import BuildError, CaseError, KernelError


def worker(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


SAYS = "import sys, time, os, json\nsys.stdin.readline()\nprint(json.dumps({'step': 'fence A'}), flush=True)\n"


def test_a_hang_is_ended_and_named():
    with pytest.raises(KernelError, match=r"ran longer than 1 s in the step 'fence A' with params.wall=3; nothing was written"):
        perform("build", {"settings": ["params.wall=3"]}, time_limit=1.0, command=worker(SAYS + "time.sleep(60)"))


def test_a_crash_is_named():
    with pytest.raises(KernelError, match="crashed .* in the step 'fence A'"):
        perform("build", {}, time_limit=20.0, command=worker(SAYS + "os._exit(139)"))
    with pytest.raises(KernelError, match="crashed"):
        perform("build", {}, time_limit=20.0, command=worker("import os; os.abort()"))


TALKS = SAYS + (
    "sys.argv[1] == 'inspect' or print(json.dumps({'inspect': {'stl': 'x'}}), flush=True)\n"
    "sys.argv[1] == 'inspect' and os._exit(139)\n"
    "print(json.dumps({'done': json.loads(sys.stdin.readline())}), flush=True)\n"
)


def test_a_crash_while_measuring_is_named():
    with pytest.raises(KernelError, match=r"crashed \(exit 139\) in the step 'measure the files'"):
        perform("build", {}, time_limit=20.0, command=worker(TALKS))


def test_builder_and_inspector_talk_through_the_caller():
    code = TALKS.replace("os._exit(139)", "print(json.dumps({'measured': 7}), flush=True)")
    assert perform("build", {}, time_limit=20.0, command=worker(code)) == {"measured": 7}


def test_a_crash_while_drawing_is_told_as_one():
    with pytest.raises(BuildError, match=r"picture could not be drawn: the process crashed"):
        perform("build", {}, time_limit=20.0, command=worker(SAYS.replace("fence A", "a b: draw the picture") + "os._exit(139)"))


def test_an_error_keeps_its_kind():
    code = SAYS + "print(json.dumps({'error': 'CaseError', 'message': 'one sentence.'}), flush=True)"
    with pytest.raises(CaseError, match="one sentence"):
        perform("build", {}, time_limit=20.0, command=worker(code))


def test_a_time_limit_leaves_nothing(tmp_path):
    with pytest.raises(KernelError, match="ran longer than 0.5 s"):
        psi_cad.build(CASES / "phantom-type1", tmp_path / "out", time_limit=0.5)
    assert not (tmp_path / "out").exists()
    (tmp_path / "kept").mkdir()
    with pytest.raises(KernelError):
        psi_cad.build(CASES / "phantom-type1", tmp_path / "kept", time_limit=0.5)
    assert list((tmp_path / "kept").iterdir()) == []


def test_two_processes_give_the_same_bytes(phantom_out, tmp_path):
    psi_cad.build(CASES / "phantom-type1", tmp_path)
    for path in phantom_out.iterdir():
        if path.suffix in (".step", ".stl"):
            assert (tmp_path / "phantom-type1" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_variant_is_the_same_alone_and_in_company(tmp_path):
    case = CASES / "phantom-type3"
    psi_cad.build(case, tmp_path / "both", blades=["generic-10x0.6", "generic-10x0.4"])
    psi_cad.build(case, tmp_path / "alone", blades=["generic-10x0.4"])
    for name in ("superior-ramus", "inferior-ramus"):
        for kind in ("step", "stl"):
            file = f"phantom-type3/{name}_generic-10x0.4.{kind}"
            assert (tmp_path / "both" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()


def test_earlier_variants_stay_in_the_report(tmp_path):
    case = CASES / "phantom-type3"
    psi_cad.build(case, tmp_path, blades=["generic-10x0.6"])
    report = psi_cad.build(case, tmp_path, blades=["generic-10x0.4"])
    assert {(g["name"], g["blade"]) for g in report["guides"]} == {
        (name, blade) for name in ("superior-ramus", "inferior-ramus") for blade in ("generic-10x0.6", "generic-10x0.4")
    }
    assert psi_cad.measure(tmp_path)["status"] == "passed"
