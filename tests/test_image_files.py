"""NIfTI, NRRD and MetaImage: axes, damage, what stands beside them, spacing, bone at the edges."""

import gzip
import json
import random

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from synthetic_scan import (
    DIRECTIONS,
    grid,
    phantom,
    sentence,
)

from psi_cad.errors import ImageError
from psi_cad.imaging.image_files import write_image
from psi_cad.imaging.judge import bone_at_edges, judge_spacing
from psi_cad.imaging.label_files import read_labels
from psi_cad.imaging.scan_files import read_volume, sidecar_of, write_volume
from psi_cad.voxels.volume import Volume


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_any_axes_of_an_image_file(tmp_path, direction, suffix):
    matrix, points = grid(direction)
    values = np.rint(phantom(points)).astype(np.int16).reshape(16, 20, 24)
    sitk.WriteImage(Volume(values, matrix).to_sitk(), str(tmp_path / f"a{suffix}"))
    volume = read_volume(tmp_path / f"a{suffix}", kind="ct")
    np.testing.assert_array_equal(volume.values, values)
    assert np.abs(volume.sampled(points * (1 - 1e-9)) - values.ravel())[np.isfinite(volume.sampled(points * (1 - 1e-9)))].max() < 0.1
    np.testing.assert_allclose(volume.patient_from_index, matrix, atol=2e-5)
    if suffix != ".nii":
        write_image(tmp_path / f"b{suffix}", volume)
        again = read_volume(tmp_path / f"b{suffix}", kind="ct")
        np.testing.assert_array_equal(again.values, values)
        np.testing.assert_allclose(again.patient_from_index, matrix, atol=4e-5)


def nifti(path, *, affine=None, dtype="<i2", code=4, bits=16, dims=(3, 8, 9, 10, 1, 1, 1, 1), sform=1, pixdim=(1, 1, 1, 1), body=None):
    """A NIfTI-1 written byte by byte, so that it can lie."""
    head = bytearray(352)
    head[0:4] = (348).to_bytes(4, "little")
    head[40:56] = np.array(dims, "<i2").tobytes()
    head[70:74] = np.array([code, bits], "<i2").tobytes()
    head[76:92] = np.array(pixdim, "<f4").tobytes()
    head[108:112] = np.array([352], "<f4").tobytes()
    head[112:116] = np.array([1], "<f4").tobytes()
    head[123] = 2  # mm
    head[252:256] = np.array([0, sform], "<i2").tobytes()
    head[280:328] = np.asarray(np.eye(4)[:3] if affine is None else affine, "<f4").tobytes()
    head[344:348] = b"n+1\0"
    count = int(np.prod(np.array(dims[1 : dims[0] + 1], float)))
    body = np.arange(count).astype(dtype).tobytes() if body is None else body
    path.write_bytes(bytes(head) + body)
    return path


def test_nifti_that_cannot_be_trusted(tmp_path, capfd):
    sheared = np.eye(4)[:3].copy()
    sheared[0, 2] = 0.3
    unplaced = np.eye(4)[:3].copy()
    unplaced[0, 3] = np.nan
    short = nifti(tmp_path / "short.nii", body=b"\0" * 500)
    packed = tmp_path / "packed.nii.gz"
    packed.write_bytes(gzip.compress(nifti(tmp_path / "whole.nii", body=np.random.default_rng(1).bytes(1440)).read_bytes())[:-600])
    for path in (
        nifti(tmp_path / "sheared.nii", affine=sheared),
        nifti(tmp_path / "nan.nii", affine=unplaced),
        nifti(tmp_path / "flat.nii", dims=(2, 8, 9, 1, 1, 1, 1, 1)),
        nifti(tmp_path / "four.nii", dims=(4, 8, 9, 10, 3, 1, 1, 1)),
        nifti(tmp_path / "metres.nii", affine=np.eye(4)[:3] * 1e-4, pixdim=(1, 1e-4, 1e-4, 1e-4)),
        nifti(tmp_path / "colour.nii", code=128, bits=24, body=b"\1" * 8 * 9 * 10 * 3),
        short,
        packed,
    ):
        with pytest.raises(ImageError) as error:
            read_volume(path)
        assert path.name in sentence(error)
    assert capfd.readouterr() == ("", "")  # the libraries below print too, if they are asked
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        (tmp_path / f"junk{suffix}").write_bytes(b"not an image at all" * 30)
        with pytest.raises(ImageError) as error:
            read_volume(tmp_path / f"junk{suffix}")
        sentence(error)
        with pytest.raises(ImageError) as error:
            read_volume(tmp_path / f"absent{suffix}")
        assert "does not exist" in sentence(error)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("packed", [True, False])
