"""Tumours: volume, side and place of a thick-sliced mask's surface; margins and diameters against closed forms; proposals say so."""

import json

import numpy as np
import pytest
import trimesh
from strict import strictly

from psi_cad import api
from psi_cad.errors import ImageError, SegmentationError, SurfaceError
from psi_cad.extraction.tumour import diameters, grown, tumour_surface
from psi_cad.imaging.tumour import PROPOSAL, marked, propose_tumour, shape_interpolated
from psi_cad.registration.rigid import apply, inverse, rotation
from psi_cad.surface.rays import SignedDistance
from psi_cad.voxels.volume import Volume

CENTRE = np.array([10.0, -20.0, 35.0])


def grid(direction, spacing, size=(60, 60, 18)):
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(direction) * spacing
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ (0.5 * (np.array(size) - 1)) + 0.3
    return matrix, size


def mask_of(inside, matrix, size):
    index = np.indices(size[::-1])[::-1].reshape(3, -1).T
    return Volume(inside(apply(matrix, index)).reshape(size[::-1]).astype(np.uint8), matrix)


def pear(points):
    """Off its middle in every axis, so that a flip shows."""
    low = np.linalg.norm(points - CENTRE, axis=1) < 12
    return low | (np.linalg.norm(points - CENTRE - [7.0, 9, 8], axis=1) < 8)


@pytest.mark.parametrize(
    "direction",
    [np.eye(3), np.diag([1.0, -1, 1]), np.diag([-1.0, -1, -1]), rotation(np.array([0.4, -0.7, 0.2]), about=np.zeros(3))[:3, :3]],
    ids=["plain", "flipped y", "left-handed thrice", "oblique"],
)
def test_volume_and_side_in_any_grid(direction):
    mask = mask_of(pear, *grid(direction, (0.8, 0.8, 4.0)))
    found = tumour_surface(shape_interpolated(mask))
    assert found.mesh.is_watertight and found.parts == 1 and not found.proposal
    assert found.volume_mm3 == pytest.approx(mask.values.sum() * 0.8 * 0.8 * 4.0, rel=0.03)
    points = mask.patient(np.argwhere(mask.values)[:, ::-1])
    np.testing.assert_allclose(found.mesh.center_mass, points.mean(axis=0), atol=0.5)
    away = np.abs(
        np.minimum(np.linalg.norm(found.mesh.vertices - CENTRE, axis=1) - 12, np.linalg.norm(found.mesh.vertices - CENTRE - [7, 9, 8], axis=1) - 8)
    )
    assert away.mean() < 0.6  # of slices 4 mm thick
    assert found.mesh.face_normals[found.mesh.triangles_center[:, 2].argmax()][2] > 0, "normals look outward"


def test_it_comes_into_the_frame_of_the_ct():
    moving_from_fixed = rotation(np.array([0.1, 0.3, -0.2]), about=CENTRE, shift=np.array([9.0, 4, -6]))
    mask = mask_of(pear, *grid(np.diag([1.0, -1, 1]), (1.0, 1.0, 1.2)))
    there = tumour_surface(shape_interpolated(mask)).mesh
    here = tumour_surface(shape_interpolated(mask), fixed_from_moving=inverse(moving_from_fixed)).mesh
    np.testing.assert_allclose(apply(moving_from_fixed, here.center_mass[None])[0], there.center_mass, atol=1e-6)
    assert here.volume == pytest.approx(there.volume, rel=1e-9)


@pytest.mark.slow
def test_the_real_thick_sliced_tumour(data):
    """Slices 6.5 mm thick, y flipped, outlines that jump from slice to slice."""
    from psi_cad.imaging.label_files import read_labels

    mask = read_labels(data / "mr_brain_tumour" / "brain1_label.nrrd").mask(1)
    found = tumour_surface(shape_interpolated(mask))
    assert found.mesh.is_watertight and found.volume_mm3 == pytest.approx(16412.7, rel=0.03)
    points = mask.patient(np.argwhere(mask.values)[:, ::-1])
    np.testing.assert_allclose(found.mesh.center_mass[:2], points.mean(axis=0)[:2], atol=1.0)
    np.testing.assert_allclose(found.mesh.center_mass[2], points[:, 2].mean(), atol=1.5)
    inside = SignedDistance(found.mesh)(points[::7])
    assert (inside < 0.8).mean() > 0.93
    outer = grown(found.mesh, 10.0)
    assert outer.is_watertight
    pick = np.random.default_rng(1).integers(0, len(outer.faces), 800)
    away = SignedDistance(found.mesh)(np.vstack([outer.vertices[outer.faces[pick, 0]], outer.triangles_center[pick]]))
    assert away.min() > 9.5 and away.max() < 10.5


