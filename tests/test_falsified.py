"""A falsified file of each kind makes its check fail: no check is there for show."""

import dataclasses
import itertools
import json
import shutil

import cadquery as cq
import numpy as np
import pytest
import trimesh
from faults import FAULTS, ball, frame_of, lost_face, opened
from test_allograft import OFF as GRAFT_FAULTS
from test_beside import BESIDE
from test_drill_falsified import BY_PLAN
from test_drill_falsified import FAULTS as SLEEVE_FAULTS
from test_flap import FAULTS as FLAP_FAULTS
from test_grip import FAULTS as GRIP_FAULTS
from test_insert import FAULTS as INSERT_FAULTS
from test_leaning import BY_PLAN as WIRES_BY_PLAN
from test_leaning import FAULTS as WIRE_FAULTS
from test_ledge import FAULTS as LEDGE_FAULTS
from test_liner import BY_PLAN as LINER_BY_PLAN
from test_liner import FAULTS as LINER_FAULTS
from test_opening import BY_PLAN as OPENING_BY_PLAN
from test_opening import FAULTS as OPENING_FAULTS
from test_order import FAULTS as ORDER_FAULTS
from test_parts import FAULTS as PART_FAULTS
from test_plated import FAULTS as PLATED_FAULTS
from test_relief import FAULTS as RELIEF_FAULTS
from test_scale import FAULTS as SCALE_FAULTS
from test_standing import FAULTS as STANDING_FAULTS
from test_stems_built import FAULTS as STEM_FAULTS
from test_steps import FAULTS as STEP_FAULTS
from test_stop import FAULTS as STOP_FAULTS
from test_window import FAULTS as WINDOW_FAULTS

from psi_cad.export.meshes import triangulated, write_stl
from psi_cad.inspection.inspect import bone_probe
from psi_cad.inspection.measure import measure_folder
from psi_cad.promises.expected import Expected
from psi_cad.readback.part import Part
from psi_cad.readback.printed import Printed
from psi_cad.remedies.mending import CHECKS
from psi_cad.siting.about import blade_axes
from psi_cad.verify.checks import measure_part
from psi_cad.verify.features.bore import Bore
from psi_cad.verify.features.feature import told
from psi_cad.verify.features.flat import Flat
from psi_cad.verify.features.gap import Gap
from psi_cad.verify.features.web import Web

STEM = "supra-acetabular_generic-25x0.89"


@pytest.fixture(scope="module")
def good(phantom_out):
    solid = cq.importers.importStep(str(phantom_out / f"{STEM}.step")).val()
    guide = json.loads((phantom_out / "report.json").read_text("utf-8"))["guides"][0]
    return cq.Solid(solid.Solids()[0].wrapped), guide


def changed(folder, tmp_path, solid, guide):
    """Failed checks (id without its cut: place) of the files once `solid` was written over both."""
    here = tmp_path / "case"
    shutil.copytree(folder, here)
    cq.exporters.export(cq.Workplane(solid), str(here / f"{STEM}.step"), "STEP")
    if solid.Solids() and solid.isValid():
        write_stl(here / f"{STEM}.stl", triangulated(cq.Solid(solid.Solids()[0].wrapped)), header="changed")
    found = measure_folder(here, progress=lambda step: None)
    assert found["status"] == "failed"
    guide = found["guides"][0]
    assert f"{STEM}.step" in guide["changed_files"]
    return failed_in(guide)


def failed_in(guide):
    return {check["id"].split("[")[0]: check["where"] for check in guide["checks"] if not check["passed"]}


TOGETHER = (
    ("wider slot", "one wire less"),
    ("wider in one place", "two wires less"),
    ("narrower in one place", "wider bore"),
    ("shifted",),
    ("turned",),
    ("lifted",),
    ("thin wall", "lower fence", "thin bridge", "too large for the printer"),
    ("pit in the seat",),
    ("bump on the seat",),
    ("much contact gone",),
    ("slot ends early",),
    ("short window", "a bore by the cut"),
    ("slot closed", "two pieces"),
)
OFTEN = {"bump on the seat"}  # planted in every run, with theirs; the others are slow
OF_PARTS = {check.split("[")[0] for _, wrong in PART_FAULTS.values() for check in wrong}
STL_FAULTS = {
    "hole": {"stl_watertight"},
    "two bodies": {"stl_bodies"},
    "a corner gone": {"stl_volume", "stl_place"},
    "narrower slot": {"slot_printed"},
    "wider slot": {"slot_printed"},
    "narrower wire hole": {"stl_faces"},
    "wider wire hole": {"stl_faces"},
}
ELSEWHERE = {  # each falsified by a test of its own below, which asks for this very check
    **dict.fromkeys(("step_schema_ap242", "files_unchanged", "bone_unchanged"), "test_other_schema_and_a_changed_bone"),
    "blade_reach": "test_a_blade_too_short_for_the_bone_fails",
    "step_valid": "test_an_unsound_solid_fails_where_it_is_open",
    "sliding_lock": "test_a_guide_that_slides_fails_unless_it_may",
    **dict.fromkeys(("gap_width", "gap_open", "gap_printed", "bore", "flat", "web"), "test_what_else_a_template_promised_is_measured"),
}


