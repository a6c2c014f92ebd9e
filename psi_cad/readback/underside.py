"""The underside of a guide, as it will be printed; without the geometry kernel, which a template does not need before it builds."""

from __future__ import annotations

from typing import Final

import numpy as np

from psi_cad.readback.printed import Printed
from psi_cad.units import Array, Bools, Mm

__all__ = ["RIM_MM", "STEP_MM", "underside"]

STEP_MM: Final[Mm] = 0.4
RIM_MM: Final[Mm] = 0.6  # the outline's straight sides and the grid's step


def underside(part: Printed) -> tuple[Array, Array, Bools]:
    """The lowest points (n, 3) of a guide in columns `STEP_MM` apart, its normals there, and which columns (nx, ny) hold one; guide frame."""
    low, high = part.mesh.bounds
    xs, ys = np.arange(low[0], high[0], STEP_MM), np.arange(low[1], high[1], STEP_MM)
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    starts = np.column_stack([grid, np.full(len(grid), low[2] - 5.0)])
    up, faces = part.caster.first(starts, np.array([0.0, 0.0, 1.0]))
    under = np.isfinite(up)
    bottom = np.column_stack([grid, low[2] - 5.0 + up])[under]
    return bottom, part.caster.normals(faces[under]), under.reshape(len(xs), len(ys))
