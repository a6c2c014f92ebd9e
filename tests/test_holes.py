"""Holes through thin bone: found, sized, told, closed on request; what closes them is marked in the file and carries no guide."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import trimesh

from psi_cad.bones.holes import write_holes
from psi_cad.bones.segment import segment_bone, write_segmentation
from psi_cad.errors import CaseError, SurfaceError
from psi_cad.extraction.lids import _can_go, euler_number, lids
from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
from psi_cad.report import lettering
from psi_cad.surface.mesh_files import CLOSED_HOLE, read_surface
from psi_cad.surface.repair import checked_bone

TURN = np.linalg.qr(np.array([[1.0, 0.3, 0.2], [0.1, 1.0, 0.4], [0.0, -0.3, 1.0]]))[0]
HALF_MM, RADIUS_MM, HOLLOW = 0.7, 20.0, 0.005
HOLES = ((2.0, -1.0, 3.5), (10.0, 2.0, 5.0), (-6.0, 8.0, 8.0))  # x, y, diameter
SEED = np.array([RADIUS_MM, 0.0, HOLLOW * RADIUS_MM**2]) @ TURN.T


def blade(holes=HOLES):
    """A hollow blade of 1.4 mm with a thick rim, and holes straight through it."""

    def distance(points):
        p = np.asarray(points) @ TURN
        r = np.hypot(p[:, 0], p[:, 1])
        height = p[:, 2] - HOLLOW * r**2
        sheet = np.maximum(np.abs(height) - HALF_MM, r - RADIUS_MM)
        for x, y, diameter in holes:
            sheet = np.maximum(sheet, diameter / 2.0 - np.hypot(p[:, 0] - x, p[:, 1] - y))
        return np.minimum(sheet, np.hypot(r - RADIUS_MM, height) - 3.0)

    return distance


def place(x, y):
    return np.array([x, y, HOLLOW * (x**2 + y**2)]) @ TURN.T


@pytest.fixture(scope="module")
def ct():
    bone = ScannedBone(blade(), 1.4, cortex=1400.0, marrow=150.0)
    return simulated_ct([bone], low=-np.full(3, 28.0), high=np.full(3, 28.0), body=Body(muscle_mm=500.0), noise_sd=15.0)


@pytest.fixture(scope="module")
def opened(ct):
    return segment_bone(ct, {"blade": SEED})


@pytest.fixture(scope="module")
def closed(ct):
    return segment_bone(ct, {"blade": SEED}, close_holes=6.5)


def test_a_voxel_may_go_only_if_nothing_tears():
    """Against the definition: every one of 2,000 patterns of neighbours, with pieces counted by another way."""
    from scipy import ndimage

    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if s != (0, 0, 0)]
    rng = np.random.default_rng(2)
    some = rng.integers(0, 1 << 26, (5, 400))
    codes = np.concatenate([rng.integers(0, 1 << 26, 1200), some[0] & some[1], some[2] | some[3]])
    answers = []
    for code in codes:
        body = np.zeros((3, 3, 3), dtype=bool)
        for bit, step in enumerate(steps):
            body[tuple(np.add(step, 1))] = code >> bit & 1
        pieces = ndimage.label(body, structure=np.ones((3, 3, 3)))[1]
        space = ~body
        space[1, 1, 1] = False
        space[::2, ::2, ::2] = False  # the corners do not touch by a face or an edge
        labels, _ = ndimage.label(space)
        facing = {labels[tuple(np.add(s, 1))] for s in steps if np.abs(s).sum() == 1} - {0}
        answers.append(pieces == 1 and len(facing) == 1)
    assert _can_go(codes).astype(bool).tolist() == answers
    assert 50 < sum(answers) < 1950


def test_each_hole_has_one_lid_of_its_size():
    k, j, i = np.indices((14, 70, 70))
    plate = (np.abs(k - 7) <= 1) & (np.hypot(j - 35, i - 35) < 33)
    for diameter, middle in ((4, (22, 22)), (9, (24, 48)), (17, (48, 32))):
        plate &= np.hypot(j - middle[0], i - middle[1]) > diameter / 2
    assert euler_number(plate) == -2
    found = lids(plate, 1.0)
    assert [lid.holes for lid in found] == [1, 1, 1]
    assert [lid.length for lid in found] == pytest.approx([17.0, 9.0, 5.0], abs=0.6)  # voxels across that are open
    whole = plate.copy()
    for lid in found:
        whole[tuple(lid.index.T)] = True
        assert lid.index.max(axis=0)[0] - lid.index.min(axis=0)[0] <= 1  # flat, within the plate
    assert euler_number(whole) == 1


def test_a_body_without_a_hole_has_no_lid():
    """A bowl, and an open ring: deep, but nothing goes through."""
    k, j, i = np.indices((40, 40, 40)) - 20
    radius = np.sqrt(k**2 + j**2 + i**2)
    assert lids((radius < 16) & (radius > 13) & (k < 6), 1.0) == ()
    ring = (np.hypot(np.hypot(j, i) - 13, k) < 4) & ~((i > 0) & (np.abs(j) < 2))
    assert lids(ring, 1.0) == ()


def test_holes_of_a_blade_are_found_with_place_size_and_thickness(opened):
    (bone,) = opened.bones
    assert bone.mesh.euler_number == 2 - 2 * len(HOLES)
    assert len(bone.holes) == len(HOLES)
    for x, y, diameter in HOLES:
        (hole,) = [one for one in bone.holes if np.linalg.norm(place(x, y) - one.centre) < 1.5]
        assert hole.diameter == pytest.approx(diameter, abs=1.0)
        assert hole.bone_around == pytest.approx(2.0 * HALF_MM, abs=0.3)
        assert hole.thin and not hole.closed
    (told,) = [caution for caution in bone.cautions if caution.id == "thin-bone-hole"]
    assert "3 holes" in told.text and "--close-holes" in told.text and told.where == bone.holes[0].centre
    assert not bone.patch.any()


def test_only_smaller_holes_are_closed_and_the_rest_of_the_surface_stays(opened, closed):
    (bone,) = closed.bones
    assert [hole.closed for hole in bone.holes] == [False, True, True]
    assert bone.mesh.is_watertight and bone.mesh.euler_number == 0
    assert set(np.unique(bone.patch)) == {0, 2, 3}
    points, faces = np.asarray(bone.mesh.vertices), np.asarray(bone.mesh.faces)
    over = np.unique(faces[bone.patch > 0])
    measured = np.setdiff1d(np.arange(len(points)), over)
    assert np.percentile(np.abs(blade()(points[measured])), 95) < 0.2
    assert np.abs(blade(HOLES[2:])(points[over])).max() < 0.25, "what closes a hole goes on as the blade around it does"
    for x, y, diameter in HOLES[:2]:  # and every face over the hole is marked
        over_hole = np.linalg.norm(bone.mesh.triangles_center - place(x, y), axis=1) < diameter / 2.0
        assert over_hole.any() and (bone.patch[over_hole] > 0).all()
    assert "closed on request" in next(caution.text for caution in bone.cautions if caution.id == "surface-mended")


@pytest.fixture(scope="module")
def folder(closed, tmp_path_factory):
    out = tmp_path_factory.mktemp("closed")
    write_segmentation(out, closed)
    return out


def test_the_report_and_the_picture_tell_of_them(folder):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    (bone,) = report["bones"]
    assert [hole["closed"] for hole in bone["holes"]] == [False, True, True]
    assert "blade_holes.png" in report["files"] and (folder / "blade_holes.png").stat().st_size > 5000
    assert bone["patched_faces"] > 20


def test_a_hole_has_one_number_in_the_picture_the_report_and_the_file(closed, folder, tmp_path, monkeypatch):
    """Holes in thin bone are shown first, whatever their number: here the second and third of three."""
    drawn, shown = [], []
    monkeypatch.setattr(lettering, "_mark", lambda _draw, _at, text, _size: drawn.append(text))
    monkeypatch.setattr(lettering, "_captioned", lambda image, caption: (shown.append((caption, tuple(drawn))), drawn.clear(), image)[2])
    (bone,) = closed.bones
    holes = [dataclasses.replace(hole, bone_around=5.0 if hole.number == 1 else 1.4) for hole in bone.holes]
    write_holes(tmp_path / "holes.png", closed.scan, "blade", bone.mesh, holes)
    assert [caption.split(":")[0] for caption, _ in shown] == [f"hole {n}" for n in (2, 2, 2, 3, 3, 3, 1, 1, 1)]
    assert all(marks == (caption.split(":")[0].removeprefix("hole "),) for caption, marks in shown)
    mesh = read_surface(folder / "blade.stl", units="mm", coordinates="LPS")
    for hole in json.loads((folder / "report.json").read_text("utf-8"))["bones"][0]["holes"]:
        lid = mesh.triangles_center[mesh.face_attributes[CLOSED_HOLE] == hole["number"]]
        assert len(lid) > 0 if hole["closed"] else len(lid) == 0
        assert not len(lid) or np.linalg.norm(lid.mean(axis=0) - hole["centre_mm"]) < 1.5


def test_the_marks_travel_with_the_file(folder, closed, tmp_path):
    """Copied alone, under another name: no report lies beside it."""
    alone = tmp_path / "other.stl"
    alone.write_bytes((folder / "blade.stl").read_bytes())
    mesh = read_surface(alone, units="mm", coordinates="LPS")
    np.testing.assert_array_equal(mesh.face_attributes[CLOSED_HOLE], closed.bones[0].patch)
    bone = checked_bone(mesh, name="other")
    assert int(bone.made_up.sum()) == int((closed.bones[0].patch > 0).sum())
    assert [defect.kind for defect in bone.defects] == ["closed hole"] * 2
    for defect, (x, y, diameter) in zip(sorted(bone.defects, key=lambda d: -d.radius), (HOLES[1], HOLES[0]), strict=True):
        assert np.linalg.norm(place(x, y) - defect.centre) < 1.5
        assert diameter / 2.0 < defect.radius < diameter / 2.0 + 3.5
        assert len(defect.rim) > 10
    assert [repair.kind for repair in bone.repairs if repair.kind == "closed hole"] == ["closed hole"] * 2


def test_the_marks_survive_debris_and_turned_faces(folder):
    mesh = read_surface(folder / "blade.stl", units="mm", coordinates="LPS")
    marks = mesh.face_attributes[CLOSED_HOLE]
    speck = trimesh.creation.icosphere(subdivisions=1, radius=0.4).apply_translation([25.0, 25.0, 25.0])
    faces = np.asarray(mesh.faces).copy()
    faces[::7] = faces[::7, ::-1]
    both = trimesh.Trimesh(np.vstack([speck.vertices, mesh.vertices]), np.vstack([speck.faces, faces + len(speck.vertices)]), process=False)
    both.face_attributes[CLOSED_HOLE] = np.concatenate([np.zeros(len(speck.faces), int), marks])
    bone = checked_bone(both, name="b")
    true = np.asarray(mesh.triangles_center)[marks > 0]
    np.testing.assert_allclose(np.asarray(bone.mesh.triangles_center)[bone.made_up], true, atol=1e-5)


def test_lost_marks_are_refused(folder, tmp_path):
    data = bytearray((folder / "blade.stl").read_bytes())
    count = int(np.frombuffer(data[80:84], "<u4")[0])
    for face in range(count):
        data[84 + 50 * face + 48 : 84 + 50 * face + 50] = b"\0\0"
    (tmp_path / "blade.stl").write_bytes(data)
    with pytest.raises(SurfaceError, match="their marks are lost"):
        read_surface(tmp_path / "blade.stl", units="mm", coordinates="LPS", key="bone.surface")


CASE = """schema = 1
id = "blade"
side = "midline"
[bone]
surface = "blade.stl"
units = "mm"
coordinates = "LPS"
[[cut]]
name = "A"
origin = [{0}]
normal = [{1}]
[[guide]]
name = "g"
template = "osteotomy"
cuts = ["A"]
approach = [{2}]
blade = "generic-25x0.89"
printer = "fdm-ultem1010"
"""


def test_a_file_that_another_program_saved_again_is_refused(folder, tmp_path, here):
    """Its marks are gone, and the report beside it says that there were some."""
    for name in ("blade.stl", "report.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    trimesh.load_mesh(tmp_path / "blade.stl").export(tmp_path / "blade.stl")
    (tmp_path / "case.toml").write_text(CASE.format("18, 0, 2", "1, 0, 0", "0, 0, 1"))
    code, _, told = here("check", tmp_path / "case.toml")
    assert code == 2 and "was changed since" in told and "bone.surface" in told
    (tmp_path / "report.json").unlink()  # then nothing is known of holes
    assert "was changed since" not in here("check", tmp_path / "case.toml")[2]


@pytest.mark.parametrize("close", [0.0, -3.0, 21.0])
def test_a_size_that_makes_no_sense_is_refused(ct, close):
    with pytest.raises(CaseError, match="--close-holes .* at most 20 mm"):
        segment_bone(ct, {"blade": SEED}, close_holes=close)


def test_ready_masks_are_not_closed(tmp_path, here):
    code, _, told = here("segment", tmp_path, "--labels", tmp_path / "x.nii.gz", "--label", "a=1", "--close-holes", "5")
    assert code == 2 and "--close-holes" in told
