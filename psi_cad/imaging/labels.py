"""Ready masks read into the patient frame: label maps of image files, 3D Slicer segmentations, DICOM SEG and RTSTRUCT."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.errors import ImageError
from psi_cad.imaging.image_files import check_geometry, is_image_file, read_sitk, three_dimensional
from psi_cad.imaging.volume import Volume
from psi_cad.units import Array

__all__ = ["LabelMap", "Segment", "read_labels"]

MOST_LABELS: Final = 2048
"""More different numbers than this are a picture, not labels (TotalSegmentator has 117)."""
INSIDE: Final = 0.5
"""A voxel belongs to a segment from this occupied part on."""


@dataclass(frozen=True)
class Segment:
    """One segment, kept as the box of voxels it occupies, so that segments may overlap.

    Attributes
    ----------
    number : int
        The label's number, from 1.
    name : str
        As the file states it; '' where the format carries none.
    corner : (k, j, i)
        Of the box in the grid.
    occupied : (dk, dj, di)
        bool, or float32 parts of each voxel (0 to 1) where the source is finer than the grid.
    """

    number: int
    name: str
    corner: tuple[int, int, int]
    occupied: npt.NDArray[Any]


@dataclass(frozen=True)
class LabelMap:
    """Named segments on one regular grid.

    Attributes
    ----------
    shape : (nz, ny, nx)
    patient_from_index : (4, 4)
        As in `Volume`.
    segments : tuple of Segment
        In the order of their numbers; they may overlap.
    notes : tuple of str
    """

    shape: tuple[int, int, int]
    patient_from_index: Array
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> dict[int, str]:
        """Name of each number; '' where the file states none."""
        return {one.number: one.name for one in self.segments}

    def find(self, label: int | str) -> Segment:
        """The segment with this number or name (any case).

        Raises
        ------
        ImageError
            If there is none, or the name stands twice.
        """
        wanted = str(label).strip().lower()
        found = [one for one in self.segments if str(one.number) == wanted] or [one for one in self.segments if one.name.lower() == wanted]
        if len(found) == 1:
            return found[0]
        have = ", ".join(f"{one.number}" + (f" '{one.name}'" if one.name else "") for one in self.segments[:20])
        raise ImageError(f"label '{label}' is {'there more than once' if found else 'not in the label map'}; there are {have or 'none'}.")

    def mask(self, label: int | str) -> Volume:
        """The voxels of one segment as a bool volume on the whole grid."""
        part = self.occupancy(label)
        return Volume(part.values >= INSIDE if part.values.dtype != bool else part.values, self.patient_from_index, self.notes)

    def occupancy(self, label: int | str) -> Volume:
        """Occupied part of each voxel by one segment, as float32 from contours and bool from voxels."""
        one = self.find(label)
        values = np.zeros(self.shape, dtype=one.occupied.dtype)
        values[_box(one)] = one.occupied
        return Volume(values, self.patient_from_index, self.notes)

    def flat(self) -> Volume:
        """All segments in one uint16 volume; where segments overlap the later one stands, and a note says so."""
        values = np.zeros(self.shape, dtype=np.uint16)
        overlap = 0
        for one in self.segments:
            inside = one.occupied >= INSIDE if one.occupied.dtype != bool else one.occupied
            target = values[_box(one)]
            overlap += int((target[inside] > 0).sum())
            target[inside] = one.number
        notes = self.notes + ((f"Segments overlap in {overlap} voxels; the later one was kept there.",) if overlap else ())
        return Volume(values, self.patient_from_index, notes, {"names": self.names})


def _box(one: Segment) -> tuple[slice, ...]:
    return tuple(slice(start, start + length) for start, length in zip(one.corner, one.occupied.shape, strict=True))


def cropped(number: int, name: str, occupied: npt.NDArray[Any], offset: tuple[int, int, int] = (0, 0, 0)) -> Segment | None:
    """A segment without its empty border; None where nothing is occupied."""
    ranges = []
    for axis in range(3):
        hit = np.flatnonzero(occupied.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(hit):
            return None
        ranges.append((int(hit[0]), int(hit[-1]) + 1))
    box = tuple(slice(a, b) for a, b in ranges)
    corner = (ranges[0][0] + offset[0], ranges[1][0] + offset[1], ranges[2][0] + offset[2])
    return Segment(number, name, corner, occupied[box].copy())


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
    from psi_cad.imaging.dicom_labels import read_dicom_labels

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
