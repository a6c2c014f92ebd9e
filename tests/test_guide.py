"""A finished guide on the phantom, measured again with code that is not the product's own."""

import json
import zipfile

import cadquery as cq
import numpy as np
import pytest
import trimesh
from conftest import CASES

import psi_cad
from psi_cad.case.load import load_case
from psi_cad.phantom import hemipelvis

STEM = "supra-acetabular_generic-25x0.89"


@pytest.fixture(scope="module")
def solid(phantom_out):
    return cq.importers.importStep(str(phantom_out / f"{STEM}.step")).val()


@pytest.fixture(scope="module")
def stl(phantom_out):
    return trimesh.load_mesh(phantom_out / f"{STEM}.stl")


@pytest.fixture(scope="module")
def plane():
    return load_case(CASES / "phantom-type1").case.cut[0].plane


def slot_planes(solid, plane):
    """Signed offsets of the flat faces parallel to the plan, and their areas."""
    origin, normal = plane
    rows = []
    for face in solid.Faces():
        if face.geomType() == "PLANE":
            n = np.array(face.normalAt().toTuple())
            if abs(abs(n @ normal) - 1) < 1e-8 and face.Area() > 30:
                rows.append((float((np.array(face.Center().toTuple()) - origin) @ normal), float(n @ normal), face))
    return rows


def test_output_names(phantom_out):
    names = {path.name for path in phantom_out.iterdir()}
    assert names == {f"{STEM}.step", f"{STEM}.stl", f"{STEM}.3mf", f"{STEM}.png", "report.json", "bone.stl"}
    assert not list(phantom_out.parent.glob(".psi-cad-*")), "the working folder is gone"


def test_one_valid_solid(solid):
    assert len(solid.Solids()) == 1 and solid.isValid()


def test_slot_is_where_it_was_planned(solid, plane):
    rows = slot_planes(solid, plane)
    inner = sorted((off, way) for off, way, _ in rows if abs(off) < 1.0)
    assert {round(way) for _, way in inner} == {1, -1}
    low, high = inner[0][0], inner[-1][0]
    assert high - low == pytest.approx(0.89 + 0.15, abs=0.005)
    assert (high + low) / 2 == pytest.approx(0.0, abs=0.005)
    outer = [abs(off) for off, _, _ in rows if 1.5 < abs(off) < 4.0]
    assert min(outer) - high >= 1.99


def test_guided_height_by_rays_in_the_stl(stl, plane, phantom_report):
    origin, normal = plane
    slot = phantom_report["guides"][0]["slots"][0]
    blade = np.array(slot["blade_direction"])
    along = np.cross(blade, normal)
    assert abs(blade @ normal) < 1e-9
    for low, high in slot["windows_mm"]:
        for s in np.linspace(low + 0.5, high - 0.5, 40):
            for side in (1, -1):
                start = origin + s * along + side * (slot["width_mm"] / 2 + 0.01) * normal - 60 * blade
                hits = np.sort((stl.ray.intersects_location([start], [blade])[0] - start) @ blade)
                assert len(hits) >= 2
                assert hits[-1] - hits[0] >= 9.95
    middle = origin + np.linspace(*slot["windows_mm"][0], 30)[1:-1, None] * along
    assert not stl.ray.intersects_any(middle - 60 * blade, np.tile(blade, (28, 1))).any()


def test_stl_agrees_with_step(solid, stl):
    assert stl.is_watertight and stl.body_count == 1
    assert stl.volume == pytest.approx(solid.Volume(), rel=0.005)
    box = solid.BoundingBox()
    np.testing.assert_allclose(stl.bounds[0], [box.xmin, box.ymin, box.zmin], atol=0.3)


def test_the_guide_stays_out_of_the_exact_bone(stl):
    points, _ = trimesh.sample.sample_surface_even(stl, 6000, seed=3)
    values = hemipelvis.implicit(points)
    bone = trimesh.load_mesh(CASES / "phantom" / "bone.stl")
    near = trimesh.bounds.contains(np.add(stl.bounds, [[-5], [5]]), bone.triangles_center)
    chords = hemipelvis.implicit(bone.triangles_center[near]).min()  # how far the bone's 2 mm triangles cut below the exact surface
    assert values.min() >= chords


