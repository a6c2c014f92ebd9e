"""Bone segmentation against analytic truth: the surface's place, thin sheets, touching bones, masks, edges, metal, bad input."""

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import trimesh
from strict import strictly

from psi_cad import api
from psi_cad.bones.segment import refuse_far_seeds, report_of, segment_bone, write_segmentation
from psi_cad.errors import CaseError, SegmentationError
from psi_cad.extraction.cortex import Shown, calibrated, edge_shift, profile
from psi_cad.extraction.isosurface import level_surface, surface_of_mask
from psi_cad.filling.fill import filled
from psi_cad.imaging.metal import find_metal
from psi_cad.imaging.totalsegmentator import BONES, proposed_seeds, seeds_of_labels
from psi_cad.phantom.hemipelvis import _gradient, implicit
from psi_cad.phantom.scanner import Body, ScannedBone, ScannedSolid, simulated_ct
from psi_cad.phantom.scene import PHANTOM_SEEDS, femur_distance, phantom_ct
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.relax import Neighbours, folded, unfolded
from psi_cad.voxels.levels import tissue_levels
from psi_cad.voxels.volume import Volume

# a slab of the phantom through the hip joint: socket, column, upper ramus and femoral head, cut below and above
LOW, HIGH = np.array([-156.0, -78.0, -22.0]), np.array([-10.0, 66.0, 14.0])
SEEDS = {"hip": (-82.0, 20.0, -4.0), "femur": PHANTOM_SEEDS["femur"]}


@pytest.fixture(scope="module")
def joint_ct() -> Volume:
    return phantom_ct(low=LOW, high=HIGH)


@pytest.fixture(scope="module")
def joint(joint_ct):
    return segment_bone(joint_ct, SEEDS)


def distance_to_hip(points):
    """To second order near the surface."""
    return implicit(points) / np.linalg.norm(_gradient(points), axis=1)


def inner(points, margin=4.0):
    return points[((points > LOW + margin) & (points < HIGH - margin)).all(axis=1)]


def ball(centre, radius):
    return lambda points: np.linalg.norm(np.asarray(points) - centre, axis=1) - radius


def ct_of(bones, half, **kwargs):
    size = np.broadcast_to(np.asarray(half, dtype=float), 3)
    return simulated_ct(bones, low=-size, high=size, **{"body": Body(muscle_mm=500.0), **kwargs})


def test_the_surface_lies_on_the_bone(joint):
    hip = joint.bones[0]
    away = distance_to_hip(inner(np.asarray(hip.mesh.vertices)))
    assert len(away) > 5000
    assert np.abs(away).mean() <= 0.10
    assert np.percentile(np.abs(away), 95) <= 0.25
    assert np.abs(away).max() <= 0.8
    assert abs(away.mean()) <= 0.05
    assert hip.fit.uncertainty >= np.abs(away).mean()  # what the report promises is not less than the truth
    assert hip.fit.uncertainty < 0.2


def test_the_whole_bone_is_covered(joint):
    truth = np.random.default_rng(0).uniform(LOW + 4.0, HIGH - 4.0, (60000, 3))
    truth = truth[np.abs(implicit(truth)) < 1.0]
    for _ in range(4):
        slope = _gradient(truth)
        truth = truth - (implicit(truth) / (slope**2).sum(axis=1))[:, None] * slope
    gap = np.abs(SignedDistance(joint.bones[0].mesh)(inner(truth)[:1500]))
    assert gap.max() < 0.8
    assert gap.mean() < 0.10


def test_a_plain_isosurface_does_not_pass(joint, joint_ct):
    # the bar above can fail: 300 HU, as in common practice, lies too far out
    solid = joint.labels.values == 1
    field = np.where(solid, joint_ct.values, np.minimum(joint_ct.values, 300)).astype(np.float32)
    mesh = level_surface(field, 300.5, patient_from_index=joint_ct.patient_from_index)
    away = distance_to_hip(inner(np.asarray(mesh.vertices)))
    away = away[np.abs(away) < 1.0]  # not the marrow's side
    assert away.mean() > 0.15


