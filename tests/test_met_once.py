"""What a scan or a surface may hold that no guide should rest on, each met on purpose: two bones in one surface, growth plates, coarse slices."""

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import trimesh
from scipy import ndimage
from shapes import block, rounded_box

from psi_cad.bones.accuracy import accuracy_of
from psi_cad.bones.segment import report_of, segment_bone
from psi_cad.errors import SurfaceError
from psi_cad.imaging.motion import JUMP_MM, _against_beside
from psi_cad.intake.bones import body_cautions
from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
from psi_cad.surface.bodies import gaps_of, refuse_overlap
from psi_cad.surface.repair import checked_bone
from psi_cad.voxels.volume import Volume

CASE = """schema = 1
id = "two"
side = "midline"
[bone]
surface = "bone.stl"
units = "mm"
coordinates = "LPS"
[[cut]]
name = "A"
origin = [0, 0, 10]
normal = [0, 0, 1]
"""


def bodies(*apart):
    """Blocks of 40 x 30 x 100 mm, each moved by so much along x."""
    return checked_bone(trimesh.util.concatenate([block(40, 30, 100, at=(x, 0.3 * n, 0.7 * n)) for n, x in enumerate(apart)]), name="bone.stl")


def test_bodies_that_reach_into_each_other_are_refused_with_place_and_volume(tmp_path, here):
    with pytest.raises(SurfaceError, match=r"two bodies, of 120\.0 and 120\.0 cm³, that reach into each other over 5\.9 cm³ near \(1[89], ") as told:
        refuse_overlap(bodies(0.0, 38.0))
    assert 18.0 <= told.value.where[0] <= 20.0
    trimesh.util.concatenate([block(40, 30, 100), block(40, 30, 100, at=(38.0, 0.3, 0.7))]).export(tmp_path / "bone.stl")
    (tmp_path / "case.toml").write_text(CASE)
    code, _, said = here("plan", tmp_path / "case.toml", "-o", tmp_path / "out")
    assert code == 2 and "reach into each other" in said and "Traceback" not in said


def test_bodies_apart_are_told_with_the_gap(tmp_path, here):
    apart = bodies(0.0, 42.5)
    refuse_overlap(apart)
    (gap,) = gaps_of(apart)
    assert gap.width == pytest.approx(np.hypot(2.5, 0.76), abs=0.3) and gap.where[0] == pytest.approx(21.25, abs=0.1)
    (told,) = body_cautions(apart)
    assert told.id == "several-bodies" and told.blocks_release and "120.0 cm³" in told.text


