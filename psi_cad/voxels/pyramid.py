"""Scans made ready for registration: cut to the body, grey values limited, resampled to cubes of any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.errors import ImageError
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = ["Prepared", "prepared"]

CT_WINDOW: Final = (-1000.0, 1500.0)  # HU: air to cortex; metal and padding tell nothing
CT_AIR: Final = -200.0  # a scan with values below this is in HU: no MR signal is negative by so much
MR_TOP: Final = 99.5  # percentile; the few brightest voxels (vessels, coil) would take half the grey levels
BODY_MARGIN: Final[Mm] = 15.0
BODY_HU: Final = -400.0
LEAST_SIZE: Final[Mm] = 30.0
_LOOK: Final[Mm] = 5.0
_FINE_SIDES: Final[tuple[Mm, ...]] = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
_LEAST_BLUR: Final = 0.3  # of a voxel; a narrower recursive Gaussian is none
_FINE_BLUR: Final = 0.4  # sigma, of the new step; half a step is the most that keeps an edge where it is seen best


@dataclass(frozen=True)
class Prepared:
    """A scan cut to the body, with limited grey values.

    Attributes
    ----------
    image : SimpleITK image, float32
    box : (8, 3)
        Corners of the body's box, patient mm.
    scan : str
        "fixed" or "moving", for messages.
    """

    image: sitk.Image
    box: Array
    scan: str

    @property
    def centre(self) -> Array:
        """Middle (3,) of the body's box, patient mm."""
        return np.asarray(self.box.mean(axis=0))

    @property
    def volume(self) -> float:
        """Of the field that is left, mm³."""
        return float(np.prod(self.image.GetSize()) * np.prod(self.image.GetSpacing()))

    def cubes(self, side: Mm) -> sitk.Image:
        """The scan on cubes of `side` mm in its own axes, blurred so that no detail finer than a cube is left."""
        return _on_cubes(self.image, side)

    def fine(self, samples: int) -> sitk.Image:
        """The scan with pixels thinned to about `samples` voxels, but its slices as they are: no more detail is lost than has to be."""
        for side in _FINE_SIDES:
            steps = np.maximum(self.image.GetSpacing(), side)
            if self.volume / float(np.prod(steps)) <= samples:
                break
        return _on_grid(self.image, steps, blur=_FINE_BLUR)

    def flags(self, mask: Volume, grid: sitk.Image) -> sitk.Image:
        """Where `mask` is not zero, on a grid that `cubes` or `fine` made.

        Raises
        ------
        ImageError
            If the mask leaves next to nothing of the body.
        """
        import SimpleITK as sitk  # noqa: N813

        marked = Volume((mask.values != 0).astype(np.uint8), mask.patient_from_index).to_sitk()
        found = sitk.Resample(marked, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, sitk.sitkUInt8)
        if np.count_nonzero(sitk.GetArrayViewFromImage(found)) * np.prod(grid.GetSpacing()) < LEAST_SIZE**3:
            raise ImageError("The mask covers almost nothing of the fixed scan; give a mask in the fixed scan's frame.")
        return found


def prepared(volume: Volume, *, scan: str) -> Prepared:
    """A scan ready to be registered.

    Raises
    ------
    ImageError
        If it is too thin, or empty, or of one value.
    """
    import SimpleITK as sitk  # noqa: N813

    extent = volume.spacing * np.array(volume.values.shape[::-1])
    if volume.values.ndim != 3 or min(volume.values.shape) < 4 or extent.min() < LEAST_SIZE:
        size = " x ".join(f"{v:.0f}" for v in extent)
        raise ImageError(
            f"The {scan} scan is {size} mm with {volume.values.shape[0]} slices, too thin to be registered in three dimensions; give more slices."
        )
    sample = np.asarray(volume.values[:: max(1, volume.values.shape[0] // 64), ::2, ::2], dtype=np.float64)
    if not np.isfinite(sample).all():
        raise ImageError(f"The {scan} scan holds values that are not finite numbers; read it again.")
    low, high = CT_WINDOW
    is_ct = float(sample.min()) < CT_AIR
    if not is_ct:
        low, high = float(np.percentile(sample, 0.1)), float(np.percentile(sample[sample > sample.min()] if np.ptp(sample) > 0 else sample, MR_TOP))
    if not high > low or np.ptp(sample) == 0.0:
        raise ImageError(f"The {scan} scan has the same value everywhere; export it again.")
    image = sitk.Clamp(volume.to_sitk(), sitk.sitkFloat32, low, high)
    first, last = _body(image, BODY_HU if is_ct else None)
    image = image[tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))]
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (np.array(image.GetSize()) - 1)
    return Prepared(image, Volume(np.empty((0, 0, 0)), _matrix(image)).patient(corners), scan)


def _matrix(image: sitk.Image) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return matrix


def _on_cubes(image: sitk.Image, side: Mm) -> sitk.Image:
    return _on_grid(image, np.full(3, side), blur=0.6)


def _on_grid(image: sitk.Image, steps: Array, *, blur: float) -> sitk.Image:
    """`image` at `steps` (3,) mm along its own axes, blurred by a sigma of `blur` steps along the axes that become coarser."""
    import SimpleITK as sitk  # noqa: N813

    bins = [max(1, int(step / 1.5 / spacing)) for step, spacing in zip(steps, image.GetSpacing(), strict=True)]
    if max(bins) > 1:
        image = sitk.BinShrink(image, bins)  # the mean of whole voxels: no detail is passed over
    spacing = np.array(image.GetSpacing())
    for axis in range(3):
        sigma = float(np.sqrt(max((blur * steps[axis]) ** 2 - (0.4 * spacing[axis]) ** 2, 0.0)))
        if sigma > _LEAST_BLUR * spacing[axis] and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
    size = np.maximum(np.floor((np.array(image.GetSize()) - 1) * spacing / steps + 1e-6).astype(int) + 1, 4)
    return sitk.Resample(
        image, [int(v) for v in size], sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [float(v) for v in steps], image.GetDirection(), 0.0
    )


def _body(image: sitk.Image, level: float | None) -> tuple[Any, Any]:
    """First and past-last index (3,) of the box around the largest thing that is not air."""
    import SimpleITK as sitk  # noqa: N813

    small = _on_cubes(image, _LOOK)
    if level is None:
        cut = sitk.OtsuThreshold(small, 0, 1)
        level = float(np.asarray(sitk.GetArrayViewFromImage(small))[sitk.GetArrayViewFromImage(cut) > 0].min()) / 2.0  # muscle is dark on some MRI
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.BinaryThreshold(small, level, 1e9, 1, 0)), sortByObjectSize=True)
    where = np.argwhere(sitk.GetArrayViewFromImage(parts) == 1)[:, ::-1]
    size = np.array(image.GetSize())
    if len(where) == 0:
        return np.zeros(3, dtype=int), size
    here = np.array([image.TransformPhysicalPointToContinuousIndex(small.TransformContinuousIndexToPhysicalPoint([float(v) for v in corner]))
                     for corner in (where.min(axis=0), where.max(axis=0))])  # fmt: skip
    margin = BODY_MARGIN / np.array(image.GetSpacing())
    first = np.clip(np.floor(here[0] - margin), 0, size - 4).astype(int)
    return first, np.clip(np.ceil(here[1] + margin) + 1, first + 4, size).astype(int)
