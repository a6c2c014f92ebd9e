"""A depth scale on a fence: its numbers are true, can be read, and are missed or found out where they are not."""

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
from psi_cad.brep.slab import Slab
from psi_cad.errors import PsiCadError
from psi_cad.frames import Frame
from psi_cad.labelling.scaling import _covered, _place, _topped
from psi_cad.options.mark import Mark, checks
from psi_cad.sawing.plan import SlotPlan

STEM = "supra-acetabular_generic-25x0.89"
Z = (0.0, 0.0, 1.0)


def test_a_number_that_is_off_or_unreadable_fails():
    mark = Mark("A 1", "28", (0.0,) * 3, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), 6.0, 4.0, 2.5, 1.0, (0.0,) * 3, (0.0, 1.0, 0.0), Z, 1.0, 2.0, 0.0, -18.0)
    for blade, agrees, failed in ((28.4, 0.9, []), (29.0, 0.9, ["mark_true[A 1]"]), (None, 0.9, ["mark_true[A 1]"]), (28.0, 0.5, ["mark_read[A 1]"])):
        assert [check.id for check in checks(mark, {"blade_mm": blade, "agrees": agrees}) if not check.passed] == failed


def test_a_number_keeps_off_the_fence_of_another_cut():
    """A face on the fence of a cut across x = 0, beside a fence that begins at y = 10 and lies across it."""
    cut = SimpleNamespace(origin=np.array([0.0, 10.0, 0.0]), normal=np.array([0.0, 1.0, 0.0]), along=np.array([1.0, 0.0, 0.0]))
    other = SlotPlan(cut, 1.0, 2.5, -20.0, 20.0, -20.0, 20.0, (), (), (True, True))
    for y, covered in ((0.0, False), (2.0, False), (4.0, True), (10.0, True), (20.0, False)):
        face = Frame(origin=np.array([3.1, y, 5.0]), axes=np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
        assert _covered(face, 6.0, 4.0, [other]) is covered, y
        assert not _covered(face, 6.0, 4.0, [])


def test_a_number_is_not_put_where_another_fence_is_what_the_hub_comes_down_on():
    """A fence along y, and one across it from x = 1 on: the face on the far side is free, the top behind it is not the fence's own."""
    cut = SimpleNamespace(origin=np.array([0.0, 10.0, 0.0]), normal=np.array([0.0, 1.0, 0.0]), along=np.array([1.0, 0.0, 0.0]))
    other = SlotPlan(cut, 1.0, 2.5, 1.0, 20.0, 1.0, 20.0, (), (), (True, True))
    slab = Slab(origin=np.zeros(3), normal=np.array([1.0, 0.0, 0.0]), blade=np.array(Z), half_width=2.5, low=-20.0, high=20.0)
    for y, topped in ((0.0, False), (5.0, False), (8.0, True), (10.0, True), (15.0, False)):
        s = y * float(slab.frame.axes[1][1])
        assert _topped(SimpleNamespace(slab=slab), s, 10.0, [other]) is topped, y


def test_a_number_stands_where_little_is_lost_by_rounding_it():
    """Half a millimetre lost, and a fence's top that is built 0.3 mm lower, would make a number untrue."""
    slab = Slab(origin=np.zeros(3), normal=np.array([1.0, 0.0, 0.0]), blade=np.array(Z), half_width=2.5, low=-20.0, high=20.0)
    windows = np.array([(20.0, 8.0, s, 5.0, 0.0) for s in np.arange(0.0, 10.1, 0.5)])
    side = SimpleNamespace(slab=slab, windows=windows, face=lambda s, u, slope, pad: Frame(origin=np.array([2.5, s, u]), axes=np.eye(3)))
    top, far = (np.array([0.0, 10.0]), np.array([20.0, 21.0])), np.array([(0.0, 0.0), (10.0, 0.0)])  # 20.5 mm at s = 5
    patch, s, _ = _place([side], top, far, 5.0, 6.0, [], 0.6, 3.0, [])
    assert s in (4.0, 6.0) and patch.lines == (f"{20.0 + s / 10.0:.0f}",)
    steep = np.array([0.0, 10.0]), np.array([20.5, 20.5])
    assert _place([side], steep, far, 5.0, 6.0, [], 0.6, 3.0, []) is None


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=["params.depth_scale=15"])["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "scale", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def face_of(guide, number=0):
    """Middle and axes of a number's face, patient frame."""
    plan, said = guide["plan"], guide["features"][number]
    axes = np.array(plan["axes"])
    x, y = np.array(said["x"]) @ axes, np.array(said["y"]) @ axes
    return np.array(plan["origin"]) + np.array(said["at"]) @ axes, x, y, np.cross(x, y)


@pytest.mark.slow
def test_each_number_is_the_blade_from_the_fence_to_the_far_side(out, guide):
    """Rays and sections by trimesh: the top of the fence beside the slot, and the bone's far side in the plane of the cut."""
    slot = guide["plan"]["slots"][0]
    normal, blade = np.array(slot["normal"]) / np.linalg.norm(slot["normal"]), np.array(guide["slots"][0]["blade_direction"])
    origin, along = np.array(slot["origin"]), np.cross(blade, normal)
    mesh, bone = trimesh.load_mesh(out / f"{STEM}.stl"), trimesh.load_mesh(out / "bone.stl")
    ends = trimesh.intersections.mesh_plane(bone, plane_normal=normal, plane_origin=origin)
    flat = np.vstack([ends[:, 0] + t * (ends[:, 1] - ends[:, 0]) for t in np.linspace(0.0, 1.0, 21)]) - origin
    assert len(guide["features"]) >= 4 and all(one["kind"] == "mark" for one in guide["features"])
    for one in guide["features"]:
        place = face_of(guide, guide["features"].index(one))[0] - origin
        assert abs(place @ along - one["s"]) < 0.01 and 2.5 < abs(place @ normal) < 4.0, "it stands on the fence's side, where it is true"
        start = origin + one["s"] * along + 120.0 * blade + (guide["slots"][0]["width_mm"] / 2.0 + 1.0) * normal
        (hit,), *_ = mesh.ray.intersects_location([start], [-blade], multiple_hits=False)
        far = min(point @ blade for point in flat if abs(point @ along - one["s"]) < 0.1)
        assert int(one["text"]) == pytest.approx((hit - origin) @ blade - far, abs=0.75)


def filled(guide):
    """The digits of the first number closed."""
    at, x, _, z = face_of(guide)
    plane = cq.Plane(cq.Vector(*(at - 0.7 * z)), cq.Vector(*x), cq.Vector(*z))
    return cq.Solid.makeBox(3.6, 2.6, 0.65, cq.Vector(-1.8, -1.3, 0.0)).moved(cq.Location(plane))


def top_bite(guide):
    """The top of the fence over the first number gone by 1.5 mm."""
    said, plan = guide["features"][0], guide["plan"]["slots"][0]
    blade, normal = np.array(guide["slots"][0]["blade_direction"]), np.array(plan["normal"]) / np.linalg.norm(plan["normal"])
    along = np.cross(blade, normal)
    level = said["far"] + said["blade_mm"] - 1.5
    place = np.array(plan["origin"]) + said["s"] * along + level * blade
    plane = cq.Plane(cq.Vector(*place), cq.Vector(*along), cq.Vector(*blade))
    return cq.Solid.makeBox(2.0, 12.0, 20.0, cq.Vector(-1.0, -6.0, 0.0)).moved(cq.Location(plane))


FAULTS = {"mark_read": lambda s, g: s.fuse(filled(g)), "mark_true": lambda s, g: s.cut(top_bite(g))}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_number_fails_its_own_check(check, out, guide, tmp_path):
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide), guide["plan"], out / "bone.stl", tmp_path)
    assert f"{check}[A 1]" in failed and {name for name in failed if name.startswith("mark")} == {f"{check}[A 1]"}, set(failed)
    assert np.linalg.norm(np.array(failed[f"{check}[A 1]"].where) - face_of(guide)[0]) < 0.02


@pytest.mark.slow
def test_a_scale_without_room_is_refused_by_its_name(tmp_path):
    with pytest.raises(PsiCadError, match=r"params\.depth_scale = 40: the fence of cut '.*' has room for [01] numbers"):
        psi_cad.build(CASES / "phantom-type3", tmp_path, settings=["params.depth_scale=40"], suggest=False)
