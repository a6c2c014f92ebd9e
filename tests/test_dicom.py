"""DICOM is read by patient position, whatever its storage, or refused in one sentence."""

import json
import random
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from synthetic_scan import SECRETS, phantom, pixel_points, rotation, stack, write_enhanced, write_series

from psi_cad.errors import ImageError
from psi_cad.imaging.dicom_decoder import Decoder
from psi_cad.imaging.read import read_volume

EVEN = 1.25 * np.arange(20)
AXES = np.eye(3)


def sentence(error) -> str:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text
    assert not [secret for secret in SECRETS if secret.lower() in text.lower()]
    return text


def off_phantom(volume, *, inside=2):
    """|HU - truth| at all voxel centres well inside the scanned field."""
    k, j, i = np.mgrid[tuple(slice(0, n) for n in volume.values.shape)]
    truth = phantom(volume.patient(np.stack([i, j, k], axis=-1).reshape(-1, 3))).reshape(volume.values.shape)
    off = np.abs(volume.values - truth)
    boxes = volume.facts.get("scanned_px")
    if boxes is None:
        return off
    keep = np.zeros(off.shape, bool)
    for n, (i0, i1, j0, j1) in enumerate(boxes):
        keep[n, int(np.ceil(j0)) + inside : int(j1) + 1 - inside, int(np.ceil(i0)) + inside : int(i1) + 1 - inside] = True
    return off[keep]


# --- orientation, tilt, steps ---------------------------------------------------------------------------------------------

TURNS = {
    "axial": AXES,
    "feet first, prone": np.diag([1.0, -1.0, -1.0]),
    "sagittal": np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]], float),
    "coronal": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float),
    "oblique": rotation([1, 2, 3], 37.0),
}


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


# --- storage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1, RLELossless],
    ids=lambda s: s.name[:22],
)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_transfer_syntaxes(tmp_path, syntax, signed):
    positions, axes = stack(EVEN[:4])
    intercept = -24.0 if signed else -1024.0
    folder = tmp_path / "s"
    if syntax == ImplicitVRLittleEndian:
        write_series(folder, positions, axes, intercept=intercept, signed=signed)
        for path in folder.iterdir():
            data = pydicom.dcmread(path)
            data.file_meta.TransferSyntaxUID = syntax
            data.save_as(path, implicit_vr=True, little_endian=True)
    else:
        write_series(folder, positions, axes, intercept=intercept, signed=signed, syntax=syntax)
    volume = read_volume(folder, kind="ct")
    assert off_phantom(volume).max() <= 0.51


def test_enhanced_multi_frame(tmp_path):
    positions, axes = stack(EVEN, axes=TURNS["oblique"])
    volume = read_volume(write_enhanced(tmp_path / "one", positions, axes), kind="ct")
    assert volume.values.shape == (20, 40, 48) and off_phantom(volume).max() <= 0.51


def test_no_file_meta_header(tmp_path):
    folder = write_series(tmp_path / "s", *stack(EVEN[:5]))
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        pydicom.dcmwrite(path, pydicom.Dataset({e.tag: e for e in data}), implicit_vr=False, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    assert off_phantom(read_volume(folder)).max() <= 0.51


def test_zip_archive_is_the_folder(tmp_path):
    folder = write_series(tmp_path / "deep" / "er", *stack(EVEN))
    (folder / "notes.txt").write_text("no scan")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, f"a/b/{path.name}")
    a, b = read_volume(tmp_path / "deep"), read_volume(tmp_path / "scan.zip")
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.patient_from_index, b.patient_from_index)
    assert any("1 other file" in note for note in b.notes)


def test_rescale_and_padding(tmp_path):
    positions, axes = stack(EVEN)

    def pad(data, k):
        stored = np.frombuffer(data.PixelData, "<i2").reshape(40, 48).copy()
        stored[:5, :5] = -2000
        stored[20, 20] = -2048
        data.PixelData = stored.tobytes()
        data.add_new("PixelPaddingValue", "SS", -2000)
        data.RescaleIntercept = -7.0 * k  # each slice by its own
        hu = phantom(pixel_points(positions[k], axes, (0.8, 0.7), (40, 48)).reshape(-1, 3)).reshape(40, 48)
        rest = np.rint(hu + 7.0 * k).astype("<i2")
        rest[:5, :5], rest[20, 20] = -2000, -2048
        data.PixelData = rest.tobytes()

    volume = read_volume(write_series(tmp_path / "s", positions, axes, change=pad), kind="ct")
    assert (volume.values[:, :5, :5] == -1024).all() and (volume.values[:, 20, 20] == -1024).all()
    off = off_phantom(volume)
    off[:, :5, :5], off[:, 20, 20] = 0, 0
    assert off.max() <= 0.51
    assert any(f"{20 * 26} padding" in note for note in volume.notes)


