"""DICOM in every storage and choice of series is read alike, or refused in one sentence."""

import sys
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from synthetic_scan import (
    EVEN,
    TURNS,
    off_phantom,
    phantom,
    pixel_points,
    sentence,
    stack,
    write_enhanced,
    write_series,
)

from psi_cad.dicom.decoder import Decoder
from psi_cad.errors import ImageError
from psi_cad.imaging.scan_files import read_volume


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
    for series, said in (("7", "no series"), (3, "this command reads CT"), (4, "localiser"), ("1.2", "more than one")):
        with pytest.raises(ImageError) as error:
            read_volume(tmp_path, kind="ct", series=series)
        assert said in sentence(error)


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
