"""One finder for each kind of feature: what is measured is what gets its name in the STEP file."""

import dataclasses
import importlib
import json
import os
import pkgutil
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass

import cadquery as cq
import numpy as np
import pytest

from psi_cad.errors import DesignError, InputError
from psi_cad.processes.nursery import can_fork
from psi_cad.promises.expected import Expected
from psi_cad.readback import part as part_room
from psi_cad.readback.faces import AS_DRAWN
from psi_cad.readback.part import Part
from psi_cad.verify import features
from psi_cad.verify.features import pin, slot
from psi_cad.verify.features.bore import Bore
from psi_cad.verify.features.feature import feature_from_json, kind_of, told
from psi_cad.verify.features.gap import Gap
from psi_cad.verify.features.names import named_faces
from psi_cad.verify.features.web import Web

STEM = "supra-acetabular_generic-25x0.89"
GAP = Gap("wide", (1.0, 2.0, 3.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), 1.04, 20.0, 10.0)


@pytest.fixture(scope="module")
def guide(phantom_out):
    """The solid in the patient frame as its STEP file holds it, its plan, and the file."""
    path = phantom_out / f"{STEM}.step"
    plan = json.loads((phantom_out / "report.json").read_text("utf-8"))["guides"][0]["plan"]
    return cq.Solid(cq.importers.importStep(str(path)).val().Solids()[0].wrapped), Expected.from_json(plan), path


def moved_plan(expected, by):
    """The plan with its cut `by` mm further along its normal."""
    first = expected.slots[0]
    origin = tuple(float(v) for v in np.array(first.origin) + by * np.array(first.normal))
    return dataclasses.replace(expected, slots=(dataclasses.replace(first, origin=origin), *expected.slots[1:]))


def test_the_names_in_the_file_are_those_of_the_finders(guide):
    solid, expected, path = guide
    found = named_faces(solid, expected)
    text = path.read_text("latin-1")
    in_file = Counter(name for name in re.findall(r"ADVANCED_FACE\('([^']*)'", text) if name)
    assert {name: len(faces) for name, faces in found.items()} == in_file
    assert set(found) == {"slot A specimen side", "slot A retained side", "seat", "pin hole"}


def test_what_has_a_name_is_what_is_measured(guide):
    _, expected, path = guide
    part = Part(path, expected.frame)
    named = slot.find(expected.slots[0], part.faces, expected, within=AS_DRAWN)
    near = slot.find(expected.slots[0], part.faces, expected, within=slot.NEAR)
    for sign in (1.0, -1.0):
        assert named[sign] and {id(face) for face, *_ in named[sign]} <= {id(face) for face, *_ in near[sign]}
        assert all(sign * float(outward @ expected.plane_of(expected.slots[0])[1]) < -0.999 for _, _, outward in named[sign])
    assert len(pin.measure(part, expected)[0]) == expected.pins


def test_a_slot_that_lies_elsewhere_has_no_name_but_is_still_measured(guide):
    solid, expected, path = guide
    other = moved_plan(expected, 0.3)
    assert not [name for name in named_faces(solid, other) if name.startswith("slot")]
    part = Part(path, other.frame)
    assert all(slot.find(other.slots[0], part.faces, other, within=slot.NEAR).values())
    far = moved_plan(expected, 9.0)
    assert not all(slot.find(far.slots[0], part.faces, far, within=slot.NEAR).values())


def test_a_slot_beside_its_plane_for_the_kerf_has_its_names(guide):
    solid, expected, _ = guide
    first = moved_plan(expected, -0.4).slots[0]
    aside = dataclasses.replace(expected, slots=(dataclasses.replace(first, shift=0.4),))
    assert {name for name in named_faces(solid, aside) if name.startswith("slot")} == {"slot A specimen side", "slot A retained side"}


KINDS = [module.name for module in pkgutil.iter_modules(features.__path__)]


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("feature", "names")])
def test_every_kind_finds_measures_and_checks(name):
    kind = importlib.import_module(f"psi_cad.verify.features.{name}")
    assert {"find", "measure", "checks"} <= set(kind.__all__)


@pytest.mark.parametrize(
    "feature", [GAP, Bore("b", (0.0, 0.0, 1.0), (0.0, 0.0, 1.0), 2.1), Web("w", (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), 2.0)], ids=lambda f: f.name
)
def test_a_promise_survives_a_report(feature):
    assert feature_from_json(json.loads(json.dumps({**told(feature), "width_mm": 3.0}))) == feature


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "feature"}, {"kind": "../gap"}, {**told(GAP), "kind": "../../errors"}, {"kind": "gap"}, {"name": "x"}, {**told(GAP), "kind": "hole"}],
    ids=str,
)
def test_a_promise_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match="features"):
        feature_from_json(wrong)


def test_a_kind_that_nobody_can_measure_is_refused():
    @dataclass(frozen=True)
    class Hinge:
        name: str

    with pytest.raises(DesignError, match="'Hinge' is no kind of feature"):
        kind_of(Hinge("h"))


def test_a_file_is_read_as_it_is_and_only_where_it_is_not_sound_as_readers_mend_it(guide, tmp_path, monkeypatch):
    _, expected, path = guide
    asked, read = [], part_room._read
    monkeypatch.setattr(part_room, "_read", lambda path, *, mended: asked.append(mended) or read(path, mended=mended))
    assert Part(path, expected.frame).valid and asked == [False]
    two = cq.Compound.makeCompound([cq.Solid.makeBox(1.0, 1.0, 1.0), cq.Solid.makeBox(1.0, 1.0, 1.0, cq.Vector(5.0, 0.0, 0.0))])
    cq.exporters.export(cq.Workplane(two), str(tmp_path / "two.step"))
    assert Part(tmp_path / "two.step", expected.frame).solid_count == 2 and asked == [False, False, True]
    asked.clear()
    sound = iter([False, True])  # of what was read first, and of what was read then
    monkeypatch.setattr(part_room.BRepCheck_Analyzer, "IsValid", lambda _self: next(sound))
    assert Part(path, expected.frame).valid and asked == [False, True]


def test_what_was_measured_before_a_solid_was_found_unsound_is_measured_again(guide, monkeypatch):
    _, expected, path = guide
    monkeypatch.setenv("PSI_CAD_CORES", "1")
    asked, read, sound = [], part_room._read, iter([False, True])
    monkeypatch.setattr(part_room, "_read", lambda path, *, mended: asked.append(mended) or read(path, mended=mended))
    monkeypatch.setattr(part_room.BRepCheck_Analyzer, "IsValid", lambda _self: next(sound))
    part = Part(path, expected.frame, judged=False)
    part.warm()
    first = part.faces
    assert asked == [False]
    assert not part.settle() and asked == [False, True]
    assert part.valid and part.settle() and part.faces is not first


@pytest.mark.skipif(not can_fork(), reason="processes cannot be copied on this system")
@pytest.mark.parametrize("dies", [False, True])
def test_a_copy_sees_whether_a_solid_is_sound_and_its_death_changes_nothing(guide, monkeypatch, dies):
    _, expected, path = guide
    monkeypatch.delenv("PSI_CAD_CORES", raising=False)
    part = Part(path, expected.frame, judged=False)
    if dies:  # before it has answered
        monkeypatch.setattr(part_room, "_sound", lambda _solid: time.sleep(60.0))
    part.warm()
    assert part._copy is not None
    if dies:
        os.kill(part._copy._pid, signal.SIGKILL)
    monkeypatch.setattr(part_room, "_sound", lambda _solid: "met here")
    assert part.valid == ("met here" if dies else True)
    assert part._copy is None
