"""DICOM SEG frames and RTSTRUCT contours to named segments, placed by patient position."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.dicom.contours import covered
from psi_cad.dicom.decoder import Decoder
from psi_cad.dicom.files import DicomFiles, UnreadableFileError, quiet_pydicom
from psi_cad.dicom.geometry import POSITION_NOISE, plan_grid
from psi_cad.dicom.headers import Pixels, Slice, number, slices_of, text
from psi_cad.dicom.pixels import NATIVE
from psi_cad.errors import ImageError
from psi_cad.units import Array, Mm
from psi_cad.voxels.labels import LabelMap, Segment, cropped
from psi_cad.voxels.volume import Volume

__all__ = ["read_dicom_labels"]

SEG_CLASSES: Final = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}
RTSTRUCT_CLASS: Final = "1.2.840.10008.5.1.4.1.1.481.3"
LARGEST_GRID: Final = 1 << 31
"""Voxels."""
OFF_PLANE: Final = 0.25
"""Slice steps by which points of one contour may differ in height before it counts as drawn in another plane."""
OFF_GRID: Final = 0.1
"""Steps by which a frame or contour may miss its slice and still be of it."""


def read_dicom_labels(path: Path, *, reference: Volume | None) -> LabelMap:
    """The segments of the one DICOM SEG or RTSTRUCT in `path` (a file, or a folder or archive that holds one).

    Raises
    ------
    ImageError
        If there is none or more than one, or its frames or contours cannot be placed.
    """
    with DicomFiles(path) as files, quiet_pydicom():
        found = []
        for name in files.names:
            try:
                data = files.dataset(name, specific_tags=["SOPClassUID"], stop_before_pixels=True)
            except UnreadableFileError:
                continue
            if text(data, "SOPClassUID") in SEG_CLASSES | {RTSTRUCT_CLASS}:
                found.append(name)
        if len(found) != 1:
            many = f"{len(found)} DICOM segmentations or structure sets are there; give one file" if found else "No DICOM SEG or RTSTRUCT is there"
            raise ImageError(f"{many}; labels may also be NIfTI, NRRD or MetaImage.")
        try:
            data = files.dataset(found[0])
            if text(data, "SOPClassUID") == RTSTRUCT_CLASS:
                return _from_contours(data, reference)
            return _from_frames(data, found[0], files.path)
        except ImageError:
            raise
        except Exception:  # a damaged value can make pydicom raise nearly anything, at any attribute
            raise ImageError("The DICOM segmentation or structure set is damaged; export it again.") from None


def _free_of_identity(name: str, data: Any) -> str:
    """`name`, or '' where it repeats a part of the patient's name or number."""
    private = " ".join(text(data, key) for key in ("PatientName", "PatientID", "AccessionNumber", "PatientBirthDate"))
    parts = {part.lower() for part in re.split(r"[\s^=,._-]+", private) if len(part) > 2}
    return "" if any(part in name.lower() for part in parts) else name


def _from_frames(data: Any, name: str, path: Path) -> LabelMap:
    slices = slices_of(data, name)
    if any(s.position is None or s.orientation is None or s.spacing is None or s.pixels is None for s in slices):
        raise ImageError("The frames of the DICOM SEG state no position in the patient; export it again.")
    pixels = slices[0].pixels
    assert pixels is not None
    height, step, grid_matrix = _planes(slices)
    shape = (int(height.max()) + 1, pixels.rows, pixels.columns)
    if float(np.prod(np.array(shape, dtype=np.float64))) > LARGEST_GRID:
        raise ImageError("The DICOM SEG spans more voxels than psi-cad reads; export it on the grid of the scan.")
    kind = text(data, "SegmentationType").upper()
    frames = _frames(data, slices, path)
    full = float(number(data, "MaximumFractionalValue") or 255.0) if kind == "FRACTIONAL" else 1.0
    planes: dict[int, list[tuple[int, npt.NDArray[Any]]]] = defaultdict(list)
    for k, (one, frame) in enumerate(zip(slices, frames, strict=True)):
        at = int(height[k])
        if kind == "LABELMAP":
            for value in set(np.unique(frame).tolist()) - {0}:
                planes[int(value)].append((at, frame == value))
        elif frame.any():
            occupied = frame > 0 if kind != "FRACTIONAL" else (frame / np.float32(full)).astype(np.float32)
            planes[_segment_number(data, one.frame)].append((at, occupied))
    names = {int(item.SegmentNumber): _free_of_identity(text(item, "SegmentLabel"), data) for item in data.SegmentSequence}
    segments = [s for n in sorted(planes) if (s := _stacked(n, names.get(n, ""), planes[n])) is not None]
    if not segments:
        raise ImageError("The DICOM SEG holds no segment: all frames are empty.")
    return LabelMap(shape, grid_matrix, tuple(segments), (f"DICOM SEG with slices every {step:.3f} mm.",))


