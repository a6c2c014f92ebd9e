"""A flap that holds soft tissue back: where it stands, how it is measured, and files in which something of it is wrong."""

import dataclasses
import json

import cadquery as cq
import numpy as np
import pytest
import shapely
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_in, failed_in_stl, failed_with, solid_in

import psi_cad
from psi_cad.errors import DesignError, PsiCadError
from psi_cad.fitting.flap import place_flap
from psi_cad.options.flap import Flap
from psi_cad.readback.corridor import Corridor
from psi_cad.siting.spline import fit, uniform_knots

STEM = "supra-acetabular_generic-25x0.89"
HEIGHT, ANGLE, THICK = 18.0, 20.0, 3.0


def plane_seat(slope=0.0):
    """A seat that rises along x."""
    xs, ys = np.arange(-60.0, 61.0), np.arange(-50.0, 51.0)
    points = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    knots = {"x_knots": uniform_knots(-60.0, 60.0, 4.0), "y_knots": uniform_knots(-50.0, 50.0, 4.0)}
    seat = fit(points, slope * points[:, 0], weights=np.ones(len(points)), cell_area=1.0, smoothing=1e-6, **knots)
    return seat, (points.reshape(len(xs), len(ys), 2), (slope * points[:, 0]).reshape(len(xs), len(ys)))


def placed(seat, bone, *, pins=(), **changed):
    asked = {"side": 1, "height": 15.0, "width": 20.0, "thickness": 2.5, "angle": 15.0, "clearance": 10.0, "sleeve": 3.0, "plate_thickness": 3.0}
    corridor = Corridor((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), -30.0, 30.0)
    return place_flap(seat, [shapely.box(-30.0, -20.0, 30.0, 20.0)], bone, [corridor], pins, **{**asked, **changed})


def test_on_a_flat_seat_it_stands_at_the_edge_and_leans_outward():
    seat, bone = plane_seat()
    flap = placed(seat, bone)
    x, y, z = flap.base
    assert 16.0 < y < 20.0 and abs(x) <= 1.0 and z == pytest.approx(3.0, abs=0.01)
    np.testing.assert_allclose(flap.up, [0.0, np.sin(np.radians(15.0)), np.cos(np.radians(15.0))], atol=1e-4)
    assert placed(seat, bone, side=-1).base[1] == pytest.approx(-y, abs=1.0)


def test_it_follows_the_slope_along_the_edge_and_leans_as_told_all_the_same():
    seat, bone = plane_seat(0.4)
    flap = placed(seat, bone)
    assert flap.along[2] / np.hypot(*flap.along[:2]) == pytest.approx(0.4, abs=1e-3)
    assert np.degrees(np.arcsin(abs(flap.frame.axes[1][2]))) == pytest.approx(15.0, abs=1e-6)


