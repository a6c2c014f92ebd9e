"""Whether a height spline is gentle enough for solids to be built on, which is known before any kernel is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array

__all__ = ["STEEPEST", "WILD", "Cliff", "cliff_of"]

STEEPEST: Final = 8.0  # slope where a body stands on the patch: steeper ground is no seat
WILD: Final = 40.0  # slope between poles anywhere: Booleans on rougher patches may not end


@dataclass(frozen=True)
class Cliff:
    """What is wrong with a patch, in a sentence, and the `place` (3,) on it, in the patch's own frame."""

    said: str
    place: Array


def cliff_of(patch: HeightSpline, where: Array | None = None, *, name: str) -> Cliff | None:
    """The cliff for which nothing can be built on `patch`; None where it can. `where` (n, 2): the part that is used, by default all of it."""
    rises = (
        np.abs(np.diff(patch.poles, axis=0)) / np.diff(patch.x_greville)[:, None],
        np.abs(np.diff(patch.poles, axis=1)) / np.diff(patch.y_greville)[None, :],
    )
    anywhere = float(max(rise.max() for rise in rises))
    slopes = None if where is None else np.linalg.norm(patch.gradient(where), axis=1)
    used = anywhere if slopes is None else float(slopes.max())
    if used <= STEEPEST and anywhere <= WILD:
        return None
    if where is not None and slopes is not None and used > STEEPEST:
        spot = where[int(np.argmax(slopes))]
    else:
        axis = int(np.argmax([rise.max() for rise in rises]))
        i, j = (int(n) for n in np.unravel_index(int(np.argmax(rises[axis])), rises[axis].shape))
        x, y = patch.x_greville, patch.y_greville
        spot = np.array([(x[i] + x[i + 1]) / 2.0, y[j]]) if axis == 0 else np.array([x[i], (y[j] + y[j + 1]) / 2.0])
    said = (
        f"The {name} patch is too steep to build on (slope {used:.1f} and {anywhere:.0f} beside it, at most {STEEPEST:g} and {WILD:g}): "
        "the bone there is a cliff; give another approach, or lower slope_limit or run_out."
    )
    return Cliff(said, np.append(spot, float(patch(spot[None, :])[0])))
