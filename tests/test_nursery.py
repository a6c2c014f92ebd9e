"""Processes that are forked of one that has loaded what they need: their ends are told, and none outlives the nursery or its caller."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from psi_cad.errors import BuildError
from psi_cad.processes.nursery import Nursery, can_fork
from psi_cad.processes.workers import WORKER, Workers

pytestmark = pytest.mark.skipif(not can_fork(), reason="the system forks no processes that can be waited for")

# answers a line with its own id and that of its parent, sleeps at "hang", ends with a code at a number
SERVES = """
import json, os, sys, time
from psi_cad.processes.nursery import tend

def run(verb, requests, answers):
    out = os.fdopen(answers, "w")
    for line in os.fdopen(requests):
        if line.strip() == "hang":
            time.sleep(60)
        if line.strip().isdigit():
            os._exit(int(line))
        out.write(json.dumps([verb, os.getpid(), os.getppid()]) + "\\n")
        out.flush()

time.sleep(float(sys.argv[1]))
tend(int(sys.argv[2]), run)
"""


@pytest.fixture
def nurseries():
    """Makes nurseries that are ready after some seconds; ends them and closes the pipes of their own."""
    every = []

    def made(seconds=0):
        every.append(Nursery((sys.executable, "-c", SERVES, str(seconds)), around=os.environ))
        return every[-1]

    yield made
    for one in every:
        one.close()
        for child in one._children.values():
            child.stdout.close()
            with suppress(BrokenPipeError):
                child.stdin.close()


@pytest.fixture
def nursery(nurseries):
    return nurseries()


def asked(child, word="who"):
    child.stdin.write(word.encode() + b"\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline())


def gone(pid, *, within=10.0):
    until = time.monotonic() + within
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_two_are_forked_of_one_and_their_ends_are_told(nursery):
    one, two = nursery.start("build"), nursery.start("inspect")
    (verb_1, pid_1, parent_1), (verb_2, pid_2, parent_2) = asked(one), asked(two)
    assert (verb_1, verb_2) == ("build", "inspect") and pid_1 != pid_2
    assert parent_1 == parent_2 == nursery._process.pid
    one.stdin.write(b"7\n")
    one.stdin.flush()
    assert one.wait() == 7 and two.poll() is None
    two.kill()
    assert two.wait() == -signal.SIGKILL
    assert asked(nursery.start("build"))[2] == parent_1, "the next comes of the same one"


def test_one_that_is_hung_up_ends_by_itself(nursery):
    child = nursery.start("build")
    asked(child)
    child.stdin.close()
    assert child.wait() == 0


def test_no_process_outlives_its_nursery(nursery):
    child = nursery.start("build")
    pid = asked(child)[1]
    child.stdin.write(b"hang\n")
    child.stdin.flush()
    os.kill(nursery._process.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and gone(pid)
    assert not nursery.alive
    assert nursery.start("build").wait() == -signal.SIGKILL, "nobody waits for one that never comes"


def test_what_is_not_there_yet_can_be_ended(nurseries):
    child, begun = nurseries(seconds=60).start("build"), time.monotonic()
    child.kill()
    assert child.wait() == -signal.SIGKILL and time.monotonic() - begun < 20.0


def test_all_end_with_a_caller_that_is_killed():
    """Also one that hangs in the kernel and reads nothing."""
    code = (
        "import os, sys, time\n"
        "from psi_cad.processes.nursery import Nursery\n"
        f"made = Nursery((sys.executable, '-c', {SERVES!r}, '0'), around=os.environ)\n"
        "child = made.start('build')\n"
        "child.stdin.write(b'who\\n'); child.stdin.flush()\n"
        "print(child.stdout.readline().decode(), flush=True)\n"
        "child.stdin.write(b'hang\\n'); child.stdin.flush()\n"
        "time.sleep(60)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8")
    _, pid, parent = json.loads(caller.stdout.readline())
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert gone(parent) and gone(pid)


def test_builder_and_inspector_are_the_children_of_one_that_loaded_the_kernel(tmp_path):
    """And after an error the next request has a builder without loading it again."""
    with Workers() as workers:
        for _ in range(2):
            with pytest.raises(BuildError):  # a payload that is no job ends the builder
                workers.perform("build", {"folder": str(tmp_path)}, payload=lambda: 7)
        assert workers._command == WORKER and workers._nursery is not None and workers._nursery.alive
        inside = psutil.Process(workers._nursery._process.pid)
        assert len(workers._nursery._children) >= 3, "two builders and an inspector at least"
    assert not inside.is_running() or inside.status() == psutil.STATUS_ZOMBIE


def test_what_draws_on_paper_is_loaded_when_it_is_used(tmp_path):
    """A build does not load it; a template of a user's own may."""
    code = (
        "import sys\n"
        "from psi_cad.processes.loading import without_vtk\n"
        "without_vtk()\n"
        "import cadquery as cq\n"
        "assert 'ezdxf' not in sys.modules\n"
        "cq.exporters.export(cq.Workplane().rect(3.0, 2.0), sys.argv[1])\n"
        "(face,) = cq.importers.importDXF(sys.argv[1]).vals()\n"
        "print(round(face.Area(), 6))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "drawing.dxf")], capture_output=True, encoding="utf-8", check=False)
    assert done.stdout.strip() == "6.0", done.stderr
