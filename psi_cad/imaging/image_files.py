"""NIfTI, NRRD and MetaImage files read and written through SimpleITK, with their geometry checked and nothing else kept."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.errors import ImageError
from psi_cad.files import whole_file
from psi_cad.findings import Caution
from psi_cad.voxels.volume import Volume

__all__ = ["SUFFIXES", "WRITTEN", "is_image_file", "read_image", "read_sitk", "stem_of", "write_image"]

SUFFIXES: Final = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
WRITTEN: Final = (".nii.gz", ".nrrd", ".mha")
LARGEST_IMAGE: Final = 4 << 30
"""Bytes of voxels that are read."""
SQUARENESS: Final = 1e-4
"""Dot product of two axis directions that is rounding of 32-bit floats."""
LARGEST_SPACING: Final = 100.0
NIFTI_HEADER: Final = 348
"""Bytes, and the number a NIfTI-1 header begins with."""
FAST: Final = 1
"""zlib level: half the time of the usual one, files a tenth larger."""


def is_image_file(path: Path) -> bool:
    """Whether the name of `path` is one of an image file, in place of DICOM."""
    return path.name.lower().endswith(SUFFIXES)


def stem_of(path: Path) -> str:
    """The file name without its one or two suffixes."""
    found = next((s for s in SUFFIXES if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(found)] if found else path.name


@contextmanager
def _quiet_itk() -> Iterator[None]:
    """Nothing printed by ITK and the libraries below it: they write to the process's own streams, past Python."""
    import SimpleITK as sitk  # noqa: N813

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    with ExitStack() as stack:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        for stream in (1, 2):
            with suppress(OSError):  # a process may have been started without it
                kept = os.dup(stream)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, stream)
                os.dup2(nowhere, stream)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(before)


def read_sitk(path: Path) -> Any:
    """The SimpleITK image in `path`, after its header was judged.

    Raises
    ------
    ImageError
        If the file is missing, damaged, cut short, sheared, or far larger than any scan.
    """
    import SimpleITK as sitk  # noqa: N813

    if not path.is_file():
        raise ImageError(f"'{path}' does not exist; give a NIfTI, NRRD or MetaImage file.")
    if path.name.lower().endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _quiet_itk():
        try:
            reader.ReadImageInformation()
            bytes_each = 8 * max(1, reader.GetNumberOfComponents())
            if float(np.prod(np.array(reader.GetSize(), dtype=np.float64))) * bytes_each > 4 * LARGEST_IMAGE:
                raise ImageError(f"'{path.name}' claims to hold {' x '.join(map(str, reader.GetSize()))} voxels, more than psi-cad reads; crop it.")
            return reader.Execute()
        except RuntimeError as error:
            raise ImageError(_why(path, str(error))) from None


def _check_nifti(path: Path) -> None:
    """Judge a NIfTI header before ITK does: it fills up short files with anything, and prints matrices of NaN."""
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            head = stream.read(NIFTI_HEADER)
    except (OSError, EOFError, zlib.error):
        raise ImageError(f"'{path.name}' is damaged or cut short; copy or export it again.") from None
    order = {NIFTI_HEADER.to_bytes(4, "little"): "<", NIFTI_HEADER.to_bytes(4, "big"): ">"}.get(head[:4])
    if len(head) < NIFTI_HEADER or order is None:
        return  # NIfTI-2 or no NIfTI at all: ITK tells
    dims = np.frombuffer(head, f"{order}i2", 8, 40).astype(np.int64)
    bits = int(np.frombuffer(head, f"{order}i2", 1, 72)[0])
    sform = int(np.frombuffer(head, f"{order}i2", 1, 254)[0])
    place = [np.frombuffer(head, f"{order}f4", 4, 76), np.frombuffer(head, f"{order}f4", 6, 256)]
    place += [np.frombuffer(head, f"{order}f4", 12, 280)] if sform else []
    if not all(np.isfinite(part).all() for part in place):
        raise ImageError(f"'{path.name}' has a place or voxel size that is no number; export it again.")
    if not 1 <= dims[0] <= 7 or (dims[1 : dims[0] + 1] < 1).any():
        raise ImageError(f"'{path.name}' states impossible dimensions; export it again.")
    needed = float(np.prod(dims[1 : dims[0] + 1].astype(np.float64))) * bits / 8
    offset = float(np.frombuffer(head, f"{order}f4", 1, 108)[0])
    promised = needed + (offset if NIFTI_HEADER <= offset < 1e9 else NIFTI_HEADER)
    if promised <= LARGEST_IMAGE * 4 and _unpacked_size(path, promised) < promised:
        raise ImageError(f"'{path.name}' is cut short: its header promises {needed:.0f} bytes of voxels; copy it again.")


def _unpacked_size(path: Path, promised: float) -> float:
    """Bytes in the file, unpacked; a gzip stream states them at its end, and only a wrong statement costs unpacking it all."""
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        if int.from_bytes(stream.read(4), "little") == int(promised) % (1 << 32):
            return promised
    total = 0
    try:
        with gzip.open(path, "rb") as stream:
            while block := stream.read(1 << 22):
                total += len(block)
    except (OSError, EOFError, zlib.error):
        return 0
    return total


def _why(path: Path, said: str) -> str:
    low = said.lower()
    if "orthonormal" in low or "direction cosine" in low or "singular" in low or "determinant" in low:
        return f"'{path.name}' has sheared or degenerate axes (its affine, sform or space directions); resample it to square axes first."
    if "no imageio" in low or "unable to determine imageio" in low:
        return f"'{path.name}' is no readable NIfTI, NRRD or MetaImage file; export it again."
    return f"'{path.name}' is damaged or cut short; copy or export it again."