def _segment_number(data: Any, frame: int) -> int:
    for group in (data.PerFrameFunctionalGroupsSequence[frame], data.SharedFunctionalGroupsSequence[0]):
        if "SegmentIdentificationSequence" in group:
            return int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    raise ImageError("A frame of the DICOM SEG names no segment; export it again.")


def _stacked(n: int, name: str, planes: list[tuple[int, npt.NDArray[Any]]]) -> Segment | None:
    """One segment of its occupied planes; a plane given twice is united."""
    low = min(at for at, _ in planes)
    values = np.zeros((max(at for at, _ in planes) - low + 1, *planes[0][1].shape), dtype=planes[0][1].dtype)
    for at, plane in planes:
        np.maximum(values[at - low], plane, out=values[at - low])
    return cropped(n, name, values, (low, 0, 0))


def _planes(slices: list[Slice]) -> tuple[npt.NDArray[np.int64], Mm, Array]:
    """Slice number of each frame, slice step in mm, and the grid's (4, 4) matrix; empty slices are not stored in a SEG."""
    positions = np.array([s.position for s in slices], dtype=np.float64)
    orientation = np.array(slices[0].orientation, dtype=np.float64)
    normal = np.cross(orientation[:3], orientation[3:])
    along = positions @ normal
    _, first = np.unique(np.round(along / POSITION_NOISE).astype(np.int64), return_index=True)
    offset = positions - positions[np.argmin(along)]
    if np.abs(offset - np.outer(offset @ normal, normal)).max() > POSITION_NOISE:
        raise ImageError("The DICOM SEG was made on a tilted scan (its frames lie sideways of each other); export it as a label map from the viewer.")
    places = np.sort(along[first])
    stated = abs(slices[0].thickness) if slices[0].thickness else 0.0
    step = stated or 1.0
    if len(places) > 1:
        smallest = float(np.diff(places).min())
        fits = stated > 0.0 and np.abs((places - places[0]) / stated - np.round((places - places[0]) / stated)).max() < OFF_GRID
        step = stated if fits and stated < smallest * (1.0 + OFF_GRID) else smallest
        # the mean over the whole stack carries no rounding of single positions
        count = round(float(places[-1] - places[0]) / step)
        step = float(places[-1] - places[0]) / count
    height = (along - places[0]) / step
    if np.abs(height - np.round(height)).max() > OFF_GRID:
        raise ImageError("The frames of the DICOM SEG do not lie on even slices; export it as a label map from the viewer.")
    # the same checks of axes, sizes and spacings as for scans
    lowest = int(np.argmin(along))
    grid = plan_grid(
        positions[[lowest]],
        orientations=orientation[None],
        spacings=_same([s.spacing for s in slices])[None],
        sizes=np.array([[s.pixels.rows, s.pixels.columns] for s in slices[:1] if s.pixels is not None]),
        thickness=step,
    )
    _same([s.orientation for s in slices])
    return np.round(height).astype(np.int64), step, grid.patient_from_index


def _same(values: list[tuple[float, ...] | None]) -> Array:
    found = np.array(values, dtype=np.float64)
    if np.abs(found - found[0]).max() > 1e-3:
        raise ImageError("The frames of the DICOM SEG differ in orientation or pixel size; export one segmentation of one series.")
    return np.asarray(found[0])


def _frames(data: Any, slices: list[Slice], path: Path) -> list[npt.NDArray[Any]]:
    pixels = slices[0].pixels
    assert pixels is not None
    if pixels.allocated not in {1, 8, 16} or pixels.samples != 1:
        raise ImageError(f"The DICOM SEG stores {pixels.allocated} bits in a pixel, but psi-cad reads 1, 8 or 16; export it again.")
    if pixels.syntax not in NATIVE:
        with Decoder(path) as decoder:
            return [decoder.frame(s.name, s.frame, rows=pixels.rows, columns=pixels.columns) for s in slices]
    return _native_frames(bytes(data.PixelData), pixels, len(slices))