def test_truncated_files(tmp_path, suffix, packed):
    values = np.random.default_rng(2).integers(-1000, 2000, (16, 20, 24)).astype(np.int16)
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(Volume(values, np.eye(4)).to_sitk(), str(path), useCompression=packed)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ImageError) as error:
        read_volume(path)
    assert "cut short" in sentence(error)


def test_numbers_keep_their_value(tmp_path):
    """No wrap-around: what does not fit 16 bits is kept as float, and voxels without a number become air."""
    for dtype, code, bits in (("<u2", 512, 16), ("<i4", 8, 32), ("<f4", 16, 32), ("<f8", 64, 64)):
        raw = np.linspace(0, 60000, 720).astype(dtype)
        volume = read_volume(nifti(tmp_path / "a.nii", dtype=dtype, code=code, bits=bits, body=raw.tobytes()))
        assert volume.values.dtype == np.float32
        np.testing.assert_allclose(volume.values.ravel(), raw.astype(np.float64), rtol=1e-6)
    raw = np.linspace(-900, 900, 720).astype("<f4").round().reshape(10, 9, 8)
    raw[0, 0, 5] = np.nan
    sitk.WriteImage(Volume(raw, np.eye(4)).to_sitk(), str(tmp_path / "b.nrrd"))
    volume = read_volume(tmp_path / "b.nrrd", kind="ct")
    assert volume.values.dtype == np.int16 and volume.values[0, 0, 5] == -1024
    assert any("NaN" in note for note in volume.notes)


def test_300_damaged_image_files(tmp_path, capfd):
    """Byte-mutated NIfTI, NRRD and MetaImage files end in a volume or one sentence, and nothing is printed."""
    dice = random.Random(7)
    values = np.random.default_rng(0).integers(0, 20, (8, 9, 10)).astype(np.int16)
    sources = []
    for n, suffix in enumerate((".nii", ".nii.gz", ".nrrd", ".mha", ".nrrd", ".mha")):
        path = tmp_path / f"a{suffix}"
        sitk.WriteImage(Volume(values, np.diag([1.0, 2.0, 3.0, 1.0])).to_sitk(), str(path), useCompression=n > 3)
        sources.append((suffix, path.read_bytes()))
    for n in range(300):
        suffix, content = sources[n % len(sources)]
        body = bytearray(content)
        for _ in range(dice.choice([1, 2, 4, 16])):
            at = dice.randrange(min(len(body), 400))
            body[at : at + dice.choice([0, 1, 1, 1, 3])] = dice.randbytes(dice.choice([0, 1, 1, 1, 3]))
        (tmp_path / f"b{suffix}").write_bytes(bytes(body[: len(body) if dice.random() < 0.9 else dice.randrange(len(body))]))
        for read in (read_volume, read_labels):
            try:
                read(tmp_path / f"b{suffix}")
            except ImageError as error:
                assert str(error).endswith(".") and "\n" not in str(error)
    assert capfd.readouterr() == ("", "")


