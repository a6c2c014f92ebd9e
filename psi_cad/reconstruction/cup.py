"""Where a cup lies on its stem: the positions that its saw-teeth allow, and how much of it bone covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.case.implants import Implant
from psi_cad.errors import DesignError
from psi_cad.frames import across, unit
from psi_cad.reconstruction.pelvis import PelvicFrame, cup_angles, cup_direction
from psi_cad.units import Array, Deg, Mm

__all__ = ["ANY_TOOTH", "CoveredCup", "CupPose", "covered_cup", "posed"]

ANY_TOOTH: Final = -1  # for the index: the one that comes nearest to the wanted angles
NEAR_MM: Final[Mm] = 2.0  # bone this near the back of a cup is under it
ROUND: Final = 2000  # points on the back of a cup
GOLDEN: Final = np.pi * (3.0 - np.sqrt(5.0))


@dataclass(frozen=True)
class CupPose:
    """A cup on its stem, patient frame, mm and degrees.

    `axis` (3,) points out of its opening, through its `centre` (3,). `index`: the tooth, counted clockwise as one looks along the stem into the bone,
    from where the cup leans straight to the side; None where it turns freely. `off`: between its axis and that of the wanted angles, `wanted` (3,).
    """

    axis: Array
    centre: Array
    inclination: Deg
    anteversion: Deg
    off: Deg
    index: int | None
    wanted: Array


@dataclass(frozen=True)
class CoveredCup:
    """Bone at the back of a cup: the share of it with bone within 2 mm, and how deep it reaches into bone, mm."""

    covered: float
    deepest: Mm


def posed(
    entry: Array,
    out: Array,
    implant: Implant,
    pelvis: PelvicFrame,
    *,
    inclination: Deg,
    anteversion: Deg,
    index: int = ANY_TOOTH,
    tolerance: Deg = 180.0,
    name: str,
) -> CupPose:
    """The cup on a stem whose axis leaves the sawn face at `entry` (3,) in the direction `out` (3,).

    Parameters
    ----------
    index : int
        A tooth; `ANY_TOOTH` for the one whose angles come nearest to those wanted.
    name : str
        Of the trajectory, for messages.

    Raises
    ------
    DesignError
        Where the cup has no such tooth, its side cannot be told because its stem points sideways, or its axis lies further than `tolerance` from
        that of the wanted angles.
    """
    if index != ANY_TOOTH and index >= implant.teeth:
        there = f"it has {implant.teeth}, counted from 0" if implant.teeth else "it turns freely"
        raise DesignError(f"params.cup_index = {index}: {implant.id} has no such tooth, for {there}; give another, or {ANY_TOOTH} for the nearest.")
    sideways = pelvis.lateral - (pelvis.lateral @ out) * out
    if float(np.linalg.norm(sideways)) < 1e-3:
        raise DesignError(f"trajectory '{name}': the stem points straight to the side, so a cup on it has no side; give another direction.")
    first, wanted = unit(sideways), cup_direction(inclination, anteversion, pelvis)
    second = np.cross(-out, first)  # a quarter on, clockwise for who looks along the stem into the bone
    lean = np.radians(implant.cup_angle)

    def turned(by: float) -> Array:
        return np.asarray(np.cos(lean) * out + np.sin(lean) * (np.cos(by) * first + np.sin(by) * second))

    if implant.teeth:
        turns = 2.0 * np.pi * np.arange(implant.teeth) / implant.teeth
        chosen = int(np.argmax([turned(by) @ wanted for by in turns])) if index == ANY_TOOTH else index
        axis, tooth = turned(float(turns[chosen])), chosen
    else:
        axis, tooth = turned(float(np.arctan2(wanted @ second, wanted @ first))), None
    angles = cup_angles(axis, pelvis)
    off = float(np.degrees(np.arccos(np.clip(axis @ wanted, -1.0, 1.0))))
    if off > tolerance:
        which = "the nearest tooth" if index == ANY_TOOTH else "that tooth"
        raise DesignError(
            f"trajectory '{name}': at {which} the cup of {implant.id} opens at {angles[0]:.0f}° inclination and {angles[1]:.0f}° anteversion, "
            f"{off:.0f}° from params.inclination {inclination:g}° and params.anteversion {anteversion:g}°, and params.cup_tolerance is "
            f"{tolerance:g}°; turn the stem, take another implant, or ask for other angles.",
            where=entry,
            reason="stem",
        )
    return CupPose(axis, entry + implant.cup_offset * out, *angles, off, tooth, wanted)


def covered_cup(centre: Array, axis: Array, diameter: Mm, distance: Callable[[Array], Array]) -> CoveredCup:
    """How bone lies at the back of a cup that opens along `axis`; `distance` to the bone's surface at points (n, 3), negative inside."""
    height = (np.arange(ROUND) + 0.5) / ROUND  # evenly over the half that looks away from the opening
    turn, radius = GOLDEN * np.arange(ROUND), np.sqrt(1.0 - height**2)
    first = across(axis)
    round_it = radius[:, None] * (np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * np.cross(axis, first))
    away = distance(centre + diameter / 2.0 * (round_it - height[:, None] * axis))
    return CoveredCup(float((away <= NEAR_MM).mean()), max(0.0, -float(away.min())))