def test_touching_bones_are_parted(joint):
    hip, femur = joint.bones
    assert [hip.name, femur.name] == ["hip", "femur"]
    assert (femur_distance(inner(np.asarray(hip.mesh.vertices))) > 0.5).all()
    away = femur_distance(inner(np.asarray(femur.mesh.vertices)))
    assert np.abs(away[np.abs(away) < 3.0]).mean() < 0.2
    assert (implicit(inner(np.asarray(femur.mesh.vertices))) > 0.5).all()


def test_surfaces_are_closed_manifold_and_unfolded(joint):
    for bone in joint.bones:
        mesh = bone.mesh
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 0
        assert (np.bincount(mesh.edges_unique_inverse) == 2).all()
        z = np.asarray(mesh.vertices)[:, 2]
        rim = (z < LOW[2] + 1.6) | (z > HIGH[2] - 1.6)  # where the flat cap meets a slanting wall the edge is sharp by right
        assert not folded(np.asarray(mesh.vertices), np.asarray(mesh.faces))[~rim].any()
        assert 0.6 < mesh.edges_unique_length.mean() < 1.3


def test_a_bone_cut_by_the_scan_is_closed_flat_and_told(joint, joint_ct):
    hip = joint.bones[0]
    assert any("superior edge" in caution.text for caution in hip.cautions if caution.id == "scan-edge")
    (told, *_) = report_of(joint, {}).bones
    assert set(told.notes) == {caution.text for caution in told.cautions}
    top = joint_ct.origin[2] + joint_ct.spacing[2] * (joint_ct.values.shape[0] - 1)
    z = np.asarray(hip.mesh.vertices)[:, 2]
    assert z.max() <= top + 0.5 * joint_ct.spacing[2] + 1e-6
    cap = hip.mesh.triangles_center[:, 2] > z.max() - 0.3
    assert hip.mesh.area_faces[cap].sum() > 300.0


def test_marrow_is_filled(joint, joint_ct):
    solid = joint.labels.values == 1
    index = np.argwhere(np.ones_like(solid))[::23, ::-1]
    solid = solid.ravel()[::23]
    deep = implicit(joint_ct.patient(index)) < -1.5
    assert solid[deep].all()
    assert not solid[implicit(joint_ct.patient(index)) > 1.2].any()


def test_a_sheet_thinner_than_two_voxels_stays_whole():
    def sheet(points):  # 1.1 mm thick, tilted, round
        p = np.asarray(points) @ np.linalg.qr(np.array([[1.0, 0.3, 0.2], [0.1, 1.0, 0.4], [0.0, -0.3, 1.0]]))[0]
        flat = np.hypot(p[:, 0], p[:, 1]) - 14.0
        rim = np.linalg.norm(p * [1, 1, 1] - [0, 0, 0], axis=1) * 0 + np.hypot(flat, p[:, 2]) - 3.0  # a thick rim, as a wing has
        return np.minimum(np.maximum(np.abs(p[:, 2]) - 0.55, flat), rim)

    ct = ct_of([ScannedBone(sheet, 1.4, cortex=1400.0, marrow=200.0)], 22.0, spacing=(0.7, 0.7, 1.0), noise_sd=20.0)
    found = segment_bone(ct, {"wing": (0.0, 0.0, 0.0)})
    mesh = found.bones[0].mesh
    assert mesh.is_watertight
    assert mesh.euler_number == 2  # no hole torn in the sheet
    away = sheet(np.asarray(mesh.vertices))
    assert np.percentile(np.abs(away), 95) < 0.35
    assert abs(away.mean()) < 0.12


