"""Scans and labels of image files, DICOM SEG and RTSTRUCT land where the patient is, or are refused in one sentence."""

import gzip
import json
import random

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from synthetic_scan import SECRETS, header, phantom, rotation, stack, write_series

from psi_cad.errors import ImageError
from psi_cad.imaging.contours import covered
from psi_cad.imaging.image_files import write_image
from psi_cad.imaging.judge import bone_at_edges, judge_spacing
from psi_cad.imaging.labels import read_labels
from psi_cad.imaging.read import read_volume, sidecar_of, write_volume
from psi_cad.imaging.volume import Volume

BALL = np.array([4.0, -3.0, 15.0])


def sentence(error) -> str:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


def grid(direction, *, shape=(16, 20, 24), spacing=(0.7, 0.9, 1.3), origin=(-20.0, 12.0, 7.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(direction) * np.asarray(spacing)
    matrix[:3, 3] = origin
    k, j, i = np.mgrid[tuple(slice(0, n) for n in shape)]
    points = np.stack([i, j, k], -1).reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    return matrix, points


DIRECTIONS = {
    "LPS": np.eye(3),
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "left-handed, y flipped": np.diag([1.0, -1.0, 1.0]),
    "permuted": np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float),
    "oblique left-handed": rotation([2, -1, 1], 31.0) @ np.diag([1.0, 1.0, -1.0]),
}


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


# --- labels ---------------------------------------------------------------------------------------------------------------


def ball(points, radius=6.0, centre=BALL):
    return np.linalg.norm(points - centre, axis=1) < radius


def centre_of(volume):
    k, j, i = np.nonzero(volume.values)
    return volume.patient(np.stack([i, j, k], 1)).mean(axis=0)


def test_label_map_on_its_own_axes(tmp_path):
    matrix, points = grid(DIRECTIONS["oblique left-handed"], shape=(40, 50, 60), origin=BALL - rotation([2, -1, 1], 31.0) @ [20.0, 22.0, -25.0])
    values = (ball(points) * 25 + ball(points, 3.0, BALL + np.array([0, 10, 0])) * 26).astype(np.float32).reshape(40, 50, 60)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        sitk.WriteImage(Volume(values, matrix).to_sitk(), str(tmp_path / f"l{suffix}"))
        labels = read_labels(tmp_path / f"l{suffix}")
        assert labels.names == {25: "", 26: ""}
        np.testing.assert_allclose(centre_of(labels.mask(25)), BALL, atol=0.1)
        np.testing.assert_array_equal(labels.flat().values, values)
    with pytest.raises(ImageError, match="label '7' is not in the label map"):
        labels.mask(7)
    for wrong, said in ((values + 0.5, "fractions"), (values - 3, "labels run from 0"), (values * 0, "every voxel is 0")):
        sitk.WriteImage(Volume(wrong, matrix).to_sitk(), str(tmp_path / "w.nrrd"))
        with pytest.raises(ImageError) as error:
            read_labels(tmp_path / "w.nrrd")
        assert said in sentence(error)


def slicer_nrrd(path, layers, matrix, fields):
    """As 3D Slicer writes it: RAS or LPS space, a list axis first where segments overlap."""
    many = layers.shape[-1] > 1
    columns = [f"({','.join(repr(float(v)) for v in matrix[:3, n])})" for n in range(3)]
    sizes = layers.shape[2::-1]
    text = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if many else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{layers.shape[3]} ' if many else ''}{' '.join(map(str, sizes))}",
        f"space directions: {'none ' if many else ''}{' '.join(columns)}",
        f"kinds: {'list ' if many else ''}domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(repr(float(v)) for v in matrix[:3, 3])})",
        *[f"{key}:={value}" for key, value in fields.items()],
    ]
    path.write_bytes("\n".join(text).encode() + b"\n\n" + gzip.compress(np.ascontiguousarray(layers, np.uint8).tobytes(), mtime=0))


