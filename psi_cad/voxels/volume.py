"""A scan or label map with its place in the patient frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from psi_cad.findings import Caution
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name

__all__ = ["Volume"]


@dataclass(frozen=True)
class Volume:
    """Voxels on a regular, unsheared grid.

    Attributes
    ----------
    values : (nz, ny, nx)
        HU, MR signal or label numbers; `values[k, j, i]` as SimpleITK's arrays.
    patient_from_index : (4, 4)
        Takes (i, j, k, 1), the voxel's centre, to the patient frame (LPS, mm). Its columns are square to each other;
        the grid may be left-handed.
    notes : tuple of str
        What was done or noticed while reading, a sentence each, without patient identity.
    facts : dict
        Numbers for a report, such as spacing as found, tilt in degrees, gaps.
    cautions : tuple of Caution
        Those of the notes that a person must know before a guide is made from the scan.
    """

    values: npt.NDArray[Any]
    patient_from_index: Array
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    cautions: tuple[Caution, ...] = ()

    @property
    def spacing(self) -> Array:
        """Voxel size (3,) along i, j, k in mm."""
        return np.asarray(np.linalg.norm(self.patient_from_index[:3, :3], axis=0))

    @property
    def direction(self) -> Array:
        """Unit directions of i, j, k as the columns of a (3, 3) matrix."""
        return np.asarray(self.patient_from_index[:3, :3] / self.spacing)

    @property
    def origin(self) -> Array:
        """Centre (3,) of the voxel (0, 0, 0), patient mm."""
        return np.asarray(self.patient_from_index[:3, 3])

    def patient(self, index: Array) -> Array:
        """Patient points (n, 3) of index points (n, 3) in (i, j, k)."""
        return np.asarray(np.asarray(index, dtype=np.float64) @ self.patient_from_index[:3, :3].T + self.origin)

    def index(self, patient: Array) -> Array:
        """Index points (n, 3) in (i, j, k) of patient points (n, 3)."""
        inverse = np.linalg.inv(self.patient_from_index[:3, :3])
        return np.asarray((np.asarray(patient, dtype=np.float64) - self.origin) @ inverse.T)

    def around(self, box: tuple[slice, ...], margin: Mm) -> tuple[Volume, tuple[slice, ...]]:
        """The part of the volume within `margin` mm of a box of (k, j, i) slices, its values shared; and the slices of that part."""
        steps = np.ceil(margin / self.spacing[::-1]).astype(int)
        wide = tuple(slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(box, steps, self.values.shape, strict=True))
        matrix = np.array(self.patient_from_index)
        matrix[:3, 3] = self.patient(np.array([[s.start for s in wide[::-1]]]))[0]
        return Volume(self.values[wide], matrix, self.notes, self.facts, self.cautions), wide

    def sampled(self, patient: Array, *, order: int = 1, outside: float = np.nan) -> Array:
        """Values (n,) at patient points (n, 3): linear (`order` 1) or nearest (0); `outside` beyond the outermost centres."""
        from scipy.ndimage import map_coordinates

        place = self.index(patient)
        found = map_coordinates(self.values, place.T[::-1], output=np.float64, order=order, mode="nearest")
        size = np.array(self.values.shape[::-1], dtype=np.float64)
        found[((place < -1e-6) | (place > size - 1 + 1e-6)).any(axis=1)] = outside
        return np.asarray(found)

    @classmethod
    def from_sitk(cls, image: sitk.Image, *, notes: tuple[str, ...] = (), facts: dict[str, Any] | None = None) -> Volume:
        """The volume of a three-dimensional SimpleITK image; ITK's physical space is LPS."""
        import SimpleITK as sitk  # noqa: N813

        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
        matrix[:3, 3] = image.GetOrigin()
        return cls(sitk.GetArrayFromImage(image), matrix, notes, facts or {})

    def to_sitk(self) -> sitk.Image:
        """The same as a SimpleITK image."""
        import SimpleITK as sitk  # noqa: N813

        image = sitk.GetImageFromArray(self.values)
        image.SetSpacing([float(v) for v in self.spacing])
        image.SetDirection([float(v) for v in self.direction.ravel()])
        image.SetOrigin([float(v) for v in self.origin])
        return image
