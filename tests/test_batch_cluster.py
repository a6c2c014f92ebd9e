"""A batch on a Dask scheduler and workers that are started by themselves, one of which dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from conftest import CASES
from distributed import Client

import psi_cad
from psi_cad.batch.expand import Asked
from psi_cad.batch.run import _client, batch, dry_run
from psi_cad.batch.store import Store

pytestmark = pytest.mark.slow
ONE = str(CASES / "phantom-type1")
WAIT_S = 60.0


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler, and its two workers."""
    started = []

    def start(*words):
        started.append(subprocess.Popen([sys.executable, "-m", "dask", *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return started[-1]

    told = tmp_path / "scheduler.json"
    start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(told))
    until = time.monotonic() + WAIT_S
    while not told.is_file() and time.monotonic() < until:
        time.sleep(0.1)
    address = json.loads(told.read_text("utf-8"))["address"]
    workers = [start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
    yield address, workers
    for process in started:
        process.kill()
        process.wait()


def test_two_batches_at_a_time_do_not_meet_at_a_port():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # something else has it: as good
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        with _client(1, None, 1) as client:
            at = client.scheduler_info()["services"]
            assert client.submit(abs, -3).result(timeout=WAIT_S) == 3
            assert at.get("dashboard") != 8787


def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(cluster, tmp_path):
    address, workers = cluster
    asked, killed = Asked((ONE,), (), (), ("params.clearance=0.1,0.15",)), []

    def progress(standing, said):
        stages = list((tmp_path / "o").glob(".psi-cad-batch/stage-*/files/bone.stl"))
        if len(stages) == 2 and not killed:  # both are at work
            workers[0].kill()
            killed.append(workers[0].wait())

    said = batch(asked, tmp_path / "o", scheduler=address, progress=progress)
    assert killed and said["counts"]["done"] == 2 == len({row["job"] for row in said["tasks"]})
    assert not list((tmp_path / "o").glob(".psi*"))
    psi_cad.build(ONE, tmp_path / "alone", settings=["params.clearance=0.1"], suggest=False)
    for path in (tmp_path / "alone" / "phantom-type1").iterdir():
        assert (tmp_path / "o" / "params.clearance-0.1" / "phantom-type1" / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_is_done_is_not_done_again_where_its_worker_dies_later(cluster, tmp_path):
    address, workers = cluster
    killed, stages = [], set()

    def progress(standing, _said):
        stages.update((tmp_path / "o").glob(".psi-cad-batch/stage-*"))
        if standing.ended == 1 and not killed:
            with Client(address, set_as_default=False) as client:
                idle = [where for where, jobs in client.processing().items() if not jobs]
                pids = client.run(os.getpid)
            killed.extend(worker for worker in workers if worker.pid in {pids[where] for where in idle})
            for worker in killed:
                worker.kill()
                worker.wait()

    said = batch(Asked((ONE,), (), (), ("params.clearance=0.1,0.15",)), tmp_path / "o", scheduler=address, progress=progress)
    assert said["counts"]["done"] == 2 and len(killed) == 1 and len(stages) == 2
    assert not list((tmp_path / "o").glob(".psi*"))


def test_ctrl_c_ends_a_batch_within_five_seconds_and_leaves_no_process(tmp_path):
    out = tmp_path / "o"
    words = [sys.executable, "-m", "psi_cad", "batch", ONE, "-o", str(out), "--workers", "1"]
    started = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
    until = time.monotonic() + WAIT_S
    while not list(out.glob(".psi-cad-batch/stage-*")) and time.monotonic() < until:
        time.sleep(0.2)
    below = psutil.Process(started.pid).children(recursive=True)
    begun = time.monotonic()
    started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=WAIT_S)[1]
    assert time.monotonic() - begun < 5.0 and started.returncode == 130 and "Traceback" not in said
    assert "what is whole is written" in said and "nothing was written" not in said
    assert not psutil.wait_procs(below, timeout=5.0)[1]
    assert not list(out.glob(".psi*")) and not list(out.rglob("*.st*"))


def test_a_batch_that_is_killed_leaves_no_process_and_the_next_clears_what_is_not_whole(tmp_path):
    out = tmp_path / "o"
    started = subprocess.Popen([sys.executable, "-m", "psi_cad", "batch", ONE, "-o", str(out), "--workers", "1"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + WAIT_S
    while not list(out.glob(".psi-cad-batch/stage-*/files")) and time.monotonic() < until:
        time.sleep(0.2)
    below = psutil.Process(started.pid).children(recursive=True)
    started.kill()
    started.wait()
    assert not psutil.wait_procs(below, timeout=WAIT_S)[1]
    assert list(out.glob(".psi-cad-batch/stage-*")) and not list(out.glob("[!.]*"))
    assert [row["status"] for row in dry_run(Asked((ONE,)), out)] == ["waiting"]
    with Store(out).held():
        assert not list(out.glob(".psi-cad-batch/stage-*"))
    assert not list(out.glob(".psi*"))