def test_slicer_segmentation_with_overlapping_layers(tmp_path):
    matrix, points = grid(DIRECTIONS["left-handed, y flipped"], shape=(30, 40, 50), origin=BALL + np.array([-17.0, 18.0, -20.0]))
    bone, tumour = ball(points, 8.0).reshape(30, 40, 50), ball(points, 3.0, BALL + np.array([2, 0, 0])).reshape(30, 40, 50)
    fields = {
        "Segment0_ID": "Segment_1",
        "Segment0_Name": "Left hip",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment1_Name": "Tumour Größe",
        "Segment1_LabelValue": "1",
        "Segment1_Layer": "1",
    }
    slicer_nrrd(tmp_path / "a.seg.nrrd", np.stack([bone, tumour], -1), matrix, fields)
    labels = read_labels(tmp_path / "a.seg.nrrd")
    assert list(labels.names.values()) == ["Left hip", "Tumour Größe"]
    np.testing.assert_array_equal(labels.mask("left HIP").values, bone)
    np.testing.assert_array_equal(labels.mask(2).values, tumour)
    np.testing.assert_allclose(labels.patient_from_index, matrix, atol=1e-9)
    assert any("overlap" in note for note in labels.flat().notes)
    one = {"Segment0_Name": "hip", "Segment0_LabelValue": "3", "Segment0_Layer": "0"}
    slicer_nrrd(tmp_path / "b.seg.nrrd", (bone * 3)[..., None], matrix, one)
    assert read_labels(tmp_path / "b.seg.nrrd").names == {3: "hip"}
    slicer_nrrd(tmp_path / "c.seg.nrrd", (bone * 3)[..., None], matrix, {**one, "Segment0_Layer": "4"})
    with pytest.raises(ImageError, match="Segment0_Layer is 4"):
        read_labels(tmp_path / "c.seg.nrrd")


PLAIN, RLE = ExplicitVRLittleEndian, RLELossless  # single bits are not stored as RLE