def test_every_check_is_falsified(phantom_report):
    falsified = set().union(
        *(ids for _, _, ids in FAULTS.values()), *STL_FAULTS.values(), *BESIDE.values(), ELSEWHERE, SLEEVE_FAULTS, GRAFT_FAULTS, BY_PLAN, OF_PARTS
    )
    falsified |= {*WIRE_FAULTS, *WIRES_BY_PLAN, *FLAP_FAULTS, *WINDOW_FAULTS, *STOP_FAULTS, *SCALE_FAULTS, *STEM_FAULTS, *STEP_FAULTS}
    falsified |= {*LEDGE_FAULTS, *LINER_FAULTS, *LINER_BY_PLAN, *OPENING_BY_PLAN}
    falsified |= {*GRIP_FAULTS, *INSERT_FAULTS, *OPENING_FAULTS, *ORDER_FAULTS, *PLATED_FAULTS, *RELIEF_FAULTS, *STANDING_FAULTS}
    measured = {check["id"].split("[")[0] for check in phantom_report["guides"][0]["checks"]}
    assert measured - falsified == set(), "a check that nothing falsifies"
    assert set(CHECKS) - falsified == set(), "a check of the table of remedies that nothing falsifies"
    assert measured <= set(CHECKS), "a check without a word on what mends it"
    assert sorted(name for group in TOGETHER for name in group) == sorted(FAULTS)
    assert all(callable(globals().get(test)) for test in ELSEWHERE.values())


def away(shape, place):
    """Distance of a place from a shape; 0 inside one of its solids."""
    return min(part.distance(cq.Vertex.makeVertex(*place)) for part in shape.Solids() or [shape])


@pytest.mark.parametrize("names", [pytest.param(names, marks=() if names[0] in OFTEN else pytest.mark.slow) for names in TOGETHER], ids=" and ".join)
def test_falsified_step(names, phantom_out, tmp_path, good):
    """Each fault fails its checks, and each check tells of a place within 2 mm of its fault."""
    solid, guide = good
    whole = solid
    for name in names:
        whole = FAULTS[name][0](whole, guide)
    failed = changed(phantom_out, tmp_path, whole, guide)
    for name in names:
        _, region, ids = FAULTS[name]
        assert ids <= set(failed), f"{name}: failed {set(failed)}"
        for check in ids if region is not None else ():
            assert failed[check] is not None, f"{name}: {check} has no place"
            assert away(region(solid, guide), failed[check]) <= 2.0, f"{name}: {check} points at {failed[check]}"


@pytest.mark.slow
def test_an_unsound_solid_fails_where_it_is_open(phantom_out, good):
    """The reader mends what it can, so the solid is opened after it was read."""
    solid, guide = good
    expected = Expected.from_json(guide["plan"])
    part = Part(phantom_out / f"{STEM}.step", expected.frame)
    part._solid = opened(solid, guide)
    del part.__dict__["valid"]  # as it was when it was read
    part._mended = True  # and as other programs read it
    checks = measure_part(part, phantom_out / f"{STEM}.stl", expected, bone_probe(phantom_out / "bone.stl")).checks
    (valid,) = (check for check in checks if check.id == "step_valid")
    assert not valid.passed and valid.where is not None and away(lost_face(solid, guide), valid.where) <= 2.0


