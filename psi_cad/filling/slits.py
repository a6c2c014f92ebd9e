"""Flat gaps no wider than a leak, as a growth plate is."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from psi_cad.filling.fill import LEAK_MM
from psi_cad.units import Array, Bools, Mm
from psi_cad.voxels.morphology import ball, grown

__all__ = ["PLATE_MM3", "flat_gaps"]

SLIT_MM: Final[Mm] = 4.0  # a gap that reaches this far in two directions, and is no wider than a leak, is a slit: a growth plate
PLATE_MM3: Final = 1000.0
"""Of a slit: a growth plate of a hip, a femur or a sacrum has more."""


def flat_gaps(hollow: Bools, free: Bools, size: Array, *, half: Mm = LEAK_MM) -> Bools:
    """What of `hollow` lies in a flat gap: a disc fits into it, and a ball of radius `half`, from middle to middle of voxels, does not."""
    wide = grown(~grown(~hollow, ball(half, size)), ball(half, size))
    room = (hollow & ~wide) | free
    flat = np.zeros_like(hollow)
    steps = np.ceil(SLIT_MM / size).astype(int)
    offsets = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in steps), indexing="ij"), axis=-1) * size
    near = np.linalg.norm(offsets, axis=-1) <= SLIT_MM
    for normal in _NORMALS:
        disc = near & (np.abs(offsets @ normal) <= 0.5 * float(np.abs(size * normal).max()))
        fits = ndimage.binary_erosion(room, disc)
        if fits.any():
            flat |= ndimage.binary_dilation(fits, disc)
    return np.asarray(flat & hollow & ~wide)


_STEPS: Final = [np.array((k, j, i), dtype=float) for k in (0, 1) for j in (-1, 0, 1) for i in (-1, 0, 1) if (k, j, i) > (0, 0, 0)]
_NORMALS: Final = [step / np.linalg.norm(step) for step in _STEPS]  # thirteen directions, one of each pair
