"""Metal sleeves for slots: which suit a blade and a cut, where their pockets lie in the files, and files in which one is wrong."""

import dataclasses
import json
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
from psi_cad.case.load import load_case
from psi_cad.case.sleeves import SlotSleeve
from psi_cad.errors import CaseError, CatalogueError, DesignError
from psi_cad.options import liner as kind
from psi_cad.options.liner import Liner
from psi_cad.records.report import BuildReport
from psi_cad.sawing.liners import _refuse_unfit

SIZES = {"length": 108.0, "width": 4.0, "height": 12.0, "corner": 1.0, "slot_length": 102.0, "slot_width": 1.01}
ENTRY = {"id": "mine-100", **SIZES, "nominal": False, "reference": "made up for a test"}
BLADE = SimpleNamespace(id="b", thickness=0.89, room=45.0)
FIT = 0.04


def catalogue(folder, **changed):
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in {**ENTRY, **changed}.items())
    path = folder / "mine.toml"
    path.write_text(f"[[slot_sleeve]]\n{text}\n")
    return path


def test_a_sleeve_that_nobody_entered_is_refused_and_one_that_is_odd_too(tmp_path):
    with pytest.raises(CatalogueError, match="there is no slot sleeve 'mine-100'; psi-cad comes with none; enter yours in a catalogue"):
        load_case(CASES / "phantom-type1", settings=["guide.slot_sleeve=mine-100"])
    with pytest.raises(CatalogueError, match="there is no slot sleeve 'other'; your catalogue has mine-100"):
        load_case(CASES / "phantom-type1", settings=["guide.slot_sleeve=other"], catalogue=catalogue(tmp_path))
    for key, value, said in (("slot_width", 4.0, "not less than the sleeve's own width"), ("corner", 2.5, "more than half the sleeve's width")):
        with pytest.raises((CaseError, CatalogueError), match=said):
            load_case(CASES / "phantom-type1", catalogue=catalogue(tmp_path, **{key: value}))


def test_a_guide_holds_its_sleeve_by_value_and_a_template_that_takes_none_refuses_it(tmp_path):
    loaded = load_case(CASES / "phantom-type1", settings=["guide.slot_sleeve=mine-100"], catalogue=catalogue(tmp_path))
    assert loaded.case.guide[0].slot_sleeve == SlotSleeve(**ENTRY)
    with pytest.raises(CaseError, match="template 'drill' takes no metal sleeve"):
        psi_cad.validate(CASES / "phantom-drill", catalogue=catalogue(tmp_path), settings=["guide.slot_sleeve=mine-100"])


@pytest.mark.parametrize(
    ("changed", "clearance", "height", "said"),
    [
        ({}, 0.15, 10.0, "leaves blade 'b' 0.12 mm, and params.clearance = 0.15; set clearance to what the sleeve leaves"),
        ({"height": 9.0}, 0.12, 10.0, "it guides the blade over 9 mm, and params.height = 10"),
        ({"slot_length": 40.0}, 0.12, 10.0, "its slot is 40 mm long, and blade 'b' needs 45 mm to swing"),
        ({"width": 3.0}, 0.12, 10.0, "only 0.99 mm of it lie round its slot"),
    ],
)
def test_a_sleeve_that_suits_no_cut_is_refused_with_its_number(changed, clearance, height, said):
    site = SimpleNamespace(cuts=[SimpleNamespace(origin=np.zeros(3))], blade=BLADE)
    with pytest.raises(DesignError, match=said):
        _refuse_unfit(site, SlotSleeve(**{**ENTRY, **changed}), clearance, height)


