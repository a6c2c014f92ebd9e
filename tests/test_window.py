"""Windows through a footplate: where they go, how they are measured, and files in which something of them is wrong."""

import json

import numpy as np
import pytest
import shapely
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_in_stl, failed_with, point_in, rod_at, solid_in
from test_flap import plane_seat

import psi_cad
from psi_cad.errors import DesignError
from psi_cad.fitting.windows import place_windows

STEM = "supra-acetabular_generic-25x0.89"
SIZE = 9.0
PLATE, FENCE, PINS = shapely.box(-30.0, -20.0, 30.0, 20.0), shapely.box(-35.0, -3.0, 35.0, 3.0), [(-25.0, -15.0, 3.0), (25.0, 15.0, 3.0)]


def test_windows_keep_off_fence_edge_wires_and_each_other():
    seat, _ = plane_seat()
    found = place_windows(seat, [PLATE], FENCE, PINS, count=4, size=SIZE, plate_thickness=3.0)
    middles = [shapely.Point(one.middle[:2]) for one in found]
    assert len(found) == 4
    for number, middle in enumerate(middles):
        window = middle.buffer(SIZE / 2.0)
        assert PLATE.exterior.distance(window) >= 2.0 and FENCE.distance(window) >= 2.0 and PLATE.contains(window)
        assert all(window.distance(other.buffer(SIZE / 2.0)) >= 2.0 for other in middles[:number])
        assert all(window.distance(shapely.Point(x, y).buffer(radius)) >= 0.99 for x, y, radius in PINS)


def test_more_windows_than_there_is_room_for_are_refused_by_their_names():
    seat, _ = plane_seat()
    with pytest.raises(DesignError, match=r"params\.windows = 4: the footplates have room for 0 of window_size = 18 mm"):
        place_windows(seat, [PLATE], FENCE, PINS, count=4, size=18.0, plate_thickness=3.0)
    steep, _ = plane_seat(2.0)
    with pytest.raises(DesignError, match=r"room for 0 of window_size"):
        place_windows(steep, [PLATE], FENCE, PINS, count=1, size=6.0, plate_thickness=3.0)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=["params.windows=2", f"params.window_size={SIZE}"])["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "window", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def axis(guide, number=0):
    """Middle of a window on the seat, and the seating axis, patient frame."""
    return point_in(guide, "middle", number)


def rod(guide, radius, low, high, beside=0.0):
    return rod_at(axis(guide), radius, low, high, (beside, 0.0))


def tongue(guide, folder):
    """A disc within the footplate that reaches into the window."""
    middle, axes = axis(guide)
    start = middle + (SIZE / 2.0 + 0.5) * axes[0] + 60.0 * axes[2]
    (hit, *_), *_ = trimesh.load_mesh(folder / f"{STEM}.stl").ray.intersects_location([start], [-axes[2]], multiple_hits=False)
    up = float((hit - middle) @ axes[2])
    return rod(guide, 1.0, up - 2.0, up - 0.9, beside=SIZE / 2.0)


FAULTS = {
    "window_size": lambda s, g, _: s.cut(rod(g, SIZE / 2.0 + 0.05, -8.0, 10.0)),
    "window_place": lambda s, g, _: s.cut(rod(g, SIZE / 2.0 + 0.005, -8.0, 10.0, beside=0.06)),
    "window_open": lambda s, g, folder: s.fuse(tongue(g, folder)),
    "window_wall": lambda s, g, _: s.cut(rod(g, 0.8, -8.0, 10.0, beside=SIZE / 2.0 + 2.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_window_fails_its_own_check(check, out, guide, tmp_path):
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide, out), guide["plan"], out / "bone.stl", tmp_path)
    assert f"{check}[1]" in failed and set(failed) <= {f"{name}[1]" for name in FAULTS} | {"seat_max", "seat_rms"}, set(failed)
    middle, axes = axis(guide)
    there = np.array(failed[f"{check}[1]"].where) - middle
    assert np.hypot(there @ axes[0], there @ axes[1]) <= SIZE / 2.0 + 3.1


@pytest.mark.slow
def test_a_window_of_another_size_in_the_stl_alone_fails(out, guide, tmp_path):
    step = out / f"{STEM}.step"
    failed = failed_in_stl(solid_in(step).cut(rod(guide, SIZE / 2.0 + 0.05, -8.0, 10.0)), step, guide["plan"], out / "bone.stl", tmp_path)
    middle, axes = axis(guide)
    there = np.array(failed["stl_faces"].where) - middle
    assert set(failed) == {"stl_faces"} and np.hypot(there @ axes[0], there @ axes[1]) == pytest.approx(SIZE / 2.0, abs=0.05)
    assert failed["stl_faces"].value == pytest.approx(0.05, abs=0.01)


@pytest.mark.slow
def test_one_sees_the_bone_through_it_and_the_slot_guides_as_before(out, guide):
    """Rays of trimesh through the STL alone, along the seating axis; then bone."""
    mesh, bone = trimesh.load_mesh(out / f"{STEM}.stl"), trimesh.load_mesh(out / "bone.stl")
    for number in (0, 1):
        middle, axes = axis(guide, number)
        turns = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
        ring = middle + 60.0 * axes[2] + 0.97 * SIZE / 2.0 * (np.cos(turns)[:, None] * axes[0] + np.sin(turns)[:, None] * axes[1])
        ways = np.tile(-axes[2], (len(ring), 1))
        assert not mesh.ray.intersects_any(ring, ways).any() and bone.ray.intersects_any(ring, ways).all()
        beyond = middle + 60.0 * axes[2] + (SIZE / 2.0 + 1.9) * (np.cos(turns)[:, None] * axes[0] + np.sin(turns)[:, None] * axes[1])
        assert mesh.ray.intersects_any(beyond, ways).all()
    values = {check["id"]: check["value"] for check in guide["checks"]}
    assert values["slot_height[A]"] >= 10.0 - 0.05 and values["slot_wall[A]"] >= 1.99
