"""Label maps read from files of any kind: images, 3D Slicer segmentations, DICOM SEG and RTSTRUCT."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.dicom.labels import read_dicom_labels
from psi_cad.errors import ImageError
from psi_cad.imaging.image_files import check_geometry, is_image_file, read_sitk, three_dimensional
from psi_cad.voxels.labels import LabelMap, Segment, cropped
from psi_cad.voxels.volume import Volume

__all__ = ["read_labels"]

MOST_LABELS: Final = 2048
"""More different numbers than this are a picture, not labels (TotalSegmentator has 117)."""


def read_labels(path: Path | str, *, reference: Volume | None = None) -> LabelMap:
    """The segments in a label map, 3D Slicer segmentation, DICOM SEG or RTSTRUCT.

    Parameters
    ----------
    path : path
        NIfTI, NRRD (also .seg.nrrd) or MetaImage; a DICOM SEG or RTSTRUCT file.
    reference : Volume, optional
        The scan the contours of an RTSTRUCT were drawn on: they carry no grid of their own. Other formats keep their grid.

    Raises
    ------
    ImageError
        If the file holds no labels that can be placed in the patient; one sentence says why.
    """
    path = Path(path)
    if is_image_file(path):
        return _from_image(path)
    return read_dicom_labels(path, reference=reference)


def _from_image(path: Path) -> LabelMap:
    import SimpleITK as sitk  # noqa: N813

    image = read_sitk(path)
    keys = {key: image.GetMetaData(key).strip() for key in image.GetMetaDataKeys() if re.fullmatch(r"Segment\d+_(Name|LabelValue|Layer)", key)}
    image = three_dimensional(image, path)
    layers = sitk.GetArrayFromImage(image)
    if layers.ndim == 3:
        layers = layers[..., None]
    if layers.shape[3] > 1 and not keys:
        raise ImageError(f"'{path.name}' holds {layers.shape[3]} numbers in a voxel and no segment names; save it as a label map.")
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    shape = (int(layers.shape[0]), int(layers.shape[1]), int(layers.shape[2]))
    check_geometry(Volume(np.zeros((1, 1, 1)), matrix), path)
    layers = _whole_numbers(layers, path)
    found = _slicer_segments(layers, keys, path) if keys else _numbered(layers[..., 0], path)
    if not found:
        raise ImageError(f"'{path.name}' holds no label: every voxel is 0.")
    return LabelMap(shape, matrix, tuple(found))


def _whole_numbers(values: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = bool((np.isfinite(values) & (np.rint(values) == values)).all())
        if not whole:
            raise ImageError(f"'{path.name}' holds fractions, but labels are whole numbers; give the label map, not the scan.")
    elif values.dtype.kind not in "iu":
        raise ImageError(f"'{path.name}' does not hold plain numbers; save it as a label map.")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65535:
        raise ImageError(f"'{path.name}' holds values from {low:g} to {high:g}, but labels run from 0 to 65535; give the label map, not the scan.")
    return values.astype(np.uint16)


def _numbered(values: npt.NDArray[np.uint16], path: Path) -> list[Segment]:
    from scipy.ndimage import find_objects

    present = np.flatnonzero(np.bincount(values.ravel(), minlength=1)[1:]) + 1
    if len(present) > MOST_LABELS:
        raise ImageError(f"'{path.name}' holds {len(present)} different numbers, too many for labels; give the label map, not the scan.")
    boxes = find_objects(values.astype(np.int32))
    return [
        Segment(int(n), "", (boxes[n - 1][0].start, boxes[n - 1][1].start, boxes[n - 1][2].start), values[boxes[n - 1]] == n)
        for n in map(int, present)
    ]


def _slicer_segments(layers: npt.NDArray[np.uint16], keys: dict[str, str], path: Path) -> list[Segment]:
    """Segments by the fields of 3D Slicer: `SegmentN_Name`, `SegmentN_LabelValue`, `SegmentN_Layer`.

    Before 4.11 there was no layer or value: segment N was component N, with value 1.
    """
    found: list[Segment] = []
    for n in sorted({int(re.findall(r"\d+", key)[0]) for key in keys}):
        try:
            layer = int(keys.get(f"Segment{n}_Layer", n if layers.shape[3] > 1 else 0))
            value = int(keys.get(f"Segment{n}_LabelValue", 1))
        except ValueError:
            raise ImageError(f"'{path.name}': Segment{n}_Layer or Segment{n}_LabelValue is no number; save the segmentation again.") from None
        if not 0 <= layer < layers.shape[3]:
            raise ImageError(f"'{path.name}': Segment{n}_Layer is {layer}, and there are {layers.shape[3]} layers; save the segmentation again.")
        # two layers use the same values over again, so the number is the value only where there is one layer
        number = value if layers.shape[3] == 1 else n + 1
        one = cropped(number, keys.get(f"Segment{n}_Name", ""), layers[..., layer] == value)
        if one is not None:
            found.append(one)
    return found
