"""How well two scans fit at a pose: normalised mutual information on a coarse grid, and the search for where it is greatest."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.registration.rigid import apply, rotation
from psi_cad.units import Array, Deg, Mm

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = ["Similarity", "climbed", "start_poses"]

BINS: Final = 24
LEAST_OVERLAP: Final = 0.3  # of the smaller field; below it a few voxels of air would decide
START_SHIFT: Final[Mm] = 18.0  # spacing of starts: with the capture range of one climb (about 20 mm, 10°) they cover 30 mm and 15°
START_TURN: Final[Deg] = 9.0


@dataclass(frozen=True)
class Similarity:
    """Two scans, prepared for quick looks at many poses.

    Attributes
    ----------
    points : (n, 3)
        Where the fixed scan is sampled, patient mm.
    fixed_bins : (n,)
        Its grey level there.
    moving_bins : (nz, ny, nx)
        The moving scan in grey levels, with fractions.
    index_from_moving : (4, 4)
        Moving patient mm to index (i, j, k).
    least : int
        Samples that have to fall inside the moving scan.
    """

    points: Array
    fixed_bins: npt.NDArray[np.int64]
    moving_bins: npt.NDArray[np.float32]
    index_from_moving: Array
    least: int

    @classmethod
    def of(cls, fixed: sitk.Image, moving: sitk.Image, *, inside: sitk.Image | None = None) -> Similarity:
        """From two prepared images on coarse grids; samples are taken where `inside` (on the grid of `fixed`) is not zero."""
        import SimpleITK as sitk  # noqa: N813

        from psi_cad.voxels.volume import Volume

        still, other = Volume.from_sitk(fixed), Volume.from_sitk(moving)
        index = np.indices(still.values.shape)[::-1].reshape(3, -1).T
        keep = slice(None) if inside is None else sitk.GetArrayViewFromImage(inside).ravel() > 0
        volume_ratio = min(1.0, other.values.size * float(np.prod(other.spacing)) / (still.values.size * float(np.prod(still.spacing))))
        points = still.patient(index[keep].astype(np.float64))
        return cls(
            points=points,
            fixed_bins=np.rint(_levels(still.values)).astype(np.int64).ravel()[keep],
            moving_bins=_levels(other.values).astype(np.float32),
            index_from_moving=np.asarray(np.linalg.inv(other.patient_from_index), dtype=np.float64),
            least=max(64, int(LEAST_OVERLAP * volume_ratio * len(points))),
        )

    def at(self, moving_from_fixed: Array) -> float:
        """Normalised mutual information, less 1: (H(f) + H(m)) / H(f, m) − 1; 0 for scans that tell nothing of each other.

        Taken over the samples that fall inside the moving scan, so that it does not reward overlap of air
        (Studholme, Hill, Hawkes 1999, Pattern Recognition 32:71). 0 as well where the overlap is too small.
        """
        from scipy.ndimage import map_coordinates

        place = apply(self.index_from_moving @ moving_from_fixed, self.points)
        last = np.array(self.moving_bins.shape[::-1]) - 1
        inside = ((place >= 0.0) & (place <= last)).all(axis=1)
        if int(inside.sum()) < self.least:
            return 0.0
        level = map_coordinates(self.moving_bins, place[inside].T[::-1], order=1, output=np.float32, mode="nearest")
        low = np.minimum(level.astype(np.int64), BINS - 2)
        share = level - low  # a sample counts for both levels it lies between, so that the measure is continuous
        cell = self.fixed_bins[inside] * BINS + low
        joint = np.bincount(cell, 1.0 - share, BINS * BINS) + np.bincount(cell + 1, share, BINS * BINS)
        joint = joint.reshape(BINS, BINS) / joint.sum()
        whole = _entropy(joint)
        return (_entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))) / whole - 1.0 if whole > 1e-9 else 0.0


def _levels(values: npt.NDArray[Any]) -> Array:
    """Values as grey levels from 0 to BINS − 1."""
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) * ((BINS - 1) / max(high - low, 1e-12)), dtype=np.float64)


def _entropy(share: Array) -> float:
    some = share[share > 0.0]
    return float(-(some * np.log(some)).sum())


def start_poses(base: Array, *, centre: Array) -> list[Array]:
    """`base` and poses around it: each of 15 shifts with each of 15 turns about `centre` (3,), the same ones every time."""
    steps = [np.zeros(3), *np.vstack([np.eye(3), -np.eye(3)])]
    corners = [0.8 * np.array(signs) for signs in itertools.product((-1.0, 1.0), repeat=3)]
    return [
        base @ rotation(np.radians(START_TURN) * turn, about=centre, shift=START_SHIFT * shift)
        for shift, turn in itertools.product([*steps, *corners], repeat=2)
    ]


def climbed(similarity: Similarity, pose: Array, *, centre: Array, radius: Mm) -> Array:
    """The pose at the top of the hill that `pose` stands on (Powell's method, needs no slope).

    Turns are measured by the way a point `radius` from `centre` goes, so that all six numbers are mm.
    """
    from scipy.optimize import minimize

    def posed(x: Array) -> Array:
        return pose @ rotation(x[3:] / radius, about=centre, shift=x[:3])

    found = minimize(
        lambda x: -similarity.at(posed(x)), np.zeros(6), method="Powell", options={"xtol": 0.3, "ftol": 1e-4, "direc": 8.0 * np.eye(6), "maxiter": 12}
    )
    return posed(np.asarray(found.x))