@pytest.mark.parametrize(("sigma", "cortex", "noise"), [pytest.param(0.4, 2.5, 30.0, marks=pytest.mark.slow), (0.8, 1.6, 10.0)])
def test_other_blur_cortex_and_noise(sigma, cortex, noise):
    bone = ScannedBone(ball((1.0, 2.0, -1.0), 14.0), cortex, cortex=1500.0, marrow=60.0)
    found = segment_bone(ct_of([bone], 22.0, spacing=(0.6, 0.6, 0.8), psf_sigma=sigma, noise_sd=noise), {"head": (1.0, 2.0, -1.0)})
    away = ball((1.0, 2.0, -1.0), 14.0)(np.asarray(found.bones[0].mesh.vertices))
    assert abs(away.mean()) < 0.05
    assert np.abs(away).max() < 0.4


def test_an_oblique_left_handed_scan_gives_the_same_bone():
    bone = ScannedBone(ball((0.0, 0.0, 0.0), 12.0), 1.8)
    ct = ct_of([bone], 19.0, noise_sd=5.0)
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.array([[1.0, 0.3, 0.2], [0.1, 1.0, 0.4], [0.0, -0.3, 1.0]]))[0] @ np.diag([1.0, 1.0, -1.0])
    turn[:3, 3] = [500.0, -300.0, 80.0]
    moved = Volume(ct.values, turn @ ct.patient_from_index)
    mesh = segment_bone(moved, {"head": turn[:3, 3]}).bones[0].mesh
    assert mesh.volume == pytest.approx(4.0 / 3.0 * np.pi * 12.0**3, rel=0.01)
    assert np.abs(np.linalg.norm(mesh.vertices - turn[:3, 3], axis=1) - 12.0).max() < 0.3


def test_without_seeds_the_largest_come_first_and_the_table_is_no_bone():
    bones = [ScannedBone(ball((-14.0, 0.0, 0.0), 8.0), 2.0), ScannedBone(ball((10.0, 0.0, 0.0), 11.0), 2.0)]
    ct = ct_of(bones, (26.0, 30.0, 15.0), body=Body(radii=(60.0, 22.0), muscle_mm=50.0, table_gap=1.0))
    found = segment_bone(ct)
    assert [bone.name for bone in found.bones] == ["bone-1", "bone-2"]
    assert found.bones[0].mesh.vertices.mean(axis=0)[0] == pytest.approx(10.0, abs=0.5)
    assert any("No seed" in note for note in found.notes)
    assert [caution.id for caution in found.cautions] == ["segmentation-look"]


def test_metal_is_flagged_with_its_place():
    nail = ScannedSolid(ball((6.0, 0.0, 0.0), 3.0), 3071.0, where="all")
    ct = ct_of([ScannedBone(ball((0.0, 0.0, 0.0), 12.0), 2.0)], 18.0, solids=[nail])
    (metal,) = find_metal(ct)
    assert metal.centre == pytest.approx([6.0, 0.0, 0.0], abs=0.3)
    assert 45.0 < metal.volume < 4.0 / 3.0 * np.pi * 27.0 * 1.1
    found = segment_bone(ct, {"head": (0.0, 0.0, -8.0)})
    (told,) = [caution for caution in found.bones[0].cautions if caution.id == "metal"]
    assert told.text in found.bones[0].notes and told.blocks_release and told.where == pytest.approx((6.0, 0.0, 0.0), abs=0.3)
    assert find_metal(ct_of([ScannedBone(ball((0.0, 0.0, 0.0), 12.0), 2.0)], 18.0)) == ()


def test_levels_follow_the_scan():
    for noise, cortex in ((10.0, 1000.0), (35.0, 1700.0)):
        levels = tissue_levels(ct_of([ScannedBone(ball((0.0, 0.0, 0.0), 12.0), 4.0, cortex=cortex)], 20.0, noise_sd=noise))
        assert levels.soft == pytest.approx(55.0, abs=8.0)
        assert levels.noise == pytest.approx(noise, rel=0.2)
        assert levels.bone == pytest.approx(cortex, rel=0.1)
        assert levels.soft + 100.0 < levels.threshold < 0.4 * cortex