@pytest.mark.slow
def test_a_blade_too_short_for_the_bone_fails(phantom_out, tmp_path):
    """The same files and a report that tells of a shorter blade; just long enough it passes."""
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    report = json.loads((here / "report.json").read_text("utf-8"))
    slot, said = report["guides"][0]["plan"]["slots"][0], report["guides"][0]["checks"]
    whole = next(check for check in said if check["id"] == "blade_reach[A]")
    needed = whole["limit"]
    assert whole["passed"] and whole["value"] == 90.0
    assert slot["depth"] + 10.0 + 0.2 < needed < slot["depth"] + 10.0 + 4.0, "the fence follows the bone and stands higher in places"
    assert needed == pytest.approx(needed_by_sections(here, report["guides"][0]), abs=0.1)
    for spare, failed in ((0.001, []), (-0.001, ["blade_reach[A]"])):
        slot["blade_length"] = needed + spare
        (here / "report.json").write_text(json.dumps(report))
        (guide,) = measure_folder(here, progress=lambda step: None)["guides"]
        assert [check["id"] for check in guide["checks"] if not check["passed"]] == failed
    del slot["depth"]
    (here / "report.json").write_text(json.dumps(report))
    (guide,) = measure_folder(here, progress=lambda step: None)["guides"]
    assert guide["status"] == "failed" and "build again" in guide["why"]


def dense(path, count):
    """Points along a polyline, `count` on each piece."""
    return np.vstack([np.linspace(a, b, count) for a, b in itertools.pairwise(path)])


def needed_by_sections(folder, guide):
    """How much blade the cut needs, from sections of bone and guide with planes across the slot; no code of the product."""
    slot, said = guide["plan"]["slots"][0], guide["slots"][0]
    origin, blade = np.array(slot["origin"]), np.array(said["blade_direction"])
    normal = np.array(slot["normal"]) / np.linalg.norm(slot["normal"])
    along = np.cross(blade, normal)
    bone, mesh = trimesh.load_mesh(folder / "bone.stl"), trimesh.load_mesh(folder / f"{STEM}.stl")
    cut = bone.section(plane_origin=origin, plane_normal=normal)
    ring = min((cut.vertices[e.points] for e in cut.entities), key=lambda r: np.linalg.norm(r - origin, axis=1).min())
    ring = dense(ring, 8)
    s, u = (ring - origin) @ along, (ring - origin) @ blade
    fence = []
    for offset in np.linspace(0.7, 2.4, 8):
        for sign in (1, -1):
            section = mesh.section(plane_origin=origin + sign * offset * normal, plane_normal=normal)
            fence += [dense(path, 20) for path in section.discrete]
    fence = np.vstack(fence) - origin
    fs, fu = fence @ along, fence @ blade
    half, most = slot["blade_width"] / 2, -np.inf
    for at, far in zip(s, u, strict=True):
        middle = min((np.clip(at, low + half, high - half) for low, high in said["windows_mm"]), key=lambda m: abs(m - at))
        most = max(most, fu[np.abs(fs - middle) <= half].max() - far)
    return most


@pytest.mark.slow
def test_a_fence_with_a_tower_needs_more_blade(phantom_out, tmp_path, good):
    """Something that stands 15 mm above the fence over the line that decides stops the saw's hub: the check says so and where."""
    from psi_cad.inspection.inspect import bone_probe
    from psi_cad.verify.checks import measure_files

    _, guide = good
    whole = next(check for check in guide["checks"] if check["id"] == "blade_reach[A]")
    slot, blade = guide["plan"]["slots"][0], np.array(guide["slots"][0]["blade_direction"])
    normal = np.array(slot["normal"]) / np.linalg.norm(slot["normal"])
    mesh = trimesh.load_mesh(phantom_out / f"{STEM}.stl")
    hits, _, _ = mesh.ray.intersects_location([np.array(whole["where"]) + 1.5 * normal + 150 * blade], [-blade])
    top = hits[np.argmax(hits @ blade)]
    tower = trimesh.creation.box((1.0, 1.0, 30.0), trimesh.geometry.align_vectors([0, 0, 1], blade))
    tower.apply_translation(top)
    path = tmp_path / "tower.stl"
    trimesh.util.concatenate([mesh, tower]).export(path)
    measured = measure_files(phantom_out / f"{STEM}.step", path, Expected.from_json(guide["plan"]), bone_probe(phantom_out / "bone.stl"))
    higher = next(check for check in measured.checks if check.id == "blade_reach[A]")
    stop = float((top - slot["origin"]) @ blade) + 15.0
    fars = [float((np.array(whole["where"]) - slot["origin"]) @ blade), min(far for _, far in slot["far"])]
    assert whole["limit"] + 5.0 < stop - fars[0] - 0.05 <= higher.limit <= stop - fars[1] + 0.05
    assert np.linalg.norm(np.array(higher.where) - whole["where"]) < slot["blade_width"]


