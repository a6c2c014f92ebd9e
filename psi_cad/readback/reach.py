"""Measure how much blade a cut needs: from the highest fence its hub can stop on, to the far side of the bone."""

from __future__ import annotations

from typing import Final

import numpy as np

from psi_cad.findings import Place, place_of
from psi_cad.promises.expected import Expected, ExpectedSlot
from psi_cad.readback.printed import Printed
from psi_cad.units import Array, Mm

__all__ = ["blade_needed"]

STEP_MM: Final[Mm] = 0.25
ABOVE_MM: Final[Mm] = 120.0  # above any fence, along the blade
RAYS: Final = 5  # across the wall on each side of the slot


def blade_needed(
    printed: Printed, expected: Expected, slot: ExpectedSlot, windows: tuple[tuple[Mm, Mm], ...], blade: tuple[Array, Array]
) -> tuple[Mm, Place | None] | None:
    """Length of blade below its hub that the deepest line of a cut needs, and the far point that decides; None: no fence found.

    The hub stops on the highest part of the fence within the blade's width, with the blade's middle over the line, or as
    near to it as the ends of the slot let it. `blade`: the slot's axes (along, out of the bone) in the guide frame;
    `windows`: where the slot is open, along the first.
    """
    along, out = blade
    origin, normal = expected.plane_of(slot)
    half = slot.blade_width / 2.0
    low, high = windows[0][0] - half, windows[-1][1] + half
    s = np.arange(low, high + STEP_MM, STEP_MM)
    across = slot.width / 2.0 + np.linspace(0.1, slot.wall - 0.1, RAYS)
    top = np.full(len(s), -np.inf)
    for offset in (*across, *-across):
        starts = origin + s[:, None] * along + ABOVE_MM * out + offset * normal
        distance, _ = printed.caster.first(starts, -out)
        top = np.maximum(top, ABOVE_MM - distance)  # nothing met: minus infinity
    if not np.isfinite(top).any():
        return None
    best, decides = -np.inf, (0.0, 0.0)
    for at, far in slot.far:
        middle = min((_clipped(at, a + half, b - half) for a, b in windows), key=lambda value: abs(value - at))
        stop = float(top[np.abs(s - middle) <= half + STEP_MM].max(initial=-np.inf))
        if stop - far > best:
            best, decides = stop - far, (at, far)
    if not np.isfinite(best):
        return None
    return best, place_of(expected.frame.patient(origin + decides[0] * along + decides[1] * out))


def _clipped(value: Mm, low: Mm, high: Mm) -> Mm:
    """The nearest to `value` in [low, high], or its middle where the blade has no room to move."""
    return (low + high) / 2.0 if low > high else min(max(value, low), high)
