"""The number of each cut on its fence: which one it is, whether it can be read, and files in which it is wrong."""

import json

import cadquery as cq
import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_with, solid_in
from test_flap import plane_seat

import psi_cad
from psi_cad.brep.slab import Slab
from psi_cad.errors import DesignError
from psi_cad.guides.ground import SiteCut
from psi_cad.labelling.fence import sides_of
from psi_cad.labelling.scaling import place_order
from psi_cad.options.order import Order, checks
from psi_cad.sawing.plan import SlotPlan

STEM = "chevron_generic-20x1.0"
X, Y, Z = np.eye(3)


def plan_at(y, name):
    """A straight fence along x, 40 mm long, on a level seat."""
    cut = SiteCut(name, y * Y, Y, X, Z, -20.0, 20.0, ())
    return SlotPlan(cut, 1.0, 2.5, -20.0, 20.0, -20.0, 20.0, ((-20.0, 20.0),), (), (True, True))


def sides(plans, height=10.0):
    import shapely

    seat, _ = plane_seat()
    made = []
    for plan in plans:
        slab = Slab(origin=plan.cut.origin, normal=Y, blade=Z, half_width=2.5, low=-20.0, high=20.0)
        span = {"span": plan.label_span(), "plate_thickness": 3.0, "height": height, "edge_break": 0.6, "pad": 0.6}
        made += sides_of(seat, slab, plate=shapely.box(-30.0, -30.0, 30.0, 30.0), **span)
    return made


def test_each_number_stands_amid_its_own_fence_as_large_as_that_has_room():
    plans = [plan_at(0.0, "B"), plan_at(12.0, "A")]
    patches, orders = place_order(sides(plans), plans, [2, 1], [], raised=False, pad=0.6)
    assert [(one.name, one.text, one.at[0]) for one in orders] == [("B", "2", pytest.approx(0.0, abs=1.0)), ("A", "1", pytest.approx(0.0, abs=1.0))]
    assert [abs(one.at[1] - plan.cut.origin[1]) for one, plan in zip(orders, plans, strict=True)] == pytest.approx([3.1, 3.1])
    assert patches[0].letter_height > 2.5 and patches[0].height < 10.0 - 3.0


def test_a_fence_too_low_for_a_number_is_refused_by_the_name():
    plans = [plan_at(0.0, "A")]
    with pytest.raises(DesignError, match=r"params\.cut_order: the fence of cut 'A' has no room for its number"):
        place_order(sides(plans, height=5.5), plans, [1], [], raised=False, pad=0.6)


def test_a_number_that_is_off_its_fence_or_not_the_right_one_fails():
    order = Order("A", "1", (0.0, 3.1, 5.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), 4.0, 7.0, 5.0, 1.0, (0.0,) * 3, (0.0, 1.0, 0.0), 3.1)
    for face, agrees, failed in ((3.1, 0.9, []), (3.3, 0.9, ["order_face[A]"]), (None, 0.9, ["order_face[A]"]), (3.1, 0.3, ["order_read[A]"])):
        assert [check.id for check in checks(order, {"face_mm": face, "agrees": agrees}) if not check.passed] == failed


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-two-cut", here, settings=["params.cut_order=true"])["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "order", make) / "phantom-two-cut"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def face_of(guide, number):
    """Middle and axes of a number's face, patient frame."""
    plan, said = guide["plan"], guide["features"][number]
    axes = np.array(plan["axes"])
    x, y = np.array(said["x"]) @ axes, np.array(said["y"]) @ axes
    return np.array(plan["origin"]) + np.array(said["at"]) @ axes, x, y, np.cross(x, y)


@pytest.mark.slow
def test_the_stl_has_each_number_on_the_fence_of_its_cut(out, guide):
    """Sections of the STL just below each face: the grooves, as wide as drawn; and the nearest of all slots is the number's own."""
    mesh = trimesh.load_mesh(out / f"{STEM}.stl")
    assert [(one["name"], one["text"]) for one in guide["features"]] == [("A1", "1"), ("A2", "2")]
    for number, said in enumerate(guide["features"]):
        at, x, y, z = face_of(guide, number)
        off = {}
        for slot in guide["plan"]["slots"]:
            normal = np.array(slot["normal"]) / np.linalg.norm(slot["normal"])
            off[slot["name"]] = abs(float((at - np.array(slot["origin"])) @ normal))
        assert min(off, key=off.get) == said["name"] and off[said["name"]] == pytest.approx(guide["slots"][number]["width_mm"] / 2.0 + 2.6, abs=1e-3)
        lines = trimesh.intersections.mesh_plane(mesh, plane_normal=z, plane_origin=at - 0.25 * z) - at
        flat = np.stack([lines @ x, lines @ y], axis=-1)
        grooves = (np.abs(flat) < np.array([said["width"], said["height"]]) / 2.0 - 0.2).all(axis=(1, 2))
        tall = np.ptp(flat[grooves][..., 1])
        assert 0.85 * said["letters"] < tall < 1.2 * said["letters"]


def block(guide, number, z, width):
    """A box before and behind a face."""
    at, x, _, out = face_of(guide, number)
    plane = cq.Plane(cq.Vector(*at), cq.Vector(*x), cq.Vector(*out))
    tall = guide["features"][number]["height"]
    return cq.Solid.makeBox(width, tall, z[1] - z[0], cq.Vector(-width / 2.0, -tall / 2.0, z[0])).moved(cq.Location(plane))


FAULTS = {
    "order_read": lambda s, g: s.fuse(block(g, 1, (-0.7, -0.05), g["features"][1]["width"] - 0.5)),
    "order_face": lambda s, g: s.cut(block(g, 1, (-0.1, 2.0), g["features"][1]["width"] + 0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_number_fails_its_own_check(check, out, guide, tmp_path):
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide), guide["plan"], out / "bone.stl", tmp_path)
    assert set(failed) == {f"{check}[A2]"}
    assert np.linalg.norm(np.array(failed[f"{check}[A2]"].where) - face_of(guide, 1)[0]) < 0.02


@pytest.mark.slow
def test_numbers_that_are_exchanged_are_found_out(out, guide, tmp_path):
    plan = json.loads(json.dumps(guide["plan"]))
    for one, other in ((0, 1), (1, 0)):
        plan["features"][one]["text"] = guide["features"][other]["text"]
    assert set(failed_with(solid_in(out / f"{STEM}.step"), plan, out / "bone.stl", tmp_path)) == {"order_read[A1]", "order_read[A2]"}


@pytest.mark.slow
def test_cuts_of_several_guides_are_counted_through(tmp_path):
    guides = psi_cad.build(CASES / "phantom-sacroiliac", tmp_path, settings=["params.cut_order=true"])
    told = {one["name"]: one["text"] for guide in guides["guides"] for one in guide.get("features", ())}
    assert told == {"A": "1", "B": "2"}
