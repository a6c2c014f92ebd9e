"""A grip to hold a guide by: where it stands, how it is measured, and files in which something of it is wrong."""

import json

import numpy as np
import pytest
import shapely
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_in, failed_with, point_in, rod_at, solid_in
from test_flap import plane_seat

import psi_cad
from psi_cad.cli.showing import guide_lines
from psi_cad.errors import DesignError
from psi_cad.fitting.grip import place_grip
from psi_cad.readback.corridor import Corridor
from psi_cad.records.report import BuildReport

STEM = "supra-acetabular_generic-25x0.89"
HEIGHT, WIDE = 14.0, 11.0
UP = (0.0, 0.0, 1.0)


def placed(seat, bone, *, wires=((-20.0, 15.0), (20.0, 15.0), (0.0, -15.0)), **changed):
    asked = {"side": 1, "height": 12.0, "diameter": 10.0, "clearance": 8.0, "sleeve": (3.0, 10.0), "plate_thickness": 3.0}
    corridor = Corridor((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), -30.0, 30.0)
    standing = [((x, y, 0.0), UP) for x, y in wires]
    return place_grip(seat, [shapely.box(-30.0, -22.0, 30.0, 22.0)], bone, [corridor], standing, [], **{**asked, **changed})


def test_on_a_flat_seat_it_stands_amid_the_wires_off_the_saw():
    seat, bone = plane_seat()
    grip = placed(seat, bone)
    x, y, z = grip.foot
    assert abs(x) <= 1.0 and 13.0 <= y < 14.5 and z == pytest.approx(3.0, abs=0.01) and grip.shaft == pytest.approx(7.0)
    assert placed(seat, bone, side=-1, wires=((-20.0, 15.0), (20.0, 15.0), (20.0, -15.0))).foot[1] < -12.5


def test_wires_bone_and_the_saw_are_kept_clear_of_or_it_is_refused_by_its_name():
    seat, bone = plane_seat()
    aside = placed(seat, bone, wires=((0.0, 15.0), (25.0, -15.0), (-25.0, -15.0)))
    assert np.hypot(aside.foot[0], aside.foot[1] - 15.0) >= 5.0 + 6.0
    with pytest.raises(
        DesignError, match=r"params\.grip = 1: on the specimen's side .* lower grip_diameter, grip_clearance or pins, or raise footplate_reach"
    ):
        placed(seat, bone, clearance=16.0)
    wall = bone[1].copy()
    wall[:, 67:] = 9.0  # bone from y = 17 on, as high as the head's lower side
    assert placed(seat, (bone[0], np.where(np.isnan(bone[1]), np.nan, bone[1]))).foot[1] >= 13.0
    with pytest.raises(DesignError, match=r"params\.grip = 1"):
        placed(seat, (bone[0], wall))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        settings = ["params.grip=1", f"params.grip_height={HEIGHT}", f"params.grip_diameter={WIDE}", "params.grip_clearance=7"]
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=settings)["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "grip", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def foot_of(guide):
    """Its foot on the footplate, and the axes of the guide frame, patient frame."""
    return point_in(guide, "foot")


def rod(guide, radius, low, high, beside=(0.0, 0.0)):
    return rod_at(foot_of(guide), radius, low, high, beside)


def to_wire(guide):
    """A stub of 1.6 mm towards the nearest wire."""
    (said,) = guide["features"]
    way = min((np.array(row[:2]) - said["foot"][:2] for row in said["wires"]), key=np.linalg.norm)
    way = way / np.linalg.norm(way)
    return rod(guide, 0.6, HEIGHT - 3.0, HEIGHT - 1.0, beside=(WIDE / 2.0 + 0.5) * way)


def to_saw(guide):
    """A stub towards the cut."""
    (said,) = guide["features"]
    normal = np.array(said["corridors"][0][3:5])
    return rod(guide, 0.6, HEIGHT - 3.0, HEIGHT - 1.0, beside=-(WIDE / 2.0 + 0.5) * normal / np.linalg.norm(normal))


FAULTS = {
    "grip_size": lambda s, g: s.cut(rod(g, WIDE, HEIGHT - 3.9, HEIGHT + 9.0).cut(rod(g, WIDE / 2.0 - 0.05, HEIGHT - 5.0, HEIGHT + 10.0))),
    "grip_shaft": lambda s, g: s.cut(rod(g, 1.5, 2.0, 4.0, beside=(3.9, 0.0))),
    "grip_height": lambda s, g: s.cut(rod(g, WIDE, HEIGHT - 0.3, HEIGHT + 9.0)),
    "grip_clear": lambda s, g: s.fuse(to_saw(g)),
    "grip_wire": lambda s, g: s.fuse(to_wire(g)),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_grip_fails_its_own_check(check, out, guide, tmp_path):
    plan = json.loads(json.dumps(guide["plan"]))
    (said,) = guide["features"]
    close = {"grip_clear": ("clearance", "clear_mm"), "grip_wire": ("driver", "wire_mm")}.get(check)
    if close is not None:  # what stands out comes nearer than the grip itself does
        plan["features"][0][close[0]] = said[close[1]]
        assert not [one for one in failed_in(out / f"{STEM}.step", out / f"{STEM}.stl", plan, out / "bone.stl") if one.startswith("grip")]
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide), plan, out / "bone.stl", tmp_path)
    assert check in failed and all(name.startswith("grip") for name in failed), set(failed)
    foot, axes = foot_of(guide)
    x, y, z = axes @ (np.array(failed[check].where) - foot)
    assert np.hypot(x, y) <= WIDE / 2.0 + 1.2 and -0.1 <= z <= HEIGHT + 0.1, "the place is on the grip"


@pytest.mark.slow
def test_the_stl_has_a_knob_of_that_size_clear_of_saw_and_wires(out, guide):
    """Sections of the STL across its axis, without the product's measures."""
    foot, axes = foot_of(guide)
    mesh = trimesh.load_mesh(out / f"{STEM}.stl")
    for level, wide in ((2.0, 0.7 * WIDE), (HEIGHT - 2.0, WIDE)):
        lines = trimesh.intersections.mesh_plane(mesh, plane_normal=axes[2], plane_origin=foot + level * axes[2]).reshape(-1, 3)
        flat = np.hypot(*(axes[:2] @ (lines - foot).T))
        assert flat[flat < WIDE / 2.0 + 0.5].max() == pytest.approx(wide / 2.0, abs=0.03)
    slot = guide["plan"]["slots"][0]
    assert (foot - np.array(slot["origin"])) @ np.array(slot["normal"]) / np.linalg.norm(slot["normal"]) > WIDE / 2.0 + 7.0, "on the specimen's side"
    at = (axes @ (foot - np.array(guide["plan"]["origin"])))[:2]
    assert min(np.linalg.norm(np.array(pin["centre_mm"]) - at) for pin in guide["pins"]) >= WIDE / 2.0 + 6.0


@pytest.mark.slow
def test_the_terminal_tells_of_it(out):
    (guide,) = BuildReport.model_validate_json((out / "report.json").read_text("utf-8")).guides
    assert any(line.startswith("  grip: 11 mm wide, 14 high, ") for line in guide_lines(guide))
