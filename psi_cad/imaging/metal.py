"""Metal in a CT: how much, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from psi_cad.units import Array
from psi_cad.voxels.volume import Volume

__all__ = ["METAL_HU", "METAL_LEAST_MM3", "Metal", "find_metal"]

METAL_HU: Final = 2500.0
"""Dense cortex stays below about 2000 HU at 120 kVp, tooth enamel included in most scans; titanium and steel lie at the scale's end."""
METAL_LEAST_MM3: Final = 20.0
_MOST: Final = 20


@dataclass(frozen=True)
class Metal:
    """One piece: `volume` in mm³, `centre` (3,) and `low`, `high` corners in patient mm."""

    volume: float
    centre: Array
    low: Array
    high: Array


def find_metal(volume: Volume) -> tuple[Metal, ...]:
    """Pieces of at least 20 mm³ above `METAL_HU`, largest first, at most 20."""
    dense = volume.values >= METAL_HU
    if not dense.any():
        return ()
    labels, count = ndimage.label(dense, structure=np.ones((3, 3, 3)), output=np.int32)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    voxel = float(np.prod(volume.spacing))
    boxes = ndimage.find_objects(labels)
    found = []
    for n in np.argsort(-sizes, kind="stable")[:_MOST]:
        if sizes[n] * voxel < METAL_LEAST_MM3:
            break
        box = boxes[n - 1]
        inside = np.argwhere(labels[box] == n)[:, ::-1] + np.array([s.start for s in box][::-1])
        points = volume.patient(inside)
        found.append(Metal(float(sizes[n] * voxel), points.mean(axis=0), points.min(axis=0), points.max(axis=0)))
    return tuple(found)