def test_sidecar_belongs_to_its_file(tmp_path):
    matrix, points = grid(np.eye(3))
    volume = Volume(np.rint(phantom(points)).astype(np.int16).reshape(16, 20, 24), matrix, ("A note.",), {"modality": "CT", "largest_step_mm": 3.1})
    write_volume(tmp_path / "ct.nrrd", volume)
    assert judge_spacing(read_volume(tmp_path / "ct.nrrd")).refusal is not None
    assert "A note." in read_volume(tmp_path / "ct.nrrd").notes
    write_image(tmp_path / "ct.nrrd", Volume(volume.values + np.int16(1), matrix))  # another image under the old sidecar
    assert "A note." not in read_volume(tmp_path / "ct.nrrd").notes
    sidecar_of(tmp_path / "ct.nrrd").write_text(json.dumps([1, 2]))
    assert "A note." not in read_volume(tmp_path / "ct.nrrd").notes


def test_a_scan_of_the_other_kind_is_refused_by_what_stands_beside_it_or_by_its_values(tmp_path):
    matrix, points = grid(np.eye(3))
    values = np.rint(phantom(points)).astype(np.int16).reshape(16, 20, 24)
    bright = (values - values.min()).astype(np.int16)
    write_volume(tmp_path / "mri.nrrd", Volume(bright, matrix, (), {"modality": "MR"}))
    write_volume(tmp_path / "ct.nrrd", Volume(bright, matrix, (), {"modality": "CT"}))
    with pytest.raises(ImageError, match=r"'mri\.nrrd' is an MRI, as 'mri\.json' beside it tells; a CT is wanted here\."):
        read_volume(tmp_path / "mri.nrrd", kind="ct")
    with pytest.raises(ImageError, match=r"'ct\.nrrd' is a CT, as 'ct\.json' beside it tells; an MRI is wanted here\."):
        read_volume(tmp_path / "ct.nrrd", kind="mr")
    assert read_volume(tmp_path / "mri.nrrd", kind="mr").facts["modality"] == read_volume(tmp_path / "mri.nrrd").facts["modality"] == "MR"
    write_image(tmp_path / "bare.nrrd", Volume((bright - 1000).astype(np.int16), matrix))
    with pytest.raises(ImageError, match=r"'bare\.nrrd' holds values down to -1000, as a CT has and no MRI"):
        read_volume(tmp_path / "bare.nrrd", kind="mr")
    assert read_volume(tmp_path / "bare.nrrd", kind="ct").values.min() == -1000


@pytest.mark.parametrize(
    ("edge", "warns", "refuses"), [(1.0, False, False), (1.25, False, False), (1.3, True, False), (2.5, True, False), (2.6, False, True)]
)
def test_spacing_is_judged(edge, warns, refuses):
    matrix = np.diag([0.7, 0.7, edge, 1.0])
    verdict = judge_spacing(Volume(np.zeros((3, 3, 3)), matrix, (), {"modality": "CT"}))
    assert (verdict.warning is not None, verdict.refusal is not None) == (warns, refuses)
    mri = judge_spacing(Volume(np.zeros((3, 3, 3)), matrix, (), {"modality": "MR"}))
    assert mri.warning is None and mri.refusal is None


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_bone_at_edges_names_the_side_of_the_patient(direction):
    """A bar of bone in muscle that leaves to the patient's left, whatever the axes; a table in air does not count."""
    matrix, points = grid(direction, shape=(30, 30, 30), spacing=(1.0, 1.0, 1.0))
    middle = points.mean(axis=0)
    axis = int(np.argmax(np.abs(direction[0])))
    outward = direction[:, axis] * np.sign(direction[0, axis])
    out = (points - middle) @ outward
    aside = np.linalg.norm((points - middle) - out[:, None] * outward, axis=1)
    hu = np.where((out > -5) & (aside < 4.0), 700, np.where(aside < 12, 40, -1000)).astype(np.int16).reshape(30, 30, 30)
    (found,) = bone_at_edges(Volume(hu, matrix), 300.0)
    assert found.face == "left" and found.area == pytest.approx(np.pi * 16, abs=8)
    # the same bar in air beside a body is a table
    body = np.where((np.abs(out) < 8) & (aside < 12), 40, -1000)
    table = np.where((aside > 12.5) & (aside < 14.5), 700, body).astype(np.int16).reshape(30, 30, 30)
    assert not bone_at_edges(Volume(table, matrix), 300.0)
