"""Stepped and Z-shaped resections: cuts of several groups end on each other, and so do their slots."""

import json
import shutil

import cadquery as cq
import numpy as np
import pytest
from built_once import built_once
from conftest import CASES
from shapes import block, planned

import psi_cad
from psi_cad.export.step import write_step
from psi_cad.files import sha256_of
from psi_cad.frames import Frame
from psi_cad.guides.cuts import site_cut
from psi_cad.resection.corners import corner_line, past_corners, sawn_past
from psi_cad.resection.margins import cut_margin
from psi_cad.scene.nearest import Surface

CASE = CASES / "phantom-step"
SLANT = [("A", (-20, 0, -5), (0.03, 0.1, 1)), ("B", (0, 0, 0), (-1, 0.1, 0.2)), ("C", (20, 0, 5), (0.03, -0.1, 1))]
SQUARE = [("A", (-20, 0, -5), (0, 0, 1)), ("B", (0, 0, 0), (-1, 0, 0)), ("C", (20, 0, 5), (0, 0, 1))]
FAULTS = ("slot_past",)  # as the last test plants it
GROUPS = {"A": "1", "B": "1", "C": "2"}


def in_guide(cuts, names):
    """The cuts of a guide that looks at the bar from the front, by name."""
    frame = Frame.from_z(origin=np.array([0.0, -20.0, 0.0]), z=np.array([0.0, -1.0, 0.0]), x_near=np.array([1.0, 0.0, 0.0]))
    own = [cuts[name] for name in names]
    return {cut.name: site_cut(frame, cut, own, list(cuts.values())) for cut in own}


@pytest.mark.parametrize("planes", [SQUARE, SLANT])
def test_cuts_of_a_step_end_on_each_other(planes):
    _, cuts = planned(block(120, 40, 60), planes, groups=GROUPS)
    found = in_guide(cuts, "ABC")
    names = list(found)
    ends = {name: {names[number]: end for number, end in (*cut.neighbours, *cut.beside)} for name, cut in found.items()}
    assert {name: set(others) for name, others in ends.items()} == {"A": {"B"}, "B": {"A", "C"}, "C": {"B"}}
    assert ends["B"]["A"] == -ends["B"]["C"] and [sum(cut.free) for cut in found.values()] == [1, 0, 1]
    assert all(not cut.stops for cut in found.values())


def test_a_slot_stops_where_another_guide_saws_the_other_cut():
    _, cuts = planned(block(120, 40, 60), SQUARE, groups=GROUPS)
    front, back = in_guide(cuts, "AB"), in_guide(cuts, "C")
    assert front["B"].neighbours and not front["B"].beside and len(front["B"].stops) == 1
    assert back["C"].free == (True, True) and len(back["C"].stops) == 1 and back["C"].joined == ()
    low, high = back["C"].low, back["C"].high
    at_corner = low if back["C"].stops == (-1,) else high
    assert float((back["C"].origin + at_corner * back["C"].along)[0]) == pytest.approx(0.0, abs=1e-6), "at the plane of B"


def test_cuts_far_apart_stop_nothing():
    _, cuts = planned(block(120, 40, 60), [("A", (-30, 0, 0), (-1, 0, 0)), ("C", (30, 0, 0), (1, 0, 0))], groups={"A": "1", "C": "2"})
    assert all(cut.free == (True, True) and not cut.stops for cut in in_guide(cuts, "AC").values())


def test_cuts_of_one_group_join_as_before():
    _, cuts = planned(block(120, 40, 60), SQUARE[:2])
    found = in_guide(cuts, "AB")
    assert [len(cut.neighbours) for cut in found.values()] == [1, 1] and not any(cut.beside or cut.stops for cut in found.values())