def test_padding_value_inside_the_body_stays(tmp_path):
    """Padding 0 with intercept 0 is water too: only what hangs together with the corners is padding."""

    def pad(data, k):
        stored = np.full((40, 48), 60, "<i2")
        stored[:4] = 0
        stored[20:24, 20:24] = 0
        stored[30, 30] = -700
        data.PixelData = stored.tobytes()
        data.add_new("PixelPaddingValue", "SS", 0)

    volume = read_volume(write_series(tmp_path / "s", *stack(EVEN), intercept=0.0, change=pad), kind="ct")
    assert (volume.values[:, :4] == -1024).all() and (volume.values[:, 20:24, 20:24] == 0).all()


@pytest.mark.parametrize(("bits", "stored"), [(8, 8), (16, 12)])
def test_narrow_pixels(tmp_path, bits, stored):
    """Eight bits, and twelve in sixteen with an old overlay in the bits above."""
    positions, axes = stack(EVEN)

    def narrow(data, k):
        top = 2**stored - 1
        hu = phantom(pixel_points(positions[k], axes, (0.8, 0.7), (40, 48)).reshape(-1, 3)).reshape(40, 48)
        data.RescaleSlope, data.RescaleIntercept = 2300.0 / top, -1000.0
        raw = np.rint((hu + 1000.0) / (2300.0 / top)).astype(np.uint16)
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = bits, stored, stored - 1, 0
        data.PixelData = raw.astype("u1").tobytes() if bits == 8 else (raw | np.uint16(0x3000)).astype("<u2").tobytes()

    volume = read_volume(write_series(tmp_path / "s", positions, axes, change=narrow), kind="ct")
    assert off_phantom(volume).max() <= 2300 / (2**stored - 1) / 2 + 0.51


def test_mri_slopes_are_kept_as_fractions(tmp_path):
    def scale(data, k):
        data.RescaleSlope, data.RescaleIntercept = 0.5 + 0.01 * k, 0.0
        stored = (phantom(pixel_points(positions[k], axes, (0.8, 0.7), (40, 48)).reshape(-1, 3)) + 1000) / (0.5 + 0.01 * k)
        data.PixelData = np.rint(stored).astype("<i2").tobytes()

    positions, axes = stack(EVEN)
    volume = read_volume(write_series(tmp_path / "s", positions, axes, modality="MR", change=scale), kind="mr")
    assert volume.values.dtype == np.float32
    assert np.abs(off_phantom(volume) - 1000).max() < 0.4
    assert volume.facts["refuse_guide"] is None


# --- choosing -------------------------------------------------------------------------------------------------------------


def test_several_series_are_listed_and_chosen(tmp_path):
    write_series(tmp_path / "a", *stack(EVEN[:6]), series="1.2.3.1")
    write_series(tmp_path / "b", *stack(EVEN[:9]), series="1.2.4.1")
    write_series(tmp_path / "c", *stack(EVEN[:5]), series="1.2.5.1", modality="MR")

    def scout(data, k):
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(tmp_path / "d", *stack(EVEN[:3]), series="1.2.6.1", change=scout)
    write_series(tmp_path / "e", *stack(EVEN[:2], axes=TURNS["sagittal"]), series="1.2.3.1", change=scout)  # within the scan's own series
    with pytest.raises(ImageError) as error:
        read_volume(tmp_path, kind="ct")
    text = sentence(error)
    assert "--series" in text and "6 slices of 48 x 40" in text and "9 slices" in text and "localiser" in text
    assert read_volume(tmp_path, kind="ct", series=1).values.shape[0] == 6
    assert read_volume(tmp_path, kind="ct", series="1.2.4").values.shape[0] == 9
    assert read_volume(tmp_path, kind="mr").values.shape[0] == 5
    for series, said in (("7", "no series"), (3, "asked for"), (4, "localiser"), ("1.2", "more than one")):
        with pytest.raises(ImageError) as error:
            read_volume(tmp_path, kind="ct", series=series)
        assert said in sentence(error)


# --- refusals: one sentence each ------------------------------------------------------------------------------------------


def _twice(data, k):
    if k == 5:
        data.ImagePositionPatient = [-20.0, -14.0, 5.0 + 1.25 * 4]


