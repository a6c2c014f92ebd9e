"""Wires that diverge: what they leave a guide free to do, their bores as built, and files in which something of them is wrong."""

import json
import shutil

import cadquery as cq
import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_in, failed_with

import psi_cad
from psi_cad.errors import PsiCadError
from psi_cad.files import sha256_of
from psi_cad.fitting.leaning import ways_out
from psi_cad.inspection.measure import measure_folder
from psi_cad.options.leaning import MOST_TRAVEL_MM, travel

STEM = "supra-acetabular_generic-25x0.89"
LEAN = 12.0
FEET = np.array([[-30.0, -12.0, 3.0], [28.0, -14.0, -2.0], [25.0, 15.0, 1.0], [-26.0, 13.0, 0.0]])


def outward(feet, lean):
    return ways_out(feet[:, :2], feet[:, :2].mean(axis=0), lean)[0]


def test_parallel_wires_leave_a_guide_free_and_ever_more_lean_holds_it_ever_better():
    assert travel(FEET, np.tile([0.0, 0.0, 1.0], (4, 1)), 10.0, 0.1) == np.inf
    assert travel(FEET, np.tile([0.6, 0.0, 0.8], (4, 1)), 10.0, 0.1) == np.inf, "parallel ones that lean"
    held = [travel(FEET, outward(FEET, lean), 10.0, 0.1) for lean in (5.0, 10.0, 20.0)]
    assert held[0] > held[1] > held[2] > 0.1
    for lean, far in zip((5.0, 10.0, 20.0), held, strict=True):
        assert far >= 0.1 / np.sin(np.radians(lean)) - 1e-9, "lifted straight, each wire stops it after play / sin(lean)"
    assert travel(FEET, outward(FEET, 10.0), 10.0, 0.3) == pytest.approx(3.0 * held[1], rel=1e-6), "it grows with the play"


def test_wires_that_lean_all_round_a_circle_stop_a_screw():
    """Wires that lie as the threads of a screw: a first look along them would let the guide turn off."""
    turns = np.arange(4) * np.pi / 2.0
    feet = np.column_stack([30.0 * np.cos(turns), 30.0 * np.sin(turns), np.zeros(4)])
    assert np.isfinite(travel(feet, ways_out(feet[:, :2], np.zeros(2), 15.0)[5], 10.0, 0.1))


