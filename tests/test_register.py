"""Registration: found from far off, the same every time, refused when in doubt; transforms and landmarks as files."""

import json

import numpy as np
import pytest
from strict import strictly

from psi_cad.errors import ImageError, RegistrationError
from psi_cad.registration.register import Registration, _refuse_doubt, register
from psi_cad.registration.rigid import (
    apply,
    distance,
    inverse,
    midway,
    read_landmarks,
    read_transform,
    rigid_from_points,
    rotation,
    turn_deg,
    write_transform,
)
from psi_cad.voxels.volume import Volume

TRUE = rotation(np.radians([4.0, -6.0, 3.0]), about=np.array([5.0, 0, 0]), shift=np.array([7.0, -4, 9]))


def blobs(points):
    """An uneven body (n,) of several tissues: 0 air, 1 fat, 2 muscle, 3 bone."""
    x, y, z = points.T
    tissue = np.where((x / 52) ** 2 + (y / 40) ** 2 + (z / 46) ** 2 < 1, 1, 0)
    tissue[((x + 12) / 30) ** 2 + (y / 26) ** 2 + ((z - 6) / 32) ** 2 < 1] = 2
    for centre, radii in (((-20, 8, 12), (9, 6, 22)), ((18, -12, -8), (16, 5, 6)), ((8, 16, -20), (5, 12, 7))):
        tissue[(((points - centre) / radii) ** 2).sum(axis=1) < 1] = 3
    return tissue


def scan(signal, spacing, pose, rng, *, noise):
    """A volume of `blobs` with a signal for each tissue, seen in a frame `pose` (from blobs)."""
    spacing = np.array(spacing)
    size = np.floor(124 / spacing).astype(int)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = pose[:3, 3] - 0.5 * spacing * (size - 1)
    index = np.indices(size[::-1])[::-1].reshape(3, -1).T
    points = apply(inverse(pose) @ matrix, index)
    values = np.asarray(signal)[blobs(points)] + rng.normal(0, noise, len(points))
    return Volume(np.rint(values).reshape(size[::-1]).astype(np.int16), matrix)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(3)
    ct = scan((-1000, -95, 55, 900), (2, 2, 2), np.eye(4), rng, noise=15)
    mri = scan((20, 800, 300, 60), (1.6, 1.6, 4), TRUE, rng, noise=15)
    return ct, mri


@pytest.fixture(scope="module")
def found(pair):
    return register(*pair)


def test_found_and_checked(found):
    assert distance(found.moving_from_fixed, TRUE, at=found.box).mean() < 0.6
    assert found.agreeing >= 3 and found.evidence > 2 * found.evidence_at_start
    assert found.inverse_mm < 2.0 and found.spread_mm < 3.0
    np.testing.assert_allclose(found.fixed_from_moving @ found.moving_from_fixed, np.eye(4), atol=1e-12)
    json.dumps(found.report().to_json(), allow_nan=False)
    assert strictly("registration", {"schema": 1, **found.report().to_json()}) == []


@pytest.mark.slow
def test_the_same_digits_every_time_and_from_a_far_start_the_same_place(pair, found, rng):
    again = register(*pair)
    assert again.report().to_json() == found.report().to_json()
    far = TRUE @ rotation(np.radians(15) * np.array([0.6, 0, 0.8]), about=np.zeros(3), shift=30 * np.array([0, 0.8, -0.6]))
    other = register(*pair, start=far)
    assert distance(other.moving_from_fixed, TRUE, at=found.box).mean() < 0.6
    assert other.moved_mm == pytest.approx(30, abs=2) and other.turned_deg == pytest.approx(15, abs=1)


@pytest.mark.slow
def test_wrong_landmarks_begin_it_and_are_noticed(pair):
    places = np.array([[-20, 8, 30], [30, -12, -8], [8, 25, -20], [0, 0, 40.0]])
    with pytest.raises(RegistrationError, match=r"misses the landmarks by 1[67]\.\d mm"):
        register(*pair, landmarks=(places, apply(TRUE, places) + np.array([12.0, 12, 0])))


@pytest.mark.slow
def test_noise_and_round_things_are_refused(pair, rng):
    ct, mri = pair
    noise = Volume(rng.integers(0, 800, mri.values.shape).astype(np.int16), mri.patient_from_index)
    with pytest.raises(RegistrationError):
        register(ct, noise)
    balls = []
    for step, levels in ((2.0, (900, 50, -1000)), (2.7, (50, 400, 5))):
        count = int(120 / step)
        deep = np.linalg.norm(np.indices((count,) * 3).reshape(3, -1) * step - 59.6, axis=0).reshape((count,) * 3)
        values = np.where(deep < 24, levels[0], np.where(deep < 48, levels[1], levels[2])) + rng.normal(0, 7, deep.shape)
        balls.append(Volume(values.astype(np.int16), np.diag([step, step, step, 1.0])))
    with pytest.raises(RegistrationError, match=r"fit about equally well|starts ended within"):  # any turn of a ball is as good
        register(*balls)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"evidence": 0.01}, "too little in common"),
        ({"rival_share": 0.99}, "Two different places"),
        ({"agreeing": 2}, "Only 2 of 8 starts"),
        ({"inverse_mm": 2.4}, "off by 2.4 mm"),
        ({"landmark_rms_mm": 11.0}, "misses the landmarks"),
    ],
)
def test_each_doubt_refuses(wrong, says):
    sound = {"moving_from_fixed": np.eye(4), "centre": np.zeros(3), "box": np.zeros((8, 3)), "starts": 8, "agreeing": 8, "spread_mm": 0.1,
             "evidence": 0.3, "evidence_at_start": 0.1, "rival_share": 0.5, "inverse_mm": 0.2, "moved_mm": 1.0, "turned_deg": 1.0}  # fmt: skip
    _refuse_doubt(Registration(**sound))
    with pytest.raises(RegistrationError, match=says):
        _refuse_doubt(Registration(**{**sound, **wrong}))


