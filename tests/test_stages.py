"""Stages that are kept: found by all that they were made from, bounded, made again where damaged, and never other than made anew."""

import json
import os
import pickle
import time

import cadquery as cq
import numpy as np
import pytest
import trimesh
from conftest import CASES

import psi_cad
from psi_cad.errors import InputError
from psi_cad.stages import disk as disks
from psi_cad.stages import workshop
from psi_cad.stages.digests import digest
from psi_cad.stages.disk import VARIABLE, Disk, own_disk
from psi_cad.stages.told import IN_MEMORY, MADE, ON_DISK, Stages, stage_lines
from psi_cad.stages.workshop import CODE, WORTH_S, Shelf, Workshop
from psi_cad.surface.rays import RayCaster

CALLS = []


def slow_sum(values, *, scale=1.0):
    CALLS.append(scale)
    time.sleep(1.2 * WORTH_S)
    return np.asarray(values) * scale


@pytest.fixture
def disk(tmp_path):
    CALLS.clear()
    return Disk(tmp_path / "cache")


def made(disk, values, **named):
    """As another process would ask for it: nothing is in memory."""
    shop = Workshop(Shelf(disk))
    return shop.made(slow_sum, values, **named), shop.shelf.stages.to_json()[0]


def test_a_piece_is_found_on_disk_by_another_process(disk):
    first, how = made(disk, [1.0, 2.0])
    assert (how["made"], how["found"]) == (1, {})
    again, how = made(disk, [1.0, 2.0])
    assert (how["made"], how["found"]) == (0, {ON_DISK: 1})
    assert np.array_equal(first, again) and len(CALLS) == 1
    made(disk, [1.0, 2.0], scale=2.0)
    made(disk, [1.0, 3.0])
    assert len(CALLS) == 3


def turned_block(size):
    time.sleep(1.2 * WORTH_S)
    block = cq.Solid.makeBox(size, 2.0 * size, 3.0).rotate(cq.Vector(0.1, 0.2, 0.3), cq.Vector(1.3, 0.7, -0.4), 33.3)
    return [block.cut(cq.Solid.makeCylinder(0.7, 9.0, cq.Vector(1.1, 1.3, -4.0), cq.Vector(0.2, -0.1, 1.0))), block]


def test_a_solid_is_the_same_to_the_bit_where_it_is_made_and_where_it_is_found(disk):
    shops = [Workshop(Shelf(one)) for one in (disk, disk, None)]  # made, found on disk, made where nothing is kept
    solids = [shop.made(turned_block, 5.1) for shop in shops]
    assert [list(shop.shelf.stages.to_json()[0]["found"]) for shop in shops] == [[], [ON_DISK], []]
    one, *others = ([pickle.dumps(solid) for solid in each] for each in solids)
    assert others == [one, one]
    assert [pickle.dumps(solid) for solid in turned_block(5.1)] != one, "what it guards against can be seen here"


def entries(disk):
    return sorted(disk.folder.rglob("*.piece"))


@pytest.mark.parametrize("harm", ["cut short", "a bit turned", "empty", "another's whole file"])
def test_a_damaged_piece_is_made_again(disk, harm):
    first, _ = made(disk, [1.0, 2.0])
    (path,) = entries(disk)
    held = bytearray(path.read_bytes())
    if harm == "a bit turned":
        held[-3] ^= 1
    elif harm == "another's whole file":
        held = bytearray(disks.hashlib.sha256(b"no pickle").digest() + b"no pickle")
    path.write_bytes({"cut short": bytes(held[:-5]), "empty": b""}.get(harm, bytes(held)))
    again, how = made(disk, [1.0, 2.0])
    assert how["made"] == 1 and np.array_equal(first, again)
    assert made(disk, [1.0, 2.0])[1]["found"] == {ON_DISK: 1}, "what was made again is whole"


def test_another_process_goes_on_with_what_was_made_for_a_build_and_with_no_more(disk):
    one, other = Shelf(), Shelf()
    Workshop(one).made(slow_sum, [1.0, 2.0])
    one.begin()
    Workshop(one).made(slow_sum, [3.0])
    other.take(pickle.loads(pickle.dumps(one.given())))
    CALLS.clear()
    assert Workshop(other).made(slow_sum, [3.0]) == np.array([3.0]) and not CALLS
    Workshop(other).made(slow_sum, [1.0, 2.0])
    assert len(CALLS) == 1


def test_other_code_makes_other_pieces(disk, monkeypatch):
    made(disk, [1.0])
    monkeypatch.setattr(disks, "code_sha256", lambda: b"other")
    made(disk, [1.0])
    assert len(CALLS) == 2
    shop = Workshop()
    shop.made(slow_sum, [1.0])
    monkeypatch.setitem(globals(), CODE, "a template that has changed on disk")
    shop.made(slow_sum, [1.0])
    assert len(CALLS) == 4


def test_the_disk_is_bounded_and_what_was_used_longest_ago_goes(tmp_path):
    disk = Disk(tmp_path / "cache", most=100_000)
    for number in range(12):
        disk.write(bytes([number]), bytes(10_000))
        path = disk._path(bytes([number]))
        if path.exists():
            os.utime(path, (number, number))
        if number == 5:
            assert disk.read(bytes([0])) is not None  # used just now
    disk.trim()
    assert sum(path.stat().st_size for path in entries(disk)) <= 100_000
    assert disk.read(bytes([0])) is not None and disk.read(bytes([1])) is None and disk.read(bytes([11])) is not None