@pytest.mark.parametrize(
    ("seeds", "says"),
    [({"hip": (900.0, 0.0, 0.0)}, "outside the scan"), ({"hip": (-39.0, -39.0, -9.0)}, r"46\.7 mm outside of bone; .* nearest is at \(-6\.0, -7\.0, -1\.0\)"), ({"../hip": (0, 0, 0)}, "lower-case"),
     ({"labels": (0, 0, 0)}, "not labels"), ({"a": (0.0, 0.0, 9.0), "b": (0.0, 0.0, 9.0)}, "same spot")],
)  # fmt: skip
def test_bad_seeds_are_one_sentence(seeds, says):
    ct = ct_of([ScannedBone(ball((0.0, 0.0, 0.0), 9.0), 2.0)], (40.0, 40.0, 10.0), spacing=(1.0, 1.0, 1.0))
    with pytest.raises(CaseError, match=says):
        segment_bone(ct, seeds)


def test_a_scan_without_bone_is_refused():
    with pytest.raises(SegmentationError, match="is it a CT"):
        tissue_levels(Volume(np.random.default_rng(0).normal(50, 15, (30, 30, 30)).astype(np.int16), np.eye(4)))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 4.0)])
def test_a_mask_becomes_smooth_and_keeps_its_volume(spacing):
    # an ellipsoid, so that no symmetry hides an error of the axes
    radii = np.array([20.0, 14.0, 17.0])
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = -25.0
    size = np.ceil(50.0 / np.array(spacing)).astype(int)[::-1]
    index = np.indices(size).reshape(3, -1).T[:, ::-1]
    points = index @ matrix[:3, :3].T + matrix[:3, 3]
    labels = np.where(((points / radii) ** 2).sum(axis=1) <= 1.0, 3, 0).reshape(size).astype(np.uint8)
    mesh = surface_of_mask(labels, 3, patient_from_index=matrix)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx((labels == 3).sum() * np.prod(spacing), rel=0.01)
    scale = np.sqrt(((mesh.vertices / radii) ** 2).sum(axis=1))
    assert np.abs(scale - 1.0).max() * 14.0 < 0.5 * max(spacing)
    assert np.abs(scale - 1.0).mean() * 14.0 < 0.15 * max(spacing)
    normals = np.asarray(mesh.vertices) / radii**2
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    lean = np.degrees(np.arccos(np.clip((mesh.vertex_normals * normals).sum(axis=1), -1, 1)))
    assert np.percentile(lean, 95) < (10.0 if max(spacing) < 2 else 16.0)  # a stair would lean by up to 45
    with pytest.raises(SegmentationError, match="number 4"):
        surface_of_mask(labels, 4, patient_from_index=matrix)


def test_the_thin_cortex_model_against_its_own_profile():
    depth = np.linspace(-6, 12, 6001)
    for thickness, marrow in ((0.6, 1.0), (1.5, 0.9), (2.5, 1.05), (6.0, 0.95)):
        f = profile(depth, thickness=thickness, marrow=marrow)
        top = int(np.argmax(f))
        outer = depth[np.argmax(f >= f[top] / 2.0)]
        level = (f[top] + 1.0 - marrow) / 2.0
        width = depth[top + np.argmax(f[top:] < level)] - outer
        shift = edge_shift(np.array([f[top]]), np.array([marrow]), np.array([width]))[0]
        assert shift == pytest.approx(-outer, abs=0.03)
    assert edge_shift(np.array([0.03]), np.array([1.0]), np.array([2.36]))[0] == pytest.approx(
        np.sqrt(2.0 * np.log(2.0)) - 0.04, abs=0.01
    )  # less half its thickness
    assert edge_shift(np.array([1.0]), np.array([1.0]), np.array([np.inf]))[0] == pytest.approx(0.0, abs=0.01)


