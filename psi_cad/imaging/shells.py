"""Does one bone have two shells? Cortex in pieces, each on the bone's surface, with something dark between: an open growth plate, or a joint."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from psi_cad.findings import Place, place_of
from psi_cad.units import Bools
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.volume import Volume

__all__ = ["apart_at"]

LEAST_MM3: Final = 1000.0  # of cortex; smaller pieces are islands in a shell that the scan has thinned
LEAST_MM2: Final = 400.0  # of the bone's surface that a piece covers; dense trabeculae within the marrow cover none


def apart_at(solid: Bools, volume: Volume, levels: TissueLevels) -> list[tuple[Place, float]]:
    """Where the largest shell of the bone in `solid` (nz, ny, nx) and each other one come closest, and the other's mm³ of cortex."""
    cortex = solid & (volume.values > levels.threshold)
    pieces, count = ndimage.label(cortex, structure=np.ones((3, 3, 3)), output=np.int32)
    if count < 2:
        return []
    voxel = float(np.prod(volume.spacing))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1) * voxel
    sizes[0] = 0.0
    rim = solid & ~ndimage.binary_erosion(solid)
    cover = np.bincount(pieces[rim], minlength=count + 1) * voxel ** (2.0 / 3.0)
    order = [int(n) for n in np.argsort(-sizes, kind="stable") if sizes[n] >= LEAST_MM3 and cover[n] >= LEAST_MM2]
    if len(order) < 2:
        return []
    main = volume.patient(np.argwhere(pieces == order[0])[:, ::-1].astype(np.float64))
    tree, found = cKDTree(main), []
    for number in order[1:]:
        other = volume.patient(np.argwhere(pieces == number)[:, ::-1].astype(np.float64))
        away, nearest = tree.query(other)
        here = int(np.argmin(away))
        place = place_of((other[here] + main[nearest[here]]) / 2.0)
        if place is not None:
            found.append((place, float(sizes[number])))
    return found
