"""A stop for the saw: how its curve is found, how deep the tip ends as built, and files in which the stop is wrong."""

import itertools
import json

import cadquery as cq
import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_with, solid_in

import psi_cad
from psi_cad.errors import PsiCadError
from psi_cad.options.stop import stop_curve

STEM = "supra-acetabular_generic-25x0.89"
LENGTH, ALLOWANCE, HALF = 48.0, 1.5, 12.5


def tips(windows, far, half, curve):
    """Where the tip ends for each line: the blade amid it or as near as the window lets it, its hub on the highest of the curve; by hand."""
    s, u = curve
    found = []
    for at, _ in far:
        middle = min((np.clip(at, a + half, b - half) for a, b in windows), key=lambda value: abs(value - at))
        found.append(u[np.abs(s - middle) <= half].max() - LENGTH)
    return np.array(found)


@pytest.mark.parametrize("shape", ["flat", "slope", "notch", "step"])
def test_every_line_is_sawn_and_none_deeper_than_the_deepest_under_the_blade(shape):
    s = np.arange(-30.0, 30.5, 1.0)
    depth = {
        "flat": np.full(len(s), -25.0),
        "slope": -25.0 + 0.3 * s,
        "notch": np.where(np.abs(s) < 2.0, -40.0, -25.0),
        "step": np.where(s > 0.0, -35.0, -20.0),
    }[shape]
    far, windows = tuple(zip(s.tolist(), depth.tolist(), strict=True)), ((-38.0, 38.0),)
    curve = stop_curve(windows, far, half=HALF, length=LENGTH, allowance=ALLOWANCE)
    tip = tips(windows, far, HALF, curve)
    assert (depth - tip >= ALLOWANCE - 1e-6).all(), "each line is sawn through"
    deepest = np.array([depth[np.abs(s - at) <= 2.0 * HALF].min() for at in s])
    assert (tip >= deepest - ALLOWANCE - 1e-6).all()
    if shape == "flat":
        np.testing.assert_allclose(depth - tip, ALLOWANCE, atol=1e-9)
    assert np.abs(np.diff(np.diff(curve[1]))).max() < 1.5, "a fence's top can follow"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=[f"params.depth_stop={LENGTH}", f"params.stop_allowance={ALLOWANCE}"])[
            "guides"
        ]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "stop", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def axes_of(guide):
    """Origin, along, blade and normal of the slot, patient frame."""
    slot = guide["plan"]["slots"][0]
    normal, blade = np.array(slot["normal"]) / np.linalg.norm(slot["normal"]), np.array(guide["slots"][0]["blade_direction"])
    return np.array(slot["origin"]), np.cross(blade, normal), blade, normal


@pytest.mark.slow
def test_with_its_hub_on_the_fence_the_tip_is_through_the_bone_and_no_further(out, guide):
    """Sections of bone and guide by trimesh, for blades side by side; no code of the product."""
    origin, along, blade, normal = axes_of(guide)
    mesh, bone = trimesh.load_mesh(out / f"{STEM}.stl"), trimesh.load_mesh(out / "bone.stl")
    width = guide["slots"][0]["width_mm"]
    s = np.arange(-80.0, 80.0, 0.25)
    top = np.full(len(s), -np.inf)
    for off in np.linspace(width / 2.0 + 0.1, width / 2.0 + 1.9, 5):
        for sign in (1.0, -1.0):
            starts = origin + s[:, None] * along + 150.0 * blade + sign * off * normal
            hits, rays, _ = mesh.ray.intersects_location(starts, np.tile(-blade, (len(s), 1)), multiple_hits=False)
            np.maximum.at(top, rays, (hits - origin) @ blade)
    ends = trimesh.intersections.mesh_plane(bone, plane_normal=normal, plane_origin=origin)
    lines = np.vstack([ends[:, 0] + t * (ends[:, 1] - ends[:, 0]) for t in np.linspace(0.0, 1.0, 21)]) - origin
    flat = np.column_stack([lines @ along, lines @ blade])
    chord = guide["plan"]["slots"][0]
    windows = guide["slots"][0]["windows_mm"]
    through, past = [], []
    for low, high in windows:
        for middle in np.arange(max(low + HALF, chord["chord_low"]), min(high - HALF, chord["chord_high"]), 1.0):
            tip = top[np.abs(s - middle) <= HALF].max() - LENGTH
            near = flat[np.abs(flat[:, 0] - middle) <= 0.2]
            through.append(near[:, 1].min() - tip)
            wide = flat[np.abs(flat[:, 0] - middle) <= 2.0 * HALF]
            past.append(wide[:, 1].min() - tip)
    assert min(through) >= ALLOWANCE - 0.3 and max(past) <= ALLOWANCE + 0.3
    assert "stop 48" in " ".join(guide["label"]["lines"])
    (said,) = guide["features"]
    assert said["through_mm"] == pytest.approx(min(through), abs=0.3) and said["past_mm"] == pytest.approx(ALLOWANCE, abs=0.25)