def _turned(data, k):
    if k == 5:
        data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def _small(data, k):
    if k == 5:
        data.Rows, data.PixelData = 39, data.PixelData[: 39 * 48 * 2]


def _spacing(data, k):
    if k == 5:
        data.PixelSpacing = [0.8, 0.8]


def _placeless(data, k):
    if k == 5:
        del data.ImagePositionPatient


def _inverted(data, k):
    data.PhotometricInterpretation = "MONOCHROME1"


def _cut(data, k):
    if k == 5:
        data.PixelData = data.PixelData[:1000]


def _blind(data, k):
    if k == 5:
        del data.PixelData


def _huge(data, k):
    data.Rows = data.Columns = 60_000


def _beside(data, k):
    data.ImagePositionPatient = [-20.0 + 40 * k, -14.0, 5.0]


def _skewed(data, k):
    data.ImageOrientationPatient = [1, 0, 0, 0.3, 0.95, 0]


def _stored_as_is(data, k):
    del data.RescaleIntercept
    data.PixelData = np.full((40, 48), 900, "<i2").tobytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_twice, "share positions"),
        (_turned, "more than one orientation"),
        (_small, "more than one size"),
        (_spacing, "more than one PixelSpacing"),
        (_placeless, "1 of 8 slices state no position"),
        (_inverted, "MONOCHROME1"),
        (_cut, "cut short"),
        (_blind, "no pixels"),
        (_huge, "no pixels"),
        (_beside, "beside each other"),
        (_skewed, "square to each other"),
        (_stored_as_is, "not in HU"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_trusted_is_refused(tmp_path, change, said):
    folder = write_series(tmp_path / "s", *stack(EVEN[:8]), change=change)
    with pytest.raises(ImageError) as error:
        read_volume(folder, kind="ct")
    assert said in sentence(error)


def test_nothing_to_read(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.dcm").write_text("hello" * 100)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + b"x" * 300)
    for name, said in (("empty", "no files"), ("text", "No DICOM"), ("broken.zip", "No DICOM"), ("absent", "does not exist")):
        with pytest.raises(ImageError) as error:
            read_volume(tmp_path / name)
        assert said in sentence(error)
    folder = write_series(tmp_path / "one", *stack(EVEN[:1]))
    with pytest.raises(ImageError) as error:
        read_volume(folder)
    assert "only one CT slice" in sentence(error)
    assert read_volume(folder, single=True).values.shape == (1, 40, 48)


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "import os; os.abort()", "print('x')"], ids=["hangs", "crashes", "babbles"])
def test_a_decoder_that_fails_is_one_sentence(tmp_path, program):
    with Decoder(tmp_path, time_limit=1.0, command=(sys.executable, "-c", program)) as decoder, pytest.raises(ImageError) as error:
        decoder.frame("x", 0, rows=4, columns=4)
    assert "cannot be decoded" in sentence(error)


# --- real scans -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unpacked(data, tmp_path_factory):
    def of(archive: str, every: int = 1):
        folder = tmp_path_factory.mktemp("scan")
        with tarfile.open(data / archive) as tar:
            tar.extractall(folder, filter="data")
        if every > 1:  # every n-th slice is a series too
            held = []
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    place = pydicom.dcmread(path, force=True, specific_tags=["ImagePositionPatient"]).get("ImagePositionPatient")
                    if place is not None:
                        held.append((place[2], path))
            for n, (_, path) in enumerate(sorted(held)):
                if n % every:
                    path.unlink()
        return folder

    return of