def test_pull_off_meets_no_bone(stl, phantom_out, phantom_report):
    bone = trimesh.load_mesh(phantom_out / "bone.stl")
    axis = np.array(phantom_report["guides"][0]["seating_axis"])
    inside = [bone.contains(stl.vertices[::23] + step * axis).sum() for step in (0.1, 2.0, 10.0, 40.0)]
    assert inside == [0, 0, 0, 0]


def test_wires_are_three_or_more_on_both_sides(solid, plane, phantom_report):
    axis = np.array(phantom_report["guides"][0]["seating_axis"])
    origin, normal = plane
    centres = []
    for face in solid.Faces():
        if face.geomType() == "CYLINDER":
            cylinder = face._geomAdaptor().Cylinder()
            if abs(2 * cylinder.Radius() - 2.1) < 1e-6:
                place = cylinder.Axis().Location()
                direction = cylinder.Axis().Direction()
                assert abs(abs(np.array([direction.X(), direction.Y(), direction.Z()]) @ axis) - 1) < 1e-9
                centres.append((place.X(), place.Y(), place.Z()))
    sides = {float((np.array(c) - origin) @ normal) > 0 for c in centres}
    assert len({tuple(np.round(c, 3)) for c in centres}) >= 3 and sides == {True, False}


def test_step_header_and_names(phantom_out):
    text = (phantom_out / f"{STEM}.step").read_text("latin-1")
    assert "AP242_MANAGED_MODEL_BASED_3D_ENGINEERING" in text
    assert "'1970-01-01T00:00:00'" in text
    for name in (f"phantom-type1_{STEM}", "slot A specimen side", "slot A retained side", "seat", "pin hole"):
        assert f"'{name}'" in text
    assert "SI_UNIT(.MILLI.,.METRE.)" in text.replace("$,", "")


def test_3mf_has_units_and_facts(phantom_out):
    with zipfile.ZipFile(phantom_out / f"{STEM}.3mf") as package:
        model = package.read("3D/3dmodel.model").decode()
    assert 'unit="millimeter"' in model and "phantom-type1" in model and "not a medical device" in model
    mesh = trimesh.load_mesh(phantom_out / f"{STEM}.3mf")
    assert mesh.to_mesh().is_watertight if isinstance(mesh, trimesh.Scene) else mesh.is_watertight


def test_picture_shows_guide_and_bone(phantom_out):
    from PIL import Image

    pixels = np.asarray(Image.open(phantom_out / f"{STEM}.png").convert("RGB")).astype(int)
    blue = (pixels[..., 2] > pixels[..., 0] + 40).mean()
    bone = (pixels[..., 0] > pixels[..., 2] + 15).mean()
    assert blue > 0.02 and bone > 0.1


def test_report_is_complete(phantom_report):
    assert phantom_report["schema"] == 1 and phantom_report["status"] == "passed"
    guide = phantom_report["guides"][0]
    for key in ("name", "blade", "seating_axis", "files", "slots", "seat", "checks", "status"):
        assert key in guide
    for key in ("name", "width_mm", "length_mm", "height_min_mm", "wall_min_mm", "blade_direction", "plane_angle_deg", "plane_offset_mm"):
        assert key in guide["slots"][0]
    assert guide["seating"]["sliding_lock"] > 0.12 and guide["seating"]["tried"] == []
    assert np.linalg.norm(guide["seating"]["weakest_direction"]) == pytest.approx(1.0, abs=1e-5)
    for key in ("rms_mm", "max_mm", "gap_mm", "overlap_max_mm", "contact_area_mm2"):
        assert key in guide["seat"]
    for check in guide["checks"]:
        assert set(check) >= {"id", "value", "unit", "limit", "passed"}
    ids = {check["id"].split("[")[0] for check in guide["checks"]}
    assert ids >= {"slot_width", "slot_plane_angle", "slot_plane_offset", "slot_wall", "slot_height", "seat_rms", "seat_overlap", "step_valid",
                   "stl_volume", "pull_off", "pin_clearance", "printer_room", "contact_area", "sliding_lock", "blade_reach"}  # fmt: skip
    text = json.dumps(phantom_report)
    assert "/home" not in text and str(CASES) not in text
    assert any("uncalibrated" in note for note in guide["notes"]) and any("nominal" in note for note in guide["notes"])


