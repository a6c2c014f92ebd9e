"""A cut that one wall guides: what that costs in angle, which cuts can have it, where its face lies in the files, and files in which it is wrong."""

import json
import math
from types import SimpleNamespace

import cadquery as cq
import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_with, solid_in

import psi_cad
from psi_cad.approval.sheet import sheet_of
from psi_cad.errors import CaseError, DesignError
from psi_cad.guides.params import resolve_params
from psi_cad.guides.registry import load_template
from psi_cad.records.report import BuildReport
from psi_cad.sawing.ledges import refuse_unfit, slot_tilt, tip_moves

STEM = "supra-acetabular_generic-25x0.89"
THICK = 0.89  # of the blade


def test_what_a_slot_allows_is_the_angle_of_its_clearance_over_its_height():
    """The largest turn at which a blade of any thickness fits a slot: its diagonal is the slot's width."""
    for clearance, height in ((0.1, 10.0), (0.15, 10.0), (0.2, 10.0), (0.15, 20.0)):
        turn = math.radians(slot_tilt(clearance, height))
        for thickness in (0.6, 1.27):
            needed = thickness * math.cos(turn) + height * math.sin(turn)
            assert needed == pytest.approx(thickness + clearance, abs=6e-4)
    assert tip_moves(50.0) == pytest.approx(50.0 * math.tan(math.pi / 180.0))


def a_cut(name="A", **changed):
    return SimpleNamespace(**{"name": name, "stops": (), "free": (True, True), "origin": np.zeros(3), **changed})


@pytest.mark.parametrize(
    ("side", "site", "footprint", "said"),
    [
        (1, {"cuts": [a_cut(free=(True, False))]}, 0, "params.ledge = 'specimen': cut 'A' ends on another cut"),
        (-1, {"cuts": [a_cut(stops=(1,))]}, 0, "params.ledge = 'retained': cut 'A' ends on another cut"),
        (-1, {"cuts": [a_cut(), a_cut("B")]}, 0, "params.ledge = 'retained': nothing would join the walls of 'A' and 'B'"),
        (1, {"cuts": [a_cut()]}, -1, "footprint_side = -1 asks for the other"),
        (1, {"cuts": [a_cut()], "graft": 1}, 0, "the faces of a graft have to fit"),
    ],
)
def test_cuts_that_one_wall_cannot_guide_are_refused_by_its_name(side, site, footprint, said):
    with pytest.raises(DesignError, match=said):
        refuse_unfit(SimpleNamespace(**{"graft": None, **site}), side, footprint)


def test_two_cuts_may_have_their_walls_on_the_piece_between_them():
    refuse_unfit(SimpleNamespace(graft=None, cuts=[a_cut(), a_cut("B")]), 1, 1)