def read_image(path: Path, *, kind: str | None = None) -> Volume:
    """The volume in a NIfTI, NRRD or MetaImage file.

    Parameters
    ----------
    kind : {"ct", "mr", None}
        What the values are; the file does not say it.

    Raises
    ------
    ImageError
        If it is not one three-dimensional picture of plain numbers on square axes.
    """
    image = read_sitk(path)
    keys = {key: image.GetMetaData(key).strip() for key in image.GetMetaDataKeys() if key in {"sform_code", "qform_code", "NRRD_space"}}
    image = three_dimensional(image, path)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ImageError(
            f"'{path.name}' holds {image.GetNumberOfComponentsPerPixel()} numbers in each voxel, but a scan has one; save one component."
        )
    volume = Volume.from_sitk(image)
    check_geometry(volume, path)
    values, notes = _plain(volume.values, kind, path)
    cautions = []
    if keys.get("sform_code") == "0" and keys.get("qform_code") == "0":
        cautions.append(
            Caution("frame-not-stated", "The file states no patient frame (sform and qform codes are 0); psi-cad took its axes as they are.")
        )
    elif path.name.lower().endswith((".nrrd", ".nhdr")) and "NRRD_space" not in keys:
        told = "The file states no patient frame (no 'space' field); psi-cad took its axes as left-posterior-superior."
        cautions.append(Caution("frame-not-stated", told))
    facts: dict[str, Any] = {"modality": {"ct": "CT", "mr": "MR"}.get(kind or "")}
    facts |= {"slices": int(values.shape[0]), "largest_step_mm": round(float(volume.spacing.max()), 5)}
    return Volume(values, volume.patient_from_index, (*notes, *(caution.text for caution in cautions)), facts, tuple(cautions))


def three_dimensional(image: Any, path: Path) -> Any:
    """`image` (SimpleITK) without a last axis of length one.

    Raises
    ------
    ImageError
        If it is no volume.
    """
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        return image[:, :, :, 0]
    if image.GetDimension() != 3 or min(image.GetSize()) < 1:
        size = " x ".join(map(str, image.GetSize()))
        raise ImageError(f"'{path.name}' has {image.GetDimension()} dimensions ({size}), but a volume has three; save one volume of it.")
    return image


def check_geometry(volume: Volume, path: Path) -> None:
    """Raise `ImageError` unless the axes are finite, square to each other and of a scan's size."""
    spacing, origin = volume.spacing, volume.origin
    if not (np.isfinite(spacing).all() and np.isfinite(origin).all() and np.isfinite(volume.direction).all()):
        raise ImageError(f"'{path.name}' has a place or voxel size that is no number; export it again.")
    if (spacing <= 1e-3).any() or (spacing > LARGEST_SPACING).any():
        raise ImageError(f"'{path.name}' has voxels of {' x '.join(f'{v:g}' for v in spacing)} mm, which no scanner makes; write it in mm.")
    if np.abs(volume.direction.T @ volume.direction - np.eye(3)).max() > SQUARENESS:
        raise ImageError(f"'{path.name}' has sheared axes; resample it to square axes first.")


def _plain(values: npt.NDArray[Any], kind: str | None, path: Path) -> tuple[npt.NDArray[Any], list[str]]:
    """`values` as int16 where that loses nothing, else float32."""
    notes = []
    if values.dtype.kind == "c" or values.dtype.kind not in "iuf":
        raise ImageError(f"'{path.name}' does not hold plain numbers; export it as 16-bit integers.")
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values)
        if wrong.all():
            raise ImageError(f"'{path.name}' holds no numbers at all (only NaN or infinity); export it again.")
        if wrong.any():
            fill = -1024.0 if kind == "ct" else 0.0
            values = np.where(wrong, np.asarray(fill, values.dtype), values)
            notes.append(f"{int(wrong.sum())} voxels without a number (NaN or infinity) were set to {fill:g}.")
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "iu":
        if values.dtype != np.int16 and (low < -32768 or high > 32767):
            return values.astype(np.float32), [*notes, "Values beyond 16 bits are kept as 32-bit floats."]
        return values.astype(np.int16, copy=False), notes
    if low >= -32768 and high <= 32767 and bool((np.rint(values) == values).all()):
        return values.astype(np.int16), notes
    if max(abs(low), abs(high)) > float(np.finfo(np.float32).max):
        raise ImageError(f"'{path.name}' holds values up to {max(abs(low), abs(high)):g}, which no scan holds; export it again.")
    return values.astype(np.float32), notes


def write_image(path: Path, volume: Volume) -> None:
    """`volume` as a compressed image file, whole or absent; nothing but voxels and geometry is written.

    Raises
    ------
    ImageError
        If the name of `path` has another suffix than .nii.gz, .nrrd or .mha.
    """
    import SimpleITK as sitk  # noqa: N813

    if not path.name.lower().endswith(WRITTEN):
        raise ImageError(f"'{path.name}': the output's suffix must be one of {', '.join(WRITTEN)}.")
    with whole_file(path) as temporary:
        # `whole_file` keeps only the last suffix
        full = temporary.with_name(temporary.name.removesuffix(".gz").removesuffix(".nii") + ".nii.gz") if path.suffix == ".gz" else temporary
        try:
            sitk.WriteImage(volume.to_sitk(), str(full), useCompression=True, compressionLevel=FAST)
            if full != temporary:
                full.replace(temporary)
        except RuntimeError:
            raise ImageError(f"'{path}' could not be written; check the space on the disk, and that you may write there.") from None
        finally:
            if full != temporary:
                full.unlink(missing_ok=True)