def test_a_guide_that_slides_fails_unless_it_may(good, tmp_path):
    """Files of a round rod and a shell on it: nothing stops a slide along it or round it; the case may allow that."""
    from psi_cad.inspection.inspect import bone_probe
    from psi_cad.verify.features.seat import measure as measure_seat
    from psi_cad.verify.holding import holding_json, lock_check

    plan = {**good[1]["plan"], "outlines": [[[-20.0, -13.0], [20.0, -13.0], [20.0, 13.0], [-20.0, 13.0]]]}
    axes = np.array(plan["axes"])
    lying = np.eye(4)
    lying[:3, :3], lying[:3, 3] = axes.T, plan["origin"]
    along_x = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0])
    rod = trimesh.creation.cylinder(radius=20.0, height=120.0, sections=128)
    shell = trimesh.creation.annulus(r_min=20.2, r_max=24.0, height=40.0, sections=128)
    shell.apply_transform(along_x)
    shell = shell.slice_plane([0, 0, 14.0], [0, 0, 1.0])
    rod.apply_transform(lying @ along_x)
    shell.apply_transform(lying)
    rod.export(tmp_path / "bone.stl")
    shell.export(tmp_path / "guide.stl")
    expected = Expected.from_json(plan)
    seat = measure_seat(Printed(tmp_path / "guide.stl", expected.frame), expected, bone_probe(tmp_path / "bone.stl"))
    assert seat.contact_area > 900.0
    check = lock_check(seat.holding, expected)
    assert check.id == "sliding_lock"
    assert not check.passed and check.value < 0.005 and check.limit == 0.12 and "params.allow_sliding = true" in check.note
    assert np.linalg.norm(np.array(check.where) - (np.array(plan["origin"]) + 18.5 * axes[2])) < 1.0
    way = np.array(holding_json(seat.holding, expected)["weakest_direction"])
    assert abs(way @ axes[2]) < 0.02 and np.linalg.norm(way) == pytest.approx(1.0, abs=1e-5)
    allowed = lock_check(seat.holding, Expected.from_json({**plan, "allow_sliding": True}))
    assert allowed.passed and allowed.value == check.value and "allowed by params.allow_sliding" in allowed.note


def test_other_schema_and_a_changed_bone(phantom_out, tmp_path):
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    path = here / f"{STEM}.step"
    path.write_bytes(path.read_bytes().replace(b"AP242", b"AP214"))
    mesh = trimesh.load_mesh(here / "bone.stl")
    mesh.apply_translation([0.0, 0.0, 0.5])
    mesh.export(here / "bone.stl")
    failed = {c["id"] for c in measure_folder(here, progress=lambda s: None)["guides"][0]["checks"] if not c["passed"]}
    assert {"step_schema_ap242", "files_unchanged", "bone_unchanged"} <= failed


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in ("hole", "narrower slot", "narrower wire hole") else pytest.mark.slow) for kind in STL_FAULTS]
)
def test_falsified_stl(kind, phantom_out, tmp_path, good):
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    path = here / f"{STEM}.stl"
    mesh = trimesh.load_mesh(path)
    if kind == "hole":
        place = mesh.triangles_center[50]
        mesh.update_faces(np.arange(len(mesh.faces)) != 50)
    elif kind == "two bodies":
        extra = trimesh.creation.box((2, 2, 2))
        place = mesh.bounds[1] + 5
        extra.apply_translation(place)
        mesh = trimesh.util.concatenate([mesh, extra])
    elif kind.endswith("slot"):  # by a hundredth of a millimetre, and nothing but that
        slot = good[1]["plan"]["slots"][0]
        normal, half = np.array(slot["normal"]) / np.linalg.norm(slot["normal"]), good[1]["slots"][0]["width_mm"] / 2.0
        off = (mesh.vertices - slot["origin"]) @ normal
        side = np.abs(off - half) < 1e-3
        mesh.vertices[side] += (-0.01 if kind == "narrower slot" else 0.01) * normal
        place = mesh.vertices[side].mean(axis=0)
    elif kind.endswith("wire hole"):  # as little as that, at one end of it
        plan, pin = good[1]["plan"], good[1]["pins"][0]
        local = (mesh.vertices - plan["origin"]) @ np.array(plan["axes"]).T
        beside = local[:, :2] - pin["centre_mm"]
        away = np.hypot(*beside.T)
        on = np.abs(away - pin["diameter_mm"] / 2.0) < 0.01
        on &= local[:, 2] > local[on, 2].max() - 0.5
        local[on, :2] += (-0.04 if kind.startswith("narrower") else 0.04) * beside[on] / away[on, None]
        mesh.vertices = local @ np.array(plan["axes"]) + plan["origin"]
        place = mesh.vertices[on].mean(axis=0)
    else:  # the STL lacks a corner that the STEP has
        solid, guide = good
        farthest = max(solid.Vertices(), key=lambda v: (v.Center() - frame_of(guide).origin).Length).Center()
        place = np.array(farthest.toTuple())
        rest = solid.cut(ball(place, 9.0))
        mesh = triangulated(cq.Solid(rest.Solids()[0].wrapped))
    mesh.export(path)
    failed = failed_in(measure_folder(here, progress=lambda s: None)["guides"][0])
    assert STL_FAULTS[kind] <= set(failed)
    for check in STL_FAULTS[kind]:
        assert np.linalg.norm(np.array(failed[check]) - place) <= {"hole": 2.0, "two bodies": 2.0, "a corner gone": 9.0 + 2.0}.get(
            kind, 60.0 if "slot" in kind else 14.0
        ), check
    if kind in ("narrower slot", "narrower wire hole", "wider wire hole"):
        assert set(failed) == {*STL_FAULTS[kind], "files_unchanged"}, "nothing else would tell of it"


