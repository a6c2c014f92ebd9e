"""A falsified file of each kind makes its check fail: no check is there for show."""

import itertools
import json
import shutil

import cadquery as cq
import numpy as np
import pytest
import trimesh

import psi_cad
from psi_cad.export.meshes import triangulated, write_stl
from psi_cad.run.measure import measure_folder

STEM = "supra-acetabular_generic-25x0.89"


@pytest.fixture(scope="module")
def good(phantom_out):
    solid = cq.importers.importStep(str(phantom_out / f"{STEM}.step")).val()
    guide = json.loads((phantom_out / "report.json").read_text())["guides"][0]
    return cq.Solid(solid.Solids()[0].wrapped), guide


def frame_of(guide):
    plan = guide["plan"]
    origin, x, z = (cq.Vector(*plan["origin"]), cq.Vector(*plan["axes"][0]), cq.Vector(*plan["axes"][2]))
    return cq.Plane(origin, x, z)


def slab(guide, thickness, at=0.0, size=300.0):
    """A slab parallel to the planned cut, `at` from it."""
    slot = guide["plan"]["slots"][0]
    normal = cq.Vector(*slot["normal"]).normalized()
    plane = cq.Plane(cq.Vector(*slot["origin"]) + normal * (at - thickness / 2), None, normal)
    return cq.Solid.makeBox(size, size, thickness, cq.Vector(-size / 2, -size / 2, 0)).moved(cq.Location(plane))


def measured(folder, tmp_path, change, good, stl=None):
    """Checks that fail after `change` of the solid was written over both files."""
    here = tmp_path / "case"
    shutil.copytree(folder, here)
    solid, guide = good
    changed = change(solid, guide)
    cq.exporters.export(cq.Workplane(changed), str(here / f"{STEM}.step"), "STEP")
    if isinstance(changed, cq.Solid) or len(changed.Solids()) == 1:
        write_stl(here / f"{STEM}.stl", triangulated(cq.Solid(changed.Solids()[0].wrapped)), header="changed")
    found = measure_folder(here, progress=lambda step: None)
    assert found["status"] == "failed"
    guide = found["guides"][0]
    assert f"{STEM}.step" in guide["changed_files"]
    return {check["id"].split("[")[0] for check in guide["checks"] if not check["passed"]} - {"files_unchanged", "step_schema_ap242"}


def rotated(solid, guide, degrees, axis):
    plane = frame_of(guide)
    direction = {"x": plane.xDir, "z": plane.zDir}[axis]
    return solid.rotate(plane.origin, plane.origin + direction, degrees)


FALSE = {
    "wider slot": (lambda s, g: s.cut(slab(g, g["slots"][0]["width_mm"] + 0.02)), {"slot_width"}),
    "shifted": (lambda s, g: s.translate(cq.Vector(*g["plan"]["slots"][0]["normal"]) * 0.02), {"slot_plane_offset"}),
    "turned": (lambda s, g: rotated(s, g, 0.03, "x"), {"slot_plane_angle"}),
    "lifted": (lambda s, g: s.translate(frame_of(g).zDir * 0.4), {"seat_rms", "seat_max", "contact_area", "contact_share"}),
    "pressed into bone": (lambda s, g: s.translate(frame_of(g).zDir * -0.4), {"seat_overlap", "pull_off", "seat_rms"}),
    "thin wall": (lambda s, g: s.cut(slab(g, 1.0, at=g["slots"][0]["width_mm"] / 2 + 1.5 + 0.5)), {"slot_wall"}),
    "slot closed": (lambda s, g: s.fuse(s.intersect(slab(g, 40.0)).cut(slab(g, 39.0)).fuse(slab_in(s, g))), {"slot_blocked", "slot_width"}),
    "lower fence": (lambda s, g: s.cut(above(s, g, 3.0)), {"slot_height"}),
    "no wires": (lambda s, g: filled(s, g), {"pins", "pin_lever", "pin_clearance"}),
    "two pieces": (lambda s, g: cq.Compound.makeCompound([s, cq.Solid.makeBox(5, 5, 5)]), {"step_solids"}),
    "too large for the printer": (lambda s, g: s.fuse(handle(s, g, 700.0)), {"printer_room"}),
}  # fmt: skip