def test_what_its_slot_leaves_the_blade_is_held_against_the_house():
    one = Liner("A", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), sleeve="s", amid=0.0, **SIZES, more=0.0, wall=2.0, end_wall=3.0,
                chord=(-40.0, 40.0), guided=10.0, room=45.0, blade=0.89, least=0.1, most=0.2, blade_length=90.0)  # fmt: skip
    good = {"amid_mm": 0.0}

    def failed(**changed):
        names = [one.removeprefix("liner_") for one in BY_PLAN]
        found = kind.checks(dataclasses.replace(one, **changed), good)
        return [check.id for check in found if not check.passed and check.id in {f"liner_{name}[A]" for name in names}]

    assert failed() == []
    assert failed(blade=0.92) == ["liner_clearance_least[A]"] and failed(blade=0.80) == ["liner_clearance_most[A]"]
    assert failed(guided=12.5) == ["liner_height[A]"] and failed(chord=(-40.0, 51.5)) == ["liner_covers_bone[A]"]
    assert failed(room=103.0) == ["liner_blade_room[A]"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        settings = ["guide.slot_sleeve=mine-100", "params.clearance=0.12", f"params.slot_sleeve_fit={FIT}"]
        own = catalogue(tmp_path_factory.mktemp("own"))
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=settings, catalogue=own)["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "liner", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def axes_of(guide):
    """Of the sleeve's pocket: its middle in the plane of the case, the ways along the cut and the blade, and the normal, patient frame."""
    slot, frame, one = guide["plan"]["slots"][0], np.array(guide["plan"]["axes"]), guide["features"][0]
    normal = np.array(slot["normal"]) / np.linalg.norm(slot["normal"])
    blade = np.array(one["out"]) @ frame
    along = np.cross(blade, normal)
    return np.array(slot["origin"]) + one["amid"] * along, along, blade, normal


def file_of(out, guide, ending):
    return out / guide["files"][ending]


@pytest.mark.slow
def test_sections_of_the_stl_show_the_pocket_and_the_wider_slot_below(out, guide):
    """Across the fence, amid it: without the product's measures."""
    origin, along, blade, normal = axes_of(guide)
    mesh = trimesh.load_mesh(file_of(out, guide, "stl"))
    lines = trimesh.intersections.mesh_plane(mesh, plane_normal=along, plane_origin=origin).reshape(-1, 3) - origin
    d, u = lines @ normal, lines @ blade
    fence = np.abs(d) < (SIZES["width"] + FIT) / 2.0 + 2.0 + 0.01
    top = u[fence].max()
    upper = np.abs(d[fence & (u > top - 11.0) & (u < top - 0.5)])
    pocket = (SIZES["width"] + FIT) / 2.0
    assert upper.min() == pytest.approx(pocket, abs=0.01)
    below = np.abs(d[fence & (u < top - 12.5)])
    assert below.min() == pytest.approx((SIZES["slot_width"] + 0.8) / 2.0, abs=0.01)
    floor = u[fence & (np.abs(np.abs(d) - pocket) < 0.01)].min()
    assert top - floor == pytest.approx(SIZES["height"], abs=0.02)


@pytest.mark.slow
def test_no_slot_of_the_print_is_told_and_the_sheet_names_the_sleeve(out, guide):
    assert guide["slots"] == [] and not any(check["id"].startswith("slot_") for check in guide["checks"])
    assert guide["slot_sleeve"] == {**ENTRY}
    (one,) = sheet_of(out, BuildReport.model_validate_json((out / "report.json").read_text("utf-8"))).instruments
    assert one.options == [
        "slot A: press the metal sleeve mine-100 (108 × 4 × 12 mm) into its pocket, flush with the top; its slot of 1.01 mm leaves the blade 0.12 mm"
    ]


def block(guide, d, s, u):
    """A box about the pocket's middle: across the plane, along the cut, and along the blade from the fence's top."""
    origin, along, blade, normal = axes_of(guide)
    place = origin + d[0] * normal + s[0] * along + (guide["features"][0]["top_mm"] + u[0]) * blade
    plane = cq.Plane(cq.Vector(*place), cq.Vector(*normal), cq.Vector(*blade))
    return cq.Solid.makeBox(d[1] - d[0], s[1] - s[0], u[1] - u[0]).moved(cq.Location(plane))


HALF, LONG, HIGH = (SIZES["width"] + FIT) / 2.0, (SIZES["length"] + FIT) / 2.0, SIZES["height"]


def turned(guide, solid, degrees):
    origin, along, blade, _ = axes_of(guide)
    start = origin + (guide["features"][0]["top_mm"] - HIGH / 2.0) * blade
    return solid.rotate(cq.Vector(*start), cq.Vector(*(start + along)), degrees)


BY_PLAN = ("liner_clearance_least", "liner_clearance_most", "liner_height", "liner_covers_bone", "liner_blade_room")
FAULTS = {
    "liner_width": lambda s, g: s.cut(block(g, (HALF - 0.5, HALF + 0.03), (-LONG + 2, LONG - 2), (-HIGH, 2.0))),
    "liner_length": lambda s, g: s.cut(block(g, (-1.0, 1.0), (LONG - 1.0, LONG + 0.3), (-HIGH, 2.0))),
    "liner_depth": lambda s, g: s.cut(block(g, (-HALF, HALF), (5.0, 20.0), (-HIGH - 0.3, -1.0))),
    "liner_flush": lambda s, g: s.cut(block(g, (-6.0, 6.0), (5.0, 20.0), (-0.2, 2.0))),
    "liner_angle": lambda s, g: s.cut(turned(g, block(g, (HALF - 0.5, HALF), (-LONG + 2, LONG - 2), (-HIGH, 2.0)), 0.05)),
    "liner_offset": lambda s, g: s.cut(block(g, (HALF - 0.5, HALF + 0.012), (-LONG + 2, LONG - 2), (-HIGH, 2.0))),
    "liner_wall": lambda s, g: s.cut(block(g, (HALF + 1.5, HALF + 3.0), (5.0, 9.0), (-8.0, -3.0))),
    "liner_end": lambda s, g: s.cut(block(g, (-1.5, 1.5), (LONG + 2.0, LONG + 5.0), (-10.0, -2.0))),
    "liner_floor": lambda s, g: s.cut(block(g, (-HALF, HALF), (-LONG + 1, LONG - 1), (-HIGH - 60.0, -HIGH - 1.5))),
    "liner_clear": lambda s, g: s.fuse(block(g, (-1.0, -0.45), (5.0, 9.0), (-HIGH - 3.0, -HIGH - 1.0))),
    "liner_reach": lambda s, g: s.fuse(block(g, (HALF + 0.3, HALF + 1.5), (5.0, 9.0), (-2.0, 70.0))),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_pocket_fails_its_own_check(check, out, guide, tmp_path):
    solid = solid_in(file_of(out, guide, "step"))
    failed = failed_with(FAULTS[check](solid, guide), guide["plan"], out / "bone.stl", tmp_path)
    others = ("liner", "printer_wall", "contact", "seat", "step_solids", "stl_bodies")
    assert f"{check}[A]" in failed and all(name.startswith(others) for name in failed), set(failed)
