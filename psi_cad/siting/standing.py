"""Bone that stands up beside a guide's contact: how much of it a seat can rise over, and how its contact keeps off the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from scipy import ndimage

from psi_cad.siting.access import STEP_MM, WIDE_MM, covered, opened
from psi_cad.siting.cliffs import STEEPEST
from psi_cad.siting.seat import HeightField
from psi_cad.surface.envelope import gentle
from psi_cad.units import LIMITS, Array, Bools, Mm

__all__ = ["CLIMB", "EASED_SLOPE", "SURE", "at_contact", "eased", "kept_off", "towering"]

EASED_SLOPE: Final = 2.0  # a spline overshoots a kink: what is to stay below the limit of 8 has to be planned gentler
EASED_MM: Final[Mm] = 0.1  # bone that far below a slope is its foot
CLIMB: Final = (4.0, 2.0)  # slope of a seat, and mm besides, that it can rise over bone it stays above
SURE: Final = (STEEPEST, 4.0)  # ... and over which none can: with all that its fit may be off, on both sides
NEAR_MM: Final[Mm] = 2.0  # from the contact; what lies deeper under the fence is spanned, not followed
CLEAR_MM: Final[Mm] = 1.0  # between a footplate and bone that towers over it


def towering(field: HeightField, climb: tuple[float, Mm]) -> Bools:
    """Cells (n,) whose bone a guide has to stay above, but that stands higher than a seat can rise to from the nearest contact.

    `climb`: the slope at which it rises, and the mm that it may be higher besides.
    """
    away, nearest = ndimage.distance_transform_edt(~field.contact.reshape(field.shape), sampling=field.step, return_indices=True)
    level = _levels(field, nearest)
    with np.errstate(invalid="ignore"):
        return np.asarray(field.bone & ~field.contact & (field.heights > level + climb[0] * away.ravel() + climb[1]))


def _levels(field: HeightField, nearest: Array) -> Array:
    return np.asarray(field.heights.reshape(field.shape)[tuple(nearest)].ravel())


def at_contact(field: HeightField) -> Array:
    """Points (n, 3) of the field's cells at the level of the nearest contact, guide frame."""
    nearest = ndimage.distance_transform_edt(~field.contact.reshape(field.shape), return_distances=False, return_indices=True)
    return np.column_stack([field.points, _levels(field, nearest)])


def kept_off(field: HeightField, tall: Bools) -> HeightField:
    """`field` whose contact keeps so far off the bone in `tall` that no footplate has to stay above it.

    As it is where that leaves too little contact.
    """
    tall = tall & ~field.fence
    if not tall.any():
        return field
    off = ndimage.distance_transform_edt(~tall.reshape(field.shape), sampling=field.step).ravel() > WIDE_MM + CLEAR_MM
    contact = opened(field.contact & off, field.shape)
    if int(contact.sum()) * STEP_MM**2 < LIMITS.contact_area:
        return field
    footprint = field.fence | (field.footprint & covered(contact, field.shape))
    return replace(field, contact=contact, footprint=footprint, bone=field.bone & footprint)


def eased(field: HeightField) -> HeightField:
    """`field` with a slope in place of the cliffs of bone that a seat stays above and does not follow, and no contact beneath that slope.

    As it is where that leaves too little contact.
    """
    standing = field.bone & ~field.usable & np.isfinite(field.heights)
    if not standing.any():
        return field
    low = float(np.nanmin(field.heights)) - 100.0
    slope = gentle(np.where(standing, field.heights, low).reshape(field.shape), step=field.step, slope=EASED_SLOPE).ravel()
    foot = slope > np.nan_to_num(field.heights, nan=low) + EASED_MM
    over = foot & (slope > low + 50.0) & field.footprint
    contact = opened(field.contact & ~foot, field.shape)
    if int(contact.sum()) * STEP_MM**2 < LIMITS.contact_area:
        return field
    heights = np.where(over, slope, field.heights)
    near = ndimage.binary_dilation(contact.reshape(field.shape), iterations=round(NEAR_MM / field.step)).ravel()
    return replace(field, heights=heights, bone=field.bone | over, usable=field.usable & ~foot & near, contact=contact)
