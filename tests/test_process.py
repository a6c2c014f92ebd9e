"""The build process: hangs, crashes and leftovers; the same bytes from processes and from a build in this one."""

import json
import subprocess
import sys
import time

import psutil
import pytest
from conftest import CASES, SAID

import psi_cad
from psi_cad.case.load import load_case
from psi_cad.errors import BuildError, CaseError, KernelError
from psi_cad.intake import prepare
from psi_cad.processes import own
from psi_cad.processes import workers as running
from psi_cad.processes.guard import Guard
from psi_cad.processes.workers import Workers, perform


def worker(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


SAYS = "import sys, time, os, json\nsys.stdin.readline()\nprint(json.dumps({'step': 'fence A'}), flush=True)\n"


READS = "import sys, time, os, json\nsys.stdin.buffer.read(json.loads(sys.stdin.buffer.readline())['payload'])\n"


def test_a_hang_is_ended_and_named():
    with pytest.raises(KernelError, match=r"ran longer than 1 s in the step 'fence A' with params.wall=3; nothing was written"):
        perform("build", {"settings": ["params.wall=3"]}, time_limit=1.0, command=worker(SAYS + "time.sleep(60)"))


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_a_worker_that_hangs_before_it_reads_is_ended(monkeypatch, size):
    """A pipe holds some 64 kB: what is larger waits for a reader."""
    monkeypatch.setattr(running, "START_S", 1.0)
    begun = time.monotonic()
    said = "did not start within 1 s" if size else "ran longer than 1 s in the step 'start'"
    with pytest.raises(KernelError, match=said):
        perform("build", {}, payload=lambda: b"x" * size, time_limit=1.0, command=worker("import time; time.sleep(60)"))
    assert time.monotonic() - begun < 30.0


def test_what_the_inspector_says_waits_for_no_reader():
    """The builder may hang while the inspector's answer, larger than a pipe holds, is on its way to it."""
    talks = SAYS + (
        "big = 'x' * 1_000_000\n"
        "sys.argv[1] == 'inspect' or print(json.dumps({'inspect': {'stl': 'x'}}), flush=True)\n"
        "sys.argv[1] == 'inspect' and print(json.dumps({'measured': big}), flush=True)\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(KernelError, match="ran longer than 3 s in the step 'fence A'"):
        perform("build", {}, time_limit=3.0, command=worker(talks))


def test_the_limit_of_the_work_counts_from_when_the_request_was_taken():
    late = "import time; time.sleep(1.5)\n" + READS + "print(json.dumps({'done': 1}), flush=True)"
    assert perform("build", {}, payload=lambda: b"x" * 1_000_000, time_limit=1.0, command=worker(late)) == 1


BUSY = {
    # a call that keeps the interpreter to itself, as the kernel's do: no thread of the process runs meanwhile
    "a call that never returns": "import ctypes; ctypes.PyDLL(None).pause()",
    "a Boolean of the kernel": (
        "import cadquery as cq\n"
        "at = [cq.Vector(0.31 * n % 7, 0.53 * n % 5, 0.17 * n % 3) for n in range(400)]\n"
        "print(json.dumps({'step': 'fuse'}), flush=True)\n"
        "cq.Solid.makeSphere(2.0).fuse(*(cq.Solid.makeSphere(2.0).moved(cq.Location(one)) for one in at))"
    ),
}
CALLS = "print(json.dumps({'step': str(os.getpid())}), flush=True)\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pause() is POSIX's")
@pytest.mark.parametrize("busy", [pytest.param(name, marks=[pytest.mark.slow] * ("kernel" in name)) for name in BUSY])
def test_a_process_ends_with_its_caller_whatever_it_is_doing(busy):
    """Where processes are not forked of a nursery, which is what test_nursery.py is about."""
    work = "import sys, os, json\nsys.stdin.readline()\n" + CALLS + BUSY[busy]
    code = (
        "import sys\n"
        "from psi_cad.processes.workers import perform\n"
        f"perform('try', {{}}, time_limit=90.0, command=(sys.executable, '-c', {work!r}), progress=lambda step: print(step, flush=True))\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8")
    process = psutil.Process(int(caller.stdout.readline()))
    if "kernel" in busy:
        assert caller.stdout.readline() == "fuse\n"
    time.sleep(1.0)
    assert process.is_running() and process.status() != psutil.STATUS_ZOMBIE, "it is at it"
    caller.kill()
    caller.wait()
    caller.stdout.close()
    until = time.monotonic() + 10.0
    while (left := process.is_running() and process.status() != psutil.STATUS_ZOMBIE) and time.monotonic() < until:
        time.sleep(0.05)
    if left:
        process.kill()
    assert not left


def test_a_guard_that_is_freed_ends_nobody():
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    guard = Guard(process.pid)
    guard.free()
    time.sleep(0.2)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait() == 0


def test_a_part_without_a_bone_is_told_of_its_own_parameters():
    with pytest.raises(KernelError, match="raise --time-limit, or change one of its parameters a little"):
        perform("free", {}, time_limit=1.0, command=worker(SAYS + "time.sleep(60)"))


def test_a_crash_is_named():
    with pytest.raises(KernelError, match="crashed .* in the step 'fence A'"):
        perform("build", {}, time_limit=20.0, command=worker(SAYS + "os._exit(139)"))
    with pytest.raises(KernelError, match="crashed"):
        perform("build", {}, time_limit=20.0, command=worker("import os; os.abort()"))


@pytest.mark.parametrize(("wanted", "threads"), [(None, 1), ("2", 2)])
def test_products_are_made_by_one_thread_unless_somebody_says_otherwise(wanted, threads, monkeypatch):
    """Threads that wait for each other took more than half of a build's time on two cores."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", wanted)
    ask = "import json, os, sys; sys.stdin.readline(); print(json.dumps({'done': os.environ['OPENBLAS_NUM_THREADS']}), flush=True)"
    assert perform("build", {}, time_limit=60.0, command=worker(ask)) == str(threads)
    ran = subprocess.run(
        [sys.executable, "-c", "import psi_cad.cli.main, os; print(os.environ['OPENBLAS_NUM_THREADS'])"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert ran.stdout.strip() == str(threads)


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


def test_a_time_limit_leaves_nothing(tmp_path, processes, monkeypatch):
    job = prepare.plan_job(load_case(CASES / "phantom-type1"), blades=[], progress=lambda step: None)
    monkeypatch.setattr(prepare, "plan_job", lambda *_, **__: job)  # planned before the time runs, and here but once
    with Workers(command=worker(READS + SAYS.partition("readline()\n")[2] + "time.sleep(60)")) as slow:
        with pytest.raises(KernelError, match="ran longer than 0.5 s"):
            psi_cad.build(CASES / "phantom-type1", tmp_path / "out", time_limit=0.5, workers=slow)
        assert not (tmp_path / "out").exists()
        (tmp_path / "kept").mkdir()
        with pytest.raises(KernelError):
            psi_cad.build(CASES / "phantom-type1", tmp_path / "kept", time_limit=0.5, workers=slow)
    assert list((tmp_path / "kept").iterdir()) == []


def test_the_command_says_the_report_as_json(phantom_out):
    said = json.loads((phantom_out.parent / SAID).read_text("utf-8"))
    assert said == json.loads((phantom_out / "report.json").read_text("utf-8"))
    (guide,) = said["guides"]
    assert said["status"] == "passed" and {path.name for path in phantom_out.iterdir()} == {"bone.stl", "report.json", *guide["files"].values()}


@pytest.mark.slow
def test_processes_give_the_same_bytes(phantom_out, tmp_path, process):
    """What the command made in a process with its builder and its inspector, beside the same build within the tests' process."""
    assert psi_cad.build(CASES / "phantom-type1", tmp_path)["status"] == "passed"
    folder = tmp_path / "phantom-type1"
    assert {path.name for path in folder.iterdir()} == {path.name for path in phantom_out.iterdir()}
    for path in phantom_out.iterdir():
        if path.suffix in (".step", ".stl", ".json"):
            assert (folder / path.name).read_bytes() == path.read_bytes(), path.name
    checked = process("check", tmp_path)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture(scope="module")
def ramus(tmp_path_factory):
    """The output folder of a case built for one blade, then into the same folder for another: what was made, and the last report."""
    out = tmp_path_factory.mktemp("one-by-one")
    for blade in ("generic-10x0.6", "generic-10x0.4"):
        report = psi_cad.build(CASES / "phantom-type3", out, blades=[blade])
    return out, report


@pytest.mark.slow
def test_a_variant_is_the_same_alone_and_in_company(ramus, tmp_path):
    alone, _ = ramus
    psi_cad.build(CASES / "phantom-type3", tmp_path, blades=["generic-10x0.6", "generic-10x0.4"])
    for name in ("superior-ramus", "inferior-ramus"):
        for blade in ("0.6", "0.4"):
            for kind in ("step", "stl"):
                file = f"phantom-type3/{name}_generic-10x{blade}.{kind}"
                assert (tmp_path / file).read_bytes() == (alone / file).read_bytes(), file


@pytest.mark.slow
def test_earlier_variants_stay_in_the_report(ramus):
    out, report = ramus
    assert {(g["name"], g["blade"]) for g in report["guides"]} == {
        (name, blade) for name in ("superior-ramus", "inferior-ramus") for blade in ("generic-10x0.6", "generic-10x0.4")
    }
    assert psi_cad.measure(out)["status"] == "passed"


def test_no_process_takes_its_code_from_the_folder_that_the_user_stands_in(phantom_out, tmp_path):
    for name in ("psi_cad/__init__.py", "json.py", "numpy.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('not this one')\n", "utf-8")
    words = (*own.running("psi_cad"), "check", str(phantom_out), "--json")
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert told.returncode == 0 and json.loads(told.stdout)["status"] == "passed", told.stderr