def slab_in(solid, guide):
    """A plug across the slot."""
    slot = guide["plan"]["slots"][0]
    return cq.Solid.makeSphere(3.0, cq.Vector(0, 0, 0), cq.Vector(0, 0, 1), -90, 90, 360).translate(
        cq.Vector(*(np.array(slot["origin"]) + mid(guide)))
    )


def mid(guide):
    """From the cut's origin to the middle of a guided window, half way up."""
    slot, said = guide["plan"]["slots"][0], guide["slots"][0]
    blade, normal = np.array(said["blade_direction"]), np.array(slot["normal"])
    along = np.cross(blade, normal / np.linalg.norm(normal))
    low, high = said["windows_mm"][0]
    start = np.array(slot["origin"]) + along * (low + high) / 2
    frame = np.array(guide["plan"]["axes"])
    # height of the seat there: from the reported seat on the phantom
    from psi_cad.phantom import hemipelvis

    rise = np.linspace(-60, 60, 2401)
    values = hemipelvis.implicit(start + rise[:, None] * blade)
    top = rise[np.flatnonzero(values < 0)[-1]]
    assert frame.shape == (3, 3)
    return along * (low + high) / 2 + (top + 5.0) * blade


def test_a_blade_too_short_for_the_bone_fails(phantom_out, tmp_path):
    """The same files and a report that tells of a shorter blade; just long enough it passes."""
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    report = json.loads((here / "report.json").read_text())
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


def test_a_fence_with_a_tower_needs_more_blade(phantom_out, tmp_path, good):
    """Something that stands 15 mm above the fence over the line that decides stops the saw's hub: the check says so and where."""
    from psi_cad.run.inspect import bone_probe
    from psi_cad.verify.checks import measure_files
    from psi_cad.verify.expected import Expected

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
    from psi_cad.run.inspect import bone_probe
    from psi_cad.verify.expected import Expected
    from psi_cad.verify.holding import holding_json, lock_check
    from psi_cad.verify.printed import Printed
    from psi_cad.verify.seat import measure_seat

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
    assert not check.passed and check.value < 0.005 and check.limit == 0.12 and "params.allow_sliding = true" in check.note
    assert np.linalg.norm(np.array(check.where) - (np.array(plan["origin"]) + 18.5 * axes[2])) < 1.0
    way = np.array(holding_json(seat.holding, expected)["weakest_direction"])
    assert abs(way @ axes[2]) < 0.02 and np.linalg.norm(way) == pytest.approx(1.0, abs=1e-5)
    allowed = lock_check(seat.holding, Expected.from_json({**plan, "allow_sliding": True}))
    assert allowed.passed and allowed.value == check.value and "allowed by params.allow_sliding" in allowed.note


def above(solid, guide, depth):
    """What lies in the upper `depth` of the fence at the middle of the slot."""
    place = np.array(guide["plan"]["slots"][0]["origin"]) + mid(guide)
    plane = frame_of(guide)
    top = place + np.array(plane.zDir.toTuple()) * (5.0 - depth)
    return cq.Solid.makeBox(12, 12, 40, cq.Vector(-6, -6, 0)).moved(cq.Location(cq.Plane(cq.Vector(*top), plane.xDir, plane.zDir)))


def filled(solid, guide):
    plane = frame_of(guide)
    for pin in guide["pins"]:
        x, y = pin["centre_mm"]
        plug = cq.Solid.makeCylinder(1.3, 60.0, cq.Vector(x, y, -30.0)).moved(cq.Location(plane))
        solid = solid.fuse(plug)
    return solid


