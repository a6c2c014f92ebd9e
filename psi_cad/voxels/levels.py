"""What HU soft tissue and bone have in this scan, how noisy it is, and the threshold that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.errors import SegmentationError
from psi_cad.voxels.volume import Volume

__all__ = ["TissueLevels", "tissue_levels"]

_SAMPLES: Final = 4_000_000  # voxels looked at
_SOFT_RANGE: Final = (-20.0, 120.0)  # HU; muscle and organs, with or without contrast
_USUAL_SOFT: Final = 50.0
_BONE_ABOVE_SOFT: Final = 220.0  # HU; denser than contrast-free soft tissue with noise
_METAL_FROM: Final = 2500.0
_SHARE: Final = 0.2  # of the way from soft tissue to cortex: below the half-way level, so that thin cortex is kept
_LEAST, _MOST = 120.0, 280.0  # HU above soft tissue


@dataclass(frozen=True)
class TissueLevels:
    """HU levels of one scan.

    Attributes
    ----------
    soft : float
        The peak of soft tissue.
    bone : float
        Of dense cortex: exceeded by 5 % of all bone voxels.
    noise : float
        Standard deviation in soft tissue.
    threshold : float
        Voxels above may be bone.
    """

    soft: float
    bone: float
    noise: float
    threshold: float


def tissue_levels(volume: Volume) -> TissueLevels:
    """The levels of a CT, from a sample of its voxels.

    Raises
    ------
    SegmentationError
        If nothing in the scan is as dense as bone.
    """
    values = volume.values
    step = max(int(np.ceil((values.size / _SAMPLES) ** (1.0 / 3.0))), 1)
    seen = values[::step, ::step, ::step].astype(np.float32).ravel()
    bony = seen[(seen > _USUAL_SOFT + _BONE_ABOVE_SOFT) & (seen < _METAL_FROM)]
    if len(bony) < max(20, 1e-5 * len(seen)):
        raise SegmentationError("The scan holds hardly any voxel as dense as bone (above 270 HU); is it a CT in HU?")
    soft = _soft_peak(seen)
    bone = float(np.percentile(bony, 95.0))
    noise = _noise(values, soft)
    threshold = soft + float(np.clip(_SHARE * (bone - soft), _LEAST, _MOST))
    return TissueLevels(soft, bone, noise, max(threshold, soft + 3.0 * min(noise, 60.0)))


def _soft_peak(seen: npt.NDArray[Any]) -> float:
    """The mode of what lies in the soft-tissue range, smoothed over 10 HU; the usual value where there is next to none."""
    counts, edges = np.histogram(seen, bins=np.arange(_SOFT_RANGE[0], _SOFT_RANGE[1] + 1.0))
    if counts.sum() < 1e-3 * len(seen):
        return _USUAL_SOFT
    smooth = np.convolve(counts, np.hanning(23), mode="same")
    return float(edges[int(np.argmax(smooth))] + 0.5)


def _noise(values: npt.NDArray[Any], soft: float) -> float:
    """From differences of voxels two apart in a row of soft tissue: nearer ones are correlated."""
    layers = values[:: max(values.shape[0] // 40, 1)].astype(np.float32)
    inside = np.abs(layers - soft) < 150.0
    both = inside[:, :, 2:] & inside[:, :, :-2] & inside[:, :, 1:-1]
    difference = (layers[:, :, 2:] - layers[:, :, :-2])[both]
    if len(difference) < 1000:
        return 10.0
    return float(1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2.0))