def test_memory_is_bounded():
    shelf = Shelf(most=25_000)
    for number in range(5):
        shelf.piece("block", {"n": bytes([number])}, lambda: np.zeros(1250))
    assert [shelf._found(key, False)[1] for key in list(shelf._pieces)] == [IN_MEMORY, IN_MEMORY]


def test_a_disk_that_cannot_be_written_to_keeps_nothing_and_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way", "utf-8")
    CALLS.clear()
    disk = Disk(tmp_path / "file" / "cache")
    assert made(disk, [1.0])[1]["made"] == made(disk, [1.0])[1]["made"] == 1


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner's number here")
def test_a_folder_of_somebody_else_or_of_everybody_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    with pytest.raises(InputError, match=VARIABLE):
        Disk(tmp_path)
    monkeypatch.undo()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(InputError, match="everybody may write"):
        Disk(tmp_path / "open")
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    assert own_disk() is None, "nobody asked for it"
    monkeypatch.setenv(VARIABLE, "OFF")
    assert own_disk() is None


def test_rays_are_digested_once_and_others_of_the_same_kind_are_told_apart(monkeypatch):
    made, asked = Workshop(), []
    monkeypatch.setattr(workshop, "digest", lambda *values: asked.append(values) or digest(*values))
    ball, other = (RayCaster(trimesh.creation.icosphere(subdivisions=2, radius=radius)) for radius in (10.0, 11.0))
    for caster in (ball, ball, other, ball):
        made.made(corners_of, caster)
    assert sum(values[0] in (ball, other) for values in asked) == 2
    assert [(one["made"], one["found"]) for one in made.shelf.stages.to_json()] == [(2, {IN_MEMORY: 2})]


def corners_of(caster):
    return caster.corners


def test_why_a_stage_was_made_is_told():
    stages = Stages()
    stages.begin()
    stages.of = "one"
    stages.tell("body", {"seat": b"1", "wall_of_it": b"2"}, MADE, 1.0)
    assert "nothing like it" in stages.to_json()[0]["why"]
    stages.begin()
    stages.of = "one"
    stages.tell("body", {"seat": b"1", "wall_of_it": b"3"}, MADE, 1.0)
    assert stages.to_json()[0]["why"] == "other wall of it"
    assert stage_lines(stages.to_json())[1].split() == ["body", "one", "1", "1.00", "other", "wall", "of", "it"]
    stages.begin()
    stages.of = "one"
    stages.tell("body", {"seat": b"1", "wall_of_it": b"3"}, IN_MEMORY, 0.0)
    assert stages.to_json()[0] == {"of": "one", "stage": "body", "made": 0, "found": {IN_MEMORY: 1}, "seconds": 0.0, "why": ""}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def how(stages, name):
    """Whether any stage of that name was made, and whether any was found."""
    ours = [stage for stage in stages if stage["stage"] == name]
    return any(stage["made"] for stage in ours), any(stage["found"] for stage in ours)


CASE = CASES / "phantom-type1" / "case.toml"
NEW = ["params.clearance=0.12"]


@pytest.mark.slow
def test_a_change_remakes_what_it_touches_and_gives_the_same_bytes(processes, tmp_path, monkeypatch):
    anew = tmp_path / "anew"
    psi_cad.build(CASE, anew, settings=NEW, suggest=False)
    with psi_cad.Session() as session:
        session.build(CASE, tmp_path / "first")
        again = session.build(CASE, tmp_path / "again")
        assert how(again.stages, "body") == (False, True) and not any(stage["made"] for stage in again.stages), "nothing has changed"
        changed = session.build(CASE, tmp_path / "changed", settings=NEW)
        assert how(changed.stages, "read the bone") == how(changed.stages, "ground") == (False, True)
        assert how(changed.stages, "body") == (True, False)
        named = session.build(CASE, tmp_path / "named", settings=NEW, variant="tight")
        assert how(named.stages, "body") == (False, True), "another label, and the same body"
        moved = session.build(CASE, tmp_path / "moved", settings=[f"cut.A.origin={origin_moved()}"])
        assert how(moved.stages, "read the bone") == (False, True) and how(moved.stages, "ground") == (True, False)
    assert files(tmp_path / "first") == files(tmp_path / "again")
    assert files(tmp_path / "changed") == files(anew)
    # and so does what other processes left on disk
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    psi_cad.build(CASE, tmp_path / "other", suggest=False)
    stages = []
    psi_cad.build(CASE, tmp_path / "found", settings=NEW, suggest=False, stages=stages)
    assert how(stages, "read the bone") == how(stages, "shells") == (False, True) and how(stages, "body") == (True, False)
    assert files(tmp_path / "found") == files(anew)
    stages = []
    psi_cad.build(CASE, tmp_path / "all", settings=NEW, suggest=False, stages=stages)
    assert how(stages, "body") == (False, True) and how(stages, "shells") == (False, False)
    assert files(tmp_path / "all") == files(anew)


def origin_moved():
    x, y, z = psi_cad_cut()
    return json.dumps([x, y, z + 1.0])


def psi_cad_cut():
    from psi_cad.case.load import load_case

    (cut,) = [cut for cut in load_case(CASE).case.cut if cut.name == "A"]
    return cut.plane[0].tolist()
