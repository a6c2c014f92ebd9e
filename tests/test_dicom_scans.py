"""Real scans by patient position, real oddities, and damaged files."""

import random
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
)
from synthetic_scan import (
    EVEN,
    sentence,
    stack,
    write_enhanced,
    write_series,
)

from psi_cad.errors import ImageError
from psi_cad.imaging.scan_files import read_volume


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
        pytest.param("ct_thorax_1mm_dicom/lidc_idri_0314_upper165.tar.xz", 3, 0.0, True, marks=pytest.mark.slow),
        pytest.param("ct_skull_phantom_dicom/bone_1mm_notilt.tar.xz", 4, 0.0, True, marks=pytest.mark.slow),
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


@pytest.mark.parametrize("count", [50, pytest.param(150, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path, count):
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
    for n in range(count):
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
    assert read > count // 8 and refused > count // 8