def _native_frames(stored: bytes, pixels: Pixels, count: int) -> list[npt.NDArray[Any]]:
    each = pixels.rows * pixels.columns
    if len(stored) * 8 < each * count * pixels.allocated:
        raise ImageError("The pixels of the DICOM SEG are cut short; copy or export it again.")
    if pixels.allocated == 1:  # frames follow each other without filling up to bytes
        bits = np.frombuffer(stored, np.uint8)
        found = []
        for n in range(count):
            start, end = n * each, (n + 1) * each
            part = np.unpackbits(bits[start // 8 : -(-end // 8)], bitorder="little")
            found.append(part[start % 8 : start % 8 + each].reshape(pixels.rows, pixels.columns))
        return found
    values = np.frombuffer(stored, "u1" if pixels.allocated == 8 else "<u2", each * count)
    return list(values.reshape(count, pixels.rows, pixels.columns))


def _from_contours(data: Any, reference: Volume | None) -> LabelMap:
    if reference is None:
        raise ImageError("An RTSTRUCT holds contours without a grid; give the CT it was drawn on as well.")
    names = {int(item.ROINumber): _free_of_identity(text(item, "ROIName"), data) for item in data.get("StructureSetROISequence") or []}
    rois: dict[int, list[Array]] = {}
    skipped = 0
    for item in data.get("ROIContourSequence") or []:
        contours = rois.setdefault(int(item.ReferencedROINumber), [])
        for contour in item.get("ContourSequence") or []:
            points = np.array([float(v) for v in contour.ContourData], dtype=np.float64)
            if text(contour, "ContourGeometricType") in {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"} and len(points) >= 9 and len(points) % 3 == 0:
                if not np.isfinite(points).all():
                    raise ImageError("A contour of the RTSTRUCT has a point that is no number; export it again.")
                contours.append(reference.index(points.reshape(-1, 3)))
            else:
                skipped += 1
    notes = [f"{skipped} open contours or points were left out."] if skipped else []
    heights = np.array([float(np.mean(c[:, 2])) for contours in rois.values() for c in contours])
    if not len(heights):
        raise ImageError("The RTSTRUCT holds no closed contours; export it again.")
    if max(float(np.ptp(c[:, 2])) for contours in rois.values() for c in contours) > OFF_PLANE:
        raise ImageError("The contours of the RTSTRUCT do not lie on the slices of the reference scan; give the scan that they were drawn on.")
    every, start = _contour_steps(heights, reference)
    if every > 1.0:
        notes.append(f"Contours lie every {every * reference.spacing[2]:.2f} mm, and so do the slices of the mask.")
    matrix = reference.patient_from_index.copy()
    matrix[:3, 3] = reference.patient(np.array([[0.0, 0.0, start]]))[0]
    matrix[:3, 2] *= every
    count = int(np.floor((reference.values.shape[0] - 1 - start + OFF_GRID) / every)) + 1
    shape = (count, int(reference.values.shape[1]), int(reference.values.shape[2]))
    found, outside = [], 0
    for n, contours in sorted(rois.items()):
        segment, lost = _raster(n, names.get(n, ""), contours, start=start, every=every, shape=shape)
        outside += lost
        if segment is not None:
            found.append(segment)
    if outside:
        notes.append(f"{outside} of {len(heights)} contours lie above or below the reference scan and were left out.")
    if not found:
        raise ImageError("No contour of the RTSTRUCT lies within the reference scan; give the scan it was drawn on.")
    return LabelMap(shape, matrix, tuple(found), tuple(notes))


def _contour_steps(heights: Array, reference: Volume) -> tuple[float, float]:
    """Slice step of the mask and its first slice, both in slices of the reference.

    Contours on every third slice only would leave two of three slices empty on the reference's own grid; the mask then
    has slices where contours are, and is a thick-slice mask like any other.
    """
    within = heights[(heights > -0.5) & (heights < reference.values.shape[0] - 0.5)]
    planes = np.unique(np.round(within, 2))
    steps = np.diff(planes)
    steps = steps[steps > OFF_PLANE]
    every = float(steps.min()) if len(steps) else 1.0
    if every < 1.5 or reference.values.shape[0] < 2:
        return 1.0, 0.0
    start = float(planes[planes >= -OFF_GRID].min()) % every if (planes >= -OFF_GRID).any() else 0.0
    off = (planes - start) / every
    if np.abs(off - np.round(off)).max() > OFF_GRID:
        return 1.0, 0.0
    return every, start


def _raster(n: int, name: str, contours: list[Array], *, start: float, every: float, shape: tuple[int, int, int]) -> tuple[Segment | None, int]:
    """One segment of its contours (points in reference index coordinates), and how many lie beyond the slices."""
    planes: dict[int, list[Array]] = defaultdict(list)
    lost = 0
    for contour in contours:
        k = round((float(np.mean(contour[:, 2])) - start) / every)
        if 0 <= k < shape[0]:
            planes[k].append(contour[:, :2])
        else:
            lost += 1
    if not planes:
        return None, lost
    occupied = [(k, covered(several, rows=shape[1], columns=shape[2])) for k, several in sorted(planes.items())]
    return _stacked(n, name, occupied), lost