def test_density_and_blur_are_found_without_any_thick_place():
    depth, sigma, density = np.linspace(-6, 12, 6001), 0.6, 1400.0
    rows = {"outside": [], "peak": [], "marrow": [], "width": [], "blur": []}
    for thickness in np.linspace(0.8, 1.5, 12) / sigma:
        f = 50.0 + (density - 50.0) * profile(depth, thickness=thickness, marrow=1.0)
        top = int(np.argmax(f))
        half = (f[top] + 50.0) / 2.0
        outer, inner_side = int(np.argmax(f >= half)), top + int(np.argmax(f[top:] < half))
        slope = np.gradient(f, depth)[outer] / sigma
        values = {"outside": 50.0, "peak": f[top], "marrow": 50.0, "width": sigma * (depth[inner_side] - depth[outer])}
        values["blur"] = (f[top] - 50.0) / slope / np.sqrt(2.0 * np.pi)
        for key, value in values.items():
            rows[key].append(value)
    cortex, blur = calibrated(Shown(**{key: np.array(value) for key, value in rows.items()}))
    assert cortex == pytest.approx(density, rel=0.03)
    assert blur == pytest.approx(sigma, rel=0.03)


def test_a_tube_open_at_the_scans_edge_is_filled_but_a_foramen_is_not():
    _, j, i = np.indices((12, 60, 60))
    radius = np.hypot(j - 30, i - 30)
    ring = (radius > 12) & (radius < 15)
    at_edge = ((True, True), (False, False), (False, False))
    assert filled(ring, spacing=np.ones(3), at_edge=at_edge)[:, 30, 30].all()
    middle = np.pad(ring, ((6, 6), (0, 0), (0, 0)))
    assert not filled(middle, spacing=np.ones(3))[:, 30, 30].any()
    shell = np.abs(np.sqrt((np.indices((40, 40, 40)) - 20.0).__pow__(2).sum(axis=0)) - 12.0) < 1.0
    shell[20, 20, 30:] = False  # a vessel's hole
    assert filled(shell, spacing=np.ones(3))[20, 20, 20]


def test_a_fold_is_seen_and_undone():
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=10.0)
    points, faces = np.array(mesh.vertices), np.array(mesh.faces)
    assert not folded(points, faces).any()
    points[5] *= 0.6
    points[5] += [3.0, 3.0, 0.0]
    assert folded(points, faces).any()
    mended, count = unfolded(points, faces, Neighbours(faces, len(points)))
    assert not folded(mended, faces).any()
    assert 0 < count < 100


def test_seeds_from_a_label_map_lie_deep_inside():
    values = np.zeros((30, 30, 30), dtype=np.uint8)
    values[5:20, 5:20, 5:20] = BONES["hip-left"]
    seeds = seeds_of_labels(Volume(values, np.diag([2.0, 2.0, 2.0, 1.0])), {"hip-left": 77, "sacrum": 25})
    assert list(seeds) == ["hip-left"]
    assert seeds["hip-left"] == pytest.approx([24.0, 24.0, 24.0])


def test_totalsegmentator_is_never_required():
    from psi_cad.errors import EnvironmentProblem

    with pytest.raises(EnvironmentProblem, match="not installed"):
        proposed_seeds(Volume(np.zeros((3, 3, 3), dtype=np.int16), np.eye(4)))


def test_the_folder_is_complete_and_the_same_twice(tmp_path):
    ct = ct_of([ScannedBone(ball((0.0, 0.0, 0.0), 10.0), 2.0)], 16.0)
    for name in ("one", "two"):
        write_segmentation(tmp_path / name, segment_bone(ct, {"head": (0.0, 0.0, 0.0)}))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["head.png", "head.stl", "labels.nii.gz", "parts.png", "report.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    report = json.loads((tmp_path / "one" / "report.json").read_text("utf-8"))
    assert report["bones"][0]["closed"]
    assert report["bones"][0]["volume_mm3"] == pytest.approx(4.0 / 3.0 * np.pi * 1000.0, rel=0.02)
    again = trimesh.load_mesh(tmp_path / "one" / "head.stl")
    assert again.is_watertight
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "one" / "labels.nii.gz")))
    assert labels.shape == ct.values.shape