@pytest.mark.parametrize(("name", "value"), [("open_end", "back"), ("depth_stop", 60.0), ("depth_scale", 15.0)])
def test_what_it_cannot_go_with_is_refused_by_both_names(name, value):
    params = load_template("osteotomy", where="here").Params
    with pytest.raises(CaseError, match=f"p.ledge = 'specimen' can't go with {name}: .*; leave one of the two out"):
        resolve_params(params, {"ledge": "specimen", name: value}, where="p")
    resolve_params(params, {"ledge": "", name: value}, where="p")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=["params.ledge=retained", "params.wall=2.5"])["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "ledge", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def plane(guide):
    """(origin, along, blade, normal) of the cut as the case gives it, patient frame."""
    slot, axes = guide["plan"]["slots"][0], np.array(guide["plan"]["axes"])
    normal = np.array(slot["normal"]) / np.linalg.norm(slot["normal"])
    blade = np.array(guide["features"][0]["out"]) @ axes
    return np.array(slot["origin"]), np.cross(blade, normal), blade, normal


@pytest.mark.slow
def test_the_face_lies_half_a_blade_from_the_plan_and_nothing_lies_past_it(out, guide):
    """Triangles of the STL against the plane of the case, without the product's measures."""
    origin, along, _, normal = plane(guide)
    mesh = trimesh.load_mesh(out / f"{STEM}.stl")
    off = (mesh.vertices - origin) @ normal
    assert off.max() == pytest.approx(-THICK / 2.0, abs=1e-4)
    flat = (np.abs(off[mesh.faces] + THICK / 2.0) < 1e-3).all(axis=1)
    middles = mesh.triangles_center[flat]
    s = (middles - origin) @ along
    assert np.ptp(s) > 85.0 and mesh.area_faces[flat].sum() > 0.9 * 10.0 * np.ptp(s)


@pytest.mark.slow
def test_nothing_of_a_slot_is_said_of_it(out, guide):
    assert guide["slots"] == [] and not any(check["id"].startswith("slot_") for check in guide["checks"])
    assert not any(line.endswith("c0.15") for line in guide["label"]["lines"]) and "ledge" in " ".join(guide["label"]["lines"])
    (caution,) = (one for one in guide["cautions"] if one["id"] == "one-wall")
    assert "guided by one wall only" in caution["text"]
    (one,) = sheet_of(out, BuildReport.model_validate_json((out / "report.json").read_text("utf-8"))).instruments
    assert one.options[0].startswith("ledge A: ONE wall, on the side of the bone that stays") and "one-wall" in one.cautions
    assert "slot" not in " ".join(one.options)


def block(guide, s, up, off, turn=0.0):
    """What lies between two values along the ledge, along the blade above its top, and past its face into the open."""
    origin, along, blade, normal = plane(guide)
    ledge = guide["features"][0]
    top = max(height_at(guide, value) for value in np.linspace(s[0], s[1], 9)) if up[1] < 100.0 else 0.0
    place = origin + s[0] * along + (top + up[0]) * blade + (ledge["side"] * ledge["off"] + off[0]) * normal
    box = cq.Solid.makeBox(off[1] - off[0], s[1] - s[0], up[1] - up[0]).moved(
        cq.Location(cq.Plane(cq.Vector(*place), cq.Vector(*normal), cq.Vector(*blade)))
    )
    return box.rotate(cq.Vector(*place), cq.Vector(*(place + along)), turn) if turn else box


def height_at(guide, s):
    """Where along the blade the ledge's top is at `s`, from the cut's origin."""
    origin, along, blade, normal = plane(guide)
    ledge = guide["features"][0]
    start = origin + s * along + (ledge["side"] * (ledge["off"] + 0.5)) * normal
    line = cq.Edge.makeLine(cq.Vector(*(start - 80 * blade)), cq.Vector(*(start + 120 * blade)))
    return max((np.array(v.toTuple()) - start) @ blade for v in line.intersect(guide["solid"]).Vertices())


FAULTS = {
    "ledge_angle": lambda s, g: s.cut(block(g, (-80.0, 90.0), (-100.0, 101.0), (0.0, 6.0), turn=-0.02)),
    "ledge_offset": lambda s, g: s.cut(block(g, (-80.0, 90.0), (-100.0, 101.0), (-0.02, 6.0))),
    "ledge_height": lambda s, g: s.cut(block(g, (0.0, 8.0), (-3.0, 20.0), (-6.0, 1.0))),
    "ledge_wall": lambda s, g: s.cut(block(g, (0.0, 3.0), (-5.0, -3.0), (-6.0, -1.5))),
    "ledge_open": lambda s, g: s.fuse(block(g, (0.0, 3.0), (-6.0, -4.0), (-1.0, 0.4))),
    "ledge_hangs": lambda s, g: s.cut(block(g, (30.0, 70.0), (-100.0, 101.0), (-60.0, -2.55))),
    "ledge_covers_bone": lambda s, g: s.cut(block(g, (52.0, 90.0), (-100.0, 101.0), (-4.0, 6.0))),
    "ledge_blade_room": lambda s, g: s.cut(block(g, (2.0, 90.0), (-100.0, 101.0), (-2.6, 6.0))),
    "ledge_reach": lambda s, g: s.fuse(block(g, (0.0, 10.0), (-2.0, 60.0), (-2.0, -0.2))),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_ledge_fails_its_own_check(check, out, guide, tmp_path):
    solid = solid_in(out / f"{STEM}.step")
    failed = failed_with(FAULTS[check](solid, {**guide, "solid": solid}), guide["plan"], out / "bone.stl", tmp_path)
    assert f"{check}[A]" in failed and all(name.startswith(("ledge", "printer_wall", "contact_share", "sliding_lock", "pin")) for name in failed), (
        set(failed)
    )
    origin, along, _, normal = plane(guide)
    off = np.array(failed[f"{check}[A]"].where) - origin
    assert abs(off @ normal) < 4.0 and -60.0 < off @ along < 80.0
