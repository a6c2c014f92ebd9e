"""Least surfaces above a height field: a ball's width above it, or nowhere steeper than a limit."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage

from psi_cad.units import Array, Mm

__all__ = ["SLOPE", "gentle", "gentle_line", "thickened"]

SLOPE: Final = 3.0  # of a guide's own surfaces over bone that falls away: a kernel's Booleans hang on cliffs, and no saw or plate needs one
WITHIN_MM: Final[Mm] = 8.0  # a cliff is spread over no more than this


def thickened(heights: Array, *, step: Mm, thickness: Mm) -> Array:
    """The upper surface of a layer over `heights` (nx, ny), `step` mm apart, that is `thickness` thick along the normal: dilation by a ball.

    On a plane it stands thickness · √(1 + slope²) above; beside a cliff it stays within `thickness` of the cliff.
    """
    cells = int(np.floor(thickness / step))
    far = np.hypot(*np.mgrid[-cells : cells + 1, -cells : cells + 1]) * step
    ball = np.sqrt(np.maximum(thickness**2 - far**2, 0.0))
    return np.asarray(ndimage.grey_dilation(heights, footprint=far <= thickness, structure=ball, mode="nearest"))


def gentle(heights: Array, *, step: Mm, slope: float = SLOPE) -> Array:
    """The least surface (nx, ny) not below `heights` that falls no steeper than `slope` from each of its points, within a few mm."""
    cells = int(np.ceil(WITHIN_MM / step))
    far = np.hypot(*np.mgrid[-cells : cells + 1, -cells : cells + 1]) * step
    return np.asarray(ndimage.grey_dilation(heights, footprint=far <= WITHIN_MM, structure=-slope * far, mode="nearest"))


def gentle_line(stations: Array, levels: Array, *, slope: float = SLOPE) -> Array:
    """The least line (n,) over `stations` (n,) not below `levels` (n,) and nowhere steeper than `slope`."""
    return np.asarray((levels[None, :] - slope * np.abs(stations[:, None] - stations[None, :])).max(axis=1))
