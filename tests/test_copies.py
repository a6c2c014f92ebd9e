"""A copy of a process that works beside it, and the artist that draws in one."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import trimesh
from conftest import CASES

import psi_cad
from psi_cad.drawing import artist as drawing
from psi_cad.drawing.artist import Artist
from psi_cad.frames import Frame
from psi_cad.processes.copies import Copy
from psi_cad.processes.nursery import can_fork

forks = pytest.mark.skipif(not can_fork(), reason="processes cannot be copied on this system")

BONE = trimesh.creation.icosphere(subdivisions=3, radius=30.0)
GUIDE = trimesh.creation.box((20.0, 12.0, 6.0), trimesh.transformations.translation_matrix((0.0, 0.0, 32.0)))
FRAME = Frame(origin=np.array([0.0, 0.0, 30.0]), axes=np.eye(3))
# in a process of its own, as a builder is: one that runs tests has threads, which no copy has
DRAW = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_copies import BONE, FRAME, GUIDE
from psi_cad.drawing.artist import Artist
with Artist(BONE, None) as artist:
    if {copied}:
        artist.start()
        assert artist._copy is not None
    for name in ("one", "two"):
        begun = artist.begin(GUIDE, FRAME, {{"title": name}})
        if {dies} and artist._copy is not None:
            os.kill(artist._copy._pid, 9)
        begun.saved(Path({folder!r}) / f"{{name}}.png", marks=(), arrows=())
    print(json.dumps("left" if artist._copy is not None else "alone"))
"""


def drawn(folder, *, copied, dies=False):
    """The bytes of two pictures, and what became of the copy."""
    folder.mkdir()
    code = DRAW.format(here=str(Path(__file__).parent), folder=str(folder), copied=copied, dies=dies)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return [(folder / f"{name}.png").read_bytes() for name in ("one", "two")], json.loads(done.stdout)


@forks
def test_a_copy_draws_what_its_process_would(tmp_path):
    alone, _ = drawn(tmp_path / "alone", copied=False)
    copied, said = drawn(tmp_path / "copied", copied=True)
    assert said == "left"
    assert copied == alone


@forks
def test_what_a_copy_that_died_had_begun_is_drawn_all_the_same(tmp_path):
    alone, _ = drawn(tmp_path / "alone", copied=False)
    without, said = drawn(tmp_path / "without", copied=True, dies=True)
    assert said == "alone"
    assert without == alone


def test_on_one_core_there_is_no_copy(monkeypatch):
    monkeypatch.setenv("PSI_CAD_CORES", "1")
    with Artist(BONE, None) as artist:
        artist.start()
        assert artist._copy is None


def test_without_copies_the_artist_draws_itself(tmp_path, monkeypatch):
    def none(_):
        raise OSError("no room")

    monkeypatch.setattr(drawing, "Copy", none)
    monkeypatch.delenv("PSI_CAD_CORES", raising=False)
    with Artist(BONE, None) as artist:
        artist.start()
        artist.begin(GUIDE, FRAME, {"title": "one"}).saved(tmp_path / "one.png", marks=(), arrows=())
    assert (tmp_path / "one.png").is_file()


COPY = """
import os, sys, time
from psi_cad.processes.copies import Copy

def serve(line):
    line.send(os.getpid())
    while True:
        line.send(line.recv() + 1)

copy = Copy(serve)
print(copy.hear(), flush=True)
copy.say(41)
print(copy.hear(), flush=True)
sys.stdin.readline()
"""


@forks
def test_a_copy_answers_and_ends_with_its_process_however_that_ends():
    with subprocess.Popen([sys.executable, "-c", COPY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "42\n"
        assert psutil.pid_exists(pid)
        process.kill()
        rest = process.stdout.read()  # ends only if the copy holds that line no more
    assert rest == ""
    until = time.monotonic() + 10.0
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_where_processes_cannot_be_copied_that_is_said(monkeypatch):
    monkeypatch.setattr("psi_cad.processes.copies.can_fork", lambda: False)
    with pytest.raises(OSError, match="cannot be copied"):
        Copy(lambda line: None)


@pytest.mark.slow
def test_a_build_on_one_core_gives_the_same_bytes(processes, tmp_path, monkeypatch):
    found = []
    for name, cores in (("all", None), ("one", "1")):
        monkeypatch.delenv("PSI_CAD_CORES", raising=False)
        if cores is not None:
            monkeypatch.setenv("PSI_CAD_CORES", cores)
        psi_cad.build(CASES / "phantom-type1" / "case.toml", tmp_path / name, suggest=False)
        found.append({path.name: path.read_bytes() for path in sorted((tmp_path / name / "phantom-type1").iterdir())})
    assert found[0] == found[1] and any(name.endswith(".png") for name in found[0])
