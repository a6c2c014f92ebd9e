"""DICOM series of an analytic phantom, in every storage a scanner may choose."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, MRImageStorage

SECRETS = ("Zwiebelfisch", "QX77431", "19430217", "ACC-90210", "Klinik Hinterwald", "9.8.7.6.5.4321")


def phantom(points):
    """HU (n,) at patient points (n, 3): smooth, no symmetry, from about -800 to 1200."""
    x, y, z = np.asarray(points).T
    return 200 + 420 * np.sin(x / 9 + 0.3) * np.cos(y / 11) + 330 * np.cos(z / 8 - 0.4) + 4.0 * x - 3.0 * y + 2.0 * z


def rotation(axis, degrees):
    a = np.asarray(axis, float) / np.linalg.norm(axis)
    t = np.radians(degrees)
    k = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    return np.eye(3) + np.sin(t) * k + (1 - np.cos(t)) * k @ k


def stack(along, *, first=(-20.0, -14.0, 5.0), axes=None, stacking=None):
    """Positions (n, 3) of slices at distances `along` in the direction `stacking`, and their two in-plane axes."""
    axes = np.eye(3) if axes is None else np.asarray(axes)
    stacking = axes[2] if stacking is None else np.asarray(stacking)
    return np.asarray(first) + np.outer(along, stacking), axes


def pixel_points(position, axes, spacing, shape):
    """Patient points (rows, columns, 3) of the pixel centres of a slice."""
    j, i = np.mgrid[: shape[0], : shape[1]]
    return position + i[..., None] * spacing[1] * axes[0] + j[..., None] * spacing[0] * axes[1]


def header(uid, *, series="1.2.826.0.1.3680043.8.498.1", modality="CT", sop=None):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop or {"CT": CTImageStorage, "MR": MRImageStorage}[modality]
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
    data.PatientName, data.PatientID, data.PatientBirthDate = SECRETS[0] + "^Anna", SECRETS[1], SECRETS[2]
    data.AccessionNumber, data.InstitutionName = SECRETS[3], SECRETS[4]
    data.SeriesDescription = f"{SECRETS[0]} pelvis"
    data.StudyInstanceUID, data.SeriesInstanceUID = SECRETS[5] + ".1", series
    data.Modality = modality
    data.PatientPosition = "HFS"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    return data


def set_pixels(data, stored, *, signed=True, bits=16):
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = stored.shape[-2:]
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(signed)
    data.PixelData = stored.astype(f"<{'i' if signed else 'u'}{bits // 8}").tobytes()


def write_series(
    folder: Path,
    positions,
    axes,
    *,
    spacing=(0.8, 0.7),
    shape=(40, 48),
    intercept=-1000.0,
    slope=1.0,
    signed=True,
    modality="CT",
    series="1.2.826.0.1.3680043.8.498.1",
    syntax=None,
    change=None,
    values=phantom,
):
    """One file per slice, in shuffled order and with reversed InstanceNumber; `change(data, k)` may alter each."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(5).permutation(len(positions))
    for k, position in enumerate(positions):
        data = header(f"{SECRETS[5]}.{k + 1}", series=series, modality=modality)
        data.InstanceNumber = len(positions) - k
        data.ImagePositionPatient = [float(v) for v in position]
        data.ImageOrientationPatient = [float(v) for v in np.r_[axes[0], axes[1]]]
        data.PixelSpacing = list(spacing)
        data.SliceThickness = 7.5  # wrong on purpose
        data.RescaleIntercept, data.RescaleSlope = intercept, slope
        hu = values(pixel_points(position, axes, spacing, shape).reshape(-1, 3)).reshape(shape)
        set_pixels(data, np.rint((hu - intercept) / slope), signed=signed)
        if change is not None:
            change(data, k)
        if syntax == ExplicitVRBigEndian:
            data.file_meta.TransferSyntaxUID = syntax
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        elif syntax is not None and not syntax.is_encapsulated:
            data.file_meta.TransferSyntaxUID = syntax
        little = syntax != ExplicitVRBigEndian
        path = folder / f"{SECRETS[0]}-{names[k]:04d}"
        pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=little, enforce_file_format=True)
        if syntax is not None and syntax.is_encapsulated:
            recompress(path, syntax)
    return folder


def recompress(path, syntax):
    """Rewrite the file with compressed pixels; pydicom alone has no JPEG encoders."""
    import gdcm

    reader, changer, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    changer.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    changer.SetInput(reader.GetImage())
    assert changer.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(changer.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax


def write_enhanced(path: Path, positions, axes, *, spacing=(0.8, 0.7), shape=(40, 48), intercept=-1000.0):
    """One enhanced multi-frame CT, its frames in shuffled order."""
    data = header(f"{SECRETS[5]}.77", sop=EnhancedCTImageStorage)
    order = np.random.default_rng(3).permutation(len(positions))
    shared, measures, plane, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), 9.0
    plane.ImageOrientationPatient = [float(v) for v in np.r_[axes[0], axes[1]]]
    rescale.RescaleIntercept, rescale.RescaleSlope, rescale.RescaleType = intercept, 1.0, "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [rescale]
    data.SharedFunctionalGroupsSequence = [shared]
    groups, frames = [], []
    for k in order:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = [float(v) for v in positions[k]]
        group.PlanePositionSequence = [place]
        groups.append(group)
        frames.append(np.rint(phantom(pixel_points(positions[k], axes, spacing, shape).reshape(-1, 3)).reshape(shape) - intercept))
    data.PerFrameFunctionalGroupsSequence = groups
    data.NumberOfFrames = len(positions)
    set_pixels(data, np.array(frames))
    pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return path


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


TURNS = {
    "axial": AXES,
    "feet first, prone": np.diag([1.0, -1.0, -1.0]),
    "sagittal": np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]], float),
    "coronal": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float),
    "oblique": rotation([1, 2, 3], 37.0),
}
