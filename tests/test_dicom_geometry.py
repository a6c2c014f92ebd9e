"""A DICOM series lands where its positions say: orientation, gantry tilt, uneven steps, gaps."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from synthetic_scan import (
    AXES,
    EVEN,
    TURNS,
    off_phantom,
    rotation,
    sentence,
    stack,
    write_series,
)

from psi_cad.errors import ImageError
from psi_cad.imaging.scan_files import read_volume


@pytest.mark.parametrize("axes", TURNS.values(), ids=TURNS.keys())
@pytest.mark.parametrize("backwards", [False, True], ids=["along", "against"])
def test_any_orientation_is_read_by_position(tmp_path, axes, backwards):
    positions, axes = stack(-EVEN if backwards else EVEN, axes=axes)
    volume = read_volume(write_series(tmp_path / "s", positions, axes), kind="ct")
    assert off_phantom(volume).max() <= 0.51  # rounding to whole HU and nothing else
    assert volume.values.dtype == np.int16
    assert volume.spacing == pytest.approx([0.7, 0.8, 1.25], abs=1e-9)
    np.testing.assert_allclose(volume.direction, axes.T, atol=1e-9)
    assert not volume.facts["resampled"]


@pytest.mark.parametrize("degrees", [-30.0, -18.5, -10.0, 10.0, 30.0])
@pytest.mark.parametrize("about", [[1, 0, 0], [0, 1, 0], [1, 1, 0]], ids=["x", "y", "xy"])
def test_gantry_tilt_is_straightened(tmp_path, degrees, about):
    axes = AXES @ rotation(about, degrees).T
    positions, axes = stack(EVEN, axes=axes, stacking=[0, 0, 1])
    volume = read_volume(write_series(tmp_path / "s", positions, axes), kind="ct")
    assert volume.facts["tilt_deg"] == pytest.approx(abs(degrees), abs=1e-3)
    assert any("tilt" in note for note in volume.notes)
    np.testing.assert_allclose(volume.direction.T @ volume.direction, np.eye(3), atol=1e-9)
    off = off_phantom(volume)
    assert off.size > 10_000
    assert np.median(off) < 0.5 and off.max() < 3.0  # of a range of 2,000 HU


def test_simpleitk_alone_would_lose_the_tilt(tmp_path):
    """The reason this reader exists: the series reader of SimpleITK puts the same slices elsewhere and says nothing."""
    positions, axes = stack(EVEN, axes=AXES @ rotation([1, 0, 0], 20.0).T, stacking=[0, 0, 1])
    folder = write_series(tmp_path / "s", positions, axes)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    last = np.array(reader.Execute().TransformIndexToPhysicalPoint((0, 0, len(EVEN) - 1)))
    assert np.linalg.norm(last - positions[-1]) > 5.0
    volume = read_volume(folder)
    i, _, j, _ = volume.facts["scanned_px"][-1]
    np.testing.assert_allclose(volume.patient(np.array([[i, j, len(EVEN) - 1]]))[0], positions[-1], atol=0.01)


def test_without_tilt_it_agrees_with_simpleitk(tmp_path):
    positions, axes = stack(EVEN, axes=TURNS["oblique"])
    folder = write_series(tmp_path / "s", positions, axes)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs, ours = reader.Execute(), read_volume(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs), ours.values)
    np.testing.assert_allclose(theirs.TransformIndexToPhysicalPoint((7, 5, 3)), ours.patient(np.array([[7, 5, 3]]))[0], atol=1e-3)


def test_variable_steps_are_resampled_from_true_positions(tmp_path, rng):
    along = np.cumsum(np.r_[0.0, rng.uniform(0.7, 1.2, 25)])
    positions, axes = stack(along)
    volume = read_volume(write_series(tmp_path / "s", positions, axes), kind="ct")
    assert any("vary" in note for note in volume.notes)
    assert volume.facts["largest_step_mm"] == pytest.approx(np.diff(along).max(), abs=1e-4)
    off = off_phantom(volume)
    # linear interpolation of this phantom is off by step² / 8 times its curvature (330 / 64): 0.93 HU, and rounding
    assert off.max() < 1.9
    end = volume.patient(np.array([[0, 0, volume.values.shape[0] - 1]]))[0]
    np.testing.assert_allclose(end, positions[-1], atol=1e-6)


def test_a_change_of_pitch_is_no_gap(tmp_path):
    along = np.cumsum(np.r_[0.0, np.full(12, 1.0), np.full(8, 2.0)])
    volume = read_volume(write_series(tmp_path / "s", *stack(along)), kind="ct")
    assert volume.spacing[2] == pytest.approx(1.0) and any("vary" in note for note in volume.notes)
    assert any("2.00 mm" in note for note in volume.notes)  # judged by the steps that were scanned


def test_rounded_positions_are_even(tmp_path):
    along = np.round(0.625 * np.arange(24), 1)
    volume = read_volume(write_series(tmp_path / "s", *stack(along)), kind="ct")
    assert volume.spacing[2] == pytest.approx(along[-1] / 23) and not volume.facts["resampled"]


def test_a_missing_slice_is_named(tmp_path):
    along = np.delete(EVEN, 8)
    folder = write_series(tmp_path / "s", *stack(along))
    with pytest.raises(ImageError) as error:
        read_volume(folder)
    text = sentence(error)
    assert "between z=13.75 and z=16.25 mm" in text and "--fill-gap" in text
    volume = read_volume(folder, fill_gap=True)
    assert volume.values.shape[0] == 20 and any("guess" in note for note in volume.notes)
    off = off_phantom(volume)
    assert np.delete(off, 8, axis=0).max() <= 0.51
    assert 1.0 < off[8].max() < 1.25**2 / 2 * 330 / 64 + 1.0


@pytest.mark.parametrize("lost", [[8, 9], [4, 12]], ids=["two in a row", "two places"])
def test_only_one_missing_slice_can_be_filled(tmp_path, lost):
    folder = write_series(tmp_path / "s", *stack(np.delete(EVEN, lost)))
    with pytest.raises(ImageError) as error:
        read_volume(folder, fill_gap=True)
    assert "2 slices are missing" in sentence(error)
