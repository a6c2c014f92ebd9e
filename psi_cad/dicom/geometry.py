"""Slice positions and orientations to one unsheared grid: order, tilt, steps and gaps, from nothing but the patient positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.errors import ImageError
from psi_cad.units import Array, Deg, Ints, Mm

__all__ = ["Grid", "plan_grid"]

SAME_PLACE: Final[Mm] = 1e-3
"""Two slices nearer than this lie at one position; no scanner reconstructs so densely."""
POSITION_NOISE: Final[Mm] = 0.06
"""Positions written with one decimal are off by half a digit, 0.05 mm, and the line through them by a little more: rounding, no geometry."""
DIRECTION_NOISE: Final = 2e-4
"""Direction cosines of one stack agree to this: 0.05 mm at the edge of a 500 mm field."""
SQUARENESS: Final = 1e-3
"""Dot product of row and column direction, and their length less one, that is still rounding of DICOM's decimal strings."""
SPACING_NOISE: Final = 1e-4
"""Relative difference of pixel sizes that is rounding: 0.05 mm over 500 mm."""
STEEPEST_TILT: Final[Deg] = 45.0
"""Gantries tilt to about 30°; beyond this the slices do not form a stack."""
SAME_STEP: Final = 0.03
"""Relative difference of two steps that are meant to be one."""
MULTIPLE: Final = 0.1
"""How near to a whole multiple of the usual step a gap lies, in steps."""
GAP: Final = 1.8
"""A lonely step this many times its neighbours is a gap, whole multiple or not."""
RUN: Final = 3
"""So many equal wide steps in a row are a change of pitch, not missing slices."""
MOST_REFINED: Final = 4
"""Resampling makes at most so many times the slices there were."""


@dataclass(frozen=True)
class Grid:
    """How `n` given slices become one regular grid.

    Attributes
    ----------
    order : (n,) int
        The given slices, along the normal.
    shift : (n, 2)
        Of each ordered slice against the grid, in pixels (columns i, rows j); zero without tilt.
    along : (n,)
        Of each ordered slice, mm along the normal from the first.
    size : (ni, nj, nk)
        Of the grid.
    step : float
        Between grid slices, mm.
    resampled : bool
        The grid's slices do not lie at the given ones.
    patient_from_index : (4, 4)
        Of the grid's voxel centres.
    tilt : float
        Degrees between slice normal and stacking direction.
    filled : tuple of (float, float)
        Places along the normal (patient mm) between which a missing slice is interpolated.
    """

    order: Ints
    shift: Array
    along: Array
    size: tuple[int, int, int]
    step: Mm
    resampled: bool
    patient_from_index: Array
    tilt: Deg
    steps: tuple[Mm, Mm]
    filled: tuple[tuple[Mm, Mm], ...] = ()


