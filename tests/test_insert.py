"""Metal sleeves in the wires' holes: what there is room for, how the seats are measured, and files in which one is wrong."""

import json

import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_with, point_in, rod_at, solid_in
from test_flap import plane_seat

import psi_cad
from psi_cad.approval.sheet import sheet_of
from psi_cad.errors import DesignError
from psi_cad.fitting.inserts import place_inserts
from psi_cad.fitting.leaning import refuse_loose
from psi_cad.records.report import BuildReport
from psi_cad.siting.pins import Pin

STEM = "supra-acetabular_generic-25x0.89"
WIDE, LONG, FIT = 5.0, 6.5, 0.05


def placed(pins=(Pin((3.0, 4.0), 3.0, 30.0),), **changed):
    asked = {"diameter": 5.0, "length": 6.0, "fit": 0.05, "compensation": 0.1, "bore": 2.1, "wall": 1.95, "top": 10.0}
    return place_inserts(list(pins), plane_seat()[0], **{**asked, **changed})


def test_it_is_flush_with_its_sleeve_and_as_wide_as_printed():
    (one,) = placed()
    assert one.top == pytest.approx((3.0, 4.0, 10.0), abs=1e-3) and one.seat == pytest.approx(5.15) and one.bore == pytest.approx(2.2)


def test_without_a_shoulder_it_is_refused_by_its_name():
    with pytest.raises(DesignError, match=r"params\.insert_diameter = 3: it has no shoulder .* take one of 3\.1 mm at least"):
        placed(diameter=3.0, fit=0.0)
    with pytest.raises(DesignError, match=r"params\.insert_length = 9: it would leave 1\.0 mm .* raise sleeve_height to 11"):
        placed(length=9.0)


def test_on_a_leaning_wire_it_lies_along_it_and_only_the_print_below_it_holds():
    """Three wires that lean by 4°: with 10 mm of print each they hold the guide, with 2 mm they do not."""
    lean = np.radians(4.0)
    turns = np.radians([0.0, 120.0, 240.0])
    pins = [
        Pin((20.0 * np.cos(turn), 20.0 * np.sin(turn)), 3.0, 30.0, (np.sin(lean) * np.cos(turn), np.sin(lean) * np.sin(turn), np.cos(lean)))
        for turn in turns
    ]
    one = placed(pins=pins)[0]
    np.testing.assert_allclose(np.array(one.top) - [20.0, 0.0, 0.0], 10.0 * np.array(pins[0].out), atol=1e-3)
    seat = plane_seat()[0]
    refuse_loose(pins, seat, 10.0, 0.1, 4.0)
    with pytest.raises(DesignError, match="raise pin_divergence, lower insert_length, raise sleeve_height, or lower wire_clearance"):
        refuse_loose(pins, seat, 2.0, 0.1, 4.0, metal=8.0)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        settings = [f"params.insert_diameter={WIDE}", f"params.insert_length={LONG}", f"params.insert_fit={FIT}"]
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=settings)["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "insert", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def axis(guide, number=0):
    """Where a wire's axis leaves its sleeve, and the axes of the guide frame, patient frame."""
    return point_in(guide, "top", number)


def rod(guide, radius, low, high, beside=0.0):
    return rod_at(axis(guide), radius, low, high, (beside, 0.0))


@pytest.mark.slow
def test_the_stl_has_a_hole_of_two_widths_in_each_sleeve(out, guide):
    """Sections of the STL across each axis, without the product's measures."""
    mesh = trimesh.load_mesh(out / f"{STEM}.stl")
    assert len(guide["features"]) == len(guide["pins"]) == 4
    for number in range(4):
        top, axes = axis(guide, number)
        for level, wide in ((-1.0, WIDE + FIT), (-LONG + 0.3, WIDE + FIT), (-LONG - 0.3, 2.1)):
            lines = trimesh.intersections.mesh_plane(mesh, plane_normal=axes[2], plane_origin=top + level * axes[2]).reshape(-1, 3)
            away = np.hypot(*(axes[:2] @ (lines - top).T))
            assert away.min() == pytest.approx(wide / 2.0, abs=0.03)
            if level == -1.0:
                assert away[away > wide / 2.0 + 0.2].min() == pytest.approx(wide / 2.0 + 1.95, abs=0.06), "the wall"
    values = {check["id"]: check for check in guide["checks"]}
    assert values["pins"]["passed"] and values["pin_bore"]["passed"], "the wires' own holes are found below"


def ring(guide, inner, outer, low, high):
    return rod(guide, outer, low, high).cut(rod(guide, inner, low - 1.0, high + 1.0))


SEAT = (WIDE + FIT) / 2.0
FAULTS = {
    "insert_seat": lambda s, g: s.cut(rod(g, SEAT + 0.02, -LONG, 1.0)),
    "insert_axis": lambda s, g: s.fuse(ring(g, SEAT - 0.3, SEAT + 0.3, -LONG, -0.5)).cut(rod(g, SEAT, -LONG, 1.0, beside=0.04)),
    "insert_depth": lambda s, g: s.cut(rod(g, SEAT, -LONG - 0.3, -1.0)),
    "insert_wall": lambda s, g: s.cut(rod(g, 1.0, -4.0, -2.0, beside=SEAT + 1.95 + 0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_seat_fails_its_own_check(check, out, guide, tmp_path):
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide), guide["plan"], out / "bone.stl", tmp_path)
    assert f"{check}[1]" in failed and all(name.startswith("insert") for name in failed), set(failed)
    top, axes = axis(guide)
    x, y, z = axes @ (np.array(failed[f"{check}[1]"].where) - top)
    assert np.hypot(x, y) <= SEAT + 0.5 and -LONG - 0.1 <= z <= 0.1


@pytest.mark.slow
def test_the_sheet_names_what_is_to_be_pressed_in(out):
    report = BuildReport.model_validate_json((out / "report.json").read_text("utf-8"))
    (one,) = sheet_of(out, report).instruments
    assert one.options == ["inserts: press 4 metal sleeves of 5 mm, 6.5 mm long, into seats of 5.05 mm"]