@pytest.mark.parametrize("margin", [2.0, 10.0])
def test_margin_of_a_box_is_rounded_and_exact(margin):
    box = trimesh.creation.box((30, 20, 10))
    outer = grown(box, margin)
    outside = np.maximum(np.abs(outer.vertices) - [15, 10, 5], 0)
    np.testing.assert_allclose(np.linalg.norm(outside, axis=1), margin, atol=0.06)
    steiner = 6000 + 2200 * margin + np.pi * 60 * margin**2 + 4 / 3 * np.pi * margin**3  # volume + area r + π Σ edges / 4 r² + ball
    assert outer.volume == pytest.approx(steiner, rel=0.004)


def test_margin_joins_parts_and_has_no_inner_shell():
    parts = trimesh.util.concatenate(
        [trimesh.creation.icosphere(subdivisions=4, radius=14), trimesh.creation.icosphere(subdivisions=3, radius=5).apply_translation([26, 0, 0])]
    )
    outer = grown(parts, 6.0)
    assert outer.body_count == 1 and outer.is_watertight
    for wrong, says in ((0.0, "margin is 0 mm"), (-1.0, "margin is -1 mm")):
        with pytest.raises(SurfaceError, match=says):
            grown(parts, wrong)
    with pytest.raises(SurfaceError, match="closed"):
        grown(trimesh.Trimesh(parts.vertices, parts.faces[1:]), 5.0)


def test_diameters_of_an_ellipsoid_in_any_pose():
    ball = trimesh.creation.icosphere(subdivisions=4)
    turn = rotation(np.array([0.5, -0.8, 0.3]), about=np.zeros(3), shift=CENTRE)
    solid = trimesh.Trimesh(apply(turn, ball.vertices * [25, 15, 10]), ball.faces)
    sizes, axes = diameters(solid)
    np.testing.assert_allclose(sizes, [50, 30, 20], rtol=0.01)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert abs(axes[0] @ turn[:3, 0]) > 0.99


def lesion_scan(rng):
    matrix, size = grid(np.diag([1.0, -1, 1]), (0.8, 0.8, 4.0))
    mask = mask_of(pear, matrix, size)
    return Volume((300 + 250.0 * mask.values + rng.normal(0, 25, mask.values.shape)).astype(np.int16), matrix), mask


def test_a_proposal_is_good_and_says_that_it_is_one(rng):
    volume, truth = lesion_scan(rng)
    found = propose_tumour(volume, seeds=CENTRE, box=np.stack([CENTRE - 20, CENTRE + 24]))
    both = (found.values > 0) & (truth.values > 0)
    assert 2 * both.sum() / (found.values.sum() + truth.values.sum()) > 0.9
    assert PROPOSAL in found.notes and tumour_surface(shape_interpolated(found)).proposal
    with pytest.raises(ImageError, match="outside the box"):
        propose_tumour(volume, seeds=CENTRE + 40, box=np.stack([CENTRE - 20, CENTRE + 24]))
    with pytest.raises(SegmentationError):
        propose_tumour(Volume(np.full_like(volume.values, 300), volume.patient_from_index), seeds=CENTRE, box=np.stack([CENTRE - 20, CENTRE + 24]))


def test_the_command_marks_a_proposal_everywhere(tmp_path, run, rng):
    import SimpleITK as sitk  # noqa: N813

    volume, _ = lesion_scan(rng)
    sitk.WriteImage(volume.to_sitk(), str(tmp_path / "mri.nrrd"))
    out = tmp_path / "t.stl"
    done = run("tumour", "--image", tmp_path / "mri.nrrd", "--seed", "10,-20,35", "--box", "-10,-40,15,34,4,59", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "PROPOSAL" in done.stdout and out.read_bytes()[:80].startswith(b"psi-cad PROPOSAL tumour")
    assert '"proposal": true' in out.with_suffix(".json").read_text("utf-8") and (tmp_path / "t_PROPOSAL.nrrd").is_file()
    same = api.tumour(tmp_path / "t2.stl", image=tmp_path / "mri.nrrd", seeds=[(10, -20, 35)], box=[(-10, -40, 15), (34, 4, 59)])
    assert strictly("tumour", same) == []
    assert same == json.loads(out.with_suffix(".json").read_text("utf-8"))  # the verb for Python is the command
    assert (tmp_path / "t2.stl").read_bytes() == out.read_bytes()
    wrong = run("tumour", "--image", tmp_path / "mri.nrrd", "--seed", "10,-20", "--box", "-10,-40,15,34,4,59", "-o", out)
    assert wrong.returncode == 2 and "must be 3 numbers" in wrong.stderr


def test_labels_are_named_when_the_wanted_one_is_missing():
    mask = mask_of(pear, *grid(np.eye(3), (1, 1, 4)))
    with pytest.raises(SegmentationError, match="no label 3; it has 1"):
        marked(mask, 3)
    with pytest.raises(SegmentationError, match="empty"):
        shape_interpolated(Volume(mask.values * 0, mask.patient_from_index))