def test_ways_out_lean_as_told_and_never_to_the_middle():
    middle = FEET[:, :2].mean(axis=0)
    for number, ways in enumerate(ways_out(FEET[:, :2], middle, LEAN)):
        np.testing.assert_allclose(np.degrees(np.arccos(ways[:, 2])), LEAN)
        away = np.einsum("ij,ij->i", ways[:, :2], FEET[:, :2] - middle)
        assert (away > 0.0).all() if number < 5 else (away > -1e-9).all()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=[f"params.pin_divergence={LEAN}"])["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "leaning", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def wires(guide):
    """Foot and direction of each wire, patient frame."""
    plan = guide["plan"]
    axes, origin, (said,) = np.array(plan["axes"]), np.array(plan["origin"]), plan["features"]
    return [(origin + np.array(foot) @ axes, np.array(way) @ axes) for foot, way in zip(said["feet"], said["outs"], strict=True)]


def rod(foot, way, radius, low, high):
    return cq.Solid.makeCylinder(radius, high - low, cq.Vector(*(foot + low * way)), cq.Vector(*way))


def solid_in(folder):
    return cq.Solid(cq.importers.importStep(str(folder / f"{STEM}.step")).val().Solids()[0].wrapped)


@pytest.mark.slow
def test_the_report_tells_of_them_and_the_bores_lie_there(out, guide):
    """The axes by the kernel's own cylinders, without the finders."""
    (said,) = guide["features"]
    assert said["kind"] == "leaning" and said["found"] == 4 and said["lean_deg"] == pytest.approx([LEAN] * 4, abs=1e-3)
    assert {"pin_axis", "pin_foot", "pin_open", "pin_apart", "pin_lock", "pull_off"} <= {check["id"] for check in guide["checks"]}
    holes = []
    for face in solid_in(out).Faces():
        if face.geomType() == "CYLINDER" and abs(face._geomAdaptor().Cylinder().Radius() - guide["plan"]["bore"] / 2.0) < 1e-6:
            axis = face._geomAdaptor().Cylinder().Axis()
            holes.append((np.array(axis.Location().Coord()), np.array(axis.Direction().Coord())))
    for foot, way in wires(guide):
        assert min(np.linalg.norm(np.cross(foot - at, along)) + np.linalg.norm(np.cross(way, along)) for at, along in holes) < 1e-5
        assert np.degrees(np.arccos(way @ np.array(guide["seating_axis"]))) == pytest.approx(LEAN, abs=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered")  # trimesh asks for the middle of nothing
def test_with_its_wires_in_a_guide_meets_them_and_without_it_comes_off(out, guide, phantom_out, phantom_report):
    """Solids of wires against the STL, lifted along the seating axis and moved aside in every way: no code of the product."""

    def met(folder, entry, ways, lift):
        mesh = trimesh.load_mesh(folder / f"{STEM}.stl")
        mesh.merge_vertices()
        up = np.array(entry["seating_axis"])
        aside = np.cross(up, [1.0, 0.0, 0.0])
        aside /= np.linalg.norm(aside)
        least = np.inf
        for a in np.arange(0.0, 2.0 * np.pi, np.pi / 3.0):
            for far in (0.0, 0.15, 0.4, 0.8):
                moved = mesh.copy()
                moved.apply_translation(lift * up + far * (np.cos(a) * aside + np.sin(a) * np.cross(up, aside)))
                bars = [trimesh.creation.cylinder(radius=0.99, segment=(foot - 20.0 * way, foot + 60.0 * way), sections=64) for foot, way in ways]
                volume = sum(trimesh.boolean.intersection([moved, bar], engine="manifold").volume for bar in bars)
                least = min(least, volume)
                if lift == 0.0:
                    return volume
        return least

    ways = wires(guide)
    assert met(out, guide, ways, 0.0) < 0.01, "seated, the wires go through"
    assert met(out, guide, ways, MOST_TRAVEL_MM + 0.5) > 0.3, "lifted, each shift meets one"
    entry = phantom_report["guides"][0]
    up, axes, origin = np.array(entry["seating_axis"]), np.array(entry["plan"]["axes"]), np.array(entry["plan"]["origin"])
    upright = [(origin + np.array([*pin["centre_mm"], 0.0]) @ axes, up) for pin in entry["pins"]]
    assert met(phantom_out, entry, upright, MOST_TRAVEL_MM + 0.5) < 0.01, "along parallel wires it lifts off"


def failed_of(out, guide, tmp_path, *, solid=None, plan=None):
    plan, bone = plan or guide["plan"], out / "bone.stl"
    return failed_in(out / f"{STEM}.step", out / f"{STEM}.stl", plan, bone) if solid is None else failed_with(solid, plan, bone, tmp_path)


def redrilled(guide, *, beside=0.0, turned=0.0):
    """The upper part of a sleeve cut off, and one in its place that stands or leans a little otherwise."""
    foot, way = wires(guide)[0]
    across = np.cross(way, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    other = np.cos(np.radians(turned)) * way + np.sin(np.radians(turned)) * across
    place, radius = foot + beside * across, guide["plan"]["bore"] / 2.0

    def change(solid):
        sleeve = rod(place, other, 3.3, 4.0, 10.0).cut(rod(place, other, radius + 0.003, 3.0, 11.0))
        return solid.cut(rod(foot, way, 3.6, 4.5, 14.0)).fuse(sleeve)

    return change


FAULTS = {
    "pin_axis": lambda guide: redrilled(guide, turned=0.3),
    "pin_foot": lambda guide: redrilled(guide, beside=0.08),
    "pin_open": lambda guide: lambda solid: solid.fuse(beam(guide)),
}
BY_PLAN = ("pin_apart", "pin_lock", "pin_avoid")


def beam(guide):
    foot, way = wires(guide)[0]
    across = np.cross(way, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    return cq.Solid.makeCylinder(0.3, 3.2, cq.Vector(*(foot + 7.0 * way - 1.6 * across)), cq.Vector(*across))


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_bore_fails_its_own_check(check, out, guide, tmp_path):
    failed = failed_of(out, guide, tmp_path, solid=FAULTS[check](guide)(solid_in(out)))
    assert check in failed and set(failed) <= {check, "pin_open"}, set(failed)
    foot, way = wires(guide)[0]
    assert np.linalg.norm(np.cross(np.array(failed[check].where) - foot, way)) < 2.0, "the place is on that wire"


@pytest.mark.slow
def test_bores_that_do_not_hold_and_wires_that_meet_fail(out, guide, phantom_out, phantom_report, tmp_path):
    upright = phantom_report["guides"][0]
    plan = json.loads(json.dumps(upright["plan"]))
    said = {**guide["plan"]["features"][0], "outs": [[0.0, 0.0, 1.0]] * 4, "depths": [pin["depth_mm"] for pin in upright["pins"]]}
    said["feet"] = [[*pin["centre_mm"], 0.0] for pin in upright["pins"]]
    failed = failed_of(phantom_out, upright, tmp_path, plan={**plan, "features": [said]})
    assert set(failed) == {"pin_lock"} and failed["pin_lock"].value == 1e9, "a guide whose wires are parallel can be lifted off"
    meet = json.loads(json.dumps(guide["plan"]))
    meet["features"][0]["depths"] = [400.0] * 4
    assert "pin_apart" in failed_of(out, guide, tmp_path, plan=meet)


@pytest.mark.slow
def test_wires_keep_off_a_structure_or_the_guide_is_rejected(out, guide, tmp_path):
    """A ball beside a wire's tip: the wire leans or stands elsewhere; measured against a ball that was put there later, it fails."""
    depth = guide["plan"]["features"][0]["depths"][0]
    foot, way = wires(guide)[0]
    ball = trimesh.creation.icosphere(radius=4.0)
    ball.apply_translation(foot - (depth - 2.0) * way)
    case = tmp_path / "case"
    shutil.copytree(CASES / "phantom-type1", case)
    shutil.copytree(CASES / "phantom", tmp_path / "phantom")
    ball.export(case / "vessel.stl")
    text = (
        (case / "case.toml")
        .read_text("utf-8")
        .replace("[[cut]]", '[[avoid]]\nname = "vessel"\nsurface = "vessel.stl"\nunits = "mm"\ncoordinates = "LPS"\ndistance = 5.0\n\n[[cut]]', 1)
    )
    (case / "case.toml").write_text(text)
    (made,) = psi_cad.build(case, tmp_path / "out", settings=[f"params.pin_divergence={LEAN}"])["guides"]
    assert made["status"] == "passed"
    kept = {check["id"]: check["value"] for check in made["checks"] if check["id"].startswith("pin_avoid")}
    assert len(kept) == 4 and min(kept.values()) >= 5.0
    assert any(np.linalg.norm(a[0] - b[0]) + np.linalg.norm(a[1] - b[1]) > 0.1 for a, b in zip(wires(made), wires(guide), strict=True)), (
        "one gave way"
    )
    folder = tmp_path / "out" / "phantom-type1"
    report = json.loads((folder / "report.json").read_text("utf-8"))
    there, along = wires(made)[0]
    near = trimesh.creation.icosphere(radius=1.0)
    near.apply_translation(there - 10.0 * along)
    near.export(folder / "avoid_vessel.stl")
    report["guides"][0]["plan"]["avoid"][0]["sha256"] = sha256_of(folder / "avoid_vessel.stl")
    (folder / "report.json").write_text(json.dumps(report))
    (again,) = measure_folder(folder, progress=lambda step: None)["guides"]
    failed = {check["id"] for check in again["checks"] if not check["passed"]}
    assert failed == {"pin_avoid[1 vessel]"}


@pytest.mark.slow
def test_a_lean_that_does_not_hold_or_finds_no_room_is_refused_by_its_name(tmp_path):
    with pytest.raises(PsiCadError, match=r"params\.pin_divergence = 3: with its wires in, the guide could be moved 2\.\d mm"):
        psi_cad.build(CASES / "phantom-type1", tmp_path, settings=["params.pin_divergence=3"], suggest=False)
    with pytest.raises(PsiCadError, match="lower pin_divergence"):
        psi_cad.build(
            CASES / "phantom-type1",
            tmp_path,
            settings=["params.pin_divergence=20", "params.pin_clearance=15", "params.footplate_reach=18"],
            suggest=False,
        )
