"""Digits sunk into a flat face, as found in an STL: how well they agree with those that belong there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.frames import Frame
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    from psi_cad.readback.printed import Printed

__all__ = ["AGREES", "agreement"]

AGREES: Final = 0.75  # of the area of the letters as drawn and as found together: what both share
CELL_MM: Final[Mm] = 0.1
SUNK_MM: Final[Mm] = 0.25  # a place of the face that lies deeper is taken for a letter's groove
OUTSIDE_MM: Final[Mm] = 1.5


def agreement(frame: Frame, text: str, printed: Printed, *, width: Mm, height: Mm, letters: Mm, condensed: float) -> float:
    """Of the area of the digits as drawn and as found together, the share that both have; `frame`: of the face, z out of it."""
    import shapely

    from psi_cad.brep import label

    shape = label.text_shape((text,), height=letters, condensed=condensed)
    xs = np.arange(-width / 2.0 + CELL_MM, width / 2.0, CELL_MM)
    ys = np.arange(-height / 2.0 + CELL_MM, height / 2.0, CELL_MM)
    cells = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    wanted = shapely.contains_xy(shape, cells[:, 0], cells[:, 1])
    looks: Array = frame.patient(np.column_stack([cells, np.full(len(cells), OUTSIDE_MM)]))
    deep, _ = printed.caster.first(looks, -frame.axes[2])
    sunk = deep - OUTSIDE_MM > SUNK_MM
    either = int((wanted | sunk).sum())
    return float((wanted & sunk).sum() / either) if either else 0.0