@pytest.mark.parametrize(("kind", "syntax"), [("BINARY", PLAIN), *((kind, way) for kind in ("FRACTIONAL", "LABELMAP") for way in (PLAIN, RLE))])
def test_dicom_seg(tmp_path, kind, syntax):
    positions, axes = stack(1.25 * np.arange(16), axes=rotation([1, 2, 3], 20.0))
    folder = write_series(tmp_path / "ct", positions, axes)
    volume = read_volume(folder)
    k, j, i = np.mgrid[tuple(slice(0, n) for n in volume.values.shape)]
    points = volume.patient(np.stack([i, j, k], -1).reshape(-1, 3))
    middle = points.mean(axis=0)
    masks = [ball(points, 5.0, middle), ball(points, 3.0, middle + 9 * axes[0])]
    sources = sorted((pydicom.dcmread(p) for p in folder.iterdir()), key=lambda d: np.dot(np.array(d.ImagePositionPatient, float), axes[2]))
    for source in sources:
        source.StudyDate = source.StudyTime = source.StudyID = source.ReferringPhysicianName = source.PatientSex = ""
        source.FrameOfReferenceUID, source.PositionReferenceIndicator = "1.2.3", ""
    described = [
        hd.seg.SegmentDescription(n, name, codes.SCT.Tissue, codes.SCT.Bone, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
        for n, name in ((1, "Hip"), (2, f"{SECRETS[0]} tumour"))
    ]
    array = np.stack([m.reshape(volume.values.shape) for m in masks], -1).astype(np.uint8)
    seg = hd.seg.Segmentation(
        sources,
        array if kind != "LABELMAP" else (array[..., 0] + 2 * array[..., 1]),
        kind,
        described,
        "1.2.3.9",
        7,
        "1.2.3.9.1",
        1,
        "maker",
        "model",
        "1",
        "2",
        transfer_syntax_uid=syntax,
        max_fractional_value=200,
    )
    seg.save_as(tmp_path / "x.seg")
    labels = read_labels(tmp_path / "x.seg")
    assert labels.names == {1: "Hip", 2: ""}  # a label that repeats the patient's name is not passed on
    for n, mask in enumerate(masks, 1):
        found = labels.mask(n)
        at = found.patient(np.argwhere(found.values)[:, ::-1])
        np.testing.assert_allclose(np.sort(at, axis=0), np.sort(points[mask], axis=0), atol=1e-3)
    np.testing.assert_allclose(labels.patient_from_index[:3, :3], volume.patient_from_index[:3, :3], atol=1e-4)


def test_coverage_is_exact_area():
    """Even-odd area of a circle with a hole, and of a triangle, against the closed forms."""
    t = np.linspace(0, 2 * np.pi, 721)[:-1]
    circle = np.stack([20.3 + 11 * np.cos(t), 17.6 + 11 * np.sin(t)], 1)
    hole = np.stack([22.1 + 4 * np.cos(t), 16.9 + 4 * np.sin(t)], 1)
    area = covered([circle, hole[::-1]], rows=40, columns=45)
    assert area.sum() == pytest.approx(np.pi * (121 - 16), rel=1e-3)
    j, i = np.mgrid[:40, :45]
    assert (area * i).sum() / area.sum() == pytest.approx((20.3 * 121 - 22.1 * 16) / 105, abs=0.01)
    assert (area * j).sum() / area.sum() == pytest.approx((17.6 * 121 - 16.9 * 16) / 105, abs=0.01)
    square = covered([np.array([[1.25, 2.5], [4.0, 2.5], [4.0, 5.5], [1.25, 5.5]])], rows=8, columns=8)
    np.testing.assert_allclose(square[3:6, 1:5], np.tile([0.25, 1, 1, 0.5], (3, 1)), atol=1e-6)
    assert square.sum() == pytest.approx(2.75 * 3)
    outside = covered([np.array([[-9.0, -9.0], [60.0, -9.0], [60.0, 60.0], [-9.0, 60.0]])], rows=8, columns=8)
    np.testing.assert_array_equal(outside, 1.0)


def structure_set(path, rois):
    data = header("1.2.3.7", sop="1.2.840.10008.5.1.4.1.1.481.3", modality="CT")
    data.Modality = "RTSTRUCT"
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for n, (name, contours) in enumerate(rois.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = n, name
        drawn.ReferencedROINumber, drawn.ContourSequence = n, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [float(f"{v:.4f}") for v in np.asarray(points).ravel()]
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return path


@pytest.mark.parametrize("every", [1, 3])
def test_rtstruct_is_drawn_at_its_place(tmp_path, every):
    positions, axes = stack(1.25 * np.arange(19), axes=rotation([1, 2, 3], 25.0))
    volume = read_volume(write_series(tmp_path / "ct", positions, axes))
    middle = volume.patient(np.array([[23.0, 20.0, 9.0]]))[0]
    t = np.linspace(0, 2 * np.pi, 181)[:-1]
    contours = []
    for k in range(3, 16, every):
        height = (k - 9) * 1.25
        r = np.sqrt(max(9.0**2 - height**2, 0.01))
        contours.append(middle + height * axes[2] + r * (np.cos(t)[:, None] * axes[0] + np.sin(t)[:, None] * axes[1]))
    path = structure_set(tmp_path / "rs.dcm", {"Tumour": contours, "far": [contours[0] + 200 * axes[2]]})
    labels = read_labels(path, reference=volume)
    assert labels.names == {1: "Tumour"} and any("1 of" in note for note in labels.notes)
    part = labels.occupancy("tumour")
    assert part.spacing[2] == pytest.approx(1.25 * every)
    weights = part.values[part.values > 0]
    k, j, i = np.nonzero(part.values)
    at = (part.patient(np.stack([i, j, k], 1)) * weights[:, None]).sum(0) / weights.sum()
    np.testing.assert_allclose(at, middle, atol=0.02)
    discs = [np.pi * (81 - ((n - 9) * 1.25) ** 2) for n in range(3, 16, every)]
    assert weights.sum() * np.prod(part.spacing) == pytest.approx(sum(discs) * 1.25 * every, rel=2e-3)


def test_rtstruct_refusals(tmp_path):
    volume = read_volume(write_series(tmp_path / "ct", *stack(1.25 * np.arange(8))))
    slanted = volume.patient(np.array([[5.0, 5, 1], [20, 5, 1], [20, 20, 6]]))
    flat = volume.patient(np.array([[5.0, 5, 2], [20, 5, 2], [20, 20, 2]]))
    for rois, reference, said in (
        ({"a": [flat]}, None, "give the CT"),
        ({"a": [slanted]}, volume, "other planes"),
        ({"a": [flat + 500]}, volume, "No contour"),
        ({"a": []}, volume, "no closed contours"),
    ):
        with pytest.raises(ImageError) as error:
            read_labels(structure_set(tmp_path / "rs.dcm", rois), reference=reference)
        assert said in sentence(error)
    with pytest.raises(ImageError, match="No DICOM SEG or RTSTRUCT"):
        read_labels(tmp_path / "ct")


def test_damaged_labels(tmp_path, rng):
    """Byte-mutated structure sets and segmentations end in labels or one sentence."""
    volume = read_volume(write_series(tmp_path / "ct", *stack(1.25 * np.arange(8))))
    flat = volume.patient(np.array([[5.0, 5, 2], [20, 5, 2], [20, 20, 2]]))
    content = structure_set(tmp_path / "rs.dcm", {"a": [flat], "b": [flat]}).read_bytes()
    for _ in range(150):
        body = bytearray(content)
        for _ in range(int(rng.integers(1, 12))):
            body[int(rng.integers(132, len(body)))] = int(rng.integers(256))
        (tmp_path / "rs.dcm").write_bytes(bytes(body))
        try:
            assert read_labels(tmp_path / "rs.dcm", reference=volume).segments
        except ImageError as error:
            assert str(error).endswith(".") and "\n" not in str(error)


# --- real files -----------------------------------------------------------------------------------------------------------


def test_real_seg_against_highdicom(data):
    path = data / "dicom_oddities" / "seg_liver_3slice" / "liver.dcm"
    labels, volume = read_labels(path), read_volume(path.parent)
    theirs = hd.seg.segread(path).get_volume()
    ours = labels.mask("Liver")
    assert ours.values.sum() == (theirs.array > 0).sum() > 100_000
    k, r, c = np.nonzero(theirs.array[..., 0])
    at = theirs.map_indices_to_reference(np.stack([k, r, c], 1))
    np.testing.assert_allclose(at.mean(axis=0), centre_of(ours), atol=1e-3)
    inside = volume.sampled(ours.patient(np.argwhere(ours.values)[:, ::-1]))
    assert 40 < np.nanmedian(inside) < 160  # liver, in HU


def test_real_labels_with_flipped_y_lie_on_their_organs(data):
    folder = data / "dicom_oddities"
    labels, volume = read_labels(folder / "ct_j2k_20slices_labels.nii.gz"), read_volume(folder / "ct_j2k_20slices")
    for number, low, high in ((1, 60, 160), (5, 60, 160)):  # TotalSegmentator: spleen, liver
        mask = labels.mask(number)
        values = volume.sampled(mask.patient(np.argwhere(mask.values)[:, ::-1]))
        assert low < np.nanmedian(values) < high and np.nanstd(values) < 40


def test_real_structure_set(data):
    folder = data / "dicom_oddities" / "rtstruct_breast"
    volume = read_volume(folder / "ct.0.dcm", single=True)
    labels = read_labels(folder / "rtss.dcm", reference=volume)
    assert labels.names == {1: "BODY"} and "437 of 441" in labels.notes[-1]
    body = labels.mask("BODY").values
    assert np.median(volume.values[body]) > -200 and np.median(volume.values[~body]) < -900


def test_left_handed_mri_and_its_tumour(data):
    folder = data / "mr_brain_tumour"
    image, labels = read_volume(folder / "brain1_image.nrrd", kind="mr"), read_labels(folder / "brain1_label.nrrd")
    assert np.linalg.det(image.patient_from_index[:3, :3]) < 0
    mask = labels.mask(1)
    assert mask.values.sum() == 4137
    at = mask.patient(np.argwhere(mask.values)[:, ::-1])
    assert np.nanmedian(image.sampled(at)) > 1.3 * np.median(image.values[image.values > 100])  # the enhancing lesion