def test_wires_bone_and_the_saw_are_kept_clear_of_or_it_is_refused_by_its_name():
    seat, bone = plane_seat()
    free = placed(seat, bone)
    aside = placed(seat, bone, pins=[(2.0, 17.0)])
    assert min(abs(np.array(end) - 2.0) for end in (aside.base[0] - 10.0, aside.base[0] + 10.0)) >= 8.0
    assert free.base[0] != aside.base[0]
    with pytest.raises(DesignError, match=r"params\.flap_width = 80: the footplate's edge on the specimen's side has room for a flap 5\d mm"):
        placed(seat, bone, width=80.0)
    with pytest.raises(DesignError, match=r"params\.flap_side = 1: .* lower flap_clearance"):
        placed(seat, bone, clearance=25.0)
    wall = bone[1].copy()
    wall[:, 75:] = 40.0  # from y = 25 on, where the flap leans to
    placed(seat, (bone[0], wall))
    with pytest.raises(DesignError, match=r"params\.flap_side = 1: on the specimen's side no flap stands clear of bone"):
        placed(seat, (bone[0], wall), angle=45.0, height=30.0)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        settings = ["params.flap_side=1", f"params.flap_height={HEIGHT}", f"params.flap_angle={ANGLE}", f"params.flap_thickness={THICK}"]
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=settings)["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "flap", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def flap_of(guide):
    (said,) = guide["features"]
    return Flap(**{field.name: said[field.name] for field in dataclasses.fields(Flap)})


def axes_of(guide):
    """Its base and axes in the patient frame."""
    plan, flap = guide["plan"], flap_of(guide)
    axes = np.array(plan["axes"])
    return np.array(plan["origin"]) + np.array(flap.base) @ axes, flap.frame.axes @ axes


@pytest.mark.slow
def test_the_stl_has_a_plate_of_that_size_there(out, guide):
    """Sections of the STL across the flap, without the product's measures."""
    base, (along, through, up) = axes_of(guide)
    mesh = trimesh.load_mesh(out / f"{STEM}.stl")
    for s in (-6.0, 0.0, 6.0):
        lines = trimesh.intersections.mesh_plane(mesh, plane_normal=along, plane_origin=base + s * along)
        points = lines.reshape(-1, 3) - base
        y, z = points @ through, points @ up
        upper = (np.abs(y) < 4.0) & (z > 3.0)
        assert z[upper].max() == pytest.approx(HEIGHT, abs=0.03)
        assert np.ptp(y[upper & (z < HEIGHT - 1.3)]) == pytest.approx(THICK, abs=0.03)
    axis = np.array(guide["seating_axis"])
    assert np.degrees(np.arcsin(abs(through @ axis))) == pytest.approx(ANGLE, abs=1e-6)
    normal = np.array(guide["plan"]["slots"][0]["normal"]) / np.linalg.norm(guide["plan"]["slots"][0]["normal"])
    top = base + HEIGHT * up - np.array(guide["plan"]["slots"][0]["origin"])
    assert top @ normal > (base - np.array(guide["plan"]["slots"][0]["origin"])) @ normal > 10.0, "away from the saw, on the specimen's side"
    assert {"flap_thickness", "flap_angle", "flap_rim", "flap_width", "flap_top", "flap_height", "flap_clear"} <= {c["id"] for c in guide["checks"]}


def block(guide, x, y, z):
    """A box in the flap's own axes; each side (low, high)."""
    base, (along, _, up) = axes_of(guide)
    plane = cq.Plane(origin=cq.Vector(*base), xDir=cq.Vector(*along), normal=cq.Vector(*up))
    box = cq.Solid.makeBox(x[1] - x[0], y[1] - y[0], z[1] - z[0], cq.Vector(x[0], y[0], z[0]))
    return box.moved(cq.Location(plane))


def leaning_more(guide, degrees):
    base, (along, _, _) = axes_of(guide)
    width, start = flap_of(guide).width, base + 6.0 * axes_of(guide)[1][2]
    plate = block(guide, (-width / 2 + 0.5, width / 2 - 0.5), (-THICK / 2, THICK / 2), (5.0, HEIGHT))
    return plate.rotate(cq.Vector(*start), cq.Vector(*(start + along)), degrees)


def half(guide):
    return flap_of(guide).width / 2.0


FAULTS = {
    "flap_thickness": lambda s, g: s.cut(block(g, (-4.0, 4.0), (THICK / 2 - 0.3, 5.0), (6.0, 12.0))),
    "flap_angle": lambda s, g: s.cut(block(g, (-20.0, 20.0), (-4.0, 4.0), (5.5, 40.0))).fuse(leaning_more(g, 0.4)),
    "flap_rim": lambda s, g: s.fuse(block(g, (-half(g), half(g)), (-THICK / 2, THICK / 2), (HEIGHT - 3.0, HEIGHT))),
    "flap_width": lambda s, g: s.cut(block(g, (half(g) - 1.0, half(g) + 5.0), (-5.0, 5.0), (4.0, 40.0))),
    "flap_top": lambda s, g: s.cut(block(g, (-20.0, 20.0), (-5.0, 5.0), (HEIGHT - 0.5, 40.0))),
    "flap_height": lambda s, g: s.cut(block(g, (-20.0, 20.0), (-5.0, 5.0), (HEIGHT - 8.0, 40.0))),
    "flap_clear": lambda s, g: s.fuse(block(g, (-3.0, 3.0), (-THICK / 2, THICK / 2 + 1.5), (6.0, 8.0))).fuse(
        block(g, (-3.0, 3.0), (-THICK / 2 - 1.5, THICK / 2), (6.0, 8.0))
    ),
}


@pytest.mark.slow
def test_a_thinner_flap_in_the_stl_alone_fails(out, guide, tmp_path):
    thin = solid_in(out / f"{STEM}.step").cut(block(guide, (-4.0, 4.0), (THICK / 2 - 0.05, 5.0), (6.0, 12.0)))
    failed = failed_in_stl(thin, out / f"{STEM}.step", guide["plan"], out / "bone.stl", tmp_path)
    base, (_, through, _) = axes_of(guide)
    assert set(failed) == {"stl_faces"} and failed["stl_faces"].value == pytest.approx(0.05, abs=0.005)
    assert (np.array(failed["stl_faces"].where) - base) @ through == pytest.approx(THICK / 2, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_flap_fails_its_own_check(check, out, guide, tmp_path):
    plan = json.loads(json.dumps(guide["plan"]))
    if check == "flap_clear":  # what stands out comes nearer to the saw than the flap is to
        plan["features"][0]["clearance"] = guide["features"][0]["clear_mm"]
        assert not [one for one in failed_in(out / f"{STEM}.step", out / f"{STEM}.stl", plan, out / "bone.stl") if one.startswith("flap")]
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide), plan, out / "bone.stl", tmp_path)
    assert check in failed and all(name.startswith("flap") for name in failed), set(failed)
    base, (along, through, up) = axes_of(guide)
    there = np.array(failed[check].where) - base
    assert abs(there @ through) < 4.0 and abs(there @ along) <= half(guide) + 0.1 and -1.0 < there @ up < HEIGHT + 1.0, "the place is on the flap"


@pytest.mark.slow
def test_a_flap_without_room_is_refused_and_leaves_no_guide(tmp_path):
    with pytest.raises(PsiCadError, match=r"params\.flap_(width|side)"):
        psi_cad.build(CASES / "phantom-type1", tmp_path, settings=["params.flap_side=-1", "params.flap_width=80"], suggest=False)
    assert not list(tmp_path.rglob("*.stl"))
