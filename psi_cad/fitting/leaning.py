"""Ways in which wires may lean, and whether those that do hold a guide; their sleeves, for what has to keep off them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.options.leaning import MOST_TRAVEL_MM, travel
from psi_cad.siting.pins import Pin
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Deg, Mm

__all__ = ["as_upright", "refuse_loose", "ways_out"]

TURNS_ASIDE: Final[tuple[Deg, ...]] = (0.0, 30.0, -30.0, 60.0, -60.0, 90.0, -90.0)  # from straight outward: never towards the middle
ROW_MM: Final[Mm] = 2.0  # between upright sleeves in the place of one that leans


def ways_out(points: Array, middle: Array, lean: Deg) -> list[Array]:
    """Unit directions (n, 3) in which a wire at each of `points` (n, 2) may lean by `lean` from z: away from `middle` first, then ever more aside."""
    away = points - middle
    azimuth = np.arctan2(away[:, 1], away[:, 0])
    slant, upright = np.sin(np.radians(lean)), np.cos(np.radians(lean))
    turned = [azimuth + np.radians(aside) for aside in TURNS_ASIDE]
    return [np.column_stack([slant * np.cos(way), slant * np.sin(way), np.full(len(points), upright)]) for way in turned]


def refuse_loose(pins: Sequence[Pin], seat: HeightSpline, height: Mm, play: Mm, lean: Deg, *, metal: Mm = 0.0) -> None:
    """Refuse wires with which a guide could still be lifted off.

    Raises
    ------
    DesignError
    """
    standing = np.array([pin.stands(seat, height) for pin in pins])
    free = travel(standing[:, 0], np.array([pin.out for pin in pins]), height, play)
    if free > MOST_TRAVEL_MM:
        far = f"{free:.1f} mm" if np.isfinite(free) else "as far as one likes"
        raise DesignError(
            f"params.pin_divergence = {lean:g}: with its wires in, the guide could be moved {far}, and {MOST_TRAVEL_MM:g} mm is the most; "
            f"raise pin_divergence, {'lower insert_length, raise sleeve_height, ' if metal else ''}or lower wire_clearance.",
            where=standing[:, 0].mean(axis=0),
            reason="pins",
        )


def as_upright(standing: Sequence[Array]) -> list[tuple[Mm, Mm]]:
    """Sleeves that may lean (foot and top, (2, 3) each) as rows of upright ones: x and y of each."""
    found = []
    for low, high in standing:
        count = int(np.ceil(np.linalg.norm((high - low)[:2]) / ROW_MM)) + 1
        found += [(float(x), float(y)) for x, y in np.linspace(low[:2], high[:2], count)]
    return found
