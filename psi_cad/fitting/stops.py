"""Whether a fence can be a depth stop for a blade."""

from __future__ import annotations

from typing import Final

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.options.stop import Stop
from psi_cad.sawing.liners import TALLEST_MM
from psi_cad.units import Array, Mm

__all__ = ["refuse_unfit"]

SPARE_MM: Final[Mm] = 0.5  # between the stop and the least fence, for what its top lies off


def refuse_unfit(stop: Stop, level: tuple[Array, Array], *, height: Mm, usable: Mm, blade: str) -> None:
    """Refuse a stop that a fence of the guided height is too high for, that is too high itself, or that the blade is too short for.

    `level`: s, and the fence's top there without a stop.

    Raises
    ------
    DesignError
    """
    asked, at = f"params.depth_stop = {stop.length:g}: cut '{stop.name}'", stop.origin
    if stop.length > usable:
        raise DesignError(f"{asked}: blade {blade} has {usable:g} mm of usable length; lower depth_stop to that at most.", where=at).on_any_seat()
    rest = np.interp(level[0], *stop.curve())
    lacking = float((level[1] - rest).max()) + SPARE_MM
    if lacking > 0.0:
        raise DesignError(
            f"{asked} needs {np.ceil(stop.length + lacking):.0f} mm between tip and collar, for its bone, the guided height and stop_allowance; "
            f"raise depth_stop to that, with a blade as long (blade {blade} has {usable:g} mm).",
            where=at,
        )
    tall = float((rest - level[1]).max()) + height
    if tall > TALLEST_MM:
        raise DesignError(
            f"{asked} would have a fence {tall:.0f} mm high, and {TALLEST_MM:g} mm is the most; "
            f"lower depth_stop by {tall - TALLEST_MM:.0f} mm at least, with a collar on the blade.",
            where=at,
        )