def handle(solid, guide, length):
    plane = frame_of(guide)
    x, y = guide["pins"][0]["centre_mm"]
    rod = cq.Solid.makeCylinder(2.0, length, cq.Vector(x, y, 0.0)).moved(cq.Location(plane))
    return rod.translate(plane.xDir * 2.5 + plane.zDir * 4.0)


@pytest.mark.parametrize("kind", FALSE)
def test_falsified_step(kind, phantom_out, tmp_path, good):
    change, expected = FALSE[kind]
    failed = measured(phantom_out, tmp_path, change, good)
    assert failed & expected, f"{kind}: failed {failed}"


def test_other_schema(phantom_out, tmp_path):
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    path = here / f"{STEM}.step"
    path.write_bytes(path.read_bytes().replace(b"AP242", b"AP214"))
    failed = {c["id"] for c in measure_folder(here, progress=lambda s: None)["guides"][0]["checks"] if not c["passed"]}
    assert {"step_schema_ap242", "files_unchanged"} <= failed


@pytest.mark.parametrize("kind", ["hole", "two bodies", "scaled", "moved"])
def test_falsified_stl(kind, phantom_out, tmp_path):
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    path = here / f"{STEM}.stl"
    mesh = trimesh.load_mesh(path)
    if kind == "hole":
        mesh.update_faces(np.arange(len(mesh.faces)) != 50)
    elif kind == "two bodies":
        extra = trimesh.creation.box((2, 2, 2))
        extra.apply_translation(mesh.bounds[1] + 5)
        mesh = trimesh.util.concatenate([mesh, extra])
    elif kind == "scaled":
        mesh.apply_translation(-mesh.centroid)
        mesh.apply_scale(1.004)
    else:
        mesh.apply_translation([0.5, 0, 0])
    mesh.export(path)
    failed = {c["id"].split("[")[0] for c in measure_folder(here, progress=lambda s: None)["guides"][0]["checks"] if not c["passed"]}
    wanted = {"hole": {"stl_watertight"}, "two bodies": {"stl_bodies"}, "scaled": {"stl_volume"}, "moved": {"stl_place"}}[kind]
    assert wanted <= failed


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


def test_a_changed_bone_is_noticed(phantom_out, tmp_path):
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    mesh = trimesh.load_mesh(here / "bone.stl")
    mesh.apply_translation([0.0, 0.0, 0.5])
    mesh.export(here / "bone.stl")
    found = measure_folder(here, progress=lambda s: None)
    assert not next(c for c in found["guides"][0]["checks"] if c["id"] == "bone_unchanged")["passed"]


def test_check_passes_on_untouched_output(phantom_out):
    assert psi_cad.measure(phantom_out)["status"] == "passed"


def test_a_rejected_guide_gets_no_clean_name(tmp_path, run):
    """A guide that fits its bone but not its printer is rejected, and an earlier clean one goes."""
    from conftest import CASES

    text = (CASES / "phantom-type3" / "case.toml").read_text().replace("../phantom", (CASES / "phantom").as_posix())
    case = tmp_path / "case.toml"
    case.write_text(text)
    assert run("build", case, "-o", tmp_path / "out").returncode == 0
    small = '{id = "fdm-ultem1010", process = "FDM", material = "x", build_volume = [20, 20, 20], layer = 0.2, tolerance = 0.2, minimum_wall = 1, reference = "toy"}'
    case.write_text(text.replace('"fdm-ultem1010"', small, 1))
    result = run("build", case, "-o", tmp_path / "out")
    assert result.returncode == 1 and "REJECTED" in result.stdout and "printer_room" in result.stdout
    names = {p.name for p in (tmp_path / "out" / "phantom-type3").iterdir()}
    assert "superior-ramus_generic-10x0.6_REJECTED.step" in names
    assert not names & {f"superior-ramus_generic-10x0.6.{kind}" for kind in ("step", "stl", "3mf", "png")}
    assert "inferior-ramus_generic-10x0.6.step" in names