def test_broken_and_missing_files(phantom_out, tmp_path, run):
    for number, (name, content) in enumerate(
        [(f"{STEM}.step", b"nonsense"), (f"{STEM}.step", b""), (f"{STEM}.stl", b"nonsense"), (f"{STEM}.stl", None), (f"{STEM}.step", None)]
    ):
        here = tmp_path / str(number)
        shutil.copytree(phantom_out, here)
        if content is None:
            (here / name).unlink()
        else:
            (here / name).write_bytes(content)
        result = run("check", here)
        assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
        assert "FAILED" in result.stdout


def test_what_else_a_template_promised_is_measured(phantom_out, good):
    """The guide's own slot, wall and wire hole, promised once more as plain features of its frame; then promised wrongly."""
    guide = good[1]
    expected = Expected.from_json(guide["plan"])
    (x, y, _), (origin, normal) = expected.wires[0], expected.plane_of(expected.slots[0])
    _, blade = blade_axes(normal, np.array([0.0, 0.0, 1.0]))
    low, high = guide["slots"][0]["windows_mm"][0]
    printed = Printed(phantom_out / f"{STEM}.stl", expected.frame)
    middle = origin + (low + high) / 2.0 * np.cross(blade, normal)
    down, _ = printed.caster.first((middle + 1.5 * normal + 100.0 * blade)[None], -blade)
    middle = middle + (100.0 - float(down[0]) - 5.0) * blade
    width, wall = expected.slots[0].width, expected.slots[0].wall
    gap = Gap("slot", tuple(middle), tuple(normal), tuple(blade), width, 4.0, 4.0)
    bore = Bore("wire", (x, y, float(middle[2])), (0.0, 0.0, 1.0), expected.bore)
    side = Flat("side", tuple(middle - width / 2.0 * normal), tuple(normal), 20.0)
    web = Web("wall", tuple(middle + (width + wall) / 2.0 * normal), tuple(normal), wall)
    wrong = (
        dataclasses.replace(gap, name="wide", width=width + 0.05),
        dataclasses.replace(gap, name="shut", point=tuple(middle + 1.5 * normal), depth=14.0),
        dataclasses.replace(bore, name="wide", diameter=expected.bore + 0.05),
        dataclasses.replace(side, name="moved", point=tuple(middle - (width / 2.0 + 0.05) * normal)),
        dataclasses.replace(side, name="gone", area=1e5),
        dataclasses.replace(web, name="thick", thickness=wall + 0.1),
    )
    plan = dataclasses.replace(expected, features=tuple(told(one) for one in (gap, bore, side, web, *wrong)))
    plan = Expected.from_json(json.loads(json.dumps(plan.to_json())))
    part = Part(phantom_out / f"{STEM}.step", expected.frame)
    found = measure_part(part, phantom_out / f"{STEM}.stl", plan, bone_probe(phantom_out / "bone.stl")).to_json()
    failed = {check["id"]: check["where"] for check in found["checks"] if not check["passed"]}
    assert {"gap_width[wide]", "gap_printed[wide]", "gap_open[shut]", "bore[wide]", "flat[moved]", "flat[gone]", "web[thick]"} <= set(failed)
    assert not [name for name in failed if name.endswith(("[slot]", "[wire]", "[side]", "[wall]"))]
    np.testing.assert_allclose(failed["bore[wide]"], expected.frame.patient(np.array(bore.point)), atol=0.01)
    assert [one["kind"] for one in found["features"]][:4] == ["gap", "bore", "flat", "web"]