def test_one_body_and_a_cavity_are_one_bone():
    hollow = trimesh.util.concatenate([block(40, 30, 100), block(10, 10, 20)])
    hollow.faces = np.vstack([hollow.faces[: len(hollow.faces) // 2], hollow.faces[len(hollow.faces) // 2 :, ::-1]])
    bone = checked_bone(hollow, name="b")
    refuse_overlap(bone)
    assert gaps_of(bone) == [] and body_cautions(bone) == ()


def plate_ct(gap):
    """Two blocks of bone with a growth plate of `gap` mm of cartilage between them."""
    parts = [rounded_box((-14, -12, -30), (14, 12, -gap / 2)), rounded_box((-14, -12, gap / 2), (14, 12, 22))]
    bones = [ScannedBone(part, 1.2, cortex=1200.0, marrow=300.0) for part in parts]
    return simulated_ct(bones, low=np.array([-22.0, -20, -38]), high=np.array([22.0, 20, 30]), body=Body(muscle_mm=500.0), noise_sd=15.0)


def test_a_piece_beyond_an_open_growth_plate_is_not_lost_in_silence():
    found = segment_bone(plate_ct(6.0), {"hip": [(0.0, 0.0, -15.0), (0.0, 0.0, 10.0)]})
    (doubt,) = found.doubts
    assert "does not hang together" in doubt.text and "growth plate" in doubt.text and doubt.where[2] > 3.0
    assert report_of(found, {}).rejected
    named = segment_bone(plate_ct(6.0), {"hip": (0.0, 0.0, -15.0), "hip-2": doubt.where})
    assert not named.doubts and [bone.name for bone in named.bones] == ["hip", "hip-2"], "what the message says makes it right"


@pytest.mark.slow
def test_a_growth_plate_that_the_surface_crosses_is_told_with_its_place():
    (bone,) = segment_bone(plate_ct(2.5), {"hip": [(0.0, 0.0, -15.0), (0.0, 0.0, 10.0)]}).bones
    (told,) = [caution for caution in bone.cautions if "two shells" in caution.text]
    assert told.blocks_release and abs(told.where[2]) < 1.0
    for seeds in ({"hip": (0.0, 0.0, -15.0)}, {"hip": (0.0, 0.0, -15.0), "hip-2": (0.0, 0.0, 10.0)}):  # of one part, and of both by name
        assert not [caution for one in segment_bone(plate_ct(2.5), seeds).bones for caution in one.cautions if "two shells" in caution.text]


def ellipsoid_ct(step, *, half=(24.0, 18.0, 30.0)):
    """A bone with known surface: to second order the distance to an ellipsoid, cut into slices `step` mm apart."""
    radii = np.array([18.0, 12.0, 24.0])

    def away(points):
        p = np.asarray(points)
        level, slope = np.linalg.norm(p / radii, axis=1), np.linalg.norm(p / radii**2, axis=1)
        return level * (level - 1.0) / np.maximum(slope, 1e-9)

    bone = ScannedBone(away, 1.5, cortex=1300.0, marrow=150.0)
    over = (2, 2, max(2, round(step / 0.5)))
    ct = simulated_ct(
        [bone], low=-np.array(half), high=np.array(half), spacing=(0.8, 0.8, step), body=Body(muscle_mm=500.0), noise_sd=20.0, supersample=over
    )
    return ct, away


@pytest.mark.parametrize("step", [pytest.param(0.8, marks=pytest.mark.slow), 1.0, pytest.param(1.25, marks=pytest.mark.slow)])
def test_what_is_said_of_the_surface_bounds_what_it_is(step):
    ct, away = ellipsoid_ct(step)
    found = segment_bone(ct, {"b": (0.0, 0.0, 0.0)})
    said = report_of(found, {}).bones[0]
    measured = float(np.percentile(np.abs(away(np.asarray(found.bones[0].mesh.vertices))), 95))
    assert measured <= said.within_mm <= 0.6
    assert said.within_mm == pytest.approx(2.0 * said.uncertainty_mm, abs=0.002) and said.no_accuracy is None


def test_slices_that_may_carry_a_guide_but_no_number(tmp_path, here):
    ct, _ = ellipsoid_ct(1.5)
    sitk.WriteImage(ct.to_sitk(), str(tmp_path / "ct.nii.gz"))
    _, said, _ = here("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--bone", "b=0,0,0")
    assert "±" not in said and "above 1.25 mm the accuracy of a surface is not known" in said and "too coarse" not in said


@pytest.mark.parametrize("step", [3.0, pytest.param(5.0, marks=pytest.mark.slow)])
def test_a_coarse_scan_is_named_first_and_no_accuracy_is_said(step, tmp_path, here):
    ct, _ = ellipsoid_ct(step)
    sitk.WriteImage(ct.to_sitk(), str(tmp_path / "ct.nii.gz"))
    code, said, _ = here("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--bone", "b=0,0,0")
    lines = [line for line in said.splitlines() if line.strip()]
    assert code in (0, 1) and "too coarse for a guide" in lines[0] and "±" not in said
    (bone,) = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["bones"]
    assert bone["uncertainty_mm"] is None and bone["within_mm"] is None and f"{step:.2f} mm apart" in bone["no_accuracy"]


def moved(ct, first, last, shift, *, doubled=False):
    """The scan with slices from `first` to `last` shifted by (x, y) mm; or, if `doubled`, with the bone in both places at half its density."""
    values = ct.values.astype(np.float64)
    for k in range(first, last):
        there = ndimage.shift(values[k], np.array(shift)[::-1] / ct.spacing[1::-1], order=1, mode="nearest")
        values[k] = (values[k] + there) / 2.0 if doubled else there
    return Volume(np.rint(values).astype(np.int16), ct.patient_from_index)


@pytest.mark.parametrize(
    ("shift", "doubled", "size"), [pytest.param((2.0, 0.0), False, 2.0, marks=pytest.mark.slow), ((-1.0, 1.5), False, 1.8), ((0.0, 4.0), True, 2.0)]
)
def test_a_band_of_slices_that_moved_is_refused_with_its_place(shift, doubled, size):
    ct, _ = ellipsoid_ct(1.0)
    found = segment_bone(moved(ct, 26, 34, shift, doubled=doubled), {"b": (0.0, 0.0, 0.0)})
    jumps = [caution for caution in found.bones[0].cautions if "the patient moved" in caution.text]
    assert sorted(round(jump.where[2] + 30.0, 1) for jump in jumps) == [25.5, 33.5]
    assert all(jump.blocks_release for jump in jumps)
    if not doubled:
        assert [float(jump.text.split(" by ")[1].split()[0]) for jump in jumps] == pytest.approx([size, size], abs=0.3)
        assert report_of(found, {}).rejected


@pytest.mark.slow
def test_an_oblique_bone_that_nobody_moved_does_not_jump():
    lean = np.array([[1.0, 0.0, 0.8], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])  # its outline wanders by 0.9 mm from slice to slice
    straight, away = ellipsoid_ct(1.0)
    bone = ScannedBone(lambda points: away(np.asarray(points) @ np.linalg.inv(lean).T), 1.5, cortex=1300.0, marrow=150.0)
    ct = simulated_ct([bone], low=-np.array([42.0, 32.0, 30.0]), high=np.array([42.0, 32.0, 30.0]), body=Body(muscle_mm=500.0), noise_sd=20.0)
    for scan in (straight, ct, plate_ct(6.0)):  # the last: ends that are flat in a slice
        (bone,) = segment_bone(scan, {"b": (0.0, 0.0, -10.0)}).bones
        assert not [caution for caution in bone.cautions if "moved" in caution.text]


def test_a_shape_that_turns_over_several_slices_does_not_jump_and_a_jump_on_top_of_it_does():
    """The shifts of a simulated hip above its socket, on slices of 2 mm that nobody moved: 2.2 mm against their trend."""
    turns = np.array([[1.37, 0.37], [1.93, 0.72], [2.6, 1.18], [3.27, 1.62], [3.02, 1.37], [1.38, 0.31]])
    assert max(_against_beside(turns, k) for k in range(1, 5)) < JUMP_MM
    for k in range(6):
        jumped = turns + np.eye(6)[k][:, None] * [1.5, -1.0]
        assert _against_beside(jumped, k) > JUMP_MM


def beside_metal(gap, streak):
    """A prosthesis (a ball of 16 mm at the scale's end) `gap` mm beside the bone, and its streaks of so many HU, which fade with the distance."""
    ct, _ = ellipsoid_ct(1.0, half=(56.0, 26.0, 30.0))
    k, j, i = np.indices(ct.values.shape)
    off = ct.patient(np.stack([i, j, k], axis=-1).reshape(-1, 3)) - [18.0 + gap + 8.0, 0.0, 0.0]
    away, turn = np.hypot(off[:, 0], off[:, 1]), np.arctan2(off[:, 1], off[:, 0])
    values = ct.values.ravel() + (np.abs(off[:, 2]) < 8.0) * streak * np.cos(14.0 * turn) * np.exp(-np.maximum(away - 8.0, 0.0) / 25.0)
    values[np.linalg.norm(off, axis=1) < 8.0] = 3071.0
    return Volume(np.rint(np.clip(values, -1024, 3071)).astype(np.int16).reshape(ct.values.shape), ct.patient_from_index)


@pytest.mark.parametrize(("gap", "streak"), [(-12.0, 300.0), *(pytest.param(gap, 900.0, marks=pytest.mark.slow) for gap in (12.0, 20.0))])
def test_metal_that_was_taken_for_bone_is_refused_by_name(gap, streak):
    """Within the bone, and beside it where streaks join the two."""
    found = segment_bone(beside_metal(gap, streak), {"b": (0.0, 0.0, -15.0)})
    (doubt,) = [doubt for doubt in found.doubts if "are metal" in doubt.text]
    assert np.linalg.norm(np.array(doubt.where) - [26.0 + gap, 0.0, 0.0]) < 8.0
    assert report_of(found, {}).rejected and report_of(found, {}).bones[0].within_mm is None
    assert "metal" in {caution.id for caution in found.bones[0].cautions}


def test_beside_metal_no_accuracy_is_said():
    """Streaks add to the bone there, though the metal itself is none of it."""
    (bone,) = segment_bone(beside_metal(4.0, 300.0), {"b": (0.0, 0.0, -15.0)}).bones
    (told,) = [caution for caution in bone.cautions if caution.id == "metal"]
    assert told.blocks_release and told.where == pytest.approx((30.0, 0.0, 0.0), abs=1.0)
    assert bone.accuracy.deviation is None and "streaks" in bone.accuracy.why


def test_metal_far_from_a_bone_does_not_touch_it():
    found = segment_bone(beside_metal(20.0, 300.0), {"b": (0.0, 0.0, -15.0)})
    assert not found.doubts and found.metal and found.bones[0].accuracy.deviation is not None


def test_the_step_as_scanned_counts_not_that_of_the_grid():
    ct, _ = ellipsoid_ct(1.0)
    (bone,) = segment_bone(ct, {"b": (0.0, 0.0, 0.0)}).bones
    assert accuracy_of(bone.fit, ct).deviation == pytest.approx(bone.fit.uncertainty)
    told = accuracy_of(bone.fit, Volume(ct.values, ct.patient_from_index, facts={"largest_step_mm": 4.0}))
    assert told.deviation is None and "4.00 mm" in told.why
