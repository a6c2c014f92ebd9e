"""The phantom's scans as a hospital sends them: a DICOM CT, a DICOM MRI with thick slices in another pose, and the truth beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.export.meshes import write_stl
from psi_cad.files import whole_file
from psi_cad.phantom.hemipelvis import LESION, bone_mesh, lesion_distance, lesion_mesh
from psi_cad.phantom.scanner import ScannedBone, ScannedSolid, Tissues, scanned, simulated_ct
from psi_cad.phantom.scene import PHANTOM_BODY, PHANTOM_BOX, phantom_bones, phantom_tumour
from psi_cad.registration.rigid import apply, inverse, rotation, write_transform
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

__all__ = ["MRI_FROM_CT", "mri_scan", "mri_tumour_mask", "write_dicom", "write_scans"]

CT_SPACING: Final[tuple[Mm, Mm, Mm]] = (0.7, 0.7, 1.0)
MRI_SPACING: Final[tuple[Mm, Mm, Mm]] = (0.8, 0.8, 4.0)
MRI_BOX: Final = (np.array([-152.0, -76.0, -88.0]), np.array([-14.0, 98.0, 146.0]))
"""Of the MRI, as it would lie on the CT without its own pose, mm."""
_PIVOT: Final = np.array([-80.0, 10.0, 30.0])
MRI_FROM_CT: Final = rotation(np.radians([5.0, -4.0, 7.0]), about=_PIVOT, shift=np.array([11.0, -7.0, 13.0]))
"""The patient lies otherwise in the other scanner: 9.5° and 18 mm."""
_TILT: Final = rotation(np.radians([3.0, 2.0, 0.0]), about=np.zeros(3))  # the slices are a little oblique, as planned on a scout

# T1-weighted signal: fat and fatty marrow bright, muscle dark grey, tumour between, cortex and air next to none
MRI_TISSUES: Final = Tissues(air=0.0, fat=900.0, muscle=330.0, table=0.0)
MRI_CORTEX: Final = 40.0
MRI_MARROW: Final = 760.0
MRI_TUMOUR: Final = 470.0
MRI_NOISE: Final = 18.0  # of real and imaginary part: a signal-to-noise ratio of 50 in fat
MRI_BIAS: Final = 0.2  # the coil's signal falls by this share to either side
_STEP: Final[Mm] = 1.0  # of the sampled distance to the bone: within 0.01 mm on 95 % of it, 0.3 mm at the sharpest ridge
_MASK_PARTS: Final = 7  # looked at through the thickness of a slice
_SEED: Final = 7
_DATE: Final = "20000101"
_CT_CLASS: Final = "1.2.840.10008.5.1.4.1.1.2"
_MR_CLASS: Final = "1.2.840.10008.5.1.4.1.1.4"


def write_scans(folder: Path, *, progress: Callable[[str], None] | None = None) -> dict[str, Path]:
    """Write the phantom's scans and the truth; return what lies where.

    ct/ and mri/ are DICOM; truth/bone.stl and truth/tumour.stl are surfaces in the CT's frame (LPS mm), truth/ct_to_mri.tfm
    takes CT points to MRI points, mri_tumour.nrrd is the tumour drawn on the MRI. The same bytes every time.
    """
    import SimpleITK as sitk  # noqa: N813

    tell = progress or (lambda _: None)
    tell("sample the bones")
    bones = phantom_bones(step=_STEP)
    tell("scan the CT")
    ct = simulated_ct(
        bones, low=PHANTOM_BOX[0], high=PHANTOM_BOX[1], spacing=CT_SPACING, solids=[phantom_tumour()], body=PHANTOM_BODY,
        supersample=(1, 1, 1), seed=1,
    )  # fmt: skip
    write_dicom(folder / "ct", ct, modality="CT")
    del ct
    tell("scan the MRI")
    write_dicom(folder / "mri", mri_scan(bones), modality="MR")
    tell("write the truth")
    write_stl(folder / "truth" / "bone.stl", bone_mesh(spacing=2.0), header="psi-cad phantom right hemipelvis, mm, SPACE=LPS")
    write_stl(folder / "truth" / "tumour.stl", lesion_mesh(subdivisions=4), header="psi-cad phantom tumour, mm, SPACE=LPS")
    write_transform(folder / "truth" / "ct_to_mri.tfm", MRI_FROM_CT, centre=_PIVOT)
    with whole_file(folder / "mri_tumour.nrrd") as temporary:
        sitk.WriteImage(mri_tumour_mask().to_sitk(), str(temporary), useCompression=True)
    return {
        "CT (DICOM)": folder / "ct",
        "MRI (DICOM)": folder / "mri",
        "tumour drawn on the MRI": folder / "mri_tumour.nrrd",
        "true bone": folder / "truth" / "bone.stl",
        "true tumour": folder / "truth" / "tumour.stl",
        "true transform, CT to MRI": folder / "truth" / "ct_to_mri.tfm",
    }


def _mri_grid() -> tuple[tuple[int, int, int], Array]:
    """Shape (nz, ny, nx) and patient_from_index (4, 4) of the MRI, in its own frame."""
    low, high = MRI_BOX
    count = np.floor((high - low) / MRI_SPACING).astype(int) + 1
    matrix = np.eye(4)
    matrix[:3, :3] = _TILT[:3, :3] * np.array(MRI_SPACING)
    middle = 0.5 * (low + high) + MRI_FROM_CT[:3, 3] + (MRI_FROM_CT[:3, :3] - np.eye(3)) @ (0.5 * (low + high))
    matrix[:3, 3] = middle - matrix[:3, :3] @ (0.5 * (count - 1.0))
    return (int(count[2]), int(count[1]), int(count[0])), matrix


def mri_scan(bones: list[ScannedBone]) -> Volume:
    """The phantom's MRI (int16), in its own frame: each slice is the mean over its 4 mm, with coil bias and Rician noise."""
    shape, matrix = _mri_grid()
    as_mri = [ScannedBone(bone.distance, bone.cortex_mm, cortex=MRI_CORTEX, marrow=MRI_MARROW) for bone in bones]
    clean = scanned(
        as_mri, shape=shape, patient_from_index=inverse(MRI_FROM_CT) @ matrix, tissues=MRI_TISSUES,
        solids=[ScannedSolid(lesion_distance, MRI_TUMOUR)], body=PHANTOM_BODY, psf_sigma=(0.4, 0.4, 0.3), noise_sd=0.0, supersample=(1, 1, 4),
    )  # fmt: skip
    z, y, x = (np.linspace(-1.0, 1.0, n)[_along(axis)] for axis, n in enumerate(shape))
    clean *= (1.0 - MRI_BIAS * (0.6 * x + 0.3 * y**2 + 0.2 * z * x)).astype(np.float32)
    rng = np.random.default_rng(_SEED)
    real = clean + MRI_NOISE * rng.standard_normal(shape, dtype=np.float32)
    signal = np.hypot(real, MRI_NOISE * rng.standard_normal(shape, dtype=np.float32))  # the magnitude of a complex signal
    return Volume(np.rint(np.clip(signal, 0, 4095)).astype(np.int16), matrix)