def by_position(folder: Path, volume, rng, count=2000):
    """HU of `count` random pixels of the original slices, and of the volume at their patient positions."""
    paths = [p for p in folder.rglob("*") if p.is_file() and p.name != "DIRFILE"]
    theirs, points = [], []
    chosen = rng.choice(len(paths), 40 if len(paths) > 40 else len(paths), replace=False)
    for n in chosen:
        data = pydicom.dcmread(paths[n])
        hu = data.pixel_array.astype(float) * float(data.RescaleSlope) + float(data.RescaleIntercept)
        # the body: pixels above -500 HU and their neighbours
        j, i = np.nonzero(hu > -500)
        pick = rng.integers(len(i), size=count // len(chosen))
        i, j = i[pick], j[pick]
        row, column = (np.array(data.ImageOrientationPatient[s], float) for s in (slice(0, 3), slice(3, 6)))
        place = np.array(data.ImagePositionPatient, float)
        points.append(place + np.outer(i * float(data.PixelSpacing[1]), row) + np.outer(j * float(data.PixelSpacing[0]), column))
        theirs.append(hu[j, i])
    return np.concatenate(theirs), volume.sampled(np.concatenate(points))


@pytest.mark.parametrize(
    ("archive", "every", "tilt", "exact"),
    [
        ("ct_thorax_1mm_dicom/lidc_idri_0314_upper165.tar.xz", 3, 0.0, True),
        ("ct_skull_phantom_dicom/bone_1mm_notilt.tar.xz", 4, 0.0, True),
        ("ct_skull_phantom_dicom/std_2p5mm_tilt_minus18p5.tar.xz", 1, 18.5, False),
    ],
    ids=["thorax", "skull", "skull tilted"],
)
def test_real_scans_voxel_by_position(unpacked, rng, archive, every, tilt, exact):
    folder = unpacked(archive, every)
    volume = read_volume(folder, kind="ct")
    assert volume.facts["tilt_deg"] == pytest.approx(tilt, abs=0.01)
    theirs, ours = by_position(folder, volume, rng)
    known = np.isfinite(ours)
    assert known.mean() > 0.99 and len(theirs) > 1900
    off = np.abs(theirs - ours)[known]
    if exact:
        assert np.quantile(off, 0.99) < 0.01
    assert np.median(off) < 40 and np.corrcoef(theirs[known], ours[known])[0, 1] > 0.98


ODDITIES = {
    "ct_j2k_20slices": (20, ""),
    "gantry_tilt_4": (4, ""),
    "slice_gap_4": (None, "between z=28.1075 and z=38.1075"),
    "enhanced_ct_multiframe": (2, ""),
    "seg_liver_3slice": (3, ""),
    "rtstruct_breast": (None, "only one CT slice"),
    "small/CT_small.dcm": (1, ""),
    "small/MR_small_bigendian.dcm": (1, ""),
    "small/MR_small_RLE.dcm": (1, ""),
    "small/MR_truncated.dcm": (None, "cut short"),
    "small/no_meta.dcm": (None, "No DICOM image"),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_every_oddity_is_read_or_refused(data, name):
    path = data / "dicom_oddities" / name
    slices, said = ODDITIES[name]
    if slices is None:
        with pytest.raises(ImageError) as error:
            read_volume(path, single=path.is_file())
        assert said in sentence(error)
        return
    volume = read_volume(path, single=path.is_file())
    assert volume.values.shape[0] == slices
    files = [path] if path.is_file() else sorted(path.iterdir())
    for file in files:  # voxel by position against pydicom alone, exact where nothing was resampled
        one = pydicom.dcmread(file, force=True)
        if one.Modality not in ("CT", "MR") or "ImagePositionPatient" not in one:
            continue
        hu = one.pixel_array * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0))
        j, i = np.mgrid[3:500:37, 3:500:41].reshape(2, -1) % np.array([[one.Rows], [one.Columns]])
        axes = np.array(one.ImageOrientationPatient, float)
        place = np.array(one.ImagePositionPatient, float)
        points = place + np.outer(i * float(one.PixelSpacing[1]), axes[:3]) + np.outer(j * float(one.PixelSpacing[0]), axes[3:])
        want, got = np.where(hu[j, i] < -1500, -1024, hu[j, i]), volume.sampled(points)
        known = np.isfinite(got)
        assert known.mean() > 0.97
        if name == "gantry_tilt_4":
            continue  # its pixels are random numbers, which no interpolation keeps
        assert np.median(np.abs(want - got)[known]) <= 1e-6


def test_mr_big_endian_and_rle_hold_the_same_picture(data):
    small = data / "dicom_oddities" / "small"
    a, b = read_volume(small / "MR_small_bigendian.dcm", single=True), read_volume(small / "MR_small_RLE.dcm", single=True)
    np.testing.assert_array_equal(a.values, b.values)


# --- damage ---------------------------------------------------------------------------------------------------------------


def mutated(content: bytes, dice: random.Random) -> bytes:
    body = bytearray(content)
    reach = 2500 if dice.random() < 0.7 else len(body)
    for _ in range(dice.choice([1, 2, 4, 16, 64])):
        at = dice.randrange(min(max(len(body), 1), reach))
        what = dice.random()
        if what < 0.7:
            body[at : at + 1] = bytes([dice.randrange(256)])
        elif what < 0.8:
            del body[at : at + dice.randrange(1, 9)]
        elif what < 0.95:
            body[at:at] = dice.randbytes(dice.randrange(1, 9))
        else:
            del body[at:]
    return bytes(body)