def tilted(degrees):
    """A seating axis before the bar, turned upwards from the corner's own line, which runs straight to the front."""
    return np.array([0.0, -np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def test_a_blade_that_leans_from_the_corner_goes_past_it_as_deep_as_the_bone_is():
    """B, in the plane x = 0, ends on C at z = 5, and the bar is 40 mm deep: leaning by an angle, the blade comes out 40 tan of it further."""
    _, cuts = planned(block(120, 40, 60), SQUARE, groups=GROUPS)
    every = list(cuts.values())
    assert sawn_past(cuts["B"], every, tilted(0.0))[0] == pytest.approx(0.0, abs=1e-6)
    for degrees in (5.0, -10.0):
        past, place = sawn_past(cuts["B"], every, tilted(degrees))
        assert past == pytest.approx(40.0 * np.tan(np.radians(abs(degrees))), abs=0.3) and place[2] == pytest.approx(5.0 + past, abs=0.3)
    assert sawn_past(cuts["A"], every, tilted(10.0)) == (0.0, None), "A ends on B, of its own group"
    assert abs(corner_line(cuts["B"], every)) == pytest.approx([0.0, 1.0, 0.0])
    assert corner_line(cuts["A"], every) is None
    assert not list(past_corners([cuts["A"], cuts["B"]], cuts, tilted(1.0)))
    (told,) = past_corners([cuts["A"], cuts["B"]], cuts, tilted(5.0))
    assert "cut 'B' goes 3.5 mm past its corner" in str(told) and "[0.000, -1.000, 0.000]" in str(told).replace("[-0.000", "[0.000").replace(
        ", -0.000]", ", 0.000]"
    )


def test_a_margin_counts_what_a_blade_may_go_past_a_corner_without_run_out():
    """Above C, which B ends on at z = 5, lies a tumour 2.4 mm above the corner: a blade that goes 1 mm past it leaves 1.4."""
    _, cuts = planned(block(120, 40, 60), SQUARE, groups=GROUPS)
    tumour = Surface(block(6, 6, 6, at=(0, 0, 5 + 2.4 + 3)))
    assert cut_margin(cuts["B"], tumour, run_out=0.0).nearest.distance == pytest.approx(1.4, abs=0.01)
    assert cut_margin(cuts["B"], tumour, run_out=2.0).nearest.distance == pytest.approx(0.4, abs=0.01)
    assert cuts["A"].past == 0.0 and cuts["B"].past == pytest.approx(1.0)
    _, slant = planned(block(120, 40, 60), [SQUARE[0], SQUARE[1], ("C", (20, 0, 5), (np.sin(np.pi / 6), 0, np.cos(np.pi / 6)))], groups=GROUPS)
    assert slant["B"].past == pytest.approx(1.0 / np.cos(np.pi / 6)), "as deep into the other piece is farther along"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return built_once(tmp_path_factory, "steps", lambda folder: psi_cad.build(CASE, folder)) / "phantom-step"


@pytest.mark.slow
def test_a_z_is_one_guide_whose_slots_open_into_each_other(out):
    (guide,) = json.loads((out / "report.json").read_text("utf-8"))["guides"]
    assert guide["status"] == "passed"
    past = {check["id"]: check["value"] for check in guide["checks"] if check["id"].startswith("slot_past")}
    assert set(past) == {"slot_past[A]", "slot_past[B]", "slot_past[C]"} and max(past.values()) <= 0.05
    assert {slot["name"]: set(slot["joined"]) for slot in guide["plan"]["slots"]} == {"A": {"B"}, "B": {"A", "C"}, "C": {"B"}}


def inside(solid, point):
    return solid.isInside(cq.Vector(*map(float, point)))


@pytest.mark.slow
def test_the_way_is_open_at_both_corners_and_shut_past_them(out):
    """Along each slot, half-way up the fence: open at the corner, and wall a little past the other slot."""
    solid = cq.importers.importStep(str(out / "step_generic-10x0.6.step")).val()
    top = {}
    for name, y, z in (("A", -10.0, 35.0), ("C", 10.0, 50.0)):
        walls = [x for x in np.arange(-140.0, -60.0, 0.5) if inside(solid, (x, y, z + 1.3))]
        top[name] = min(walls) + 3.0  # three millimetres below the fence's top, towards the bone
    for x, y, z in ((top["C"], 0.0, 50.0), (top["A"], 0.0, 35.0), (top["C"], 3.0, 50.0), (top["A"], -3.0, 35.0)):
        assert not inside(solid, (x, y, z))
    assert inside(solid, (top["C"], -1.4, 50.0)), "the slot of C does not go on past that of B, into the specimen"
    assert inside(solid, (top["A"], 1.4, 35.0)), "the slot of A does not go on past that of B, into bone that stays"


@pytest.mark.slow
def test_a_slot_that_goes_on_past_its_corner_fails(out, tmp_path):
    there = tmp_path / "there"
    shutil.copytree(out, there)
    step = there / "step_generic-10x0.6.step"
    solid = cq.importers.importStep(str(step)).val()
    longer = cq.Solid.makeBox(60.0, 6.0, 0.75, cq.Vector(-135.0, -5.0, 50.0 - 0.375))
    write_step(step, cq.Solid(solid.cut(longer).Solids()[0].wrapped), product="changed", faces={}, software="test")
    report = json.loads((there / "report.json").read_text("utf-8"))
    report["guides"][0]["sha256"][step.name] = sha256_of(step)
    (there / "report.json").write_text(json.dumps(report), "utf-8")
    (found,) = psi_cad.measure(there)["guides"]
    assert "slot_past[C]" in {check["id"] for check in found["checks"] if not check["passed"]}