@pytest.mark.slow
def test_override_shows(tmp_path):
    text = (CASES / "phantom-type3" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    (tmp_path / "case.toml").write_text(text[: text.index('[[guide]]\nname = "inferior')], "utf-8")
    report = psi_cad.build(tmp_path, tmp_path / "out", settings=["params.clearance=0.3", "params.clearance_override=true"])
    for guide in report["guides"]:
        assert guide["status"] == "passed"
        assert guide["overrides"] == ["clearance"]
        (slides,) = [caution for caution in guide["cautions"] if caution["id"] == "slides"]  # a ramus is a tube, and the case allows it
        assert "place it by hand" in slides["text"] and slides["blocks_release"] and slides["where"]
        assert guide["seating"]["sliding_lock"] < 0.12 and guide["seating"]["tried"] == []
        assert guide["slots"][0]["width_mm"] == pytest.approx(0.9, abs=0.005)
        assert any("override" in check["note"] for check in guide["checks"])
        assert guide["label"]["letter_height_mm"] >= 2.5  # on walls raised for it, or on a tag
        assert "c0.3" in " ".join(guide["label"]["lines"])


WEDGE = """
schema = 1
id = "wedge"
side = "right"
bone = { surface = "BONE", units = "mm", coordinates = "LPS" }
cut = [
  { name = "A1", origin = [-103.0, -18.0, 70.0], normal = [0.0, 0.85, 0.5] },
  { name = "A2", origin = [-103.0, 6.0, 70.0], normal = [0.0, -0.85, 0.5] },
]
guide = [{ name = "v", template = "osteotomy", cuts = ["A1", "A2"], approach = [-1.0, 0.0, 0.0], blade = "generic-20x1.0", printer = "fdm-ultem1010" }]
"""


@pytest.mark.slow
def test_a_sharp_wedge_between_slots_is_taken_back(tmp_path):
    """Slots that meet at 61° leave no material thinner than the wall between them, and all of it further in."""
    (tmp_path / "case.toml").write_text(WEDGE.replace("BONE", (CASES / "phantom" / "bone.stl").as_posix()))
    (guide,) = psi_cad.build(tmp_path, tmp_path / "out")["guides"]
    assert guide["status"] == "passed"
    mesh = trimesh.load_mesh(tmp_path / "out" / "wedge" / guide["files"]["stl"])
    slots = guide["plan"]["slots"]
    normals = np.array([slot["normal"] for slot in slots]) / np.linalg.norm([slot["normal"] for slot in slots], axis=1)[:, None]
    half = guide["slots"][0]["width_mm"] / 2.0
    line = np.cross(*normals) / np.linalg.norm(np.cross(*normals))
    origins = np.array([slot["origin"] for slot in slots])
    inward = normals.sum(axis=0) / np.linalg.norm(normals.sum(axis=0))
    tip = np.linalg.solve([*normals, line], [*(np.einsum("ij,ij->i", normals, origins) + half), 0.0])
    angle = 180.0 - np.degrees(np.arccos(normals[0] @ normals[1]))
    assert angle < 75.0
    wall = slots[0]["wall"]
    along = np.arange(-140.0, 0.0, 0.5)[:, None] * line * np.sign(line[0])  # through the guide, along the blades' common line

    def thickness(depth):
        """Length of material on the line at `depth` behind the tip."""
        return 0.5 * float(mesh.contains(tip + depth * inward + along).sum())

    back = wall / (2.0 * np.tan(np.radians(angle) / 2.0))
    assert thickness(0.5 * back) == 0.0
    assert thickness(0.9 * back) == 0.0
    assert thickness(1.15 * back) > 5.0

    # outside, where the fences meet, the corner is blunt and still a wall thick
    outside = np.linalg.solve([*normals, line], [*(np.einsum("ij,ij->i", normals, origins) - half), 0.0])
    height = [0.5 * float(mesh.contains(outside - depth * inward + along).sum()) for depth in (0.1, 0.95 * wall, 1.1 * wall)]
    assert height[0] > 9.0 and height[1] > 9.0
    assert height[2] < height[1] - 5.0, "only the footplate goes on"
