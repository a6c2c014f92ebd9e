"""Where the middle of the patient's body lies in a CT, from left to right, at the level of a bone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from psi_cad.units import Array, Bools, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["BodyMiddle", "body_middle"]

_STEP_MM: Final[Mm] = 4.0
_BODY_HU: Final = -250.0  # fat is about -100, air -1000
_OPENED: Final = 3  # steps that part a table from the body
_PART: Final = 0.25  # of the largest piece of a slice: two thighs are both body, a hand is not
_LEAST_WIDTH_MM: Final[Mm] = 220.0  # a trunk from about 8 years on; one leg, or the round field of a scan of one hip, is narrower
_LEAST_SLICES: Final = 5
_USABLE: Final = 0.6  # of the slices
_SCATTER_MM: Final[Mm] = 15.0


@dataclass(frozen=True)
class BodyMiddle:
    """The middle of the body, x in patient mm, and its width; both None where the scan doesn't tell, and `why`."""

    x: Mm | None
    width: Mm | None
    why: str = ""


def body_middle(volume: Volume, *, low: Mm, high: Mm) -> BodyMiddle:
    """The middle of the body in a CT (HU), from the slices between the heights `low` and `high` (patient z, mm).

    A slice counts where the field holds the body's left and right edge with air beside them.
    """
    index = np.stack(np.meshgrid(*([-0.0, n - 1.0] for n in volume.values.shape[::-1]), indexing="ij"), axis=-1).reshape(-1, 3)
    corners = volume.patient(index)
    x = np.arange(corners[:, 0].min(), corners[:, 0].max() + _STEP_MM, _STEP_MM)
    y = np.arange(corners[:, 1].min(), corners[:, 1].max() + _STEP_MM, _STEP_MM)
    levels = np.linspace(low, high, max(int((high - low) / (2.0 * _STEP_MM)), _LEAST_SLICES))
    found = []
    for z in levels:
        points = np.stack(np.meshgrid(x, y, [z], indexing="ij"), axis=-1).reshape(-1, 3)
        ends = _ends(volume.sampled(points, order=0).reshape(len(x), len(y)), x)
        if ends is not None:
            found.append(ends)
    if len(found) < max(_LEAST_SLICES, _USABLE * len(levels)):
        return BodyMiddle(None, None, "the scan does not hold both sides of the body there")
    edges = np.array(found)
    middles, widths = edges.mean(axis=1), np.ptp(edges, axis=1)
    width = float(np.median(widths))
    if width < _LEAST_WIDTH_MM:
        return BodyMiddle(None, None, f"what the scan holds is {width:.0f} mm wide, which is no trunk")
    if float(np.std(middles)) > _SCATTER_MM:
        return BodyMiddle(None, None, "the middle of the body moves from slice to slice")
    return BodyMiddle(float(np.median(middles)), width)


def _ends(values: Array, x: Array) -> tuple[Mm, Mm] | None:
    """The least and greatest x of the body in one slice (nx, ny), NaN outside of the field; None where the field cuts it off."""
    scanned: Bools = ~np.isnan(values)
    body: Bools = ndimage.binary_opening((values > _BODY_HU) & scanned, iterations=_OPENED)
    labels, count = ndimage.label(body)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    body = np.isin(labels, 1 + np.flatnonzero(sizes >= _PART * sizes.max()))
    columns = np.flatnonzero(body.any(axis=1))
    beside = ndimage.binary_dilation(body, np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]], dtype=bool), iterations=2)
    cut_off = bool((beside & ~scanned).any()) or columns[0] < 2 or columns[-1] >= len(x) - 2
    return None if cut_off else (float(x[columns[0]]), float(x[columns[-1]]))