def plan_grid(
    positions: Array,
    *,
    orientations: Array,
    spacings: Array,
    sizes: Ints,
    fill_gap: bool = False,
    thickness: Mm | None = None,
) -> Grid:
    """The regular grid of a stack of parallel slices.

    Parameters
    ----------
    positions : (n, 3)
        ImagePositionPatient: centre of the first pixel, LPS mm, in any order.
    orientations : (n, 6)
        ImageOrientationPatient: direction of increasing column index, then of increasing row index.
    spacings : (n, 2)
        PixelSpacing: between rows, between columns, mm.
    sizes : (n, 2) int
        Rows, columns.
    fill_gap : bool
        Interpolate one missing slice.
    thickness : float, optional
        Step given to a single slice.

    Raises
    ------
    ImageError
        If the slices form no stack: mixed orientations, sizes or spacings, two at one position, a missing slice.
    """
    i_axis, j_axis, normal = _axes(orientations)
    rows, columns = _common_size(sizes)
    pixel = _common_spacing(spacings)  # rows, columns
    order = np.argsort(positions @ normal, kind="stable")
    placed = positions[order]
    offset = placed - placed[0]
    along = offset @ normal
    where = "xyz"[int(np.argmax(np.abs(normal)))]
    _no_duplicates(placed, along, where)
    sideways = np.stack([offset @ i_axis, offset @ j_axis], axis=1)
    tilt, sideways = _tilt(along, sideways)
    shift = sideways / pixel[::-1]
    low, high = np.floor(shift.min(axis=0) + 1e-6), np.ceil(shift.max(axis=0) - 1e-6)
    if (high - low > 2 * np.array([columns, rows]) + 64).any():
        raise ImageError("The slices lie beside each other and not above each other; give one stack only, with --series.")
    step, regular, filled = _steps(along, placed @ np.eye(3)["xyz".index(where)], where, fill_gap)
    if len(along) == 1:
        step = thickness if thickness else 1.0
    count = round(along[-1] / step) + 1
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([i_axis * pixel[1], j_axis * pixel[0], normal * step], axis=1)
    matrix[:3, 3] = placed[0] + low[0] * pixel[1] * i_axis + low[1] * pixel[0] * j_axis
    found = np.diff(along) if len(along) > 1 else np.array([step])
    return Grid(
        order=order,
        shift=shift - low,
        along=along,
        size=(columns + int(high[0] - low[0]), rows + int(high[1] - low[1]), count),
        step=step,
        resampled=not regular,
        patient_from_index=matrix,
        tilt=tilt,
        steps=(float(found.min()), float(found.max())),
        filled=filled,
    )


def _axes(orientations: Array) -> tuple[Array, Array, Array]:
    usual = np.median(orientations, axis=0)
    if np.abs(orientations - usual).max() > DIRECTION_NOISE:
        raise ImageError("The slices have more than one orientation (ImageOrientationPatient); choose one stack with --series.")
    i_axis, j_axis = usual[:3], usual[3:]
    lengths = np.linalg.norm([i_axis, j_axis], axis=1)
    if np.abs(lengths - 1.0).max() > SQUARENESS or abs(float(i_axis @ j_axis)) > SQUARENESS:
        raise ImageError("ImageOrientationPatient does not hold two unit directions square to each other; export the series again.")
    # what rounding left of the skew is shared by both directions
    plus, minus = i_axis / lengths[0] + j_axis / lengths[1], i_axis / lengths[0] - j_axis / lengths[1]
    plus, minus = plus / np.linalg.norm(plus), minus / np.linalg.norm(minus)
    i_axis, j_axis = (plus + minus) / np.sqrt(2.0), (plus - minus) / np.sqrt(2.0)
    return i_axis, j_axis, np.cross(i_axis, j_axis)


def _common_size(sizes: Ints) -> tuple[int, int]:
    if (sizes != sizes[0]).any():
        raise ImageError("The slices have more than one size in pixels (Rows, Columns); choose one stack with --series.")
    return int(sizes[0, 0]), int(sizes[0, 1])


def _common_spacing(spacings: Array) -> Array:
    usual = np.median(spacings, axis=0)
    if (usual <= 1e-3).any() or (usual > 100.0).any():
        raise ImageError(f"PixelSpacing is {usual[0]:g} x {usual[1]:g} mm, which no scanner makes; export the series again.")
    if (np.abs(spacings / usual - 1.0) > SPACING_NOISE).any():
        raise ImageError("The slices have more than one PixelSpacing; choose one stack with --series.")
    return np.asarray(usual)


def _no_duplicates(placed: Array, along: Array, where: str) -> None:
    close = np.flatnonzero(np.diff(along) < SAME_PLACE)
    if not len(close):
        return
    k = int(close[0])
    if np.linalg.norm(placed[k + 1] - placed[k]) > 1.0:
        raise ImageError("The slices lie beside each other and not above each other; give one stack only, with --series.")
    raise ImageError(
        f"{len(close) + 1} slices share positions with others, first at {where}={placed[k]['xyz'.index(where)]:g} mm "
        "(a slice stored twice, or two times or phases in one series); keep one of each."
    )