def test_150_damaged_files(tmp_path):
    """Each is a volume or one sentence; nothing else, and no decoder takes the process along."""
    dice = random.Random(20260101)
    sources = [
        write_series(tmp_path / "plain", *stack(EVEN[:3])),
        write_series(tmp_path / "big", *stack(EVEN[:3]), syntax=ExplicitVRBigEndian),
        write_series(tmp_path / "j2k", *stack(EVEN[:3]), syntax=JPEG2000Lossless),
        write_series(tmp_path / "jls", *stack(EVEN[:3]), syntax=JPEGLSLossless),
        write_enhanced(tmp_path / "enhanced", *stack(EVEN[:3])).parent / "enhanced",
    ]
    read = refused = 0
    for n in range(150):
        source = sources[n % len(sources)] if n % 5 in (0, 1, 4) or n < 30 else sources[0]  # decoding starts a process
        files = [source] if source.is_file() else sorted(source.iterdir())
        folder = tmp_path / "now"
        folder.mkdir()
        hit = dice.randrange(len(files))
        for k, file in enumerate(files):
            content = file.read_bytes()
            (folder / str(k)).write_bytes(mutated(content, dice) if k == hit else content)
        try:
            volume = read_volume(folder)
            assert np.isfinite(volume.patient_from_index).all() and volume.values.ndim == 3
            read += 1
        except ImageError as error:
            assert "\n" not in str(error) and str(error).endswith(".")
            refused += 1
        shutil.rmtree(folder)
    assert read > 20 and refused > 20


# --- the command line -----------------------------------------------------------------------------------------------------


def test_import_writes_no_identity(tmp_path, run):
    folder = write_series(tmp_path / "scan", *stack(EVEN, axes=AXES @ rotation([1, 0, 0], 12.0).T, stacking=[0, 0, 1]))
    write_series(tmp_path / "scan" / "more", *stack(EVEN[:5]), series="1.2.3.4", modality="MR")
    said = []
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        done = run("import-ct", folder, "-o", tmp_path / "out" / f"ct{suffix}", "--json")
        assert done.returncode == 0, done.stderr
        said += [done.stdout, done.stderr]
        assert json.loads(done.stdout)["facts"]["tilt_deg"] == pytest.approx(12.0, abs=1e-3)
    said += [(listed := run("import-ct", folder, "--list")).stdout, listed.stderr]
    assert "20 slices" in listed.stdout and "MR" in listed.stdout
    wrong = run("import-ct", folder, "--series", "9", "-o", tmp_path / "out" / "x.mha")
    assert wrong.returncode == 2 and wrong.stderr.count("psi-cad:") == 1
    said += [wrong.stderr]
    import gzip

    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        said.append((gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin-1"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["ct.json", "ct.mha", "ct.nii.gz", "ct.nrrd"]
    for secret in SECRETS:
        assert not [text[:80] for text in said if secret in text]


def test_import_is_the_same_twice_and_reads_back(tmp_path, run):
    folder = write_series(tmp_path / "scan", *stack(EVEN, axes=TURNS["oblique"]))
    for name in ("a", "b"):
        assert run("import-ct", folder, "-o", tmp_path / name / "ct.nii.gz").returncode == 0
    assert (tmp_path / "a" / "ct.nii.gz").read_bytes() == (tmp_path / "b" / "ct.nii.gz").read_bytes()
    volume = read_volume(tmp_path / "a" / "ct.nii.gz", kind="ct")
    assert off_phantom(volume).max() < 0.6  # NIfTI keeps the place in 32 bits


def test_coarse_slices_are_told_and_forced(tmp_path, run):
    folder = write_series(tmp_path / "scan", *stack(3.0 * np.arange(8)))
    plain, forced = tmp_path / "plain.nrrd", tmp_path / "forced.nrrd"
    assert "too coarse for a guide" in run("import-ct", folder, "-o", plain).stdout
    assert "Forced" in run("import-ct", folder, "-o", forced, "--force").stdout
    assert "3.00 mm" in read_volume(plain).facts["refuse_guide"] and not read_volume(plain).facts["forced"]
    assert read_volume(forced).facts["forced"]
    (tmp_path / "mr").mkdir()
    mri = write_series(tmp_path / "mr", *stack(4.0 * np.arange(8)), modality="MR")
    done = run("import-mri", mri, "-o", tmp_path / "mr.nrrd")
    assert done.returncode == 0 and "too coarse" not in done.stdout