def test_unusable_scans_are_told(pair):
    ct, mri = pair
    with pytest.raises(ImageError, match="too thin"):
        register(Volume(ct.values[:3], ct.patient_from_index), mri)
    with pytest.raises(ImageError, match="same value"):
        register(ct, Volume(np.zeros_like(mri.values), mri.patient_from_index))
    with pytest.raises(ImageError, match="mask covers almost nothing"):
        register(ct, mri, mask=Volume(np.zeros_like(ct.values), ct.patient_from_index))


@pytest.mark.slow
def test_rire_pair_against_its_standard(data):
    """The standard's own uncertainty is about 1.4 mm; bench/register.py runs 20 starts."""
    from psi_cad.imaging.scan_files import read_volume

    folder = data / "ct_mr_head_rire"
    truth = json.loads((folder / "ground_truth.json").read_text("utf-8"))
    standard, corners = np.array(truth["matrix_ct_to_mr_4x4_row_major"]), np.array(truth["corner_points_ct_xyz_to_mr_xyz"])
    np.testing.assert_allclose(apply(standard, corners[:, :3]), corners[:, 3:], atol=2e-3)
    start = standard @ rotation(np.radians([-9.0, 8, 8]), about=corners[:, :3].mean(axis=0), shift=np.array([18.0, 17, -17]))
    found = register(read_volume(folder / "ct.nii.gz"), read_volume(folder / "mr_t1.nii.gz"), start=start)
    assert distance(found.moving_from_fixed, standard, at=corners[:, :3]).mean() <= 2.0
    assert distance(found.moving_from_fixed, standard, at=found.box).mean() <= 2.0


def test_transform_file_says_what_itk_reads(tmp_path):
    import SimpleITK as sitk  # noqa: N813

    path = tmp_path / "t.tfm"
    write_transform(path, TRUE, centre=np.array([3.0, -2, 50]))
    np.testing.assert_allclose(read_transform(path), TRUE, atol=1e-7)
    point = (12.0, -30.0, 44.0)
    np.testing.assert_allclose(sitk.ReadTransform(str(path)).TransformPoint(point), apply(TRUE, np.array([point]))[0], atol=1e-6)
    affine = sitk.AffineTransform(3)  # as 3D Slicer writes a rigid one
    affine.SetMatrix(TRUE[:3, :3].ravel().tolist())
    affine.SetTranslation(TRUE[:3, 3].tolist())
    sitk.WriteTransform(affine, str(path))
    np.testing.assert_allclose(read_transform(path), TRUE, atol=1e-7)
    affine.Scale((1.01, 1, 1))
    sitk.WriteTransform(affine, str(path))
    with pytest.raises(ImageError, match="scales, shears or bends"):
        read_transform(path)
    path.write_text("nothing")
    with pytest.raises(ImageError, match="cannot be read as an ITK transform"):
        read_transform(path)


def test_rigid_fit_midway_and_landmark_files(tmp_path, rng):
    points = rng.normal(0, 40, (6, 3))
    matrix, rms = rigid_from_points(points, apply(TRUE, points))
    np.testing.assert_allclose(matrix, TRUE, atol=1e-9)
    assert rms < 1e-9 and np.linalg.det(rigid_from_points(points, points * [1, 1, -1])[0][:3, :3]) == pytest.approx(1)
    half = midway(np.eye(4), TRUE, about=np.zeros(3))
    assert turn_deg(half) == pytest.approx(turn_deg(TRUE) / 2)
    np.testing.assert_allclose(half[:3, 3], TRUE[:3, 3] / 2)
    with pytest.raises(ImageError, match="on one line"):
        rigid_from_points(np.outer(np.arange(4.0), [1, 2, 3]), points[:4])
    file = tmp_path / "pairs.csv"
    file.write_text("# ct, mri\n1,2,3,4,5,6\n7 8 9 10 11 12\n")
    fixed, moving = read_landmarks(file)
    np.testing.assert_array_equal(fixed, [[1, 2, 3], [7, 8, 9]])
    np.testing.assert_array_equal(moving, [[4, 5, 6], [10, 11, 12]])
    file.write_text("1,2,3\n")
    with pytest.raises(ImageError, match=r"line 1: wanted six numbers"):
        read_landmarks(file)