def bite(guide, deep):
    """The upper part of the fence gone over a hub's width, `deep` mm, so that the tip ends deeper there."""
    origin, along, blade, _ = axes_of(guide)
    low, high = guide["slots"][0]["windows_mm"][0]
    (said,) = guide["features"]
    curve = stop_curve(said["windows"], said["far"], half=said["half"], length=said["length"], allowance=said["allowance"])
    boxes = []
    for s in np.arange(low - 8.0, high + 8.0, 2.0):
        place = origin + (s + 1.0) * along + (np.interp(s + 1.0, *curve) - deep) * blade
        plane = cq.Plane(cq.Vector(*place), cq.Vector(*along), cq.Vector(*blade))
        boxes.append(cq.Solid.makeBox(2.1, 20.0, 30.0, cq.Vector(-1.05, -10.0, 0.0)).moved(cq.Location(plane)))
    return boxes


def bump(guide, high):
    """A block on the fence."""
    origin, along, blade, normal = axes_of(guide)
    window = guide["slots"][0]["windows_mm"][0]
    (said,) = guide["features"]
    s = sum(window) / 2.0
    curve = stop_curve(said["windows"], said["far"], half=said["half"], length=said["length"], allowance=said["allowance"])
    off = guide["slots"][0]["width_mm"] / 2.0 + 1.0
    place = origin + s * along + (np.interp(s, *curve) - 2.0) * blade + off * normal
    plane = cq.Plane(cq.Vector(*place), cq.Vector(*along), cq.Vector(*blade))
    return cq.Solid.makeBox(4.0, 1.4, 2.0 + high, cq.Vector(-2.0, -0.7, 0.0)).moved(cq.Location(plane))


FAULTS = {"stop_through": lambda s, g: s.fuse(bump(g, 2.5)), "stop_past": lambda s, g: s.cut(*bite(g, 1.2))}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_stop_fails_its_own_check(check, out, guide, tmp_path):
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide), guide["plan"], out / "bone.stl", tmp_path)
    assert f"{check}[A]" in failed, set(failed)
    other = next(name for name in FAULTS if name != check)
    assert f"{other}[A]" not in failed
    origin, _, _, normal = axes_of(guide)
    assert abs((np.array(failed[f"{check}[A]"].where) - origin) @ normal) < 0.1, "the place is on the cut"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["params.depth_stop=20"], r"params\.depth_stop = 20: cut 'A' needs \d+ mm between tip and collar"),
        (["params.depth_stop=85"], r"params\.depth_stop = 85: cut 'A' would have a fence \d+ mm high"),
        (["params.depth_stop=100"], r"params\.depth_stop = 100: cut 'A': blade generic-25x0.89 has 90 mm of usable length"),
    ],
)
def test_a_stop_that_cannot_be_is_refused_by_its_name(settings, said, tmp_path):
    with pytest.raises(PsiCadError, match=said) as refused:
        psi_cad.build(CASES / "phantom-type1", tmp_path, settings=settings, suggest=False)
    assert refused.value.where == pytest.approx((-96.0, -8.0, 35.0), abs=0.1), "at the cut, in the patient's frame"
    assert not list(itertools.chain(tmp_path.rglob("supra*.stl"), tmp_path.rglob("supra*.step")))