def test_the_command(run, tmp_path):
    ct = ct_of([ScannedBone(ball((0.0, 0.0, 0.0), 10.0), 2.0)], 16.0, spacing=(1.0, 1.0, 1.0))
    sitk.WriteImage(ct.to_sitk(), str(tmp_path / "ct.nii.gz"))
    done = run("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--bone", "head=0,0,0", "--json")
    assert strictly("segmentation", json.loads(done.stdout)) == []
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bones"][0]["name"] == "head"
    assert api.segment(tmp_path / "ct.nii.gz", tmp_path / "again", bones={"head": [(0.0, 0.0, 0.0)]}) == json.loads(done.stdout)
    (tmp_path / "mask").mkdir()
    (tmp_path / "mask" / "older.stl").touch()
    done = run("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "mask", "--labels", tmp_path / "out/labels.nii.gz", "--label", "ball=1")
    assert done.returncode == 0, done.stderr
    assert "not of this run, and left where they were: older.stl" in done.stdout and "ball.stl," not in done.stdout
    mask = trimesh.load_mesh(tmp_path / "mask" / "ball.stl")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask" / "labels.nii.gz")))
    assert mask.volume == pytest.approx((labels == 1).sum(), rel=0.01)
    aside = sitk.ReadImage(str(tmp_path / "out" / "labels.nii.gz"))
    flesh = sitk.GetArrayFromImage(aside)
    flesh[:] = 0
    flesh[2:6, 2:6, 2:6] = 1
    drawn = sitk.GetImageFromArray(flesh)
    drawn.CopyInformation(aside)
    sitk.WriteImage(drawn, str(tmp_path / "flesh.nii.gz"))
    done = run("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "bad", "--labels", tmp_path / "flesh.nii.gz", "--label", "ball=1")
    assert done.returncode == 2 and "0 % of the surface of the mask of ball lies on bone of the scan" in done.stderr
    assert not (tmp_path / "bad").exists()
    for bad in (["--bone", "head=0,0"], ["--bone", "head"], ["--label", "x=1"], ["--bone", "Head=0,0,0"]):
        done = run("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "bad", *bad)
        assert done.returncode == 2
        assert done.stderr.strip().splitlines()[-1].startswith("psi-cad: ")
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "bad").exists()


def test_a_bone_that_took_another_s_seed_is_refused():
    """A parting that went wrong says so by the seed that lies in the other bone."""
    volume = Volume(np.zeros((20, 20, 20), np.int16), np.eye(4))
    values = np.zeros((20, 20, 20), np.uint8)
    values[2:18, 2:18, 2:10], values[2:18, 2:18, 11:18] = 1, 2
    seeds = {"hip": np.array([5.0, 9.0, 9.0]), "femur": np.array([14.0, 9.0, 9.0])}
    refuse_far_seeds(values, volume, seeds)
    for spoilt in (np.where(values == 2, 1, values), np.where(values == 2, 0, values)):
        spoilt[9, 9, 17] = 2
        with pytest.raises(CaseError, match="seed of femur .* 3.0 mm outside the bone that was found from it"):
            refuse_far_seeds(spoilt.astype(np.uint8), volume, seeds)


def test_bones_that_touch_are_told_in_the_report():
    bones = [ScannedBone(ball((-8.1, 0.0, 0.0), 8.0), 2.0), ScannedBone(ball((8.1, 0.0, 0.0), 8.0), 2.0)]
    found = segment_bone(ct_of(bones, (20.0, 14.0, 14.0)), {"hip": (-10.0, 0.0, 0.0), "femur": (10.0, 0.0, 0.0)})
    assert found.touching == (("hip", "femur"),)
    report = report_of(found, {})
    (told,) = [one for one in report.cautions if one.text.startswith("hip and femur touch")]
    assert told.id == "touching-bones" and told.blocks_release and told.text in report.notes
    assert not report.rejected