def _along(axis: int) -> tuple[Any, ...]:
    return tuple(slice(None) if a == axis else None for a in range(3))


def mri_tumour_mask() -> Volume:
    """The tumour as drawn on the MRI: voxels it fills by more than half over the slice's thickness."""
    shape, matrix = _mri_grid()
    ct_from_index = inverse(MRI_FROM_CT) @ matrix
    index = np.indices(shape)[::-1].reshape(3, -1).T.astype(np.float64)
    near = np.nonzero(np.linalg.norm(apply(ct_from_index, index) - np.mean(LESION[:2], axis=0), axis=1) < 40.0)[0]
    parts = (np.arange(_MASK_PARTS) + 0.5) / _MASK_PARTS - 0.5
    share = np.mean([lesion_distance(apply(ct_from_index, index[near] + np.array([0.0, 0.0, part]))) < 0.0 for part in parts], axis=0)
    values = np.zeros(len(index), dtype=np.uint8)
    values[near] = share > 0.5
    return Volume(values.reshape(shape), matrix)


def write_dicom(folder: Path, volume: Volume, *, modality: str) -> None:
    """An int16 volume as one DICOM series, a file a slice, explicit little endian, of a made-up patient; UIDs follow from its content."""
    digest = hashlib.sha256(modality.encode() + np.ascontiguousarray(volume.values).tobytes() + volume.patient_from_index.tobytes()).hexdigest()
    for k, layer in enumerate(volume.values):
        place = volume.patient(np.array([[0.0, 0.0, float(k)]]))[0]
        dataset = _slice(layer, volume, place, modality=modality, digest=digest, number=k + 1)
        with whole_file(folder / f"{modality.lower()}_{k + 1:04d}.dcm") as temporary:
            dataset.save_as(temporary, enforce_file_format=True)


def _uid(text: str) -> str:
    """A UID under 2.25 (an integer of 128 bits), from a hash of `text`."""
    return f"2.25.{int(hashlib.sha256(text.encode()).hexdigest()[:32], 16)}"


def _decimal(values: Any) -> list[str]:
    """Numbers as DICOM decimal strings of at most 16 characters."""
    return [f"{value:.10f}"[:16] if abs(value) < 1e4 else f"{value:.6g}" for value in np.atleast_1d(values) + 0.0]


def _slice(layer: npt.NDArray[Any], volume: Volume, place: Array, *, modality: str, digest: str, number: int) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    is_ct = modality == "CT"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _CT_CLASS if is_ct else _MR_CLASS
    meta.MediaStorageSOPInstanceUID = _uid(f"{digest} slice {number}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("psi-cad")
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "PHANTOM", "PHANTOM", "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid("psi-cad phantom " + modality), _uid(digest)
    ds.FrameOfReferenceUID = _uid("psi-cad phantom frame " + modality)  # each scanner has its own: the scans are not in one frame
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = _DATE
    ds.StudyTime = ds.ContentTime = "000000"
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "", "", "1"
    ds.Manufacturer, ds.PositionReferenceIndicator, ds.PatientPosition = "psi-cad", "", "HFS"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, 1, number
    ds.SeriesDescription = "phantom pelvis CT" if is_ct else "phantom pelvis T1"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if is_ct else ["ORIGINAL", "PRIMARY", "M"]
    ds.ImagePositionPatient = _decimal(place)
    ds.ImageOrientationPatient = _decimal(np.concatenate([volume.direction[:, 0], volume.direction[:, 1]]))
    ds.PixelSpacing = _decimal(volume.spacing[[1, 0]])
    ds.SliceThickness = _decimal(volume.spacing[2])[0]
    ds.Rows, ds.Columns = layer.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0 if is_ct else 1
    stored = layer.astype(np.int32) + (1024 if is_ct else 0)
    if is_ct:
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
        ds.KVP, ds.AcquisitionNumber = "120", 1
    else:
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", "", "2D"
        ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = "600", "12", 1
        ds.SpacingBetweenSlices = _decimal(volume.spacing[2])[0]
    ds.PixelData = stored.astype("<u2" if is_ct else "<i2").tobytes()
    return ds
