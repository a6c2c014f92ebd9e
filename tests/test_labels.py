"""Labels of image files, DICOM SEG and RTSTRUCT land where the patient is, or are refused in one sentence."""

import gzip

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from synthetic_scan import (
    DIRECTIONS,
    SECRETS,
    grid,
    header,
    rotation,
    sentence,
    stack,
    write_series,
)

from psi_cad.dicom.contours import covered
from psi_cad.errors import ImageError
from psi_cad.imaging.label_files import read_labels
from psi_cad.imaging.scan_files import read_volume
from psi_cad.voxels.volume import Volume

BALL = np.array([4.0, -3.0, 15.0])


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
        ({"a": [slanted]}, volume, "do not lie on the slices"),
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