def _tilt(along: Array, sideways: Array) -> tuple[Deg, Array]:
    """Degrees of the stacking direction from the normal, and the sideways offsets (n, 2) in mm without rounding noise."""
    if len(along) < 2 or np.abs(sideways).max() <= POSITION_NOISE:
        return 0.0, np.zeros_like(sideways)
    slope = along @ sideways / (along @ along)
    tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    if tilt > STEEPEST_TILT:
        raise ImageError(f"The slices are stacked {tilt:.0f}° away from their normal; no gantry tilts so far, export the series again.")
    straight = along[:, None] * slope
    return tilt, straight if np.abs(sideways - straight).max() <= POSITION_NOISE else sideways


def _steps(along: Array, place: Array, where: str, fill_gap: bool) -> tuple[Mm, bool, tuple[tuple[Mm, Mm], ...]]:
    """Step of the grid, whether the slices lie on it, and the gaps that are filled."""
    if len(along) < 3:
        return float(along[-1]), True, ()
    number = np.arange(len(along))
    step, start = np.polyfit(number, along, 1)
    if np.abs(along - start - step * number).max() <= POSITION_NOISE:
        return float(along[-1] / (len(along) - 1)), True, ()
    steps = np.diff(along)
    usual = _usual(steps)
    gaps = _gaps(steps, usual)
    if len(gaps):
        missing = [max(1, round(steps[k] / usual) - 1) for k in gaps]
        named = ", ".join(f"between {where}={place[k]:g} and {where}={place[k + 1]:g} mm" for k in gaps[:3])
        whole = abs(steps[gaps[0]] / usual - 2.0) <= MULTIPLE
        if not fill_gap or sum(missing) > 1 or not whole:
            hint = "--fill-gap interpolates one" if sum(missing) == 1 and whole else "export the series again"
            lost = f"{sum(missing)} slice{'s are' if sum(missing) > 1 else ' is'}"
            raise ImageError(f"{lost} missing {named} (the usual step is {usual:g} mm); {hint}.")
        k = int(gaps[0])
        full = np.insert(along, k + 1, 0.5 * (along[k] + along[k + 1]))
        number = np.arange(len(full))
        step, start = np.polyfit(number, full, 1)
        even = np.abs(full - start - step * number).max() <= POSITION_NOISE
        h = float(along[-1] / (len(full) - 1)) if even else _finest(full)
        return h, False, ((float(place[k]), float(place[k + 1])),)
    return _finest(along), False, ()


def _finest(along: Array) -> Mm:
    """The smallest step, a little less so that the last slice is on the grid, unless that makes far more slices than there were."""
    smallest = max(np.diff(along).min(), along[-1] / (MOST_REFINED * len(along)))
    return float(along[-1] / np.ceil(along[-1] / smallest - 1e-6))


def _usual(steps: Array) -> Mm:
    """The step with most others near it; the smaller one of two."""
    near = (np.abs(steps[None, :] / steps[:, None] - 1.0) <= SAME_STEP).sum(axis=1)
    return float(steps[near == near.max()].min())


def _gaps(steps: Array, usual: Mm) -> Ints:
    """Places of steps that are gaps: whole multiples of the usual step, or far wider than it, and not a run of one pitch."""
    same = np.abs(steps / usual - 1.0) <= SAME_STEP
    ratio = steps / usual
    wide = (ratio >= GAP) if same.mean() >= 0.5 else steps >= 2 * GAP * np.median(steps)
    found: list[int] = []
    k = 0
    while k < len(steps):
        end = k + 1
        while end < len(steps) and abs(steps[end] / steps[k] - 1.0) <= SAME_STEP:
            end += 1
        if wide[k] and end - k < RUN:
            found.extend(range(k, end))
        k = end
    return np.array(found, dtype=np.int64)
