"""Ready masks read into the patient frame: label maps of image files, 3D Slicer segmentations, DICOM SEG and RTSTRUCT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.errors import ImageError
from psi_cad.units import Array
from psi_cad.voxels.volume import Volume

__all__ = ["LabelMap", "Segment"]

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
